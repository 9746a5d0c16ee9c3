"""Whether both sides of the comparison play by the same rules."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import constrained
from benchmarks.constrained import COLUMNS, RADII, SCHEMA, Attacked, Tried, made_up
from benchmarks.tabular import MISSED, Peer, as_published
from pipeline.data.threat import Threat
from pipeline.models.answers import margin
from pipeline.models.mlp import Architecture, initialise
from pipeline.models.networks import Networks, fitted_preprocessing
from pipeline.verify import Nearest
from tiny import threat_config

THREAT = Threat.of(SCHEMA, threat_config())
AT = {name: place for place, name in enumerate(COLUMNS)}
EPS = 0.33


def mass(weight, height) -> float:
    return round(weight / (height / 100) ** 2, 1)


def untrained(*, bias: float) -> Attacked:
    """30 patients of a network of random weights, and the answers that it gives."""
    data = made_up(30, seed=1)
    shape = Architecture("mlp", len(COLUMNS), 2, (6,))
    constants = fitted_preprocessing(data.x, torch.ones(1, 30, dtype=torch.bool))
    weights = initialise(shape, torch.tensor([0]))
    weights["bias1"] = weights["bias1"] + torch.tensor([0.0, bias])
    population = Networks(shape, constants, weights, ("one",))
    y = (margin(population(data.x[None])[0], torch.ones(30, dtype=torch.int64)) > 0).long()
    return Attacked(population, data.x, y, 30, THREAT)


@pytest.fixture
def problem() -> Attacked:
    """Half of all are called ill."""
    logits = untrained(bias=0.0)
    made = logits.population(logits.x[None])[0]
    return untrained(bias=float((made[:, 0] - made[:, 1]).quantile(0.5)))


@pytest.fixture
def stubborn() -> Attacked:
    """The same answer to everybody, which nobody gave: whatever is allowed is a success."""
    one = untrained(bias=100.0)
    return replace(one, y=1 - one.y)


def peer(problem: Attacked, *, stated: bool) -> Peer:
    for name in ("torchattacks", "pymoo", "autograd", "tabularbench"):
        pytest.importorskip(name)
    return constrained.peer_of(problem, stated=stated)


def proposals(x: torch.Tensor, seed: int, *, reach: float) -> torch.Tensor:
    """(B, 40, D) whole numbers within `reach` of the ball, body mass not yet rounded."""
    generator = torch.Generator().manual_seed(seed)
    z = (2 * torch.rand(len(x), 40, x.shape[1], generator=generator) - 1) * reach * EPS
    made = torch.round(x[:, None] + z * THREAT.scale)
    made[..., AT["age"]] = x[:, None, AT["age"]]
    made[..., AT["bmi"]] = made[..., AT["weight"]] / (made[..., AT["height"]] / 100) ** 2
    return made.float()


# ---- the patients ----


def test_patients_keep_what_is_asked_of_a_forger():
    data = made_up(400, seed=3)
    for row in data.x.tolist():
        one = dict(zip(COLUMNS, row, strict=True))
        assert one["diastolic"] + 5 <= one["systolic"]
        assert one["hdl"] + one["ldl"] <= one["cholesterol"]
        assert one["bmi"] == pytest.approx(mass(one["weight"], one["height"]), abs=1e-4)
        for name, (_, lower, scale, decimals) in COLUMNS.items():
            assert lower <= one[name] <= lower + 10 * scale
            assert one[name] == pytest.approx(round(one[name], decimals), abs=1e-4)
    assert 0.3 < data.y.float().mean() < 0.7
    assert THREAT.violations(data.x, data.x, 0.0) == 0


def test_no_radius_lies_where_rounding_decides():
    reach = torch.tensor(RADII, dtype=torch.float64)[:, None] * THREAT.scale[THREAT.mutable]
    assert ((reach - reach.round()).abs() > 0.01).all()


# ---- our checks ----


def test_a_success_keeps_ball_grid_and_relations(stubborn):
    one = replace(stubborn, x=stubborn.x[:1], y=stubborn.y[:1])
    near = one.x.clone()
    near[0, AT["glucose"]] += 1
    assert one.broken(near[:, None], EPS).all()
    faults = {"glucose": 30.0, "hdl": 0.5, "bmi": 0.1, "age": 1.0}
    for name, by in faults.items():
        wrong = near.clone()
        wrong[0, AT[name]] += by
        assert not one.broken(wrong[:, None], EPS).any(), name
    assert one.broken(torch.stack([wrong, near], 1), EPS).all()


def test_what_leaves_the_answer_is_no_success(problem):
    right = problem.wrong(problem.x[:, None])[:, 0].logical_not()
    assert right.all()
    assert not problem.broken(problem.x[:, None], EPS).any()


def test_a_form_computes_the_body_mass(problem):
    made = proposals(problem.x, 5, reach=1.0)
    taken = problem.as_recorded(made)
    both = (made.flatten(0, 1).tolist(), taken.flatten(0, 1).tolist())
    for before, after in zip(*both, strict=True):
        expected = mass(before[AT["weight"]], before[AT["height"]])
        assert after[AT["bmi"]] == pytest.approx(expected, abs=1e-4)
        assert after[: AT["bmi"]] == before[: AT["bmi"]]


def nearest(problem: Attacked, robust_below: float) -> Nearest:
    at = torch.full((len(problem.y),), robust_below, dtype=torch.float64)
    return Nearest(at, at + 0.5, problem.x, torch.ones(len(problem.y), dtype=torch.int64))


def test_counts_are_of_records_not_of_proposals(problem):
    made = proposals(problem.x, 6, reach=1.0)
    claimed = torch.zeros(made.shape[:2], dtype=torch.bool)
    claimed[:4, :7] = True
    tried, truth = Tried("some", "peer", made, claimed, 1.0), nearest(problem, 0.0)
    entry = constrained.entry_of(problem, EPS, tried, truth)
    assert entry["claimed"] == 4
    assert 0 < entry["found"] < 30
    assert entry["presented"] <= entry["recorded"] <= min(4, entry["found"])
    twice = constrained.together("twice", [tried, tried])
    assert constrained.entry_of(problem, EPS, twice, truth)["found"] == entry["found"]
    assert twice.seconds == 2.0


def test_a_success_against_a_proof_stops_everything(problem):
    made = proposals(problem.x, 6, reach=1.0)
    tried = Tried("some", "peer", made, torch.zeros(made.shape[:2], dtype=torch.bool), 1.0)
    with pytest.raises(RuntimeError, match="the contrary is proved"):
        constrained.entry_of(problem, EPS, tried, nearest(problem, 2 * EPS))


def test_exact_counts_what_is_left_open(problem):
    # Everybody is robust below 0.4 and broken at 0.9.
    for eps, (broken, open_) in {0.1: (0, 0), 0.6: (0, 30), 0.9: (30, 0)}.items():
        entry = constrained.exact_entry(problem, eps, nearest(problem, 0.4), 1.0)
        assert (entry["found"], entry["undecided"]) == (broken, open_), eps


# ---- their words ----


def test_numpy_is_left_as_it_was():
    threads, shown = torch.get_num_threads(), np.get_printoptions()
    before = {name for name in MISSED if name in vars(np)}

    def careless() -> None:
        with as_published():
            assert all(name in vars(np) for name in MISSED)
            torch.set_num_threads(threads + 1)
            np.set_printoptions(threshold=7)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        careless()
    assert {name for name in MISSED if name in vars(np)} == before
    assert torch.get_num_threads() == threads
    assert np.get_printoptions() == shown


@pytest.mark.parametrize("stated", [True, False])
def test_both_sides_allow_the_same_records(stubborn, stated):
    """Of whole numbers in and around the ball, next to the relations; the body mass follows."""
    x = stubborn.x.clone()
    x[:, AT["diastolic"]] = (x[:, AT["systolic"]] - 6).clamp_max(135)
    x[:, AT["cholesterol"]] = x[:, AT["hdl"]] + x[:, AT["ldl"]] + 1
    near = replace(stubborn, x=x)
    made = proposals(x, 7, reach=1.02)
    if not stated:
        made[..., AT["bmi"]] = x[:, None, AT["bmi"]]
    theirs, recorded = peer(near, stated=stated), near.as_recorded(made)
    ours = torch.stack([near.broken(recorded[:, [one]], EPS) for one in range(40)], 1)
    assert 0.1 < ours.float().mean() < 0.8
    for written in (made, recorded) if stated else (made,):
        assert (theirs.claims(x, near.y, written, EPS) == ours).all()


def test_a_network_that_computes_the_body_mass_answers_what_is_recorded(problem):
    made = proposals(problem.x, 8, reach=1.0)
    network = constrained.network_of(problem)
    made[..., AT["bmi"]] = 99.0  # whatever stands there
    computing = constrained.Computing(network)
    assert torch.allclose(computing(made), network(problem.as_recorded(made)), atol=1e-5)
    moved = made[0, :1].clone().requires_grad_()
    computing(moved)[..., 1].sum().backward()
    through = moved.grad.clone()
    moved.grad = None
    network(moved)[..., 1].sum().backward()
    differs = (through - moved.grad)[0].abs() > 1e-6
    assert {name for name, place in AT.items() if differs[place]} >= {"weight", "height", "bmi"}
    assert through[0, AT["bmi"]] == 0


@pytest.mark.parametrize("stated", [True, False])
def test_their_attacks_find_records_that_we_allow(problem, stated):
    theirs = peer(problem, stated=stated)
    made = theirs.capgd(problem.x, problem.y, EPS)
    claimed = theirs.claims(problem.x, problem.y, made, EPS)[:, 0]
    assert made.shape == (30, 1, len(COLUMNS))
    assert claimed.sum() >= 3
    # Rounding the body mass may take back a change of the answer, never what is allowed.
    recorded = problem.as_recorded(made)
    assert (problem.broken(recorded, EPS) == problem.wrong(recorded)[:, 0])[claimed].all()
    assert stated or problem.wrong(recorded)[:, 0][claimed].all()


def test_what_cannot_be_said_in_their_words_is_refused():
    wide = replace(THREAT, upper=THREAT.upper * 2)
    halves = replace(THREAT, step=THREAT.step / 2)
    for threat, why in ((wide, "as many scales"), (halves, "whole numbers")):
        with pytest.raises(ValueError, match=why):
            Peer.of(torch.nn.Linear(10, 2), SCHEMA, threat, list, stated=True)
