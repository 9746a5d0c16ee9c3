"""Runs one federation by NVFlare in a process of its own; `engine` starts it.

    python -m pipeline.defenses.federated.flare.job FOLDER

Reads `job.json` and `start.npy` of the folder; NVFlare's own files stay below it.
"""

import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

from pipeline.kernels import fix_kernels

fix_kernels()  # before torch and NumPy: a simulated server aggregates in this process

import numpy as np
import yaml
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.recipe.poc_env import PocEnv
from nvflare.recipe.sim_env import SimEnv

from pipeline.defenses.federated.flare.server import InOrder

NAME, MODEL, PATIENCE = "medsecure", "server.npy", 3600.0
ADMIN, LOOPBACK = "admin@nvidia.com", "localhost"


def run(folder: Path) -> None:
    """Leaves the final weights as `end.npy`.

    Raises:
        RuntimeError: NVFlare did not end the job.
    """
    told = json.loads((folder / "job.json").read_text())
    names = told["hospitals"]
    recipe = NumpyFedAvgRecipe(
        name=NAME,
        model=np.load(folder / "start.npy", allow_pickle=False),
        min_clients=len(names),
        num_rounds=told["rounds"],
        train_script=str(Path(__file__).with_name("hospital.py")),
        aggregator=InOrder(told["rule"], told["tolerated"], len(names)),
    )
    if told["engine"] == "nvflare_processes":
        ended = _in_processes(recipe, names, told["security"], folder)
    else:
        # a thread a hospital: with fewer NVFlare starts a process anew for every task
        env = SimEnv(clients=names, num_threads=len(names), workspace_root=str(folder / "work"))
        ended = Path(recipe.execute(env).get_result())
    found = sorted(ended.rglob(MODEL))
    if len(found) != 1:
        raise RuntimeError(f"NVFlare left {len(found)} models; its logs lie in {ended}")
    shutil.copyfile(found[0], folder / "end.npy")


def _in_processes(recipe: NumpyFedAvgRecipe, names: list[str], security: str, folder: Path) -> Path:
    place = folder / "project.yml"
    place.write_text(yaml.safe_dump(_project(names, _free_port(), security)))
    env = PocEnv(num_clients=len(names), clients=names, project_conf_path=str(place))
    try:
        result = recipe.execute(env).get_result(timeout=PATIENCE, clean_up=False)
        if result is None:
            raise RuntimeError("NVFlare gave no result in time")
        return Path(shutil.copytree(result, folder / "ended"))
    finally:
        env.stop(clean_up=True)


def _project(names: list[str], port: int, security: str) -> dict[str, Any]:
    """What NVFlare provisions: certificates of an authority of its own, for this run alone.

    A server of this name listens on this machine alone.
    """
    server: dict[str, Any] = {
        "name": LOOPBACK,
        "type": "server",
        "default_host": LOOPBACK,
        "fed_learn_port": port,
    }
    admin: dict[str, Any] = {"name": ADMIN, "type": "admin", "role": "project_admin"}
    hospitals: list[dict[str, Any]] = [{"name": name, "type": "client"} for name in names]
    return {
        "api_version": 3,
        "name": NAME,
        "description": "one federated run",
        "connection_security": security,
        "participants": [{**one, "org": NAME} for one in (server, admin, *hospitals)],
        "builders": [
            {
                "path": "nvflare.lighter.impl.workspace.WorkspaceBuilder",
                "args": {"template_file": ["master_template.yml"]},
            },
            {
                "path": "nvflare.lighter.impl.static_file.StaticFileBuilder",
                "args": {"config_folder": "config", "scheme": "tcp"},
            },
            {"path": "nvflare.lighter.impl.cert.CertBuilder"},
            {"path": "nvflare.lighter.impl.signature.SignatureBuilder"},
        ],
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    os.umask(0o077)
    run(Path(sys.argv[1]))
