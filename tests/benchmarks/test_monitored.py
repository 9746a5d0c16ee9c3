"""Alarms over records: none of those whom the audit asked, some of others."""

from pathlib import Path

import numpy as np
import pytest

import benchmarks.monitored as monitored
from benchmarks.streams import MEASURED
from pipeline.files import read_json
from pipeline.serving.honest import honest_rates

KEPT = Path(monitored.__file__).with_name("monitored.json")
N, S = 300, 2


@pytest.fixture(scope="module")
def audited():
    drawn = np.random.default_rng(0)
    y = np.arange(N) % 3 == 0
    score = np.clip(drawn.normal(0.3 + 0.3 * y, 0.15, (S, N)), 0, 1)
    seen = {"decision": (score > 0.5).astype(int), "score": score}
    seen |= {"referred": abs(score - 0.5) < 0.04, "near": abs(score - 0.5) < 0.08}
    inputs = {"age": drawn.integers(20, 80, N).astype(float)}
    honest = honest_rates(y=y.astype(int), alarmed=seen["referred"], inputs=inputs, **seen)
    return honest, seen, inputs, y


def test_shuffled_patients_raise_nothing_and_the_youngest_do(audited, monkeypatch):
    monkeypatch.setattr(monitored, "SHUFFLED", 800)
    kinds = monitored.patients(audited[2], audited[3])
    assert list(kinds) == ["shuffled", "youngest quarter", "oldest quarter", "the ill alone"]
    found = monitored.replayed(*audited, kinds["shuffled"], True)
    assert (found["alarms"], found["first"]) == ({}, None)
    found = monitored.replayed(*audited, kinds["youngest quarter"], False)
    assert set(found["alarms"]) == {"inputs/age"}
    assert 5 < found["first"] < 100
    assert "inputs/age 7" in monitored.monitored_table(
        [found | {"defense": "none", "patients": "young", "of": 75}]
    )


@pytest.mark.parametrize("name", MEASURED)
def test_delays_are_at_the_rates_that_were_measured(name):
    defense, what = name.split(", ")
    entry = next(one for one in read_json(KEPT) if one["defense"] == defense)
    assert [*MEASURED[name][:2]] == entry["honest"][{"referrals": "referred"}.get(what, what)]
