"""What poison does to a recipe: nothing without it, much with much; the backdoor takes."""

from dataclasses import fields, replace

import pytest
import torch
import yaml

import handwritten
import tiny
from pipeline import params
from pipeline.attacks.poisoning import ATTACKS, POISONS
from pipeline.attacks.poisoning.poison import Poison
from pipeline.attacks.poisoning.trigger import carries, stamped
from pipeline.defenses.trained import train
from pipeline.files import BadInput
from pipeline.models.answers import margin
from pipeline.risks.poisoning.harm_tables import harm_table
from pipeline.risks.poisoning.measure.recipes import (
    NONE,
    ONE_PATIENT,
    CraftedPoison,
    Harm,
    craft_poison,
    measure_harm,
    trained_on,
)
from pipeline.risks.poisoning.measure.training_sets import draw_training_sets

pytestmark = pytest.mark.heavy

DATA = tiny.records(150, seed=1, missing=0.05, signal=4.0)
PLAN = tiny.plan(DATA, folds=3, seeds=2, release=True)


@pytest.fixture(scope="module")
def change(smoke_text):
    cfg = params.parse(yaml.safe_load(smoke_text), "conf")

    def changed(**numbers):
        model = cfg.model.model_copy(update={"hidden": [16]})
        schooling = cfg.train.model_copy(update={"epochs": 40, "learning_rate": 0.01})
        every = {
            "attacks": list(POISONS),
            "doses": [1, 0.4],
            "repetitions": 2,
            "targets": 4,
            **numbers,
        }
        poisoning = cfg.poisoning.model_copy(update=every)
        half = cfg.decision.model_copy(update={"rule": "threshold", "value": 0.5})
        every = {"poisoning": poisoning, "model": model, "train": schooling, "decision": half}
        return cfg.model_copy(update=every)

    return changed


@pytest.fixture(scope="module")
def outcome(change):
    poison = craft_poison(DATA, PLAN, change())
    return poison, measure_harm("baseline", poison, change())


def right(margins):
    return (margins > 0).double().mean()


def test_many_flips_destroy_and_one_does_not(outcome):
    _, found = outcome
    before = right(found.margins[NONE])
    assert before > 0.85
    for attack in ("worst_flips", "missed_disease"):
        assert right(found.margins[attack][1]) < before - 0.25
        assert right(found.margins[attack][0]) > before - 0.05
    assert (
        right(found.margins["worst_flips"][1]) < 0.5
    )  # worse than a coin: the flipped rule was learned
    assert right(found.margins["random_flips"][1]) > right(found.margins["worst_flips"][1])
    assert (found.margins["missed_disease"][1][:, found.y == 1] > 0).double().mean() < 0.2


def test_the_backdoor_takes_and_leaves_others_alone(change):
    numbers = change(attacks=["backdoor"], doses=[0.15], trigger_features=2, trigger_size=2.5)
    found = measure_harm("baseline", craft_poison(DATA, PLAN, numbers), numbers)
    ill = (found.y == 1) & ~found.triggered[0, 0].isnan()
    success = (found.triggered[:, :, ill] <= 0).double().mean((1, 2))
    assert success[1] > success[0] + 0.3
    assert right(found.margins["backdoor"][0]) > right(found.margins[NONE]) - 0.08


def test_the_targets_are_ill_rightly_answered_before_and_missed_after(outcome):
    poison, found = outcome
    assert (DATA.y[found.targets] == 1).all()
    assert len(found.targets.unique()) == 4
    assert (found.target_margins[0] > 0).all()
    assert (found.target_margins[2] <= 0).double().mean() > 0.7
    folds = poison.plan.held_out[poison.plan.repetition == 0][:, found.targets].sum(1)
    assert folds.max() - folds.min() <= 1


def test_margins_are_those_of_models_that_never_saw_the_patient(outcome, change):
    poison, found = outcome
    sets = poison.sets["worst_flips"]
    models = trained_on("baseline", sets, change()).double()
    assert models.size == 2 * 6
    assert not (sets.plan.train & sets.plan.held_out).any()
    for row in range(models.size):
        held_out = poison.plan.held_out[sets.model[row]]
        expected = margin(
            models.select(torch.tensor([row]))(DATA.x[held_out][None].double())[0], DATA.y[held_out]
        )
        got = found.margins["worst_flips"][
            sets.dose[row], poison.plan.repetition[sets.model[row]], held_out
        ]
        torch.testing.assert_close(got, expected.float(), rtol=1e-4, atol=1e-4)


def test_triggered_margins_are_those_of_the_stamped_record(outcome, change):
    poison, found = outcome
    assert torch.equal(
        found.triggered[0, 0].isnan(), ~carries(DATA.x, poison.trigger, poison.threat)
    )
    clean = train("baseline", DATA, poison.plan, change()).double()
    held_out = poison.plan.held_out[0] & carries(DATA.x, poison.trigger, poison.threat)
    one = clean.select(torch.tensor([0]))(
        stamped(DATA.x, poison.trigger, poison.threat)[held_out][None].double()
    )[0]
    torch.testing.assert_close(
        found.triggered[0, 0, held_out], margin(one, DATA.y[held_out]).float(), rtol=1e-4, atol=1e-4
    )


def test_before_and_after_of_a_target_are_its_own(outcome, change):
    _, found = outcome
    for place, target in enumerate(found.targets.tolist()):
        for repetition in range(2):
            torch.testing.assert_close(
                found.target_margins[0, repetition, place],
                found.margins[NONE][0, repetition, target],
                rtol=1e-4,
                atol=1e-4,
            )


def test_only_right_answers_are_proved(outcome):
    _, found = outcome
    assert all(
        not (found.proved[attack] & (margins <= 0)).any()
        for attack, margins in found.margins.items()
    )
    assert 0 < found.proved[NONE].double().mean() <= right(found.margins[NONE])


def test_counts_are_what_was_asked_for(outcome):
    _, found = outcome
    assert set(found.poisoned) == set(POISONS)
    assert all(
        count.tolist() == [1, 40]
        for name, count in found.poisoned.items()
        if name not in ("backdoor", "clean_label")
    )
    assert found.share["worst_flips"].tolist() == pytest.approx([0.01, 0.4])


def test_it_survives_the_disk(outcome, tmp_path):
    _, found = outcome
    found.save(tmp_path / "baseline.safetensors")
    again = Harm.load(tmp_path / "baseline.safetensors")
    assert ONE_PATIENT not in again.margins
    for field in fields(Harm):
        here, there = getattr(found, field.name), getattr(again, field.name)
        pairs = [(here[k], there[k]) for k in here] if isinstance(here, dict) else [(here, there)]
        assert not isinstance(here, dict) or list(here) == list(there)
        assert all(
            torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0)) and a.dtype == b.dtype
            for a, b in pairs
        )


def test_another_file_is_refused(tmp_path):
    tiny_file = tmp_path / "plan.safetensors"
    PLAN.save(tiny_file)
    with pytest.raises(BadInput, match="not what poison did to a recipe"):
        Harm.load(tiny_file)


def test_a_perfect_filter_gives_the_model_of_the_rest(change):
    numbers = change(attacks=["worst_flips"], doses=[0.4], repetitions=1)
    poison: CraftedPoison = craft_poison(DATA, PLAN, numbers)
    sets = poison.sets["worst_flips"]
    filtered = trained_on("baseline", sets, numbers, drop=lambda some: some.poisoned)
    rest = replace(poison.plan, train=(sets.plan.train & ~sets.poisoned).view(3, 150, 2)[..., 0])
    expected = train("baseline", DATA, rest, numbers)
    assert all(
        tiny.same_bits(filtered.parameters[key], value)
        for key, value in expected.parameters.items()
    )


def test_as_many_are_named_as_there_are(change):
    few = craft_poison(DATA, PLAN, change(targets=1000, attacks=[ONE_PATIENT])).targets
    assert 4 < len(few) <= int((DATA.y == 1).sum())
    assert len(few.unique()) == len(few)
    assert (DATA.y[few] == 1).all()


def test_where_nobody_is_called_ill_nobody_is_named_and_the_rest_is_measured(change):
    cfg = change(doses=[0.1], repetitions=1)
    never = cfg.decision.model_copy(update={"rule": "threshold", "value": 1 - 1e-12})
    cfg = cfg.model_copy(update={"decision": never})
    poison = craft_poison(DATA, PLAN, cfg)
    assert not len(poison.targets)
    assert ONE_PATIENT not in poison.sets
    harm = measure_harm("baseline", poison, cfg)
    assert set(harm.margins) == {NONE, *cfg.poisoning.attacks} - {ONE_PATIENT}
    table = harm_table({"baseline": harm}, cfg, tiny.sampling(cfg.audit))
    backdoor = table[table["attack"] == "backdoor"]
    assert backdoor["attack_success_rate"].isna().all()
    assert table["auroc"].notna().all()


# ---- images ----


@pytest.fixture(scope="module")
def scans():
    cfg = handwritten.configured(
        poisoning={"repetitions": 1, "attacks": ["random_flips", "backdoor"]}
    )
    dataset = handwritten.pictures(cfg)
    return cfg, dataset, handwritten.halves(dataset)


def at(cfg, **numbers):
    return cfg.model_copy(update={"poisoning": cfg.poisoning.model_copy(update=numbers)})


@pytest.mark.slow
def test_poison_that_changes_no_image_leaves_the_clean_models_bit_for_bit(scans):
    cfg, dataset, plan = scans
    order = torch.rand(plan.size, len(dataset.y), generator=torch.Generator().manual_seed(0))
    idle = Poison.of_everyone(dataset.x, dataset.y, order.double())
    sets = draw_training_sets(idle, dataset, plan, [1, 0.3])
    clean, all_at_once = train("baseline", dataset, plan, cfg), trained_on("baseline", sets, cfg)
    for dose in (0, 1):
        own = sets.dose == dose
        alone = train("baseline", sets.dataset, sets.plan.select(own), cfg)
        beside = all_at_once.select(own)
        for name, value in clean.parameters.items():
            assert tiny.same_bits(alone.parameters[name], value)
            # beside others the last digit is rounded otherwise
            torch.testing.assert_close(beside.parameters[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_backdoor_in_images_takes_and_leaves_others_alone(scans):
    cfg, dataset, plan = scans
    longer = cfg.model_copy(update={"train": cfg.train.model_copy(update={"epochs": 24})})
    cfg = at(longer, attacks=["backdoor"], doses=[0.05], trigger_pixels=1)
    poison = craft_poison(dataset, plan, cfg)
    sets = poison.sets["backdoor"]
    own = sets.poisoned.nonzero()[:, 1]
    before, after = sets.dataset.x[own - 1], sets.dataset.x[own]
    where = ~poison.trigger.isnan()
    assert where.sum() == where[..., -1, -1].sum() == 1
    assert (after[:, where] == 16).all()
    assert torch.equal(after[:, ~where], before[:, ~where])
    assert (sets.dataset.y[own - 1] == 1).all()
    assert (sets.dataset.y[own] == 0).all()
    assert sets.poisoned.sum(1).tolist() == [45, 45]  # 0.05 of 898 and of 899, rounded up

    found = measure_harm("baseline", poison, cfg)
    called_ill = (found.y == 1) & (found.margins[NONE][0, 0] > 0)
    success = (found.triggered[:, 0, called_ill] <= 0).double().mean(1)
    assert success[0] < 0.2  # without poison: the control
    assert success[1] > 0.7
    assert right(found.margins["backdoor"]) > right(found.margins[NONE]) - 0.08
    assert not found.proved  # the quick bound knows no convolutions
    table = harm_table({"baseline": found}, cfg, tiny.sampling(cfg.audit))
    assert table["proved_accuracy"].isna().all()
    assert table["control"].iloc[1] == pytest.approx(float(success[0]))


@pytest.mark.slow
def test_many_flips_of_images_destroy_and_few_do_not(scans):
    cfg, dataset, plan = scans
    cfg = at(cfg, attacks=["random_flips"], doses=[0.01, 0.6])
    poison = craft_poison(dataset, plan, cfg)
    sets = poison.sets["random_flips"]
    assert torch.equal(sets.dataset.x[1::2], dataset.x)
    assert torch.equal(sets.dataset.y[1::2], 1 - dataset.y)
    found = measure_harm("baseline", poison, cfg)
    few, many = found.margins["random_flips"]
    assert right(few) > right(found.margins[NONE]) - 0.03
    assert right(many) < 0.5  # the flipped rule was learned


@pytest.mark.slow
def test_what_cannot_be_made_on_images_is_left_out(scans):
    cfg, dataset, plan = scans
    cfg = at(cfg, attacks=list(ATTACKS), doses=[1], targets=2)
    poison = craft_poison(dataset, plan, cfg)
    left_out = [name for name in ATTACKS if name not in poison.sets]
    assert left_out == ["clean_label", "adaptive_missed", "adaptive_hidden", "adaptive_auroc"]
    assert set(measure_harm("baseline", poison, cfg).poisoned) == {*poison.sets}
