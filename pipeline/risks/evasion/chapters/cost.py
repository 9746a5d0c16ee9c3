"""What robustness costs: sensitivity without attack against sensitivity under it, paired."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Part, Table
from pipeline.presentation.numbers import with_interval
from pipeline.risks.evasion.chapters.shared import sample_parts
from pipeline.risks.evasion.judged import against_none, figure_of, front
from pipeline.risks.evasion.pictures.panels import forest
from pipeline.risks.evasion.pictures.weighed import trade_off
from pipeline.risks.evasion.risk import RISK
from pipeline.risks.evasion.view import View
from pipeline.risks.risk import Context
from pipeline.risks.sentences import concluded

CLEAN, ATTACKED = "clean_missed_diagnosis_rate", "missed_diagnosis_rate"


def chapter(view: View, context: Context, folder: Path) -> Chapter | None:
    """Of more than one defense; None of one alone."""
    if len(view.shown) < 2:
        return None
    parts: list[Part] = [
        *sample_parts(view),
        trade_off(view, folder),
        Table(_table(view), "numbers", f"Sensitivity, {view.among(1)}, at {view.budget(view.eps)}"),
    ]
    if view.undefended and "sensitivity_difference" in view.attacked:
        parts.append(Fold("Differences to the undefended models", [forest(view, folder)]))
    return Chapter("What robustness costs", parts, _result(view, context))


def _table(view: View) -> pd.DataFrame:
    shown = pd.DataFrame(
        {
            "defense": list(view.shown.values()),
            "sensitivity, no attack": with_interval(view.clean, "sensitivity"),
            "sensitivity under attack": with_interval(view.attacked, "sensitivity"),
            "specificity, no attack": with_interval(view.clean, "specificity"),
        }
    )
    verdicts = {figure: against_none(view, figure) for figure in (CLEAN, ATTACKED)}
    for figure, title in ((CLEAN, "no attack: verdict"), (ATTACKED, "under attack: verdict")):
        words = []
        for name in view.shown:
            found = verdicts[figure].get(name)
            said = "" if found is None else str(found.verdict)
            words.append(f"{said}, but flagged" if said == "better" and view.flags[name] else said)
        shown[title] = words
    return shown


def _result(view: View, context: Context) -> str:
    openings = {
        CLEAN: "Diagnoses missed without attack, against no defense",
        ATTACKED: f"At {view.budget(view.eps)}, against no defense",
    }
    said = [
        concluded(RISK.name, figure_of(view, figure), context, opening)
        for figure, opening in openings.items()
    ]
    weighed = front(view)
    if weighed:
        on = [view.shown[name] for name, by in weighed.items() if not by]
        said.append(f"On the Pareto front of both: {', '.join(on)}.")
    return " ".join(said) if against_none(view, ATTACKED) else "No paired differences are known."
