"""What stands beside the page and says the same: for machines, for a registry, for a PDF."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.files import write_json, write_text
from pipeline.presentation.chapter import Chapter
from pipeline.report import AUDIT, AUDIT_SCHEMA, CARD, CHAPTERS
from pipeline.report.audit import as_text, schema_text
from pipeline.report.card import card_of
from pipeline.report.paged import chapters_as_data


def write_twins(
    audit: Mapping[str, Any],
    chapters: Sequence[Chapter],
    owners: Mapping[str, str],
    untested: Sequence[tuple[str, str]],
    folder: Path,
) -> None:
    """Writes `audit.json` with its schema, `card.md` and `chapters.json`.

    Args:
        audit: of `audit.audit_of`.
        chapters: of the page.
        owners: for each chapter's anchor the risk that wrote it.
        untested: what was not tested, with the risk's name (empty: of all).
        folder: where they go, and where the pictures of the chapters lie.
    """
    private = {owners.get(one.anchor, "") for one in chapters if "privacy" in one.brief}
    write_text(folder / AUDIT, as_text(audit))
    write_text(folder / AUDIT_SCHEMA, schema_text())
    write_text(folder / CARD, card_of(audit, private))
    told = []
    for one, said in zip(chapters, chapters_as_data(chapters, folder), strict=True):
        risk = owners.get(one.anchor, "")
        own = [text for name, text in untested if name == risk]
        told.append({"risk": risk, "untested": own, **said})
    write_json(folder / CHAPTERS, told)
