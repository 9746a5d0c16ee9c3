"""What happens to a request: admission, certificate, log, and only then an answer.

Order: is the record admissible, what does the model say, is it proved; then one transaction of the
log that holds the switch, the budget, a row for each record and the alarms; then the answer leaves.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.config.serving import Answers as Fineness
from pipeline.config.serving import ServingConfig
from pipeline.presentation.sector_words import in_words
from pipeline.serving.alarms import Alarms
from pipeline.serving.channels import Confirmed, Query, Settings
from pipeline.serving.honest import Honest
from pipeline.serving.journal import Entry, Journal, Kind, Limits, Outcome, Row, canonical, facts_of
from pipeline.serving.keys import GUARD, Client
from pipeline.serving.model import Model, Said
from pipeline.serving.place import journal_of
from pipeline.serving.replies import as_fine, as_kept, referral, withheld
from pipeline.serving.watching import Watch, act
from pipeline.statistics import Array

STATUS = {
    Outcome.STOPPED: 503,
    Outcome.OVER_MINUTE: 429,
    Outcome.OVER_DAY: 429,
    Outcome.OVER_EVER: 429,
}


class Unanswered(Exception):
    """A request of which nothing is answered: a status of HTTP and a line."""

    def __init__(self, status: int, why: str) -> None:
        """With the line as its text."""
        super().__init__(why)
        self.status = status


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
    seen: Query


class Guard:
    """A served model with its log, in one worker process; used by all of its threads."""

    def __init__(self, model: Model, journal: Journal, watch: Watch, folder: Path) -> None:
        """With the log open."""
        self.model, self.journal, self.watch, self.folder = model, journal, watch, folder
        self.unknown = 0  # requests without a valid key
        self._cleared: date | None = None
        self._proving = Lock()  # the proofs of a process take its one core in turn

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Of a folder that `medsecure serve` made.

        Raises:
            BadInput: it serves nothing, or another model than was audited.
        """
        model = Model.of(folder)
        served = model.served
        honest = Honest.read(served.honest, str(folder)) if served.honest else None
        alarms = Alarms.of(settings_of(served.policy), honest) if honest is not None else None
        return cls(model, journal_of(folder, served.policy), Watch(alarms), folder)

    def close(self, now: datetime) -> None:
        """Signs a last head of the log."""
        self.journal.close(now)

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
        self._forget(now)
        role = self.model.served.policy.roles[client.role]
        replies = self._replies(records, client, role.answers)
        folded = self.watch.fold(
            [reply.seen for reply in replies], [reply.kind for reply in replies], now
        )
        written = self.journal.write(
            [self._entry(reply, endpoint) for reply in replies],
            client=client,
            now=now,
            limits=Limits(role.per_minute, role.per_day, role.lifetime),
            fold=folded,
        )
        if not written.accepted:
            raise Unanswered(STATUS[written.outcome], written.said)
        act(self.journal, folded.raised, now)
        if written.outcome is Outcome.REFERRED:
            return [withheld(reply.said, written.said) for reply in replies]
        return [reply.said for reply in replies]

    def learn(self, told: Sequence[tuple[str, bool]], client: Client, now: datetime) -> int:
        """Takes confirmed diagnoses: each is a row, and the alarms of labels hear it.

        Args:
            told: the id of an answer or a referral, and whether the patient is ill.
            client: who tells it.
            now: with a zone.

        Returns:
            how many were new; one that was told before counts once.

        Raises:
            Unanswered: an id is of no answer here.
        """
        asked: dict[str, Row] = {}
        told_before: set[str] = set()
        for row in self.journal.numbered([number for number, _ in told]):
            number = facts_of(row)["id"]
            if row.kind == Kind.LABEL:
                told_before.add(number)
            else:
                asked[number] = row
        if missing := [number for number, _ in told if number not in asked]:
            raise Unanswered(404, f"{missing[0]}: no answer or referral has this id")
        new = {number: ill for number, ill in told if number not in told_before}
        if not new:
            return 0
        entries = [
            Entry(Kind.LABEL, facts={"id": number, "ill": ill}) for number, ill in new.items()
        ]
        events = [
            Confirmed(ill, facts_of(asked[number])["ill"])
            if asked[number].kind == Kind.ANSWERED
            else None  # of a referral nothing was answered
            for number, ill in new.items()
        ]
        folded = self.watch.fold(events, [Kind.LABEL] * len(new), now)
        self.journal.write(entries, client=client, now=now, fold=folded)
        act(self.journal, folded.raised, now)
        return len(new)

    def status(self) -> dict[str, Any]:
        """State of the switch, counts, alarms and their streams."""
        state, served = self.journal.state(), self.model.served
        shown = self.watch.shown(self.journal.kept())
        return {
            "state": str(state.mode),
            "since": state.since.isoformat(timespec="seconds") if state.since else None,
            "reason": state.reason,
            "model": f"{served.version}, r {served.policy.r:g} ({served.threat_name})",
            **shown,
            "silent": {name: in_words(why, served.words) for name, why in shown["silent"].items()},
            "streams": [
                {**stream, "source": in_words(stream["source"], served.words)}
                for stream in shown["streams"]
            ],
        }

    def _forget(self, now: datetime) -> None:
        """Once a day: data keys that are older than the policy keeps them are destroyed."""
        if self._cleared != now.date():
            days = self.model.served.policy.journal.retention_days
            self.journal.expire(days=days, by=GUARD, now=now)
            self._cleared = now.date()

    def _replies(self, records: Sequence[Any], client: Client, fineness: Fineness) -> list[Reply]:
        looked = self.model.admitted(records)
        good: NDArray[np.bool_] = looked.good
        with self._proving:
            said = iter(self.model.said(looked.values[good]))
        return [
            _refused(client, faults)
            if faults
            else self._reply(values, next(said), client, fineness)
            for values, faults in zip(looked.values, looked.faults, strict=True)
        ]

    def _reply(self, values: Array, said: Said, client: Client, fineness: Fineness) -> Reply:
        """Of one admitted record."""
        model, number = self.model, secrets.token_hex(8)
        policy, schema = model.served.policy, model.schema
        unproved = said.reason == "no proof" and policy.uncertified == "answer"
        refer = bool(said.reason) and not unproved
        told: dict[str, Any] = {"id": number}
        if refer:
            told["referred"] = referral(said.reason, policy.r)
        else:
            told["decision"] = schema.classes[said.ill]
            told |= as_fine(said.probability, fineness)
            if not said.reason:
                told["certificate"] = {"r": policy.r, "threat": model.served.threat_name}
        kept = {"values": as_kept(values, bool(schema.image)), "log_odds": said.log_odds}
        seen = Query(
            client.name,
            admitted=True,
            referred=said.alarming,
            near=None if refer else said.near,
            score=said.probability,
            inputs={} if schema.image else dict(zip(schema.names, values.tolist(), strict=True)),
            kin=self.watch.kin(client.name, values),
        )
        facts = {"id": number, "reason": said.reason, "alarming": said.alarming, "ill": said.ill}
        kind = Kind.REFERRED if refer else Kind.ANSWERED
        return Reply(kind, told, facts, canonical(kept), seen)

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


def settings_of(policy: ServingConfig) -> Settings:
    """What alarms are told of the policy."""
    return Settings(actions=policy.alarms, **policy.watch.model_dump())


def _refused(client: Client, faults: Sequence[str]) -> Reply:
    """Of a record that could not stand in the file; its values go back to its client alone."""
    seen = Query(client.name, admitted=False)
    return Reply(Kind.REFUSED, {"refused": list(faults)}, {"faults": len(faults)}, None, seen)
