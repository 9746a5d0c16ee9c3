"""What the chapters of several risks say alike, in words that follow from tables."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from pipeline.config import BASELINE
from pipeline.presentation.chapter import Note, Part, Table
from pipeline.presentation.numbers import NOT_TOLD, SMALL, counted, few
from pipeline.risks.conclusions import Question, headline_table, overview_table
from pipeline.risks.risk import Context, HeadlineFigure

DEPLOYED = "the deployed model"  # where no recipe is known, and there is only that one
WIDEST = 6  # columns of a table that a page shows without scrolling


def whose(table: pd.DataFrame) -> str:
    """The defense that the worst is told of: none, where it was measured; else the first."""
    names = table["defense"].astype(str)
    return BASELINE if (names == BASELINE).any() else str(names.iloc[0])


def model_of(defense: str, context: Context) -> str:
    """`the undefended model`, or whose it is; of one that was trained elsewhere `DEPLOYED`."""
    if defense != BASELINE:
        return f"{context.display(defense)}'s model"
    return DEPLOYED if context.cfg.plan.frozen else "the undefended model"


def models_of_each(count: float, context: Context, called: str = "model") -> str:
    """`4 models of each recipe`; of one that was trained elsewhere `DEPLOYED`."""
    return DEPLOYED if context.cfg.plan.frozen else f"{counted(count, called)} of each recipe"


def concluded(
    risk: str, figure: HeadlineFigure, context: Context, opening: str = "Against no defense"
) -> str:
    """What is concluded of a headline figure, as the overview concludes it; empty: nothing.

    Args:
        risk: whose figure it is.
        figure: with its pairs.
        context: whose flags stand beside names.
        opening: of the sentence: what is compared, with whom.
    """
    asked = Question.of(risk, figure)
    headlines = headline_table([asked], context.cfg.audit.confidence)
    others = headlines[headlines["defense"] != BASELINE]
    said = [
        text
        for verdict in ("better", "worse", "not told apart")
        if (text := _named(others[others["verdict"] == verdict], verdict, context))
    ]
    if not said:
        return ""
    lines = overview_table([asked], headlines, context.judged, context.cfg.audit.confidence)
    best = lines["best"].iloc[0]
    last = f"best: {context.display(best)}" if best else "none is told to be the best"
    return f"{opening}, {'; '.join([*said, last])}."


def _named(lines: pd.DataFrame, verdict: str, context: Context) -> str:
    """`worse: adv_train by 0.013`; a flagged one says so where it looks better."""
    if not len(lines):
        return ""
    if verdict == "not told apart":
        return f"{verdict}: {', '.join(map(context.display, lines['defense']))}"
    sizes = zip(lines["defense"], lines["difference"].abs(), strict=True)
    return f"{verdict}: " + ", ".join(
        f"{context.display(name)} by {size:.3f}{_but(name, verdict, context)}"
        for name, size in sizes
    )


def _but(name: str, verdict: str, context: Context) -> str:
    flagged = verdict == "better" and name in context.judged and context.judged[name].flags
    return ", but flagged" if flagged else ""


def of_patients(share: float, count: float, context: Context) -> str:
    """`103 of 268`: a share of a known number, as a count that may be told.

    Args:
        share: 0 to 1.
        count: of patients; not a number = it is not told.
        context: whether patients are hidden.
    """
    if math.isnan(count):
        return f"{share:.3f}"
    rest = round((1 - share) * count, 6)
    if context.cfg.report.patients == "hidden" and 0 < rest < SMALL:
        return f"all but {few(1)} of {count:.0f}"
    return f"{patients_told(share * count, context)} of {count:.0f}"


def patients_told(count: float, context: Context) -> str:
    """A count of patients, perhaps a mean, for whom it may concern: `61`, `61.5`."""
    if math.isnan(count):
        return NOT_TOLD
    if context.cfg.report.patients == "hidden" and 0 < count < SMALL:
        return few(1)
    return f"{count:.1f}".removesuffix(".0")


def per_hundred(value: float, low: float, high: float) -> str:
    """A share and its interval: `4.0 of 100 (3.6 to 4.5)`."""
    return f"{100 * value:.1f} of 100 ({100 * low:.1f} to {100 * high:.1f})"


def one_of(names: Iterable[str]) -> str:
    """Different names as one: `a`, `a or b`."""
    return " or ".join(dict.fromkeys(map(str, names)))


def narrow(table: pd.DataFrame, keys: Sequence[str], caption: str = "") -> list[Part]:
    """A table as several of at most `WIDEST` columns, the keys in front of each."""
    others = [name for name in table if name not in keys]
    size = max(WIDEST - len(keys), 1)
    blocks = [others[at : at + size] for at in range(0, len(others), size)]
    return [Table(table[[*keys, *block]], caption=caption) for block in blocks]


def said(text: str) -> list[Part]:
    """A paragraph that stands out; nothing where there is nothing to say."""
    return [Note(text, small=False)] if text else []
