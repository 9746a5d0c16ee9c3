"""Prints the summary of the last evaluation, and where it lies: `python -m pipeline.report`."""

import sys

from pipeline.files import in_repository
from pipeline.report import HOW_TO_COMPARE, REPORT, SUMMARY


def main() -> None:
    """The command."""
    place = in_repository("artifacts/evaluate")
    try:
        text = (place / SUMMARY).read_text(encoding="utf-8")
    except OSError:
        print(f"error: {place / SUMMARY}: not found; run `dvc repro` to make it", file=sys.stderr)
        raise SystemExit(2) from None
    print(f"\n{text}\n{HOW_TO_COMPARE}")
    print(f"Results:            {place / REPORT}, and the tables beside it")


if __name__ == "__main__":
    main()
