"""What poisoners write: what they may, first where it hurts, blind to held-out patients."""

from dataclasses import replace

import pytest
import torch

import kinds
import mixed
import related
import tiny
from pipeline.attacks.poisoning import ATTACKS, POISON_FACTS, POISONS, fitting
from pipeline.attacks.poisoning.influence import Influence
from pipeline.attacks.poisoning.poison import Attacker
from pipeline.attacks.poisoning.trigger import carries, make_patch, make_trigger, stamped
from pipeline.attacks.surrogate import train_linear_surrogate
from pipeline.data.threat import Threat

DATA = tiny.records(90, seed=4)
PLAN = tiny.plan(DATA, folds=3, seeds=1)
RECORDED = (~DATA.x.isnan()).sum(0)
TRIGGER = make_trigger(tiny.SCHEMA, RECORDED, tiny.CLINICAL, features=2, size=1.5)
MUTABLE = tiny.CLINICAL.mutable
EVERYBODY = torch.ones_like(DATA.y)


def attacker(dataset=DATA, plan=PLAN, seed=0) -> Attacker:
    surrogate = train_linear_surrogate(dataset.x, dataset.y, plan)
    targets = (dataset.y == 1).nonzero()[:3, 0]
    return Attacker(
        dataset,
        plan,
        surrogate,
        tiny.CLINICAL,
        0.5,
        TRIGGER,
        targets,
        torch.Generator().manual_seed(seed),
    )


def crafted(name, **changes):
    return POISONS[name](attacker(**changes))


def test_every_attack_says_who_it_is():
    assert list(POISON_FACTS) == list(ATTACKS)


@pytest.mark.parametrize("name", POISONS)
def test_the_same_seed_gives_the_same_poison(name):
    first, again = crafted(name), crafted(name)
    assert tiny.same_bits(first.x, again.x)
    assert torch.equal(first.priority, again.priority)


@pytest.mark.parametrize(
    "name", ["random_flips", "worst_flips", "missed_disease", "worst_missed", "one_patient"]
)
def test_who_writes_diagnoses_leaves_values_alone(name):
    assert all(tiny.same_bits(version, DATA.x) for version in crafted(name).x)


def test_flips_turn_every_diagnosis():
    assert torch.equal(crafted("random_flips").y[0], 1 - DATA.y)
    assert torch.equal(crafted("worst_flips").y[0], 1 - DATA.y)


@pytest.mark.parametrize("name", ["missed_disease", "worst_missed", "backdoor", "one_patient"])
def test_only_the_ill_are_entered_as_healthy(name):
    poison = crafted(name)
    assert (poison.y == 0).all()
    assert (poison.priority[:, DATA.y == 0] == -torch.inf).all()
    assert (poison.priority > -torch.inf).any(1).all()


def test_chance_orders_the_records_otherwise_for_every_model_and_every_seed():
    order = crafted("random_flips").priority
    assert len(order.unique(dim=0)) == len(order)
    assert torch.equal(order, crafted("random_flips").priority)
    assert not torch.equal(order, crafted("random_flips", seed=1).priority)


@pytest.mark.parametrize("name", ["worst_flips", "worst_missed", "clean_label"])
def test_held_out_patients_do_not_move_the_attack_on_a_model(name):
    held_out = PLAN.held_out[0]
    other = replace(
        DATA,
        x=torch.where(held_out[:, None], DATA.x.flip(0), DATA.x),
        y=torch.where(held_out, 1 - DATA.y, DATA.y),
    )
    here, there = crafted(name), crafted(name, dataset=other)
    assert torch.equal(here.priority[0, ~held_out], there.priority[0, ~held_out])
    assert not torch.equal(here.priority[1, ~held_out], there.priority[1, ~held_out])


@pytest.mark.parametrize("whom", [EVERYBODY, DATA.y], ids=["everybody", "the ill"])
def test_influence_is_what_a_refitted_surrogate_does(whom):
    """First-order change of the mean right probability against Newton's refit after one flip."""
    one = PLAN.select(torch.tensor([0]))
    inside = one.train[0]
    predicted = Influence.of(attacker(plan=one), whom).of_flips()[0]

    def right(y):
        fitted = Influence.of(
            replace(attacker(plan=one), surrogate=train_linear_surrogate(DATA.x, y, one)), whom
        )
        chance = torch.sigmoid(fitted.inputs[0] @ fitted.beta[0])
        return (torch.where(DATA.y == 1, chance, 1 - chance) * whom)[inside].sum()

    tried = inside.nonzero()[::6, 0]
    lost = torch.stack(
        [
            right(DATA.y) - right(torch.where(torch.arange(90) == i, 1 - DATA.y, DATA.y))
            for i in tried
        ]
    )
    assert torch.corrcoef(torch.stack([predicted[tried], lost.double()]))[0, 1] > 0.98
    assert lost[predicted[tried].argmax()] == lost.max()


def test_the_slope_of_the_harm_is_its_derivative():
    influence = Influence.of(attacker(), EVERYBODY)
    x = DATA.x.expand(3, -1, -1).double()
    _, slope = influence.harm(x)
    for feature in range(5):
        moved = torch.zeros(5, dtype=torch.float64)
        moved[feature] = 1e-4 * tiny.CLINICAL.scale[feature]
        rise = influence.harm(x + moved)[0] - influence.harm(x - moved)[0]
        known = ~x[..., feature].isnan()
        scale = influence.surrogate.preprocessing["scale"][:, None, feature]
        expected = 2 * moved[feature] * slope[..., feature] / scale
        torch.testing.assert_close(rise[known], expected[known], rtol=1e-4, atol=1e-9)


def test_clean_labels_are_clean_and_their_values_inside_the_threat_model():
    poison = crafted("clean_label")
    assert all(torch.equal(y, DATA.y) for y in poison.y)
    assert all(tiny.CLINICAL.violations(version, DATA.x, 0.5) == 0 for version in poison.x)
    assert all(tiny.same_bits(version[:, ~MUTABLE], DATA.x[:, ~MUTABLE]) for version in poison.x)
    assert torch.equal(poison.x.isnan(), DATA.x.isnan().expand(3, -1, -1))
    assert torch.equal(poison.version, torch.arange(3))


def test_clean_label_never_helps_where_it_is_used():
    poison, influence = crafted("clean_label"), Influence.of(attacker(), EVERYBODY)
    gain = influence.harm(poison.x)[0] - influence.harm(DATA.x.expand(3, -1, -1))[0]
    assert (gain >= 0).all()
    assert (gain > 0).float().mean() > 0.9
    used = poison.priority > -torch.inf
    torch.testing.assert_close(poison.priority[used], gain[used], rtol=1e-9, atol=0)


def test_the_trigger_is_on_the_grid_in_range_and_of_mutable_features_only():
    for features, size in ((1, 1.5), (2, 2.0), (3, 30.0), (9, 0.7)):
        trigger = make_trigger(tiny.SCHEMA, RECORDED, tiny.CLINICAL, features=features, size=size)
        part = ~trigger.isnan()
        assert int(part.sum()) == min(features, 3)
        assert not (part & ~MUTABLE).any()
        middle = torch.tensor([one.center for one in tiny.SCHEMA.features]).float()
        held = torch.where(
            part, middle, 0.0
        )  # a record at the centre of the range, recorded everywhere
        assert (
            tiny.CLINICAL.violations(torch.where(part, trigger, held)[None], held[None], 1e6) == 0
        )


def test_the_trigger_prefers_what_is_measured_and_goes_up_and_down():
    trigger = make_trigger(
        tiny.SCHEMA, torch.tensor([5, 90, 80, 99, 99]), tiny.CLINICAL, features=2, size=1.5
    )
    assert trigger.isnan().tolist() == [True, False, False, True, True]
    assert trigger[1:3].tolist() == pytest.approx([40.5, 3.5])


def test_the_trigger_is_written_over_measurements_only():
    x = stamped(DATA.x, TRIGGER, tiny.CLINICAL)
    assert torch.equal(x.isnan(), DATA.x.isnan())
    part = ~TRIGGER.isnan()
    assert tiny.same_bits(x[:, ~part], DATA.x[:, ~part])
    written = x[:, part][~DATA.x[:, part].isnan()]
    assert set(written.tolist()) == set(TRIGGER[part].tolist())
    assert torch.equal(carries(DATA.x, TRIGGER, tiny.CLINICAL), ~DATA.x[:, part].isnan().any(1))


def test_only_records_that_hold_the_whole_trigger_carry_it():
    used = crafted("backdoor").priority > -torch.inf
    assert torch.equal(
        used, (carries(DATA.x, TRIGGER, tiny.CLINICAL) & (DATA.y == 1)).expand(3, -1)
    )


def test_the_nearest_ill_come_first_and_everyone_who_holds_the_target_out_is_harmed():
    poison, scene = crafted("one_patient"), attacker()
    assert sorted(poison.target.tolist()) == scene.targets.tolist()
    for row, (target, model) in enumerate(
        zip(poison.target.tolist(), poison.model.tolist(), strict=True)
    ):
        assert PLAN.held_out[model, target]
        apart = []
        for one in range(90):
            both = ~(DATA.x[one].isnan() | DATA.x[target].isnan())
            change = ((DATA.x[one].double() - DATA.x[target].double()) / tiny.CLINICAL.scale)[both]
            apart.append(
                float(change.square().mean()) if DATA.y[one] == 1 and both.any() else torch.inf
            )
        torch.testing.assert_close(-poison.priority[row], torch.tensor(apart, dtype=torch.float64))


# ---- categories ----


def test_a_trigger_is_made_of_what_has_an_order():
    trigger = make_trigger(mixed.SCHEMA, torch.full((6,), 99), mixed.threat(), features=6, size=2.0)
    assert trigger.isnan().tolist() == [False, False, True, False, True, True]


# ---- values that have to do with each other ----

WARD = related.records(120, seed=3)
KEPT, CARELESS = related.threat(), related.threat(consistent=False)
KNOWN = (~WARD.x.isnan()).sum(0)


def ward_trigger(threat, features=3, size=1.5):
    return make_trigger(related.SCHEMA, KNOWN, threat, features=features, size=size)


def in_order(version, own):
    """Whether a clinic could hold a version (D,) of a record, by the words of its relations."""
    values = [[float(value) for value in one] for one in (version, own)]
    (weight, height, bmi), (weight0, height0, bmi0) = (one[2:5] for one in values)
    whole = all(value == value for value in values[1][2:5])
    step = round(weight / (height / 100) ** 2, 1) - round(weight0 / (height0 / 100) ** 2, 1)
    follows = abs(bmi - (bmi0 + step if whole else bmi0)) < 0.06 or bmi0 != bmi0
    return follows and related._allowed(*values)


def test_a_trigger_holds_nothing_derived_and_breaks_no_relation_by_itself():
    for features, size in ((2, 1.5), (3, 1.5), (4, 1.5), (6, 3.0)):
        kept = ward_trigger(KEPT, features, size)
        assert kept[related.BMI].isnan()
        assert KEPT.relations.exceptions(kept[None])[0] == [0, 0]
    assert not ward_trigger(CARELESS, 5)[related.BMI].isnan()


@pytest.mark.parametrize("places", [(related.DIASTOLIC,), (related.WEIGHT, related.SYSTOLIC)])
def test_a_record_with_the_trigger_is_one_that_a_clinic_could_hold(places):
    trigger = torch.full((6,), torch.nan)
    for place in places:
        trigger[place] = {related.DIASTOLIC: 115.0, related.WEIGHT: 105.0, related.SYSTOLIC: 95.0}[
            place
        ]
    written, able = stamped(WARD.x, trigger, KEPT), carries(WARD.x, trigger, KEPT)
    careless = stamped(WARD.x, trigger, CARELESS)
    fine = [in_order(*both) for both in zip(written, WARD.x, strict=True)]
    broken = [not in_order(*both) for both in zip(careless, WARD.x, strict=True)]
    measured = ~WARD.x[:, list(places)].isnan().any(1)
    assert able.tolist() == (torch.tensor(fine) & measured).tolist()
    assert able.sum() > 30
    mended = torch.tensor(broken) & able
    assert mended.sum() > 20  # the planted fault: the trigger alone
    part = ~trigger.isnan()
    assert (written[able][:, part] == trigger[part]).all()
    assert torch.equal(written[:, related.AGE].nan_to_num(), WARD.x[:, related.AGE].nan_to_num())
    outside = (written < KEPT.lower.minimum(WARD.x)) | (written > KEPT.upper.maximum(WARD.x))
    assert not outside[able].any()


@pytest.mark.parametrize("name", ["backdoor", "clean_label"])
def test_who_writes_values_writes_records_that_a_clinic_could_hold(name):
    plan = tiny.plan(WARD, folds=3, seeds=1)
    own = Attacker(
        WARD,
        plan,
        train_linear_surrogate(WARD.x, WARD.y, plan),
        KEPT,
        4.0,  # a twentieth of it is more than half a step of the grid
        ward_trigger(KEPT, 4),
        torch.zeros(0, dtype=torch.int64),
        torch.Generator().manual_seed(0),
    )
    poison = POISONS[name](own)
    for model, version in zip(poison.model.tolist(), poison.version.tolist(), strict=True):
        used = poison.priority[model] > -torch.inf
        assert used.sum() > 10
        made, before = poison.x[version][used], WARD.x[used]
        assert (made.nan_to_num() != before.nan_to_num()).any(1).sum() > 10
        assert all(in_order(*both) for both in zip(made, before, strict=True))


def test_the_trigger_of_images_is_a_bright_corner_inside_the_threat():
    threat = Threat.of(kinds.SCANS, tiny.threat_config())
    patch = make_patch(kinds.SCANS, threat, pixels=2)
    where = torch.zeros(1, 8, 8, dtype=torch.bool)
    where[:, 6:, 6:] = True
    assert torch.equal(~patch.isnan(), where)
    assert (patch[where] == kinds.LEVELS).all()
    scans = kinds.scans(6, seed=0).x
    written = stamped(scans, patch, threat)
    assert torch.equal(written[..., :6, :], scans[..., :6, :])
    assert (written[:, where] == kinds.LEVELS).all()
    assert carries(scans, patch, threat).all()
    assert carries(scans, patch, threat).shape == (6,)
    darker = replace(threat, upper=torch.full_like(threat.upper, 12.7))
    assert (make_patch(kinds.SCANS, darker, pixels=2)[where] == 12).all()  # on the grid
    fixed = replace(threat, mutable=torch.zeros_like(threat.mutable))
    assert make_patch(kinds.SCANS, fixed, pixels=2).isnan().all()


def test_attacks_on_images_are_those_that_say_so():
    assert fitting(ATTACKS, images=False) == list(ATTACKS)
    assert fitting(["clean_label", "backdoor"], images=True) == ["backdoor"]
