"""Filters against loops over records, on made-up patients a tenth of whom have the wrong label."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

import handwritten
import tiny
from pipeline.attacks.surrogate import train_linear_surrogate
from pipeline.config import ModelConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.trained import train
from pipeline.models.mlp import as_module
from pipeline.risks.poisoning.measure import filters
from pipeline.risks.poisoning.measure.filters import (
    FILTERS,
    MAJORITY,
    RULES,
    detection,
    drop,
    drop_above,
    last_hidden,
    left_by,
    loss,
    neighbours,
    spectral,
    why_unfit,
)
from pipeline.statistics import rates

pytestmark = pytest.mark.heavy

LONGER = {"epochs": 30, "learning_rate": 5e-3}


def linear(dataset, plan):
    return train_linear_surrogate(dataset.x, dataset.y, plan)


def untrained(dataset, plan):
    return tiny.untrained(plan, dataset, hidden=(8, 6))


def flipped(data, share, seed=0):
    """The records with wrong labels, and whose they are."""
    wrong = torch.rand(len(data.y), generator=torch.Generator().manual_seed(seed)) < share
    return Dataset(data.x, torch.where(wrong, 1 - data.y, data.y), data.schema), wrong


# ---- what all filters share ----


@pytest.mark.parametrize("name", FILTERS)
def test_the_score_of_who_does_not_train_is_no_number(name, dataset):
    plan = tiny.plan(dataset, release=True)
    scores = FILTERS[name](dataset, plan, untrained)
    assert scores.shape == plan.train.shape
    assert torch.equal(scores.isnan(), ~plan.train)


@pytest.mark.parametrize("name", FILTERS)
def test_wrong_labels_are_found_better_than_by_chance(name, cfg):
    data, wrong = flipped(tiny.records(600, seed=3, signal=4.0, missing=0.0), 0.1)
    plan = tiny.plan(data, seeds=1)
    cfg = cfg.model_copy(
        update={
            "model": ModelConfig(name="mlp", hidden=[16]),
            "train": cfg.train.model_copy(update=LONGER),
        }
    )
    scores = FILTERS[name](data, plan, lambda records, sets: train("baseline", records, sets, cfg))
    found = detection(
        plan.train & ~drop(scores, plan.train, 0.1), wrong.expand_as(plan.train), plan.train
    )
    for rows, score, precision in zip(plan.train, scores, found.precision, strict=True):
        bad, good = int((rows & wrong).sum()), int((rows & ~wrong).sum())
        blind = (
            (bad + good + 1) / (12 * bad * good)
        ) ** 0.5  # standard deviation of the AUROC of a filter that sees nothing
        assert rates.auroc(score[rows].numpy(), wrong[rows].long().numpy()) > 0.5 + 4 * blind
        drawn = (0.1 * 0.9 / round(0.1 * (bad + good))) ** 0.5  # and of its precision
        assert precision > bad / (bad + good) + 3 * drawn


@pytest.mark.parametrize("name", FILTERS)
def test_a_score_depends_on_the_training_set_alone(name, dataset):
    """Neither on those outside it, nor on the training sets beside it."""
    plan = tiny.plan(dataset, seeds=1)
    before = FILTERS[name](dataset, plan, linear)
    outside = ~plan.train[1]
    x, y = (
        torch.where(outside[:, None], torch.tensor(77.0), dataset.x),
        torch.where(outside, 1 - dataset.y, dataset.y),
    )
    after = FILTERS[name](Dataset(x, y, dataset.schema), plan.select(torch.tensor([1])), linear)
    torch.testing.assert_close(after[0], before[1], rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("name", ["neighbours", "spectral"])
def test_variants_of_records_are_scored_as_the_records_that_they_are(name, dataset):
    """Rows n * V + v, of which each training set takes one of each person."""
    plan, variants, generator = tiny.plan(dataset), 4, torch.Generator().manual_seed(0)
    noise = dataset.x[:, None].repeat(1, variants, 1) * (
        1 + torch.rand(120, variants, 1, generator=generator) * 0.1
    )
    chosen = torch.randint(variants, (plan.size, 120, 1), generator=generator)
    train = (
        torch.zeros(plan.size, 120, variants, dtype=torch.bool).scatter_(2, chosen, True)
        & plan.train[..., None]
    )
    many = Plan(train.flatten(1), ~train.flatten(1), plan.repetition, plan.seeds, plan.labels)
    scores = FILTERS[name](
        Dataset(noise.flatten(0, 1), dataset.y.repeat_interleave(variants), dataset.schema),
        many,
        linear,
    )
    for member in range(plan.size):
        own = noise.gather(1, chosen[member][..., None].expand(-1, -1, 5))[:, 0]
        alone = FILTERS[name](
            Dataset(own, dataset.y, dataset.schema), plan.select(torch.tensor([member])), linear
        )
        torch.testing.assert_close(
            scores[member].view(120, variants).gather(1, chosen[member])[:, 0],
            alone[0],
            rtol=1e-6,
            atol=1e-6,
            equal_nan=True,
        )


@pytest.mark.parametrize("name", FILTERS)
def test_small_blocks_give_the_same_scores(name, dataset, monkeypatch):
    plan = tiny.plan(dataset)
    whole = FILTERS[name](dataset, plan, linear)
    monkeypatch.setattr(filters, "BLOCK", 1)
    torch.testing.assert_close(
        FILTERS[name](dataset, plan, linear), whole, rtol=1e-9, atol=1e-9, equal_nan=True
    )


# ---- each against a loop ----


def naive_neighbours(dataset, rows, k):
    """A dictionary: row to share of disagreeing neighbours."""
    scale, result = dataset.schema.column("scale"), {}
    for i in rows:
        distances = []
        for j in rows:
            both = ~(dataset.x[i].isnan() | dataset.x[j].isnan())
            if j != i and both.any():
                change = (dataset.x[i].double() - dataset.x[j].double())[both] / scale[both]
                distances.append((float(change.square().mean()), j))
        nearest = [j for _, j in sorted(distances)[:k]]
        result[i] = sum(int(dataset.y[j] != dataset.y[i]) for j in nearest) / max(len(nearest), 1)
    return result


@pytest.mark.parametrize("k", [1, 4, 200])
def test_neighbours_equal_a_loop_over_pairs(k):
    data = tiny.records(60, seed=4, missing=0.4)
    data.x[7] = torch.nan  # shares no value with anybody
    plan = tiny.plan(data, seeds=1, release=True)
    scores = neighbours(data, plan, k=k)
    assert scores[plan.train].unique().numel() > 1
    for rows, score in zip(plan.train, scores, strict=True):
        expected = naive_neighbours(data, rows.nonzero().flatten().tolist(), k)
        assert score[rows].tolist() == pytest.approx(list(expected.values()))
    assert (scores[plan.train & (torch.arange(60) == 7)] == 0).all()


def test_a_twin_with_the_other_label_is_the_first_neighbour(dataset):
    twins = Dataset(
        torch.cat([dataset.x, dataset.x[:1]]),
        torch.cat([dataset.y, 1 - dataset.y[:1]]),
        dataset.schema,
    )
    everyone = torch.ones(1, 121, dtype=torch.bool)
    plan = Plan(everyone, ~everyone, torch.tensor([-1]), torch.tensor([0]), ("m",))
    assert neighbours(twins, plan, k=1)[0, [0, 120]].tolist() == [1.0, 1.0]


def test_losses_are_those_of_models_that_did_not_see_the_record(dataset):
    plan, seen = tiny.plan(dataset, seeds=1, release=True), []

    def watched(data, parts):
        models = linear(data, parts)
        seen.append((parts, models))
        return models

    scores = loss(dataset, plan, watched, folds=3)
    [(parts, models)] = seen
    assert parts.size == 3 * plan.size
    out = models.double()(dataset.x.double().expand(parts.size, -1, -1))
    for member in range(plan.size):
        own = slice(3 * member, 3 * member + 3)
        assert not (parts.train[own] & ~plan.train[member]).any()
        assert (
            (plan.train[member] & ~parts.train[own]).sum(0) == plan.train[member].long()
        ).all()  # each is left out once
        assert (
            plan.train[member].sum() - parts.train[own].sum(1)
        ).unique().numel() <= 2  # in folds of one size, or one apart
        for row in plan.train[member].nonzero().flatten().tolist():
            judge = 3 * member + int((~parts.train[own, row]).nonzero()[0])
            assert float(scores[member, row]) == pytest.approx(
                float(cross_entropy(out[judge, row], dataset.y[row])), abs=1e-9
            )


def test_no_record_is_judged_by_a_model_that_learned_from_another_of_the_same_patient(dataset):
    """Whoever poisons all records of a patient would have them vouch for each other."""
    patient, seen = torch.arange(len(dataset.y)) // 3, []
    visits = replace(dataset, patient=patient, together=patient)
    everyone = torch.ones(1, len(dataset.y), dtype=torch.bool)
    plan = Plan(everyone, ~everyone, torch.tensor([-1]), torch.tensor([0]), ("m",))
    loss(visits, plan, lambda data, parts: seen.append(parts) or linear(data, parts), folds=3)
    for learned, judged in zip(seen[0].train, seen[0].held_out, strict=True):
        assert not set(patient[learned].tolist()) & set(patient[judged].tolist())


def test_whom_no_model_can_judge_is_not_suspected(dataset):
    """All of one class lie in one fold: nobody could learn of them beside it."""
    y = torch.zeros_like(dataset.y)
    y[7] = 1
    everyone = torch.ones(1, len(y), dtype=torch.bool)
    plan = Plan(everyone, ~everyone, torch.tensor([-1]), torch.tensor([0]), ("m",))
    (scores,) = loss(replace(dataset, y=y), plan, linear, folds=2)
    assert scores[7] == 0
    assert 0 < int((scores > 0).sum()) < len(y) - 1
    assert not scores.isnan().any()


def test_folds_follow_the_models_seed(dataset):
    plan = tiny.plan(dataset, seeds=1)
    first, again, other = (
        loss(dataset, one, linear) for one in (plan, plan, replace(plan, seeds=plan.seeds + 1))
    )
    assert tiny.same_bits(first.float(), again.float())
    assert (first != other)[plan.train].any()


def test_signatures_equal_a_singular_value_decomposition(dataset):
    plan = tiny.plan(dataset, seeds=1, release=True)
    scores, models = spectral(dataset, plan, untrained), untrained(dataset, plan)
    for member, rows in enumerate(plan.train):
        network = as_module(models.parameters, models.preprocessing, member)[:-1]
        for label in (0, 1):
            own = rows & (dataset.y == label)
            hidden = network(dataset.x[own]).detach().double()
            centred = hidden - hidden.mean(0)
            square = (centred @ torch.linalg.svd(centred).Vh[0]).square()
            torch.testing.assert_close(
                scores[member, own], square / square.mean(), rtol=1e-3, atol=1e-4
            )


def test_a_label_with_one_record_or_none_has_no_signature(dataset):
    y = torch.zeros_like(dataset.y)
    y[3] = 1
    plan = tiny.plan(dataset, seeds=1, release=True)
    scores = spectral(Dataset(dataset.x, y, dataset.schema), plan, untrained)
    assert (scores[:, 3][plan.train[:, 3]] == 0).all()
    assert scores[plan.train].isfinite().all()


# ---- dropping, and how well it was done ----


def test_the_most_suspicious_share_is_dropped():
    scores = torch.tensor(
        [[0.1, 0.9, torch.nan, 0.5, 0.4], [3.0, 1.0, 2.0, torch.nan, 9.0]], dtype=torch.float64
    )
    left = drop(scores, ~scores.isnan(), 0.5)
    assert left.tolist() == [[True, False, False, False, True], [False, True, True, False, False]]
    assert torch.equal(drop(scores, ~scores.isnan(), 0.0), ~scores.isnan())
    assert not drop(scores, ~scores.isnan(), 1.0).any()


def test_equal_scores_are_dropped_wherever_they_stand():
    train = torch.rand(50, 400, generator=torch.Generator().manual_seed(0)) < 0.8
    scores = torch.zeros(50, 400, dtype=torch.float64).masked_fill(~train, torch.nan)
    gone = train & ~drop(scores, train, 0.25)
    assert torch.equal(gone.sum(1), (train.sum(1) * 0.25).round().long())
    # The same coin for every training set: 200 of 400 places, with a standard deviation of sqrt(200
    # * 0.25 * 0.75) records.
    early = (gone[:, :200].sum(1) / train[:, :200].sum(1)).mean()
    assert abs(float(early) - 0.25) < 4 * (0.25 * 0.75 / 200) ** 0.5
    assert (drop(scores, train, 0.25, seed=1) != drop(scores, train, 0.25)).any()


def test_a_majority_of_neighbours_is_a_threshold():
    scores = torch.tensor([[0.4, 0.5, 0.6, torch.nan, 0.9]])
    train = torch.tensor([[True, True, True, False, True]])
    assert drop_above(scores, train, MAJORITY).tolist() == [[True, True, False, False, False]]


def test_detection_by_hand():
    dropped = torch.tensor([[1, 1, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0]]).bool()
    poisoned = torch.tensor([[1, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0]]).bool()
    train = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]]).bool()
    found = detection(dropped, poisoned, train)
    assert found.precision[0] == pytest.approx(1 / 3)
    assert found.recall[0] == pytest.approx(1 / 2)
    assert found.false_alarm_rate[0] == pytest.approx(2 / 3)
    assert found.precision[1].isnan()  # nothing was dropped
    assert found.recall[1].isnan()  # and there was nothing to find
    assert found.false_alarm_rate[1] == 0


def test_a_rule_drops_a_share_or_those_above_its_threshold(dataset):
    plan = tiny.plan(dataset)
    scores = neighbours(dataset, plan)
    assert set(RULES) == {*FILTERS, "majority"}
    assert torch.equal(
        left_by("neighbours", scores, plan.train, 0.2, seed=3),
        drop(scores, plan.train, 0.2, seed=3),
    )
    above = left_by("majority", scores, plan.train, 0.2)
    assert torch.equal(plan.train & ~above, scores > MAJORITY)
    assert 0 < (plan.train & ~above).sum() < plan.train.sum()


# ---- images ----


@pytest.fixture(scope="module")
def scans():
    cfg = handwritten.configured()
    dataset = handwritten.pictures(cfg)
    return cfg, dataset, handwritten.halves(dataset)


def test_the_last_layer_of_image_networks_receives_what_its_answers_are_made_of(scans):
    cfg, dataset, plan = scans
    models = train("baseline", dataset, plan, cfg).double()
    x = dataset.x.double().expand(2, *dataset.x.shape)
    hidden, last = last_hidden(models, x), models.architecture.last
    weight, bias = (models.parameters[f"{last}.{part}"] for part in ("weight", "bias"))
    answers = hidden @ weight.mT + bias[:, None]
    torch.testing.assert_close(answers, models(x))
    assert (hidden >= 0).all()


@pytest.mark.slow
def test_wrong_labels_of_images_are_found_by_their_loss(scans):
    cfg, clean, plan = scans
    data, wrong = flipped(clean, 0.05)
    scores = loss(data, plan, lambda images, sets: train("baseline", images, sets, cfg))
    assert torch.equal(scores.isnan(), ~plan.train)
    for rows, score in zip(plan.train, scores, strict=True):
        bad, good = int((rows & wrong).sum()), int((rows & ~wrong).sum())
        blind = ((bad + good + 1) / (12 * bad * good)) ** 0.5
        assert rates.auroc(score[rows].numpy(), wrong[rows].long().numpy()) > 0.5 + 8 * blind


def test_of_images_neighbours_are_not_asked():
    def tried(**kind):
        return [rule for rule in RULES if not why_unfit(rule, **kind)]

    assert tried(images=False, network=True) == list(RULES)
    assert tried(images=True, network=True) == ["loss", "spectral"]
    assert tried(images=False, network=False) == ["neighbours", "loss", "majority"]
