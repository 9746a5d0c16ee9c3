"""What the server of a federation reads off one hospital's update: records, in clinical units."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.update_inversion import (
    assigned,
    batch_behind,
    gradient_of,
    in_units,
    private_gradient,
)
from pipeline.config import Config
from pipeline.data.halves import only
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.federated.local import Training, ordinary
from pipeline.defenses.federated.loop import Local, federate, packed, unpacked
from pipeline.defenses.federated.recipe import Federation, federation_of
from pipeline.defenses.federated.sites import Site
from pipeline.defenses.privacy import NoisySteps
from pipeline.files import NotApplicable
from pipeline.models.designs import of_records, public_constants
from pipeline.models.mlp import Parameters
from pipeline.models.networks import standardise
from pipeline.risks.federation.measure.federations import first_repetitions, options_of
from pipeline.risks.federation.measure.private import private_local, steps_of
from pipeline.risks.federation.measure.settings import FederationSettings
from pipeline.seeds import Stream, generator

FILE = "seen.safetensors"
GRADIENT, PRIVATE, STEPS = "gradient", "private gradient", "steps"
SUM = "sum of hospitals"  # of a gradient of each, as secure aggregation lets the server see it
SUMMED = 4  # of each hospital at most, or nothing is read and the search is long
FIRST, LAST = "first round", "last round"
LEAST_UPDATES = 4  # of each kind, however many records are in one
RESTARTS = 3
RATE, CAREFUL = 0.3, 0.1  # of a search; noise and signs mislead one that takes long steps


@dataclass(frozen=True)
class Kind:
    """What a hospital sends.

    Attributes:
        update: `GRADIENT`, `PRIVATE`, `SUM`, or `<n> steps` or `<n> private steps` of training.
        records: of how many records, of all hospitals of a sum together.
        when: in which round.
    """

    update: str
    records: int
    when: str


@dataclass(frozen=True)
class Seen:
    """What is reported of one federation; every figure is a function of it.

    Of each kind, in the order of `kinds`, U updates of B records of D features. U and B differ
    between kinds, so tensors are named by place.

    Attributes:
        kinds: what was sent.
        index: each (U, B) int64, whose records.
        rebuilt: each (U, B, D) float32, what the server reads, each beside the record that it comes
            nearest to; clinical units.
        ill: each (U, B) float32 in [0, 1], likewise, the chance that each is ill.
        guess: each (U, D) float32, the control that reads no update: of each measurement the median
            of what other hospitals recorded.
        others: each (U, B, D) float32, the other control: as many records of other hospitals, put
            beside the records as if they had been read.
        noise: (2,) float64, noise multiplier and largest norm of the private updates; NaN = none.
    """

    kinds: tuple[Kind, ...]
    index: dict[str, Tensor]
    rebuilt: dict[str, Tensor]
    ill: dict[str, Tensor]
    guess: dict[str, Tensor]
    others: dict[str, Tensor]
    noise: Tensor

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Seen":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        what, advice = "records read off updates", "run `dvc repro federation`"
        return read_artifact(path, cls, what=what, advice=advice)


@dataclass(frozen=True)
class _Batches:
    """U batches of B records, each of one hospital (of a sum: of all), and what others recorded.

    Attributes:
        weights: U networks, as they were given out.
        index: (U, B) int64.
        guess: (U, D).
        others: (U, B) int64, of other hospitals (of a sum: other records of all).
    """

    weights: Parameters
    index: Tensor
    guess: Tensor
    others: Tensor


def look_at_updates(dataset: Dataset, plan: Plan, cfg: Config) -> Seen:
    """Inverts updates of hospitals, taken in turn, of models of the first repetition in turn.

    Raises:
        NotApplicable: the networks are none of records.
    """
    wanted = cfg.section(FederationSettings)
    plan = first_repetitions(plan, 1)
    how = None if wanted.dp_sgd is None else steps_of(wanted.dp_sgd)
    federation = federation_of(dataset, plan, cfg, **options_of(cfg, wanted.sites, "mean"))  # type: ignore[arg-type]
    if len(dataset.schema.classes) != 2:
        raise NotApplicable("updates are inverted of two classes alone")
    given = _given_out(federation, wanted.rounds)
    found: dict[str, dict[str, Tensor]] = {
        name: {} for name in ("index", "rebuilt", "ill", "guess", "others")
    }
    kinds = tuple(_kinds(wanted, len(federation.sites)))
    for place, kind in enumerate(kinds):
        drawn = generator(Stream.HOSPITAL_UPDATES, cfg.seed, place)
        batches = _batches(dataset, plan, federation, given[kind.when], kind, wanted, drawn)
        for name, value in _inverted(kind, batches, dataset, cfg, federation, how, drawn).items():
            found[name][str(place)] = value
    known = (float(how.noise), how.max_grad_norm) if how is not None else (torch.nan, torch.nan)
    return Seen(kinds, **found, noise=torch.tensor(known, dtype=torch.float64))


def _kinds(wanted: FederationSettings, hospitals: int) -> list[Kind]:
    steps = [f"{count} {STEPS}" for count in wanted.local_steps]
    sent = [(GRADIENT, FIRST), (GRADIENT, LAST), *((one, FIRST) for one in steps)]
    if wanted.dp_sgd is not None:
        sent += [(PRIVATE, FIRST), (f"{wanted.dp_sgd.local_steps} private {STEPS}", FIRST)]
    kinds = [Kind(update, records, when) for update, when in sent for records in wanted.batches]
    few = [records for records in wanted.batches if records <= SUMMED]
    return kinds + [Kind(SUM, hospitals * records, FIRST) for records in few]


def _given_out(federation: Federation, rounds: int) -> dict[str, Parameters]:
    """The weights that the server gave out in the first and in the last round."""
    seen: dict[int, Tensor] = {}
    federate(
        federation.sites,
        federation.start,
        rounds,
        federation.local,
        federation.aggregate,
        watch=lambda exchange: seen.update({exchange.number: exchange.parameters}),
        name="looked at",
    )
    return {
        when: unpacked(seen[number], federation.start)
        for when, number in ((FIRST, 0), (LAST, rounds - 1))
    }


def _batches(
    dataset: Dataset,
    plan: Plan,
    federation: Federation,
    given: Parameters,
    kind: Kind,
    wanted: FederationSettings,
    drawn: torch.Generator,
) -> _Batches:
    updates = max(LEAST_UPDATES, wanted.updates // kind.records)
    member = torch.arange(updates) % plan.size
    hospitals = len(federation.sites)
    index, guess, others = [], [], []
    for update, row in enumerate(member.tolist()):
        if kind.update == SUM:
            each = kind.records // hospitals
            places = (
                plan.train[row] & (federation.hospitals.of == one) for one in range(hospitals)
            )
            own = torch.cat([_some(place, each, drawn) for place in places])
            elsewhere = plan.train[row].clone()
            elsewhere[own] = False
        else:
            inside = federation.hospitals.of == update % hospitals
            own = _some(plan.train[row] & inside, kind.records, drawn)
            elsewhere = plan.train[row] & ~inside
        index.append(own)
        guess.append(dataset.x[elsewhere].nanmedian(0).values)
        others.append(_some(elsewhere, kind.records, drawn))
    weights = {name: value[member] for name, value in given.items()}
    return _Batches(weights, torch.stack(index), torch.stack(guess), torch.stack(others))


def _some(whom: Tensor, count: int, drawn: torch.Generator) -> Tensor:
    """(count,) of them, each once as far as there are enough."""
    rows = whom.nonzero()[:, 0]
    order = torch.cat([torch.randperm(len(rows), generator=drawn)] * -(-count // len(rows)))
    return rows[order[:count]]


def _inverted(
    kind: Kind,
    batches: _Batches,
    dataset: Dataset,
    cfg: Config,
    federation: Federation,
    how: NoisySteps | None,
    drawn: torch.Generator,
) -> dict[str, Tensor]:
    architecture, schema = federation.training.architecture, dataset.schema
    constants = public_constants(of_records(architecture), schema, len(batches.index))
    x, y = dataset.x[batches.index], dataset.y[batches.index]
    inputs = standardise(x, constants).double()
    plain = {name: value.double() for name, value in batches.weights.items()}
    if kind.update in (GRADIENT, SUM):
        sent = gradient_of(plain, inputs, y.double())
    elif kind.update == PRIVATE and how is not None:
        bounds = how.max_grad_norm, float(how.noise)
        sent = private_gradient(plain, inputs, y.double(), *bounds, drawn)
    else:
        local = _trained(federation, kind.update, how)
        sent = _moved_by(dataset, batches, local)
    center, scale = (constants[name][0].double() for name in ("center", "scale"))
    lower, upper = _ends(schema.column("lower"), schema.column("upper"), center, scale)
    plainly, search = kind.update in (GRADIENT, SUM), cfg.section(FederationSettings).search
    found = batch_behind(
        batches.weights,
        sent,
        lower,
        upper,
        records=kind.records,
        by_signs=kind.update.endswith(STEPS),
        exact=plainly,
        generator=drawn,
        steps=search if plainly else max(1, search // 2),
        restarts=RESTARTS,
        learning_rate=RATE if plainly else CAREFUL,
    )
    true, units = x.double(), schema.column("scale")
    guessed = torch.cat([in_units(found.inputs, schema, center, scale), found.ill[..., None]], -1)
    beside = assigned(guessed, true, units)
    near = assigned(dataset.x[batches.others].double(), true, units)
    values = (batches.index, beside[..., :-1], beside[..., -1], batches.guess, near)
    names = ("index", "rebuilt", "ill", "guess", "others")
    return {
        name: value if name == "index" else value.float()
        for name, value in zip(names, values, strict=True)
    }


def _ends(lower: Tensor, upper: Tensor, center: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """(I,) each: the plausible range of inputs; of a level 0 and 1."""
    levels = len(center) - len(lower)
    ends = (torch.cat([lower, torch.zeros(levels)]), torch.cat([upper, torch.ones(levels)]))
    counted = scale.isfinite()  # the place of a category's level counts nothing
    low, high = (torch.where(counted, (end - center) / scale, 0.0) for end in ends)
    return low, high


def _trained(federation: Federation, update: str, how: NoisySteps | None) -> Local:
    """What a hospital does on one batch: so many steps, privately where the kind says so."""
    like = federation.training
    if how is not None and "private" in update:
        return private_local(like.architecture, how)
    own = like.train.model_copy(update={"schedule": "constant"})
    return ordinary(Training(like.architecture, own, 1, int(update.split()[0])))


def _moved_by(dataset: Dataset, batches: _Batches, local: Local) -> Parameters:
    """By what hospitals move the weights on one batch, turned round; (U, ...)."""
    rows, place = batches.index.unique(return_inverse=True)
    whom = torch.zeros(len(dataset.y), dtype=torch.bool)
    whom[rows] = True
    train = torch.zeros(len(place), len(rows), dtype=torch.bool).scatter_(1, place, True)
    site = Site(0, "one batch", only(dataset, whom), train, torch.arange(len(place)))
    sent = local(batches.weights, site, 0).update
    moved = packed(batches.weights).double() - sent.double()
    return unpacked(moved, batches.weights)
