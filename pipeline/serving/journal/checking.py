"""Whether the log is what was written: every fault a line, the first row of it named.

A pure reader. What it cannot find stands in `docs/journal.md`: what was cut off after the last head
that lies elsewhere, and whatever somebody wrote who holds the file and the signing key.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipeline.files import BadInput
from pipeline.serving.journal.entries import START, Row
from pipeline.serving.journal.heads import Head, read_heads
from pipeline.serving.journal.reading import PATIENCE, Reader
from pipeline.serving.journal.replaying import Replayed
from pipeline.serving.journal.tail import NO_ROW

LOWEST = -(2**63)  # of the numbers that a row can have
SHOWN = 20  # lines of one kind; then how many more


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written.

    Attributes:
        row: the sequence number of the first row at fault; None = it is of no row.
        said: what is wrong.
    """

    row: int | None
    said: str

    def __str__(self) -> str:
        return self.said if self.row is None else f"row {self.row}: {self.said}"


def verify(
    path: Path,
    trusted: Sequence[Ed25519PublicKey],
    *,
    heads: Path | None = None,
    patience: float = PATIENCE,
) -> list[Fault]:
    """Looks at every row, head, key and count.

    Args:
        path: of the log; nothing in it is changed.
        trusted: public keys that sign heads: today's, and earlier ones.
        heads: the file of heads, best from where the service cannot write it anew; None = there is
            none, and then a cut that took the heads of the table along is not found.
        patience: seconds that a busy file is waited for.

    Returns:
        no fault, or some: those of rows in order, then the others.
    """
    try:
        with Reader.open(path, patience=patience) as reader:
            return _verified(reader, trusted, heads)
    except BadInput as error:
        return [Fault(None, str(error))]


def _verified(
    reader: Reader, trusted: Sequence[Ed25519PublicKey], heads: Path | None
) -> list[Fault]:
    # The file of heads first, then what stands beside the rows, then the rows up to there: a
    # service that writes on meanwhile makes no fault.
    outside = read_heads(heads) if heads is not None else []
    beside = reader.snapshot()
    signed = {1, *(head.sequence for head in (*outside, *beside.heads))}
    owns: dict[int, set[bytes]] = {}
    replayed, faults = Replayed(), []
    for row, wrong in _chain(reader, beside.last):
        lines = replayed.add(row)
        faults += wrong or [Fault(row.sequence, line) for line in lines]
        if row.sequence in signed:
            owns[row.sequence] = {row.own, row.hashed}
    checked = _heads(beside.heads, outside, _Chained(owns, beside.last, trusted))
    rest = [Fault(None, line) for line in replayed.against(beside)]
    return [*_first(faults), *_first(checked), *_first(rest)]


def _first(faults: list[Fault]) -> list[Fault]:
    more = len(faults) - SHOWN
    return faults if more <= 0 else [*faults[:SHOWN], Fault(None, f"and {more} more such lines")]


def _chain(reader: Reader, last: int) -> Iterator[tuple[Row, list[Fault]]]:
    """Each row, with what is wrong of it or before it."""
    expected, before = 1, {START}
    for row in reader.rows(after=LOWEST):
        if row.sequence > last:
            break
        wrong = []
        if row.sequence < expected:
            wrong.append(Fault(row.sequence, "no row of a log has this number"))
        elif row.sequence > expected:
            to = f" to {row.sequence - 1}" if row.sequence - 1 > expected else ""
            wrong.append(Fault(expected, f"missing{to}"))
        if row.own != row.hashed:
            wrong.append(Fault(row.sequence, "changed since it was written"))
        elif not wrong and row.previous not in before:
            said = f"written anew, or row {row.sequence} was: that one does not follow it"
            wrong.append(Fault(row.sequence - 1, said))
        yield row, wrong
        expected, before = row.sequence + 1, {row.own, row.hashed}
    if expected == 1:
        yield NO_ROW, [Fault(1, "missing: the log has no rows")]


@dataclass(frozen=True)
class _Chained:
    """What heads are held against.

    Attributes:
        owns: of the rows that heads are of, and of the first: their hashes, as stored and anew.
        last: the number of the last row.
        trusted: public keys.
    """

    owns: dict[int, set[bytes]]
    last: int
    trusted: Sequence[Ed25519PublicKey]

    def signed(self, head: Head) -> bool:
        """Whether somebody who is trusted signed it for this log."""
        return any(head.holds(first, self.trusted) for first in self.owns.get(1, ()))


def _heads(table: list[Head], outside: list[Head], chained: _Chained) -> list[Fault]:
    if not table and not outside:
        return [Fault(None, "no head is signed: all rows may have been written anew")]
    lying = set(table)
    others = [head for head in outside if head not in lying]
    faults = [
        *_numbered(table, "the log lacks head"),
        *_numbered(outside, "the file of heads lacks head"),
        *_held(table, chained, "head"),
        *_held(others, chained, "head of the file"),
        *(
            Fault(None, f"head {one.number} of the file: the log has no such head")
            for one in others
        ),
    ]
    return sorted(faults, key=lambda fault: (fault.row is None, fault.row or 0))


def _numbered(heads: list[Head], lacks: str) -> list[Fault]:
    numbers = [head.number for head in heads]
    for expected, number in enumerate(numbers, start=1):
        if number != expected:
            return [Fault(None, f"{lacks} {expected}")]
    return []


def _held(heads: list[Head], chained: _Chained, name: str) -> list[Fault]:
    faults, good = [], 0
    for head in heads:
        told = f"{name} {head.number}"
        if not chained.signed(head):
            faults.append(Fault(None, f"{told}: not signed for this log by a key that is trusted"))
        elif head.sequence > chained.last:
            said = f"cut off: {told} was signed after row {head.sequence}"
            faults.append(Fault(chained.last + 1, said))
        elif head.own not in chained.owns.get(head.sequence, ()):
            said = f"up to row {head.sequence} these are not the rows that {told} was signed for"
            faults.append(Fault(good + 1, said))
        else:
            good = head.sequence
    return faults
