"""Streams of random numbers: none meet, those that are compared share one, no other place starts.

`drawn` lists what each stream of the default configuration starts at; a stream of the registry that
it lacks fails. `started` watches a recipe instead of a list.
"""

import ast
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import yaml

import tiny
from pipeline import params, seeds
from pipeline.data.plan import Plan
from pipeline.defenses.trained import train
from pipeline.models.mlp import Architecture
from pipeline.risks.federation.measure.claims import CANARIES
from pipeline.risks.frontier.measure.epsilons import Training, at_each_noise, training_numbers
from pipeline.risks.frontier.measure.settings import FrontierSettings
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.poisoning.measure.filters import loss
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.risks.theft.measure.victims import companions
from pipeline.seeds import Stream

OF_A_MODEL = (
    Stream.WEIGHTS,
    Stream.BATCHES,
    Stream.POISSON_DRAW,
    Stream.DP_NOISE,
    Stream.SERVER_NOISE,
    Stream.NOISY_COPIES,
    Stream.OWN_FOLDS,
)
# started from the seed of a plan's first model
OF_A_FIRST_MODEL = (
    *(Stream.ADVERSARIAL_TRAINING, Stream.SHIFTS, Stream.NOISY_TRAINING),
    Stream.READING,
)
LOW = 2**32  # torch's generator on a CPU reads the last 32 bits of a seed


def halves(stream: Stream, seed: int, count: int) -> Plan:
    return Plan.random_halves(8, models=count, seed=seeds.of(stream, seed))


def drawn(cfg) -> dict[tuple[str, ...], list[int]]:
    """Where each stream of a configuration starts, by its name and by whose it is."""
    seed, theft = cfg.seed, cfg.section(TheftSettings)
    members, frontier = cfg.section(MembershipSettings), cfg.section(FrontierSettings)
    y = torch.arange(4 * cfg.plan.folds) % 2
    cross = Plan.cross_validation(y, folds=cfg.plan.folds, seeds=cfg.plan.seeds, seed=seed)
    counts = {
        Stream.MEMBERSHIP_HALVES: max(members.targets, frontier.targets),
        Stream.CANARY_RUNS: -(-max(members.canaries, frontier.canaries) // len(cfg.data.features)),
        Stream.CANARY_HOSPITALS: members.canaries // CANARIES,
        Stream.THEFT_HALVES: theft.victims,
    }
    plans_of = {what: halves(what, seed, count) for what, count in counts.items()}
    again = plans_of[Stream.MEMBERSHIP_HALVES].with_second_seeds(members.second_seeds)
    plans_of[Stream.MEMBERSHIP_HALVES] = again
    models = {what: plan.seeds for what, plan in plans_of.items()}
    behind = companions(halves(Stream.THEFT_HALVES, seed, theft.victims), theft.ensemble).seeds
    plans = {Stream.CROSS_VALIDATION: cross.seeds, **models, Stream.THEFT_HALVES: behind}
    copy = seeds.of(Stream.COPIES, seed)
    times = {
        Stream.PARTITION: cfg.plan.seeds,
        Stream.EVASION: len(cfg.attack),
        Stream.EVASION_OF_EVERYONE: len(cfg.attack),
        Stream.EVASION_OF_VOTES: 5,
        Stream.SMOOTHING: cfg.plan.seeds,
        Stream.PROPOSALS: len(theft.budgets),
    }
    once = (
        *(Stream.THEFT_TESTS, Stream.THEFT_INPUTS, Stream.THEFT_NOISE),
        *(Stream.EVASION_BY_COPIES, Stream.EVASION_OF_HALVES, Stream.SAMPLE),
        *(Stream.BY_HAND, Stream.DIAGNOSTICS, Stream.MEMBERSHIP_NOISE),
        *(Stream.INVERSION_HALVES, Stream.UPDATES, Stream.POISONERS, Stream.FILTER_TIES),
        *(Stream.BOOTSTRAP, Stream.BLOCKS, Stream.BUNDLES),
    )
    found = {(stream,): [seeds.of(stream, seed)] for stream in once}
    # where records are set aside; the default sets nobody aside
    found[Stream.TUNE,] = [seeds.of(Stream.TUNE, one) for one in cross.seeds.tolist()]
    for stream, count in times.items():
        found[stream,] = [seeds.of(stream, seed, number) for number in range(count)]
    places = [(number, part) for number in range(10) for part in range(10)]
    found[Stream.SAFEGUARDS,] = [seeds.of(Stream.SAFEGUARDS, seed, *place) for place in places]
    shares = [0, 50_000, 100_000, 200_000, 500_000, 1_000_000]  # of queries, in a million
    found[Stream.MONITORED,] = [seeds.of(Stream.MONITORED, seed, share) for share in shares]
    found[Stream.GUARD,] = [seeds.of(Stream.GUARD, seed, number) for number in range(104)]
    for what, own in plans.items():
        for stream in OF_A_MODEL:
            found[stream, what] = [seeds.of(stream, one) for one in own.tolist()]
        for stream in OF_A_FIRST_MODEL:
            found[stream, what] = [seeds.of(stream, int(own[0]))]
    kinds = range(15)  # of updates that a server inverts
    found[Stream.HOSPITAL_UPDATES,] = [
        seeds.of(Stream.HOSPITAL_UPDATES, seed, place) for place in kinds
    ]
    rounds = [(site, number) for site in range(8) for number in range(20)]
    own = cross.seeds.tolist()
    found[Stream.HOSPITAL_ROUND,] = [
        seeds.of(Stream.HOSPITAL_ROUND, one, *place) for one in own for place in rounds
    ]
    for what in counts:
        found[Stream.COINS, what] = [seeds.of(Stream.COINS, seeds.of(what, seed))]
    boxes = [seeds.of(Stream.FORGED_BOXES, seed, member) for member in range(cfg.plan.folds)]
    found[Stream.FORGED_BOXES,] = boxes
    detectors = [seeds.of(Stream.DETECTOR, seed, member) for member in range(cfg.plan.folds)]
    for stream in (Stream.DETECTOR_WEIGHTS, Stream.FORGED_BATCHES):
        found[stream,] = [seeds.of(stream, one) for one in detectors]
    for stream in (Stream.WEIGHTS, Stream.COPY_BATCHES):
        found[stream, Stream.COPIES] = [seeds.of(stream, copy)]
    return found


# Names of seeds, from which the streams above start; nothing is drawn from them.
ORIGINS = {
    *(Stream.CROSS_VALIDATION, Stream.MEMBERSHIP_HALVES, Stream.CANARY_RUNS, Stream.THEFT_HALVES),
    *(Stream.COPIES, Stream.HALF, Stream.RELEASE, Stream.COMPANION, Stream.CANARY_HOSPITALS),
    *(Stream.INNER_FOLD, Stream.OWN_FOLD, Stream.AGAIN, Stream.REHEARSAL, Stream.ENSEMBLE),
    *(Stream.ELSEWHERE, Stream.ELSEWHERE_FOLD, Stream.OFFICIAL, Stream.DETECTOR),
}


def meeting(starts) -> list[tuple[object, object]]:
    """Pairs of starts that are one to a generator of 32 bits, within a stream or between two."""
    owner: dict[int, object] = {}
    met = []
    for name, own in starts.items():
        for start in own:
            if start % LOW in owner:
                met.append((owner[start % LOW], name))
            owner[start % LOW] = name
    return met


@pytest.fixture(scope="module")
def default():
    return params.parse(yaml.safe_load((tiny.ROOT / "params.yaml").read_text()), "params.yaml")


@pytest.fixture
def started(monkeypatch):
    """A list that fills with (stream, numbers) of every generator that starts."""
    found, real = [], seeds.generator

    def watched(stream, *numbers):
        found.append((stream, *numbers))
        return real(stream, *numbers)

    for module in ("mlp", "shuffles"):
        monkeypatch.setattr(f"pipeline.models.{module}.generator", watched)
    for module in ("data.nested", "defenses.noise"):
        monkeypatch.setattr(f"pipeline.{module}.generator", watched)
    return found


def of_stream(stream, found) -> list[tuple[int, ...]]:
    return [numbers for name, *numbers in found if name == stream]


# ---- no two meet ----


def test_every_stream_of_the_registry_is_listed(default):
    assert {name[0] for name in drawn(default)} | ORIGINS == set(Stream)
    assert not {name[0] for name in drawn(default)} & ORIGINS


@pytest.mark.parametrize("seed", [0, 1, 2, 20_261_126, 2**32, 2**63 - 1])
def test_no_two_streams_of_the_default_configuration_meet(default, seed):
    starts = drawn(default.model_copy(update={"seed": seed}))
    assert meeting(starts) == []
    assert sum(map(len, starts.values())) > 1000
    assert all(0 <= start < 2**63 for own in starts.values() for start in own)


def test_two_streams_that_meet_would_be_found():
    assert meeting({"one": [1, 2], "other": [3, 2 + LOW]}) == [("one", "other")]
    assert meeting({"one": [1, 1 + LOW], "other": [3]}) == [("one", "one")]


def test_numbers_are_told_apart_by_place_and_size():
    starts = [
        seeds.of(Stream.EVASION, 1),
        seeds.of(Stream.EVASION, 11),
        seeds.of(Stream.EVASION, 1, 1),
        seeds.of(Stream.EVASION, 1, 1, 1),
        seeds.of(Stream.EVASION, 11, 1),
        seeds.of(Stream.EVASION, 1, 11),
        seeds.of(Stream.EVASION, -1, 11),
        seeds.of(Stream.PROPOSALS, 1),
    ]
    assert len(set(starts)) == len(starts)
    assert not any("/" in stream for stream in Stream)


def test_a_start_never_changes_and_takes_any_whole_number():
    """The value is that of `printf weights/0 | b2sum -l 64`."""
    assert seeds.of(Stream.WEIGHTS, 0) == 0x5F8E_2440_4377_BAB6 >> 1
    for number in (np.int64(7), torch.tensor(7)):
        assert seeds.of(Stream.WEIGHTS, number) == seeds.of(Stream.WEIGHTS, 7)


def test_neighbouring_seeds_start_far_apart():
    """Half of the bits differ on average: 31.5, with a standard error of 0.13 over 1000."""
    starts = [seeds.of(Stream.WEIGHTS, seed) for seed in range(1001)]
    differ = [(a ^ b).bit_count() for a, b in pairwise(starts)]
    assert np.mean(differ) == pytest.approx(31.5, abs=0.6)


def test_generators_start_where_they_should():
    start = seeds.of(Stream.PROPOSALS, 3, 4)
    assert torch.equal(
        torch.rand(5, generator=seeds.generator(Stream.PROPOSALS, 3, 4)),
        torch.rand(5, generator=torch.Generator().manual_seed(start)),
    )
    ours, theirs = seeds.numpy_generator(Stream.PROPOSALS, 3, 4), np.random.default_rng(start)
    assert (ours.random(5) == theirs.random(5)).all()
    assert seeds.random_state(Stream.PROPOSALS, 3, 4) == start % LOW
    assert seeds.of_each(Stream.HALF, 3, 5)[4] == seeds.of(Stream.HALF, 3, 4)


# ---- those that are compared share a seed ----


def test_a_recipe_starts_at_the_weights_of_the_undefended_one(dataset, cfg, started):
    plan, weights = tiny.plan(dataset), []
    for name in ("baseline", "dp_train", "adv_train"):
        started.clear()
        train(name, dataset, plan, cfg)
        weights.append(of_stream(Stream.WEIGHTS, started))
    assert weights[0] == weights[1] == weights[2] == [[seed] for seed in plan.seeds.tolist()]


def test_teacher_and_student_share_weights_and_batches(dataset, cfg, started):
    plan = tiny.plan(dataset)
    train("distill", dataset, plan, cfg)
    for stream in (Stream.WEIGHTS, Stream.BATCHES):
        assert of_stream(stream, started) == 2 * [[seed] for seed in plan.seeds.tolist()]


def test_every_epsilon_has_the_same_weights_draws_and_noise(dataset, cfg, started):
    plan, (_, how) = tiny.plan(dataset), training_numbers(cfg)
    claims = [{"noise_multiplier": noise} for noise in (2.0, 1.0, 0.0)]
    training = Training(
        "linear", Architecture("linear", 5, 2, ()), claims, replace(how, steps=2, sample_rate=0.5)
    )
    at_each_noise(training, dataset, plan, "test")
    for stream in (Stream.WEIGHTS, Stream.POISSON_DRAW, Stream.DP_NOISE):
        assert of_stream(stream, started) == 3 * [[seed] for seed in plan.seeds.tolist()]


def test_a_filter_cuts_a_set_by_its_seed_and_trains_each_part_by_one_of_its_own(
    dataset, cfg, started
):
    plan = tiny.plan(dataset, seeds=1)
    loss(dataset, plan, lambda data, parts: train("baseline", data, parts, cfg), folds=2)
    assert of_stream(Stream.OWN_FOLDS, started) == [[seed] for seed in plan.seeds.tolist()]
    assert of_stream(Stream.BATCHES, started) == [
        [seeds.of(Stream.OWN_FOLD, seed, place)] for seed in plan.seeds.tolist() for place in (0, 1)
    ]


# ---- no other place starts a generator ----

STARTS = ("manual_seed", "default_rng", "RandomState", "SeedSequence", "seed_all")


def scanned(places=("pipeline", "benchmarks")):
    for place in places:
        for path in sorted((tiny.ROOT / place).rglob("*.py")):
            if path != tiny.ROOT / "pipeline" / "seeds.py":
                yield path.relative_to(tiny.ROOT).as_posix(), ast.parse(path.read_text())


def is_a_seed(node: ast.AST) -> bool:
    """Whether an operand is a seed itself: `seed`, `cfg.seed`, `plan.seeds[0]`, `int(seed)`."""
    if isinstance(node, ast.Call):
        whole = isinstance(node.func, ast.Name) and node.func.id == "int"
        return whole and any(map(is_a_seed, node.args))
    if isinstance(node, ast.Subscript):
        return is_a_seed(node.value)
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in ("seed", "seeds")


def shifted(tree: ast.AST) -> list[str]:
    """Arithmetic on a seed. The number of repetitions, `plan.seeds` of a configuration, is none."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and not isinstance(node.op, ast.Mod)
        and (is_a_seed(node.left) or is_a_seed(node.right))
        and "cfg.plan.seeds" not in ast.unparse(node)
    ]


def test_the_scan_sees_what_it_looks_for():
    for line in ("int(seed) + 7", "cfg.seed * 1000", "plan.seeds[0] + OFFSET", "OFFSET ^ seed"):
        assert shifted(ast.parse(f"manual_seed({line})")) == [line]
    assert shifted(ast.parse("of(stream, seed) % 2**32; seeds.of_each(s, 0, 5)")) == []


def test_nobody_does_arithmetic_on_a_seed():
    assert {path: places for path, tree in scanned() if (places := shifted(tree))} == {}


def test_every_generator_of_the_pipeline_starts_in_one_place():
    found = [
        (path, ast.unparse(node))
        for path, tree in scanned(["pipeline"])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in STARTS
    ]
    assert found == []


# Who draws from a stream beside another place, and why that is one stream.
SHARED = {
    Stream.MEMBERSHIP_HALVES: 3,  # frontier and federation are read beside it
    Stream.OFFICIAL: 2,  # a model that was trained elsewhere is the one of its split
    Stream.POISSON_DRAW: 2,  # our engine of DP-SGD and Opacus'
    Stream.DP_NOISE: 2,
    Stream.COPIES: 2,  # an attacker, and what diagnoses alone would teach
}


def test_every_stream_has_one_place_that_draws_from_it():
    used = [
        node.attr
        for _, tree in scanned(["pipeline"])
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Stream"
    ]
    counts = {stream: used.count(stream.name) for stream in Stream}
    assert counts == {stream: SHARED.get(stream, 1) for stream in Stream}
