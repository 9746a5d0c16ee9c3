"""The chapters as a PDF by Typst: PDF/UA-1, the same bytes for the same content.

`chapters.json` holds what is drawn, so that a PDF can be made at any time without a measurement.
It never holds single patients.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pipeline.files import BadInput
from pipeline.presentation.chapter import (
    Chapter,
    Fold,
    Heading,
    Items,
    NotApplicable,
    Note,
    Part,
    Picture,
    Reader,
    Table,
)
from pipeline.presentation.frames import cells
from pipeline.presentation.sector_words import data_in_words, in_words
from pipeline.report.sheet import Sheet, shorter

TEMPLATE = "document.typ"
HOW = "a PDF needs Typst: pip install 'medsecure[pdf]'"
LEFT_OUT = "Left out here, because it shows single patients."
Cut = Literal["full", "facts", "privacy"]
READER: Mapping[Cut, Reader] = {"facts": "clinician", "privacy": "privacy"}
TITLES: Mapping[Cut, str] = {
    "full": "Robustness and privacy audit",
    "facts": "Facts for clinicians",
    "privacy": "Patients' privacy",
}
HEADINGS = {
    "findings": "What was found",
    "not_tested": "What was not tested",
    "flags": "Flags",
    "overview": "All risks",
}
SIZES = (9.0, 8.5, 8.0, 7.5, 7.0)  # points; of a page that is to be one, the first that fits


def has_typst() -> bool:
    """Whether the extra `pdf` is installed."""
    return find_spec("typst") is not None


# ---- chapters as data ----


def chapters_as_data(chapters: Sequence[Chapter], folder: Path) -> list[dict[str, Any]]:
    """Chapters as JSON holds them; pictures by their place in `folder`, no single patient."""
    return [
        {
            "title": one.title,
            "result": one.result,
            "parts": [_part(part, folder) for part in one.parts],
            "brief": {
                reader: [_part(part, folder) for part in parts]
                for reader, parts in one.brief.items()
            },
        }
        for one in chapters
    ]


def _part(part: Part, folder: Path) -> dict[str, Any]:
    match part:
        case Note(text, small):
            return {"kind": "note", "text": text, "small": small}
        case Items(entries):
            return {"kind": "items", "entries": [list(entry) for entry in entries]}
        case Heading(text):
            return {"kind": "heading", "text": text}
        case Table(_, "patients"):
            return {"kind": "note", "text": LEFT_OUT, "small": True}
        case Table(table, kind, caption):
            return {
                "kind": "table",
                "numbers": kind == "numbers",
                "columns": [str(name) for name in table],
                "rows": cells(table),
                "caption": caption,
            }
        case Picture(patients=True):
            return {"kind": "note", "text": LEFT_OUT, "small": True}
        case Picture(path, shows, caption):
            place = path.relative_to(folder).as_posix()
            return {"kind": "picture", "path": place, "shows": shows, "caption": caption}
        case NotApplicable(what, why):
            return {"kind": "note", "text": f"{what}: not applicable: {why}", "small": True}
        case Fold(title, parts):
            inside = [_part(inner, folder) for inner in parts]
            return {"kind": "fold", "title": title, "parts": inside}


def texts_of(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every text that parts show, in their order."""
    found: list[str] = []
    for part in parts:
        found += [part[key] for key in ("title", "text", "shows", "caption") if part.get(key)]
        found += [text for entry in part.get("entries", ()) for text in entry]
        found += part.get("columns", [])
        found += [cell for row in part.get("rows", ()) for cell in row]
        found += texts_of(part.get("parts", ()))
    return found


# ---- cuts ----


def cut_of(
    audit: Mapping[str, Any], chapters: Sequence[Mapping[str, Any]], cut: Cut
) -> dict[str, Any]:
    """What one reader's document says, from `audit.json` and the chapters.

    `facts` and `privacy` hold what the chapters say to that reader in brief; `full` all of them.
    """
    audited = audit["audited"]
    words = audited["cohort"].get("words")  # the chapters are told in them already
    audit = data_in_words(audit, words)
    if cut == "full":
        kept = [{key: one[key] for key in ("title", "result", "parts")} for one in chapters]
    else:
        kept = [
            {"title": one["title"], "result": one["result"], "parts": brief}
            for one in chapters
            if (brief := one["brief"].get(READER[cut]))
        ]
    told = {one["risk"] for one in chapters if cut == "full" or one["brief"].get(READER[cut])}
    return {
        "title": f"{in_words(TITLES[cut], words)}: {audited['cohort']['title']}",
        "full": cut == "full",
        "headings": HEADINGS,
        "use": audit["use"],
        "warnings": data_in_words(_warnings(audited), words),
        "audited": data_in_words(_audited(audited), words),
        "findings": [one["text"] for one in audit["findings"] if one["risk"] in told],
        "flags": _flags(audit) if cut == "full" else [],
        "overview": _overview(audit) if cut == "full" else None,
        "chapters": kept,
        "not_tested": _not_tested(audit, chapters, told),
        "left_out": "",
    }


def _not_tested(
    audit: Mapping[str, Any], chapters: Sequence[Mapping[str, Any]], told: Collection[str]
) -> list[str]:
    """Of the risks that a document tells of, and what is true of all."""
    others = {
        text for one in chapters if one["risk"] not in told for text in one.get("untested", ())
    }
    return [text for text in audit["not_tested"] if text not in others]


def _flags(audit: Mapping[str, Any]) -> list[str]:
    return [
        f"{one['defense']}: {one['flag'].replace('_', ' ')}: {one['evidence']}"
        for one in audit["flags"]
    ]


def _warnings(audited: Mapping[str, Any]) -> list[str]:
    guessed = len(audited["threats"]["guessed"])
    said = f"Threat model not reviewed: {guessed} measurements are a program's guess."
    return [] if audited["threats"]["reviewed"] else [said]


def _audited(audited: Mapping[str, Any]) -> list[list[str]]:
    from pipeline.presentation.numbers import counted

    cohort, models = audited["cohort"], audited["models"]
    told = {one: "not told how many" if cohort[one] is None else cohort[one] for one in cohort}
    return [
        ["Cohort", f"{cohort['title']}: {told['patients']} patients, {told['ill']} of them ill"],
        ["Models", f"{_called(models)}: {', '.join(models['defenses'])}"],
        [
            "Scored by",
            models.get("scored")
            or f"models that did not train on the patient; {counted(models['folds'], 'fold')} x "
            f"{counted(models['seeds'], 'seed')}",
        ],
        ["Intervals", f"{audited['confidence']:.0%}, unless said otherwise"],
        ["Records", f"SHA-256 {cohort['sha256']}"],
        ["Configuration", f"SHA-256 {audited['configuration_sha256']}"],
    ]


def _called(models: Mapping[str, Any]) -> str:
    """The architecture; of somebody's model also what they call it."""
    named = f" ({models['named']})" if "named" in models else ""
    return f"{models['architecture']}{named}"


def _overview(audit: Mapping[str, Any]) -> dict[str, Any]:
    """A row per headline figure of a defense, so that no table is wider than a page."""
    from pipeline.presentation.numbers import interval_text

    rows = [
        [
            f"{one['risk']}: {one['figure']}",
            one["defense"],
            interval_text(
                *(
                    float("nan" if one[key] is None else one[key])
                    for key in ("value", "low", "high")
                )
            ),
            one["among"] or "-",
            one["threat"] or "none",
            one["verdict"] or "-",
        ]
        for one in audit["figures"]
    ]
    columns = ["figure", "defense", "value", "among", "threat", "against no defense"]
    caption = "Headline figures of all risks"
    return {
        "kind": "table", "numbers": False, "columns": columns, "rows": rows, "caption": caption,
    }  # fmt: skip


# ---- Typst ----


def draw_pdf(
    document: Mapping[str, Any], folder: Path, signature: Mapping[str, str] | None = None
) -> bytes:
    """The PDF of a document; `full` has as many pages as it takes, the others have one.

    Where small type is not enough, these leave out what `sheet.shorter` leaves out, and say so.

    Args:
        document: of `cut_of`.
        folder: where its pictures lie.
        signature: `commit`, `date` and `signed_by` of an export.

    Raises:
        BadInput: Typst is not installed, or refuses the document.
    """
    if not has_typst():
        raise BadInput(HOW)
    signed = {**document, "signature": signature}
    if document["full"]:
        return _compile({**signed, "size": SIZES[0]}, folder)
    for size in SIZES:
        drawn = _compile({**signed, "size": size}, folder)
        if pages(drawn) == 1:
            return drawn
    results = {one["title"]: one["result"] for one in document["chapters"]}
    briefs = [(one["title"], one["parts"]) for one in document["chapters"]]
    sheets = list(shorter(Sheet(document["findings"], briefs, document["not_tested"])))

    def draw(sheet: Sheet) -> bytes:
        kept = [{"title": t, "result": results[t], "parts": parts} for t, parts in sheet.briefs]
        less = {"chapters": kept, "not_tested": sheet.untested, "left_out": sheet.pointer}
        return _compile({**signed, **less, "size": SIZES[-1]}, folder)

    first = bisect_left(sheets, True, key=lambda sheet: pages(draw(sheet)) == 1)
    return draw(sheets[min(first, len(sheets) - 1)])


def _compile(document: Mapping[str, Any], folder: Path) -> bytes:
    import matplotlib

    typst: Any = import_module("typst")  # its types want a path of the template's kind everywhere
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    source = files("pipeline.report").joinpath(TEMPLATE).read_bytes()
    try:
        drawn: bytes = typst.compile(
            source,
            root=str(folder.resolve()),
            font_paths=[str(fonts)],
            ignore_system_fonts=True,
            format="pdf",
            sys_inputs={"document": json.dumps(document, ensure_ascii=False)},
            pdf_standards=["ua-1"],
            timestamp=0,
        )
    except typst.TypstError as error:
        raise BadInput(f"Typst: {' '.join(str(error).split())}") from error
    return drawn


def pages(pdf: bytes) -> int:
    """How many pages a PDF of Typst has."""
    return max(map(int, re.findall(rb"/Type/Pages/Count (\d+)", pdf)))
