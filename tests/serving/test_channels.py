"""What each stream hears, and what it is held against."""

import numpy as np
import pytest

from pipeline.config.serving import CHANNELS
from pipeline.serving.channels import Confirmed, Query, Settings, Watched, streams_of
from pipeline.serving.honest import Bins, Honest, Share
from pipeline.statistics.streams import most

HONEST = Honest(
    patients=768,
    referred=Share(61, 768),
    near=Share(90, 700),
    missed=Share(100, 250),
    wrong=Share(160, 700),
    scores=Bins((0.2, 0.4, 0.6, 0.8), (150, 150, 150, 160, 158), 768),
    inputs={"glucose": Bins((100.0, 140.0), (250, 260, 258), 768)},
)
STREAMS = dict(streams_of(Settings(), HONEST))
HEARD = {"referrals", "near", "clients/referrals", "clients/near", "admission", "clients/kin"} | {
    "clients/hasty",
    "scores",
    "inputs/glucose",
}


def heard(event):
    found = {name: stream.hears(event) for name, stream in STREAMS.items()}
    return {name: one for name, one in found.items() if one is not None}


def test_every_channel_has_a_stream_and_every_stream_a_channel():
    assert all(isinstance(made, Watched) for made in STREAMS.values())
    assert {made.channel for made in STREAMS.values()} == set(CHANNELS)
    assert all(made.stream == name for name, made in STREAMS.items())
    assert all(name.split("/")[0] == made.channel for name, made in STREAMS.items())
    assert {name for name, made in STREAMS.items() if made.of_clients} == {
        name for name in STREAMS if name.startswith("clients/")
    }


def test_a_whole_query_is_heard_by_all_but_labels():
    known = Query("ward", True, False, True, 0.45, {"glucose": 141.0}, False, True)
    assert set(heard(known)) == HEARD == {name for name in STREAMS if not name.startswith("labels")}
    assert heard(known)["scores"] == heard(known)["inputs/glucose"] == 2
    assert heard(known)["near"] == heard(known)["clients/hasty"] == 1
    assert (
        heard(known)["referrals"] == heard(known)["admission"] == heard(known)["clients/kin"] == 0
    )


def test_of_what_is_not_known_nothing_is_heard():
    assert heard(Query("ward", False)) == {"admission": 1}
    referred = Query("ward", True, True, score=0.5, inputs={"glucose": None, "other": 3.0})
    assert set(heard(referred)) == {"admission", "referrals", "clients/referrals", "scores"}
    assert "inputs/glucose" not in heard(Query("ward", True, inputs={"glucose": float("nan")}))


@pytest.mark.parametrize(
    ("ill", "answered_ill", "said"),
    [
        (True, False, {"labels/missed": 1, "labels/wrong": 1}),
        (True, True, {"labels/missed": 0, "labels/wrong": 0}),
        (False, True, {"labels/wrong": 1}),
        (False, False, {"labels/wrong": 0}),
    ],
)
def test_a_confirmed_diagnosis_is_heard_by_labels_alone(ill, answered_ill, said):
    assert heard(Confirmed(ill, answered_ill)) == said


def test_nulls_are_the_upper_limits_of_the_audit_or_declared():
    assert STREAMS["referrals"].honest == most(61, 768, 0.95)
    assert STREAMS["clients/referrals"].honest == pytest.approx(most(61, 768, 0.95) + 0.1)
    assert STREAMS["labels/missed"].honest == most(100, 250, 0.95)
    assert STREAMS["admission"].honest == Settings().admission
    assert STREAMS["scores"].honest is None
    assert "61 of 768" in STREAMS["referrals"].source
    assert STREAMS["clients/kin"].source == "declared by the policy"
    for name, made in STREAMS.items():
        if made.honest is not None:
            assert np.all(made.bets.honest == made.honest), name
            assert np.all(made.bets.stake > 0), name


def test_what_the_audit_lacks_says_so():
    less = Honest(9, None, Share(10, 10), None, Share(12, 40), None)
    found = dict(streams_of(Settings(), less))
    assert "fewer than 10" in found["referrals"]
    assert "fewer than 10" in found["labels/missed"]
    assert "no rate exceeds" in found["near"]
    assert "no spread" in found["scores"]
    assert isinstance(found["labels/wrong"], Watched)
