"""The served model as it is asked: records at three radii, scans, and who vouches for them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import kinds
import tiny
from pipeline.data.provenance import Manifest, of_array
from pipeline.data.schema import save_schema
from pipeline.files import BadInput
from pipeline.models.answers import log_odds
from pipeline.models.cnn import convolutional
from pipeline.models.image_networks import ImageNetworks, initialise, range_constants
from pipeline.serving import certificate
from pipeline.serving.certificate import BOXES
from pipeline.serving.model import Asked, Model, beyond
from pipeline.serving.served import RELEASE, Served, digest_of
from pipeline.verify.convolution import Convolutions
from serving.made_up import HEALTHY, ILL, NEAR, SCHEMA, network, policy, served_folder

pytestmark = pytest.mark.heavy
CLINICAL = tiny.Threat.of(SCHEMA, tiny.threat_config())


def values(*records):
    return np.array([[one[name] for name in SCHEMA.names] for one in records], dtype=float)


def test_alarms_count_referrals_at_their_own_radius_and_near_beyond_the_certificate():
    # log-odds 0.1, 0.3, 0.5 and 2: turned at a radius of half of that, or the next tick
    records = values(NEAR, *({**NEAR, "potassium": 3 + part} for part in (0.3, 0.5)), ILL)
    asked = Asked.of(network(), SCHEMA, CLINICAL, policy(r=0.2, alarm_r=0.1, near=1.5))
    said = asked.said(records)
    assert [one.reason for one in said] == ["near", "near", "", ""]
    assert [one.alarming for one in said] == [True, False, False, False]
    assert [one.near for one in said] == [None, None, True, False]
    assert asked.said(records[:0]) == []


def test_near_reaches_a_step_of_the_grid_beyond_the_certificate():
    """Of grey levels nothing lies between 1 and 1.5; measurements of a coarse grid, likewise."""
    pixels = tiny.Threat.of(kinds.SCANS, tiny.threat_config())
    for r, near, reach in ((1, 1.5, 2), (1.5, 1.2, 2), (2, 1.5, 3), (4, 1.5, 6), (4, 2, 8)):
        x = torch.full((1, *kinds.SCANS.image), 9.0)
        low, high = pixels.box(x, beyond(pixels, r / kinds.LEVELS, near))
        assert (low.unique().item(), high.unique().item()) == (9 - reach, min(9 + reach, 16))
    assert beyond(CLINICAL, 0.1, 1.5) == pytest.approx(0.2)  # steps of a tenth
    assert beyond(CLINICAL, 0.3, 1.5) == pytest.approx(0.45)
    anywhere = replace(CLINICAL, step=torch.zeros(3))
    assert beyond(anywhere, 0.1, 1.5) == pytest.approx(0.15)


def test_one_folder_is_one_model(tmp_path):
    served_folder(tmp_path / "guard")
    model = Model.of(tmp_path / "guard")
    assert model.shape == (3,)
    assert model.vouched is None
    assert model.policy_sha256 == digest_of(tmp_path / "guard")
    ((odds,),) = [[one.log_odds for one in model.said(values(HEALTHY))]]
    assert odds == pytest.approx(-2)
    assert model.at(0.9).answers(values(HEALTHY)).reason == ("",)
    assert model.at(1.1).answers(values(HEALTHY)).reason == ("near",)


def serve_scans(folder, above=1e-3, **changes):
    """A folder that serves a network of 8 x 8 scans, its cut above the median of `scans`."""
    served_folder(folder)
    design = convolutional(kinds.SCANS.image, 2, (2,), ())
    drawn = initialise(design, torch.tensor([0]))
    cnn = ImageNetworks(design, range_constants(kinds.SCANS, 1), drawn, ("one",))
    cnn = cnn.decide_at(log_odds(cnn, scans().x[None])[0].median()[None] + above)
    cnn.save(folder / RELEASE)
    save_schema(kinds.SCANS, folder / RELEASE)
    rules = policy(r=1 / kinds.LEVELS, alarm_r=1 / kinds.LEVELS, **changes)
    replace(Served.load(folder), release_sha256=cnn.digest, policy=rules).save(folder)
    return Model.of(folder)


def scans():
    return kinds.scans(8, seed=1)


def grey(scan):
    return scan[0].int().tolist()


def test_scans_are_admitted_answered_and_proved(tmp_path):
    given = [grey(one) for one in scans().x]
    given[1] = given[1][:-1]
    given[2][0][0] = 256
    for place, above in (("close", 1e-3), ("far", 5.0)):
        (tmp_path / place).mkdir()
        model = serve_scans(tmp_path / place / "guard", above)
        looked = model.admitted(given)
        assert looked.good.tolist() == [True, False, False, *[True] * 5]
        said = model.said(looked.values[looked.good])
        if place == "close":
            assert {one.ill for one in said} == {False, True}
            assert "undecided" in {one.reason for one in said}
        else:
            assert {(one.ill, one.reason) for one in said} == {(False, "")}


def test_whether_a_scan_is_near_is_seen_at_a_glance(tmp_path, monkeypatch):
    """The bound of the whole box, and no search, which a certificate goes on with."""
    asked = serve_scans(tmp_path / "guard", 5.0).asked
    budgets = []

    def told(*given):
        budgets.append(given[-1])
        return torch.ones(1)

    monkeypatch.setattr(certificate, "least_margins", told)
    asked.said(scans().x[:2].double().numpy())
    assert budgets == [BOXES[Convolutions]] * 2 + [0] * 2


def test_a_scan_for_which_its_source_does_not_vouch_is_refused(tmp_path):
    key, place = Ed25519PrivateKey.generate(), tmp_path / "manifest.json"
    known = [of_array(one.numpy().astype(np.uint8)) for one in scans().x[:3]]
    public = key.public_key().public_bytes_raw().hex()
    model = serve_scans(tmp_path / "guard", manifest=str(place), manifest_key=public)
    given = [grey(one) for one in scans().x[:4]]
    with pytest.raises(BadInput, match="manifest"):
        model.admitted(given)
    Manifest(("pixels",), tuple(sorted(known)), ()).write(place, key)
    looked = model.admitted(given)
    assert looked.good.tolist() == [True, True, True, False]
    assert "manifest" in looked.faults[3][0]
    forged = grey(scans().x[0])
    forged[0][0] += 1
    assert not model.admitted([forged]).good[0]
    Manifest(("pixels",), tuple(sorted(known)), ()).write(place, Ed25519PrivateKey.generate())
    with pytest.raises(BadInput, match="manifest"):
        model.admitted(given)
