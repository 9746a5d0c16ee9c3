"""A cohort in blocks: as the whole, whoever works; and no more is held than a block."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch

import tiny
from pipeline.files import BadInput
from pipeline.parallel import Inline, use_backend
from pipeline.risks.evasion.measure import blocks
from pipeline.risks.evasion.measure.blocks import (
    SENT,
    beside_in_blocks,
    blocks_of,
    examine_in_blocks,
    load_examination,
    rows_in_blocks,
    sent_to,
)
from pipeline.risks.evasion.measure.everyone import attack_everyone
from pipeline.risks.evasion.measure.examination import Examination, examine
from pipeline.risks.evasion.measure.told import Told

SIZE, SUITE = 25, ("noise", "fgsm", "pgd_margin")


@pytest.fixture(scope="module")
def asked(cfg):
    """One threat, three attacks, no proofs."""
    return cfg.model_copy(
        update={
            "attack": {name: cfg.attack[name] for name in SUITE},
            "threat": {"clinical": cfg.threat["clinical"]},
            "audit": cfg.audit.model_copy(update={"proofs": False, "block": SIZE}),
        }
    )


@pytest.fixture(scope="module")
def cohort():
    data = tiny.records(90, seed=4, missing=0.05)
    return data, tiny.plan(data, seeds=2)


@pytest.fixture(scope="module")
def models(cohort):
    return replace(tiny.population(cohort[1].size, seed=2), labels=cohort[1].labels)


def made(place, models, cohort, asked, transfer=None):
    (place / "evasion").mkdir(parents=True)
    cut = blocks_of(cohort[1], asked.audit.block, asked.seed)
    examine_in_blocks(models, *cohort, asked, place, blocks=cut, transfer=transfer)
    return load_examination(place / "evasion")


@pytest.fixture(scope="module")
def in_blocks(tmp_path_factory, models, cohort, asked):
    place = tmp_path_factory.mktemp("blocks") / "attack"
    return place, made(place, models, cohort, asked)


@pytest.fixture(scope="module")
def whole(models, cohort, asked):
    return examine(models, *cohort, asked)[0]


def test_blocks_hold_everybody_who_is_scored_once(cohort):
    plan = replace(cohort[1], held_out=cohort[1].held_out & (torch.arange(90) < 70))
    cut = blocks_of(plan, SIZE, 0)
    assert [len(one) for one in cut] == [25, 25, 20]
    assert torch.cat(cut).sort().values.tolist() == list(range(70))
    assert all((one.diff() > 0).all() for one in cut)
    assert cut[0].tolist() != list(range(25))  # a block is a random sample
    assert [one.tolist() for one in blocks_of(plan, 70, 0)] == [list(range(70))]
    assert torch.equal(blocks_of(plan, SIZE, 0)[1], cut[1])
    assert not torch.equal(blocks_of(plan, SIZE, 1)[1], cut[1])


def test_blocks_say_what_the_whole_says(in_blocks, whole):
    """Attacks that draw nothing leave the same margins, but for the rounding of other products."""
    _, found = in_blocks
    assert found.told.patients.tolist() == whole.told.patients.tolist()
    assert found.told.models == whole.told.models
    pd.testing.assert_frame_equal(
        found.told.named.drop(columns="broken"), whole.told.named.drop(columns="broken")
    )
    own, wanted = found.margins["clinical"], whole.margins["clinical"]
    assert own.y.tolist() == wanted.y.tolist()
    assert own.eps.tolist() == wanted.eps.tolist()
    assert list(own.by_attack) == list(wanted.by_attack)
    np.testing.assert_array_equal(own.cut, wanted.cut)
    for name in ("fgsm", "surrogate"):
        np.testing.assert_allclose(own.by_attack[name], wanted.by_attack[name], atol=1e-5)
    for name in ("noise", "pgd_margin"):  # unchanged records, and a start by chance
        np.testing.assert_allclose(own.by_attack[name][0], wanted.by_attack[name][0], atol=1e-5)
    assert found.diagnostics["violations"] == 0


def test_what_blocks_tell_is_what_their_rows_tell(in_blocks):
    place, found = in_blocks
    rows = pd.concat(list(rows_in_blocks(place / "evasion")))
    order = ["attack", "eps", "repetition", "patient"]
    told = Told.of(rows.sort_values(order, kind="stable"))
    for name, margins in told.margins["clinical"].by_attack.items():
        np.testing.assert_array_equal(found.told.margins["clinical"].by_attack[name], margins)
    shares = rows.groupby("attack", observed=True)["broken"].mean()
    for _, line in found.told.named.iterrows():
        assert line["broken"] == pytest.approx(shares[line["attack"]], abs=1e-12)


def test_each_block_draws_chances_of_its_own(in_blocks, models, cohort, asked):
    """As the whole would: a corner is not the same for the first patient of every block."""
    _, found = in_blocks
    noise = found.margins["clinical"].by_attack["noise"][-1]
    again = blocks_of(cohort[1], asked.audit.block, 0)
    assert len({round(float(noise[0, int(rows[0])]), 6) for rows in again}) == len(again)


def test_two_processes_write_the_same_bytes(
    two_threads, in_blocks, models, cohort, asked, tmp_path
):
    place, _ = in_blocks
    made(tmp_path / "attack", models, cohort, asked)
    files = [file.relative_to(place) for file in place.rglob("*") if file.is_file()]
    assert len(files) == 4 * 4  # rows, diagnostics, cut and adversarial records of each block
    for file in files:
        assert (tmp_path / "attack" / file).read_bytes() == (place / file).read_bytes(), file


@pytest.mark.slow
def test_tasks_of_ray_write_the_same_bytes(two_threads, in_blocks, models, cohort, asked, tmp_path):
    pytest.importorskip("ray", reason="Ray is an extra: docs/scale.md")
    place, _ = in_blocks
    use_backend("ray")
    try:
        made(tmp_path / "attack", models, cohort, asked)
    finally:
        use_backend("processes")
    files = [file.relative_to(place) for file in place.rglob("*") if file.is_file()]
    for file in files:
        assert (tmp_path / "attack" / file).read_bytes() == (place / file).read_bytes(), file


@pytest.mark.slow
def test_no_more_rows_are_held_than_those_of_a_block(monkeypatch, models, cohort, asked, tmp_path):
    """Of a larger cohort: every job is about a block, and is made when the one before is kept."""
    data = tiny.records(240, seed=5)
    plan, small = tiny.plan(data, seeds=2), asked.audit.model_copy(update={"block": 20})
    alive, most, seen = set(), [], []
    examined, saved = blocks._examine_block, Examination.save

    def watched(*job):
        found = examined(*job)
        seen.append(len(job[1].y))
        alive.add(id(found[0].rows))
        most.append(len(found[0].rows))
        return found

    def kept(one, folder):
        alive.discard(id(one.rows))
        saved(one, folder)
        assert len(alive) <= Inline.out

    monkeypatch.setattr(blocks, "_examine_block", watched)
    monkeypatch.setattr(Examination, "save", kept)
    loaded = made(tmp_path / "a", models, (data, plan), asked.model_copy(update={"audit": small}))
    assert seen == [20] * 12
    attacks, radii, seeds = len(SUITE) + 1, len(asked.audit.eps), 2
    assert max(most) == 20 * attacks * radii * seeds
    assert len(loaded.rows) == 0
    assert len(loaded.told.patients) == 240


def test_records_are_sent_to_the_block_of_the_same_patients(
    in_blocks, models, cohort, asked, tmp_path
):
    place, undefended = in_blocks
    found = made(tmp_path / "examine", models, cohort, asked, transfer=place)
    assert not (tmp_path / "examine" / SENT).exists()
    sent = found.margins["clinical"].by_attack["transfer"]
    worst = np.minimum.reduce(list(undefended.margins["clinical"].by_attack.values()))
    np.testing.assert_allclose(sent, worst, atol=1e-4)  # of the same models
    with pytest.raises(BadInput, match="other patients"):
        sent_to(place, 0, blocks_of(cohort[1], SIZE, 1)[0])


@pytest.mark.slow
def test_proofs_of_blocks_are_those_of_the_whole(models, cohort, asked, tmp_path):
    threat = asked.threat["clinical"].model_copy(update={"boxes": 20})
    proved = asked.model_copy(
        update={
            "threat": {"clinical": threat},
            "attack": {"fgsm": asked.attack["fgsm"]},
            "audit": asked.audit.model_copy(update={"proofs": True, "block": 50}),
        }
    )
    found, (wanted, _) = (
        made(tmp_path / "a", models, cohort, proved),
        examine(models, *cohort, proved),
    )
    own, other = found.proofs["clinical"], wanted.proofs["clinical"]
    assert torch.equal(own.patients, other.patients)
    for name in ("margin", "robust_below", "breaks_at", "alone"):
        torch.testing.assert_close(
            getattr(own, name), getattr(other, name), atol=1e-4, rtol=0, equal_nan=True
        )
    torch.testing.assert_close(found.least.margins, wanted.least.margins, atol=1e-3, rtol=0)


def test_beside_the_suite_everybody_is_attacked_in_blocks_as_at_once(models, cohort, asked):
    beside = asked.audit.model_copy(update={"sample": 40})
    cfg = asked.model_copy(update={"audit": beside})
    found = beside_in_blocks(attack_everyone, models, *cohort, cfg)
    whole = attack_everyone(models, *cohort, cfg)
    assert (found.eps, found.y.tolist()) == (whole.eps, whole.y.tolist())
    assert list(found.margins) == list(whole.margins)
    for name in ("none", "fgsm"):  # neither draws anything
        torch.testing.assert_close(found.margins[name], whole.margins[name], atol=1e-5, rtol=0)
    at_once = cfg.model_copy(update={"audit": beside.model_copy(update={"block": 90})})
    again = beside_in_blocks(attack_everyone, models, *cohort, at_once)
    assert torch.equal(again.margins["pgd_margin"], whole.margins["pgd_margin"])


@dataclass(frozen=True)
class Counted:
    draws: int
    y: torch.Tensor
    by: dict[str, torch.Tensor]


def count(population, dataset, plan, cfg, block):
    """Who asks says what of each patient, and in which block."""
    y, number = dataset.y.double(), torch.full((2, len(dataset.y)), block)
    return Counted(7, y, {"x": dataset.x[:, 0].expand(3, 2, -1), "block": number})


def test_what_is_found_of_blocks_is_put_together_by_patient(models, cohort, asked):
    found = beside_in_blocks(count, models, *cohort, asked)
    assert found.draws == 7
    assert found.y.tolist() == cohort[0].y.tolist()
    assert tiny.same_bits(found.by["x"], cohort[0].x[:, 0].expand(3, 2, -1).contiguous())
    for number, rows in enumerate(blocks_of(cohort[1], SIZE, asked.seed)):
        assert set(found.by["block"][1, rows].tolist()) == {number}
    assert beside_in_blocks(lambda *_: None, models, *cohort, asked) is None
