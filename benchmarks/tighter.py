"""What better bounds would decide where 64 features leave records undecided: a study.

    python -m benchmarks.tighter        16 and 64 features
    python -m benchmarks.tighter 8      so many

The question is a yes or no at one radius, put to networks with two hidden layers. Beside what the
verifier does today stand: CROWN instead of parallel lines for the second layer, slopes of the lines
optimised for each box (alpha-CROWN, Xu et al. 2021, arXiv:2011.13824), and division by the sign of
a neuron instead of the middle of a value, with multipliers for the signs (beta-CROWN, Wang et al.
2021, arXiv:2103.06624). Kept in `benchmarks/tighter.json`.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.problem import load_problem
from benchmarks.scaling import LARGEST, SMALL, made_up
from benchmarks.table import table
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.files import read_json, write_json
from pipeline.models.population import networks_of
from pipeline.verify.nearest import nearest_record
from pipeline.verify.network import Network
from pipeline.verify.problem import Problem

KEPT = Path(__file__).with_name("tighter.json")
FEATURES, BUDGETS, STEPS, RATE = (16, 64), (200,), 10, 0.1
TOGETHER = 512  # boxes that are bounded at once
TODAY = "today"


@dataclass(frozen=True)
class Question:
    """Whether the margin lead . h + bias stays positive in each box; h is the second hidden layer.

    Attributes:
        first, second: weight and bias of the hidden layers.
        lead, bias: (P, n), (P,).
        centre: (P, D); `radius` likewise.
    """

    first: tuple[Tensor, Tensor]
    second: tuple[Tensor, Tensor]
    lead: Tensor
    bias: Tensor
    centre: Tensor
    radius: Tensor

    @classmethod
    def of(cls, network: Network, problem: Problem) -> "Question":
        """The same as a problem of the verifier, at its largest radius."""
        first, second, (weight, bias) = network.layers
        own, other = problem.own, problem.other
        lead, left = (weight[:, own] - weight[:, other]).T, bias[own] - bias[other]
        low, high = problem.low - problem.blur, problem.high + problem.blur
        return cls(first, second, lead, left, (low + high) / 2, (high - low) / 2)

    def where(self, rows: Tensor) -> "Question":
        """The question of some boxes."""
        own = (part[rows] for part in (self.lead, self.bias, self.centre, self.radius))
        return Question(self.first, self.second, *own)

    def margin(self, x: Tensor) -> Tensor:
        """(P,) at one record (P, D) each."""
        for weight, bias in (self.first, self.second):
            x = (x @ weight + bias).clamp_min(0)
        return (x * self.lead).sum(1) + self.bias

    def over_box(self, slope: Tensor, offset: Tensor) -> Tensor:
        """The least value of lines (P, ..., D) over each box."""
        shape = (len(slope), *[1] * (slope.dim() - 2), -1)
        centre, radius = self.centre.view(shape), self.radius.view(shape)
        return offset + (slope * centre).sum(-1) - (slope.abs() * radius).sum(-1)


@dataclass(frozen=True)
class Lines:
    """Lines around the ReLU of each neuron (P, n), of which `sign` says what is known (0 = not)."""

    low: Tensor
    high: Tensor
    sign: Tensor

    @classmethod
    def between(cls, low: Tensor, high: Tensor, sign: Tensor) -> "Lines":
        """What is left of the values where signs are known."""
        low = torch.where(sign > 0, low.clamp_min(0), low)
        return cls(low, torch.where(sign < 0, high.clamp_max(0), high), sign)

    @property
    def bends(self) -> Tensor:
        """(P, n): whether the neuron is on in one part and off in another."""
        return (self.low < 0) & (self.high > 0)

    @property
    def chord(self) -> Tensor:
        """(P, n): slope of the upper line."""
        above = self.high.clamp_min(0)
        return above / (above - self.low.clamp_max(0)).clamp_min(1e-300)

    @property
    def slope(self) -> Tensor:
        """(P, n): slope of the lower line that leaves out the smaller triangle."""
        return torch.where(self.bends, (self.high > -self.low).double(), self.chord)

    def through(self, carried: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Carries a lower bound (P, ..., n) back over the ReLU: its slope, and what is added."""
        shape = (len(carried), *[1] * (carried.dim() - 2), -1)
        lower = torch.where(self.bends, slope, self.chord.view(self.bends.shape)).view(shape)
        added = carried.clamp_max(0) * (-self.low.clamp_max(0) * self.chord).view(shape)
        return torch.where(carried >= 0, lower, self.chord.view(shape)) * carried, added.sum(-1)


def bound(
    question: Question, signs: tuple[Tensor, Tensor], steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Lower bounds of the margin (P,), their worst records (P, D), and how loose each neuron is.

    Args:
        question: P boxes.
        signs: (P, n) and (P, m), what is known of the neurons: 1 on, -1 off, 0 nothing.
        steps: of Adam on the slopes, and on the multipliers of known signs; 0 = plain CROWN.

    Returns:
        bounds, inf where the signs contradict each other; records; looseness (P, n + m), -1 where a
        neuron has no bend.
    """
    weight, bias = question.first
    middle, reach = question.centre @ weight + bias, question.radius @ weight.abs()
    first = Lines.between(middle - reach, middle + reach, signs[0])
    second = _second(question, first, signs[1])
    start = [first.slope, second.slope, *(torch.zeros_like(one) for one in signs)]
    best, slope, carried = _line(question, first, second, *start)
    chosen = [one.clone().requires_grad_() for one in start]
    adam = torch.optim.Adam(chosen, lr=RATE)
    for _ in range(steps):
        with torch.enable_grad():
            value = _line(question, first, second, *chosen)[0]
            adam.zero_grad()
            (-value.sum()).backward()
        adam.step()
        with torch.no_grad():
            for one, most in zip(chosen, (1.0, 1.0, None, None), strict=True):
                one.clamp_(0, most)
            value, *rest = _line(question, first, second, *chosen)
            up = value > best
            best = torch.where(up, value, best)
            slope = torch.where(up[:, None], rest[0], slope)
            carried = torch.where(up[:, None], rest[1], carried)
    empty = (first.low > first.high).any(1) | (second.low > second.high).any(1)
    loose = torch.cat([_looseness(first, carried), _looseness(second, question.lead)], 1)
    worst = question.centre - torch.sign(slope) * question.radius
    return torch.where(empty, torch.inf, best), worst, loose


def _second(question: Question, first: Lines, sign: Tensor) -> Lines:
    """What the second layer receives, by CROWN."""
    (weight, bias), (earlier, offset) = question.second, question.first
    ends = []
    for side in (1, -1):
        carried = (side * weight.T).expand(len(sign), -1, -1)
        carried, added = first.through(carried, first.slope)
        found = question.over_box(carried @ earlier.T, side * bias + added + carried @ offset)
        ends.append(side * found)
    return Lines.between(ends[0], ends[1], sign)


def _line(
    question: Question,
    first: Lines,
    second: Lines,
    slope_first: Tensor,
    slope_second: Tensor,
    pull_first: Tensor,
    pull_second: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """A lower bound of the margin, its slope, and what the first hidden layer counts for in it.

    Sound for all slopes in [0, 1] and all pulls >= 0: where a sign is known, sign * pull times what
    the neuron receives is no less than 0.
    """
    carried, offset = second.through(question.lead, slope_second)
    carried = carried - second.sign * pull_second
    offset = offset + question.bias + carried @ question.second[1]
    of_first = carried @ question.second[0].T
    carried, added = first.through(of_first, slope_first)
    carried = carried - first.sign * pull_first
    offset, slope = offset + added + carried @ question.first[1], carried @ question.first[0].T
    return question.over_box(slope, offset), slope, of_first


def _looseness(lines: Lines, carried: Tensor) -> Tensor:
    """How far the lines are from the ReLU, times what it counts for; -1 where they are one."""
    upper = -carried.clamp_max(0) * -lines.low * lines.chord
    lower = carried.clamp_min(0) * torch.minimum(-lines.low, lines.high) / 2
    return torch.where(lines.bends, upper + lower, -1.0)


@torch.no_grad()
def by_signs(question: Question, broken: Tensor, budget: int, steps: int) -> Tensor:
    """(P,) of each box 1 = positive in it, -1 = not, 0 = left open after so many parts of it.

    Of those `broken` (P,) it is known before.
    """
    total, (n, m) = len(question.lead), (len(question.first[1]), len(question.second[1]))
    spent, open_ = torch.zeros(total, dtype=torch.int64), torch.zeros(total, dtype=torch.bool)
    broken = broken | (question.margin(question.centre) <= 0)
    index = (~broken).nonzero()[:, 0]
    signs = torch.zeros(len(index), n + m, dtype=torch.float64)
    while len(index):
        now, later = index[:TOGETHER], index[TOGETHER:]
        known, rest = signs[:TOGETHER], signs[TOGETHER:]
        part = question.where(now)
        value, worst, loose = bound(part, (known[:, :n], known[:, n:]), steps)
        spent += torch.bincount(now, minlength=total)
        broken[now[part.margin(worst) <= 0]] = True
        most, neuron = loose.max(1)
        left = (value <= 0) & ~broken[now]
        given_up = left & ((most < 0) | (spent[now] >= budget))
        open_[now[given_up]] = True
        left &= ~given_up
        now, known, neuron = now[left], known[left], neuron[left]
        both = [known.scatter(1, neuron[:, None], side) for side in (1.0, -1.0)]
        index, signs = torch.cat([later, now, now]), torch.cat([rest, *both])
        alive = ~(broken | open_)[index]
        index, signs = index[alive], signs[alive]
    return torch.where(broken, -1, torch.where(open_, 0, 1))


def by_boxes(network: Network, problem: Problem, budget: int) -> Tensor:
    """The same by the verifier."""
    found = nearest_record(network, problem, budget=budget, any_will_do=True)
    broken = found.breaks_at.isfinite()
    return torch.where(broken, -1, torch.where(found.robust_below > problem.largest, 1, 0))


def _by_boxes(network: Network, problem: Problem, _: Question, *, budget: int) -> Tensor:
    return by_boxes(network, problem, budget)


def _by_signs(
    network: Network, problem: Problem, question: Question, *, budget: int, steps: int
) -> Tensor:
    """After the verifier's first search for records that break."""
    return by_signs(question, by_boxes(network, problem, 1) < 0, budget, steps)


def measure_tighter(cfg: Config, features: int) -> list[dict[str, Any]]:
    """One entry for each way: shares of the records, processor seconds, neurons with a bend."""
    dataset = made_up(SMALL["records"], features)
    plan = Plan.cross_validation(dataset.y, folds=2, seeds=1, seed=0, release=False)
    population = train("baseline", dataset, plan, cfg)
    threat = Threat.of(dataset.schema, cfg.threat["unconstrained"])
    index, _ = plan.held_out_index()
    asked = []
    for member in range(plan.size):
        network = Network.of(networks_of(population), member)
        x, y = dataset.x[index[member]], dataset.y[index[member]]
        corners = threat.box(x, LARGEST)
        problem = Problem.of(network, x, corners, (y, 1 - y), threat, LARGEST)
        asked.append((network, problem, Question.of(network, problem)))
    ways: dict[tuple[str, int], Callable[..., Tensor]] = {
        (TODAY, budget): partial(_by_boxes, budget=budget) for budget in (1, *BUDGETS)
    }
    for name, steps in (("CROWN", 0), ("alpha-beta-CROWN", STEPS)):
        for budget in (1, *BUDGETS):
            ways[(name, budget)] = partial(_by_signs, budget=budget, steps=steps)
    bends = _bends([question for _, _, question in asked])
    entries = []
    for (name, budget), way in ways.items():
        print(f"{features} features: {name}, {budget} ...", file=sys.stderr, flush=True)
        begin = time.process_time()
        with torch.no_grad():
            found = torch.cat([way(*one) for one in asked])
        shares = {
            key: round(float((found == code).double().mean()), 4)
            for key, code in (("proved", 1), ("broken", -1), ("undecided", 0))
        }
        spent = round(time.process_time() - begin, 2)
        entries.append(
            {"features": features, "bounds": name, "parts": budget, **shares, "cpu_s": spent}
            | {"bends": bends}
        )
        print(entries[-1], file=sys.stderr, flush=True)
    return entries


@torch.no_grad()
def _bends(questions: list[Question]) -> float:
    """The neurons of a network that bend in a box, on average."""
    each = []
    for question in questions:
        signs = [
            question.lead.new_zeros(len(question.lead), len(bias))
            for _, bias in (question.first, question.second)
        ]
        each.append((bound(question, (signs[0], signs[1]), 0)[2] >= 0).sum(1).double())
    return round(float(torch.cat(each).mean()), 1)


def tighter_table(entries: list[dict[str, Any]]) -> str:
    """One line for each way."""
    keys = ("proved", "broken", "undecided")
    lines = [
        [one["bounds"], str(one["features"]), str(one["parts"])]
        + [f"{one[key]:.1%}" for key in keys]
        + [f"{one['cpu_s']:.1f}"]
        for one in entries
    ]
    return table(["bounds", "features", "parts", *keys, "CPU s"], lines, left=1)


def main(arguments: list[str]) -> None:
    """Measures, keeps, shows."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.tighter",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("features", nargs="*", type=int)
    chosen = parser.parse_args(arguments).features or list(FEATURES)
    torch.set_num_threads(1)
    cfg, entries = load_problem().cfg, read_json(KEPT) if KEPT.exists() else []
    for features in chosen:
        fresh = measure_tighter(cfg, features)
        entries = [one for one in entries if one["features"] != features] + fresh
        write_json(KEPT, sorted(entries, key=lambda one: one["features"]))
    print(tighter_table(entries))


if __name__ == "__main__":
    main(sys.argv[1:])
