"""The guard's memory: an append-only log that is written before an answer leaves.

One SQLite file, written by several processes. A row chains to the row before it by its hash; heads
of the chain are signed; records are sealed for auditors. The switch, the budgets and the rows are
one transaction: what it does not accept is not answered.

```python
now = datetime.now(UTC)                   # always an argument, always with a zone

# once, by an administrator; `open` never makes a file, so a removed log is not a fresh one
Journal.create(path, now=now, by=OPERATOR, signer=key, heads=Path("elsewhere/heads.jsonl"))

# in each worker process, after it was forked; may be used by its threads
with Journal.open(
    path,
    seal=Auditors.of(["64 hex digits", ...]) or Hashes(key),  # where records go; None = nowhere
    signer=key,                           # Ed25519PrivateKey | None: signs heads
    heads=Path("elsewhere/heads.jsonl"),  # where signed heads are appended, too; None = table alone
    every=100,                            # rows between heads
    patience=2.0,                         # seconds that a busy file is waited for
) as journal:
    who = recognised(token, journal.key, now)               # keys.Client | keys.Why

    entry = Entry(
        Kind.ANSWERED,                    # REFERRED, REFUSED, ALARM, LABEL, ...
        endpoint="/predict",
        model="sha256...", policy="sha256...",
        answer={"diagnosis": 1, "probability": 0.7},        # as given to the client
        facts={"certificate": {...}, "r": 0.1},             # what a replay and an auditor need
        record=canonical({"glucose": 148.0}),               # bytes; never in the clear
    )
    written = journal.write([entry, ...], client=who, limits=Limits(per_minute=60, per_day=500,
                            ever=None), now=now)
    written.outcome    # Outcome.WRITTEN: answer as planned
                       # Outcome.REFERRED: refer them all; the rows say REFERRED and hold no answer
                       # Outcome.STOPPED, OVER_MINUTE, OVER_DAY, OVER_EVER: answer none of them
    written.accepted   # WRITTEN or REFERRED
    written.said       # one line, for the log and the client
    written.rows       # range of sequence numbers: of these entries, or of the one REFUSED row

    journal.state()    # State(mode=Mode.SERVING | REFER_ALL | STOPPED, since, by, reason, proposal)
    journal.rows(since=..., until=..., client=..., kinds=[...])   # iterator of Row, in order
    journal.checkpoint(now)               # a signed head now; `journal.close(now)` ends with one
    journal.store([key, ...], by=admin, now=now)                # API keys, see keys.py
    journal.every_key()                                              # all of them, digests alone
    journal.expire(now, days=90, by=admin)                        # destroys data keys: retention

# auditors, without the service; nothing is written
with Reader.open(path) as reader:
    for row in reader.rows(client="ward 3"):
        record = reader.opened(row, auditor_private_key)          # bytes

for fault in verify(path, [public_key], heads=Path("elsewhere/heads.jsonl")):
    print(fault)                          # one line each; none = intact up to the last head
```

Every failure to write or to trust the file is `Unavailable` (a `BadInput`, one line): refuse the
request. The switch is `pipeline.serving.switch`: `stop`, `refer_all`, `propose`, `confirm`.

`fold` gets what was kept and gives what is kept now, in the same transaction: the alarms.
`limits=None` limits nothing and still counts. Rows that spend: ANSWERED, REFERRED (day, ever);
the rate of a minute counts REFUSED entries of yours, too. A batch is taken whole or not at all.
A refusal by the journal leaves one REFUSED row a client, minute and outcome, no more.
"""

from pipeline.serving.journal.budgets import Limits, Outcome
from pipeline.serving.journal.checking import Fault, verify
from pipeline.serving.journal.entries import Entry, Kind, Row, canonical
from pipeline.serving.journal.errors import Damaged, Unavailable
from pipeline.serving.journal.reading import Reader, answer_of, facts_of, same_record
from pipeline.serving.journal.sealing import Auditors, Hashes
from pipeline.serving.journal.states import Mode, Proposal, State
from pipeline.serving.journal.writing import Journal, Written

__all__ = [
    "Auditors",
    "Damaged",
    "Entry",
    "Fault",
    "Hashes",
    "Journal",
    "Kind",
    "Limits",
    "Mode",
    "Outcome",
    "Proposal",
    "Reader",
    "Row",
    "State",
    "Unavailable",
    "Written",
    "answer_of",
    "canonical",
    "facts_of",
    "same_record",
    "verify",
]
