"""What honest queries look like: counted by hand, and telling nothing of a patient."""

import json

import numpy as np
import pytest

from pipeline.files import BadInput
from pipeline.serving.honest import FEW, Bins, Honest, Share, honest_rates
from pipeline.statistics.streams import most

N, S = 400, 3


@pytest.fixture(scope="module")
def answers():
    drawn = np.random.default_rng(0)
    y = (np.arange(N) < 160).astype(int)
    score = np.clip(drawn.normal(0.35 + 0.3 * y, 0.2, (S, N)), 0, 1)
    return {
        "y": y,
        "score": score,
        "decision": (score >= 0.5).astype(int),
        "referred": np.abs(score - 0.5) < 0.1,
        "alarmed": np.abs(score - 0.5) < 0.05,
        "near": np.abs(score - 0.5) < 0.15,
        "inputs": {
            "glucose": np.where(np.arange(N) % 8 == 0, np.nan, drawn.normal(120.123, 30, N)),
            "pregnant": np.repeat([0.0, 1.0], N // 2),
            "constant": np.full(N, 7.0),
            "rare": (np.arange(N) < FEW - 1).astype(float),
        },
    }


def test_shares_are_those_of_the_patients_they_are_about(answers):
    found = honest_rates(**answers)
    asked = ~answers["referred"]
    ill = asked & (answers["y"] == 1)
    healthy, wrong = answers["decision"] == 0, answers["decision"] != answers["y"]
    assert found.patients == N
    for share, what, among in (
        (found.referred, answers["alarmed"], np.ones_like(asked)),
        (found.near, answers["near"], asked),
        (found.missed, healthy, ill),
        (found.wrong, wrong, asked),
    ):
        assert share.of == pytest.approx(among.sum() / S, abs=1e-3)
        assert share.count == pytest.approx((what & among).sum() / S, abs=1e-3)
        assert share.most(0.95) == most(share.count, share.of, 0.95) > share.count / share.of


def test_records_of_one_patient_count_once(answers):
    twice = {
        key: {name: np.tile(of, 2) for name, of in one.items()}
        if key == "inputs"
        else np.concatenate([one, one], axis=-1)
        for key, one in answers.items()
    }
    found = honest_rates(**twice, whose=np.tile(np.arange(N), 2))
    assert found == honest_rates(**answers)


@pytest.mark.parametrize(("among_them", "told"), [(0, 9), (4, 9), (10, 10), (391, 400)])
def test_few_are_not_told(answers, among_them, told):
    alarmed = np.broadcast_to(np.arange(N) < among_them, (S, N))
    assert honest_rates(**answers | {"alarmed": alarmed}).referred == Share(told, N)


def test_a_share_of_fewer_than_10_is_none(answers):
    nobody = {"referred": np.broadcast_to(np.arange(N) >= FEW - 1, (S, N))}
    found = honest_rates(**answers | nobody)
    assert found.near is found.missed is found.wrong is None


def test_every_bin_holds_10_and_every_value_lies_in_one(answers):
    found = honest_rates(**answers)
    assert set(found.inputs) == {"glucose", "pregnant"}
    assert found.inputs["pregnant"] == Bins((1.0,), (200.0, 200.0), 400.0)
    glucose = answers["inputs"]["glucose"]
    known = glucose[~np.isnan(glucose)]
    for bins, values in ((found.inputs["glucose"], known), (found.scores, answers["score"])):
        assert min(bins.counts) >= FEW
        assert sum(bins.counts) == pytest.approx(bins.of, abs=0.01)
        places = [bins.place(value) for value in values.ravel()]
        counts = np.bincount(places, minlength=len(bins.counts)) * bins.of / values.size
        assert counts == pytest.approx(bins.counts, abs=0.01)
    assert len(found.inputs["glucose"].counts) == 5
    assert len(found.scores.counts) > 6


def test_no_value_of_a_patient_is_told(answers):
    written = json.dumps(honest_rates(**answers).saved())
    told = {f"{edge:.6g}" for edge in json.loads(written)["inputs"]["glucose"]["edges"]}
    theirs = {f"{value:.6g}" for value in answers["inputs"]["glucose"]}
    assert not told & theirs
    assert len(written) < 2000


def test_it_is_read_as_it_was_saved(answers):
    found = honest_rates(**answers)
    assert Honest.read(json.loads(json.dumps(found.saved())), "served.json") == found


@pytest.mark.parametrize("change", [{"referred": 3}, {"scores": {"edges": "x"}}, {"patients": "a"}])
def test_what_is_something_else_is_one_line(answers, change):
    with pytest.raises(BadInput, match=r"^served\.json: \w+.*made anew$"):
        Honest.read(honest_rates(**answers).saved() | change, "served.json")
