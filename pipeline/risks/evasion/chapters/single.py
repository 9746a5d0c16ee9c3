"""Which patients: how far right answers are from falling, and what turns the most fragile."""

import math
from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Items, Note, Part, Picture, Table
from pipeline.presentation.numbers import SMALL
from pipeline.risks.evasion.chapters.shared import ROWS, sample_parts
from pipeline.risks.evasion.clinic import shares_in_words, within_error_sentence
from pipeline.risks.evasion.fragility import POINTS, near_the_cut
from pipeline.risks.evasion.patients import at_risk, most_fragile
from pipeline.risks.evasion.pictures.patients import fragile, radii
from pipeline.risks.evasion.view import View
from pipeline.risks.evasion.wording import part_of
from pipeline.risks.risk import Context
from pipeline.statistics import Array, edges
from pipeline.statistics.patients import numbered

EXAMPLES = 3  # on the page of a clinician
READ = (
    "Of each patient the repetition with the median distance. The change is the nearest record "
    "found that is answered wrongly; it is proved that no nearer one is below the smaller radius "
    "given. No changed value can be put back, nor moved by one step towards the patient's; the "
    "models that it turns are those of all repetitions that held the patient out. The usual error "
    "is one standard deviation of a repeated measurement; from day to day a patient varies more. "
    "A change within measurement error needs no attacker."
)


def chapter(view: View, context: Context, folder: Path) -> Chapter | None:
    """What is said of single patients; None where records are images, or nothing is proved."""
    table = view.own("patients")
    if not len(table):
        return None
    whose = context.sampling.whose(len(context.dataset.y))
    result = borderline(view, table)
    said = within_error_sentence(table, view.cfg.audit.confidence, whose=whose, hidden=view.hidden)
    parts: list[Part] = [*sample_parts(view), *_drawn(radii(view, folder))]
    drawn: list[Part] = []
    if not view.hidden and len(at_risk(table)):
        parts.append(_examples(table, ROWS, "The most fragile diagnoses"))
        drawn = _drawn(fragile(view, folder))
    parts += [
        *([Fold("What turns the most fragile, value by value", drawn)] if drawn else []),
        Fold("How to read it", [Note(READ)]),
        *(
            Fold(view.shown[name], _of_defense(view, name, whose))
            for name in view.shown
            if len(view.own("patients", name))
        ),
    ]
    brief = [_facts(view, table, whose), *_brief_examples(view, table)]
    return Chapter(
        "Which patients, and what it takes",
        parts,
        f"Of {view.who}: {said[0].lower()}{said[1:]} {result}".rstrip(),
        {"clinician": brief},
    )


def _drawn(picture: Picture | None) -> list[Part]:
    return [] if picture is None else [picture]


def _examples(table: pd.DataFrame, count: int, caption: str) -> Table:
    """The most fragile diagnoses in short, of `patients_table`."""
    rows = at_risk(table, count)
    shown = pd.DataFrame(
        {
            "patient": rows["patient"],
            "change that misses the diagnosis": rows["change"],
            "score before": rows["confidence_before"].map("{:.1%}".format),
            "score after": rows["confidence_after"].map("{:.1%}".format),
            "threshold": rows["cut"].map("{:.1%}".format),
            "models that it turns": [
                f"{turned} of {of}"
                for turned, of in zip(rows["turned_by"], rows["repetitions"], strict=True)
            ],
            "within measurement error": rows["within_error"].map({True: "yes", False: "no"}),
        }
    )
    return Table(shown.reset_index(drop=True), "patients", caption)


def _of_defense(view: View, name: str, whose: Array) -> list[Part]:
    table = view.own("patients", name)
    said = within_error_sentence(table, view.cfg.audit.confidence, whose=whose, hidden=view.hidden)
    parts: list[Part] = [Note(f"{view.shown[name]}. {said}", small=False)]
    fragile_ones = most_fragile(table)
    if len(fragile_ones) and not view.hidden:
        caption = "The correct diagnoses of disease that the smallest changes turn"
        parts.append(Table(fragile_ones, "patients", f"{caption}, {view.shown[name]}"))
    turned = view.own("alone", name)
    if len(turned):
        caption = (
            "Correct answers that one measurement can turn by itself, as far as a single forged "
            "value may go"
        )
        parts.append(Table(shares_in_words(turned), "text", f"{caption}, {view.shown[name]}"))
    return parts


def borderline(view: View, table: pd.DataFrame) -> str:
    """How many of the flips within measurement error were close calls before; empty: no flip.

    Nothing either where patients are hidden and the flips are few.
    """
    flips = table[table["correct"] & table["within_error"]]
    if not len(flips) or (view.hidden and len(flips) < SMALL):
        return ""
    near = int((near_the_cut(flips) <= POINTS).sum())
    return (
        f"{part_of(near, len(flips), view.hidden)} such answers were borderline: a score within "
        f"{100 * POINTS:g} percentage points of the threshold."
    )


def _facts(view: View, table: pd.DataFrame, whose: Array) -> Items:
    """What measurement error alone does, and when to measure again."""
    entries = []
    for what, y in (("diagnoses of disease", 1), ("all-clears", 0)):
        right = table[table["correct"] & (table["y"] == y)]
        turned = int(right["within_error"].sum())
        few = view.hidden and (0 < turned < SMALL or len(right) < SMALL)
        if not len(right) or few:
            continue
        rows = right["patient"].to_numpy()
        each = numbered(whose[rows])
        low, high = edges.wilson_of_patients(turned, each, view.cfg.audit.confidence)
        entries.append(
            (
                f"Of 100 right {what}",
                f"{100 * turned / len(right):.1f} ({100 * low:.1f} to {100 * high:.1f}) can be "
                f"turned by a change within measurement error, {turned} of {len(right)}, "
                "at least",
            )
        )
    return Items([*entries, *_when(view, table)])


def _when(view: View, table: pd.DataFrame) -> list[tuple[str, str]]:
    """When to repeat a measurement: the scores at which an error decides, and which measurement."""
    flips = table[table["correct"] & table["within_error"]]
    if not len(flips) or (view.hidden and len(flips) < SMALL):
        return []
    points = math.ceil(100 * float(near_the_cut(flips).max()))
    said = f"when the score lies within {points} percentage points of the threshold: all "
    said += f"{len(flips)} answers that an error of the measurements could turn did"
    alone = view.own("alone")
    known = alone.dropna(subset=["within_error"]) if "within_error" in alone else alone.iloc[:0]
    known = known[known["within_error"] > 0].sort_values(
        "within_error", ascending=False, kind="stable"
    )
    if len(known):
        first = known.head(EXAMPLES).to_dict("records")
        each = [
            f"{one['feature']} ({one['within_error']:.1%}; {one['within_error_low']:.1%} to "
            f"{one['within_error_high']:.1%} of right answers turn by its error alone)"
            for one in first
        ]
        said += f"; first {', then '.join(each)}"
    return [("Measure again", said)]


def _brief_examples(view: View, table: pd.DataFrame) -> list[Part]:
    if view.hidden or not len(at_risk(table)):
        return []
    return [_examples(table, EXAMPLES, "Diagnoses that a small change misses")]
