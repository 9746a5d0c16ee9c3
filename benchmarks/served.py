"""The guard over HTTP beside MLflow's own scoring server, both with the same release of Pima.

    python -m benchmarks served

Each server is a process of its own with one worker and one thread of torch, on loopback; they are
loaded in turn by keep-alive connections of this process. The guard does all of its work: keys,
admission, certificate, a row in the log for each record with a full sync, alarms against the honest
rates of 25 models. Its budgets are lifted. `uncertified` is the guard with the same network, read
as a model of which nothing can be proved, and `uncertified: answer`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from socket import socket
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.guard import THREAT, records_as_sent
from benchmarks.problem import Problem
from benchmarks.table import table
from pipeline.config import Config
from pipeline.config.serving import ASKING, ROLES, ServingConfig
from pipeline.data.plan import RELEASE, Plan
from pipeline.data.schema import Dataset, Schema, save_schema
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.gate.rehearsal import rehearsed
from pipeline.models.population import Population
from pipeline.serving.keys import Role
from pipeline.serving.place import CONSOLE, founded, journal_of, name_auditors
from pipeline.serving.private_keys import make_opening_key
from pipeline.serving.ruling import issued
from pipeline.serving.served import RELEASE as PLACE
from pipeline.serving.served import Served

DEFENSE, ROUNDS, UP_S = "adv_train", 5, 120
# records of a request, connections at once, requests of each connection in a round
Loads = tuple[tuple[int, int, int], ...]
LOADS: Loads = ((1, 1, 50), (1, 8, 12), (64, 1, 12), (64, 4, 8))
GUARDS = {"certified, r 0.1": 0.1, "certified, r 0.3": 0.3, "uncertified": 0.1}
UNPROVED = (
    "import sys; from pathlib import Path\n"
    "from pipeline.kernels import fix_kernels; fix_kernels()\n"
    "from pipeline.serving import certificate, server\n"
    "certificate.why_no_proof = lambda population: 'taken for a model without a proof'\n"
    "server.run_server(Path(sys.argv[1]))"
)
MS = 1e3


@dataclass(frozen=True)
class Server:
    """One that listens.

    Attributes:
        port: on loopback.
        path: where records are sent.
        headers: of each request.
        body: the key of the records in the body.
        answers: the key of the answers in what comes back.
    """

    port: int
    path: str
    headers: dict[str, str]
    body: str
    answers: str


def measure_served(problem: Problem) -> list[dict[str, Any]]:
    """One entry per server and load."""
    dataset, cfg = problem.recorded, problem.cfg
    release = released(problem)
    models = train(DEFENSE, dataset, problem.plan, cfg)
    threat = Threat.of(dataset.schema, cfg.threat[THREAT])
    records = records_as_sent(dataset.x, dataset.schema)
    with TemporaryDirectory() as scratch, ExitStack() as running:
        servers: dict[str, Server] = {}
        for name, r in GUARDS.items():
            answer = "answer" if name == "uncertified" else "refer"
            policy = unlimited(cfg.serving, r=r, uncertified=answer)
            honest = rehearsed(models, dataset, problem.plan, threat, policy).saved()
            place = Path(scratch) / f"{len(servers)}" / "guard"
            guard = guarded(place, served_as(problem, release, policy, honest), release)
            port, keys = running.enter_context(guard)
            headers = {"authorization": f"Bearer {keys['clinician']}"}
            servers[name] = Server(port, "/v1/predict", headers, "records", "answers")
        peer = _mlflow(Path(scratch) / "mlflow", release, dataset.schema)
        servers[f"MLflow {version('mlflow')}"] = running.enter_context(peer)
        return loaded(servers, records, LOADS, ROUNDS)


def released(problem: Problem) -> Population:
    """The model of everybody, as it is deployed."""
    return trained_on_all(DEFENSE, problem.recorded, problem.cfg)


def trained_on_all(defense: str, dataset: Dataset, cfg: Config) -> Population:
    """The model of everybody, of a recipe."""
    everybody = torch.ones(1, len(dataset.y), dtype=torch.bool)
    plan = Plan(everybody, ~everybody, torch.tensor([-1]), torch.tensor([cfg.seed]), (RELEASE,))
    return train(defense, dataset, plan, cfg)


def unlimited(cfg: ServingConfig, **changes: Any) -> ServingConfig:
    """The policy without budgets, on a free port; alarms are written, and nothing more."""
    said = cfg.model_dump() | {"port": _free_port(), "workers": 1, **changes}
    said["roles"] = {role: {"answers": cfg.roles[role].answers} for role in ASKING}
    return ServingConfig(**said | {"alarms": dict.fromkeys(cfg.alarms, "note")})


def served_as(
    problem: Problem, release: Population, policy: ServingConfig, honest: dict[str, Any]
) -> tuple[Served, Schema]:
    """What the guard is told of a release of Pima that no gate has judged."""
    schema = problem.recorded.schema
    return told_of(problem.cfg, DEFENSE, THREAT, release, policy, honest), schema


def told_of(
    cfg: Config,
    defense: str,
    threat: str,
    release: Population,
    policy: ServingConfig,
    honest: dict[str, Any],
) -> Served:
    """What the guard is told of a release that no gate has judged."""
    return Served(
        cohort=cfg.data.name,
        defense=defense,
        version="benchmark",
        release_sha256=release.digest,
        audit_sha256="",
        gate_sha256="",
        threat_name=threat,
        threat=cfg.threat[threat],
        policy=policy,
        honest=honest,
    )


# ---- servers ----


@contextmanager
def guarded(
    place: Path, told: tuple[Served, Schema], release: Population, said: Path = Path(os.devnull)
) -> Iterator[tuple[int, dict[str, str]]]:
    """The guard in a process of its own; its port, and a key of each role.

    Args:
        place: a folder that is not there yet.
        told: of `served_as`.
        release: the model.
        said: where what it prints goes.
    """
    served, schema = told
    now = datetime.now(UTC)
    founded(place, now)
    (place / PLACE).mkdir()
    release.save(place / PLACE)
    save_schema(schema, place / PLACE)
    served.save(place)
    opener = make_opening_key(place.parent / "auditor.key")
    name_auditors(place, [opener.public_key().public_bytes_raw().hex()])
    with journal_of(place) as journal:
        keys = {
            role: issued(journal, role, Role(role), days=1, by=CONSOLE, now=now)[1]
            for role in ROLES
        }
    own = ["-c", UNPROVED] if served.policy.uncertified == "answer" else ["-m", "pipeline.serving"]
    with _process([sys.executable, *own, str(place)], served.policy.port, "/health", said):
        yield served.policy.port, keys


@contextmanager
def _mlflow(place: Path, release: Population, schema: Schema) -> Iterator[Server]:
    import mlflow

    from pipeline.serving.release import input_example, signature
    from pipeline.tracking.release import SERVED

    place.mkdir()
    (place / "release").mkdir()
    release.save(place / "release")
    save_schema(schema, place / "release")
    mlflow.pyfunc.save_model(
        path=place / "model",
        python_model=str(SERVED),
        artifacts={"release": str(place / "release")},
        signature=signature(schema),
        input_example=input_example(schema),
        pip_requirements=["torch"],
    )
    port = _free_port()
    asked = ["models", "serve", "-m", str(place / "model"), "--env-manager", "local"]
    asked += ["--port", str(port), "--host", "127.0.0.1", "--workers", "1"]
    with _process([sys.executable, "-m", "mlflow", *asked], port, "/ping"):
        yield Server(port, "/invocations", {}, "dataframe_records", "predictions")


@contextmanager
def _process(
    command: list[str], port: int, path: str, said: Path = Path(os.devnull)
) -> Iterator[None]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with said.open("w") as out:
        own = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        until = time.monotonic() + UP_S
        while not _listens(port, path):
            if own.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(command[:4])} does not listen")
            time.sleep(0.2)
        yield
    finally:
        os.killpg(own.pid, 15)
        own.wait(30)


def _listens(port: int, path: str) -> bool:
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False


def _free_port() -> int:
    with socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# ---- load ----


def loaded(
    servers: dict[str, Server], records: list[Any], loads: Loads, rounds: int
) -> list[dict[str, Any]]:
    """Servers take turns, in another order each round; the first round is not counted.

    Returns:
        an entry for each server and load: answers a second, of the median round, and the median and
        the 99th percentile of a request.
    """
    names = list(servers)
    taken: dict[tuple[str, int], list[tuple[float, list[float]]]] = {}
    for turn in range(rounds + 1):
        for place, (size, connections, requests) in enumerate(loads):
            batches = [records[at : at + size] for at in range(0, len(records) - size + 1, size)]
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                took = _load(servers[name], batches, connections, requests)
                if turn:
                    taken.setdefault((name, place), []).append(took)
    entries = []
    for place, (size, connections, _) in enumerate(loads):
        for name in names:
            found = taken[name, place]
            spent = MS * np.array([one for _, each in found for one in each])
            entries.append(
                {
                    "server": name,
                    "records": size,
                    "connections": connections,
                    "answers_per_s": round(median(rate for rate, _ in found)),
                    "p50_ms": round(float(np.median(spent)), 2),
                    "p99_ms": round(float(np.quantile(spent, 0.99)), 2),
                }
            )
    return entries


def _load(
    server: Server, batches: list[list[Any]], connections: int, requests: int
) -> tuple[float, list[float]]:
    """Answers (referrals included) a second of all connections, and seconds of each request."""
    sent = [json.dumps({server.body: one}).encode() for one in batches]

    def client(which: int) -> tuple[int, list[float]]:
        count, spent = 0, []
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        headers = {"content-type": "application/json", **server.headers}
        for turn in range(requests):
            body = sent[(which * requests + turn) % len(sent)]
            begin = time.perf_counter()
            connection.request("POST", server.path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
            spent.append(time.perf_counter() - begin)
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {said[:200]!r}")
            count += len(json.loads(said)[server.answers])
        connection.close()
        return count, spent

    with ThreadPoolExecutor(connections) as pool:
        begin = time.perf_counter()
        done = list(pool.map(client, range(connections)))
        lasted = time.perf_counter() - begin
    return sum(count for count, _ in done) / lasted, [one for _, each in done for one in each]


def served_table(entries: list[dict[str, Any]]) -> str:
    """One line per server and load."""
    names = list(entries[0])
    return table(names, [[str(entry[name]) for name in names] for entry in entries], left=1)
