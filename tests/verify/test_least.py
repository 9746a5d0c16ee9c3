"""No record within reach leaves less than the bound; and the bound is what some record leaves."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

import brute
import tiny
from pipeline.attacks.evasion.gradient import fgsm, pgd
from pipeline.files import BadInput
from pipeline.models.answers import disease_score, margin
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.parallel import Inline, workers
from pipeline.statistics import rates
from pipeline.verify.least import TIGHT, Least, least_margins, least_out_of_fold
from pipeline.verify.network import Network

EPS = 0.4
PATIENTS = 30


def least_of(models, x, y, threat, eps, **how):
    return least_margins(Network.of(models, 0), x, y, threat, eps, **how)


def truth(models, x, y, threat, eps):
    """The least margin of every record that may be presented, one by one."""
    return torch.stack(
        [
            brute.margin(models, brute.everything(record, threat, eps), label).min()
            for record, label in zip(x, y.tolist(), strict=True)
        ]
    )


@pytest.fixture(scope="module")
def y():
    return tiny.records(PATIENTS, seed=8).y


@pytest.mark.parametrize("hidden", [(), (8,), (8, 6)], ids=["linear", "one", "two"])
@pytest.mark.parametrize("place", ["on the grid", "off the grid"])
def test_it_is_the_least_that_any_record_leaves(hidden, place, y):
    models = tiny.population(1, hidden=hidden)
    x = brute.on_grid(PATIENTS, brute.GRIDDED, seed=8)
    x = brute.off_grid(x, seed=1) if place == "off the grid" else x
    exact = truth(models, x, y, brute.GRIDDED, EPS)
    found = least_of(models, x, y, brute.GRIDDED, EPS, budget=2000)
    assert (found <= exact).all()
    assert (found >= exact - 2 * TIGHT).all()
    assert (exact < margin(models.double()(x[None].double())[0], y) - 0.1).any()


def test_auroc_of_the_bounds_lies_below_that_of_the_worst_records_and_that_below_the_attacks(y):
    models, threat = tiny.population(1), brute.GRIDDED
    x = brute.on_grid(PATIENTS, threat, seed=8)
    generator = torch.Generator().manual_seed(0)
    sent = pgd(
        models, x[None], y[None], threat, eps=EPS, steps=5, step_size=0.3, generator=generator
    )
    figures = [
        rates.auroc(disease_score(margins.numpy(), y.numpy()), y.numpy())
        for margins in (
            least_of(models, x, y, threat, EPS, budget=1),
            truth(models, x, y, threat, EPS),
            margin(models.double()(sent.double()), y)[0],
            margin(models.double()(x[None].double()), y)[0],
        )
    ]
    assert figures == sorted(figures)
    assert figures[0] < figures[2] < figures[3]


@pytest.mark.parametrize("threat", tiny.THREATS)
def test_of_a_linear_model_it_is_the_closed_form(threat):
    data, models = tiny.records(60, seed=4), tiny.population(1, hidden=())
    threat = tiny.THREATS[threat]
    low, high = threat.box(data.x, EPS)
    falling = tiny.slope(models, data.y[None], threat)[0] > 0
    worst = torch.where(falling, low, high)
    exact = margin(models.double()(worst[None]), data.y)[0]
    found = least_of(models, data.x, data.y, threat, EPS, budget=1)
    assert (found <= exact).all()
    torch.testing.assert_close(found, exact, rtol=0, atol=5e-5)


@pytest.mark.parametrize("hidden", [(), (8, 6)], ids=["linear", "two"])
def test_no_float32_record_of_an_attack_is_below_it_where_values_have_no_grid(hidden):
    """An attack computes its ball in float32, a little beyond the true one."""
    data, threat = tiny.records(200, seed=4), tiny.UNCONSTRAINED
    models = tiny.population(1, hidden=hidden, boost=30.0)
    for eps in (0.05, 0.3, 1.0):
        sent = fgsm(models, data.x[None], data.y[None], threat, eps=eps)
        left = margin(models.double()(sent.double()), data.y)[0]
        assert (left >= least_of(models, data.x, data.y, threat, eps, budget=20)).all()


def test_more_boxes_bring_it_nearer_from_below(y):
    models, x = tiny.population(1), brute.on_grid(PATIENTS, brute.GRIDDED, seed=8)
    steps = [least_of(models, x, y, brute.GRIDDED, 1.0, budget=boxes) for boxes in (1, 8, 64, 512)]
    for fewer, more in pairwise(steps):
        assert (fewer <= more + 1e-9).all()
        assert (fewer < more - 1e-3).any()


def test_where_nothing_may_move_it_is_the_margin(y):
    models, x = tiny.population(1), brute.on_grid(PATIENTS, brute.GRIDDED, seed=8)
    clean = margin(models.double()(x[None].double())[0], y)
    miss = replace(brute.GRIDDED, goal="miss")
    found = least_of(models, x, y, brute.GRIDDED, 0.0)
    torch.testing.assert_close(found, clean, rtol=0, atol=1e-6)
    assert (found <= clean).all()
    spared = least_of(models, x, y, miss, EPS)
    torch.testing.assert_close(spared[y == 0], clean[y == 0], rtol=0, atol=1e-6)
    assert torch.equal(spared[y == 1], least_of(models, x, y, brute.GRIDDED, EPS)[y == 1])


@pytest.mark.parametrize("norm", ["l2", "l0"])
def test_under_other_norms_it_holds_of_the_box_around_them(norm, y):
    models, x = tiny.population(1), brute.on_grid(PATIENTS, brute.GRIDDED, seed=8)
    threat, eps = replace(brute.GRIDDED, norm=norm), 1.0
    if norm == "l2":
        exact = truth(models, x, y, brute.GRIDDED, eps)  # every corner, too
    else:
        one = [truth(models, x, y, replace(brute.GRIDDED, mutable=only), 99.0) for only in _each()]
        exact = torch.stack(one).amin(0)
    assert (least_of(models, x, y, threat, eps) <= exact).all()


def _each():
    free = brute.GRIDDED.mutable
    return [(torch.arange(len(free)) == at) & free for at in free.nonzero()[:, 0].tolist()]


def test_what_rounding_leaves_no_bound_of_is_minus_infinity(y):
    models, x = tiny.population(1), brute.on_grid(PATIENTS, brute.GRIDDED, seed=8)
    huge = {name: value.double() * 1e160 for name, value in models.parameters.items()}
    found = least_of(replace(models, parameters=huge), x, y, brute.GRIDDED, EPS, budget=5)
    assert (found == -torch.inf).all()


# ---- out of fold ----


@pytest.fixture(scope="module")
def dataset():
    return tiny.records(61, seed=0)


def bounds(pool, models, dataset, plan, eps):
    return least_out_of_fold(pool, models, dataset, plan, tiny.CLINICAL, eps)()


def test_every_patient_is_bounded_for_the_model_that_did_not_train_on_them(models, dataset, plan):
    found = bounds(Inline(), models, dataset, plan, EPS)
    assert found.eps == EPS
    assert found.margins.dtype == torch.float32
    for member in range(plan.size):
        rows = plan.held_out[member]
        exact = least_margins(
            Network.of(models, member), dataset.x[rows], dataset.y[rows], tiny.CLINICAL, EPS
        )
        kept = found.margins[int(plan.repetition[member]), rows]
        assert (kept.double() <= exact).all()
        assert (torch.nextafter(kept, torch.full_like(kept, torch.inf)).double() > exact).all()


def test_without_a_change_it_ranks_patients_as_they_are(models, dataset, plan):
    found = bounds(Inline(), models, dataset, plan, 0.0).margins.numpy()
    clean, y = margins_out_of_fold(models, dataset, plan)
    kept = [rates.auroc(disease_score(m, y.numpy()), y.numpy()) for m in (found, clean[0].numpy())]
    assert kept[0] == kept[1]
    assert (found <= clean[0].float().numpy()).all()


def test_processes_change_nothing(models, dataset, plan):
    alone = bounds(Inline(), models, dataset, plan, EPS)
    torch.set_num_threads(2)
    try:
        with workers(beside=False) as pool:
            beside = bounds(pool, models, dataset, plan, EPS)
    finally:
        torch.set_num_threads(1)
    assert tiny.same_bits(beside.margins, alone.margins)


def test_saved_and_loaded_bit_for_bit(models, dataset, plan, tmp_path):
    one = Least(0.1, torch.tensor([[1.5, -np.inf]]))
    one.save(tmp_path / "least.safetensors")
    again = Least.load(tmp_path / "least.safetensors")
    assert again.eps == one.eps
    assert tiny.same_bits(again.margins, one.margins)
    with pytest.raises(BadInput, match="other"):
        Least.load(tmp_path / "other.safetensors")
