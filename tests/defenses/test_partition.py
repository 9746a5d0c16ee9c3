"""Whatever is inserted, removed or relabelled, no certified answer changes; one record more can."""

import json
from dataclasses import replace
from functools import partial
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from scipy.special import expit

import tiny
from pipeline.config import DecisionConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.defenses.partition import (
    SLACK,
    certified_records,
    deal,
    logistic_regression,
    train_by_parts,
    vote_network,
    votes,
)
from pipeline.defenses.trained import train
from pipeline.files import BadInput
from pipeline.models.answers import margin
from pipeline.models.mlp import perceptron
from pipeline.models.networks import Networks, public_preprocessing

pytestmark = pytest.mark.heavy

PARTS, CLIP = 9, 1.0
AT_HALF = SimpleNamespace(decision=DecisionConfig(rule="threshold", value=0.5))
fitted = partial(train_by_parts, cfg=AT_HALF, clip=CLIP, ridge=0.3, certainty=3.0, cut=1.0)


def everyone(data, members=1):
    """Models that all train on all records."""
    rows = torch.ones(members, len(data.y), dtype=torch.bool)
    return Plan(
        rows,
        ~rows,
        torch.full((members,), -1),
        torch.arange(members),
        tuple(f"m{m}" for m in range(members)),
    )


def one_model(data, parts=PARTS):
    return fitted(data, everyone(data), parts=parts)


def changed(data, *, keep=None, flip=None, extra=None):
    """The records with some removed, some relabelled, and others added at the end."""
    y = data.y if flip is None else torch.where(flip, 1 - data.y, data.y)
    keep = torch.ones_like(y, dtype=torch.bool) if keep is None else keep
    added = (data.x[:0], data.y[:0]) if extra is None else extra
    return Dataset(torch.cat([data.x[keep], added[0]]), torch.cat([y[keep], added[1]]), data.schema)


def part_of(data, parts=PARTS):
    return torch.from_numpy(deal(data.x, data.y, parts)[0])


def base_models(models):
    """(M, K, D + 1): what each part learned, as it stands in the network."""
    weight, bias = models.parameters["weight0"], models.parameters["bias0"]
    half = weight.shape[-1] // 2
    return torch.cat([weight[..., :half], bias[..., :half]], 1).mT


def certified(models, x):
    """Answers (B,) and how many records each of them withstands."""
    answer = (models.double()(x[None].double())[0, :, 1] > 0).long()
    return answer, certified_records(models, x[None], answer[None])[0]


# ---- dealing ----


def test_the_part_depends_on_the_values_alone(dataset):
    part = part_of(dataset)
    shuffle = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    moved = Dataset(dataset.x[shuffle], 1 - dataset.y[shuffle], dataset.schema)
    assert torch.equal(part_of(moved), part[shuffle])
    assert torch.equal(part_of(Dataset(dataset.x[5:6], dataset.y[5:6], dataset.schema)), part[5:6])
    assert set(part.tolist()) == set(range(PARTS))


def test_the_order_depends_on_the_set_of_records_alone(dataset):
    """Also where records differ by label alone; a sum in another order has other last bits."""
    doubled = changed(dataset, extra=(dataset.x[::2], 1 - dataset.y[::2]))
    shuffle = torch.randperm(180, generator=torch.Generator().manual_seed(0))
    first, second = (
        torch.from_numpy(deal(doubled.x[rows], doubled.y[rows], PARTS)[1])
        for rows in (torch.arange(180), shuffle)
    )
    assert tiny.same_bits(doubled.x[first], doubled.x[shuffle][second])
    assert torch.equal(doubled.y[first], doubled.y[shuffle][second])


def test_all_ways_to_write_a_missing_value_and_a_zero_are_one():
    nan = torch.tensor([0x7FC00000, 0x7FC00001, -0x400000], dtype=torch.int32).view(torch.float32)
    x = torch.stack([nan, torch.tensor([0.0, -0.0, 0.0])], 1)
    assert nan.isnan().all()
    assert len(set(deal(x, torch.zeros(3, dtype=torch.int64), 1000)[0].tolist())) == 1


def test_the_parts_are_of_about_equal_size():
    data = tiny.records(3000, seed=1)
    counts = torch.bincount(part_of(data, 30), minlength=30)
    assert ((counts - 100).abs() < 5 * 10).all()  # five standard deviations of a binomial count


# ---- base models ----


@pytest.mark.parametrize("labels", ["both", "one class", "separable"])
def test_a_base_model_stands_where_the_penalised_likelihood_has_no_slope(labels):
    generator = torch.Generator().manual_seed(1)
    for size in (1, 2, 12, 60):
        inputs = (
            torch.cat([3 * torch.randn(size, 5, generator=generator), torch.ones(size, 1)], 1)
            .double()
            .numpy()
        )
        y = {
            "both": (torch.rand(size, generator=generator) < 0.4).double().numpy(),
            "one class": torch.zeros(size).numpy(),
            "separable": (inputs[:, 0] > 0).astype(float),
        }[labels]
        beta = logistic_regression(inputs, y, 0.3)
        slope = inputs.T @ (y - expit(inputs @ beta)) - 0.3 * beta
        assert abs(slope).max() < 1e-6
        assert abs(beta).max() > 0


def test_an_empty_part_abstains(dataset):
    few = Dataset(dataset.x[:3], dataset.y[:3], dataset.schema)
    models = one_model(few, parts=40)
    cast = votes(models, dataset.x[None])[0]
    empty = torch.ones(40, dtype=torch.bool)
    empty[part_of(few, 40)] = False
    assert (cast[:, empty] == 0).all()
    assert (cast[:, ~empty] != 0).any(0).all()


def test_one_record_more_or_less_or_relabelled_changes_one_base_model_and_no_bit_of_the_others(
    dataset,
):
    before, part = base_models(one_model(dataset))[0], part_of(dataset)
    for row in range(0, 120, 7):
        only = torch.arange(120) == row
        for after in (
            changed(dataset, keep=~only),
            changed(dataset, flip=only),
            changed(dataset, extra=(dataset.x[only], 1 - dataset.y[only])),
        ):
            moved = (base_models(one_model(after))[0] != before).any(1)
            assert moved.nonzero().flatten().tolist() == [int(part[row])]


def test_changed_values_reach_two_parts_at_most(dataset):
    before = base_models(one_model(dataset))[0]
    for row in range(0, 120, 7):
        x = dataset.x.clone()
        x[row, :2] = torch.tensor([1e30, -torch.inf])
        after = base_models(one_model(Dataset(x, dataset.y, dataset.schema)))[0]
        assert after.isfinite().all()
        touched = {
            int(part_of(dataset)[row]),
            int(part_of(Dataset(x, dataset.y, dataset.schema))[row]),
        }
        moved = set((after != before).any(1).nonzero().flatten().tolist())
        assert moved
        assert (
            moved <= touched
        )  # a part may be so sure of a loud record that it learns nothing from it


def test_the_models_are_those_of_the_set_whatever_its_order_and_whoever_trains_beside(dataset):
    plan = tiny.plan(dataset, release=True)
    together = fitted(dataset, plan, parts=PARTS)
    shuffle = torch.randperm(120, generator=torch.Generator().manual_seed(3))
    moved = Plan(
        plan.train[:, shuffle],
        plan.held_out[:, shuffle],
        plan.repetition,
        plan.seeds + 9,
        plan.labels,
    )
    again = fitted(
        Dataset(dataset.x[shuffle], dataset.y[shuffle], dataset.schema),
        moved.select(torch.tensor([5])),
        parts=PARTS,
    )
    for name, tensor in together.parameters.items():
        assert tiny.same_bits(tensor[5:6], again.parameters[name])
    for name, tensor in together.preprocessing.items():
        assert tiny.same_bits(tensor[5:6], again.preprocessing[name])


def test_a_record_that_occurs_twice_counts_twice(dataset):
    doubled = changed(dataset, extra=(dataset.x[:1], dataset.y[:1]))
    moved = (base_models(one_model(doubled))[0] != base_models(one_model(dataset))[0]).any(1)
    assert moved.nonzero().flatten().tolist() == [int(part_of(dataset)[0])]


def test_a_model_does_not_know_whom_it_did_not_train_on(dataset):
    plan = tiny.plan(dataset, seeds=1)
    before = fitted(dataset, plan, parts=PARTS)
    held_out = plan.held_out[1]
    x = torch.where(held_out[:, None], torch.tensor(77.0), dataset.x)
    after = fitted(
        Dataset(x, torch.where(held_out, 1 - dataset.y, dataset.y), dataset.schema),
        plan,
        parts=PARTS,
    )
    for name in before.parameters:
        assert tiny.same_bits(before.parameters[name][1], after.parameters[name][1])


# ---- the vote ----


def naive_votes(dataset, x, clip, ridge=0.3):
    """(B, K): one base model after the other, in clinical units."""
    schema = dataset.schema
    center, scale = (
        schema.column("center").float().double(),
        schema.column("scale").float().double(),
    )
    z, asked = (
        (torch.where(t.isnan(), center, t.double()) - center) / scale for t in (dataset.x, x)
    )
    z, asked = (torch.cat([t, torch.ones(len(t), 1)], 1).numpy() for t in (z, asked))
    part, columns = part_of(dataset).numpy(), []
    for k in range(PARTS):
        beta = logistic_regression(z[part == k], dataset.y.numpy()[part == k], ridge)
        columns.append(torch.from_numpy(asked @ beta / clip).clamp(-1, 1))
    return torch.stack(columns, 1)


def test_the_network_is_the_mean_of_the_clipped_votes(dataset):
    asked = tiny.records(200, seed=5).x
    models = one_model(dataset)
    expected = naive_votes(dataset, asked, CLIP)
    torch.testing.assert_close(votes(models, asked[None])[0], expected, rtol=0, atol=1e-5)
    logits = models(asked[None])[0]
    torch.testing.assert_close(
        logits[:, 1] - logits[:, 0], 3.0 * expected.mean(1).float(), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(logits[:, 0], -logits[:, 1], rtol=0, atol=1e-5)
    assert (expected.abs() == 1).any()
    assert (expected.abs() < 1).any()


def test_a_sharp_clip_is_the_majority_vote(dataset):
    asked = tiny.records(200, seed=5).x
    models = train_by_parts(
        dataset,
        everyone(dataset),
        AT_HALF,
        parts=PARTS,
        clip=1e-4,
        ridge=0.3,
        certainty=3.0,
        cut=0.0,
    )
    majority = (naive_votes(dataset, asked, 1e6) > 0).double().mean(
        1
    ) > 0.5  # an odd number of parts: no ties
    assert torch.equal(models.double()(asked[None].double())[0].argmax(-1) == 1, majority)


def test_it_learns_saves_and_says_what_it_covers(cfg, tmp_path):
    data = tiny.records(300, seed=2)
    plan = tiny.plan(data, seeds=1, release=True)
    models = train("partition", data, plan, cfg)
    models.save(tmp_path)
    loaded = Networks.load(tmp_path)
    assert loaded.facts == models.facts
    assert json.loads(json.dumps(models.facts)) == models.facts
    assert models.facts["certificate"]["parts"] == cfg.defenses["partition"]["parts"]
    assert "guarantee" not in models.facts  # that would be a claim of differential privacy
    index, _ = plan.select(plan.scored()).held_out_index()
    scored = loaded.select(plan.scored())
    assert (margin(scored(data.x[index]), data.y[index]) > 0).float().mean() > 0.75


def test_three_classes_are_refused(dataset):
    schema = Schema(dataset.schema.names, dataset.schema.features, "outcome", ("a", "b", "c"))
    with pytest.raises(BadInput, match=r"^partition: .* 3 classes"):
        one_model(Dataset(dataset.x, dataset.y, schema))


# ---- the certificate ----


def constant_votes(values):
    """A model whose base models answer everybody with these votes."""
    beta = torch.zeros(1, len(values), len(tiny.FEATURES) + 1, dtype=torch.float64)
    beta[0, :, -1] = torch.tensor(values)
    constants = public_preprocessing(tiny.SCHEMA, 1)
    return Networks(
        perceptron(len(tiny.FEATURES), 2, [2 * len(values)]),
        constants,
        vote_network(beta, 1.0, 3.0),
        ("m",),
    )


def withstands(values, truth=1):
    x = torch.zeros(1, 1, len(tiny.FEATURES))
    return int(certified_records(constant_votes(values), x, torch.tensor([[truth]])))


def test_the_certificate_by_hand():
    assert withstands([1.0] * 5) == 2  # 5, 3, 1, -1
    assert withstands([1.0] * 4) == 1  # 4, 2, 0: a tie is not certified
    assert withstands([0.5] * 4) == 1  # 2, 0.5, -1
    assert withstands([0.0, 0.0, 0.25]) == 0
    assert withstands([0.25, -0.25]) == -1
    assert withstands([-1.0, -1.0, -1.0]) == -1
    assert withstands([-1.0, -1.0, -1.0, 0.5], truth=0) == 1  # 2.5, 0.5, -1.5
    assert withstands([5.0] * 5) == 2  # a vote is never more than a full one


def test_the_certificate_counts_from_where_the_line_is_drawn():
    """A full vote of five is worth 3 / 5 of log-odds; so a cut of 1.2 is worth two of them."""
    x, ill, healthy = torch.zeros(1, 1, len(tiny.FEATURES)), *torch.tensor([[[1]], [[0]]])
    for cut, of_ill in ((0.0, 2), (1.1, 1), (1.9, 0), (-0.7, 3), (3.1, -1)):
        moved = constant_votes([1.0] * 5).decide_at(torch.tensor([cut]))
        assert int(certified_records(moved, x, ill)) == of_ill
    low = constant_votes([-1.0] * 5).decide_at(torch.tensor([1.1]))
    assert int(certified_records(low, x, healthy)) == 3  # -5, -3, -1 and 1 lie below 1.8, 3 above
    assert int(certified_records(low, x, ill)) == -1


def test_a_certificate_is_of_answers_whatever_log_odds_are_called():
    """Recalibrated by a line, answers turn at the same votes."""
    x, ill = torch.zeros(1, 1, len(tiny.FEATURES)), torch.tensor([[1]])
    for cut, of_ill in ((0.0, 2), (1.1, 1), (1.9, 0), (-0.7, 3), (3.1, -1)):
        moved = constant_votes([1.0] * 5).decide_at(torch.tensor([cut]))
        said = moved.recalibrate(torch.tensor([0.4]), torch.tensor([-1.7]))
        assert int(certified_records(said, x, ill)) == of_ill


def test_the_certificate_equals_the_worst_of_all_choices_of_parts(dataset):
    models, asked = one_model(dataset), tiny.records(60, seed=7)
    found = certified_records(models, asked.x[None], asked.y[None])[0]
    own = votes(models, asked.x[None])[0] * (2 * asked.y - 1)[:, None]
    hit = torch.tensor(list(product([False, True], repeat=PARTS)))
    left = torch.where(hit, -1.0, own[:, None]).sum(-1)  # (60, 2^K)
    for patient in range(60):
        worst = [left[patient, hit.sum(1) == touched].min() for touched in range(PARTS + 1)]
        holds = [worst[0] > 0, *(one > SLACK for one in worst[1:])]
        assert int(found[patient]) == sum(map(int, holds)) - 1
    assert set(found.tolist()) >= {-1, 0, 1, 2}


def poisoned(data, models, strategy, budget, victim, generator):
    """A training set in which `budget` records are inserted, removed or relabelled."""
    part, size = part_of(data), len(data.y)
    if strategy == "random":
        flip, gone = torch.zeros(2, size, dtype=torch.bool)
        kinds = torch.randint(3, (budget,), generator=generator)
        rows = torch.randperm(size, generator=generator)[:budget]
        flip[rows[kinds == 0]] = True
        gone[rows[kinds == 1]] = True
        new = (
            tiny.records(max(int((kinds == 2).sum()), 1), seed=int(rows[0])).x[
                : int((kinds == 2).sum())
            ]
            * 3
        )
        return changed(
            data,
            keep=~gone,
            flip=flip,
            extra=(new, torch.randint(2, (len(new),), generator=generator)),
        )
    own = votes(models, victim[None, None])[0, 0]
    answer = (own.sum() > 0).long()
    weakest = (own * (2 * answer - 1)).argsort(descending=True)[:budget]
    if strategy == "remove":  # one record of each of the parts with the largest votes
        rows = torch.stack([(part == k).nonzero()[0, 0] for k in weakest])
        keep = torch.ones(size, dtype=torch.bool).index_fill(0, rows, False)
        return changed(data, keep=keep)
    # One loud record for each of those parts: the victim's own values, nudged until the hash says
    # so, with the other label.
    clones = (
        victim.nan_to_num(0.0)
        + torch.cat([torch.zeros(1), torch.rand(999, generator=generator)])[:, None] * 1e-3
    )
    where = part_of(Dataset(clones, torch.zeros(1000, dtype=torch.int64), data.schema))
    chosen = clones[torch.stack([(where == k).nonzero()[0, 0] for k in weakest])]
    return changed(data, extra=(chosen, (1 - answer).expand(len(chosen))))


@pytest.mark.parametrize("strategy", ["random", "remove", "clones"])
def test_no_certified_answer_is_poisoned(strategy):
    data, asked = tiny.records(90, seed=11, missing=0.0), tiny.records(80, seed=12, missing=0.0).x
    models, generator = one_model(data), torch.Generator().manual_seed(0)
    answer, budget = certified(models, asked)
    assert len(budget.unique()) >= 4
    moved = 0
    for patient in range(0, 80, 2):
        for records in range(1, int(budget[patient]) + 1):
            after = one_model(poisoned(data, models, strategy, records, asked[patient], generator))
            now, _ = certified(after, asked)
            assert torch.equal(now[budget >= records], answer[budget >= records])
            moved += int((now != answer).sum())
    assert moved > 0  # the poison works, on those who are not certified


def test_whole_parts_may_be_relabelled_or_rewritten():
    """Touched parts are counted, not records: whoever owns a part still owns but one vote."""
    data, asked = tiny.records(90, seed=11), tiny.records(80, seed=12).x
    models = one_model(data)
    answer, budget = certified(models, asked)
    part, cast, moved = part_of(data), votes(models, asked[None])[0] * (2 * answer - 1)[:, None], 0
    for patient in range(80):
        owned = cast[patient].argsort(descending=True)[: int(budget[patient])]
        now, _ = certified(one_model(changed(data, flip=torch.isin(part, owned))), asked)
        assert torch.equal(now[budget >= len(owned)], answer[budget >= len(owned)])
        moved += int((now != answer).sum())
    assert moved > 0


def test_one_record_more_than_certified_can_change_the_answer():
    """All are ill and called so: a part whose only record is relabelled votes fully against."""
    parts = 5
    x = tiny.records(400, seed=0, missing=0.0).x
    where = part_of(Dataset(x, torch.zeros(400, dtype=torch.int64), tiny.SCHEMA), parts)
    x = x[torch.stack([(where == k).nonzero()[0, 0] for k in range(parts)])]
    ill = Dataset(x, torch.ones(parts, dtype=torch.int64), tiny.SCHEMA)
    asked = tiny.SCHEMA.column("center").float()[None]

    def learn(data):
        return train_by_parts(
            data, everyone(data), AT_HALF, parts=parts, clip=0.05, ridge=0.3, certainty=3.0, cut=0.0
        )

    answer, budget = certified(learn(ill), asked)
    assert (answer.tolist(), budget.tolist()) == ([1], [2])
    for records, expected in ((2, 1), (3, 0)):
        now, _ = certified(learn(changed(ill, flip=torch.arange(parts) < records)), asked)
        assert now.tolist() == [expected]


# ---- several records of a patient ----


def visits_of(data):
    whose = torch.arange(len(data.y)) // 3
    return replace(data, patient=whose, together=whose)


def test_the_records_of_a_patient_share_a_part_that_hangs_on_their_values_alone(dataset):
    visits = visits_of(dataset)
    part = torch.from_numpy(deal(visits.x, visits.y, PARTS, visits.patient)[0])
    assert torch.equal(part, part[::3].repeat_interleave(3))
    assert set(part.tolist()) == set(range(PARTS))
    shuffle = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    names = 1000 - 7 * visits.patient[shuffle]
    moved = deal(visits.x[shuffle], 1 - visits.y[shuffle], PARTS, names)[0]
    assert torch.equal(torch.from_numpy(moved), part[shuffle])
    few = deal(visits.x[30:36], visits.y[30:36], PARTS, visits.patient[30:36])[0]
    assert torch.equal(torch.from_numpy(few), part[30:36])
    alone = deal(dataset.x, dataset.y, PARTS, torch.arange(120))[0]
    assert torch.equal(torch.from_numpy(alone), part_of(dataset))


@pytest.mark.parametrize("attack", ["remove", "relabel", "insert"])
def test_a_patient_with_all_records_reaches_one_part(dataset, attack):
    visits = visits_of(dataset)
    his = visits.patient == 7
    poisoned = {
        "remove": lambda: Dataset(
            visits.x[~his], visits.y[~his], visits.schema, patient=visits.patient[~his]
        ),
        "relabel": lambda: replace(visits, y=torch.where(his, 1 - visits.y, visits.y)),
        "insert": lambda: Dataset(
            torch.cat([visits.x, visits.x[his] + 1]),
            torch.cat([visits.y, 1 - visits.y[his]]),
            visits.schema,
            patient=torch.cat([visits.patient, torch.full((3,), 99)]),
        ),
    }[attack]()
    before, after = base_models(one_model(visits)), base_models(one_model(poisoned))
    assert (before != after).any(-1).sum() <= 1
    apart = base_models(one_model(replace(poisoned, patient=torch.arange(len(poisoned.y)))))
    single = base_models(one_model(dataset))
    assert (single != apart).any(-1).sum() > 1  # three records by themselves reach more
    assert "patients with all" in one_model(visits).facts["certificate"]["counts"]
