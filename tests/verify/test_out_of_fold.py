"""What is proved about patients: who is judged by whom, and what counts at a radius.

Files hold nothing else.
"""

from dataclasses import fields, replace

import pytest
import torch

import tiny
from kinds import ScoresOnly
from pipeline.files import BadInput, write_tensors
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.parallel import Inline, workers
from pipeline.verify import verify, why_no_proof
from pipeline.verify.network import Network
from pipeline.verify.out_of_fold import Proofs, ProofSearch, proofs_out_of_fold
from tiny import CLINICAL, SPARSE, UNCONSTRAINED, same_bits

pytestmark = pytest.mark.heavy

LARGEST = {"clinical": 0.5, "unconstrained": 0.5, "sparse": 2.0}
THREATS = {"clinical": CLINICAL, "unconstrained": UNCONSTRAINED, "sparse": SPARSE}
ANYWHERE = replace(UNCONSTRAINED, norm="l0")
BUDGET = 60


def verified():
    generator = torch.Generator().manual_seed(0)
    inf, nan = torch.inf, torch.nan
    return Proofs(
        patients=torch.tensor([3, 0, 7]),
        y=torch.tensor([1, 0, 1]),
        margin=torch.randn(2, 3, generator=generator, dtype=torch.float64),
        robust_below=torch.tensor([[0.1, 0.0, inf], [0.2, 0.3, 0.4]], dtype=torch.float64),
        breaks_at=torch.tensor([[0.2, 0.0, inf], [0.2, 0.3, inf]], dtype=torch.float64),
        counterexample=torch.tensor([[[1.5, nan]] * 3] * 2),
        counter_margin=torch.randn(2, 3, generator=generator, dtype=torch.float64),
        alone=torch.tensor([[[inf, nan]] * 3] * 2, dtype=torch.float64),
        alone_value=torch.full((2, 3, 2), nan, dtype=torch.float64),
        typical_margin=torch.randn(2, 3, generator=generator, dtype=torch.float64),
    )


def tensors(one):
    held = {field.name: getattr(one, field.name) for field in fields(one)}
    return {name: tensor for name, tensor in held.items() if tensor is not None}


def test_everything_reads_back_bit_for_bit(tmp_path):
    one = verified()
    one.save(tmp_path / "clinical.safetensors")
    again = Proofs.load(tmp_path / "clinical.safetensors")
    for name, tensor in tensors(one).items():
        other = getattr(again, name)
        assert other.dtype == tensor.dtype, name
        assert torch.equal(other.view(torch.uint8), tensor.view(torch.uint8)), (
            name
        )  # missing values and infinities included


def test_the_same_results_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        verified().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "change",
    [lambda t: t.pop("alone"), lambda t: t.update(more=torch.zeros(1))],
    ids=["lacks", "more"],
)
def test_another_file_is_not_taken_for_it(tmp_path, change):
    content = tensors(verified())
    change(content)
    write_tensors(tmp_path / "other", content)
    with pytest.raises(BadInput, match=r"other: not what was proved .*dvc repro"):
        Proofs.load(tmp_path / "other")


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(BadInput, match=r"none: cannot be read .*dvc repro"):
        Proofs.load(tmp_path / "none")


# ---- radii ----


def of_radii(robust_below, breaks_at):
    robust, broken = (
        torch.tensor([radii], dtype=torch.float64) for radii in (robust_below, breaks_at)
    )
    nothing = torch.zeros(1, len(robust_below), 1)
    count = torch.arange(len(robust_below))
    return Proofs(
        count,
        0 * count,
        robust,
        robust,
        broken,
        nothing + 7,
        broken,
        nothing.double(),
        nothing.double(),
        broken,
    )


def test_at_the_border_a_record_is_within_reach_and_below_it_is_not():
    one = of_radii([0.0, 0.1, 0.1, 0.2, torch.inf], [0.0, 0.1, 0.2, 0.2, torch.inf])
    radii = [0.0, 0.0999, 0.1, 0.1001, 0.2]
    assert one.robust_at(radii)[:, 0].int().tolist() == [
        [0, 1, 1, 1, 1],
        [0, 1, 1, 1, 1],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 0, 1],
    ]
    assert one.broken_at(radii)[:, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0],
    ]


def test_the_border_does_not_depend_on_float64():
    """3 x 0.1 is a little more than 0.3: the same radius all the same."""
    third = 3 * 0.1
    assert third > 0.3
    for distance, radius in ((third, 0.3), (0.3, third)):
        one = of_radii([distance], [distance])
        assert one.broken_at([radius]).all()
        assert not one.robust_at([radius]).any()
    assert of_radii([0.3001], [0.3001]).robust_at([0.3]).all()


def test_the_record_at_a_radius_is_the_counterexample_within_it():
    one = of_radii([0.0, 0.2, torch.inf], [0.0, 0.2, torch.inf])
    x = torch.arange(3.0)[:, None]
    assert one.records_at([0.0, 0.2], x)[:, 0, :, 0].tolist() == [[7, 1, 2], [7, 7, 2]]


# ---- a population ----


@pytest.fixture(scope="module")
def dataset():
    return tiny.records(40, seed=0)


def proof(
    models,
    dataset,
    plan,
    threat,
    *,
    radii=(0.0, 0.5),
    exact_to=None,
    alone=None,
    pruned=False,
    pool=None,
):
    search = ProofSearch(
        threat, list(radii), exact_to=exact_to, budget=BUDGET, alone=alone, pruned=pruned
    )
    return proofs_out_of_fold(pool or Inline(), models, dataset, plan, search)()


@pytest.fixture(scope="module")
def proofs(models, dataset, plan):
    return {
        name: proof(
            models,
            dataset,
            plan,
            threat,
            radii=(0.0, LARGEST[name]),
            alone=SPARSE if name == "clinical" else None,
        )
        for name, threat in THREATS.items()
    }


@pytest.mark.parametrize("name", THREATS)
def test_nothing_breaks_below_the_radius_that_is_proved(proofs, name):
    one = proofs[name]
    assert one.robust_below.shape == one.breaks_at.shape == (2, 40)
    assert (one.robust_below <= one.breaks_at).all()
    assert (one.breaks_at[one.breaks_at.isfinite()] <= LARGEST[name] * (1 + 1e-4)).all()
    assert torch.equal(one.breaks_at == 0, one.margin <= 0)
    assert ((one.breaks_at > 0) & one.breaks_at.isfinite()).any()


@pytest.mark.parametrize("name", THREATS)
def test_it_is_what_the_verifier_says_of_the_model_that_held_the_patient_out(
    proofs, models, dataset, plan, name
):
    one = proofs[name]
    for member in range(plan.size):
        people, repetition = plan.held_out[member].nonzero()[:, 0], plan.repetition[member]
        network = Network.of(models, member)
        alone = verify(
            network,
            dataset.x[people],
            dataset.y[people],
            THREATS[name],
            largest=LARGEST[name],
            budget=BUDGET,
        )
        assert torch.equal(one.robust_below[repetition, people], alone.robust_below)
        assert torch.equal(one.breaks_at[repetition, people], alone.breaks_at)
        assert same_bits(one.counterexample[repetition, people], alone.record)


def test_the_margin_is_that_of_the_out_of_fold_answer(proofs, models, dataset, plan):
    margins, y = margins_out_of_fold(models, dataset, plan)
    for one in proofs.values():
        torch.testing.assert_close(one.margin, margins[0], rtol=1e-9, atol=1e-9)
        assert torch.equal(one.y, y)
        assert torch.equal(one.patients, torch.arange(40))


@pytest.mark.parametrize("name", THREATS)
def test_a_counterexample_is_legal_at_its_distance_and_answered_wrongly(
    proofs, models, dataset, plan, name
):
    one, threat = proofs[name], THREATS[name]
    broken = one.breaks_at.isfinite()
    radius = torch.where(broken, one.breaks_at, 0.0)[..., None]
    assert threat.violations(one.counterexample, dataset.x, radius) == 0
    torch.testing.assert_close(
        threat.distance(one.counterexample, dataset.x), radius[..., 0], rtol=1e-4, atol=1e-4
    )
    assert (one.counter_margin[broken] <= 0).all()
    assert (one.counter_margin[~broken] > 0).all()
    for member in range(plan.size):
        people, repetition = plan.held_out[member].nonzero()[:, 0], plan.repetition[member]
        alone = models.select(torch.tensor([member])).double()
        logits = alone(one.counterexample[repetition, people][None].double())[0]
        own = torch.where(dataset.y[people] == 1, 1, -1) * (logits[:, 1] - logits[:, 0])
        torch.testing.assert_close(
            one.counter_margin[repetition, people], own, rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize(("goal", "spared"), [("miss", 0), ("alarm", 1)])
def test_whom_the_goal_spares_nothing_breaks(models, dataset, plan, proofs, goal, spared):
    one = proof(models, dataset, plan, replace(CLINICAL, goal=goal))
    free = (dataset.y == spared).expand(2, -1)
    right = one.margin > 0
    assert one.breaks_at[free & right].isinf().all()
    assert one.robust_below[free & right].isinf().all()
    assert (one.breaks_at[free & ~right] == 0).all()  # wrong as it is
    assert same_bits(one.counterexample[free], dataset.x.expand(2, -1, -1)[free])
    for name in ("robust_below", "breaks_at"):
        assert torch.equal(getattr(one, name)[~free], getattr(proofs["clinical"], name)[~free])
    assert proofs["clinical"].breaks_at[free & right].isfinite().any()


def test_beyond_the_radius_up_to_which_it_looks_nobody_is_proved_safe(
    models, dataset, plan, proofs
):
    near, whole = proof(models, dataset, plan, CLINICAL, exact_to=0.2), proofs["clinical"]
    radii = [0.0, 0.1, 0.2, 0.21, 0.5]
    assert torch.equal(near.robust_at(radii)[:3], whole.robust_at(radii)[:3])
    assert torch.equal(near.broken_at(radii)[:3], whole.broken_at(radii)[:3])
    assert whole.robust_at(radii)[3:].any()
    assert not near.robust_at(radii)[3:].any()
    assert (near.robust_below <= near.breaks_at).all()


# ---- one measurement alone ----


def test_single_measurements_are_looked_for_only_when_asked(models, dataset, plan, proofs):
    assert proofs["sparse"].alone.isnan().all()
    assert proofs["sparse"].alone_value.isnan().all()
    assert not proofs["clinical"].alone.isnan().all()


def test_a_measurement_without_a_plausible_range_cannot_be_tried_over_all_of_it(
    models, dataset, plan
):
    one = proof(models, dataset, plan, UNCONSTRAINED, radii=(0.0, 0.05), alone=ANYWHERE)
    assert one.alone.isnan().all()
    assert one.alone_value.isnan().all()


def test_a_measurement_that_is_missing_or_may_not_be_changed_has_no_answer(proofs, dataset):
    nobody = (dataset.x.isnan() | ~CLINICAL.mutable).expand(2, -1, -1)
    assert torch.equal(proofs["clinical"].alone.isnan(), nobody)


def test_a_value_that_suffices_alone_does_and_there_is_one_where_one_forged_measurement_is_enough(
    proofs, models, dataset, plan
):
    one = proofs["clinical"]
    right = one.margin > 0
    enough = one.alone.isfinite() & right[..., None]
    assert torch.equal(enough.any(-1), right & (proofs["sparse"].breaks_at == 1))
    assert enough.any()
    assert torch.equal(one.alone_value.isfinite(), one.alone.isfinite())
    for repetition, patient, feature in enough.nonzero().tolist():
        member = int((plan.held_out[:, patient] & (plan.repetition == repetition)).nonzero())
        forged = dataset.x[patient].double()
        forged[feature] = one.alone_value[repetition, patient, feature]
        logits = models.select(torch.tensor([member])).double()(forged[None, None])[0, 0]
        assert logits.argmax() != dataset.y[patient]
        moved = (forged[feature] - dataset.x[patient, feature].double()).abs() / CLINICAL.scale[
            feature
        ]
        assert moved.item() == pytest.approx(
            one.alone[repetition, patient, feature].item(), rel=1e-4, abs=1e-4
        )
        assert CLINICAL.lower[feature] - 1e-3 <= forged[feature] <= CLINICAL.upper[feature] + 1e-3


# ---- how far, and by whom ----


def test_beyond_the_radius_to_which_it_looks_nobody_is_proved_safe(models, dataset, plan):
    whole = proof(models, dataset, plan, CLINICAL)
    near = proof(models, dataset, plan, CLINICAL, exact_to=0.2)
    assert torch.equal(near.robust_at([0.0, 0.1, 0.2]), whole.robust_at([0.0, 0.1, 0.2]))
    assert torch.equal(near.broken_at([0.0, 0.1, 0.2]), whole.broken_at([0.0, 0.1, 0.2]))
    assert whole.robust_at([0.3]).any()
    assert not near.robust_at([0.201, 0.3, 0.5]).any()


def test_other_processes_prove_the_same_bit_for_bit(models, dataset, plan):
    inline = proof(models, dataset, plan, CLINICAL, alone=SPARSE)
    torch.set_num_threads(2)
    try:
        with workers() as pool:
            assert not isinstance(pool, Inline)
            apart = proof(models, dataset, plan, CLINICAL, alone=SPARSE, pool=pool)
    finally:
        torch.set_num_threads(1)
    for field in fields(Proofs):
        mine, theirs = getattr(inline, field.name), getattr(apart, field.name)
        if mine is None:
            assert theirs is None
            continue
        assert torch.equal(mine.nan_to_num(-1.0), theirs.nan_to_num(-1.0)), field.name


# ---- what no verifier knows ----


def test_networks_can_be_proved_and_others_say_why_not(models):
    assert why_no_proof(models) == ""
    why = why_no_proof(ScoresOnly(models))
    assert why
    assert "\n" not in why


def test_of_what_cannot_be_proved_nothing_is_proved_and_nothing_found(
    models, dataset, plan, proofs
):
    """Undecided, and no error; whoever is answered wrongly is so at radius 0."""
    beyond = proof(ScoresOnly(models), dataset, plan, THREATS["clinical"], alone=SPARSE)
    known = proofs["clinical"]
    torch.testing.assert_close(beyond.margin, known.margin, rtol=1e-12, atol=1e-9)
    wrong = beyond.margin <= 0
    assert wrong.any()
    assert not wrong.all()
    radii = [0.0, 0.5, 1e9]
    assert not beyond.robust_at(radii).any()
    assert torch.equal(beyond.broken_at(radii), wrong.expand(3, -1, -1))
    x = dataset.x.expand(3, *beyond.margin.shape, -1).contiguous()
    assert same_bits(beyond.records_at(radii, dataset.x), x)
    assert beyond.alone.isnan().all()
    for field in fields(Proofs):
        ours, theirs = getattr(beyond, field.name), getattr(known, field.name)
        if ours is None:
            assert theirs is None
            continue
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), field.name
