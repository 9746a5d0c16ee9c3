"""A model behind an address: asked in batches, counted, not too often, and never twice the same.

What was asked is remembered by a digest of each record, with its answer, so that an audit that was
stopped goes on where it was. The records themselves are not kept. Answers are remembered of one
version of a model alone: of what it says of records of nobody, at the beginning of each audit.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
from filelock import FileLock

from pipeline.files import BadInput, repository_root
from pipeline.statistics import Array

AT_ONCE = 1000  # records of one request
WAIT = 60.0  # seconds for one answer
TRIES, PAUSE = 4, 0.5  # of one request, and seconds before the second; then twice as long
MEMORY = Path("sweeps") / "answers"
INVOCATIONS = "/invocations"  # of MLflow's servers, which ask for a data frame by its name


@dataclass(frozen=True)
class Endpoint:
    """Takes a JSON list of records, as objects, and answers with one probability each.

    Or with those of both classes, as a list, or below `predictions`, as MLflow's servers do.

    Attributes:
        address: where it answers.
        rate: requests a second at most, of all processes together; 0 = any.
        version: of the model behind it; empty = nothing is remembered.
    """

    address: str
    rate: float = 0.0
    version: str = ""

    def __call__(self, frame: pd.DataFrame) -> Array:
        """(B,) probabilities of disease, each record asked about once in the life of a project."""
        records = json.loads(frame.to_json(orient="records", double_precision=15))
        keys = [hashlib.sha256(json.dumps(one).encode()).hexdigest() for one in records]
        if not self.version:
            return np.array(self._in_batches(records))
        with _memory(self) as memory:
            known = _known(memory, keys)
            todo = {key: one for key, one in zip(keys, records, strict=True) if key not in known}
            wanted = list(todo)
            for first in range(0, len(wanted), AT_ONCE):
                some = wanted[first : first + AT_ONCE]
                said = self._ask([todo[key] for key in some])
                known |= dict(zip(some, said, strict=True))
                memory.executemany(
                    "insert or replace into answers values (?, ?)", zip(some, said, strict=True)
                )
                memory.commit()  # of each request: whoever is stopped asks nothing twice
        return np.array([known[key] for key in keys])

    def _in_batches(self, records: list[dict[str, Any]]) -> list[float]:
        parts = range(0, len(records), AT_ONCE)
        return [one for first in parts for one in self._ask(records[first : first + AT_ONCE])]

    def save(self, folder: Path, number: int) -> str:
        """Where it is."""
        return self.address

    def _ask(self, records: list[dict[str, Any]]) -> list[float]:
        _wait_for_turn(self)
        asked: Any = records
        if self.address.rstrip("/").endswith(INVOCATIONS):
            asked = {"dataframe_records": records}
        body = json.dumps(asked).encode()
        request = Request(self.address, body, {"Content-Type": "application/json"})
        for again in range(TRIES):
            try:
                with urlopen(request, timeout=WAIT) as answer:
                    return self._understood(answer.read(), len(records))
            except HTTPError as error:
                if (error.code < 500 and error.code != 429) or again == TRIES - 1:
                    said = error.read(500).decode(errors="replace").strip().split("\n", 1)[0]
                    raise BadInput(f"{self.address}: answers {error.code}: {said[:160]}") from error
            except (URLError, TimeoutError, OSError) as error:
                if again == TRIES - 1:
                    why = getattr(error, "reason", error)
                    raise BadInput(f"{self.address}: does not answer ({why})") from error
            time.sleep(PAUSE * 2**again)
        raise AssertionError("the last try answers or raises")

    def _understood(self, body: bytes, count: int) -> list[float]:
        try:
            said = json.loads(body)
        except ValueError:
            raise BadInput(
                f"{self.address}: answers with no JSON; expected one probability a record"
            ) from None
        if isinstance(said, dict):
            said = said.get("predictions", said.get("probabilities"))
        if isinstance(said, list):
            said = [_numbers(one) for one in said]
        try:
            array = np.asarray(said, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.zeros(0)
        if array.ndim == 2 and array.shape[1] in (1, 2):
            array = array[:, -1]
        if array.shape != (count,):
            raise BadInput(
                f"{self.address}: answers {count} records with something else than {count} numbers;"
                ' expected a list of probabilities, or {"predictions": [...]}'
            )
        return [float(one) for one in array]


def _numbers(said: Any) -> Any:
    """What is said of one record; of an object its numbers, the last of which is of disease."""
    if not isinstance(said, dict):
        return said
    return [one for one in said.values() if isinstance(one, int | float)][-1:]


def _place(endpoint: Endpoint, ending: str) -> Path:
    """A file of the project about one version of the model behind an address."""
    folder = repository_root() / MEMORY
    folder.mkdir(parents=True, exist_ok=True)
    named = hashlib.sha256(f"{endpoint.address} {endpoint.version}".encode()).hexdigest()
    return folder / f"{named[:16]}.{ending}"


@contextmanager
def _memory(endpoint: Endpoint) -> Iterator[sqlite3.Connection]:
    """What one version of the model behind an address answered."""
    with closing(sqlite3.connect(_place(endpoint, "sqlite"), timeout=WAIT)) as memory:
        memory.execute("create table if not exists answers (record text primary key, said real)")
        yield memory


def _known(memory: sqlite3.Connection, keys: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for first in range(0, len(keys), 500):
        some = keys[first : first + 500]
        marks = ",".join("?" * len(some))
        query = f"select record, said from answers where record in ({marks})"
        found |= dict(memory.execute(query, some).fetchall())
    return found


def asked_about(endpoint: Endpoint) -> int:
    """How many different records this version was asked about in this project."""
    with _memory(endpoint) as memory:
        return int(memory.execute("select count(*) from answers").fetchone()[0])


def _wait_for_turn(endpoint: Endpoint) -> None:
    """Keeps requests, of whichever process, as far apart as the endpoint's rate asks for."""
    if not endpoint.rate:
        return
    turn = _place(endpoint, "turn")
    with FileLock(f"{turn}.lock"):
        last = turn.stat().st_mtime if turn.exists() else 0.0
        time.sleep(max(0.0, min(last + 1 / endpoint.rate - time.time(), 1 / endpoint.rate)))
        turn.touch()
