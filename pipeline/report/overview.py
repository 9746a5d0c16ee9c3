"""The headline figures of all risks, and what is concluded from them, in words."""

from collections.abc import Mapping
from textwrap import fill

import pandas as pd

from pipeline.presentation.pictures import display_name
from pipeline.risks.conclusions import NOT_COMPARED, UNPAIRED, Front
from pipeline.risks.risk import Judgement

UNTOLD = "none without a flag is told to be better, and none at all worse"
NOTHING_BESIDE = f"{NOT_COMPARED}: {UNPAIRED}"  # as where one recipe alone was measured
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


def verdicts_in_words(lines: pd.DataFrame, judged: Mapping[str, Judgement]) -> str:
    """The overview for a terminal: of each figure who is better, worse, best; nobody: in one line.

    Args:
        lines: of `conclusions.overview_table`.
        judged: by defense; flags stand beside every name.
    """
    flags = {name: " ".join(one.flags) for name, one in judged.items()}
    said, untold, unpaired = [], [], []
    for line in lines.to_dict("records"):
        named = {
            verdict: [
                display_name(name, flags.get(name, "")) for name in str(line[verdict]).split()
            ]
            for verdict in ("better", "worse", "best")
        }
        words = [f"{verdict}: {', '.join(names)}" for verdict, names in named.items() if names]
        figure = f"{line['risk']}: {line['figure']}"
        if words:
            said.append(_filled(f"{figure}: {'; '.join(words)}"))
        elif str(line["conclusion"]).startswith(NOTHING_BESIDE):
            unpaired.append(str(line["figure"]))
        else:
            untold.append(str(line["figure"]))
    said += [_filled(f"{NOTHING_BESIDE}: {'; '.join(unpaired)}")] if unpaired else []
    said += [_filled(f"{UNTOLD}: {'; '.join(untold)}")] if untold else []
    return "\n".join(said)


def _filled(text: str) -> str:
    return fill(text, WIDE, subsequent_indent="  ")


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
