"""What is said of evasion: its chapters, its worst finding, its picture, what was not tested."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.presentation.chapter import Chapter, Finding, Picture
from pipeline.risks.evasion.chapters import (
    by_group,
    classified,
    cost,
    ensemble,
    headline,
    others,
    probabilities,
    scans,
    single,
    smoothing,
    units,
)
from pipeline.risks.evasion.limits import untested as not_tested
from pipeline.risks.evasion.pictures import curves, panels
from pipeline.risks.evasion.view import View
from pipeline.risks.evasion.wording import part_of, records_of, wrong_of
from pipeline.risks.risk import Context, Tables


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """What eps means; accuracy; the headline threat; patients, images; cost; groups; others."""
    if not len(tables.get("comparison", ())):
        return ()
    view = View(tables, context.cfg)
    written = (
        units.chapter(view),
        classified.chapter(view, context, folder),
        headline.chapter(view, context, folder),
        ensemble.chapter(view, folder),
        smoothing.chapter(view),
        single.chapter(view, context, folder),
        scans.chapter(view, folder),
        cost.chapter(view, context, folder),
        probabilities.chapter(view, folder),
        by_group.chapter(view, folder),
        others.chapter(view, folder),
    )
    return tuple(one for one in written if one is not None)


def finding(tables: Tables, context: Context) -> Finding | None:
    """What the headline threat does to the undefended models, in patients."""
    if not len(tables.get("comparison", ())):
        return None
    view = View(tables, context.cfg)
    limits = context.cfg.threat.get(view.threat)
    if view.empty:
        return Finding(
            f"Within {view.budget(view.eps)} no record can be changed: evasion was not tested.",
            view.first,
        )
    alarm = limits is not None and limits.goal == "alarm"
    rate, y, does = (
        ("false_alarm_rate", 0, view.does("call ill", "calls ill"))
        if alarm
        else ("missed_diagnosis_rate", 1, f"{view.does('miss', 'misses')} the disease of")
    )
    clean, at = view.line(view.clean), view.line(view.attacked)
    whole = records_of(view.comparison, y)
    if not whole:
        return None
    records = " (records)" if view.among(y).find(" records of ") > 0 else ""
    before = part_of(wrong_of(clean, y, rate, whole), whole, view.hidden)
    before = before.removesuffix(f" of {whole:.0f}")
    forged = (
        "If every pixel is forged by at most"
        if context.cfg.data.image
        else "If every value is off by at most"
        if limits is not None and limits.unit == "error"
        else "If values are forged by at most"
        if limits is None or limits.norm != "l0"
        else "If a forger changes at most"
    )
    known = f", {at['knowledge']}" if "knowledge" in at else ""
    models = f"Means over {context.cfg.plan.each} models of each patient."
    sample = f", of {view.sample}" if view.sample else ""
    return Finding(
        f"{forged} {view.budget(view.eps)}, {view.who} {does} "
        f"{part_of(wrong_of(at, y, rate, whole), whole, view.hidden)} "
        f"{'ill' if y else 'healthy'} patients{records} ({at[rate]:.3f}; "
        f"{at[f'{rate}_low']:.3f} to {at[f'{rate}_high']:.3f}); {before} of them without any "
        f"attack ({view.threat} threat{known}{sample}).",
        view.first,
        models if context.cfg.plan.each > 1 else "",
    )


def cover(tables: Tables, context: Context, folder: Path) -> Picture | None:
    """The harm of the headline threat against its radius; None: nothing was measured."""
    if not len(tables.get("comparison", ())):
        return None
    view = View(tables, context.cfg)
    limits = context.cfg.threat.get(view.threat)
    if limits is not None and limits.norm == "l0":
        return panels.counted(view, view.threat, folder)
    return curves.cover(view, folder)


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if not len(tables.get("comparison", ())):
        return ()
    return not_tested(View(tables, context.cfg), context)
