"""The guard as anybody reaches it, for `docs/story.py`: by `medsecure`, and over HTTP."""

import base64
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np

from pipeline.data.schema import Schema
from pipeline.statistics.edges import wilson

MEDSECURE = str(Path(sys.executable).with_name("medsecure"))
QUICK = [f"serving.roles.clinician.{one}=1000000" for one in ("per_minute", "per_day")]
NOTHING = -1
HERE = Path()
BATCH = 256  # records of one request
PAUSE = 1.05  # seconds between two requests: sooner than people ask is an alarm
Array = np.ndarray[Any, Any]


class Otherwise(Exception):
    """A step that did not come out as it should."""


def say(text: str) -> None:
    """A paragraph."""
    print(textwrap.fill(text, 110, subsequent_indent="  "), flush=True)


def act(number: int, title: str) -> None:
    """A heading."""
    print(f"\n{number}. {title}\n", flush=True)


def must(held: bool, what: str) -> None:
    """Ends the story where something did not come out.

    Raises:
        Otherwise: it did not.
    """
    if not held:
        raise Otherwise(what)


def share(count: int, of: int) -> str:
    """Counts and Wilson's 95 % interval."""
    if not of:
        return "0 of 0"
    low, high = wilson(count, of)
    return f"{count} of {of} ({low:.3f} to {high:.3f})"


def medsecure(
    *words: str,
    project: Path,
    folder: Path | None = None,
    status: int = 0,
    key: str = "",
    shown: int | None = None,
) -> str:
    """A call of `medsecure`; what it printed.

    Args:
        *words: the verb, and what follows it.
        project: where it is called.
        folder: of a guard; None = the verb knows of none.
        status: with which it should end.
        key: of an administrator; empty = none.
        shown: how many lines of what it printed are; None = all, -1 = the call neither.

    Raises:
        Otherwise: it ended with another status.
    """
    where = [] if folder is None else ["--folder", str(folder)]
    environment = {**os.environ, "MEDSECURE_KEY": key}
    if project != HERE:  # what is made in a temporary folder enters no team's store
        environment.pop("MLFLOW_TRACKING_URI", None)
    asked = subprocess.run(
        [MEDSECURE, *words, *where],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    place = "" if folder is None else f"{folder.parent}/"
    call, said = [one for one in words if one not in QUICK], asked.stdout + asked.stderr
    if place:
        call, said = [one.replace(place, "") for one in call], said.replace(place, "")
    if shown != NOTHING:
        lines = [
            f"$ medsecure {shlex.join(call)}",
            *(f"  {one}" for one in said.strip().splitlines()[:shown]),
        ]
        print(textwrap.indent("\n".join(lines), "  "), flush=True)
    must(asked.returncode == status, f"medsecure {words[0]}: {asked.returncode}\n{said}")
    return said


# ---- the guard, as anybody reaches it ----


@dataclass
class Guard:
    """A served folder, where it listens, whose audit it is of, and the keys of its clients."""

    folder: Path
    port: int
    project: Path
    keys: dict[str, str] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)  # when each client did so last

    def command(self, *words: str, status: int = 0, key: str = "", quiet: bool = False) -> str:
        """A verb of `medsecure` on this folder; what it printed.

        Raises:
            Otherwise: it ended with another status.
        """
        return medsecure(
            *words,
            project=self.project,
            folder=self.folder,
            status=status,
            key=self.keys.get(key, ""),
            shown=NOTHING if quiet else None,
        )

    def call(self, client: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request with a client's key: the status and the JSON."""
        told = {"Authorization": f"Bearer {self.keys[client]}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self.port}{path}", sent, told)
        try:
            with urlopen(request, timeout=120) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    def alarms(self) -> list[str]:
        """Every alarm so far, the last one first, as the monitor reads it."""
        found: list[dict[str, str]] = self.call("monitor", "/v1/status")[1]["alarms"]
        return [one["said"] for one in found]

    def state(self) -> str:
        """Of the switch: serving, refer all or stopped; it needs no key."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return str(json.load(answer)["state"])
        except HTTPError as error:
            return str(json.load(error)["state"])

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The server, while the block lasts."""
        server = subprocess.Popen(
            [MEDSECURE, "serve", "--as-it-is", "--folder", str(self.folder)],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            for _ in range(600):
                must(server.poll() is None, "the server ended")
                try:
                    self.state()
                    break
                except URLError:
                    time.sleep(0.1)
            yield
        finally:
            os.killpg(server.pid, signal.SIGINT)  # its group alone: `medsecure` and what it serves
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def as_json(schema: Schema, x: Array) -> list[Any]:
    """What a clinic sends: records (B, D) on its grid, missing = null, or scans (B, C, H, W)."""
    if schema.image:
        return [base64.b64encode(one.astype(np.uint8).tobytes()).decode() for one in x]
    digits = [len(f"{one.step:f}".rstrip("0").partition(".")[2]) if one.step else 6 for one in
              schema.features]  # fmt: skip
    return [
        {
            name: None if np.isnan(value) else round(float(value), places)
            for name, value, places in zip(schema.names, row, digits, strict=True)
        }
        for row in x
    ]


def answers(guard: Guard, client: str, schema: Schema, x: Array) -> list[dict[str, Any]]:
    """What is told of records or scans (B, ...), in order, no sooner than people ask.

    Raises:
        Otherwise: the guard answers nothing, or a record could not stand in the file.
    """
    told: list[dict[str, Any]] = []
    records = as_json(schema, x)
    for first in range(0, len(records), BATCH):
        due = guard.asked.get(client, 0.0) + PAUSE
        time.sleep(max(0.0, due - time.monotonic()))
        guard.asked[client] = time.monotonic()
        body = {"records": records[first : first + BATCH]}
        status, said = guard.call(client, "/v1/predict", body)
        must(status == 200, f"/v1/predict: {status} {said}")
        told += said["answers"]
    must(not any("refused" in one for one in told), "a record was refused")
    return told
