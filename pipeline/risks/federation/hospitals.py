"""Who gains by federated training, hospital by hospital: figures with intervals."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.risks.federation.measure.hospitals import Trained, file_of
from pipeline.risks.federation.measure.settings import (
    CENTRAL,
    FEDERATED,
    PRIVATE,
    RECIPE,
    FederationSettings,
)
from pipeline.risks.pairs import Apart
from pipeline.risks.risk import Context, Sources
from pipeline.risks.transport.worth import MEASURES, Cohort, Measure, Told, chance
from pipeline.statistics import Array
from pipeline.statistics.conclusions import Difference, verdict_columns
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import LEAST, count_of

ALONE, OWN, OTHERS, EVERYBODY = "alone", "own", "others", "everybody"
FIGURES = tuple(name for name in MEASURES if name != "proved_accuracy")
NOT_ESTIMABLE = "not estimable"
TRAININGS = (CENTRAL, FEDERATED, ALONE)

COLUMNS = {
    "federation_hospitals": {
        "hospitals": "how many take part",
        "aggregate": "the server's rule",
        "hospital": "which one; empty = all of them",
        "asked": "who is asked: its `own` patients, those of all `others`, or `everybody`",
        "patients": "who are asked; this and the next are empty where few, and of all `others`",
        "ill": "of these",
        "figure": "auroc, accuracy, sensitivity or specificity out of fold, without attack",
        CENTRAL: "the figure of models that learn from all records in one place; HIGHER = BETTER",
        FEDERATED: "of federated models",
        ALONE: "of models that this hospital trains alone; empty in the lines of all",
        **{name: f"of the recipe {name}; empty where it was not trained" for name in PRIVATE},
        "gain": "federated less alone, paired: the same patients",
        "gain_se": "its standard error: these models on new patients",
        "gain_p": "after Holm over all hospitals, askings and figures of one number of hospitals",
        "gain_verdict": "better, worse or not told apart; not estimable",
        "gain_smallest_detectable": "gain that 80 of 100 such comparisons would have shown",
        "to_central": "federated less central, paired",
        "why": "why there is no figure",
    },
    "federation_private": {
        "hospitals": "how many take part",
        "recipe": "the private training",
        "protects": "what is added to or removed from the data that the claim is about",
        "against": "from whom it is protected",
        "epsilon_claimed": "for one model's weights",
        "delta": "of the claim",
        "epsilon_recomputed": "by a second accountant",
        "epsilon_lower_bound": "that an audit shows to be spent; 95 %, from right guesses",
        "epsilon_ceiling": "the most that so many guesses could have shown",
        "epsilon_gaussian": "the same if the noise is normal; empty below sample rate 1",
        "epsilon_counts": "the same if nothing is known of the mechanism",
        "noise_measured": "that the training measured of itself, over what is claimed",
        "figure": "auroc, accuracy, sensitivity or specificity of everybody, without attack",
        "value": "out of fold; HIGHER = BETTER",
        "beside": "the same training without privacy",
        "plain": "its figure",
        "cost": "value less plain, paired: the same patients",
        "cost_se": "its standard error: these models on new patients",
        "cost_p": "after Holm over all rows",
        "cost_verdict": "better, worse or not told apart",
        "cost_smallest_detectable": "cost that 80 of 100 such comparisons would have shown",
    },
}
BOUNDED = (*TRAININGS, *PRIVATE, "gain", "to_central", "value", "plain", "cost")


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """Gains for every number of hospitals that was measured; what privacy costs, if it was."""
    folder, wanted = sources.stage("federation"), context.cfg.section(FederationSettings)
    if folder is None:
        return {}
    files = [folder / RECIPE / file_of(sites) for sites in wanted.every_number]
    found = [Trained.load(file) for file in files if file.exists()]
    if not found:
        return {}
    y, sampling = context.dataset.y, context.sampling
    gains = [hospitals_table(one, y, sampling) for one in found]
    costs = [private_table(one, y, sampling) for one in found if one.claims]
    return {
        name: pd.concat(tables, ignore_index=True)
        for name, tables in (("federation_hospitals", gains), ("federation_private", costs))
        if tables
    }


def hospitals_table(trained: Trained, y: torch.Tensor, sampling: Sampling) -> pd.DataFrame:
    """Lines of everybody, of each hospital's own patients, and of all others.

    Args:
        trained: of K hospitals.
        y: (N,) classes of the whole data set.
        sampling: of the intervals.
    """
    cohort, own = _cohort(trained, y, sampling)
    lines = list(_lines(trained, cohort, own.confidence))
    _judge(lines, "gain", own.patients(len(cohort.y)), own.confidence)
    for line in lines:
        if line["why"]:
            line["gain_verdict"] = NOT_ESTIMABLE
    return pd.DataFrame(lines, columns=_columns("federation_hospitals"))


def private_table(trained: Trained, y: torch.Tensor, sampling: Sampling) -> pd.DataFrame:
    """What private trainings claim and cost, a line for each figure of everybody.

    Args:
        trained: with the claims of its private recipes.
        y: (N,) classes of the whole data set.
        sampling: of the intervals.
    """
    cohort, own = _cohort(trained, y, sampling)
    everybody, models = np.ones(len(cohort.y), dtype=bool), _everywhere(trained, cohort.y)
    lines = []
    for name, claim in trained.claims.items():
        about = {"hospitals": len(trained.hospitals), "recipe": name, **_claimed(claim)}
        for figure in FIGURES:
            measure, plain = MEASURES[figure], models[PRIVATE[name]]
            pair = [measure.drawn(one, everybody, cohort) for one in (models[name], plain)]
            cost = pair[0].less(pair[1])
            line = {**about, "figure": figure, "beside": PRIVATE[name]}
            line |= pair[0].bounded("value", own.confidence)
            line |= pair[1].bounded("plain", own.confidence) | cost.bounded("cost", own.confidence)
            line["cost_se"] = _error(measure, plain, cost, everybody, cohort)
            lines.append(line)
    _judge(lines, "cost", own.patients(len(cohort.y)), own.confidence)
    return pd.DataFrame(lines, columns=_columns("federation_private"))


def _claimed(claim: Mapping[str, Any]) -> dict[str, Any]:
    """What is claimed, recomputed and audited; `claim` as `measure.claims.claim_of`."""
    audit, shown = claim["audit"], claim["audit"]["bounds"]
    return {
        "protects": claim["neighbouring"].removeprefix("add or remove "),
        "against": claim["against"],
        "epsilon_claimed": claim["epsilon"],
        "delta": claim["delta"],
        "epsilon_recomputed": claim["accounts"]["pld"],
        "epsilon_lower_bound": audit["epsilon_lower_bound"],
        "epsilon_ceiling": audit["ceiling"],
        **{f"epsilon_{one}": _known(shown[one]) for one in ("gaussian", "counts")},
        "noise_measured": claim["noise"],
    }


def _known(bound: float | None) -> float:
    return float("nan") if bound is None else bound


def _cohort(trained: Trained, y: torch.Tensor, sampling: Sampling) -> tuple[Cohort, Sampling]:
    own, classes = sampling.of(trained.patients.numpy()), y[trained.patients].numpy()
    return Cohort(classes, own.whose(len(classes)), own.weights(len(classes))), own


def _columns(table: str) -> list[str]:
    return [
        name
        for one in COLUMNS[table]
        for name in ((one, f"{one}_low", f"{one}_high") if one in BOUNDED else (one,))
    ]


def told(trained: Trained, training: int, y: Array) -> Told:
    """What the models of one training say of everybody; y (N,)."""
    margin, cut = trained.margin[training].double(), trained.cut[training].double()
    right = (margin > 0).double().masked_fill(margin.isnan(), torch.nan)
    lead = torch.where(torch.from_numpy(y) == 1, margin, -margin)
    return Told(right.numpy(), (lead + cut).numpy(), np.full(len(y), np.nan))


def _lines(trained: Trained, cohort: Cohort, confidence: float) -> Iterator[dict[str, Any]]:
    place, count = trained.place.numpy(), len(trained.hospitals)
    both = _everywhere(trained, cohort.y)
    everybody = np.ones(len(place), dtype=bool)
    named = {"hospitals": count, "aggregate": trained.aggregate}
    yield from _asked(
        {**named, "hospital": "", "asked": EVERYBODY}, both, everybody, cohort, confidence
    )
    for number, hospital in enumerate(trained.hospitals):
        models = {**both, ALONE: told(trained, 2 + number, cohort.y)}
        for asked, where in ((OWN, place == number), (OTHERS, place != number)):
            head = {**named, "hospital": hospital, "asked": asked}
            yield from _asked(head, models, where, cohort, confidence)


def _everywhere(trained: Trained, y: Array) -> dict[str, Told]:
    """What trainings say that all hospitals take part in; y (N,)."""
    first = 2 + len(trained.hospitals)
    places = {name: first + number for number, name in enumerate(trained.private)}
    return {name: told(trained, at, y) for name, at in {CENTRAL: 0, FEDERATED: 1, **places}.items()}


def _asked(
    head: Mapping[str, Any],
    models: Mapping[str, Told],
    where: Array,
    cohort: Cohort,
    confidence: float,
) -> Iterator[dict[str, Any]]:
    """A line for each figure of some patients `where` (N,)."""
    ill = where & (cohort.y == 1)
    counts = {"patients": count_of(cohort.whose, where), "ill": count_of(cohort.whose, ill)}
    if head["asked"] == OTHERS:  # told, it would tell how many its own are
        counts = {}
    for figure in FIGURES:
        why = _why_not(models, where, cohort)
        line = {} if why else _figure(MEASURES[figure], models, where, cohort, confidence)
        yield {**head, **counts, "figure": figure, **line, "why": why}


def _why_not(models: Mapping[str, Told], where: Array, cohort: Cohort) -> str:
    if ALONE in models and np.isnan(models[ALONE].right).all():
        return "a model would train on one class alone"
    counts = [count_of(cohort.whose, where & (cohort.y == label)) for label in (0, 1)]
    return "" if min(counts) >= LEAST else f"fewer than {LEAST} patients of a class"


def _figure(
    measure: Measure, models: Mapping[str, Told], where: Array, cohort: Cohort, confidence: float
) -> dict[str, Any]:
    """Each training's figure among some patients, and paired differences."""
    drawn = {name: measure.drawn(one, where, cohort) for name, one in models.items()}
    line: dict[str, Any] = {}
    for name, one in drawn.items():
        line |= one.bounded(name, confidence)
    between = {"to_central": CENTRAL, "gain": ALONE}
    for name, other in between.items():
        if other in drawn:
            apart = drawn[FEDERATED].less(drawn[other])
            line |= apart.bounded(name, confidence)
            if name == "gain":
                line["gain_se"] = _error(measure, models[FEDERATED], apart, where, cohort)
    return line


def _error(measure: Measure, model: Told, apart: Apart, where: Array, cohort: Cohort) -> float:
    """The standard error that resamples show.

    Two rankings of a handful that are the same have no spread, and prove nothing: then that of one
    among the same patients.
    """
    found = apart.se
    return found if found > 0 else chance(measure, model, where, where, cohort)[0]


def _judge(lines: list[dict[str, Any]], name: str, patients: int, confidence: float) -> None:
    """Writes verdicts on a difference into the lines: Holm over all of them."""
    asked = {
        number: Difference(line[name], line[f"{name}_se"])
        for number, line in enumerate(lines)
        if name in line
    }
    told = verdict_columns(asked, patients=patients, confidence=confidence)
    for number, columns in told.items():
        del columns["difference"]
        lines[number] |= {f"{name}_{what}": value for what, value in columns.items()}
