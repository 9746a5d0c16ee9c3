"""The guard over HTTP with networks of scans, and what one of their certificates takes.

    python -m benchmarks served_scans

As `benchmarks.served`, without a peer. Two networks: that of `experiment=digits`, and one of the
architecture of `experiment=pneumonia`, on made-up scans of 28 x 28 pixels, so that no archive is
needed. How long a proof takes hangs on how far a network's answers are from its line, so the second
says what such a network costs here, not on chest X-rays.
"""

import base64
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from benchmarks.served import MS, Loads, Server, guarded, loaded, told_of, trained_on_all, unlimited
from benchmarks.table import table
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.files import repository_root
from pipeline.gate.rehearsal import rehearsed
from pipeline.models.population import Population
from pipeline.params import configured
from pipeline.serving.certificate import Certifier

DEFENSE, THREAT, SINGLE, ROUNDS = "baseline", "pixels", 100, 2
LOADS: Loads = ((1, 1, 30), (64, 1, 2))  # of a round, as in `benchmarks.served`
SCANS, HONEST, COARSE = 300, 60, 7  # made-up ones; of whom honest rates are; sides of their shades


@dataclass(frozen=True)
class Subject:
    """A network that is served.

    Attributes:
        name: for people.
        cfg: data, model, training and threat.
        dataset: its scans.
        r: of the certificates, in grey levels.
    """

    name: str
    cfg: Config
    dataset: Dataset
    r: float


Trained = tuple[Subject, Population, dict[str, Any]]


def subjects() -> list[Subject]:
    """Both."""
    digits = configured(["experiment=digits", "threads=1"])
    chest = configured(["experiment=pneumonia", "threads=1", "decision=prevalence"])
    return [
        Subject("digits, 8 x 8", digits, read_raw(digits.data, repository_root())[0], 1.0),
        Subject("made up, 28 x 28", chest, made_up(Schema.of(chest.data)), 2.0),
    ]


def made_up(schema: Schema) -> Dataset:
    """Scans of soft shades; of the ill a soft spot is added at some place of the lower half."""
    draws = torch.Generator().manual_seed(0)
    y = torch.arange(SCANS) % 2
    channels, height, width = schema.image
    shades = 40 + 120 * torch.rand(SCANS, channels, COARSE, COARSE, generator=draws)
    at = torch.rand(SCANS, 2, generator=draws)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    middle = torch.stack([height * (0.5 + 0.35 * at[:, 0]), width * (0.2 + 0.6 * at[:, 1])], 1)
    away = (rows - middle[:, :1, None]) ** 2 + (columns - middle[:, 1:, None]) ** 2
    spot = 70 * torch.exp(-away / 18) * y[:, None, None]
    x = interpolate(shades, (height, width), mode="bilinear") + spot[:, None]
    return Dataset((x + 4 * torch.randn(x.shape, generator=draws)).round().clamp(0, 255), y, schema)


def measure_served_scans() -> list[dict[str, Any]]:
    """One entry per network, server and load, and one of certificates alone per network."""
    torch.set_num_threads(1)
    return measured([trained(subject) for subject in subjects()])


def trained(subject: Subject) -> Trained:
    """A network with its release and the honest rates of its guard."""
    release = trained_on_all(DEFENSE, subject.dataset, subject.cfg)
    return subject, release, honest_of(subject)


def measured(networks: list[Trained]) -> list[dict[str, Any]]:
    """The entries; nothing is trained meanwhile."""
    return [
        {"network": subject.name, "r": subject.r, **entry}
        for subject, release, rates in networks
        for entry in (_certificates(subject, release), *_over_http(subject, release, rates))
    ]


def honest_of(subject: Subject) -> dict[str, Any]:
    """Honest rates, of a few scans: alarms take as long with better ones."""
    dataset, cfg = subject.dataset, subject.cfg
    asked = torch.arange(len(dataset.y)) < HONEST
    few = replace(dataset, x=dataset.x[:HONEST], y=dataset.y[:HONEST])
    train_on, none = ~asked[None], torch.zeros(1, HONEST, dtype=torch.bool)
    plan = Plan(train_on, ~train_on, torch.tensor([0]), torch.tensor([cfg.seed]), ("rates",))
    models = train(DEFENSE, dataset, plan, cfg)
    shown = replace(plan, train=none, held_out=~none)
    assert cfg.serving is not None
    policy = unlimited(cfg.serving, r=subject.r, alarm_r=subject.r)
    threat = Threat.of(dataset.schema, cfg.threat[THREAT])
    return rehearsed(models, few, shown, threat, policy).saved()


def _over_http(
    subject: Subject, release: Population, rates: dict[str, Any]
) -> list[dict[str, Any]]:
    cfg, schema = subject.cfg, subject.dataset.schema
    assert cfg.serving is not None
    sent = [base64.b64encode(one.byte().numpy().tobytes()).decode() for one in subject.dataset.x]
    sent = [sent[one] for one in np.random.default_rng(0).permutation(len(sent))]
    with TemporaryDirectory() as scratch, ExitStack() as running:
        servers: dict[str, Server] = {}
        for name, answer in (("certified", "refer"), ("uncertified", "answer")):
            policy = unlimited(cfg.serving, r=subject.r, alarm_r=subject.r, uncertified=answer)
            told = told_of(cfg, DEFENSE, THREAT, release, policy, rates)
            guard = guarded(Path(scratch) / name / "guard", (told, schema), release)
            port, keys = running.enter_context(guard)
            headers = {"authorization": f"Bearer {keys['clinician']}"}
            servers[name] = Server(port, "/v1/predict", headers, "records", "answers")
        return loaded(servers, sent, LOADS, ROUNDS)


def _certificates(subject: Subject, release: Population) -> dict[str, Any]:
    """CPU milliseconds of `Certifier.answers`, one scan at a time, in this process."""
    dataset = subject.dataset
    threat = Threat.of(dataset.schema, subject.cfg.threat[THREAT])
    certifier = Certifier.of(release, dataset.schema, threat, r=subject.r)
    rows = np.random.default_rng(1).permutation(len(dataset.y))[:SINGLE]
    scans = dataset.x.numpy()[rows]
    spent, proved = [], []
    for one in (scans[0], *scans):
        begin = time.process_time()
        proved.append(bool(certifier.answers(one[None]).certified[0]))
        spent.append(MS * (time.process_time() - begin))
    taken = np.array(spent[1:])
    return {
        "server": "certificate alone",
        "records": 1,
        "connections": 0,
        "answers_per_s": round(MS / float(taken.mean())),
        "p50_ms": round(float(np.median(taken)), 2),
        "p99_ms": round(float(np.quantile(taken, 0.99)), 2),
        "certified": round(float(np.mean(proved[1:])), 3),
    }


def served_scans_table(entries: list[dict[str, Any]]) -> str:
    """One line per network, server and load."""
    names = list(entries[0])
    rows = [[str(entry.get(name, "")) for name in names] for entry in entries]
    return table(names, rows, left=1)
