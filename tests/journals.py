"""Logs of the guard for tests, and a worker that writes one until it is killed.

python tests/journals.py LOG HEADS KEY SEED    # prints a line for what is committed
"""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pipeline.serving.journal import Auditors, Entry, Journal, Kind, Reader, canonical, verify
from pipeline.serving.keys import Client, Role

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = [SIGNER.public_key()]
AUDITOR = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
AUDITORS = Auditors((AUDITOR.public_key().public_bytes_raw(),))
OPERATOR = Client("operator", Role.ADMINISTRATOR)
WARD, LAB = Client("ward", Role.CLINICIAN, "0" * 16), Client("lab", Role.RESEARCHER, "1" * 16)


def after(**passed):
    """A time after NOW."""
    return NOW + timedelta(**passed)


def answered(number=0, kind=Kind.ANSWERED):
    """A made-up record with its answer; numbers tell them apart."""
    return Entry(
        kind,
        endpoint="/predict",
        model="m" * 64,
        policy="p" * 64,
        answer={"diagnosis": number % 2} if kind is Kind.ANSWERED else None,
        facts={"number": number},
        record=canonical({"glucose": 100.1 + number}),
    )


def made(folder, **options):
    """A new log in a folder, open; heads lie beside it."""
    path, heads = folder / "guard.sqlite", folder / "heads.jsonl"
    Journal.create(path, now=NOW, by=OPERATOR, signer=SIGNER, heads=heads)
    return opened(folder, **options)


def opened(folder, *, quick=True, **options):
    """The log of a folder, open again; `quick` = it does not wait for the disk."""
    usual = {"seal": AUDITORS, "signer": SIGNER, "heads": folder / "heads.jsonl", "every": 4}
    journal = Journal.open(folder / "guard.sqlite", **{**usual, **options})
    if quick:
        journal._connection.execute("PRAGMA synchronous = OFF")
    return journal


def faults(folder, **options):
    """What `verify` says of the log of a folder, a line each."""
    usual = {"heads": folder / "heads.jsonl"}
    found = verify(folder / "guard.sqlite", TRUSTED, **{**usual, **options})
    return [str(fault) for fault in found]


# ---- workers that are killed ----


def work(path, heads, key, seed):
    """Writes without end, batches of many sizes; says what is committed only after it is."""
    from pipeline.serving.private_keys import signing_key

    draw = random.Random(seed)
    with Journal.open(
        path, seal=AUDITORS, signer=signing_key(key), heads=heads, every=5, patience=20.0
    ) as journal:
        os.write(1, b"open\n")
        while True:
            batch = [answered(draw.randrange(10**9)) for _ in range(draw.choice((1, 1, 2, 16)))]
            written = journal.write(batch, client=WARD, now=datetime.now(UTC))
            told = [
                f"{row} {entry.facts['number']}"
                for row, entry in zip(written.rows, batch, strict=True)
            ]
            os.write(1, ("\n".join(told) + "\n").encode())


def killed(folder, *, moments, seed, workers=2):
    """Workers on one log, all of them killed at random moments, again and again.

    Returns:
        (row, number) of all that was said to be committed before its worker died.
    """
    from cryptography.hazmat.primitives import serialization

    Journal.create(
        folder / "guard.sqlite",
        now=datetime.now(UTC),
        by=OPERATOR,
        signer=SIGNER,
        heads=folder / "heads.jsonl",
    )
    key = folder / "key.pem"
    key.write_bytes(
        SIGNER.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    key.chmod(0o600)
    draw, said, left = random.Random(seed), [], moments
    while left > 0:
        running = [
            subprocess.Popen(
                [
                    sys.executable,
                    __file__,
                    *map(str, (*places(folder), key, draw.randrange(10**9))),
                ],
                stdout=subprocess.PIPE,
            )
            for _ in range(min(workers, left))
        ]
        left -= len(running)
        assert all(one.stdout.readline() == b"open\n" for one in running)
        for one in running:
            time.sleep(draw.uniform(0.0, 0.12))
            one.send_signal(signal.SIGKILL)
        for one in running:
            whole = one.communicate()[0].split(b"\n")[:-1]
            assert one.returncode == -signal.SIGKILL
            said += [tuple(map(int, line.split())) for line in whole]
    return said


def places(folder):
    """The log of a folder, and its file of heads."""
    return folder / "guard.sqlite", folder / "heads.jsonl"


def logged(folder):
    """Row -> number, of all that the log of a folder answered."""
    import json

    with Reader.open(folder / "guard.sqlite") as reader:
        return {
            row.sequence: json.loads(row.facts)["number"]
            for row in reader.rows(kinds=[Kind.ANSWERED])
        }


if __name__ == "__main__":
    log, heads, key, seed = sys.argv[1:]
    work(Path(log), Path(heads), Path(key), int(seed))
