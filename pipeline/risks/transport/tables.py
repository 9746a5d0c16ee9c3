"""What each recipe is worth elsewhere and later: figures with intervals, and what may be said."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.data.schema import Dataset
from pipeline.risks.columns import DEFENSE
from pipeline.risks.risk import Context, Sources
from pipeline.risks.transport.measure.answers import Answers
from pipeline.risks.transport.measure.places import PLACES, Places, lacking, patients_of
from pipeline.risks.transport.measure.settings import TransportSettings
from pipeline.risks.transport.worth import MEASURES, Cohort, Told, at_least, chance, luck
from pipeline.statistics import Array
from pipeline.statistics.conclusions import Difference, verdict_columns
from pipeline.statistics.heterogeneity import random_effects
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import LEAST

CROSS, SITE, LATER = "cross-validation", "site", "later"
NOT_ESTIMABLE = "not estimable"
_DAYS = (3_650.0, 36_525.0)  # since 1970; outside, a number is hardly a date

COLUMNS = {
    "transport": {
        **DEFENSE,
        "tried": "on whom: `cross-validation`, a `site` that nobody learned from, or `later` days",
        "place": "`site` and its name, how many others together, or from when on",
        "sites": "how many sites the place is of; of a cross-validation all",
        "patients": "who are asked about; this count and the next three are empty where they are "
        "few, or tell of few, and `report.patients` is `hidden`",
        "ill": "of these",
        "learned": "patients who are learned from; of a cross-validation all",
        "left_out": "records of neither, because a patient, or an equal record, is on both sides",
        "figure": "auroc, accuracy, sensitivity and specificity without attack; proved_accuracy: "
        "right answers that no record within the headline radius changes",
        "value": "the figure; HIGHER = BETTER",
        "value_se": "its standard error",
        "difference": "to what cross-validation says of those learned from: other patients",
        "paired": "difference to what cross-validation says of the same patients, by models that "
        "learned from their site, or their days",
        "se": "standard error of `difference`: these recipes with other seeds, on new patients",
        "p": "of `difference`, after Holm over all places and figures of a defense",
        "verdict": "worse, better or not told apart from cross-validation; not estimable",
        "smallest_detectable": "difference that 80 of 100 such comparisons would have shown",
        "why": "why there is no figure",
    },
    "transport_spread": {
        **DEFENSE,
        "figure": "as in `transport`",
        "sites": "how many have this figure",
        "mean": "over sites, none of which its model learned from (random effects)",
        "between": "standard deviation between sites beyond chance",
        "further": "where one more site is to be expected",
    },
    "transport_not_tested": {
        "tried": "what was not tried: another `site`, `later` days",
        "why": "why not",
    },
}


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """The tables `transport`, `transport_spread`, and `transport_not_tested`."""
    folder, cfg, dataset = sources.stage("transport"), context.cfg, context.dataset
    if folder is None:
        return {}
    places, wanted = Places.load(folder / PLACES), cfg.section(TransportSettings)
    gaps = {"transport_not_tested": not_tested_table(dataset, places)}
    if not len(places.asked):
        return gaps
    names = names_of(places, dataset, wanted)
    found: dict[str, Answers | None] = dict.fromkeys(cfg.chosen(wanted.recipes))
    if places.estimable(dataset).any():
        found = {name: Answers.load(folder / f"{name}.safetensors") for name in found}
    table = transport_table(found, Tried(places, names, dataset), context.sampling)
    spread = spread_table(table, cfg.audit.confidence)
    drawn = {"transport": table, "transport_spread": spread, **gaps}
    return {name: one for name, one in drawn.items() if len(one)}


def not_tested_table(dataset: Dataset, places: Places) -> pd.DataFrame:
    """A row for each of `site` and `later` that the data set does not allow to try."""
    lines = []
    if not places.sites.any():
        unsaid = "no column says where records were made (data.site)"
        why = unsaid if dataset.site is None else "all records are of one site"
        lines.append({"tried": SITE, "why": why})
    if places.first_day is None:
        unsaid = "no column says when records were made (data.time)"
        why = unsaid if dataset.time is None else "all records are of one side of the date"
        lines.append({"tried": LATER, "why": why})
    return pd.DataFrame(lines, columns=["tried", "why"])


def names_of(places: Places, dataset: Dataset, wanted: TransportSettings) -> list[str]:
    """What people call each place; of a site its name where `LEAST` patients share it."""
    names = []
    for sites, asked in zip(places.sites, places.asked, strict=True):
        own = [name for name, one in zip(dataset.schema.sites, sites, strict=True) if one]
        if not own:
            names.append(f"from {_day(places.first_day, wanted)} on")
        elif len(own) == 1 and patients_of(asked, dataset) >= LEAST:
            names.append(f"site {own[0]}")
        else:
            names.append(f"other sites ({len(own)})")
    return names


def _day(first: float | None, wanted: TransportSettings) -> str:
    if first is None or wanted.date is not None:
        return str(wanted.date)
    if not _DAYS[0] <= first <= _DAYS[1]:
        return f"{first:g}"
    return f"day {first:g} ({datetime(1970, 1, 1) + timedelta(days=first):%Y-%m-%d})"


@dataclass(frozen=True)
class Tried:
    """P places, what they are called, and whose records there are."""

    places: Places
    names: Sequence[str]
    dataset: Dataset

    def head(self, place: int) -> dict[str, Any]:
        """Where a line is from, and how many are behind it."""
        sites, asked = int(self.places.sites[place].sum()), self.places.asked[place]
        return {
            "tried": SITE if sites else LATER,
            "place": self.names[place],
            "sites": sites,
            "patients": patients_of(asked, self.dataset),
            "ill": patients_of(asked, self.dataset, 1),
            "learned": patients_of(self.places.train[place], self.dataset),
            "left_out": int(self.places.left_out[place].sum()),
        }

    def cross(self) -> dict[str, Any]:
        """The same of the cross-validation."""
        everybody = torch.ones_like(self.dataset.y, dtype=torch.bool)
        patients = patients_of(everybody, self.dataset)
        ill = patients_of(everybody, self.dataset, 1)
        named = {"tried": CROSS, "place": "", "sites": len(self.dataset.schema.sites)}
        return {**named, "patients": patients, "ill": ill, "learned": patients, "left_out": 0}

    def why_not(self, place: int) -> str:
        """Why a place has no figures; empty = it has."""
        return lacking(self.places.asked[place], self.places.train[place], self.dataset)


def transport_table(
    found: Mapping[str, Answers | None], tried: Tried, sampling: Sampling
) -> pd.DataFrame:
    """One row per defense, place and figure; the first of each defense are the cross-validation's.

    Args:
        found: of each defense; None where no place has enough patients.
        tried: the places.
        sampling: of the intervals.
    """
    y, records = tried.dataset.y.numpy(), len(tried.dataset.y)
    cohort = Cohort(y, sampling.whose(records), sampling.weights(records))
    lines: list[dict[str, Any]] = []
    for defense, answers in found.items():
        own = list(_lines(answers, tried, cohort, sampling.confidence))
        _judge(own, sampling.patients(records), sampling.confidence)
        lines += [{"defense": defense, **line} for line in own]
    return pd.DataFrame(lines, columns=_columns())


def _columns() -> list[str]:
    bounded = ("value", "difference", "paired")
    return [
        name
        for one in COLUMNS["transport"]
        for name in ((one, f"{one}_low", f"{one}_high") if one in bounded else (one,))
    ]


def _lines(
    answers: Answers | None, tried: Tried, cohort: Cohort, confidence: float
) -> Iterator[dict[str, Any]]:
    """The lines of one defense, without verdicts."""
    by_chance: dict[str, tuple[float, float]] = {}
    if answers is not None:
        by_chance = _luck(answers, tried.places, cohort.y)
        everybody = np.ones(len(cohort.y), dtype=bool)
        told = _told(answers, 0)
        for figure, measure in MEASURES.items():
            drawn = measure.drawn(told, everybody, cohort)
            line = drawn.bounded("value", confidence)
            yield {**tried.cross(), "figure": figure, **line, "verdict": "", "why": ""}
    for place in range(len(tried.names)):
        head, why = tried.head(place), tried.why_not(place)
        for figure in MEASURES:
            if why or answers is None:
                yield {**head, "figure": figure, "verdict": NOT_ESTIMABLE, "why": why}
            else:
                line = _figure(figure, answers, place, tried, cohort, by_chance[figure], confidence)
                yield {**head, "figure": figure, **line}


def _told(answers: Answers, row: int) -> Told:
    margin, proved = answers.margin[row], answers.proved[row].double()
    right = (margin > 0).double().masked_fill(margin.isnan(), torch.nan)
    nobody = proved.masked_fill(~answers.tried[row], torch.nan)
    return Told(right.numpy(), answers.score[row].numpy(), nobody.numpy())


def _luck(answers: Answers, places: Places, y: Array) -> dict[str, tuple[float, float]]:
    """By figure the variance that seeds make at a place, and in the cross-validation.

    Of places the mean, as a few repetitions of one say little; 0 where there is one repetition.
    """
    everybody, found = np.ones(len(y), dtype=bool), {}
    rows = [places.asked[place].numpy() for place in answers.place.tolist()]
    for figure, measure in MEASURES.items():
        each = [
            luck(measure, _told(answers, 1 + number), asked, y) for number, asked in enumerate(rows)
        ]
        crossed = luck(measure, _told(answers, 0), everybody, y)
        of_one = 1 if figure == "proved_accuracy" else answers.margin.shape[1]
        both = (float(np.mean(each)) / of_one, crossed / of_one)
        found[figure] = (0.0, 0.0) if math.isnan(sum(both)) else both
    return found


def _figure(
    figure: str,
    answers: Answers,
    place: int,
    tried: Tried,
    cohort: Cohort,
    by_seeds: tuple[float, float],
    confidence: float,
) -> dict[str, Any]:
    """One figure at one place, and what cross-validation says of others and of the same."""
    measure, row = MEASURES[figure], answers.place.tolist().index(place)
    told, control = _told(answers, 1 + row), _told(answers, 0)
    asked, known = tried.places.asked[place].numpy(), tried.places.train[place].numpy()
    for models, rows in ((told, asked), (control, known)):
        among = torch.from_numpy(measure.among(models, rows, cohort.y))
        if patients_of(among, tried.dataset) < LEAST:
            return {"verdict": NOT_ESTIMABLE, "why": f"fewer than {LEAST} patients were tried"}
    own, others, same = (
        measure.drawn(one, rows, cohort)
        for one, rows in ((told, asked), (control, known), (control, asked))
    )
    least = chance(measure, control, known, asked, cohort)
    line, apart = own.bounded("value", confidence), own.less(others)
    reach = NormalDist().inv_cdf((1 + confidence) / 2)
    line["value_low"] = max(0.0, min(line["value_low"], own.value - reach * least[0]))
    line["value_high"] = min(1.0, max(line["value_high"], own.value + reach * least[0]))
    se = math.hypot(at_least(apart.se, math.hypot(*least)), sum(by_seeds) ** 0.5)
    return {
        **line,
        "value_se": math.hypot(at_least(own.se, least[0]), by_seeds[0] ** 0.5),
        "difference": apart.value,
        "difference_low": apart.value - reach * se,
        "difference_high": apart.value + reach * se,
        **own.less(same).bounded("paired", confidence),
        "se": se,
        "why": "",
    }


def _judge(lines: list[dict[str, Any]], patients: int, confidence: float) -> None:
    """Writes verdicts into the lines of one defense: Holm over all its places and figures."""
    asked = {
        number: Difference(line["difference"], line["se"])
        for number, line in enumerate(lines)
        if "difference" in line
    }
    told = verdict_columns(asked, patients=patients, confidence=confidence)
    for number, columns in told.items():
        lines[number] |= columns


def spread_table(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """One row per defense and figure that at least two sites have; groups of sites do not count."""
    lines = []
    sites = table[(table["tried"] == SITE) & (table["sites"] == 1) & table["value_se"].gt(0)]
    for (defense, figure), own in sites.groupby(["defense", "figure"], sort=False):
        values, se = (own[name].to_numpy(np.float64) for name in ("value", "value_se"))
        found = random_effects(values, se, confidence)
        if found is None:
            continue
        low, high = np.clip([found.low, found.high], 0, 1)
        further = np.clip(found.further, 0, 1)
        lines.append(
            {
                "defense": defense,
                "figure": figure,
                "sites": len(own),
                "mean": found.mean,
                "mean_low": low,
                "mean_high": high,
                "between": found.between,
                "between_low": found.between_low,
                "between_high": found.between_high,
                "further_low": further[0],
                "further_high": further[1],
            }
        )
    return pd.DataFrame(lines)
