"""A guard's folder of a model whose certificates are plain, and its server on a free port."""

import json
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection

import torch
import uvicorn
import yaml

import tiny
from pipeline.config.serving import ServingConfig
from pipeline.data.schema import Schema, save_schema
from pipeline.models.mlp import Architecture
from pipeline.models.networks import Networks
from pipeline.serving.app import application
from pipeline.serving.guard import Guard
from pipeline.serving.honest import Honest, Share
from pipeline.serving.keys import Role
from pipeline.serving.patience import Impatient
from pipeline.serving.place import CONSOLE, founded, journal_of, name_auditors
from pipeline.serving.private_keys import make_opening_key
from pipeline.serving.ruling import issued
from pipeline.serving.served import RELEASE, Served

NOW = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
FEATURES = {  # a step is a tenth of the scale
    "potassium": tiny.feature(2.0, 4.0, 0.1, True, 3.0, 1.0),
    "pulse": tiny.feature(60.0, 80.0, 1.0, True, 70.0, 10.0),
    "age": tiny.feature(40.0, 80.0, 1.0, False, 60.0, 20.0),
}
SCHEMA = Schema(tuple(FEATURES), tuple(FEATURES.values()), "outcome", ("healthy", "ill"))
POLICY = yaml.safe_load((tiny.ROOT / "conf/serving/default.yaml").read_text(encoding="utf-8"))
HEALTHY = {"potassium": 2.0, "pulse": 60, "age": 60}  # log-odds -2
ILL = {"potassium": 4.0, "pulse": 80, "age": 60}  # log-odds 2
NEAR = {"potassium": 3.1, "pulse": 70, "age": 60}  # log-odds 0.1: two changes of 0.1 turn it
HONEST = Honest(
    768, Share(60.0, 768.0), Share(30.0, 700.0), Share(90.0, 240.0), Share(150.0, 700.0), None
)


def policy(**changes) -> ServingConfig:
    return ServingConfig(**{**POLICY, **changes})


def network(weight=1.0) -> Networks:
    """Log-odds are the sum of the three values in scales from the middle, times a weight."""
    middle = torch.tensor([[3.0, 70.0, 60.0]])
    constants = {
        "impute": middle.clone(),
        "center": middle,
        "scale": torch.tensor([[1.0, 10.0, 20.0]]),
    }
    weights = torch.zeros(1, 3, 2)
    weights[..., 1] = weight
    parameters = {"weight0": weights, "bias0": torch.zeros(1, 1, 2)}
    return Networks(Architecture("linear", 3, 2, ()), constants, parameters, ("release",))


def served_folder(folder, *, now=NOW, honest=HONEST, **changes):
    """The folder, with an auditor whose private key lies beside it; the keys of all roles."""
    founded(folder, now)
    (folder / RELEASE).mkdir()
    model = network()
    model.save(folder / RELEASE)
    save_schema(SCHEMA, folder / RELEASE)
    served = Served(
        cohort="ward",
        defense="baseline",
        version="ward-baseline version 1",
        release_sha256=model.digest,
        audit_sha256="a" * 64,
        gate_sha256="b" * 64,
        threat_name="clinical",
        threat=tiny.threat_config(),
        policy=policy(**changes),
        honest=honest.saved() if honest else {},
    )
    served.save(folder)
    key = make_opening_key(folder.parent / "auditor.key")
    name_auditors(folder, [key.public_key().public_bytes_raw().hex()])
    with journal_of(folder) as journal:
        return {
            name: issued(journal, name, Role(role), days=3650, by=CONSOLE, now=now)[1]
            for name, role in (
                *((role.value, role) for role in Role if role != Role.GUARD),
                ("second", Role.ADMINISTRATOR),
            )
        }


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def server(folder):
    """The guard of a folder, served as `medsecure serve` does, in a thread; its port."""
    guard, port = Guard.open(folder), free_port()
    limits = guard.model.served.policy.limits
    config = uvicorn.Config(
        application(guard),
        host="127.0.0.1",
        port=port,
        http=Impatient,
        ws="none",
        log_level="critical",
        limit_concurrency=limits.connections,
        timeout_keep_alive=max(1, round(limits.seconds)),
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
    try:
        yield port
    finally:
        running.should_exit = True
        thread.join(10)


def call(port, method, path, key=None, body=None, headers=None):
    """Status and JSON of one request (or its text)."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    told = {"authorization": f"Bearer {key}"} if key else {}
    if body is not None:
        told["content-type"] = "application/json"
    sent = body if isinstance(body, str | bytes | None) else json.dumps(body)
    connection.request(method, path, sent, told | (headers or {}))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text
