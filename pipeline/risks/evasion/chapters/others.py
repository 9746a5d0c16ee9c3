"""The threats beside the headline: other limits, other norms, errors instead of a forger."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Note, Part, Table
from pipeline.presentation.numbers import with_interval
from pipeline.risks.evasion.chapters.shared import empty_parts, other_table
from pipeline.risks.evasion.pictures.canvas import told
from pipeline.risks.evasion.pictures.curves import against_radius
from pipeline.risks.evasion.pictures.panels import counted
from pipeline.risks.evasion.proofs import proofs_in_words
from pipeline.risks.evasion.repeats import repeat_parts
from pipeline.risks.evasion.view import View
from pipeline.risks.evasion.wording import GOALS, NORMS
from pipeline.risks.risk import nearest_of

FORGED = (
    "A forged value need not be close to the true one, and an answer that follows it is not "
    "wrong of the model: these figures say what a forger gets, not how fragile the model is."
)


def chapter(view: View, folder: Path) -> Chapter | None:
    """A row a threat, and a fold with all of its radii; None where there is no other one."""
    others = [name for name in view.comparison["threat"].unique() if name != view.threat]
    if not others:
        return None
    parts: list[Part] = [Table(_table(view, others), "text", f"Other threats, {view.who}")]
    parts += [Fold(f"Under the {name} threat", _of(view, str(name), folder)) for name in others]
    return Chapter("Other threats", parts, _result(view, others))


def _counts(view: View, threat: str) -> bool:
    limits = view.cfg.threat.get(threat)
    return limits is not None and limits.norm == "l0"


def _at(view: View, threat: str) -> pd.Series:
    """The line of the first defense at the headline radius, or at one of what a radius counts."""
    lines = view.comparison[
        (view.comparison["threat"] == threat) & (view.comparison["defense"] == view.first)
    ]
    limits = view.cfg.threat.get(threat)
    same = limits is not None and limits.norm != "l0" and limits.unit == "scale"
    wanted = view.cfg.audit.headline_eps if same else 1.0
    attacked = lines.loc[lines["eps"] > 0, "eps"]
    eps = nearest_of(attacked if len(attacked) else lines["eps"], wanted)
    found: pd.Series = lines[lines["eps"] == eps].iloc[0]
    return found


def _table(view: View, others: list[str]) -> pd.DataFrame:
    lines = pd.DataFrame([_at(view, name) for name in others])
    return pd.DataFrame(
        {
            "threat": others,
            "wanted": lines.get("goal", pd.Series("", lines.index)).map(GOALS).tolist(),
            "change": [
                f"{NORMS.get(str(line.get('norm')), '')} "
                f"{view.budget(float(line['eps']), str(line['threat']))}".strip()
                for _, line in lines.iterrows()
            ],
            "right answers": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
            "missed diagnoses": with_interval(lines, "missed_diagnosis_rate"),
            "proved": proofs_in_words(lines, view.beyond_proof),
        }
    )


def _of(view: View, threat: str, folder: Path) -> list[Part]:
    lines = view.comparison[view.comparison["threat"] == threat]
    repeats = view.tables.get("repeats", pd.DataFrame(columns=["threat"]))
    table = other_table(lines, view.shown, view.beyond_proof)
    counts = _counts(view, threat)
    return [
        *empty_parts(view, lines),
        (counted if counts else against_radius)(view, threat, folder),
        *([Note(FORGED)] if counts else []),
        *repeat_parts(repeats, threat, view.shown),
        Table(table, "numbers", f"Every radius of the {threat} threat"),
    ]


def _result(view: View, others: list[str]) -> str:
    said = []
    for name in others:
        line = _at(view, str(name))
        reach = view.budget(float(line["eps"]), str(name))
        said.append(
            f"{told(line, 'robust_accuracy', 'robust_low', 'robust_high')} under {name}, {reach}"
        )
    return f"Right answers of {view.who}: {'; '.join(said)}."
