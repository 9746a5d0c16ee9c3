"""The command `medsecure`: it looks whose `pipeline` is installed before it imports one."""

import sys
from importlib.util import find_spec
from pathlib import Path

OURS = b'"""How a clinical model breaks, which defense helps, what it costs, and how sure'


def main() -> int:
    """The command line; returns the exit status."""
    if said := foreign():
        print(f"error: {said}", file=sys.stderr)
        return 2
    from pipeline.api.verbs import run_verb

    return run_verb(sys.argv[1:])


def foreign() -> str:
    """Says so where the `pipeline` that Python would import is not this one; empty = it is.

    Another distribution owns that name, too: the one installed last wrote over the other.
    """
    found = find_spec("pipeline")
    if found is None or not found.origin:
        return "medsecure's package `pipeline` is missing: install medsecure again"
    place = Path(found.origin)
    if place.is_file() and place.read_bytes().startswith(OURS):
        return ""
    return (
        f"the package `pipeline` that Python finds, {place}, is not medsecure's, which has the same"
        " name: install medsecure into an environment of its own"
    )
