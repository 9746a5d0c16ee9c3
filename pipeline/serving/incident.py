"""What happened in a time: every row of it, replayed by the same model, and who else is affected.

The records lie in the bundle in the clear: it is treated as the cohort is.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import BadInput, folder, write_json, write_text
from pipeline.parallel import one_thread
from pipeline.serving.console import faults, rows_of
from pipeline.serving.journal import Kind, Row, answer_of, facts_of
from pipeline.serving.model import Model
from pipeline.serving.replies import as_given

ROWS, SUMMARY, PAGE = "rows.jsonl", "incident.json", "incident.md"
ASKED = (Kind.ANSWERED, Kind.REFERRED)


@dataclass(frozen=True)
class Replayed:
    """One record, asked again.

    Attributes:
        row: its number in the log.
        same: whether log-odds, decision and reason are the same to the last bit.
        turned: whether the radius that is asked about would have referred what was answered; None =
            no radius is asked about, or it was referred.
    """

    row: int
    same: bool
    turned: bool | None


def as_line(row: Row, record: bytes | None) -> str:
    """A row as a line of JSON, with its record where it was opened."""
    said: dict[str, Any] = {
        "row": row.sequence,
        "time": row.time,
        "client": row.client,
        "role": row.role,
        "kind": row.kind,
        "endpoint": row.endpoint,
        "model": row.model,
        "policy": row.policy,
        "answer": answer_of(row),
        "facts": facts_of(row),
    }
    if record is not None:
        said["record"] = json.loads(record)
    return json.dumps(said, ensure_ascii=False)


def investigate(
    place: Path,
    since: datetime | None,
    until: datetime | None,
    client: str | None,
    key: Path | None,
    r: float | None,
    out: Path,
) -> tuple[list[str], bool]:
    """Writes the bundle of an incident.

    Args:
        place: of the guard.
        since: from when on; with a zone.
        until: before when; with a zone.
        client: whose requests; None = everybody's.
        key: an auditor's private key; None = nothing is opened, and nothing replayed.
        r: which of the answers this radius would have referred; None = not asked.
        out: a new folder.

    Returns:
        what was found, in lines, and whether every record that was replayed is the same again.

    Raises:
        BadInput: the folder is there, or the log cannot be read.
    """
    if out.exists():
        raise BadInput(f"{out}: is there already; name a new folder")
    rows = list(rows_of(place, since, until, client, key))
    if not rows:
        raise BadInput(f"{place}: the log holds no row of that time and client")
    model = Model.of(place)
    with one_thread():  # as a worker of the guard
        replayed, left = replay(model, rows, r)
    others = affected(rows, rows_of(place, None, None, None, key), client)
    wrong = faults(place)
    said = _lines(rows, replayed, left, others, wrong, r)
    with folder(out, keep=True) as unfinished:
        write_text(unfinished / ROWS, "".join(f"{as_line(*one)}\n" for one in rows))
        summary = {
            "release_sha256": model.served.release_sha256,
            "policy_sha256": model.policy_sha256,
            "rows": len(rows),
            "kinds": dict(Counter(str(row.kind) for row, _ in rows)),
            "replayed": [asdict(one) for one in replayed],
            "not_replayed": left,
            "others": others,
            "log_faults": wrong,
        }
        write_json(unfinished / SUMMARY, summary)
        write_text(unfinished / PAGE, as_page(said, rows))
    return [*said, f"{out}: {ROWS}, {SUMMARY}, {PAGE}"], all(one.same for one in replayed)


def replay(
    model: Model, rows: Sequence[tuple[Row, bytes | None]], r: float | None
) -> tuple[list[Replayed], dict[str, int]]:
    """Asks the same model about the same records.

    Returns:
        what came of each, and how many rows could not be asked, by reason.
    """
    wider = None if r is None else model.at(r)
    replayed, left = [], Counter[str]()
    for row, record in rows:
        if row.kind not in ASKED:
            continue
        if record is None:
            left["no key of an auditor opens the record, or none is kept"] += 1
            continue
        if row.model != model.served.release_sha256:
            left[f"of another model, {row.model[:12]}"] += 1
            continue
        if row.policy != model.policy_sha256:
            left[f"under another policy, {row.policy[:12]}"] += 1
            continue
        kept, facts = json.loads(record), facts_of(row)
        values = as_given(kept["values"], model.shape)[None]
        (again,) = model.said(values)
        same = (
            again.log_odds == kept["log_odds"]
            and again.ill == facts["ill"]
            and again.reason == facts["reason"]
        )
        turned = None
        if wider is not None and row.kind == Kind.ANSWERED:
            turned = not bool(wider.answers(values).certified[0])
        replayed.append(Replayed(row.sequence, same, turned))
    return replayed, dict(left)


def affected(
    rows: Sequence[tuple[Row, bytes | None]],
    every: Iterable[tuple[Row, bytes | None]],
    client: str | None,
) -> dict[str, int]:
    """Other clients who asked about the very records of an incident: how many rows of each."""
    asked = {json.dumps(json.loads(one)["values"]) for _, one in rows if one is not None}
    within = {row.sequence for row, _ in rows}
    found = Counter(
        row.client
        for row, record in every
        if record is not None
        and row.sequence not in within
        and row.client != client
        and json.dumps(json.loads(record)["values"]) in asked
    )
    return dict(found)


def _lines(
    rows: Sequence[tuple[Row, bytes | None]],
    replayed: Sequence[Replayed],
    left: dict[str, int],
    others: dict[str, int],
    wrong: Sequence[str],
    r: float | None,
) -> list[str]:
    kinds = Counter(str(row.kind) for row, _ in rows)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    lines = [f"{len(rows)} rows from {rows[0][0].time} to {rows[-1][0].time}: {told}"]
    different = [one.row for one in replayed if not one.same]
    lines.append(
        f"replayed: {len(replayed)}, {len(replayed) - len(different)} the same to the last bit"
        + (f"; not the same: rows {', '.join(map(str, different[:20]))}" if different else "")
    )
    lines += [f"not replayed: {count}, {why}" for why, count in left.items()]
    if r is not None:
        asked = [one.turned for one in replayed if one.turned is not None]
        lines.append(f"r = {r:g} would have referred {int(np.sum(asked))} of {len(asked)} answers")
    lines += [
        f"{name} asked about the same records: {count} rows" for name, count in others.items()
    ]
    lines += [f"the log: {one}" for one in wrong] or ["the log is intact, up to its last head"]
    return lines


def as_page(said: Sequence[str], rows: Sequence[tuple[Row, bytes | None]]) -> str:
    """What was found and a time line, as Markdown; no record."""
    told = [
        f"| {row.sequence} | {row.time} | {row.client.replace('|', ' ')} | {row.kind} | "
        f"{_reason(row)} |"
        for row, _ in rows
    ]
    head = ["| row | time | client | what | why |", "| --- | --- | --- | --- | --- |"]
    found = "\n".join(f"- {line}" for line in said)
    return "\n".join(["# Incident", "", found, "", "## Time line", "", *head, *told, ""])


def _reason(row: Row) -> str:
    facts = facts_of(row) or {}
    return str(facts.get("said") or facts.get("reason") or "").replace("|", " ")
