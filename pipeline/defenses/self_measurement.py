"""DP-SGD measures its own mechanism while it trains, and holds each figure against the claim.

What counts is what the optimiser is handed: `gradient * denominator` less the clipped sum, which is
computed here once more and not taken from the code under test, is the noise that was added. Where
the claim is true it is Gaussian with standard deviation `noise_multiplier * max_grad_norm`,
independent of everything before it; every check follows from that alone. Steps are not kept: sums
of squares, sums over steps, and a few numbers of each draw.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.data.plan import Plan
from pipeline.defenses.second_look import clipped_and_cut_off, flat, only
from pipeline.files import FailedCheck
from pipeline.models.designs import AnyArchitecture
from pipeline.models.mlp import Parameters
from pipeline.models.training import Batch, Preprocessing
from pipeline.statistics import p_values

FALSE_ALARM = 1e-6  # probability, over all checks of one training, that a true claim is refused
# Weights, of all models together, whose noise is measured in every step; of other models it is
# measured in the first `EVERYBODY` steps.
WATCHED = 40_000
EVERYBODY = 2
FINGERPRINT, FINGERPRINTS = 32, 2_000  # numbers kept of a draw, and of how many draws
FINGERPRINTED = 16  # models whose draws are kept
FAR = 2.0  # standard deviations beyond which a number counts as far out
FAR_RATE = math.erfc(FAR / math.sqrt(2))


@dataclass(frozen=True)
class Mechanism:
    """What is claimed of each step.

    Attributes:
        noise_multiplier: above 0.
        max_grad_norm: clipping bound.
        denominator: public constant.
        sample_rate: of the Poisson draw.
    """

    noise_multiplier: float
    max_grad_norm: float
    denominator: float
    sample_rate: float


@dataclass(frozen=True)
class Check:
    """A measurement beside what is claimed, and how surprising it is (two-sided)."""

    measured: float
    claimed: float
    p_value: float


class Witness:
    """Watches the models of one noise; their seeds are distinct.

    Attributes:
        claim: of each step.
        rows: (R,) which models of the population these are.
        architecture: of these models; None = a stack of linear layers.
    """

    def __init__(
        self,
        claim: Mechanism,
        rows: Tensor,
        train: Tensor,
        share: int = WATCHED,
        architecture: AnyArchitecture | None = None,
    ) -> None:
        """Takes the claim, the models' rows, and who trains all models (M, N); `share` of them."""
        self.claim, self.rows, self.share = claim, rows, share
        self.architecture = architecture
        self.train = train[rows]
        self.steps = torch.zeros(len(rows), dtype=torch.int64)
        self.wrong = 0  # records in a batch that do not belong there
        self.joined, self.could = 0, 0
        self.joins = torch.zeros(self.train.shape)
        self.sizes, self.cells = [0.0, 0, 0.0], [0.0, 0, 0.0]  # total, cells, inverse variances
        self.energy = torch.zeros(len(rows), dtype=torch.float64)
        self.numbers = torch.zeros(len(rows), dtype=torch.int64)
        self.far, self.lag, self.lags = 0, 0.0, 0
        self.across, self.across_degrees = 0.0, 0
        self.arrived = {"signal": [0.0, 0, 0.0], "excess": [0.0, 0, 0.0]}
        self.fingerprints: list[Tensor] = []
        self.total = self.last = torch.zeros(0)

    def see(
        self, parameters: Parameters, preprocessing: Preprocessing, batch: Batch, grads: Parameters
    ) -> None:
        """One step of all models of the population, before it is taken."""
        rows = self.rows
        self._see_batch(batch.index[rows], batch.weight[rows])
        panel = self._panel(sum(value[0].numel() for value in parameters.values()))
        watched = torch.arange(len(rows)) if int(self.steps[0]) < EVERYBODY else panel
        self._see_noise(
            watched, panel, *only(rows[watched], parameters, preprocessing, batch, grads)
        )
        self.steps += 1

    def _panel(self, weights: int) -> Tensor:
        """Which of the models are measured in every step: evenly spread, the last one included."""
        count = min(len(self.rows), max(1, self.share // weights))
        return torch.linspace(len(self.rows) - 1, 0, count).round().long().flip(0)

    def _see_batch(self, index: Tensor, weight: Tensor) -> None:
        rate, counts = self.claim.sample_rate, torch.zeros(self.train.shape)
        counts.scatter_add_(1, index, weight.float())
        self.wrong += int(((counts != 0) & (counts != 1)).sum())
        self.wrong += int(((counts != 0) & ~self.train).sum())
        if rate == 1:
            self.wrong += int(((counts == 0) & self.train).sum())
            return
        could, joined = self.train.sum(1), (counts * self.train).sum(1)
        self.joined, self.could = self.joined + int(joined.sum()), self.could + int(could.sum())
        _add_counts(self.sizes, joined, could, rate)
        if len(self.rows) > 1:
            _add_counts(self.cells, (counts * self.train).sum(0), self.train.sum(0), rate)
        self.joins += counts

    def _see_noise(
        self,
        watched: Tensor,
        panel: Tensor,
        parameters: Parameters,
        preprocessing: Preprocessing,
        batch: Batch,
        grads: Parameters,
    ) -> None:
        claim = self.claim
        size = claim.noise_multiplier * claim.max_grad_norm
        signal, excess = clipped_and_cut_off(
            parameters, preprocessing, batch, claim.max_grad_norm, self.architecture
        )
        z = (flat(grads) * claim.denominator - signal) / size
        self.energy[watched] += z.double().square().sum(1)
        self.numbers[watched] += z.shape[1]
        self.far += int((z.abs() > FAR).sum())
        for name, part in (("signal", signal), ("excess", excess)):
            self._see_direction(self.arrived[name], z, part / size)
        if len(z) > 1:
            self.across += float((z.double().sum(0) / len(z) ** 0.5).square().sum())
            self.across_degrees += z.shape[1]
        own = z[torch.isin(watched, panel)]
        if len(self.last):
            before = self.last / self.last.norm(dim=1, keepdim=True).clamp(min=1e-30)
            self.lag, self.lags = self.lag + float((before * own).sum()), self.lags + len(own)
            self.total += own
        else:
            self.total = own.double()
        self.last = own
        if sum(map(len, self.fingerprints)) < FINGERPRINTS:
            self.fingerprints.append(own[:FINGERPRINTED, :FINGERPRINT].clone())

    @staticmethod
    def _see_direction(arrived: list[Any], z: Tensor, part: Tensor) -> None:
        """How much noise lies along what must not be there; its length is that of noise."""
        length = part.norm(dim=1)
        there = length > 1e-6
        along = (z * part).sum(1)[there] / length[there]
        arrived[0] += float(along.double().sum())
        arrived[1] += int(there.sum())
        arrived[2] += float(length[there].double().sum())

    def checks(self) -> dict[str, Check]:
        """Every measurement against the claim."""
        return {**self._checks_of_batches(), **self._checks_of_noise(), **self._checks_of_sums()}

    def _checks_of_batches(self) -> dict[str, Check]:
        rate = self.claim.sample_rate
        found = {"records out of place": Check(self.wrong, 0, 0.0 if self.wrong else 1.0)}
        if rate == 1:
            return found
        share = self.joined / max(self.could, 1)
        found["batch size"] = Check(share, rate, p_values.binomial(self.joined, self.could, rate))
        found["spread of batch sizes"] = _spread(self.sizes, rate)
        over_steps = [0.0, 0, 0.0]
        steps = self.steps[:, None].expand(self.train.shape)
        _add_counts(over_steps, self.joins[self.train], steps[self.train], rate)
        found["spread of a record's batches"] = _spread(over_steps, rate)
        if self.cells[1]:
            found["spread over models"] = _spread(self.cells, rate)
        return found

    def _checks_of_noise(self) -> dict[str, Check]:
        energy, count = float(self.energy.sum()), int(self.numbers.sum())
        each = [
            (float(own), int(number), p_values.chi_square(float(own), int(number)))
            for own, number in zip(self.energy, self.numbers, strict=True)
        ]
        least = min(each, key=lambda one: (one[2], -abs(one[0] / one[1] - 1)))
        far = p_values.binomial(self.far, count, FAR_RATE)
        found = {
            "noise": Check(math.sqrt(energy / count), 1.0, p_values.chi_square(energy, count)),
            "noise of one model": Check(
                math.sqrt(least[0] / least[1]), 1.0, p_values.of_many(least[2], len(each))
            ),
            "far out": Check(self.far / count, FAR_RATE, far),
        }
        degrees, steps = self.total.numel(), max(int(self.steps[0]), 1)
        if steps > 1:
            over = float(self.total.square().sum()) / steps
            found["sum over steps"] = Check(over / degrees, 1.0, p_values.chi_square(over, degrees))
            z = self.lag / math.sqrt(self.lags)
            scale = math.sqrt(self.total.shape[1] * self.lags)
            found["next step"] = Check(z / scale, 0.0, p_values.normal(z))
        if self.across_degrees:
            found["sum over models"] = Check(
                self.across / self.across_degrees,
                1.0,
                p_values.chi_square(self.across, self.across_degrees),
            )
        return {**found, **repeats(self.fingerprints)}

    def _checks_of_sums(self) -> dict[str, Check]:
        found = {}
        for name, claimed in (("signal", 1.0), ("excess", 0.0)):
            along, count, length = self.arrived[name]
            if count:
                p_value = p_values.normal(along / math.sqrt(count))
                found[name] = Check(claimed + along / length, claimed, p_value)
        return found


def repeats(fingerprints: list[Tensor]) -> dict[str, Check]:
    """Whether two draws, of whichever steps and models, are alike; each (R, up to 32)."""
    if not fingerprints:
        return {}
    draws = torch.cat(fingerprints)[:FINGERPRINTS]
    if len(draws) < 2 or draws.shape[1] < 2:
        return {}
    draws = draws / draws.norm(dim=1, keepdim=True).clamp(min=1e-30)
    likeness = (draws @ draws.T).abs_().fill_diagonal_(0)
    largest, pairs = float(likeness.max()), len(draws) * (len(draws) - 1) // 2
    # A draw without noise is as good as repeated; float32 cannot tell 1 from a little less.
    p_value = p_values.likeness(largest * (1 - 1e-6), draws.shape[1], pairs)
    return {"likest draws": Check(largest, 0.0, p_value)}


class SelfMeasurement:
    """Witnesses of all models of a population, one for each noise; without noise there is none."""

    def __init__(
        self,
        plan: Plan,
        noise: float | Tensor,
        claim: Callable[[float], Mechanism],
        architecture: AnyArchitecture | None = None,
    ) -> None:
        """Takes who trains (M models), the noise (one, or (M,)), what is claimed, and of what."""
        each = torch.as_tensor(noise, dtype=torch.float64).expand(plan.size)
        levels = [level for level in each.unique().tolist() if level > 0]
        self.witnesses = [
            Witness(claim(level), rows, plan.train, WATCHED // len(levels), architecture)
            for level in levels
            for rows in [of_distinct_seeds(plan.seeds, each == level)]
        ]
        self.models = plan.size

    def see(
        self, parameters: Parameters, preprocessing: Preprocessing, batch: Batch, grads: Parameters
    ) -> None:
        """One step of all models, before it is taken: weights, constants, records, gradients."""
        for witness in self.witnesses:
            witness.see(parameters, preprocessing, batch, grads)

    def measured(self, name: str) -> dict[str, Any]:
        """The figures, JSON-able, rounded.

        Returns:
            `false_alarm_rate` of all checks together, and `checks`: for each noise what was
            measured, what is claimed, and the p-value.

        Raises:
            FailedCheck: a figure contradicts the claim; the line begins with `name`.
        """
        return held_against_claim(
            name, [(one.claim, one.checks()) for one in self.witnesses], FALSE_ALARM
        )


def worst_of(found: Sequence[dict[str, Check]]) -> dict[str, Check]:
    """Of each check of several models the one that is furthest from its claim (Bonferroni)."""
    worst = {}
    for name in dict.fromkeys(name for checks in found for name in checks):
        those = [checks[name] for checks in found if name in checks]
        least = min(those, key=lambda check: check.p_value)
        of_many = p_values.of_many(least.p_value, len(those))
        worst[name] = Check(least.measured, least.claimed, of_many)
    return worst


def held_against_claim(
    name: str, found: list[tuple[Mechanism, dict[str, Check]]], rate: float
) -> dict[str, Any]:
    """What `SelfMeasurement.measured` says, of the checks for each noise.

    Raises:
        FailedCheck: a p-value is at most `rate` over the number of all checks.
    """
    count = max(1, sum(len(checks) for _, checks in found))
    refuted = [
        (check.p_value, what, check)
        for _, checks in found
        for what, check in checks.items()
        if not check.p_value > rate / count
    ]
    if refuted:
        said = "; ".join(
            f"{what} {check.measured:.4g}, claimed {check.claimed:.4g}"
            for _, what, check in sorted(refuted, key=lambda one: one[0])
        )
        raise FailedCheck(
            f"{name}: the mechanism is not what is claimed: {said} (a true claim is refused once "
            f"in {1 / rate:,.0f} trainings)"
        )
    return {
        "false_alarm_rate": rate,
        "checks": [
            {
                "noise_multiplier": claim.noise_multiplier,
                **{
                    what: {
                        "measured": _rounded(check.measured),
                        "claimed": _rounded(check.claimed),
                        "p_value": _rounded(check.p_value),
                    }
                    for what, check in checks.items()
                },
            }
            for claim, checks in found
        ],
    }


def of_distinct_seeds(seeds: Tensor, wanted: Tensor) -> Tensor:
    """The first wanted row of each seed: models of one seed and one noise are the same model."""
    first: dict[int, int] = {}
    for row in wanted.nonzero()[:, 0].tolist():
        first.setdefault(int(seeds[row]), row)
    return torch.tensor(list(first.values()))


def _add_counts(to: list[Any], counts: Tensor, trials: Tensor, rate: float) -> None:
    """Adds squared deviations of binomial counts over their variances, cells, and 1 / variances."""
    trials = trials.double()
    some = trials > 0
    variance = trials[some] * rate * (1 - rate)
    to[0] += float(((counts.double()[some] - trials[some] * rate).square() / variance).sum())
    to[1] += int(some.sum())
    to[2] += float((1 / variance).sum())


def _spread(found: list[Any], rate: float) -> Check:
    total, cells, inverse = found
    return Check(total / max(cells, 1), 1.0, p_values.spread_of_counts(total, cells, inverse, rate))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
