"""A made-up risk, rumour: how many tongues tell of a defense, and how many ears hear of it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pandas as pd

from pipeline.presentation.chapter import Chapter, Finding, Heading, Note, Table
from pipeline.presentation.numbers import with_interval
from pipeline.risks.catalogues import HERE, PARTLY, Evidence
from pipeline.risks.risk import Figure, HeadlineFigure, Judgement, Point, Risk, curve, own

DEFENSES = ("baseline", "hard", "masked")
WHY = "clinical, eps 0.3: nobody listened"
SECRET = "glucose 148 → 147"
HEARD = pd.DataFrame(
    {
        "defense": [name for name in DEFENSES for _ in range(2)],
        "tongues": [1, 2] * 3,
        "heard": [1 / 3, 2 / 3, 0.1, 0.2, 1e-7 / 3, 0.05],
        "said": ["one", "two"] * 3,
    }
)
PAIRS = pd.DataFrame(
    {
        "figure": "heard",
        "defense": ["hard", "masked", "masked"],
        "other": ["baseline", "baseline", "hard"],
        "difference": [0.2 - 2 / 3, 0.05 - 2 / 3, -0.15],
        "se": 0.01,
        "patients": 3,
    }
)
HEARD = HEARD.assign(heard_low=HEARD["heard"] * 0.9, heard_high=HEARD["heard"] * 1.1)
EARS = pd.DataFrame({"defense": ["baseline"] * 3, "patient": [0, 1, 2], "heard": [1 / 3, 0.5, 1.0]})
NAMED = pd.DataFrame({"defense": ["baseline"], "patient": [1], "change": [SECRET]})
TABLES = {
    "rumour": HEARD,
    "rumour_pairs": PAIRS,
    "named": NAMED,
    "plots/rumour": HEARD[["tongues", "heard"]].iloc[:2],
    "ears": EARS,
    "by/baseline": EARS.drop(columns="defense"),
}


@dataclass(frozen=True)
class MadeUp(Risk):
    """A risk whose tables and chapters are handed in."""

    drawn: Callable[..., Mapping[str, pd.DataFrame]] = lambda sources, context: {}
    written: Callable[..., Any] = lambda tables, context, folder: ()
    worst: Callable[..., Any] = lambda tables, context: None
    missing: Callable[..., Any] = lambda tables, context: ()
    covers: bool = True
    front: Callable[..., Any] = lambda tables, context, folder: None
    catalogued: Sequence[Evidence] = ()

    def _module(self, name):
        return SimpleNamespace(
            draw_up=self.drawn,
            chapters=self.written,
            finding=self.worst,
            untested=self.missing,
            cover=self.front,
            COLUMNS={},
            EVIDENCE=self.catalogued,
        )


def headline(tables, cfg):
    lines = tables["rumour"][tables["rumour"]["tongues"] == 2]
    carried = {"pairs": tables.get("rumour_pairs"), "compared": "heard", "weighed": True}
    said = {"among": "3 listeners", "threat": "two tongues, no listener warned"}
    return [HeadlineFigure.of("heard from two tongues", "low", lines, "heard", **carried, **said)]


def curves(tables, name, cfg):
    for _, line in own(tables, "rumour", name).iterrows():
        yield Figure("rumour/heard", line["heard"], line["tongues"])
    yield Figure("rumour/unheard", float("nan"))


def judge(tables):
    return {
        "baseline": Judgement(),
        "hard": Judgement(),
        "masked": Judgement({"masked_mouth": WHY, "deaf": "no ear"}),
    }


def points(tables, name, cfg):
    lines = own(tables, "rumour", name)
    return [
        Point({"tongues": str(line["tongues"])}, [Figure("heard", line["heard"])])
        for _, line in lines.iterrows()
    ]


def chapters(tables, context, folder):
    shown = tables["rumour"].assign(heard=with_interval(tables["rumour"], "heard"))
    parts = [
        Note("How many hear."),
        Table(shown[["defense", "tongues", "heard"]]),
        Heading("Who is named"),
        Table(tables["named"], "patients"),
    ]
    brief = {"privacy": [Note("masked tells little."), Table(tables["named"], "patients")]}
    return [Chapter("What is told", parts, "Two tongues tell more than one.", brief)]


def plotted(tables, cfg):
    return {"loudness": curve(tables["rumour"], "tongues", "heard")}


RUMOUR = MadeUp(
    name="rumour",
    headline=headline,
    per_patient=frozenset({"ears", "by"}),
    private=frozenset({"named"}),
    judge=judge,
    curves=curves,
    points=points,
    metrics=lambda tables, cfg: {"baseline": {"heard": 2 / 3}, "hard": {"heard": 0.2}},
    plotted=plotted,
    shown=lambda cfg: ("heard", "heard_low", "unheard"),
    summary=lambda tables, cfg: "Rumours are counted twice",
    drawn=lambda sources, context: TABLES,
    written=chapters,
    worst=lambda tables, context: Finding("Of masked 2 of 3 listeners hear.", "masked"),
    missing=lambda tables, context: ["Whispers."],
    catalogued=(
        Evidence("AML.T0015", "rumour", HERE, "what is heard"),
        Evidence("ML01:2023", "rumour", PARTLY, "what is heard, not what is meant"),
        Evidence("AML.T0020", "unheard_of", HERE, "a table that nobody drew"),
    ),
)
SILENCE = MadeUp(
    name="silence",
    headline=lambda tables, cfg: (),
    drawn=lambda sources, context: {"silence": HEARD.iloc[:0]},
)


def only_risks(patch, *risks):
    """Makes these the risks that there are, for whoever has read the registry already."""
    for name, module in list(sys.modules.items()):
        known = getattr(module, "RISKS", None)
        if name.startswith("pipeline.") and name != "pipeline.risks" and isinstance(known, tuple):
            patch.setattr(module, "RISKS", risks)


def told(risks, results, context):
    """The findings of the risks that found something, and what was not tested, as sentences."""
    found = [(one.name, one.finding(results[one.name], context)) for one in risks]
    said = [text for one in risks for text in one.untested(results[one.name], context)]
    return [(name, one) for name, one in found if one is not None], said
