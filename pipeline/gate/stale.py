"""Whether an audit still is about what is there: each reason that it is not, in a line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pipeline.gate.audits import Audit

LETTERS = 12  # of a digest in a line
NOT_SAID = "made by an earlier version, which did not say"


@dataclass(frozen=True)
class Present:
    """What is there today.

    Attributes:
        attacks: that would be run, by what lists them.
        threats: the threat models that would be tried.
        schema: the digest of what the columns mean.
        configuration: the digest of the whole configuration.
        models: by defense, the digest of what was trained; of those that are there.
        records: the digest of the cohort and how many patients it has; None = it was not read.
    """

    attacks: Mapping[str, Sequence[str]]
    threats: Sequence[str]
    schema: str
    configuration: str
    models: Mapping[str, str]
    records: tuple[str, int] | None = None


def reasons(audit: Audit, present: Present, valid_until: str | None, today: date) -> list[str]:
    """Why an audit is stale; empty: it is not, as far as can be seen from here.

    Args:
        audit: the audit.
        present: what is there today.
        valid_until: its last day; None: it does not end.
        today: the day.
    """
    audited = audit.content["audited"]
    found = []
    if valid_until is not None and today > date.fromisoformat(valid_until):
        found.append(f"expired: it was valid until {valid_until}")
    for name, digest in present.models.items():
        known = audit.model_sha256(name)
        if known != digest:
            was = known[:LETTERS] or "not said"
            found.append(f"other model: {name} is {digest[:LETTERS]}, audited was {was}")
    found += _other_records(audit, present)
    schema = audited["cohort"].get("schema_sha256")
    if schema != present.schema:
        found.append("other schema: " + ("its columns mean something else" if schema else NOT_SAID))
    if "attacks" not in audited:
        return [*found, f"attacks: {NOT_SAID}"]
    newer = [
        f"{one} ({what})"
        for what, names in present.attacks.items()
        for one in names
        if one not in audited["attacks"].get(what, ())
    ]
    newer += [f"{one} (threat model)" for one in present.threats if one not in audit.threats]
    if newer:
        found.append(f"newer attacks: {len(newer)} that it did not run: {', '.join(newer)}")
    if not found and audited.get("configuration_sha256") != present.configuration:
        found.append("other configuration: a number has changed since")
    return found


def _other_records(audit: Audit, present: Present) -> list[str]:
    """Whether the cohort is the audited one; how many patients are new no digest tells."""
    if (
        present.records is None
        or present.records[0] == audit.content["audited"]["cohort"]["sha256"]
    ):
        return []
    count, before = present.records[1], audit.patients
    if before is not None and count > before:
        return [f"new patients: {count} are in the cohort, {before} were audited"]
    return ["other records: those of the cohort are not those that were audited"]
