"""Both inversions against formulas, loops, and models that know all or nothing of a record."""

import math
from dataclasses import replace

import pytest
import torch

import mixed
import tiny
from largest import Largest
from pipeline.attacks import typical
from pipeline.attacks.inversion import (
    BANDWIDTH,
    OTHER_LABEL,
    RIDGE,
    SMALLEST_SPREAD,
    answers,
    attribute_inference,
    by_side,
    candidate_values,
    ridge,
)
from pipeline.attacks.typical import compare_with_people, typical_record
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.networks import public_preprocessing
from tiny import FEATURES, SCHEMA

pytestmark = pytest.mark.heavy

CENTER = torch.tensor([feature.center for feature in SCHEMA.features], dtype=torch.float64)
SCALE = torch.tensor([feature.scale for feature in SCHEMA.features], dtype=torch.float64)
CANDIDATES = 24


def clinic(n=160, seed=0):
    """Records whose features go together, so that one tells of another."""
    data, generator = tiny.records(n, seed=seed, missing=0), torch.Generator().manual_seed(seed)
    factor = torch.randn(n, 1, generator=generator)
    missing = torch.rand(n, len(FEATURES), generator=generator) < 0.1
    x = data.x + 2 * factor * SCALE.float()
    low, high = (
        torch.tensor([getattr(f, name) for f in SCHEMA.features]) for name in ("lower", "upper")
    )
    return x.clamp(low, high).masked_fill(missing, torch.nan), data.y


def linear(weights):
    """Two-class models (V, D) whose log-odds are weights * (x - center) / scale."""
    weights = torch.as_tensor(weights, dtype=torch.float32)
    models = tiny.population(len(weights), hidden=())
    bias = torch.zeros(len(weights), 1, 2)
    parameters = {
        "weight0": torch.stack([-weights / 2, weights / 2], -1).contiguous(),
        "bias0": bias,
    }
    return replace(
        models, parameters=parameters, preprocessing=public_preprocessing(SCHEMA, len(weights))
    )


def half_of_them(victims, n, seed=5):
    return torch.rand(victims, n, generator=torch.Generator().manual_seed(seed)) < 0.5


def infer(models, x, y, member, attributes=("glucose",), candidates=CANDIDATES):
    generator = torch.Generator().manual_seed(3)
    return attribute_inference(
        models,
        Dataset(x, y, SCHEMA),
        member,
        attributes,
        candidates=candidates,
        generator=generator,
    )


def one(guesses, access, attacker, *, diagnosis=False):
    (found,) = [
        g for g in guesses if (g.access, g.attacker, g.diagnosis) == (access, attacker, diagnosis)
    ]
    return found


@pytest.fixture(scope="module")
def people():
    return clinic()


@pytest.fixture(scope="module")
def member(people):
    return half_of_them(3, len(people[0]))


@pytest.fixture(scope="module")
def guesses(people, member):
    return infer(tiny.population(3), *people, member, ("glucose", "ratio"))


# ---- what everybody can do ----


def test_guesses_come_for_every_knowledge_access_and_attacker_in_order(guesses):
    said = [(g.attribute, g.diagnosis, g.access, g.attacker) for g in guesses]
    assert said == [
        (attribute, diagnosis, access, attacker)
        for attribute in ("glucose", "ratio")
        for diagnosis in (False, True)
        for access in ("scores", "labels")
        for attacker in ("posterior", "learned")
    ]


def test_nothing_is_guessed_where_nothing_is_recorded_and_something_everywhere_else(
    guesses, people
):
    for guess in guesses:
        missing = people[0][:, SCHEMA.names.index(guess.attribute)].isnan().expand(3, -1)
        assert missing.any()
        assert torch.equal(guess.imputation.isnan(), missing)
        assert torch.equal(guess.model.isnan(), missing)


def test_imputation_is_better_than_the_mean_of_everybody(guesses, people):
    x = people[0].double()
    for guess in guesses:
        column = SCHEMA.names.index(guess.attribute)
        by_chance = ((x[:, column] - x[:, column].nanmean()) / SCALE[column]).abs().nanmean()
        assert guess.imputation.nanmean() < 0.8 * by_chance


def test_the_diagnosis_helps_where_it_depends_on_the_attribute():
    data = tiny.records(300, seed=4, signal=3.0)
    guesses = infer(tiny.population(2), data.x, data.y, half_of_them(2, 300))
    without, with_it = (
        one(guesses, "scores", "learned", diagnosis=known).imputation.nanmean()
        for known in (False, True)
    )
    assert with_it < 0.95 * without


def test_candidates_lie_on_the_grid_of_the_clinic_once_each():
    values = candidate_values(FEATURES["bmi"], 50)
    assert (values[0], values[-1]) == (12.0, 80.0)
    assert len(values) == 50
    assert torch.equal((values / 0.1).round() * 0.1, values)
    assert candidate_values(FEATURES["age"], 1000).tolist() == [
        float(age) for age in range(21, 101)
    ]
    assert torch.equal(
        candidate_values(FEATURES["ratio"], 5), torch.linspace(0, 10, 5, dtype=torch.float64)
    )


def test_an_attribute_nobody_knows_is_refused(people, member):
    with pytest.raises(ValueError):
        infer(tiny.population(3), *people, member, ("height",))


# ---- what a model adds ----


def test_a_model_that_says_the_same_of_everybody_adds_nothing(people, member):
    guesses = infer(linear(torch.zeros(3, 5)), *people, member)
    for guess in guesses:
        if guess.attacker == "posterior":
            assert torch.equal(guess.model.nan_to_num(-1), guess.imputation.nan_to_num(-1))
        torch.testing.assert_close(guess.model, guess.imputation, rtol=0, atol=1e-9, equal_nan=True)


def test_a_model_that_ignores_the_attribute_leaves_the_posterior_as_it_was(people, member):
    guesses = infer(linear([[0.0, 2, -1, 1, 3]] * 3), *people, member)
    for guess in guesses:
        if guess.attacker == "posterior":
            assert torch.equal(guess.model.nan_to_num(-1), guess.imputation.nan_to_num(-1))


def test_a_model_that_depends_on_the_attribute_helps_by_its_scores_and_less_by_its_label(
    people, member
):
    guesses = infer(linear([[3.0, 1, 0, 0, 0]] * 3), *people, member)
    for attacker in ("posterior", "learned"):
        by_score, by_label = (
            (guess.imputation - guess.model).nanmean()
            for guess in (one(guesses, a, attacker) for a in ("scores", "labels"))
        )
        assert by_score > 0.6 * one(guesses, "scores", attacker).imputation.nanmean()
        assert 0.02 < by_label < 0.5 * by_score


def test_a_steep_monotone_score_gives_the_attribute_away_up_to_the_candidates(people, member):
    x, y = people
    guess = one(
        infer(linear([[20.0, 1, 0, 0, 0]] * 3), x, y, member, candidates=100), "scores", "posterior"
    )
    values = candidate_values(FEATURES["glucose"], 100)
    to_nearest = (x[:, 0].double()[:, None] - values).abs().amin(1) / SCALE[0]
    halfway = (x[:, 0].double()[:, None] - values).abs().sort(1).values[:, 1] / SCALE[
        0
    ] - to_nearest < 0.05
    settled = (~halfway & ~x[:, 0].isnan()).expand(3, -1)
    torch.testing.assert_close(
        guess.model[settled], to_nearest.expand(3, -1)[settled], rtol=0, atol=0.01
    )
    assert settled.double().mean() > 0.5


def test_errors_are_averaged_over_the_victims_of_either_side(guesses, member):
    member = member.clone()
    member[:, 0], member[:, 1] = True, False
    found = by_side(guesses[0].model, member)
    for mean, side in zip(found, (member, ~member), strict=True):
        for patient in range(member.shape[1]):
            errors = [float(guesses[0].model[v, patient]) for v in range(3) if side[v, patient]]
            errors = [error for error in errors if error == error]
            expected = sum(errors) / len(errors) if errors else float("nan")
            assert float(mean[patient]) == pytest.approx(expected, nan_ok=True)
    assert found[1, 0].isnan()
    assert found[0, 1].isnan()


# ---- who is learned from ----


def changed_guesses(people, member, patient):
    """(V, N): whose guess by any attacker changes when one patient's attribute does.

    Not of `ratio`, where others know it."""
    x, y = people
    other = x.clone()
    other[patient, 0] = 300.0 if x[patient, 0] < 200 else 60.0
    changed = torch.zeros(member.shape, dtype=torch.bool)
    for before, after in zip(
        *(infer(tiny.population(3), records, y, member) for records in (x, other)), strict=True
    ):
        for name in ("imputation", "model"):
            a, b = getattr(before, name), getattr(after, name)
            changed |= ~(torch.isclose(a, b, rtol=0, atol=1e-12) | (a.isnan() & b.isnan()))
    return changed


def test_a_members_attribute_teaches_nobody_and_a_non_members_only_the_other_half(people, member):
    patient = int((~people[0][:, 0].isnan()).nonzero()[0])
    member = member.clone()
    member[:, patient] = torch.tensor([True, False, True])
    changed = changed_guesses(people, member, patient)
    changed[:, patient] = False  # its own errors are to another truth
    assert not changed[[0, 2]].any()
    own_half = torch.randperm(len(people[0]), generator=torch.Generator().manual_seed(3)) % 2 == 0
    own_half = own_half if own_half[patient] else ~own_half
    assert not changed[1, own_half].any()
    assert changed[1, ~own_half].any()


def test_no_record_is_guessed_from_its_own_attribute(people, member):
    """The regression's guess of a record stays where it is when that record's truth moves."""
    x, y = people
    patient = int((~x[:, 0].isnan()).nonzero()[0])
    other = x.clone()
    other[patient, 0] = 400.0
    before, after = (
        one(infer(tiny.population(3), records, y, member), "scores", "learned")
        for records in (x, other)
    )
    shift = (400.0 - x[patient, 0].double()) / SCALE[0]
    for v in range(3):
        a, b = float(before.imputation[v, patient]), float(after.imputation[v, patient])
        assert min(abs(abs(shift + sign * a) - b) for sign in (-1, 1)) < 1e-9


def test_whoever_trained_on_everybody_leaves_nobody_to_learn_from(people, member):
    member = member.clone()
    member[1] = True
    for guess in infer(tiny.population(3), *people, member):
        assert guess.imputation[1].isnan().all()
        assert guess.model[1].isnan().all()
        assert not guess.model[[0, 2]].isnan().all(1).any()


# ---- naive references ----


def naive_ridge(inputs, wanted, rows):
    """Predictions, the SD of errors of rows left out, and what each of these would get."""

    def fit(learned):
        a, b = inputs[learned], wanted[learned]
        centred = a - a.mean(0)
        beta = torch.linalg.solve(
            centred.T @ centred + RIDGE * torch.eye(a.shape[1]).double(), centred.T @ (b - b.mean())
        )
        return b.mean() + (inputs - a.mean(0)) @ beta

    indices = rows.nonzero()[:, 0]
    left_out = fit(indices)
    for index in indices.tolist():
        left_out[index] = fit(indices[indices != index])[index]
    return fit(indices), left_out, (left_out - wanted)[indices].square().mean().sqrt()


def test_ridge_equals_one_regression_after_another():
    generator = torch.Generator().manual_seed(1)
    inputs, wanted = (
        torch.randn(*shape, generator=generator).double() for shape in ((3, 40, 4), (40,))
    )
    rows = half_of_them(3, 40)
    predicted, left_out, spread = ridge(inputs, wanted, rows)
    for v in range(3):
        expected = naive_ridge(inputs[v], wanted, rows[v])
        torch.testing.assert_close(predicted[v], expected[0])
        torch.testing.assert_close(left_out[v][rows[v]], expected[1][rows[v]])
        torch.testing.assert_close(spread[v], expected[2])
    constant = torch.cat([inputs, torch.full((3, 40, 1), 7.3).double()], -1)
    torch.testing.assert_close(ridge(constant, wanted, rows)[0], predicted, rtol=0, atol=1e-9)


def test_ridge_of_an_attribute_that_never_changes_keeps_a_spread():
    inputs, rows = (
        torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(2)).double(),
        torch.ones(1, 20).bool(),
    )
    assert ridge(inputs, torch.ones(20).double(), rows)[2].tolist() == [SMALLEST_SPREAD]


def test_answers_are_those_to_records_rewritten_one_at_a_time(people):
    models, x = tiny.population(2).double(), people[0][:6].double()
    values = candidate_values(FEATURES["ratio"], 4)
    seen, if_value = answers(models, x, 2, values)
    for row in range(6):
        for k, value in enumerate([x[row, 2], *values]):
            record = x[row].clone()
            record[2] = value
            logits = models(record.expand(2, 1, -1))[:, 0]
            torch.testing.assert_close(
                seen[:, row] if k == 0 else if_value[k - 1, :, row], logits[:, 1] - logits[:, 0]
            )


@pytest.mark.parametrize("diagnosis", [False, True])
@pytest.mark.parametrize("access", ["scores", "labels"])
def test_inference_equals_a_loop_over_victims_halves_and_candidates(access, diagnosis):
    x, y = clinic(40, seed=7)
    models, member, column = tiny.population(2, hidden=(4,)), half_of_them(2, 40), 0
    guesses = infer(models, x, y, member, candidates=9)
    standard = ((x.double() - CENTER) / SCALE)[:, 1:]
    inputs = torch.cat([standard.nan_to_num(0.0), standard.isnan().double()], 1)
    inputs = torch.cat([inputs, y.double()[:, None]], 1) if diagnosis else inputs
    truth = (x[:, 0].double() - CENTER[0]) / SCALE[0]
    values = candidate_values(FEATURES["glucose"], 9)
    grid = (values - CENTER[0]) / SCALE[0]
    half = torch.randperm(40, generator=torch.Generator().manual_seed(3)) % 2 == 0
    seen, if_value = answers(models.double(), x.double(), column, values)
    for v in range(2):
        for test in (half, ~half):
            learn = ~test & ~member[v] & ~x[:, 0].isnan()
            imputed, prior, spread = naive_ridge(inputs, truth.nan_to_num(0.0), learn)
            alone, aided = torch.zeros(2, 40).double()
            for row in range(40):
                weight = -0.5 * ((grid - prior[row]) / spread) ** 2
                alone[row] = (weight.exp() * grid).sum() / weight.exp().sum()
                for k in range(len(grid)):
                    away = (if_value[k, v, row] - seen[v, row]) / BANDWIDTH
                    same = (if_value[k, v, row] > 0) == (seen[v, row] > 0)
                    weight[k] += (
                        -0.5 * away**2
                        if access == "scores"
                        else math.log(1.0 if same else OTHER_LABEL)
                    )
                weight = (weight - weight.max()).exp()
                aided[row] = (weight * grid).sum() / weight.sum()
            answer = seen[v] if access == "scores" else (seen[v] > 0).double()
            told = torch.cat([inputs, torch.stack([answer, aided - alone], 1)], 1)
            found = one(guesses, access, "posterior", diagnosis=diagnosis)
            rows = test & ~x[:, 0].isnan()
            torch.testing.assert_close(found.imputation[v, rows], (alone - truth).abs()[rows])
            torch.testing.assert_close(found.model[v, rows], (aided - truth).abs()[rows])
            found = one(guesses, access, "learned", diagnosis=diagnosis)
            torch.testing.assert_close(found.imputation[v, rows], (imputed - truth).abs()[rows])
            learned = naive_ridge(told, truth.nan_to_num(0.0), learn)[0]
            torch.testing.assert_close(found.model[v, rows], (learned - truth).abs()[rows])


def test_a_victim_does_not_depend_on_its_neighbours(guesses, people, member):
    alone = infer(
        tiny.population(3).select(torch.tensor([1])), *people, member[1:2], ("glucose", "ratio")
    )
    for together, single in zip(guesses, alone, strict=True):
        torch.testing.assert_close(together.model[1:2], single.model, equal_nan=True)


# ---- the typical record of a class ----


def changed(change):
    """The schema with every feature changed."""
    return replace(
        SCHEMA, features=tuple(one.model_copy(update=change(one)) for one in SCHEMA.features)
    )


FREE = changed(lambda one: {"step": None, "lower": -1e6, "upper": 1e6})
CLIMB = {"steps": 300, "learning_rate": 0.2}


@pytest.mark.parametrize("target", [0, 1])
def test_the_typical_record_of_a_linear_model_is_a_formula(target):
    weights = torch.tensor([[2.0, -1, 0, 0.5, 1], [0.1, 0, 0, 0, -0.3]])
    z = (typical_record(linear(weights), FREE, target, **CLIMB) - CENTER) / SCALE
    toward = weights.double() * (2 * target - 1)
    doubt = torch.sigmoid(-(toward * z).sum(1, keepdim=True))
    torch.testing.assert_close(z, toward * doubt, rtol=1e-5, atol=1e-5)


def test_a_typical_record_can_be_written_down_by_the_clinic():
    narrow = changed(
        lambda one: {"lower": one.center, "upper": one.center + 0.2 * one.scale, "step": None}
    )
    found = typical_record(linear([[3.0, -3, 3, 3, 3]]), narrow, **CLIMB)
    expected = CENTER + 0.2 * SCALE * torch.tensor([1.0, 0, 1, 1, 1])
    torch.testing.assert_close(found[0], expected)
    written = typical_record(tiny.population(4), SCHEMA, **CLIMB)
    for column, feature in enumerate(SCHEMA.features):
        values = written[:, column]
        assert ((values >= feature.lower) & (values <= feature.upper)).all()
        if feature.step:
            torch.testing.assert_close(
                values, (values / feature.step).round() * feature.step, rtol=0, atol=1e-12
            )


@pytest.mark.parametrize("learning_rate", [0.05, 5.0])
def test_the_climb_never_ends_below_where_it_started(learning_rate):
    models = tiny.population(5, boost=8.0).double()

    def value(records):
        return models(records[:, None])[:, 0].log_softmax(-1)[:, 1] - 0.5 * (
            (records - CENTER) / SCALE
        ).square().sum(1)

    found = typical_record(models, FREE, steps=40, learning_rate=learning_rate)
    start = value(CENTER.expand(5, -1))
    assert (value(found) >= start - 1e-12).all()
    assert (value(found) > start + 0.01).any()


def test_a_model_that_knows_nothing_finds_the_public_centre():
    assert torch.equal(
        typical_record(linear(torch.zeros(2, 5)), SCHEMA, **CLIMB), CENTER.expand(2, -1)
    )


def test_people_are_compared_one_by_one(people):
    x, y = (part[:30] for part in people)
    x, member = x.double(), half_of_them(2, 30)
    records = typical_record(tiny.population(2), SCHEMA, **CLIMB)

    def apart(a, b):
        gaps = [
            float((p - q) / s) ** 2
            for p, q, s in zip(a, b, SCALE, strict=True)
            if not (p - q).isnan()
        ]
        return (sum(gaps) / len(gaps)) ** 0.5

    found = compare_with_people(records, Dataset(x, y, SCHEMA), member, 0)
    mean = torch.stack([column[~column.isnan()].mean() for column in x[y == 0].T])
    nearest = torch.tensor([min(apart(x[i], x[j]) for j in range(30) if j != i) for i in range(30)])
    for v in range(2):
        expected = {
            "to_class_mean": apart(records[v], mean),
            "center_to_class_mean": apart(CENTER, mean),
            "to_nearest_member": min(apart(records[v], x[i]) for i in range(30) if member[v, i]),
            "to_nearest_non_member": min(
                apart(records[v], x[i]) for i in range(30) if not member[v, i]
            ),
            "between_people": float(nearest.median()),
        }
        assert {name: float(value[v]) for name, value in found.items()} == pytest.approx(
            expected, rel=1e-6
        )


def test_a_person_is_found_among_the_members_only_where_it_is_one(people):
    x, y = people
    person = int((~x.isnan()).all(1).nonzero()[0])
    member = torch.zeros(2, len(x), dtype=torch.bool)
    member[0, person] = True
    found = compare_with_people(x[person].expand(2, -1), Dataset(x, y, SCHEMA), member)
    assert found["to_nearest_member"].tolist() == [0.0, torch.inf]
    assert float(found["to_nearest_non_member"][0]) > 0
    assert float(found["to_nearest_non_member"][1]) == 0


def test_the_distance_to_the_nearest_other_person_is_the_same_block_by_block(people, monkeypatch):
    x = people[0].double() / SCALE
    every = (x[:, None] - x).square().nanmean(-1).sqrt().nan_to_num(nan=torch.inf)
    nearest = every.fill_diagonal_(torch.inf).amin(1)
    assert torch.equal(typical._to_nearest_other(x), nearest)
    monkeypatch.setattr(typical, "BLOCK", 3 * x.numel())
    assert torch.equal(typical._to_nearest_other(x), nearest)
    monkeypatch.setattr(typical, "PEOPLE", 7)
    assert set(typical._to_nearest_other(x).tolist()) <= set(nearest.tolist())


def test_no_table_grows_with_the_square_of_the_people():
    x, y = clinic(4000)
    member = half_of_them(2, len(x))
    with Largest() as largest:
        compare_with_people(x[:2], Dataset(x, y, SCHEMA), member)
    assert largest.numbers <= typical.BLOCK


def test_all_victims_together_are_not_one_table():
    x, y = clinic(400)
    models = tiny.population(6)
    with Largest() as largest:
        infer(models, x, y, half_of_them(6, len(x)), candidates=20)
    assert largest.numbers < 6 * 20 * len(x)


# ---- categories ----


def knowing(leak):
    """Victims that know one category by heart, or that know nothing of it; and what was guessed."""
    data = mixed.records(400, seed=2, missing=0.05)
    victims = mixed.models(4, hidden=()).double()
    weight = torch.zeros_like(victims.parameters["weight0"])
    weight[:, 6:9, 1] = leak * torch.tensor([0.0, 3.0, 6.0])  # the levels of thal
    victims.parameters["weight0"] = weight
    member = Plan.random_halves(400, models=4, seed=1).train
    found = attribute_inference(
        victims, data, member, ["thal"], candidates=50, generator=torch.Generator().manual_seed(0)
    )
    return {(one.access, one.attacker, one.diagnosis): one for one in found}


def test_a_category_is_guessed_from_a_model_that_knows_it():
    key = ("scores", "posterior", True)
    told, silent = knowing(1.0)[key], knowing(0.0)[key]
    assert float(told.model.nanmean()) < 0.05 < 0.4 < float(told.imputation.nanmean())
    torch.testing.assert_close(silent.model, silent.imputation, equal_nan=True)
    assert float(told.imputation.nan_to_num().max()) <= 1
    missing = mixed.records(400, seed=2, missing=0.05).x[:, 2].isnan()
    assert torch.equal(told.model.isnan().any(0), missing)
