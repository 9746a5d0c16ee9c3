"""Sweeps as other processes run them, and what such a process leaves, byte for byte."""

import os
import signal
import subprocess
import sys
import time

import psutil

import tiny

# A few seconds a job, of a data set that ships with scikit-learn.
SMALL = [
    "data=breast_cancer",
    "model=linear",
    "train.epochs=2",
    "plan.folds=2",
    "plan.seeds=1",
    "audit.eps=[0.0,0.1]",
    "audit.resamples=100",
    "membership.attacks=[loss]",
    "membership.targets=4",
    "membership.second_seeds=2",
    "inversion.victims=1",
    "inversion.candidates=2",
    "attack=[noise,fgsm]",
    "threat=clinical",
    "threat.clinical.boxes=1",
]
JOBS = [*SMALL, "threads=1", "defense=baseline", "seed=0,1,2,3"]
COUNT = 4
PATIENCE_S = 500


def environment(root):
    """That of a sweep in a root of its own."""
    known = os.environ | {
        "DVC_ROOT": str(root),
        "PYTHONPATH": str(tiny.ROOT),
        "OMP_NUM_THREADS": "1",
    }
    known.pop("MLFLOW_TRACKING_URI", None)
    return known


def start(root, *arguments, python=sys.executable):
    """Starts a sweep of these overrides."""
    (root / "conf").symlink_to(tiny.ROOT / "conf") if not (root / "conf").exists() else None
    return subprocess.Popen(
        [python, "-m", "pipeline", "-m", *arguments],
        cwd=root,
        env=environment(root),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process):
    """What it said."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out, err


def finished(root):
    """The folders of finished jobs."""
    found = (path.parent for path in root.glob("sweeps/*/params.json"))
    return [folder for folder in found if not folder.name.startswith(".")]


def wait_until(asked, process):
    """Waits for something to be so while a process runs."""
    until = time.monotonic() + PATIENCE_S
    while not (found := asked()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def workers(root, named):
    """Living processes of a sweep whose title begins so, that work on a job of it right now."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("DVC_ROOT") == str(root)
            if ours and " ".join(process.cmdline()).startswith(named):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill(process):
    """As the kernel does it for want of memory."""
    os.kill(process.pid, signal.SIGKILL)


def results(root):
    """All that a sweep left, but MLflow's own and what workers hid: relative path -> bytes."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.glob("sweeps/**/*"))
        if path.is_file() and not any(part.startswith(".") for part in path.parts)
    }


def same(root, reference):
    """Nothing differs from a sweep in one process, to the last byte, and nothing is missing."""
    one, other = results(root), results(reference)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def logged(root):
    """How many finished runs of jobs MLflow has, and how many different ones."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("medsecure-breast_cancer").experiment_id
    found = client.search_runs([experiment], "attributes.status = 'FINISHED'", max_results=1000)
    keys = [run.data.tags["run_key"] for run in found if "run_key" in run.data.tags]
    return len(keys), len(set(keys))
