"""Real processes of submitit on this machine; no SLURM is here to be asked."""

import pytest

from pipeline.files import BadInput
from pipeline.project.launchers import SLURM, Launcher
from sweep.launched import SMALL, ended, kill, logged, same, start, wait_until, workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
submitit = pytest.importorskip("submitit", reason="needs submitit: make test-ray")
JOBS = [*SMALL, "threads=1", "defense=baseline", "seed=0,1"]
LOCAL = "hydra/launcher=submitit_local"


def at_work(root):
    """Processes of submitit's that have begun a job."""
    return [one for one in workers(root, "") if "submitit.core._submit" in " ".join(one.cmdline())]


def test_a_killed_process_costs_nothing_but_its_time(tmp_path_factory):
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    ended(start(here, *JOBS))
    process = start(there, LOCAL, *JOBS)
    kill(wait_until(lambda: at_work(there), process)[0])  # as soon as one is there
    _, err = ended(process)
    assert err.count("; once more") == 1
    same(there, here)
    assert logged(there) == (2, 2)


def test_what_slurm_is_asked_for_is_what_the_launcher_says(tmp_path, monkeypatch):
    """The script for `sbatch`, as it would be handed in."""
    from pipeline.sweep.on_submitit import OnSubmitit

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    settings = {
        "submitit_folder": "sweeps/.submitit/%j",
        "timeout_min": 30,
        "partition": "gpu",
        "cpus_per_task": None,
        "array_parallelism": 7,
        "max_num_timeout": 3,
        "qos": None,
    }
    with pytest.raises(BadInput, match="submitit_slurm: "):  # there is no `srun`
        OnSubmitit(Launcher(SLURM, settings), threads=2)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    made = OnSubmitit(Launcher(SLURM, settings), threads=2)
    asked = made._executor._executor.parameters
    assert asked["partition"] == "gpu"
    assert asked["time"] == 30
    assert asked["cpus_per_task"] == 2
    assert asked["array_parallelism"] == 7
    assert "qos" not in asked
    assert made._executor._executor.max_num_timeout == 3
