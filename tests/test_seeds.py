"""Streams of random numbers: which start at the same number, and no offset stands elsewhere.

A known collision is listed below until the streams are parted; a new one fails.
"""

import ast
from itertools import combinations

import pytest
import yaml

import tiny
from pipeline import params, seeds
from pipeline.risks.frontier.measure.settings import FrontierSettings
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.theft.measure.settings import TheftSettings

# Each set: streams that start at the same number with seed 0. The first all start at the seed
# itself, those of several starts (models, attacks, rounds) with their first one.
KNOWN = (
    {
        "weights of the cross-validation",
        "evasion attacks",
        "adversarial training",
        "diagnostics",
        "noisy copies for membership",
        "halves for inversion",
        "weights of stolen copies",
        "evasion by stolen copies",
        "records that a thief proposes",
    },
    # Both belong to one experiment, and draw different kinds of numbers.
    {"coins of the halves for theft", "uniform records for theft"},
    # The 25th model of the cross-validation.
    {"noise of DP-SGD, cross-validation", "choices of the poisoners"},
)


def numbered(first: int, count: int) -> range:
    return range(first, first + count)


def of_models(first: int, count: int, what: str) -> dict[str, range]:
    """What a recipe draws for models whose seeds follow each other."""
    streams = {
        "weights": 0,
        "batches": seeds.BATCHES,
        "draws of DP-SGD": seeds.POISSON_DRAW,
        "noise of DP-SGD": seeds.DP_NOISE,
    }
    return {f"{name}, {what}": numbered(first + offset, count) for name, offset in streams.items()}


def streams(cfg) -> dict[str, range | list[int]]:
    """By name, where each generator of torch starts."""
    seed, theft = cfg.seed, cfg.section(TheftSettings)
    members, frontier = cfg.section(MembershipSettings), cfg.section(FrontierSettings)
    models = cfg.plan.folds * cfg.plan.seeds + 1
    runs = -(-max(members.canaries, frontier.canaries) // len(cfg.data.features))
    halves = {
        "membership": (seed + seeds.MEMBERSHIP_HALVES, max(members.targets, frontier.targets)),
        "canaries": (seed + seeds.CANARIES, runs),
        "theft": (seed + seeds.THEFT_HALVES, theft.victims),
    }
    cross = of_models(seeds.of_folds(seed), models, "cross-validation")
    found: dict[str, range | list[int]] = {
        "weights of the cross-validation": cross.pop("weights, cross-validation"),
        **cross,
        "folds of the filter": numbered(seeds.of_folds(seed) + seeds.FILTER_FOLDS, models),
    }
    for what, (_, count) in halves.items():
        found |= of_models(seeds.of_halves(halves[what][0]), count, f"{what} halves")
    victims = [seeds.of_halves(halves["theft"][0]) + one for one in range(theft.victims)]
    companions = [
        one + seeds.COMPANION * place for one in victims for place in range(1, theft.ensemble)
    ]
    return {
        **found,
        "weights of companions": companions,
        "batches of companions": [one + seeds.BATCHES for one in companions],
        "coins of the halves for membership": numbered(halves["membership"][0], 1),
        "coins of the canaries": numbered(halves["canaries"][0], 1),
        "coins of the halves for theft": numbered(halves["theft"][0], 1),
        "coins of the test patients for theft": numbered(seed + seeds.THEFT_TESTS, 1),
        "uniform records for theft": numbered(seed + seeds.THEFT_INPUTS, 1),
        "weights of stolen copies": numbered(seed + seeds.COPIES, 1),
        "batches of stolen copies": numbered(seed + seeds.COPIES + seeds.COPY_BATCHES, 1),
        "evasion by stolen copies": numbered(seed + seeds.EVASION_BY_COPIES, 1),
        "records that a thief proposes": numbered(seeds.of_proposals(seed, 0), len(theft.budgets)),
        "choices of the poisoners": numbered(seed + seeds.POISONERS, 1),
        "ties of the filters": numbered(seed + seeds.FILTER_TIES, 1),
        "evasion attacks": numbered(seeds.of_attack(seed, 0), len(cfg.attack)),
        "adversarial training": numbered(seed + seeds.ADVERSARIAL_TRAINING, 1),
        "diagnostics": numbered(seed + seeds.DIAGNOSTICS, 1),
        "noisy copies for membership": numbered(seed + seeds.MEMBERSHIP_NOISE, 1),
        "halves for inversion": numbered(seed + seeds.INVERSION_HALVES, 1),
    }


def meeting(starts) -> set[frozenset[str]]:
    """Pairs of streams of which two generators start at the same number."""
    return {
        frozenset((one, other))
        for one, other in combinations(starts, 2)
        if set(starts[one]) & set(starts[other])
    }


@pytest.fixture(scope="module")
def default():
    return params.parse(yaml.safe_load((tiny.ROOT / "params.yaml").read_text()), "params.yaml")


def test_no_streams_meet_but_those_that_are_known_to(default):
    known = {frozenset(pair) for group in KNOWN for pair in combinations(sorted(group), 2)}
    assert meeting(streams(default)) == known


def test_two_streams_of_one_offset_would_be_found(default, monkeypatch):
    before = meeting(streams(default))
    monkeypatch.setattr(seeds, "FILTER_TIES", seeds.MEMBERSHIP_HALVES)
    new = meeting(streams(default)) - before
    assert new == {frozenset(("coins of the halves for membership", "ties of the filters"))}


@pytest.mark.parametrize("seed", [1, 2, 20_261_126, 2**32 - 1])
def test_another_seed_has_no_more_collisions_and_fits_a_generator(default, seed):
    import torch

    starts = streams(default.model_copy(update={"seed": seed}))
    known = {frozenset(pair) for group in KNOWN for pair in combinations(sorted(group), 2)}
    assert meeting(starts) <= known
    for numbers in starts.values():
        torch.Generator().manual_seed(max(numbers))
    assert 0 <= seeds.of_partition(seed, default.plan.seeds) < 2**32


def shifted(tree: ast.AST) -> list[str]:
    """Sums and products of a large whole number and something with a seed in its name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
            sides = (node.left, node.right)
            large = [
                one.value
                for one in sides
                if isinstance(one, ast.Constant) and isinstance(one.value, int) and one.value > 99
            ]
            if large and "seed" in ast.unparse(node):
                found.append(ast.unparse(node))
    return found


def test_the_scan_sees_what_it_looks_for():
    assert shifted(ast.parse("manual_seed(int(seed) + 7_919)")) == ["int(seed) + 7919"]
    assert shifted(ast.parse("generator(cfg.seed * 1000 + number)")) == ["cfg.seed * 1000"]
    assert shifted(ast.parse("seed + 1; seed + OFFSET; patients + 1000")) == []


def test_nobody_else_adds_a_number_to_a_seed():
    found = {}
    for path in sorted((tiny.ROOT / "pipeline").rglob("*.py")):
        if path.name != "seeds.py" and (places := shifted(ast.parse(path.read_text()))):
            found[path.relative_to(tiny.ROOT).as_posix()] = places
    assert found == {}


def test_no_generator_starts_at_the_configured_seed_without_a_name():
    """`cfg.seed` alone says nothing of what is drawn; a stream at offset 0 has a name, too."""
    found = []
    for path in sorted((tiny.ROOT / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                bare = [ast.unparse(one) for one in node.args if ast.unparse(one).endswith(".seed")]
                if node.func.attr in ("manual_seed", "default_rng") and bare:
                    found.append((path.name, bare))
    assert found == []
