"""`medsecure compare` and `medsecure keep`: what has changed between audits, without raw data."""

import json as text_of
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import isinf
from pathlib import Path
from typing import Any

from pipeline.config.gates import gates_of
from pipeline.files import BadInput, in_repository, repository_root, write_text
from pipeline.gate.addresses import short
from pipeline.gate.audits import Audit
from pipeline.gate.command import AUDIT, configured
from pipeline.gate.comparing import PAIRED, Change, Drift, attributed, changes, drifted
from pipeline.gate.judging import Interval
from pipeline.gate.keyed import Keyed, keep, keyed_text
from pipeline.gate.salt import salt_of
from pipeline.presentation.sector_words import in_words
from pipeline.validation import nearest

FORMAT = 1
NO_INPUTS = (
    "patients: an audit of an earlier version, or of images, does not say what they are like"
)


def say_changes(
    first: str,
    second: str,
    overrides: list[str],
    defense: str | None = None,
    before: str | None = None,
    json: str | None = None,
) -> int:
    """The command; 1 where a figure is told to be worse.

    Args:
        first: an `audit.json` or its folder.
        second: another one.
        overrides: of the section `gate`, in Hydra's syntax.
        defense: whose figures; None = as the gates have it.
        before: whose in the first; None = the same.
        json: a file to write.

    Raises:
        BadInput: a mistake.
    """
    a, b = Audit.read(Path(first)), Audit.read(Path(second))
    asked = gates_of(configured(overrides), "conf")
    of_b = defense or asked.defense
    of_a = before or of_b
    for audit, name in ((a, of_a), (b, of_b)):
        if name not in audit.defenses:
            raise BadInput(f"{audit.path}: {name!r} is no defense; {nearest(name, audit.defenses)}")
    if a.cohort != b.cohort:
        raise BadInput(f"{b.path}: of the cohort {b.cohort}, and {a.path} of {a.cohort}")
    keyed = Keyed.beside(a), Keyed.beside(b)
    found = changes(a, b, of_a, of_b, keyed, asked.looks)
    if not found:
        raise BadInput(f"{b.path}: has no figure with an interval that {a.path} has, too")
    overlap = any(one.method == PAIRED for one in found)
    whose = attributed(a, b, of_a, of_b, overlap)
    drift = drifted(a, b, asked.looks)
    if json is not None:
        try:
            write_text(Path(json), as_json(a, b, whose, found, drift, asked.looks))
        except OSError as error:
            raise BadInput(f"{json}: cannot write ({error.strerror or error})") from error
    told = [whose, *_lines([_named(one, b.words) for one in found], drift, asked.looks)]
    print("\n".join([*(in_words(line, b.words) for line in told), *_flags(a, b, of_a, of_b)]))
    return 1 if any(one.found.verdict == "worse" for one in found) else 0


def keep_last(folder: str) -> int:
    """The command: the last audit, and keyed verdicts, in a folder of their own.

    Raises:
        BadInput: there is no audit, or the folder is there already.
    """
    from pipeline.data.schema import load_dataset

    audit, root = Audit.read(in_repository(AUDIT)), repository_root()
    dataset = load_dataset(root / "artifacts" / "prepare")
    if dataset.digest != audit.content["audited"]["cohort"]["sha256"]:
        raise BadInput(f"{audit.path}: of other records than artifacts/prepare; `medsecure run`")
    names = list(audit.content["audited"]["cohort"]["measurements"])
    keep(audit, keyed_text(audit, dataset, names, salt_of(root)), Path(folder))
    said = "the audit, and verdicts on patients for the team alone; git takes those not"
    print(f"{folder}: {in_words(said, audit.words)}")
    return 0


def as_json(
    a: Audit, b: Audit, whose: str, found: list[Change], drift: list[Drift] | None, looks: int
) -> str:
    """All of it as JSON."""
    content = {
        "format": FORMAT,
        "first_sha256": a.sha256,
        "second_sha256": b.sha256,
        "attributed": whose,
        "looks": looks,
        "figures": [_plain(asdict(one)) for one in found],
        "patients": None if drift is None else [asdict(one) for one in drift],
    }
    return text_of.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and isinf(value) else value


def _named(one: Change, words: Mapping[str, str]) -> Change:
    """With the address as the page has it, which a gate takes, too."""
    risk, _, name = one.address.partition("/")
    return replace(one, address=f"{risk}/{short(in_words(name.replace('_', ' '), words))}")


def _lines(found: list[Change], drift: list[Drift] | None, looks: int) -> list[str]:
    lines = []
    for one in found:
        verdict, p = one.found.verdict, one.found.p
        of = f"paired, {one.patients} patients of both" if one.method == PAIRED else one.method
        ahead = f"better by {one.found.difference.value:.3g}, p {p:.2g} after Holm; {of}"
        lines.append(f"{verdict:15}{one.address}: {_words(one.before)}, then {_words(one.after)}")
        settle = one.found.patients_to_settle
        unclear = verdict == "not told apart" and not isinf(settle) and one.method != PAIRED
        also = f"; about {settle:.0f} patients would settle it (an estimate)" if unclear else ""
        lines.append(f"{'':15}{ahead}{also}")
    if looks > 1:
        lines.append(f"one of {looks} planned looks: each spends 1/{looks} of the error")
    if drift is None:
        return [*lines, NO_INPUTS]
    if not drift:
        return [*lines, "patients: no measurement is told to have drifted"]
    told = [f"{one.measurement}: {one.said}".removeprefix(": ") for one in drift]
    return [*lines, *(f"patients drifted: {line}" for line in told)]


def _flags(a: Audit, b: Audit, of_a: str, of_b: str) -> list[str]:
    """Flags of either, without which no verdict is read."""
    raised = [(one.path, name, one.flags(name)) for one, name in ((a, of_a), (b, of_b))]
    return [
        f"{path}: {name} is flagged {', '.join(flags)}" for path, name, flags in raised if flags
    ]


def _words(one: Interval) -> str:
    return f"{one.value:.3g} ({one.low:.3g} to {one.high:.3g})"
