"""Prints the summary of the last evaluation, and where it lies: `python -m pipeline.report`."""

import json
import sys
from pathlib import Path
from typing import NoReturn

from pipeline.files import in_repository, unheard
from pipeline.presentation import SCHEMA_VERSION
from pipeline.report import REPORT, SCHEMA, SUMMARY, how_to_compare


@unheard
def main() -> None:
    """The command."""
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(__doc__)
        return
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
    print(f"\n{text}\n{how_to_compare()}")
    print(f"Results:            {place / REPORT}, and the tables beside it")


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
