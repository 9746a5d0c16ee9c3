"""The one protocol: all that the report, MLflow and the configuration know of a risk.

A risk is a package of its own with fixed names. `measure/` (with its settings) runs the experiment
and keeps tensors, `tables` draws them up as figures with intervals (`draw_up`), `report` makes
chapters of these (`chapters`), and `risk` is its entry in `RISKS`. Each imports only those before
it. `catalogued` says which rows of the catalogues its tables are evidence of. `tables`, `report`
and `catalogued` are imported when they are asked for: who checks a configuration, trains or
measures need not wait for what draws pictures.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipeline.config import Config, Section
from pipeline.files import NOT_APPLICABLE, read_json

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.data.schema import Dataset
    from pipeline.presentation.chapter import Chapter, Finding, Picture
    from pipeline.risks.catalogues import Evidence
    from pipeline.statistics.intervals import Sampling

Tables = Mapping[str, "pd.DataFrame"]
BOUNDS = ("value", "low", "high")

# What is put behind the name of a column, and what it then says.
SUFFIXES: Mapping[str, str] = {
    "_low": "lower bound of the interval",
    "_high": "upper bound of the interval",
    "_difference": "difference to the control, paired on the same patients",
    "_without": "the same figure without the remedy",
}


@dataclass(frozen=True)
class Judgement:
    """What speaks against the figures of a defense.

    Attributes:
        flags: for each flag why it was raised.
    """

    flags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """Whose records were examined, as what was configured, and what speaks against whom.

    Attributes:
        dataset: the records.
        cfg: the configuration.
        judged: by defense, what all risks together say against it; empty while tables are drawn up.
        models: by defense, the digest of what was trained; empty: nobody said.
        releases: by defense, the digest of the one model of these that is deployed.
    """

    dataset: "Dataset"
    cfg: Config
    judged: Mapping[str, Judgement] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    releases: Mapping[str, str] = field(default_factory=dict)

    def display(self, defense: str) -> str:
        """The name of a defense as people see it: with its flags."""
        from pipeline.presentation.pictures import display_name

        return display_name(defense, " ".join(self.judged.get(defense, Judgement()).flags))

    @property
    def sampling(self) -> "Sampling":
        """How its figures get their intervals: patients are drawn, with all their records."""
        from pipeline.statistics.intervals import Sampling

        audit, seed, patient = self.cfg.audit, self.cfg.seed, self.dataset.patient.numpy()
        return Sampling(audit.resamples, audit.confidence, seed, patient, audit.bundles)


@dataclass(frozen=True)
class Sources:
    """Where measurements lie.

    Attributes:
        examined: for each defense the folder of what was measured of it; in it a folder for each
            risk.
        stages: the folder whose folder of a risk's name holds what the risk's own stage measured;
            None = no such stages were run.
    """

    examined: Mapping[str, Path]
    stages: Path | None = None

    def of(self, risk: str) -> dict[str, Path]:
        """For each defense of which this risk was measured, the folder."""
        places = {name: place / risk for name, place in self.examined.items()}
        return {name: place for name, place in places.items() if place.is_dir()}

    def not_applicable(self, risk: str) -> list[tuple[str, str, str]]:
        """What could not be asked of whom, and why: (defense, what, why)."""
        found = []
        own = [] if self.stages is None else [("every recipe", self.stages / risk)]
        places = [*self.examined.items(), *own]
        for name, place in places:
            path = place / NOT_APPLICABLE
            whys = read_json(path).get(risk, {}) if path.exists() else {}
            found += [(name, what, why) for what, why in whys.items()]
        return found

    def stage(self, risk: str) -> Path | None:
        """The folder of the risk's own stage, if it was run and measured something."""
        place = None if self.stages is None else self.stages / risk
        if place is None or not place.is_dir():
            return None
        gaps = place / NOT_APPLICABLE
        whole = gaps.exists() and "" in read_json(gaps).get(risk, {})
        return None if whole else place


@dataclass(frozen=True)
class HeadlineFigure:
    """What a risk does to each defense, in one figure: a line of the overview.

    Attributes:
        figure: what the figure is, for people.
        good: which end of it is good, or whether 0 is.
        table: indexed by defense, columns `value, low, high`.
        pairs: what its defenses differ by: columns `defense, other, difference, se, patients` of
            `pipeline.risks.pairs`; None = nothing is concluded.
        weighed: whether the Pareto front weighs it: one of the few that a clinician decides by.
        among: whom it is a share or mean of, with their number: "268 ill patients"; a number of 1
            to 9 is told as such only of attackers' targets, never of a group of patients.
        threat: who attacks, in few words: goal, knowledge, budget with its unit; empty: nobody.
    """

    figure: str
    good: Literal["low", "high", "zero"]
    table: "pd.DataFrame"
    pairs: "pd.DataFrame | None" = None
    weighed: bool = False
    among: str = ""
    threat: str = ""

    @classmethod
    def of(
        cls,
        figure: str,
        good: Literal["low", "high", "zero"],
        lines: "pd.DataFrame",
        *columns: str,
        pairs: "pd.DataFrame | None" = None,
        compared: str = "",
        weighed: bool = False,
        among: str = "",
        threat: str = "",
    ) -> "HeadlineFigure":
        """From rows, one for each defense.

        `columns` are those of the value and of its bounds; of the value alone, where the bounds
        stand in `<column>_low` and `<column>_high`. `pairs` is a table of `pipeline.risks.pairs`,
        and `compared` the name of the figure in it.
        """
        own = None if pairs is None else pairs[pairs["figure"] == compared]
        table = lines.set_index("defense")[_with_bounds(columns)].set_axis(BOUNDS, axis=1)
        return cls(figure, good, table, own, weighed, among, threat)


@dataclass(frozen=True)
class Trade:
    """Two figures of which a defense may buy one with the other, as a sweep draws them.

    Attributes:
        kept: what it costs: without an attacker.
        bought: what it is for.
    """

    kept: HeadlineFigure
    bought: HeadlineFigure


def by_defense(lines: "pd.DataFrame", **named: str) -> dict[str, dict[str, float]]:
    """Columns of rows, one for each defense, as metrics: name -> column; NaN is left out."""
    found = {
        str(line["defense"]): {
            name: float(line[column])
            for name, column in named.items()
            if line[column] == line[column]
        }
        for _, line in lines.iterrows()
    }
    return {defense: figures for defense, figures in found.items() if figures}


class Figure(NamedTuple):
    """A value of a metric of MLflow; NaN is left out. One name at several steps is a curve."""

    name: str
    value: Any
    step: int = 0


@dataclass(frozen=True)
class Point:
    """One setting of an attacker, as a nested run of MLflow.

    Attributes:
        params: what tells it apart from the other settings.
        figures: its metrics, plain.
    """

    params: Mapping[str, str]
    figures: Sequence[Figure]


def own(tables: Tables, table: str, defense: str) -> "pd.DataFrame":
    """The rows of one defense in one table."""
    rows = tables[table]
    return rows[rows["defense"] == defense]


def curve(lines: "pd.DataFrame", against: str, *columns: str) -> "pd.DataFrame":
    """A curve of each defense for `Risk.plotted`; `columns` as in `HeadlineFigure.of`.

    Where nothing has a value there is no point.
    """
    shown = lines[["defense", against, *_with_bounds(columns)]].set_axis(
        ["defense", against, *BOUNDS], axis=1
    )
    return shown.dropna(subset="value").reset_index(drop=True)


def _with_bounds(columns: Sequence[str]) -> list[str]:
    """A value's column and those of its bounds, said or as `SUFFIXES` has them."""
    if len(columns) > 1:
        return list(columns)
    return [f"{columns[0]}{suffix}" for suffix in ("", "_low", "_high")]


def nearest_of(values: "pd.Series[float]", wanted: float) -> float:
    """The value nearest to the one wanted."""
    return nearest_in(values.unique(), wanted)


def nearest_in(values: Iterable[float], wanted: float) -> float:
    """The value nearest to the one wanted; of two, the first."""
    return float(min(values, key=lambda value: abs(value - wanted)))


def fits(cfg: Config, origin: str) -> None:
    """For a risk whose settings need no further check."""


def innocent(tables: Tables) -> Mapping[str, Judgement]:
    """For a risk that says nothing against the figures of a defense."""
    return {}


def unlogged(tables: Tables, defense: str, cfg: Config) -> Sequence[Any]:
    """For a risk whose curves, or settings of an attacker, stand in its tables alone."""
    return ()


def unmeasured(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """For a risk that adds nothing to what MLflow and `dvc metrics` compare."""
    return {}


def unshown(cfg: Config) -> Sequence[str]:
    """For a risk that has no column in MLflow's table of runs."""
    return ()


def straight(tables: Tables, cfg: Config) -> "Mapping[str, pd.DataFrame]":
    """For a risk that draws nothing with `dvc plots`."""
    return {}


def untraded(tables: Tables, cfg: Config) -> Sequence[Trade]:
    """For a risk without figures that are bought with each other."""
    return ()


def silent(tables: Tables, cfg: Config) -> str:
    """For a risk that adds nothing to the terminal."""
    return ""


@dataclass(frozen=True)
class Risk:
    """What the report, the overview, MLflow and the configuration know of a risk.

    Attributes:
        name: of its package, its section of the configuration, its folders of measurements, and its
            place in the overview.
        headline: its lines of the overview.
        settings: its section of the configuration; None = it has none of its own.
        check: refuses names and numbers of the configuration that do not fit each other; the second
            argument is their origin.
        per_patient: its tables (or folders of tables) with a row per patient: kept as parquet, and
            never sent anywhere.
        private: its other tables that show single patients: never sent anywhere either.
        parts: its tables whose counts of patients add up to what is known elsewhere -> the columns
            that such lines share.
        judge: what its tables say against the figures of each defense.
        flags: the names of all that `judge` may raise.
        metrics: by defense, the few figures that a team compares: between runs in MLflow, between
            commits by `dvc metrics`. Their names say what they are, whatever stands beside them.
        shown: names of those metrics that are columns of MLflow's table of runs, the first ones
            axes of its charts.
        curves: of one defense, few; the first part of a name says what its step is.
        points: the nested runs of one defense.
        plotted: what `dvc plots` compares between commits, by name: `defense`, what it is drawn
            against, `value, low, high`; shares of patients, no counts of them.
        trades: what a sweep draws against each other, with the front of those that no other job
            surpasses in both.
        summary: what the terminal shows at the end of a run.
        covers: whether its `report` draws a `cover` for the first screen.
        staged: whether a stage of its own measures it: `each` recipe, so that a sweep can do so
            with one of them, too; or the `whole` cohort, which no sweep does. Empty = `attack` and
            `examine` do.
        glossary: its words of the field -> plain ones.
    """

    name: str
    headline: Callable[[Tables, Config], Sequence[HeadlineFigure]]
    settings: type[Section] | None = None
    check: Callable[[Config, str], None] = fits
    per_patient: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    judge: Callable[[Tables], Mapping[str, Judgement]] = innocent
    flags: Callable[[], Sequence[str]] = tuple
    metrics: Callable[[Tables, Config], Mapping[str, Mapping[str, float]]] = unmeasured
    shown: Callable[[Config], Sequence[str]] = unshown
    curves: Callable[[Tables, str, Config], Iterable[Figure]] = unlogged
    points: Callable[[Tables, str, Config], Sequence[Point]] = unlogged
    plotted: "Callable[[Tables, Config], Mapping[str, pd.DataFrame]]" = straight
    trades: Callable[[Tables, Config], Sequence[Trade]] = untraded
    summary: Callable[[Tables, Config], str] = silent
    covers: bool = False
    staged: Literal["", "each", "whole"] = ""
    glossary: Mapping[str, str] = field(default_factory=dict)

    def tables(self, sources: Sources, context: Context) -> Tables:
        """Its tables, by file name without ending; empty where nothing was measured.

        Pure: trains and attacks nothing.
        """
        drawn: Tables = self._module("tables").draw_up(sources, context)
        return drawn

    def chapters(self, tables: Tables, context: Context, folder: Path) -> "Sequence[Chapter]":
        """Its chapters, from its tables; their pictures are drawn into `folder`."""
        written: Sequence[Chapter] = self._module("report").chapters(tables, context, folder)
        return written

    def finding(self, tables: Tables, context: Context) -> "Finding | None":
        """The worst that it found, for the first screen; None: nothing was measured."""
        found: Finding | None = self._module("report").finding(tables, context)
        return found

    def untested(self, tables: Tables, context: Context) -> Sequence[str]:
        """What a reader could take for tested, and was not; a sentence each."""
        said: Sequence[str] = self._module("report").untested(tables, context)
        return said

    def cover(self, tables: Tables, context: Context, folder: Path) -> "Picture | None":
        """Its picture for the first screen, drawn into `folder`; None: it has none."""
        if not self.covers:
            return None
        drawn: Picture | None = self._module("report").cover(tables, context, folder)
        return drawn

    def figures(self, tables: Tables, defense: str, cfg: Config) -> list[Figure]:
        """What MLflow's run of one defense holds: its metrics, and its curves."""
        plain = self.metrics(tables, cfg).get(defense, {})
        return [*(Figure(*one) for one in plain.items()), *self.curves(tables, defense, cfg)]

    def evidence(self) -> "Sequence[Evidence]":
        """Which rows of the catalogues its tables say something about."""
        catalogued: Sequence[Evidence] = self._module("catalogued").EVIDENCE
        return catalogued

    def is_per_patient(self, table: str) -> bool:
        """Whether a table has a row per patient."""
        return table.split("/")[0] in self.per_patient

    def columns(self) -> Mapping[str, Mapping[str, str]]:
        """Table -> column -> what it says, without `SUFFIXES`."""
        explained: Mapping[str, Mapping[str, str]] = self._module("tables").COLUMNS
        return explained

    def _module(self, name: str) -> Any:
        return import_module(f"pipeline.risks.{self.name}.{name}")
