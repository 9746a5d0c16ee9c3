"""Attacks that keep relations between values: ours, TabularBench's, and the truth beside both.

On made-up patients, whose ranges all are ten scales wide and whose measurements are whole numbers,
because the peers can say no other threat (`benchmarks.tabular`). One network; who is held out and
answered rightly is attacked.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from benchmarks.contest import OURS, version_of
from benchmarks.table import duration, table
from benchmarks.tabular import HALF, STEPS, Peer
from pipeline.attacks.evasion import evasion_suite
from pipeline.config import Config, FeatureConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.models.answers import margin
from pipeline.models.mlp import as_module
from pipeline.models.population import Networks, networks_of
from pipeline.verify import Nearest, verify
from pipeline.verify.nearest import SAME_RADIUS
from pipeline.verify.network import Network

# None of them ends at a whole number of any unit, where rounding would decide who is inside.
RADII = (0.17, 0.33, 0.53)
SUITE = ("pgd_margin", "apgd_margin", "square")
LONG = 100  # steps of CAPGD beside those that its authors take
BUDGET = 20_000  # boxes for one record
PATIENTS, FOLDS = 500, 5
PEER = "tabularbench"
Result = TypeVar("Result")

# unit, lower, scale, decimals; whoever is not `age` may be forged.
COLUMNS: dict[str, tuple[str, float, float, int]] = {
    "age": ("years", 0, 12, 0),
    "systolic": ("mmHg", 80, 15, 0),
    "diastolic": ("mmHg", 40, 10, 0),
    "cholesterol": ("mg/dL", 80, 40, 0),
    "hdl": ("mg/dL", 10, 15, 0),
    "ldl": ("mg/dL", 10, 35, 0),
    "glucose": ("mg/dL", 50, 30, 0),
    "weight": ("kg", 35, 15, 0),
    "height": ("cm", 120, 10, 0),
    "bmi": ("kg/m2", 10, 6, 1),
}
RELATIONS = ("diastolic + 5 <= systolic", "hdl + ldl <= cholesterol")
DERIVED = (("bmi", "round(weight / (height / 100) ** 2, 1)"),)


def _feature(name: str) -> FeatureConfig:
    unit, lower, scale, decimals = COLUMNS[name]
    return FeatureConfig(
        unit=unit,
        kind="real" if decimals else "integer",
        lower=lower,
        upper=lower + 10 * scale,
        step=10.0**-decimals,
        mutable=name != "age",
        private=False,
        center=lower + 4 * scale,
        scale=scale,
        source="made up",
        error=None,
        error_source=None,
    )


SCHEMA = Schema(
    tuple(COLUMNS),
    tuple(map(_feature, COLUMNS)),
    "outcome",
    ("healthy", "ill"),
    relations=RELATIONS,
    derived=DERIVED,
)


def in_their_words(*, stated: bool) -> list[Any]:
    """The relations in TabularBench's language, which has no rounding."""
    from tabularbench.constraints.relation_constraint import Constant, EqualConstraint, Feature

    relations = [
        Feature("diastolic") + Constant(5.0) <= Feature("systolic"),
        Feature("hdl") + Feature("ldl") <= Feature("cholesterol"),
    ]
    if not stated:
        return relations
    metres = Feature("height") / Constant(100.0)
    mass = Feature("weight") / metres ** Constant(2.0)
    half = 10.0 ** -COLUMNS["bmi"][3] / 2
    return [*relations, EqualConstraint(Feature("bmi"), mass, Constant(half + HALF))]


class Computing(nn.Module):
    """A network that computes the body mass itself; its gradient passes through the rounding."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        weight, height = (x[..., [list(COLUMNS).index(name)]] for name in ("weight", "height"))
        mass = weight / (height / 100) ** 2
        written = mass + (mass.round(decimals=COLUMNS["bmi"][3]) - mass).detach()
        answer: Tensor = self.network(torch.cat([x[..., :-1], written], -1))
        return answer


def made_up(patients: int, seed: int) -> Dataset:
    """Patients who owe nothing to anybody, whose values keep every relation."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(patients, 10, generator=generator).double()

    def whole(center: float, spread: float, of: Tensor, low: float, high: float) -> Tensor:
        return (center + spread * of).clamp(low, high).round()

    age = whole(55, 12, z[:, 0], 18, 95)
    systolic = whole(130, 15, z[:, 1], 85, 220)
    diastolic = whole(80, 10, 0.6 * z[:, 1] + 0.8 * z[:, 2], 45, 135).minimum(systolic - 5)
    hdl, ldl = whole(52, 15, z[:, 3], 15, 100), whole(125, 35, z[:, 4], 20, 300)
    cholesterol = hdl + ldl + whole(25, 12, z[:, 5], 0, 80)  # the rest is in neither
    glucose = whole(110, 30, z[:, 6], 55, 340)
    weight, height = whole(78, 14, z[:, 7], 45, 120), whole(169, 9, z[:, 8], 140, 205)
    bmi = torch.round(weight / (height / 100) ** 2, decimals=1)
    columns = [age, systolic, diastolic, cholesterol, hdl, ldl, glucose, weight, height, bmi]
    x = torch.stack(columns, 1)
    unit = (x - x.mean(0)) / SCHEMA.column("scale")
    pulse = (unit[:, 1] - unit[:, 2]).clamp_min(0)  # what no single value says
    score = unit[:, 0] + unit[:, 1] + unit[:, 6] + unit[:, 9] - unit[:, 4] + pulse - 0.5
    y = (score + 0.7 * z[:, 9] > 0).long()
    return Dataset(x.float(), y, SCHEMA)


@dataclass(frozen=True)
class Attacked:
    """One network, whom it did not train on and answers rightly, and what may be done to them.

    Attributes:
        population: the network.
        x: (B, D) records.
        y: (B,) class indices.
        held_out: how many it did not train on, however they are answered.
        threat: with relations.
    """

    population: Networks
    x: Tensor
    y: Tensor
    held_out: int
    threat: Threat

    def wrong(self, made: Tensor) -> Tensor:
        """(B, P) bool: which proposals (B, P, D) change the answer, in float64."""
        logits = self.population.double()(made.transpose(0, 1)[:, None].double())[:, 0]
        return (margin(logits, self.y) <= 0).T

    def broken(self, made: Tensor, eps: float) -> Tensor:
        """(B,) bool: of whom a proposal changes the answer within ball, range, grid, relations."""
        sound = torch.zeros(len(made), dtype=torch.bool)
        for record, proposal in self.wrong(made).nonzero().tolist():
            if not sound[record]:
                x_adv, x = made[record, proposal][None], self.x[record][None]
                sound[record] = self.threat.violations(x_adv, x, eps) == 0
        return sound

    def as_recorded(self, made: Tensor) -> Tensor:
        """Proposals (B, P, D) as a form would take them: what is derived is computed."""
        assert self.threat.relations is not None
        return self.threat.relations.completed(made, self.x[:, None])


@dataclass(frozen=True)
class Tried:
    """What an attack made.

    Attributes:
        name: of the attack.
        by: whose it is.
        made: (B, P, D) its proposals.
        claimed: (B, P) bool, which of them it counts as successes.
        seconds: of processors.
    """

    name: str
    by: str
    made: Tensor
    claimed: Tensor
    seconds: float


def attacked(cfg: Config) -> Attacked:
    """A network, trained on four fifths of the patients, and the others."""
    dataset = made_up(PATIENTS, cfg.seed)
    plan = Plan.cross_validation(
        dataset.y, folds=FOLDS, seeds=1, seed=cfg.seed, release=False
    ).select(torch.tensor([0]))
    population = networks_of(train("baseline", dataset, plan, cfg))
    x, y = dataset.x[plan.held_out[0]], dataset.y[plan.held_out[0]]
    right = margin(population.double()(x[None].double())[0], y) > 0
    threat = Threat.of(SCHEMA, cfg.threat["clinical"])
    return Attacked(population, x[right], y[right], len(y), threat)


def measure_constrained(cfg: Config) -> list[dict[str, Any]]:
    """One entry per radius and attack, and the truth.

    Counts are of records that were answered rightly: `claimed` whom the attack says that it broke;
    `presented` whom of them it did by our checks, with every value as proposed; `recorded` whom of
    them once what is derived is computed from the other values; `found` whom any of its proposals
    breaks then, claimed or not.
    """
    problem = attacked(cfg)
    stated, computing = peer_of(problem, stated=True), peer_of(problem, stated=False)
    stated.capgd(problem.x[:2], problem.y[:2], RADII[0], steps=1)  # imports, and first calls
    # Minutes of work for all radii at once, so in the words of the package alone.
    evolved, evolution = timed(lambda: stated.moeva(problem.x, problem.y))
    truth, proving = timed(lambda: _truth(problem))
    entries = []
    for eps in RADII:
        tried = [
            *_suite(problem, eps, cfg),
            *_descended(problem, f"{PEER}, bmi computed", computing, eps),
            *(descended := _descended(problem, f"{PEER}, bmi stated", stated, eps)),
            *_evolved(problem, descended[0], stated, eps, evolved, evolution),
        ]
        entries += [entry_of(problem, eps, one, truth) for one in tried]
        entries.append(exact_entry(problem, eps, truth, proving))
    return entries


def network_of(problem: Attacked) -> nn.Module:
    """The network alone: logits (..., C) of records (..., D)."""
    network = as_module(problem.population.parameters, problem.population.preprocessing, 0)
    return network.eval().requires_grad_(False)


def peer_of(problem: Attacked, *, stated: bool) -> Peer:
    """The network in TabularBench's words, the body mass stated as a relation or computed in it."""
    network = network_of(problem)
    return Peer.of(
        network if stated else Computing(network),
        SCHEMA,
        problem.threat,
        lambda: in_their_words(stated=stated),
        stated=stated,
    )


def _suite(problem: Attacked, eps: float, cfg: Config) -> list[Tried]:
    """Each attack of ours, all of them, and all of them where no value knows of another."""
    clinical = cfg.threat["clinical"]
    apart = Threat.of(SCHEMA, clinical.model_copy(update={"consistent": False}))
    tried = [_ours(problem, problem.threat, name, eps, cfg) for name in SUITE]
    ignoring = [_ours(problem, apart, name, eps, cfg) for name in SUITE]
    return [*tried, together("suite", tried), together("suite, relations ignored", ignoring)]


def _ours(problem: Attacked, threat: Threat, name: str, eps: float, cfg: Config) -> Tried:
    attack = evasion_suite({name: cfg.attack[name]})[name]
    generator = torch.Generator().manual_seed(cfg.seed)
    x, y = problem.x[None], problem.y

    def run() -> Tensor:  # as every stage does, what an attack returns is projected
        made = attack(problem.population, x, y, threat, eps=eps, generator=generator)
        return threat.project(made, x, eps)[0][:, None]

    made, seconds = timed(run)
    return Tried(name, OURS, made, problem.wrong(made), seconds)


def _descended(problem: Attacked, by: str, peer: Peer, eps: float) -> list[Tried]:
    """CAPGD as its authors run it, and longer."""
    x, y = problem.x, problem.y

    def run(name: str, steps: int) -> Tried:
        made, seconds = timed(lambda: peer.capgd(x, y, eps, steps))
        return Tried(name, by, made, peer.claims(x, y, made, eps), seconds)

    return [run("CAPGD", STEPS), run(f"CAPGD, {LONG} steps", LONG)]


def _evolved(
    problem: Attacked, capgd: Tried, peer: Peer, eps: float, made: Tensor, seconds: float
) -> list[Tried]:
    """MOEVA, which knows no radius, and CAA, which runs it on whom CAPGD left.

    MOEVA treats each record by itself, with one seed: of those it finds what it finds of everybody.
    """
    moeva = Tried("MOEVA", capgd.by, made, peer.claims(problem.x, problem.y, made, eps), seconds)
    left = float((~capgd.claimed.any(1)).float().mean())
    both = together("CAA: CAPGD, then MOEVA", [capgd, moeva])
    return [moeva, replace(both, seconds=capgd.seconds + left * seconds)]


def together(name: str, tried: list[Tried]) -> Tried:
    """Several attacks as one, which has all their proposals."""
    return Tried(
        name,
        tried[0].by,
        torch.cat([one.made for one in tried], 1),
        torch.cat([one.claimed for one in tried], 1),
        sum(one.seconds for one in tried),
    )


def _truth(problem: Attacked) -> Nearest:
    return verify(
        Network.of(problem.population, 0),
        problem.x,
        problem.y,
        problem.threat,
        largest=max(RADII),
        budget=BUDGET,
    )


def exact_entry(problem: Attacked, eps: float, truth: Nearest, seconds: float) -> dict[str, Any]:
    """What the verifier decides at one radius; the seconds are of all."""
    robust, broken = truth.robust_below > eps + SAME_RADIUS, truth.breaks_at <= eps + SAME_RADIUS
    return {
        "eps": eps,
        "attack": "exact",
        "by": OURS,
        "held_out": problem.held_out,
        "right": len(problem.y),
        "found": int(broken.sum()),
        "undecided": int((~robust & ~broken).sum()),
        "cpu_s": round(seconds, 3),
    }


def entry_of(problem: Attacked, eps: float, tried: Tried, truth: Nearest) -> dict[str, Any]:
    """What an attack did at one radius.

    Raises:
        RuntimeError: it broke a record of which the contrary is proved.
    """
    said = torch.where(tried.claimed[..., None], tried.made, problem.x[:, None])
    found = problem.broken(problem.as_recorded(tried.made), eps)
    if (found & (truth.robust_below > eps + SAME_RADIUS)).any():
        raise RuntimeError(f"{tried.name} broke a record at {eps} of which the contrary is proved")
    return {
        "eps": eps,
        "attack": tried.name,
        "by": tried.by,
        "held_out": problem.held_out,
        "right": len(problem.y),
        "claimed": int(tried.claimed.any(1).sum()),
        "presented": int(problem.broken(said, eps).sum()),
        "recorded": int(problem.broken(problem.as_recorded(said), eps).sum()),
        "found": int(found.sum()),
        **({"version": version_of(PEER)} if tried.by != OURS else {}),
        "cpu_s": round(tried.seconds, 3),
    }


def timed(run: Callable[[], Result]) -> tuple[Result, float]:
    """What `run` returns, and its seconds of processors, which a busy machine hardly changes."""
    begin = time.process_time()
    return run(), time.process_time() - begin


def constrained_table(entries: list[dict[str, Any]]) -> str:
    """One line per entry; the accuracy is what is left of those held out by `found`."""
    counts = ["claimed", "presented", "recorded", "found", "undecided"]
    lines = [
        [
            entry["attack"],
            entry["by"],
            str(entry["eps"]),
            *(str(entry.get(name, "")) for name in counts),
            f"{(entry['right'] - entry['found']) / entry['held_out']:.3f}",
            duration(entry["cpu_s"]),
        ]
        for entry in entries
    ]
    return table(["attack", "by", "eps", *counts, "robust accuracy", "CPU time"], lines, left=2)
