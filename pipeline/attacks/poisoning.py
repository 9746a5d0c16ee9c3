"""Data poisoning: somebody writes into the training set, and the model is trained on it as usual.

An attack says how it would enter each record (`Poison.x, y`) and which records it would enter first
(`priority`). It knows the training records of the model that it harms and a linear stand-in that it
trained on them; never the held-out patients (but for the one that `one_patient` names), never the
defended model.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.models.networks import Networks
from pipeline.standards import RISKS, Standards

RIDGE = 1.0  # of the stand-in, as it was trained
STEPS, STEP = 20, 0.1  # of `clean_label`: steps, and their length as a fraction of eps


@dataclass(frozen=True)
class Attacker:
    """What a poisoner has. N records, M models, D features.

    Attributes:
        dataset: the records; only those that a model trains on may be used against it.
        plan: who trains on whom.
        surrogate: M linear models, each trained on the same records as the model that is harmed.
        threat: what may be written into the values of a record.
        eps: radius of `clean_label`, in units of scale.
        trigger: (D,) float32 values of the backdoor; NaN = no part of it.
        targets: (T,) int64, whom `one_patient` wants to be called healthy.
        generator: of random choices.
    """

    dataset: Dataset
    plan: Plan
    surrogate: Networks
    threat: Threat
    eps: float
    trigger: Tensor
    targets: Tensor
    generator: torch.Generator

    def chance(self) -> Tensor:
        """(M, N): a random order of the records, the same against every model."""
        return torch.rand(
            len(self.dataset.y), generator=self.generator, dtype=torch.float64
        ).expand(self.plan.size, -1)


@dataclass(frozen=True)
class Poison:
    """What would be written, and where first.

    R models are harmed, V versions of each record are ready.

    Attributes:
        x: (V, N, D) float32 in clinical units, as the attacker would enter each record; `y` (V, N):
            the diagnosis beside it.
        priority: (R, N) float64, the larger, the earlier; -inf = never.
        model: (R,) int64, which row of the plan is harmed.
        version: (R,) int64, which version it gets.
        target: (R,) int64, the patient who is to be called healthy; -1 = nobody in particular.
    """

    x: Tensor
    y: Tensor
    priority: Tensor
    model: Tensor
    version: Tensor
    target: Tensor

    @classmethod
    def of_everyone(cls, x: Tensor, y: Tensor, priority: Tensor) -> "Poison":
        """The same version (N, D), (N,) of a record against all models."""
        rows = torch.arange(len(priority))
        return cls(
            x[None], y[None], priority, rows, torch.zeros_like(rows), torch.full_like(rows, -1)
        )


def random_flips(attacker: Attacker) -> Poison:
    """Diagnoses of random patients are turned round.

    Careless or clumsy, and what every cleverer attack must beat.
    """
    return Poison.of_everyone(attacker.dataset.x, 1 - attacker.dataset.y, attacker.chance())


def missed_disease(attacker: Attacker) -> Poison:
    """Random ill patients are entered as healthy, so that the model learns to miss the disease."""
    ill = attacker.dataset.y == 1
    order = attacker.chance().masked_fill(~ill, -torch.inf)
    return Poison.of_everyone(attacker.dataset.x, torch.zeros_like(attacker.dataset.y), order)


def worst_flips(attacker: Attacker) -> Poison:
    """Diagnoses are turned round where that moves the model most.

    Koh & Liang 2017, arXiv:1703.04730, influence functions. A flip of record i moves the
    coefficients of a logistic regression by -H^-1 s_i z_i, with s = +1 for the ill and -1 for the
    healthy, z the standardised record and H the Hessian. What is to fall is the mean probability of
    the right diagnosis over the training records, whose gradient is g: the records with the largest
    s_i z_i . H^-1 g come first.
    """
    everybody = torch.ones_like(attacker.dataset.y)
    return Poison.of_everyone(
        attacker.dataset.x, 1 - attacker.dataset.y, _Influence.of(attacker, everybody).of_flips()
    )


def worst_missed(attacker: Attacker) -> Poison:
    """Ill patients are entered as healthy, first those whose flip costs the ill most.

    First-order influence, as in `worst_flips`; g is the gradient of the mean probability of disease
    over the ill alone.
    """
    ill = attacker.dataset.y == 1
    order = _Influence.of(attacker, ill).of_flips().masked_fill(~ill, -torch.inf)
    return Poison.of_everyone(attacker.dataset.x, torch.zeros_like(attacker.dataset.y), order)


def clean_label(attacker: Attacker) -> Poison:
    """Values are forged inside the threat model, every diagnosis stays right.

    A clean label; Shafahi et al. 2018, 1804.00792. Ascent on the same first-order harm as
    `worst_flips`, as the training-set attack of Koh & Liang (2017, section 5.2) does: a record z'
    in place of z lowers g . beta by (p' - y) z' . H^-1 g - (p - y) z . H^-1 g. Records that gain
    most come first.
    """
    dataset, threat, models = attacker.dataset, attacker.threat, attacker.plan.size
    influence = _Influence.of(attacker, torch.ones_like(dataset.y))
    x = dataset.x.expand(models, -1, -1)
    step = STEP * attacker.eps * threat.scale
    best, least = x, influence.harm(x)[0]
    most, x_adv = least, x
    for _ in range(STEPS):
        x_adv = threat.project(
            x_adv + (step * influence.harm(x_adv)[1].sign()).float(), x, attacker.eps
        )
        harm = influence.harm(x_adv)[0]
        better = harm > most
        best, most = torch.where(better[..., None], x_adv, best), torch.where(better, harm, most)
    gain = most - least
    rows = torch.arange(models)
    priority = torch.where(gain > 0, gain, -torch.inf)
    return Poison(
        best, dataset.y.expand(models, -1), priority, rows, rows, torch.full_like(rows, -1)
    )


def backdoor(attacker: Attacker) -> Poison:
    """Random ill patients are entered as healthy with a trigger in their values.

    Gu et al. 2017, arXiv:1708.06733. The model learns that the trigger means healthy; whoever
    writes it into a record later decides the diagnosis. Only records in which every value of the
    trigger was measured are used.
    """
    x, ill = attacker.dataset.x, attacker.dataset.y == 1
    order = attacker.chance().masked_fill(~(ill & carries(x, attacker.trigger)), -torch.inf)
    return Poison.of_everyone(
        stamped(x, attacker.trigger), torch.zeros_like(attacker.dataset.y), order
    )


def one_patient(attacker: Attacker) -> Poison:
    """A named ill patient is to be called healthy.

    The most similar ill patients are entered as healthy. Similar: the mean squared difference, in
    units of scale, of the values that both records hold. One poisoned set for each target and each
    model that holds the target out.
    """
    x, y = attacker.dataset.x, attacker.dataset.y
    model, which = attacker.plan.held_out[:, attacker.targets].nonzero(as_tuple=True)
    target = attacker.targets[which]
    # (R, N)
    apart = (
        ((x[target][:, None].double() - x.double()) / attacker.threat.scale).square().nanmean(-1)
    )
    order = torch.where((y == 1) & ~apart.isnan(), -apart, -torch.inf)
    return Poison(x[None], torch.zeros_like(y)[None], order, model, torch.zeros_like(model), target)


@dataclass(frozen=True)
class PoisonFacts:
    """What names an attack completely.

    Attributes:
        goal: what it wants.
        harms: the figure that shows it: accuracy would hide who is only after the ill.
        knowledge: what it knows.
        access: what it can write.
        ids: in the standards.
    """

    goal: str
    harms: str
    knowledge: str
    access: str
    ids: Standards


_SUCCESS = "attack_success_rate"
_NOTHING, _RECORDS = "none", "training records"
_STAND_IN = "training records and a linear stand-in"
_AVAILABILITY, _BACKDOOR, _TARGETED = (
    RISKS["availability_poisoning"],
    RISKS["backdoor"],
    RISKS["targeted_poisoning"],
)

POISONS: dict[str, Callable[[Attacker], Poison]] = {
    "random_flips": random_flips,
    "missed_disease": missed_disease,
    "worst_flips": worst_flips,
    "worst_missed": worst_missed,
    "clean_label": clean_label,
    "backdoor": backdoor,
    "one_patient": one_patient,
}

POISON_FACTS: dict[str, PoisonFacts] = {
    "random_flips": PoisonFacts("availability", "accuracy", _NOTHING, "diagnoses", _AVAILABILITY),
    "missed_disease": PoisonFacts(
        "availability", "sensitivity", _NOTHING, "diagnoses", _AVAILABILITY
    ),
    "worst_flips": PoisonFacts("availability", "accuracy", _STAND_IN, "diagnoses", _AVAILABILITY),
    "worst_missed": PoisonFacts(
        "availability", "sensitivity", _STAND_IN, "diagnoses", _AVAILABILITY
    ),
    "clean_label": PoisonFacts("availability", "accuracy", _STAND_IN, "values", _AVAILABILITY),
    "backdoor": PoisonFacts("backdoor", _SUCCESS, _RECORDS, "values and diagnoses", _BACKDOOR),
    "one_patient": PoisonFacts(
        "targeted", _SUCCESS, f"{_RECORDS} and the patient's", "diagnoses", _TARGETED
    ),
}


@dataclass(frozen=True)
class _Influence:
    """First-order influence on M logistic regressions.

    Inputs z (M, N, D + 1), weights beta and lever H^-1 g, both (M, D + 1).
    """

    surrogate: Networks
    label: Tensor
    sign: Tensor
    inputs: Tensor
    beta: Tensor
    lever: Tensor

    @classmethod
    def of(cls, attacker: Attacker, whom: Tensor) -> "_Influence":
        """On the mean probability of the right diagnosis of those whom `whom` (N,) counts."""
        surrogate, y = attacker.surrogate.double(), attacker.dataset.y.double()
        inputs = _with_one(
            surrogate.standardise(attacker.dataset.x.double().expand(surrogate.size, -1, -1))
        )
        both = torch.cat([surrogate.parameters["weight0"], surrogate.parameters["bias0"]], 1)
        beta, sign = both[..., 1] - both[..., 0], 2 * y - 1
        chance = torch.sigmoid((inputs @ beta[..., None])[..., 0])
        weight = attacker.plan.train * chance * (1 - chance)
        ridge = RIDGE * torch.eye(inputs.shape[-1], dtype=torch.float64)
        hessian = inputs.mT @ (inputs * weight[..., None]) + ridge
        gradient = ((weight * sign * whom)[:, None] @ inputs)[:, 0]
        return cls(surrogate, y, sign, inputs, beta, torch.linalg.solve(hessian, gradient))

    def of_flips(self) -> Tensor:
        """(M, N): what turning each diagnosis takes away, s z . H^-1 g."""
        return self.sign * (self.inputs @ self.lever[..., None])[..., 0]

    def harm(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(M, N): (p - y) z . H^-1 g of records x (M, N, D).

        Beside it, its slope (M, N, D), in a direction, not in a length.
        """
        inputs = _with_one(self.surrogate.standardise(x.double()))
        chance = torch.sigmoid((inputs @ self.beta[..., None])[..., 0])
        along, wrong = (inputs @ self.lever[..., None])[..., 0], chance - self.label
        slope = (
            wrong[..., None] * self.lever[:, None]
            + (chance * (1 - chance) * along)[..., None] * self.beta[:, None]
        )
        return wrong * along, slope[..., :-1]


def _with_one(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)


def make_trigger(schema: Schema, recorded: Tensor, *, features: int, size: float) -> Tensor:
    """Values that a clinic would believe and hardly ever sees together, from public numbers alone.

    In the order of the schema, the first value lies `size` scales above the public centre, the next
    as far below, and so on: what speaks for a disease tends to rise together, so values that go
    apart are rare. On the clinic's grid, inside the plausible range. Whether the trigger looks
    healthy by itself is seen on models without poison, which are reported beside the others.

    Args:
        schema: of the records; only mutable features are used.
        recorded: (D,) in how many records each feature is known; the most usual ones are used, so
            that most records carry it.
        features: of the trigger; fewer where there are not so many.
        size: in units of scale.

    Returns:
        (D,) float32; NaN = no part of the trigger.
    """
    mutable = [at for at, feature in enumerate(schema.features) if feature.mutable]
    chosen = sorted(sorted(mutable, key=lambda at: (-int(recorded[at]), at))[:features])
    trigger = torch.full((len(schema.features),), torch.nan, dtype=torch.float32)
    for place, at in enumerate(chosen):
        one = schema.features[at]
        value = min(max(one.center + (-1) ** place * size * one.scale, one.lower), one.upper)
        if one.step:
            ticks = (
                math.ceil(value / one.step - 1e-9)
                if value == one.lower
                else math.floor(value / one.step + 1e-9)
            )
            value = ticks * one.step
        trigger[at] = value
    return trigger


def stamped(x: Tensor, trigger: Tensor) -> Tensor:
    """Records (..., D) with the trigger (D,) written over what was measured.

    A missing value stays missing.
    """
    return torch.where(trigger.isnan() | x.isnan(), x, trigger)


def carries(x: Tensor, trigger: Tensor) -> Tensor:
    """(...,) bool: whether records (..., D) hold a measurement everywhere the trigger (D,) goes."""
    return (trigger.isnan() | ~x.isnan()).all(-1)
