"""Signing at the source: a key that only its owner reads, a manifest, nothing overwritten."""

import os
import re
import stat

import pytest

import scans
from pipeline.api.verbs import run_verb
from pipeline.cohort import sign
from pipeline.cohort.sign import sign_scans
from pipeline.data.raw import read_raw
from pipeline.files import BadInput


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A project with scans, and the folder of who takes them."""
    project, source = tmp_path / "project", tmp_path / "source"
    for place in (project, source):
        place.mkdir()
    scans.archive(project / "scans.npz")
    monkeypatch.setattr(sign, "schema_of", lambda data, root: scans.described())
    monkeypatch.chdir(project)
    return project, source


def signed(places, **options):
    project, source = places
    key = options.pop("key", str(source / "ward.pem"))
    return sign_scans("manifest.json", key, folder=project, **options)


def test_what_is_signed_is_what_prepare_takes(places, capsys):
    project, _ = places
    assert signed(places) == 0
    told = capsys.readouterr().out
    (public,) = set(re.findall(r"\b[0-9a-f]{64}\b", told))
    image = {"shape": [*scans.SHAPE], "manifest": "manifest.json", "key": public}
    _, report = read_raw(scans.described(image=image), project)
    assert report["provenance"]["state"] == "checked"
    assert "treat it as the cohort" in told
    assert "PRIVATE" not in told


def test_only_its_owner_reads_the_private_key(places):
    before = os.umask(0)
    try:
        signed(places)
    finally:
        os.umask(before)
    assert stat.S_IMODE((places[1] / "ward.pem").stat().st_mode) == 0o600


def test_the_key_signs_again_and_nothing_is_overwritten(places, capsys):
    project, source = places
    signed(places)
    first, key = capsys.readouterr().out, (source / "ward.pem").read_bytes()
    manifest = (project / "manifest.json").read_bytes()
    with pytest.raises(BadInput, match="exists; remove it, or take another name"):
        signed(places)
    (project / "manifest.json").unlink()
    signed(places)
    assert (source / "ward.pem").read_bytes() == key
    assert (project / "manifest.json").read_bytes() == manifest  # Ed25519 draws nothing
    assert capsys.readouterr().out.splitlines()[-1] == first.splitlines()[-1]


def test_a_private_key_never_lies_in_the_project(places):
    project, _ = places
    for key in ("ward.pem", str(project / "deep" / ".." / "ward.pem")):
        with pytest.raises(BadInput, match="lies in the project"):
            signed(places, key=key)
    assert sorted(path.name for path in project.iterdir()) == ["scans.npz"]


def test_without_a_place_for_the_manifest_no_key_is_made(places):
    project, source = places
    with pytest.raises(BadInput, match="its folder is missing, or cannot be written"):
        sign_scans("nowhere/manifest.json", str(source / "ward.pem"), folder=project)
    with pytest.raises(BadInput, match="cannot be read or written"):
        signed(places, key=str(source / "nowhere" / "ward.pem"))
    assert not list(source.iterdir())
    assert not (project / "manifest.json").exists()


def test_a_key_that_others_may_read_is_refused(places):
    signed(places)
    (places[0] / "manifest.json").unlink()
    (places[1] / "ward.pem").chmod(0o640)
    with pytest.raises(BadInput, match="others may read this private key; chmod 600 it"):
        signed(places)
    assert not (places[0] / "manifest.json").exists()


def test_what_is_no_key_is_refused(places):
    path = places[1] / "ward.pem"
    path.write_text("no key")
    path.chmod(0o600)
    with pytest.raises(BadInput, match="no private key in PEM"):
        signed(places)
    assert path.read_text() == "no key"


def test_pixels_alone(places, capsys):
    signed(places, pixels_only=True)
    assert "84 scans signed (pixels)" in capsys.readouterr().out


def test_records_are_no_scans(capsys, tmp_path, monkeypatch):
    arguments = ["sign", str(tmp_path / "m.json"), "--key", str(tmp_path / "k.pem")]
    assert run_verb([*arguments, "--data", "pima"]) == 2
    assert "pima: holds records, no scans" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
