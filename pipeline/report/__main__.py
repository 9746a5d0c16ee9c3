"""The last evaluation: its summary and where it lies, or a report to hand on.

Without options it prints the summary and where the page lies. With --export it writes the report
with commit, date and an empty signature line into a folder: HTML, PDF, JSON and a model card.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipeline.files import BadInput, in_repository, unheard
from pipeline.presentation import SCHEMA_VERSION
from pipeline.report import REPORT, SCHEMA, SUMMARY, how_to_compare

EXAMPLE = """examples:
  python -m pipeline.report
  python -m pipeline.report --export handover
  python -m pipeline.report --export handover --for privacy --signed-by "A. Person"
"""


@unheard
def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    given = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    place = in_repository("artifacts/evaluate")
    try:
        text = (place / SUMMARY).read_text(encoding="utf-8")
    except OSError:
        _refuse(f"{place / SUMMARY}: not found; run `dvc repro` to make it")
    if (found := _version(place / SCHEMA)) != SCHEMA_VERSION:
        _refuse(
            f"{place}: figures of schema version {found}, not {SCHEMA_VERSION}: their names or what"
            " they mean have changed (docs/names.md); run `dvc repro` to make them anew"
        )
    if given.export is not None:
        _export(given, place)
        return
    print(f"\n{text}\n{how_to_compare()}")
    print(f"Results:            {place / REPORT}, and the tables beside it")


def _parser() -> argparse.ArgumentParser:
    what, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.report",
        description=f"{what}\n\n{more}",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_export(parser)
    return parser


def add_export(parser: argparse.ArgumentParser) -> None:
    """The options of an export, here and in `medsecure report`."""
    add = parser.add_argument
    add("--export", metavar="FOLDER", help="write the report there, dated, to be signed")
    add(
        "--for",
        dest="cut",
        choices=["full", "facts", "privacy"],
        default="full",
        help="the whole (default), a page for clinicians, a page for data protection",
    )
    add("--signed-by", metavar="NAME", default="", help="the name on the line to be signed")
    add(
        "--patients",
        choices=["hidden", "shown"],
        default="hidden",
        help="single patients in the full page, where report.patients allows it",
    )
    add("--overwrite", action="store_true", help="replace files that are there already")


def _export(given: argparse.Namespace, place: Path) -> None:
    from pipeline.report.export import export_report, stamp_now

    try:
        lines = export_report(
            place,
            Path(given.export),
            given.cut,
            stamp_now(given.signed_by),
            patients=given.patients == "shown",
            overwrite=given.overwrite,
        )
    except BadInput as error:
        _refuse(str(error))
    print("\n".join(lines))


def _version(path: Path) -> int:
    """Of the figures beside a file; the first version did not say."""
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["schema_version"])
    except OSError:
        return 1


def _refuse(why: str) -> NoReturn:
    print(f"error: {why}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
