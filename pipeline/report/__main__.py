"""Prints the summary of the last evaluation, and where its results lie: `python -m pipeline.report`."""

import sys
from pathlib import Path

from pipeline.files import repository_root
from pipeline.report.write import HOW_TO_COMPARE, REPORT, SUMMARY

FOLDER = Path("artifacts/evaluate")


def main() -> None:
    """The command."""
    place = repository_root() / FOLDER
    try:
        text = (place / SUMMARY).read_text(encoding="utf-8")
    except FileNotFoundError:
        print(f"error: {FOLDER / SUMMARY}: not found; run `dvc repro` to make it", file=sys.stderr)
        raise SystemExit(2) from None
    print(
        f"\n{text}\n{HOW_TO_COMPARE}\nResults:            {FOLDER / REPORT}, and the tables beside it"
    )


if __name__ == "__main__":
    main()
