"""What happens to a request: admission, certificate, log, and only then an answer.

Order: is the record admissible, what does the model say, is it proved; then one transaction of the
log that holds the switch, the budget, a row for each record and the alarms; then the answer leaves.
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np

from pipeline.config.serving import Answers as Fineness
from pipeline.data.schema import Schema
from pipeline.serving.admission import Admitted, admitted, admitted_images
from pipeline.serving.certificate import Answers, Certifier
from pipeline.serving.journal import Entry, Journal, Kind, Limits, Outcome, canonical
from pipeline.serving.keys import Client
from pipeline.serving.served import Served
from pipeline.serving.watching import Watch
from pipeline.statistics import Array

STATUS = {
    Outcome.STOPPED: 503,
    Outcome.OVER_MINUTE: 429,
    Outcome.OVER_DAY: 429,
    Outcome.OVER_EVER: 429,
}
REASONS = {
    "near": "an admissible change within r = {r:g} would turn the answer",
    "undecided": "whether a change within r = {r:g} would turn the answer was not settled",
    "no proof": "nothing can be proved of this kind of model",
}


class Unanswered(Exception):
    """A request of which nothing is answered: a status of HTTP and a line."""

    def __init__(self, status: int, why: str) -> None:
        """With the line as its text."""
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Model:
    """What is served, as it is asked.

    Attributes:
        served: the release, its audit and the policy.
        policy_sha256: the digest of all of that.
        schema: of the records.
        certifier: at the radius of the policy.
        alarming: at the radius of its alarms; None = at the same.
    """

    served: Served
    policy_sha256: str
    schema: Schema
    certifier: Certifier
    alarming: Certifier | None

    def admitted(self, records: Sequence[Any]) -> Admitted:
        """Which records could stand in the clinic's file."""
        look = admitted_images if self.schema.image else admitted
        return look(records, self.schema)

    def answers(self, values: Array) -> tuple[Answers, Array]:
        """What is said of admitted records, and whom alarms count as referred, (B,) bool."""
        said = self.certifier.answers(values)
        referred = ~said.certified
        if self.alarming is not None and referred.any():
            near = ~self.alarming.answers(values[referred]).certified
            referred = referred.copy()
            referred[referred] = near
        return said, referred


@dataclass(frozen=True)
class Reply:
    """What becomes of one record.

    Attributes:
        kind: answered, referred or refused.
        said: what the client is told.
        facts: what the log says of it in the clear; nothing of the record.
        record: what an auditor may open; None where the record was refused.
        seen: what alarms see of it.
    """

    kind: Kind
    said: Mapping[str, Any]
    facts: Mapping[str, Any]
    record: bytes | None
    seen: Event


class Guard:
    """A served model with its log, in one worker process; used by all of its threads."""

    def __init__(self, model: Model, journal: Journal, watch: Watch) -> None:
        """With the log open."""
        self.model, self.journal, self.watch = model, journal, watch
        self._proving = Lock()  # the proofs of a process take its one core in turn

    def ask(
        self, records: Sequence[Any], client: Client, endpoint: str, now: datetime
    ) -> list[Mapping[str, Any]]:
        """What is told of each record; every one has its row in the log before this returns.

        Args:
            records: as JSON gives them.
            client: who asks, of a role that may.
            endpoint: where.
            now: with a zone.

        Raises:
            Unanswered: the guard is stopped, or the client's budget is spent.
            Unavailable: the log cannot be written.
        """
        role = self.model.served.policy.roles[client.role]
        replies = self._replies(records, role.answers)
        written = self.journal.write(
            [self._entry(reply, endpoint) for reply in replies],
            client=client,
            now=now,
            limits=Limits(role.per_minute, role.per_day, role.lifetime),
            fold=self.watch.fold([reply.seen for reply in replies], client, now),
        )
        if not written.accepted:
            raise Unanswered(STATUS[written.outcome], written.said)
        self.watch.act(self.journal, written.alarms, now)
        if written.outcome is Outcome.REFERRED:
            return [withheld(reply.said, written.said) for reply in replies]
        return [reply.said for reply in replies]

    def _replies(self, records: Sequence[Any], fineness: Fineness) -> list[Reply]:
        looked = self.model.admitted(records)
        places = np.flatnonzero(looked.good)
        with self._proving:
            answers, alarming = self.model.answers(looked.values[places])
        told: list[Reply] = []
        where = {int(place): number for number, place in enumerate(places)}
        for place, faults in enumerate(looked.faults):
            if faults:
                told.append(refused(faults))
                continue
            one = where[place]
            told.append(self._told(looked.values[place], answers, one, alarming[one], fineness))
        return told

    def _told(
        self, values: Array, answers: Answers, one: int, alarming: bool, fineness: Fineness
    ) -> Reply:
        """Of one admitted record."""
        model, number = self.model, secrets.token_hex(8)
        reason, odds = answers.reason[one], float(answers.log_odds[one])
        kept = {"values": as_kept(values), "log_odds": odds, "reason": reason}
        facts = {"id": number, "reason": reason, "alarming": bool(alarming)}
        refer = bool(reason) and not (reason == "no proof" and model.answers_unproved)
        said: dict[str, Any] = {"id": number}
        ill = bool(answers.decision[one])
        if refer:
            said["referred"] = REASONS[reason].format(r=model.served.policy.r)
        else:
            said["decision"] = model.schema.classes[ill]
            said |= as_fine(float(answers.probability[one]), fineness)
            if not reason:
                policy = model.served.policy
                said["certificate"] = {"r": policy.r, "threat": model.served.threat_name}
        seen = Event(referred=bool(alarming), answered=not refer, ill=ill, log_odds=odds, values=values)
        kind = Kind.REFERRED if refer else Kind.ANSWERED
        return Reply(kind, said, facts | {"ill": ill}, canonical(kept), seen)

    def _entry(self, reply: Reply, endpoint: str) -> Entry:
        return Entry(
            reply.kind,
            endpoint,
            self.model.served.release_sha256,
            self.model.policy_sha256,
            answer=reply.said if reply.kind is Kind.ANSWERED else None,
            facts=reply.facts,
            record=reply.record,
        )
