"""What alarms see of the stream, in the transaction that writes it: one stream over all workers.

Beside it stands what each worker remembers by itself: digests of what a client asked lately, by
which copies and steps along a column are known. Several workers see fewer of them, never more.
"""

import hmac
import json
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from threading import Lock
from typing import Any

from pipeline.serving import switch
from pipeline.serving.alarms import Alarm, Alarms
from pipeline.serving.channels import Confirmed, Query
from pipeline.serving.journal import Entry, Journal, Kind
from pipeline.serving.keys import GUARD
from pipeline.statistics import Array

REMEMBERED = 1000  # records of one client
SHOWN = 50  # alarms on the page
HASTY = 1.0  # seconds: nobody types a record so fast


class Watch:
    """Alarms and counts of one guard, and what this worker remembers."""

    def __init__(self, alarms: Alarms | None) -> None:
        """Before the first query; None = no honest rates are known, and nothing is watched."""
        self._alarms = alarms
        self._secret = os.urandom(32)
        self._asked: dict[str, OrderedDict[bytes, None]] = {}
        self._lock = Lock()

    def kin(self, client: str, values: Array) -> bool:
        """Whether a client asked about this record lately, or about one that differs in one column.

        Of an image only copies are known.
        """
        marks = list(self._marks(values))
        with self._lock:
            before = self._asked.setdefault(client, OrderedDict())
            known = any(mark in before for mark in marks)
            before.update(dict.fromkeys(marks))
            while len(before) > REMEMBERED * len(marks):
                before.popitem(last=False)
        return known

    def _marks(self, values: Array) -> Sequence[bytes]:
        """A digest of a record without each of its columns."""
        if values.ndim > 1:
            return [hmac.digest(self._secret, values.tobytes(), "sha256")[:8]]
        marks, whole, size = [], values.tobytes(), values.itemsize
        for place in range(len(values)):
            others = whole[: place * size] + whole[(place + 1) * size :]
            told = place.to_bytes(2, "big") + others
            marks.append(hmac.digest(self._secret, told, "sha256")[:8])
        return marks

    def fold(
        self, events: Sequence[Query | Confirmed | None], kinds: Sequence[Kind], now: datetime
    ) -> "Folded":
        """What goes on over all rows, as `Journal.write` takes it, and what it raised."""
        return Folded(self._alarms, events, kinds, now)

    def shown(self, kept: str | None) -> dict[str, Any]:
        """Counts, alarms and streams, for a page."""
        said = json.loads(kept) if kept else {}
        alarms = self._alarms and self._alarms.resumed(said.get("alarms", {}))
        return {
            "counts": said.get("counts", {}),
            "alarms": said.get("raised", []),
            "streams": alarms.streams() if alarms else [],
            "silent": dict(alarms.silent) if alarms else {"all": "the audit holds no honest rates"},
        }


class Folded:
    """One call of `Journal.write`: what was kept goes in, what is kept and written comes out."""

    def __init__(
        self,
        alarms: Alarms | None,
        events: Sequence[Query | Confirmed | None],
        kinds: Sequence[Kind],
        now: datetime,
    ) -> None:
        """Of the events of one request, in order."""
        self._alarms, self._events, self._kinds, self._now = alarms, events, kinds, now
        self.raised: list[Alarm] = []

    def __call__(self, kept: str | None) -> tuple[str, list[Entry]]:
        """Moves the streams on."""
        said: dict[str, Any] = json.loads(kept) if kept else {}
        alarms = self._alarms and self._alarms.resumed(said.get("alarms", {}))
        counts, last = dict(said.get("counts", {})), dict(said.get("last", {}))
        self.raised = []
        for kind, event in zip(self._kinds, self._events, strict=True):
            counts[kind] = counts.get(kind, 0) + 1
            if event is not None and alarms is not None:
                self.raised += alarms.seen(self._timed(event, last))
        when = self._now.isoformat(timespec="seconds")
        counts["alarm"] = counts.get("alarm", 0) + len(self.raised)
        news = [{"when": when, "channel": one.channel, "said": one.said} for one in self.raised]
        state = {
            "alarms": alarms.state() if alarms else {},
            "counts": counts,
            "last": last,
            "raised": [*reversed(news), *said.get("raised", [])][:SHOWN],
        }
        return json.dumps(state), [Entry(Kind.ALARM, facts=_facts(one)) for one in self.raised]

    def _timed(self, event: Query | Confirmed, last: dict[str, Any]) -> Query | Confirmed:
        """With whether it came sooner after the last request of its client than people ask."""
        if isinstance(event, Confirmed):
            return event
        moment, before = self._now.timestamp(), last.get(event.client)
        last[event.client] = moment
        if before is None or before == moment:  # the first ever, or another record of one request
            return event
        return replace(event, hasty=moment - before < HASTY)


def _facts(one: Alarm) -> Mapping[str, Any]:
    return {
        "channel": one.channel,
        "stream": one.stream,
        "client": one.client,
        "action": one.action,
        "said": one.said,
    }


def act(journal: Journal, raised: Sequence[Alarm], now: datetime) -> None:
    """Does what the policy says of alarms: notes them (they are rows already), refers or stops."""
    for one in raised:
        reason = f"alarm {one.channel}: {one.said}"
        if one.action == "stop":
            switch.stop(journal, by=GUARD, reason=reason, now=now)
        elif one.action == "refer_all" and journal.state().mode == "serving":
            switch.refer_all(journal, by=GUARD, reason=reason, now=now)
