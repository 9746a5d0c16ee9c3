"""What may be said of the headline figures of all risks, by the rules of `statistics.conclusions`.

Three questions: does a defense differ from none (Holm over the defenses of one figure); is one the
best (corrected over all pairs of a figure); who need not be chosen, whatever one cares for (the
Pareto front). A flagged defense is compared with none like the others; it is best in nothing, and
nobody is dominated by it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pipeline.config import BASELINE, Config
from pipeline.presentation.verdicts import best_words
from pipeline.risks import RISKS
from pipeline.risks.results import Results, as_written, judgements
from pipeline.risks.risk import BOUNDS, HeadlineFigure, Judgement
from pipeline.statistics.conclusions import Compared, Difference, best, compare, dominated, oriented

NOT_COMPARED = "not compared"
UNPAIRED = "no paired differences are known"
KEY = ["risk", "figure", "good"]
SUFFIXES = dict(zip(BOUNDS, ("", "_low", "_high"), strict=True))
VERDICT = ["difference", "se", "p", "verdict", "smallest_detectable", "patients_to_settle"]
LINE = [
    *KEY,
    *(f"undefended{suffix}" for suffix in SUFFIXES.values()),
    "better",
    "worse",
    "best",
    "leader",
    "rivals",
    "ahead",
    "smallest_detectable",
    "patients_to_settle",
    "conclusion",
]


@dataclass(frozen=True)
class Question:
    """One headline figure, in the digits of a CSV file, ready to be concluded from.

    Attributes:
        risk: whose it is.
        figure: the figure.
        values: by defense, HIGHER = BETTER; those without a figure are left out.
        pairs: the differences of the defenses, HIGHER = BETTER; empty = none are known.
        patients: how many the differences were measured on.
    """

    risk: str
    figure: HeadlineFigure
    values: Mapping[str, float]
    pairs: Mapping[tuple[str, str], Difference]
    patients: int

    @classmethod
    def of(cls, risk: str, figure: HeadlineFigure) -> "Question":
        """From a figure as its risk gives it."""
        table = as_written(figure.table.reset_index()).set_index("defense")
        sign = 1 if figure.good == "high" else -1
        values = {
            str(name): sign * (abs(value) if figure.good == "zero" else value)
            for name, value in table["value"].items()
            if not math.isnan(value)
        }
        written = None if figure.pairs is None else as_written(figure.pairs)
        lines = [] if written is None else written.to_dict("records")
        pairs = {
            (str(line["defense"]), str(line["other"])): Difference(
                sign * line["difference"], line["se"]
            )
            for line in lines
            if not math.isnan(line["difference"] + line["se"])
        }
        told = [line["patients"] for line in lines if not math.isnan(line["patients"])]
        patients = int(max(told, default=0))
        asked = replace(figure, table=table)
        return cls(risk, asked, values, pairs, patients)

    @property
    def name(self) -> tuple[str, str]:
        """The risk and the figure."""
        return self.risk, self.figure.figure

    @property
    def key(self) -> dict[str, str]:
        """What names its rows."""
        return {"risk": self.risk, "figure": self.figure.figure, "good": self.figure.good}

    def of_known(self, names: Sequence[str]) -> list[str]:
        """Of these defenses those with a figure and with differences to others."""
        known = {name for pair in self.pairs for name in pair}
        return [name for name in names if name in known and name in self.values]


@dataclass(frozen=True)
class Front:
    """Who is on the Pareto front.

    Attributes:
        figures: what was weighed.
        dominated: each defense that was asked -> those who dominate it; nobody: it is on the front.
        left_out: the others: flagged, or without one of the figures.
    """

    figures: tuple[str, ...]
    dominated: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...]


def questions(results: Results, cfg: Config) -> list[Question]:
    """Every headline figure of every risk.

    Raises:
        ValueError: a figure has two values of one defense.
    """
    asked = [
        Question.of(risk.name, figure)
        for risk in RISKS
        for figure in risk.headline(results[risk.name], cfg)
    ]
    for one in asked:
        if not one.figure.table.index.is_unique:
            raise ValueError(f"{one.risk}, {one.figure.figure}: defenses are not unique")
    return asked


def headline_table(asked: Sequence[Question], confidence: float) -> pd.DataFrame:
    """One row per figure and defense: its value, and what it says against no defense.

    Returns:
        `risk, figure, good, defense, value, low, high`; `difference` to the undefended models (of
        a figure that is good at 0: of the distance from 0), its `se`, `p` after Holm over the
        defenses of the figure, `verdict` (better, worse, not told apart, not compared; empty of
        the undefended ones), `smallest_detectable` difference, and `patients_to_settle` it (empty:
        no number would).
    """
    return as_headlines(
        line
        for one in asked
        for line in headline_lines(
            one, compare(against_none(one), patients=one.patients, confidence=confidence)
        )
    )


def headline_lines(one: Question, judged: Mapping[str, Compared]) -> list[dict[str, Any]]:
    """The rows of one figure, with what was judged of each defense against none."""
    lines: list[dict[str, Any]] = []
    for name, figure in one.figure.table.iterrows():
        bounds = {bound: float(figure[bound]) for bound in BOUNDS}
        line = {**one.key, "defense": name, **bounds}
        lines.append(line | _verdict(one, str(name), judged.get(str(name))))
    return lines


def as_headlines(lines: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of `headline_lines` as `headline_table` returns them."""
    table = pd.DataFrame(list(lines), columns=[*KEY, "defense", *BOUNDS, *VERDICT])
    return as_written(_numbers(table, "verdict"))


def against_none(one: Question) -> dict[str, Difference]:
    """Each defense less the undefended models, of who can be compared with them."""
    if BASELINE not in one.values:
        return {}
    others = [name for name in one.of_known(list(one.values)) if name != BASELINE]
    return {name: oriented(one.pairs, name, BASELINE) for name in others}


def _verdict(one: Question, name: str, found: Compared | None) -> dict[str, Any]:
    if found is None:
        return {"verdict": "" if name == BASELINE else NOT_COMPARED}
    sign = 1 if one.figure.good == "high" else -1
    return {
        "difference": sign * found.difference.value,
        "se": found.difference.se,
        "p": found.p,
        "verdict": found.verdict,
        "smallest_detectable": found.smallest_detectable,
        "patients_to_settle": _finite(found.patients_to_settle),
    }


def overview_table(
    asked: Sequence[Question],
    headlines: pd.DataFrame,
    judged: Mapping[str, Judgement],
    confidence: float,
) -> pd.DataFrame:
    """One row per figure: who differs from no defense, and whether anybody is the best.

    Args:
        asked: as `questions` returns them.
        headlines: their `headline_table`.
        judged: by defense; a flagged one is best in nothing.
        confidence: of every verdict.

    Returns:
        `risk, figure, good`; `undefended` with its interval; the names of those who are told to be
        `better` (without a flag) and `worse` than it, joined by a blank; `best`, the one that is
        told apart from every other one, the undefended models among them, else empty; the `leader`,
        its `rivals` who are not told apart from it, how far it is `ahead` of the closest, the
        `smallest_detectable` such difference, and the `patients_to_settle` it; the `conclusion` in
        words.
    """
    flagged = {name for name, one in judged.items() if one.flags}
    lines = [_line(one, headlines, flagged, confidence) for one in asked]
    return as_written(_numbers(pd.DataFrame(lines, columns=LINE), "conclusion"))


def _line(
    one: Question, headlines: pd.DataFrame, flagged: set[str], confidence: float
) -> dict[str, Any]:
    own = headlines[(headlines["risk"] == one.risk) & (headlines["figure"] == one.figure.figure)]
    undefended = own[own["defense"] == BASELINE]
    line: dict[str, Any] = dict(one.key)
    for bound, suffix in SUFFIXES.items():
        line[f"undefended{suffix}"] = undefended[bound].iloc[0] if len(undefended) else math.nan
    better, worse = (own.loc[own["verdict"] == which, "defense"] for which in ("better", "worse"))
    line["better"] = " ".join(name for name in better if name not in flagged)
    line["worse"] = " ".join(worse)
    return line | _best(one, flagged, confidence)


def _best(one: Question, flagged: set[str], confidence: float) -> dict[str, Any]:
    honest = [name for name in one.of_known(list(one.values)) if name not in flagged]
    suspect = [name for name in one.values if name in flagged]
    left_out = f"; flagged, hence never best: {', '.join(suspect)}" if suspect else ""
    if len(honest) < 2:
        why = "fewer than two without a flag" if one.pairs else UNPAIRED
        nobody = dict.fromkeys(("best", "leader", "rivals"), "")
        return nobody | {"conclusion": f"{NOT_COMPARED}: {why}{left_out}"}
    values = {name: one.values[name] for name in honest}
    found = best(values, one.pairs, patients=one.patients, confidence=confidence)
    return {
        "best": found.leader if found.proved else "",
        "leader": found.leader,
        "rivals": " ".join(found.rivals),
        "ahead": found.closest.difference.value,
        "smallest_detectable": found.closest.smallest_detectable,
        "patients_to_settle": _finite(found.closest.patients_to_settle),
        "conclusion": f"{best_words(found)}{left_out}",
    }


def _numbers(table: pd.DataFrame, *texts: str) -> pd.DataFrame:
    """The table with numbers as such, even where a column is empty from top to bottom."""
    names = {"ahead", *BOUNDS, *VERDICT, *(f"undefended{end}" for end in SUFFIXES.values())}
    return table.astype({name: float for name in table if name in names and name not in texts})


def _finite(patients: float) -> float:
    return math.nan if math.isinf(patients) else float(patients)


def front_of(
    asked: Sequence[Question], judged: Mapping[str, Judgement], confidence: float
) -> Front | None:
    """Who is on the Pareto front of the figures that are weighed; None: nothing to weigh."""
    weighed = [one for one in asked if one.figure.weighed and one.pairs]
    everyone = list(dict.fromkeys(name for one in weighed for name in one.figure.table.index))
    names = [
        name
        for name in everyone
        if not (name in judged and judged[name].flags)
        and all(one.of_known([name]) for one in weighed)
    ]
    if len(names) < 2:
        return None
    found = dominated(
        {one.figure.figure: {name: one.values[name] for name in names} for one in weighed},
        {one.figure.figure: one.pairs for one in weighed},
        patients=max(one.patients for one in weighed),
        confidence=confidence,
    )
    left_out = tuple(str(name) for name in everyone if name not in names)
    return Front(tuple(one.figure.figure for one in weighed), found, left_out)


@dataclass(frozen=True)
class Conclusions:
    """All that is concluded of an evaluation.

    Attributes:
        asked: `questions`.
        judged: what speaks against each defense.
        headlines: `headline_table`.
        overview: `overview_table`.
        front: `front_of`.
    """

    asked: Sequence[Question]
    judged: Mapping[str, Judgement]
    headlines: pd.DataFrame
    overview: pd.DataFrame
    front: Front | None

    @classmethod
    def of(cls, results: Results, cfg: Config) -> "Conclusions":
        """From the tables of every risk.

        Raises:
            ValueError: a figure has two values of one defense.
        """
        asked, confidence, judged = (
            questions(results, cfg),
            cfg.audit.confidence,
            judgements(results),
        )
        headlines = headline_table(asked, confidence)
        overview = overview_table(asked, headlines, judged, confidence)
        return cls(asked, judged, headlines, overview, front_of(asked, judged, confidence))

    def of_defense(self, name: str) -> dict[str, str]:
        """What is concluded of one defense, in words; what is not concluded is left out.

        Returns:
            `better` (never of a flagged one), `worse` than no defense, and `best`: the figures,
            joined by "; ". `pareto_front`: "yes", or "no" and because of whom.
        """
        own = self.headlines[self.headlines["defense"] == name]
        said = {
            verdict: "; ".join(own.loc[own["verdict"] == verdict, "figure"])
            for verdict in ("better", "worse")
        }
        if name in self.judged and self.judged[name].flags:
            del said["better"]
        said["best"] = "; ".join(self.overview.loc[self.overview["best"] == name, "figure"])
        if self.front and name in self.front.dominated:
            by = self.front.dominated[name]
            said["pareto_front"] = f"no: dominated by {', '.join(by)}" if by else "yes"
        return {key: value for key, value in said.items() if value}
