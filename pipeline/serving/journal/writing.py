"""The journal as the service holds it open: what it accepts stands there before it returns."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.files import BadInput
from pipeline.serving.journal import keyring, tables
from pipeline.serving.journal.budgets import (
    DAY_DIGITS,
    Limits,
    Outcome,
    asked_and_spent,
    first_told,
    over,
    spend,
)
from pipeline.serving.journal.entries import Entry, Kind, Row, stamp
from pipeline.serving.journal.file import File
from pipeline.serving.journal.reading import PATIENCE, state_now
from pipeline.serving.journal.sealing import Auditors, Block, Hashes
from pipeline.serving.journal.states import Mode, State, after, state_of
from pipeline.serving.journal.tail import Tail
from pipeline.serving.keys import GUARD, Client, Key

EVERY = 100  # rows between heads
OWN = {Kind.CREATED, Kind.BLOCK, Kind.KEY, Kind.EXPIRED}  # kinds that the journal itself writes
SWITCH = {Kind.STOPPED, Kind.REFER_ALL, Kind.PROPOSED, Kind.STARTED}

# From what was kept (None = nothing yet) to what is kept now, and what is written beside the rows.
Fold = Callable[[str | None], tuple[str, Sequence[Entry]]]


@dataclass(frozen=True)
class Written:
    """What became of a request.

    Attributes:
        outcome: what to do with it.
        said: a line on it; empty = written as planned.
        rows: sequence numbers of its rows, or of the one row that says it was refused; empty where
            a refusal of that kind had its row in this minute.
    """

    outcome: Outcome
    said: str
    rows: range

    @property
    def accepted(self) -> bool:
        """Whether each entry has its row: answer, or refer where the outcome says so."""
        return self.outcome in (Outcome.WRITTEN, Outcome.REFERRED)


class Journal(File):
    """A log, open for writing in one process, by any of its threads."""

    def __init__(
        self,
        path: Path,
        *,
        seal: Auditors | Hashes | None = None,
        signer: Ed25519PrivateKey | None = None,
        heads: Path | None = None,
        every: int = EVERY,
        patience: float = PATIENCE,
    ) -> None:
        """Use `open`."""
        super().__init__(path, signer=signer, heads=heads, every=every, patience=patience)
        self._seal = seal
        self._block: Block | None = None

    # ---- opening and closing ----

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        now: datetime,
        by: Client,
        signer: Ed25519PrivateKey | None = None,
        heads: Path | None = None,
    ) -> None:
        """Makes a log, readable by its owner alone, with its first row and its first head.

        Args:
            path: of the file; its folder exists.
            now: with a zone.
            by: who makes it.
            signer: signs heads; None = none are signed.
            heads: a file that gets each head, too; None = none does.

        Raises:
            BadInput: there is a file of that name, of the log or of heads.
            Unavailable: it cannot be written.
        """
        for place in (path, heads):
            if place is not None and place.exists():
                raise BadInput(f"{place}: exists; a log is made once and never anew")
        journal = cls(path, signer=signer, heads=heads)
        with tables.clear(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with tables.clear(path):
                journal._connect()
            with journal._transaction(now, first=True) as tail:
                tables.create(tail.connection)
                facts = {"random": os.urandom(16).hex()}  # no two logs have the same first hash
                tail.append([Entry(Kind.CREATED, facts=facts)], by, now)
                tail.urgent = True
            with tables.clear(path):
                folder = os.open(path.absolute().parent, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
        except BaseException:
            journal._disconnect()
            path.unlink(missing_ok=True)
            raise
        journal._disconnect()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        seal: Auditors | Hashes | None = None,
        signer: Ed25519PrivateKey | None = None,
        heads: Path | None = None,
        every: int = EVERY,
        patience: float = PATIENCE,
    ) -> Self:
        """Opens a log that exists; what a dead writer left half-written is undone.

        Args:
            path: of the file.
            seal: where records go: sealed for auditors, or as hashes; None = they are not kept.
            signer: signs heads; None = this process signs none.
            heads: a file that gets each head, too; it exists since the log was made.
            every: rows between heads.
            patience: seconds that a busy file is waited for.

        Raises:
            Unavailable: it is missing, or cannot be written.
            Damaged: it is no log, or shorter than or other than the last head says.
        """
        journal = cls(path, seal=seal, signer=signer, heads=heads, every=every, patience=patience)
        try:
            with tables.clear(path):
                connection = journal._connect()
                tables.patiently(lambda: tables.check_file(connection, path), patience)
                tables.patiently(journal._check_heads, patience)
        except BaseException:
            journal._disconnect()
            raise
        return journal

    # ---- writing ----

    def write(
        self,
        entries: Sequence[Entry],
        *,
        client: Client,
        now: datetime,
        limits: Limits | None = None,
        fold: Fold | None = None,
    ) -> Written:
        """Writes a row an entry, if the switch and the client's budget allow it: all, or none.

        Args:
            entries: what happened; either all of them what a client asked, or none.
            client: whose doing it was.
            now: with a zone.
            limits: what the client may ask; None = anything. It is counted all the same.
            fold: what goes on over all rows of all processes, alarms for one; once for each
                accepted call, in order, in its transaction. It is outside the chain.

        Raises:
            Unavailable: nothing was written, or, where the message says so, only a head is missing.
            BadInput: no entry, or one that cannot be written so.
        """
        asked, spent = asked_and_spent(entries)
        if not entries or asked not in (0, len(entries)):
            raise BadInput("write what a client asked by itself, and at least one entry")
        if wrong := {entry.kind for entry in entries} & (OWN | SWITCH):
            raise BadInput(f"{', '.join(sorted(wrong))}: is not written so")
        stamped = stamp(now)
        block = self._sealing(entries, stamped)
        with self._transaction(now) as tail:
            outcome, said = Outcome.WRITTEN, ""
            if asked:
                outcome, said = self._allowed(tail, client, limits, asked, spent, stamped)
            if outcome not in (Outcome.WRITTEN, Outcome.REFERRED):
                made = self._refused(tail, entries, client, now, outcome, said)
                return Written(outcome, said, made)
            if outcome is Outcome.REFERRED:
                entries = [
                    entry.without_answer(said) if entry.kind is Kind.ANSWERED else entry
                    for entry in entries
                ]
            spend(tail.connection, client.name, asked, spent, stamped)
            if block is not None:
                keyring.add_block(tail, block, now)
            made = tail.append(entries, client, now, seal=block or self._seal)
            names = [(entry.facts or {}).get("id") for entry in entries]
            tables.number(tail.connection, made.start, names)
            if fold is not None:
                kept, beside = fold(tables.kept(tail.connection))
                tables.keep(tail.connection, kept)
                if beside:
                    tail.append(beside, GUARD, now)
        return Written(outcome, said, made)

    def _sealing(self, entries: Sequence[Entry], stamped: str) -> Block | None:
        """The data key of the day, where records are sealed for auditors."""
        kept = any(entry.record is not None for entry in entries)
        if not kept or not isinstance(self._seal, Auditors):
            return None
        with self._lock:
            day = stamped[:DAY_DIGITS]
            if self._block is None or self._block.day != day:
                self._block = self._seal.block(day)
            return self._block

    def _allowed(
        self,
        tail: Tail,
        client: Client,
        limits: Limits | None,
        asked: int,
        spent: int,
        stamped: str,
    ) -> tuple[Outcome, str]:
        state = state_of(tail.connection)
        if state.mode is Mode.STOPPED:
            return Outcome.STOPPED, f"{Outcome.STOPPED}: {state.reason}"
        if limits is not None:
            passed = over(tail.connection, client.name, limits, asked, spent, stamped)
            if passed is not None:
                return passed
        if state.mode is Mode.REFER_ALL:
            return Outcome.REFERRED, f"{Outcome.REFERRED}: {state.reason}"
        return Outcome.WRITTEN, ""

    def _refused(
        self,
        tail: Tail,
        entries: Sequence[Entry],
        client: Client,
        now: datetime,
        outcome: Outcome,
        said: str,
    ) -> range:
        """One row a client, minute and outcome: who is refused fills no disk."""
        if not first_told(tail.connection, client.name, outcome, stamp(now)):
            return range(0)
        facts = {"reason": said, "outcome": outcome, "records": len(entries), "by": GUARD.name}
        entry = entries[0]
        told = Entry(Kind.REFUSED, entry.endpoint, entry.model, entry.policy, facts=facts)
        return tail.append([told], client, now)

    def decide(self, choose: Callable[[State], Entry], *, client: Client, now: datetime) -> State:
        """Switches: reads the state, and writes what follows from it, in one transaction.

        Args:
            choose: what to write; it may refuse by raising, and then nothing is written.
            client: whose doing it is.
            now: with a zone.

        Returns:
            the new state.

        Raises:
            Unavailable: nothing was written, or, where the message says so, only a head is missing.
        """
        with self._transaction(now) as tail:
            before = state_of(tail.connection)
            entry = choose(before)
            if entry.kind not in SWITCH:
                raise BadInput(f"{entry.kind}: switches nothing")
            tail.append([entry], client, now)
            tail.urgent = True  # a stop that is cut off is missed
            new = after(before, tail.row)
        return new

    def store(self, keys: Sequence[Key], *, by: Client, now: datetime) -> None:
        """Writes API keys as they are from now on, and a row each.

        Raises:
            Unavailable: nothing was written, or, where the message says so, only a head is missing.
        """
        with self._transaction(now) as tail:
            keyring.store(tail, keys, by, now)
            tail.urgent = True

    def expire(self, *, days: int, by: Client, now: datetime) -> int:
        """Destroys the data keys of earlier days: nobody opens their records any more.

        Args:
            days: a data key is kept for so many days after its own, at least 0.
            by: whose doing it is.
            now: with a zone.

        Returns:
            how many were destroyed. Copies of the file elsewhere still hold them.

        Raises:
            Unavailable: nothing was destroyed, or, where the message says so, only a head is
                missing.
        """
        if days < 0:
            raise BadInput(f"{days} days: data keys are kept for none at least")
        before = stamp(now - timedelta(days=days))[:DAY_DIGITS]
        with self._transaction(now) as tail:
            gone = keyring.destroy(tail, before, by, now)
            tail.urgent = gone > 0
        return gone

    # ---- reading ----

    def state(self) -> State:
        """What the guard does now.

        Raises:
            Unavailable: it cannot be read; take it for a stop.
        """
        with self._lock, tables.clear(self.path):
            connection = self._usable()
            return tables.patiently(lambda: state_now(connection), self._patience)

    def kept(self) -> str | None:
        """What `fold` kept last.

        Raises:
            Unavailable: it cannot be read.
        """
        found = self._fetch("SELECT value FROM kept WHERE name = 'fold'")
        return str(found[0][0]) if found else None

    def key(self, name: str) -> Key | None:
        """The API key of an id.

        Raises:
            Unavailable: it cannot be read.
        """
        found = self._fetch(f"{keyring.KEYS} WHERE id = ?", [name])
        return keyring.read(found[0]) if found else None

    def every_key(self) -> list[Key]:
        """All API keys, in the order of their ids."""
        return [keyring.read(one) for one in self._fetch(f"{keyring.KEYS} ORDER BY id")]

    def numbered(self, numbers: Sequence[str]) -> list[Row]:
        """Rows whose facts have one of these as `id`, in order."""
        found: list[Row] = []
        for number in dict.fromkeys(numbers):
            query = f"{tables.ROWS} WHERE sequence IN (SELECT row FROM numbers WHERE id = ?)"
            found += [Row(*row) for row in self._fetch(query, [number])]
        return sorted(found, key=lambda row: row.sequence)
