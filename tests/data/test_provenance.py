"""Digests signed at the source: every planted fault is refused, named, and all of them at once."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

import scans
import tiny
from pipeline.data.provenance import (
    Digests,
    Manifest,
    digests_of,
    hold,
    of_array,
    of_bytes,
    provenance_in_words,
    public_key,
)
from pipeline.data.raw import read_raw
from pipeline.files import BadInput

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw().hex()
MANIFEST = {"manifest": "manifest.json", "key": PUBLIC}
NAME = "Doe_Jane"  # of a file, which may be a patient's
COLUMNS = ["scan", "ill", "patient", "part"]


def image(**changes):
    return {"shape": [*scans.SHAPE], **MANIFEST, **changes}


def refused(cfg, root):
    with pytest.raises(BadInput) as told:
        read_raw(cfg, root)
    assert NAME not in str(told.value)
    return str(told.value)


# ---- an archive ----


@pytest.fixture
def archive(tmp_path):
    """A signed archive: its folder, its configuration, and how to write it anew."""
    cfg = scans.described(image=image())
    scans.archive(tmp_path / "scans.npz")
    Manifest.of(digests_of(cfg, tmp_path)).write(tmp_path / "manifest.json", KEY)
    return tmp_path, cfg


def arrays(root):
    with np.load(root / "scans.npz") as held:
        return {name: held[name].copy() for name in held.files}


def test_what_is_as_signed_passes_and_says_so(archive):
    root, cfg = archive
    dataset, report = read_raw(cfg, root)
    assert len(dataset.y) == 84
    assert report["provenance"] == {
        "state": "checked",
        "scans": 84,
        "covers": ["pixels", "label", "split"],
        "key": PUBLIC[:16],
    }
    (said,) = provenance_in_words(report)
    assert said == f"provenance: 84 scans as signed by key {PUBLIC[:16]}... (pixels, label, split)"


def test_one_changed_pixel_is_named_by_its_place(archive):
    root, cfg = archive
    held = arrays(root)
    held["val_images"][7, 3, 4] ^= 1
    np.savez(root / "scans.npz", **held)
    lines = refused(cfg, root).splitlines()
    assert lines == [
        "scans.npz: val_images 7: not in the manifest: changed since, or never signed",
        "scans.npz: of the 84 scans of the manifest 1 missing",
    ]


def test_another_order_is_the_same_cohort(archive):
    root, cfg = archive
    held = arrays(root)
    order = np.random.default_rng(0).permutation(40)
    for what in ("images", "labels"):
        held[f"train_{what}"] = held[f"train_{what}"][order]
    np.savez(root / "scans.npz", **held)
    assert read_raw(cfg, root)[1]["provenance"]["state"] == "checked"


def test_a_label_that_moved_to_another_scan_is_named(archive):
    root, cfg = archive
    held = arrays(root)
    held["train_labels"][[0, 1]] = held["train_labels"][[1, 0]]
    np.savez(root / "scans.npz", **held)
    assert refused(cfg, root) == (
        "scans.npz: train_images 0, train_images 1: the scan is as signed, but what stands beside "
        "it (label, split) is not (2 in all)"
    )


def test_a_scan_that_moved_from_training_to_the_test_is_named(archive):
    root, cfg = archive
    held = arrays(root)
    for what in ("images", "labels"):
        train, test = held[f"train_{what}"], held[f"test_{what}"]
        train[0], test[0] = test[0].copy(), train[0].copy()
    np.savez(root / "scans.npz", **held)
    assert "train_images 0, test_images 0: the scan is as signed" in refused(cfg, root)


def test_pixels_alone_say_nothing_of_labels(archive):
    root, cfg = archive
    Manifest.of(digests_of(cfg, root), pixels_only=True).write(root / "manifest.json", KEY)
    held = arrays(root)
    held["train_labels"][[0, 1]] = held["train_labels"][[1, 0]]
    np.savez(root / "scans.npz", **held)
    assert read_raw(cfg, root)[1]["provenance"]["covers"] == ["pixels"]


def test_missing_doubled_and_foreign_scans_are_named_at_once(archive):
    root, cfg = archive
    held = arrays(root)
    held["train_images"][5] = held["train_images"][2]  # one is missing, one is there twice
    held["test_images"][[1, 3]] += 1
    np.savez(root / "scans.npz", **held)
    assert refused(cfg, root).splitlines() == [
        "scans.npz: test_images 1, test_images 3: not in the manifest: changed since, or never "
        "signed (2 in all)",
        "scans.npz: train_images 5: a duplicate: there more often than it was signed",
        "scans.npz: of the 84 scans of the manifest 3 missing",
    ]


def test_scans_that_were_signed_twice_may_be_there_twice():
    twice = Digests(("a", "a", "b"), ({}, {}, {}), ("0", "1", "2"))
    assert Manifest.of(twice).faults(twice) == []
    once = replace(twice, scans=("a", "b", "b"))
    assert Manifest.of(twice).faults(once) == [
        "2: a duplicate: there more often than it was signed",
        "of the 3 scans of the manifest 1 missing",
    ]


# ---- the signature ----


def test_nobody_elses_signature_passes(archive):
    root, cfg = archive
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    Manifest.of(digests_of(cfg, root)).write(root / "manifest.json", other)
    assert "not signed by the key that data.image.key names" in refused(cfg, root)


@pytest.mark.parametrize("part", ["covers", "scans", "records", "signature"])
def test_what_was_edited_after_the_signature_is_refused(archive, part):
    root, cfg = archive
    held = json.loads((root / "manifest.json").read_text())
    if part == "signature":
        held[part] = held[part][:-2] + ("00" if held[part][-2:] != "00" else "01")
    else:
        held[part] = held[part][1:]
    (root / "manifest.json").write_text(json.dumps(held))
    assert "not signed by the key" in refused(cfg, root)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"scans": 3}', "\x00"])
def test_a_damaged_manifest_is_one_line(archive, text):
    root, cfg = archive
    (root / "manifest.json").write_text(text)
    assert refused(cfg, root) == "manifest.json: damaged: no manifest of `medsecure sign`"


def test_a_missing_manifest_is_one_line(archive):
    root, cfg = archive
    (root / "manifest.json").unlink()
    assert refused(cfg, root) == "manifest.json: cannot be read (No such file or directory)"


def test_the_key_is_digits_or_a_file_and_never_the_private_one(archive):
    root, _ = archive
    (root / "key.txt").write_text(PUBLIC + "\n")
    assert public_key("key.txt", root)[1] == PUBLIC
    for given, said in (
        ("nowhere.txt", "neither 64 hexadecimal digits nor a readable file"),
        ("g" * 64, "no Ed25519 public key"),
    ):
        with pytest.raises(BadInput, match=said):
            public_key(given, root)
    (root / "key.pem").write_text("-----BEGIN PRIVATE KEY-----")
    with pytest.raises(BadInput, match="that is the private key; it stays at the source"):
        public_key("key.pem", root)


def test_manifest_and_key_go_together():
    with pytest.raises(BadInput, match="manifest and key go together"):
        scans.described(image=image(key=None))


def test_without_a_manifest_nothing_is_checked_and_that_is_said(archive):
    root, _ = archive
    cfg = scans.described()
    assert hold(cfg, root) == {"state": "not checked"}
    (said,) = provenance_in_words(read_raw(cfg, root)[1])
    assert said.startswith("provenance: not checked")
    assert provenance_in_words({}) == []  # records


# ---- a folder ----


def write_labels(root, rows):
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


@pytest.fixture
def ward(tmp_path):
    """A signed folder of pictures with labels, patients and parts."""
    x, y = scans.drawn(12, seed=3)
    rows = []
    for place in range(12):
        Image.fromarray(x[place]).save(tmp_path / f"{NAME}{place}.png")
        part = ("train", "tune", "test")[place // 4]
        rows.append([f"{NAME}{place}.png", int(y[place, 0]), f"p{place // 2}", part])
    write_labels(tmp_path, rows)
    cfg = scans.described(
        source="folder",
        file="labels.csv",
        group="patient",
        outcomes={0: "normal", 1: "tumour"},
        image=image(column="scan", split="part"),
    )
    Manifest.of(digests_of(cfg, tmp_path)).write(tmp_path / "manifest.json", KEY)
    return tmp_path, cfg, rows


def test_a_folder_passes_in_any_order_and_under_any_names(ward):
    root, cfg, rows = ward
    assert read_raw(cfg, root)[1]["provenance"]["covers"] == ["pixels", "label", "patient", "split"]
    (root / f"{NAME}0.png").rename(root / "other.png")
    rows[0][0] = "other.png"
    write_labels(root, rows[::-1])
    assert read_raw(cfg, root)[1]["provenance"]["scans"] == 12


def test_a_changed_picture_is_named_by_its_line(ward):
    root, cfg, _ = ward
    with Image.open(root / f"{NAME}4.png") as picture:
        pixels = np.array(picture)
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(root / f"{NAME}4.png")
    assert "labels.csv: line 6: not in the manifest" in refused(cfg, root)


@pytest.mark.parametrize(("column", "value"), [(1, 1), (2, "p5"), (3, "train")])
def test_what_stands_beside_a_scan_is_signed_too(ward, column, value):
    root, cfg, rows = ward
    assert rows[6][column] != value
    rows[6][column] = value
    write_labels(root, rows)
    found = refused(cfg, root)
    assert found == (
        "labels.csv: line 8: the scan is as signed, but what stands beside it (label, patient, "
        "split) is not"
    )


def test_a_scan_that_is_named_twice_is_a_duplicate(ward):
    root, cfg, rows = ward
    write_labels(root, [*rows, rows[0]])
    assert "labels.csv: line 14: a duplicate" in refused(cfg, root)


# ---- digests ----


def test_shape_and_type_are_part_of_a_digest():
    x = np.arange(16, dtype=np.uint8)
    digests = {of_array(x.reshape(shape)) for shape in ((4, 4), (2, 8), (16,))}
    digests |= {of_array(x.reshape(4, 4).astype(np.int8)), of_bytes(x.tobytes())}
    assert len(digests) == 5
    assert of_array(np.asfortranarray(x.reshape(4, 4))) == of_array(x.reshape(4, 4))


def test_digits_of_scikit_learn_have_digests():
    cfg = scans.configured("digits")
    assert len(digests_of(cfg, tiny.ROOT).scans) == 1797
