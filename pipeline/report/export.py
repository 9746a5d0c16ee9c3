"""What leaves the project: the report with commit, date and a signature line, outside the DAG.

The stage's own files keep their bytes. Single patients leave only in the full page, only where
`report.patients` is shown, and only when somebody asks for them.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.files import BadInput, git, read_json
from pipeline.project.package import package_digest, package_version
from pipeline.report import AUDIT, AUDIT_SCHEMA, CARD, CHAPTERS, FACTS, PRIVACY, REPORT, SHARED
from pipeline.report.audit import as_text
from pipeline.report.paged import HOW, Cut, cut_of, draw_pdf, has_typst

PAGES: Mapping[Cut, str] = {"full": SHARED, "facts": FACTS, "privacy": PRIVACY}
NAMES: Mapping[Cut, str] = {"full": "report", "facts": "facts", "privacy": "privacy"}
END = "</body>"


@dataclass(frozen=True)
class Stamp:
    """When, of what, and for whom something was exported.

    Attributes:
        commit: of the repository, with "and uncommitted changes" where there are any.
        date: year, month, day.
        version: of the package.
        code_sha256: of all code.
        signed_by: the name on the line to be signed; empty: the line stays empty.
    """

    commit: str
    date: str
    version: str
    code_sha256: str
    signed_by: str = ""


def stamp_now(signed_by: str = "") -> Stamp:
    """The stamp of this moment, or of `SOURCE_DATE_EPOCH` where somebody has set it."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(seconds), UTC) if seconds else datetime.now(UTC)
    date = now.date().isoformat()
    return Stamp(commit(), date, package_version(), package_digest(), signed_by)


def commit() -> str:
    """The commit of the repository; `none` where there is no repository."""
    head = git("rev-parse", "HEAD")
    if not head:
        return "none"
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{head} and uncommitted changes" if changed else head


def export_report(
    evaluation: Path,
    target: Path,
    cut: Cut,
    stamp: Stamp,
    *,
    patients: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Writes HTML, PDF, `audit.json` with its schema, and `card.md` of one cut into a folder.

    Args:
        evaluation: the folder of the stage `evaluate`.
        target: where to; made if need be.
        cut: `full`, `facts` or `privacy`.
        stamp: what is added.
        patients: whether the page shows single patients.
        overwrite: whether other files of these names may go.

    Returns:
        a line for each file, and one for what could not be made.

    Raises:
        BadInput: single patients are asked for where they are hidden or in a cut; a file is
            missing; a file of the name is there, and is another one.
    """
    audit = read_json(evaluation / AUDIT)
    if patients and (cut != "full" or audit["audited"]["patients"] != "shown"):
        raise BadInput(
            "--patients shown: only of the full report, and only where report.patients is shown"
        )
    page = evaluation / (REPORT if patients else PAGES[cut])
    contents = {
        f"{NAMES[cut]}.html": stamped_page(_read(page), stamp).encode(),
        AUDIT: as_text({**audit, "export": asdict(stamp)}).encode(),
        AUDIT_SCHEMA: _read(evaluation / AUDIT_SCHEMA).encode(),
        CARD: stamped_card(_read(evaluation / CARD), stamp).encode(),
    }
    said = [] if has_typst() else [f"No {NAMES[cut]}.pdf: {HOW}"]
    if has_typst():
        document = cut_of(audit, read_json(evaluation / CHAPTERS), cut)
        contents[f"{NAMES[cut]}.pdf"] = draw_pdf(document, evaluation, asdict(stamp))
    _place(contents, target, overwrite)
    return [*(str(target / name) for name in contents), *said]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{path}: not found; run `dvc repro` to make it") from None


def _place(contents: Mapping[str, bytes], target: Path, overwrite: bool) -> None:
    """All files or none: each is whole before the first takes its place."""
    others = [
        name
        for name, content in contents.items()
        if (target / name).exists() and (target / name).read_bytes() != content
    ]
    if others and not overwrite:
        raise BadInput(
            f"{target}: holds another {', '.join(others)}; name an empty folder, or --overwrite"
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target, prefix=".export") as unfinished:
            for name, content in contents.items():
                (Path(unfinished) / name).write_bytes(content)
            for name in contents:
                (Path(unfinished) / name).replace(target / name)
    except OSError as error:
        raise BadInput(f"{target}: cannot write ({error.strerror or error})") from error


def stamped_page(page: str, stamp: Stamp) -> str:
    """A page with commit, date and a line to sign at its end."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in signature(stamp).items()
    )
    block = (
        '<section id="signature"><h2>Dated and signed</h2>'
        f"<table><tbody>{rows}</tbody></table></section>"
    )
    before, end, after = page.rpartition(END)
    if not end:
        raise BadInput(f"a page without {END}; run `dvc repro` to make it again")
    return f"{before}{block}\n{end}{after}"


def stamped_card(card: str, stamp: Stamp) -> str:
    """A card with commit, date and a line to sign at its end."""
    lines = [f"- {name}: {value}" for name, value in signature(stamp).items()]
    return "\n".join([card.rstrip("\n"), "", "## Dated and signed", "", *lines]) + "\n"


def signature(stamp: Stamp) -> dict[str, str]:
    """What is added to a report, name by name; what a person has to fill in is a line."""
    blank = "_" * 24
    return {
        "Exported on": stamp.date,
        "Commit": stamp.commit,
        "medsecure": stamp.version,
        "Code, SHA-256": stamp.code_sha256,
        "Name": stamp.signed_by or blank,
        "Role": blank,
        "Date": blank,
        "Signature": blank,
    }
