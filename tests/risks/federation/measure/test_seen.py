"""What a server reads: the record behind one gradient, and every kind as asked."""

import pytest
import torch

import tiny
from pipeline.defenses.federated.sites import hospitals_of
from pipeline.risks.federation.measure.seen import (
    FIRST,
    GRADIENT,
    LAST,
    PRIVATE,
    SUM,
    Seen,
    look_at_updates,
)
from risks.federation.made_up import settings

pytestmark = pytest.mark.slow


def test_single_records_are_read_and_hospitals_do_not_read_their_own(cfg, tmp_path):
    patients = tiny.records(80, seed=2, missing=0.1)
    own = settings(cfg, sites=4, rounds=2, batches=[1, 2], local_steps=[1], updates=6, search=20)
    found = look_at_updates(patients, tiny.plan(patients, seeds=1), own)
    kinds = [(kind.update, kind.records, kind.when) for kind in found.kinds]
    sent = [(GRADIENT, FIRST), (GRADIENT, LAST), ("1 steps", FIRST), (PRIVATE, FIRST)]
    sent.append(("8 private steps", FIRST))
    each = [(update, count, when) for update, when in sent for count in (1, 2)]
    assert kinds == [*each, (SUM, 4, FIRST), (SUM, 8, FIRST)]
    age = patients.x[:, tiny.SCHEMA.names.index("age")]
    for place, kind in enumerate(found.kinds):
        key = str(place)
        rows, rebuilt = found.index[key], found.rebuilt[key]
        assert rows.shape == (max(4, 6 // kind.records), kind.records)
        assert rebuilt.shape == (*rows.shape, 5)
        assert found.guess[key].isfinite().all()
        if kind.update == SUM:  # as many of each hospital, and the control is of nobody of them
            held = hospitals_of(patients, 4, "age").of[rows]
            for hospital in range(4):
                assert ((held == hospital).sum(1) == kind.records // 4).all()
        else:
            assert not torch.isin(found.others[key][..., 4], age[rows.flatten()]).all()
        if (kind.update, kind.records) == (GRADIENT, 1):
            x = patients.x[rows]
            near = ((rebuilt - x).abs() < 1e-2) | x.isnan()
            assert near.all()
            assert torch.equal(found.ill[key], patients.y[rows].float())
    assert found.noise.isfinite().all()
    found.save(tmp_path / "seen.safetensors")
    again = Seen.load(tmp_path / "seen.safetensors")
    assert again.kinds == found.kinds
    assert tiny.same_bits(again.rebuilt["0"], found.rebuilt["0"])
