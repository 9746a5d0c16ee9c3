"""What stands beside the rows, made anew from the rows: counts, keys, data keys, the switch."""

import json
from collections import Counter
from typing import Any

from pipeline.serving.journal.budgets import DAY, DAY_DIGITS, EVER
from pipeline.serving.journal.entries import SPENDS, Kind, Row
from pipeline.serving.journal.errors import Damaged
from pipeline.serving.journal.keyring import told
from pipeline.serving.journal.reading import Snapshot
from pipeline.serving.journal.sealing import HASHES, digest_of
from pipeline.serving.journal.states import OF_KIND, STRICTNESS, Mode, State, after
from pipeline.serving.keys import Role

UNREADABLE = "cannot be read as a row of the log"


class Replayed:
    """The rows so far."""

    def __init__(self) -> None:
        """Of no rows."""
        self._rows = 0
        self._state = State(Mode.SERVING)
        self._spent: Counter[tuple[str, str, str]] = Counter()
        self._keys: dict[str, Any] = {}
        self._blocks: dict[str, str] = {}
        self._ever: set[str] = {"", HASHES}  # data keys that were made, destroyed ones included

    def add(self, row: Row) -> list[str]:
        """Takes a row; what it says that the service never writes, a line each."""
        self._rows += 1
        try:
            kind, facts = Kind(row.kind), json.loads(row.facts)
            lines = self._taken(row, kind, facts)
        except (ValueError, KeyError, TypeError, Damaged):
            return [UNREADABLE]
        if (kind is Kind.CREATED) != (self._rows == 1):
            lines.append("the first row, and no other, is of the kind `created`")
        if row.block not in self._ever:
            lines.append("sealed under a data key that no row has made")
        return lines

    def _taken(self, row: Row, kind: Kind, facts: Any) -> list[str]:
        if kind in SPENDS:
            self._spent[row.client, EVER, ""] += 1
            self._spent[row.client, DAY, row.time[:DAY_DIGITS]] += 1
            mode = self._state.mode
            if mode is Mode.STOPPED or (mode is Mode.REFER_ALL and kind is Kind.ANSWERED):
                return [f"{kind} while the guard was at `{mode}`"]
        elif kind in OF_KIND or kind is Kind.PROPOSED:
            return self._switched(row, facts)
        elif kind is Kind.KEY:
            self._keys[facts["id"]] = facts
        elif kind is Kind.BLOCK:
            self._blocks[facts["id"]] = facts["digest"]
            self._ever.add(facts["id"])
        elif kind is Kind.EXPIRED:
            for name in facts["blocks"]:
                self._blocks.pop(name, None)
        return []

    def _switched(self, row: Row, facts: Any) -> list[str]:
        before = self._state
        self._state = after(before, row)
        proposal = before.proposal
        if STRICTNESS.index(self._state.mode) >= STRICTNESS.index(before.mode):
            return []
        if (
            proposal is None
            or facts.get("proposal") != proposal.row
            or proposal.by == row.client
            or proposal.to is not self._state.mode
            or row.role != Role.ADMINISTRATOR
        ):
            return ["started again without two administrators"]
        return []

    def against(self, beside: Snapshot) -> list[str]:
        """What stands beside the rows and does not follow from them, a line each."""
        lines = [
            f"client {client!r}: {beside.spent.get((client, span, start), 0)} counted "
            f"({span}{' ' if start else ''}{start}), {self._spent.get((client, span, start), 0)} "
            "in the rows"
            for client, span, start in sorted({*self._spent, *beside.spent}, key=repr)
            if beside.spent.get((client, span, start), 0)
            != self._spent.get((client, span, start), 0)
        ]
        keys = {name: told(one) for name, one in beside.keys.items()}
        lines += [
            f"API key {name}: {_differs(name, self._keys, keys)}"
            for name in sorted({*self._keys, *keys}, key=repr)
            if self._keys.get(name) != keys.get(name)
        ]
        blocks = {name: digest_of(one) for name, one in beside.blocks.items()}
        lines += [
            f"data key {name}: {_differs(name, self._blocks, blocks)}"
            for name in sorted({*self._blocks, *blocks}, key=repr)
            if self._blocks.get(name) != blocks.get(name)
        ]
        if self._state != beside.state:
            lines.append("the switch: another state is read off its rows than they say in order")
        return lines


def _differs(name: str, rows: dict[str, Any], table: dict[str, Any]) -> str:
    if name not in table:
        return "is gone, and no row says so"
    return "is another than its row says" if name in rows else "no row says where it is from"
