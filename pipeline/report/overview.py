"""The headline figures of all risks, and what is concluded from them, in words."""

import math
from collections.abc import Collection, Mapping
from textwrap import fill

import pandas as pd

from pipeline.presentation.numbers import with_interval
from pipeline.presentation.pictures import display_name
from pipeline.risks.conclusions import KEY, Front
from pipeline.risks.risk import Judgement

ENDS = {"low": "low", "high": "high", "zero": "0"}
BEST = "best"
WIDE = 100  # columns of a terminal
RULE = (
    "Better, worse or not told apart: from the difference to the undefended models on the same "
    "patients, after Holm over the defenses of a line. Best: told apart from every other one, no "
    "defense among them; never a flagged defense. Differences and intervals of right answers, "
    "missed diagnoses and false alarms are those of the recipes on a new cohort of this size; all "
    "others are those of these models on new patients. Figures of different lines do not compare."
)


def whose_records(records: int, patients: int) -> str:
    """What is counted where patients have several records; nothing where each has one."""
    if records == patients:
        return ""
    return (
        f"{records} records of {patients} patients. Figures of answers are means over records; "
        "intervals and differences draw patients, all of their records with them. What a model "
        "gives away is told of patients. Nobody's records lie on two sides of a split."
    )


def in_words(
    headlines: pd.DataFrame, lines: pd.DataFrame, judged: Mapping[str, Judgement]
) -> pd.DataFrame:
    """The overview as text: a row per figure, a column per defense.

    Args:
        headlines: of `conclusions.headline_table`.
        lines: of `conclusions.overview_table`.
        judged: by defense, in the order of the columns, which carry their flags.

    Returns:
        `risk, figure, good`; for each defense its figure with its interval, and what it says
        against no defense; `best`. A defense that was not measured is missing.
    """
    cells = [
        f"{said}{', ' * bool(verdict)}{verdict}"
        for said, verdict in zip(
            with_interval(headlines, "value", "low", "high"),
            _verdicts(headlines, {name for name, one in judged.items() if one.flags}),
            strict=True,
        )
    ]
    order = list(dict.fromkeys([*judged, *headlines["defense"]]))
    said = headlines.assign(cell=cells).pivot(index=KEY, columns="defense", values="cell")
    of_lines = pd.MultiIndex.from_frame(lines[KEY])
    shown = pd.DataFrame(
        {"risk": lines["risk"], "figure": lines["figure"], "good": lines["good"].map(ENDS)}
    )
    for name in order:
        if name in said:
            flags = " ".join(judged[name].flags) if name in judged else ""
            shown[display_name(name, flags)] = said[name].reindex(of_lines).to_numpy()
    return shown.assign(**{BEST: lines["conclusion"]})


def _verdicts(headlines: pd.DataFrame, flagged: Collection[str]) -> list[str]:
    """`better by 0.045`; empty where nothing was compared."""
    said = []
    for line in headlines.to_dict("records"):
        if line["verdict"] in ("better", "worse"):
            suspect = line["verdict"] == "better" and line["defense"] in flagged
            size = f"{line['verdict']} by {abs(line['difference']):.3f}"
            said.append(f"{size}, but flagged" if suspect else size)
        elif line["verdict"] == "not told apart":
            said.append(f"not told apart ({line['smallest_detectable']:.3f} would have shown)")
        else:
            said.append("")
    return said


def as_text(words: pd.DataFrame) -> str:
    """The overview for a terminal: a block per figure, a line per defense that was measured."""
    defenses = [str(name) for name in words if name not in (*KEY, BEST)]
    width = max(map(len, [*defenses, BEST]), default=0)
    blocks = []
    for line in words.to_dict("records"):
        block = [fill(f"{line['risk']}: {line['figure']}; good: {line['good']}", WIDE)]
        block += [
            fill(f"  {name:<{width}}  {line[name]}", WIDE, subsequent_indent=" " * (width + 4))
            for name in [*defenses, BEST]
            if not _missing(line[name])
        ]
        blocks.append("\n".join(block))
    return "\n\n".join(blocks)


def _missing(cell: object) -> bool:
    return isinstance(cell, float) and math.isnan(cell)


def front_in_words(front: Front | None) -> str:
    """One line: who is on the Pareto front of what; empty where nothing was weighed."""
    if front is None:
        return ""
    on = [name for name, by in front.dominated.items() if not by]
    off = [f"{name} (by {', '.join(by)})" for name, by in front.dominated.items() if by]
    said = f"Pareto front of {'; '.join(front.figures)}: {', '.join(on)}."
    said += f" Dominated: {', '.join(off)}." if off else " Nobody is dominated."
    said += f" Not asked, because flagged or not measured: {', '.join(front.left_out)}." * bool(
        front.left_out
    )
    return f"{said} Being on it is no praise: it may mean that nothing was told apart."
