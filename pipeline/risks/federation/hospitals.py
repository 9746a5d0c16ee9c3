"""Who gains by federated training, hospital by hospital: figures with intervals."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.risks.federation.measure.hospitals import CENTRAL, FEDERATED, Trained, file_of
from pipeline.risks.federation.measure.settings import RECIPE, FederationSettings
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
        "gain": "federated less alone, paired: the same patients",
        "gain_se": "its standard error: these models on new patients",
        "gain_p": "after Holm over all hospitals, askings and figures of one number of hospitals",
        "gain_verdict": "better, worse or not told apart; not estimable",
        "gain_smallest_detectable": "gain that 80 of 100 such comparisons would have shown",
        "to_central": "federated less central, paired",
        "why": "why there is no figure",
    }
}
BOUNDED = (*TRAININGS, "gain", "to_central")


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """The table `federation_hospitals`, of every number of hospitals that was measured."""
    folder, wanted = sources.stage("federation"), context.cfg.section(FederationSettings)
    if folder is None:
        return {}
    files = [folder / RECIPE / file_of(sites) for sites in wanted.every_number]
    found = [Trained.load(file) for file in files if file.exists()]
    tables = [hospitals_table(one, context.dataset.y, context.sampling) for one in found]
    return {"federation_hospitals": pd.concat(tables, ignore_index=True)} if tables else {}


def hospitals_table(trained: Trained, y: torch.Tensor, sampling: Sampling) -> pd.DataFrame:
    """Lines of everybody, of each hospital's own patients, and of all others.

    Args:
        trained: of K hospitals.
        y: (N,) classes of the whole data set.
        sampling: of the intervals.
    """
    own = sampling.of(trained.patients.numpy())
    classes = y[trained.patients].numpy()
    cohort = Cohort(classes, own.whose(len(classes)), own.weights(len(classes)))
    lines = list(_lines(trained, cohort, own.confidence))
    _judge(lines, own.patients(len(classes)), own.confidence)
    return pd.DataFrame(lines, columns=_columns())


def _columns() -> list[str]:
    return [
        name
        for one in COLUMNS["federation_hospitals"]
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
    both = {name: told(trained, number, cohort.y) for number, name in enumerate(TRAININGS[:2])}
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
                line["gain_se"] = _error(measure, models, apart, where, cohort)
    return line


def _error(
    measure: Measure, models: Mapping[str, Told], apart: Apart, where: Array, cohort: Cohort
) -> float:
    """The standard error that resamples show.

    Two rankings of a handful that are the same have no spread, and prove nothing: then that of one
    among the same patients.
    """
    found = apart.se
    return found if found > 0 else chance(measure, models[FEDERATED], where, where, cohort)[0]


def _judge(lines: list[dict[str, Any]], patients: int, confidence: float) -> None:
    """Writes verdicts on gains into the lines: Holm over all of them."""
    asked = {
        number: Difference(line["gain"], line["gain_se"])
        for number, line in enumerate(lines)
        if "gain" in line
    }
    told = verdict_columns(asked, patients=patients, confidence=confidence)
    for number, columns in told.items():
        del columns["difference"]
        lines[number] |= {f"gain_{name}": value for name, value in columns.items()}
    for line in lines:
        if line["why"]:
            line["gain_verdict"] = NOT_ESTIMABLE
