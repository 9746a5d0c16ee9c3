"""Each rule against what its definition says, one weight and one member at a time."""

import statistics

import pytest
import torch

from pipeline.defenses.federated.aggregate import (
    AGGREGATES,
    Exchange,
    aggregated,
    check_enough,
    krum_scores,
)
from pipeline.files import BadInput

ROBUST = [name for name in AGGREGATES if name != "mean"]


def exchange(hospitals=7, members=3, weights=5, seed=0, records=None):
    drawn = torch.Generator().manual_seed(seed)
    updates = torch.randn(hospitals, members, weights, generator=drawn)
    counts = torch.randint(1, 90, (hospitals, members), generator=drawn).float()
    before = torch.randn(members, weights, generator=drawn)
    return Exchange(0, before, updates, counts if records is None else records)


def naive(name, rows, counts, tolerated):
    """Of plain lists: K updates of P numbers, and K counts."""
    columns = list(zip(*rows, strict=True))
    if name == "mean":
        return [
            sum(c * v for c, v in zip(counts, col, strict=True)) / sum(counts) for col in columns
        ]
    if name == "median":
        return [statistics.median(column) for column in columns]
    if name == "trimmed_mean":
        kept = [sorted(column)[tolerated : len(rows) - tolerated] for column in columns]
        return [statistics.fmean(column) for column in kept]
    scores = []
    for one, row in enumerate(rows):
        others = [other for place, other in enumerate(rows) if place != one]
        apart = sorted(sum((a - b) ** 2 for a, b in zip(row, o, strict=True)) for o in others)
        scores.append(sum(apart[: len(rows) - tolerated - 2]))
    order = sorted(range(len(rows)), key=scores.__getitem__)
    best = order[: 1 if name == "krum" else len(rows) - tolerated]
    return [
        statistics.fmean(rows[place][column] for place in best) for column in range(len(rows[0]))
    ]


@pytest.mark.parametrize("tolerated", [0, 1, 2])
@pytest.mark.parametrize("hospitals", [7, 8])
@pytest.mark.parametrize("name", AGGREGATES)
def test_a_rule_is_what_its_definition_says(name, hospitals, tolerated):
    given = exchange(hospitals)
    ours = aggregated(name, tolerated)(given)
    for member in range(3):
        rows, counts = given.updates[:, member].tolist(), given.records[:, member].tolist()
        expected = torch.tensor(naive(name, rows, counts, tolerated))
        torch.testing.assert_close(ours[member], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", AGGREGATES)
def test_the_order_of_hospitals_counts_for_nothing(name):
    given, order = exchange(8), torch.tensor([3, 0, 7, 1, 6, 2, 5, 4])
    turned = given._replace(updates=given.updates[order], records=given.records[order])
    torch.testing.assert_close(aggregated(name, 1)(turned), aggregated(name, 1)(given))


@pytest.mark.parametrize("name", AGGREGATES)
def test_of_equal_updates_every_rule_makes_that_update(name):
    given = exchange(5)
    same = given._replace(updates=given.updates[:1].expand(5, -1, -1))
    torch.testing.assert_close(aggregated(name, 1)(same), given.updates[0])


@pytest.mark.parametrize("name", ROBUST)
def test_one_liar_of_five_moves_a_robust_rule_no_further_than_the_honest_ones_lie(name):
    given = exchange(5)
    lie = given.updates.clone()
    lie[2] = 1e6
    others = lie[[0, 1, 3, 4]]
    found = aggregated(name, 1)(given._replace(updates=lie))
    assert (found >= others.min(0).values - 1e-6).all()
    assert (found <= others.max(0).values + 1e-6).all()
    assert aggregated("mean", 1)(given._replace(updates=lie)).min() > 1e3


@pytest.mark.parametrize("name", ROBUST)
def test_who_claims_many_records_gains_nothing_with_a_robust_rule(name):
    given = exchange(5)
    claimed = given.records.clone()
    claimed[2] = 1e9
    lied = given._replace(records=claimed)
    assert torch.equal(aggregated(name, 1)(lied), aggregated(name, 1)(given))
    assert not torch.equal(aggregated("mean", 1)(lied), aggregated("mean", 1)(given))


@pytest.mark.parametrize("name", AGGREGATES)
def test_a_hospital_without_records_for_a_member_has_no_say_in_it(name):
    given = exchange(7)
    records = given.records.clone()
    records[4, 1] = 0
    found = aggregated(name, 1)(given._replace(records=records))
    whole = aggregated(name, 1)(given)
    rest = [0, 1, 2, 3, 5, 6]
    without = given._replace(updates=given.updates[rest], records=given.records[rest])
    torch.testing.assert_close(found[1], aggregated(name, 1)(without)[1])
    torch.testing.assert_close(found[[0, 2]], whole[[0, 2]])


def test_a_member_that_nobody_trains_stays_as_it_was():
    given = exchange(5)
    records = given.records.clone()
    records[:, 1] = 0
    found = aggregated("mean", 0)(given._replace(records=records))
    assert torch.equal(found[1], given.parameters[1])


@pytest.mark.parametrize(
    ("name", "tolerated", "least"),
    [
        ("median", 1, 3),
        ("trimmed_mean", 2, 5),
        ("krum", 1, 5),
        ("multi_krum", 2, 7),
        ("krum", 0, 3),
    ],
)
def test_too_few_hospitals_are_one_clear_line(name, tolerated, least):
    check_enough(name, tolerated, least)
    with pytest.raises(BadInput, match=f"{name} takes {least} hospitals to stand") as refused:
        check_enough(name, tolerated, least - 1)
    assert "\n" not in str(refused.value)
    with pytest.raises(BadInput, match=f"takes {least}"):
        aggregated(name, tolerated)(exchange(least - 1))


def test_a_rule_that_is_none_is_refused():
    with pytest.raises(BadInput, match="did you mean 'median'"):
        aggregated("medain", 0)


def test_scores_of_krum_leave_out_itself_and_the_far_ones():
    line = torch.tensor([0.0, 1.0, 3.0, 100.0]).view(4, 1, 1)
    assert krum_scores(line, 1).flatten().tolist() == [1.0, 1.0, 4.0, 97.0**2]
