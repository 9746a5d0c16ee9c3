"""Two commands of one sweep, side by side: each job is done once, though a third one was killed."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import tiny
from pipeline.report import SUMMARY
from pipeline.sweep.once import POPULATION

pytestmark = pytest.mark.slow
# The command, which writes down whom it trains.
WORKER = """
import os, sys
from pipeline import __main__ as command
from pipeline.sweep import once
train = once.train_reported
def noted(name, dataset, plan, cfg):
    with open(os.environ["TRAINED"], "a") as log:
        log.write(f"{os.getpid()} {cfg.seed}\\n")
    return train(name, dataset, plan, cfg)
once.train_reported = noted
command.main()
"""
SWEEP = ["-m", "experiment=smoke", "threads=1", "plan.folds=2", "defense=baseline", "seed=0,1,2"]
SWEEP += ["tracking.nested=false", "tracking.files=false"]  # quicker


@pytest.fixture
def root(tmp_path, empty_store):
    (tmp_path / "data").mkdir()
    records = tiny.ROOT / "data" / "pima.csv"
    if not records.exists():
        pytest.skip("data/pima.csv is not here")
    shutil.copy(records, tmp_path / "data")
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


def start(root, log):
    env = {**os.environ, "DVC_ROOT": str(root), "PYTHONPATH": str(tiny.ROOT), "TRAINED": str(log)}
    env.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", WORKER, *SWEEP]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=env, cwd=tiny.ROOT, **pipes)


def trained_in(log):
    lines = log.read_text().splitlines() if log.exists() else []
    return [tuple(line.split()) for line in lines]


@pytest.mark.timeout(600)
def test_two_commands_do_each_job_once_though_a_third_is_killed_in_the_middle(root, tmp_path):
    import mlflow

    log = tmp_path / "trained"
    killed, *others = (start(root, log) for _ in range(3))
    while str(killed.pid) not in {pid for pid, _ in trained_in(log)} and killed.poll() is None:
        time.sleep(0.02)
    killed.kill()
    said = [one.communicate() for one in (killed, *others)]
    assert killed.returncode == -signal.SIGKILL
    assert [one.returncode for one in others] == [0, 0], said

    done = [(pid, seed) for pid, seed in trained_in(log) if pid != str(killed.pid)]
    begun = [seed for pid, seed in trained_in(log) if pid == str(killed.pid)]
    seeds = sorted(seed for _, seed in done)
    assert set(seeds) | set(begun) == {"0", "1", "2"}
    assert len(seeds) == len(set(seeds))
    # whoever starts late on a busy machine may find nothing left
    assert {pid for pid, _ in done} <= {str(one.pid) for one in others}
    sweeps = root / "sweeps"
    assert len(list(sweeps.glob(f"*/{POPULATION}"))) == 3
    (page,) = sweeps.glob(f"*/{SUMMARY}")
    assert all(page.read_text().strip() in out for out, _ in said[1:])

    client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("medsecure-pima").experiment_id
    asked = "attributes.status = 'FINISHED' and tags.run_key != ''"
    finished = client.search_runs([experiment], asked)
    assert sorted(run.data.params["seed"] for run in finished) == ["0", "1", "2"]
    assert len(client.search_runs([experiment], "tags.sweep_key != ''")) == 1
    assert not [path for path in sweeps.rglob("*") if ".claims" in path.parts and path.is_file()]
