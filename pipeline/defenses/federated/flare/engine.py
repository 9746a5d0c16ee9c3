"""NVFlare in the place of our loop: a process for the server, and one for each hospital."""

import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pipeline.config import Config
from pipeline.defenses.federated.flare.handed import FAILED, HOSPITAL, Task, checks_left, hand_over
from pipeline.defenses.federated.flare.wire import called
from pipeline.defenses.federated.loop import packed, unpacked
from pipeline.defenses.federated.sites import Site
from pipeline.defenses.privacy import NoisySteps
from pipeline.defenses.self_measurement import Check
from pipeline.files import BadInput, FailedCheck, write_json
from pipeline.models.mlp import Parameters

CODE = Path(__file__).parents[4]  # where `pipeline` lies: NVFlare starts its processes elsewhere
RUN = ["-m", "pipeline.defenses.federated.flare.job"]
SAID = 3  # lines of NVFlare's that say why


class Ended(NamedTuple):
    """What NVFlare brought to its end.

    Attributes:
        parameters: the global weights.
        checks: what noisy training measured of itself, of each hospital and witness; else nothing.
    """

    parameters: Parameters
    checks: tuple[dict[str, Check], ...]


def federate_through(
    engine: str,
    sites: tuple[Site, ...],
    start: Parameters,
    cfg: Config,
    *,
    rounds: int,
    local_epochs: int,
    aggregate: str,
    tolerated: int,
    noisy: NoisySteps | None = None,
    security: str = "mtls",
) -> Ended:
    """As `loop.federate` with ordinary or noisy local training, to the last bit.

    What is handed to a hospital's process lies in a folder that its owner alone reads, and goes
    with the run, as do the certificates of the authority that was made for it.

    Args:
        engine: `nvflare` or `nvflare_processes`.
        sites: the hospitals.
        start: weights of M members.
        cfg: the network, and the numbers of `train`.
        rounds: each hospital trains once in each.
        local_epochs: passes over a hospital's records in each round.
        aggregate: a key of `AGGREGATES`.
        tolerated: how many hospitals may be malicious.
        noisy: DP-SGD in each hospital, its steps of one round; None = ordinary training. Where it
            is secret, each process asks the operating system itself, and no bit comes again.
        security: between processes: `mtls`, or `clear` for whoever looks at what is sent.

    Raises:
        BadInput: NVFlare is not installed.
        FailedCheck: it did not bring the run to its end.
    """
    if find_spec("nvflare") is None:
        raise BadInput(
            f"federated.engine: {engine} needs NVFlare: pip install 'medsecure[federated]'; "
            "loop gives the same without it"
        )
    with tempfile.TemporaryDirectory(prefix="medsecure-") as name:
        folder = Path(name)
        for site in sites:
            task = Task(
                number=site.number,
                name=site.name,
                model=cfg.model,
                train=cfg.train,
                rounds=rounds,
                local_epochs=local_epochs,
                noisy=None if noisy is None else asdict(noisy),
            )
            hand_over(site, task, folder / "hospitals" / called(site.number))
        np.save(folder / "start.npy", packed(start).numpy())
        job = {
            "engine": engine,
            "hospitals": [called(site.number) for site in sites],
            "rounds": rounds,
            "rule": aggregate,
            "tolerated": tolerated,
            "security": security,
        }
        write_json(folder / "job.json", job)
        _run(folder)
        end = np.load(folder / "end.npy", allow_pickle=False)
        homes = [folder / "hospitals" / called(site.number) for site in sites]
        checks = tuple(one for home in homes if noisy is not None for one in checks_left(home))
    return Ended(unpacked(torch.from_numpy(end), start), checks)


def _run(folder: Path) -> None:
    """In a process of its own: NVFlare changes the logging and the signals of the one it is in."""
    home = folder / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "HOME": str(home),  # NVFlare writes settings there
        "NVFLARE_POC_WORKSPACE": str(folder / "work"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        HOSPITAL: str(folder / "hospitals" / "{hospital}"),
    }
    log = folder / "log.txt"
    with log.open("w") as out:
        done = subprocess.run(
            [sys.executable, *RUN, str(folder)],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        hospitals = sorted((folder / "hospitals").glob(f"*/{FAILED}"))
        if own := [f"{one.parent.name}: {one.read_text(encoding='utf-8')}" for one in hospitals]:
            raise FailedCheck(f"federated.engine: {'; '.join(own)}")
        lines = [one.strip() for one in log.read_text(errors="replace").splitlines()]
        said = [one for one in lines if "error" in one.lower()] or lines
        raise FailedCheck(f"federated.engine: NVFlare failed: {'; '.join(said[-SAID:])}")
