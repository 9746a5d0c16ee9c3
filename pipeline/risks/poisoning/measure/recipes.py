"""What poisoned training data do to a recipe.

It is trained anew on every poisoned set, and scored on patients it never saw. `craft_poison` crafts
the sets once, for all recipes; `measure_harm` trains one recipe on them, and on those that
`rehearsal` makes for it alone.
Who writes a filter asks `craft_poison(...).sets[attack]` for the training sets and for the rows in
them that are poisoned (`TrainingSets`), and retrains on `sets.without(dropped)`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.poisoning import POISON_FACTS, POISONS, STAND_IN, fitting
from pipeline.attacks.poisoning.poison import Attacker
from pipeline.attacks.poisoning.trigger import carries, make_patch, make_trigger, stamped
from pipeline.attacks.surrogate import train_linear_surrogate
from pipeline.config import BASELINE, Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.models.answers import margin
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import Networks, Population, joined
from pipeline.risks.poisoning.measure.rehearsal import craft_adaptive
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.poisoning.measure.training_sets import TrainingSets, draw_training_sets
from pipeline.seeds import Stream
from pipeline.seeds import generator as generator_of
from pipeline.statistics.patients import numbered
from pipeline.verify.quick import quickly_proved

NONE, BACKDOOR, ONE_PATIENT = "none", "backdoor", "one_patient"
AT_CLEAN = "sensitivity_at_clean_false_alarms"  # a figure of every attack on everybody
CHUNK = 60  # training sets that a recipe learns from at once, for memory's sake


@dataclass(frozen=True)
class CraftedPoison:
    """Everything that is the same for all recipes.

    Attributes:
        dataset: the records.
        plan: the models of the repetitions that are harmed; no release model.
        threat: what the clinic would believe, each value by itself.
        trigger: (*event) of the backdoor; NaN = no part of it.
        targets: (T,) int64, whom `one_patient` names.
        sets: by attack, every dose in every training set.
    """

    dataset: Dataset
    plan: Plan
    threat: Threat
    trigger: Tensor
    targets: Tensor
    sets: dict[str, TrainingSets]


@dataclass(frozen=True)
class Harm:
    """What is reported of one recipe: E doses, S repetitions, N patients, T targets.

    Every figure is a function of it.

    Attributes:
        y: (N,) int64, class indices.
        margins: by attack (E, S, N) float32, the margin of the true class out of fold, in logits,
            counted from the model's own cut; `none`: (1, S, N) clean.
        cuts: by attack, likewise float32: the log-odds at which the model that holds a patient out
            draws the line; its training records chose them, poison included.
        proved: by attack, likewise bool: right, and proved to stay so within `poisoning.eps`. Empty
            of images.
        triggered: (1 + E, S, N) float32, the margin with the trigger in the record, first without
            poison; NaN = the record lacks a measurement that the trigger needs, or would break a
            relation with it. Empty without the backdoor.
        targets: (T,) int64, patients that `one_patient` names; `target_margins` (1 + E, S, T)
            float32, first without poison.
        poisoned: by attack (E,) float32, poisoned records in a training set, mean over sets;
            `share`: of its records.
    """

    y: Tensor
    margins: dict[str, Tensor]
    cuts: dict[str, Tensor]
    proved: dict[str, Tensor]
    triggered: Tensor
    targets: Tensor
    target_margins: Tensor
    poisoned: dict[str, Tensor]
    share: dict[str, Tensor]

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Harm":
        """Reads what `save` wrote, bit for bit.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro poisoning`"
        return read_artifact(path, cls, what="what poison did to a recipe", advice=advice)


def craft_poison(dataset: Dataset, plan: Plan, cfg: Config) -> CraftedPoison:
    """Crafts every attack at every dose, against models of the first repetitions.

    Where the undefended models call no ill patient ill, nobody can be named: `one_patient` is left
    out, and there are no targets. So is what is not for images, of images.
    """
    plan = plan.select(
        (plan.repetition >= 0) & (plan.repetition < cfg.section(PoisoningSettings).repetitions)
    )
    limits = cfg.threat[cfg.audit.headline].model_copy(update={"norm": "linf", "goal": "any"})
    threat = Threat.of(dataset.schema, limits)
    numbers = cfg.section(PoisoningSettings)
    attacks = fitting(numbers.attacks, images=bool(dataset.schema.image))
    trigger = _trigger(dataset, threat, numbers)
    generator = generator_of(Stream.POISONERS, cfg.seed)
    named = ONE_PATIENT in attacks
    targets = (
        _targets(dataset, plan, cfg, generator) if named else torch.zeros(0, dtype=torch.int64)
    )
    surrogate = None
    if any(POISON_FACTS[attack].knowledge == STAND_IN for attack in attacks):
        x, hot = dataset.x.flatten(1), dataset.schema.hot
        surrogate = train_linear_surrogate(x, dataset.y, plan, hot=hot)
    attacker = Attacker(
        dataset, plan, surrogate, threat, numbers.clean_label_eps, trigger, targets, generator
    )
    sets = {
        attack: draw_training_sets(
            POISONS[attack](attacker),
            dataset,
            plan,
            numbers.doses,
            torch.from_numpy(numbered(dataset.patient.numpy())),
        )
        for attack in attacks
        if attack in POISONS and (attack != ONE_PATIENT or len(targets))
    }
    return CraftedPoison(dataset, plan, threat, trigger, targets, sets)


def _trigger(dataset: Dataset, threat: Threat, numbers: PoisoningSettings) -> Tensor:
    """(*event): of the backdoor; NaN = no part of it."""
    if dataset.schema.image:
        return make_patch(dataset.schema, threat, pixels=numbers.trigger_pixels)
    recorded = (~dataset.x.isnan()).sum(0)
    return make_trigger(
        dataset.schema,
        recorded,
        threat,
        features=numbers.trigger_features,
        size=numbers.trigger_size,
    )


def _targets(dataset: Dataset, plan: Plan, cfg: Config, generator: torch.Generator) -> Tensor:
    """Ill patients, at random, as many in each fold, whom undefended models always call ill.

    Fewer than are to be named, where there are no more of them.
    """
    undefended = train(BASELINE, dataset, plan, cfg, apart=True)
    margins = held_out_margins(undefended, dataset.x, dataset.y, plan, 1)[0]
    right = torch.zeros(len(dataset.y), dtype=torch.bool)
    right[OutOfFold(plan, [0.0]).patients] = (margins > 0).all(0)
    possible = (right & (dataset.y == 1)).nonzero()[:, 0]
    possible = possible[torch.randperm(len(possible), generator=generator)]
    if not len(possible):
        return possible
    fold = plan.held_out[plan.repetition == 0][:, possible].byte().argmax(0)
    # one of each fold, then the next
    turn = torch.stack([(fold[:place] == one).sum() for place, one in enumerate(fold)])
    return possible[torch.argsort(turn, stable=True)[: cfg.section(PoisoningSettings).targets]]


def measure_harm(name: str, poison: CraftedPoison, cfg: Config) -> Harm:
    """Trains the recipe `name` without poison and on every poisoned set."""
    dataset, plan, numbers = poison.dataset, poison.plan, cfg.section(PoisoningSettings)
    patients = OutOfFold(plan, [0.0]).patients
    clean = train(name, dataset, plan, cfg, apart=True)
    margins = {NONE: held_out_margins(clean, dataset.x, dataset.y, plan, 1)}
    cuts = {NONE: held_out_cuts(clean, plan, 1)}
    proved = _proved({NONE: clean}, poison, cfg, 1)
    triggered = target_margins = torch.zeros(0)
    made = craft_adaptive(
        _made_for_recipe(numbers.attacks, dataset),
        dataset,
        plan,
        numbers.adaptive(),
        lambda sets: trained_on(name, sets, cfg, apart=False),
        cfg.defenses[name],
    )
    everything, groups = poison.sets | made, [{attack: one} for attack, one in poison.sets.items()]
    for attack, harmed in _harmed(name, [*groups, made], cfg):
        sets, doses = everything[attack], everything[attack].doses
        if attack == ONE_PATIENT:
            after = _margins_at(harmed, dataset, sets.target)
            before = _margins_at(clean.select(sets.model), dataset, sets.target)
            target_margins = _by_target(torch.stack([before, after]), sets, plan, poison.targets)
            continue
        margins[attack] = held_out_margins(harmed, dataset.x, dataset.y, plan, doses)
        cuts[attack] = held_out_cuts(harmed, plan, doses)
        proved |= _proved({attack: harmed}, poison, cfg, doses)
        if attack == BACKDOOR:
            triggered = torch.cat(
                [triggered_margins(clean, poison, 1), triggered_margins(harmed, poison, doses)]
            )
    counts = {
        attack: sets.poisoned.sum(1).view(sets.doses, -1).float()
        for attack, sets in everything.items()
    }
    totals = {
        attack: sets.plan.train.sum(1).view(sets.doses, -1) for attack, sets in everything.items()
    }
    return Harm(
        y=dataset.y[patients],
        margins=margins,
        cuts=cuts,
        proved=proved,
        triggered=triggered,
        targets=poison.targets,
        target_margins=target_margins,
        poisoned={attack: count.mean(1) for attack, count in counts.items()},
        share={attack: (count / totals[attack]).mean(1) for attack, count in counts.items()},
    )


def _made_for_recipe(attacks: Sequence[str], dataset: Dataset) -> list[str]:
    fit = fitting(attacks, images=bool(dataset.schema.image))
    return [attack for attack in fit if attack not in POISONS]


def _harmed(
    name: str, groups: Sequence[dict[str, TrainingSets]], cfg: Config
) -> Iterator[tuple[str, Population]]:
    """Every attack with the models that it harmed.

    Those of a group, whose sets share their records, are trained as one population.
    """
    for group in groups:
        if group:
            trained = trained_on(name, TrainingSets.join(list(group.values())), cfg)
            rows = torch.arange(trained.size).split([len(sets.dose) for sets in group.values()])
            yield from zip(group, map(trained.select, rows), strict=True)


def trained_on(
    name: str,
    sets: TrainingSets,
    cfg: Config,
    drop: Callable[[TrainingSets], Tensor] | None = None,
    *,
    apart: bool = True,
) -> Population:
    """The recipe `name` on every training set, a few at a time.

    `drop` names rows (M, N * V) to leave out, right or wrong; `apart` as `train` has it.
    """
    # doses: every chunk harms the same models, and takes as many steps
    at_once = max(1, CHUNK // int((sets.dose == 0).sum()))
    parts = []
    for first in range(0, int(sets.dose.max()) + 1, at_once):
        some = sets.select((sets.dose >= first) & (sets.dose < first + at_once))
        some = some if drop is None else some.without(drop(some))
        parts.append(train(name, some.dataset, some.plan, cfg, apart=apart))
    return joined(parts)


@torch.no_grad()
def held_out_margins(
    population: Population, x: Tensor, y: Tensor, plan: Plan, doses: int
) -> Tensor:
    """(E, S, N) float32: of patients x (all, *event), by the models (E * R) that hold them out."""
    index, valid = plan.held_out_index()
    rows = index.repeat(doses, 1)
    found = margin(population.double()(x[rows].double()), y[rows])
    return (
        OutOfFold(plan, [0.0] * doses)
        .scatter(found.view(doses, *index.shape), index, valid)
        .float()
    )


def held_out_cuts(population: Population, plan: Plan, doses: int) -> Tensor:
    """(E, S, N) float32: where the models (E * R) that hold each patient out draw the line."""
    grid = OutOfFold(plan, [0.0] * doses)
    return torch.stack([grid.of_models(cut) for cut in population.cut.view(doses, -1)]).float()


def triggered_margins(population: Population, poison: CraftedPoison, doses: int) -> Tensor:
    """(E, S, N) float32: likewise, with the trigger in every record.

    NaN = the record lacks a measurement that it needs, or cannot hold it.
    """
    dataset, plan, trigger = poison.dataset, poison.plan, poison.trigger
    able = carries(dataset.x[OutOfFold(plan, [0.0]).patients], trigger, poison.threat)
    margins = held_out_margins(
        population, stamped(dataset.x, trigger, poison.threat), dataset.y, plan, doses
    )
    return margins.masked_fill(~able, torch.nan)


def _proved(
    populations: dict[str, Population], poison: CraftedPoison, cfg: Config, doses: int
) -> dict[str, Tensor]:
    """Each (E, S, N) bool: which right answers no change within the radius turns.

    Only of stacks of linear layers: the quick bound knows no others.
    """
    dataset, (index, valid) = poison.dataset, poison.plan.held_out_index()
    rows, eps = index.repeat(doses, 1), cfg.section(PoisoningSettings).eps
    grid, proved = OutOfFold(poison.plan, [0.0] * doses), {}
    for attack, population in populations.items():
        if isinstance(population, Networks):
            found = quickly_proved(population, dataset.x[rows], dataset.y[rows], poison.threat, eps)
            proved[attack] = grid.scatter(found.view(doses, *index.shape), index, valid)
    return proved


@torch.no_grad()
def _margins_at(population: Population, dataset: Dataset, patients: Tensor) -> Tensor:
    """(M,): of one patient each, the margin of the true class."""
    return margin(
        population.double()(dataset.x[patients][:, None].double()), dataset.y[patients][:, None]
    )[:, 0]


def _by_target(values: Tensor, sets: TrainingSets, plan: Plan, targets: Tensor) -> Tensor:
    """(1 + E, S, T) float32 of what each set's target got (2, E * R), before and after.

    Before is the same for every dose.
    """
    place = (sets.target[:, None] == targets).byte().argmax(1)
    table = torch.zeros(2, int(sets.dose.max()) + 1, int(plan.repetition.max()) + 1, len(targets))
    table[:, sets.dose, plan.repetition[sets.model], place] = values.float()
    return torch.cat([table[0, :1], table[1]])
