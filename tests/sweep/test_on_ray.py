"""Real workers of Ray, and real deaths: nothing is lost, and nothing differs by a bit."""

import os

import pytest

from elsewhere import python_at
from sweep.launched import (
    COUNT,
    JOBS,
    SMALL,
    ended,
    finished,
    kill,
    logged,
    same,
    start,
    wait_until,
    workers,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ray = pytest.importorskip("ray", reason="needs Ray: make test-ray")
RAY = ["hydra/launcher=ray"]
TWO = [*RAY, "+hydra.launcher.ray.init.num_cpus=2"]
WORKER = "ray::do_elsewhere"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The same sweep in one process, without Ray."""
    root = tmp_path_factory.mktemp("reference")
    ended(start(root, *JOBS))
    return root


def listening(processes):
    """The addresses on which they listen."""
    return {
        one.laddr.ip.removeprefix("::ffff:")
        for process in processes
        for one in process.net_connections(kind="inet")
        if one.status == "LISTEN"
    }


def test_a_killed_worker_costs_nothing_but_its_time_and_nobody_else_can_connect(
    reference, tmp_path
):
    """Of a Python in a path with a blank: Ray has a shell start its workers."""
    process = start(tmp_path, *TWO, *JOBS, python=python_at(tmp_path))
    wait_until(lambda: finished(tmp_path), process)
    everybody = workers(tmp_path, "")
    assert listening(everybody) == {"127.0.0.1"}
    victim = wait_until(lambda: workers(tmp_path, WORKER), process)[0]
    assert victim.environ()["RAY_AUTH_MODE"] == "token"
    assert victim.nice() == os.nice(0)
    kill(victim)
    out, err = ended(process)
    assert err.count("worker lost (WorkerCrashedError); once more") == 1
    assert len([line for line in out.splitlines() if line[1:3] == f"/{COUNT}"]) == COUNT
    same(tmp_path, reference)
    assert logged(tmp_path) == (COUNT, COUNT)
    assert workers(tmp_path, "ray") == []


def test_a_killed_node_costs_nothing_but_its_time(reference, tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    from sweep.launched import environment

    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    size = {"num_cpus": 1, "object_store_memory": 78_643_200, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    try:
        node = cluster.add_node(num_cpus=1, object_store_memory=78_643_200)
        cluster.wait_for_nodes()
        address = f"hydra.launcher.ray.init.address={cluster.address}"
        process = start(tmp_path, *RAY, address, *JOBS)
        wait_until(lambda: finished(tmp_path), process)
        wait_until(lambda: len(workers(tmp_path, WORKER)) == 2, process)
        cluster.remove_node(node, allow_graceful=False)
        _, err = ended(process)
    finally:
        cluster.shutdown()
    assert "; once more" in err
    same(tmp_path, reference)
    assert logged(tmp_path) == (COUNT, COUNT)


def test_a_killed_sweep_goes_on_with_or_without_ray(reference, tmp_path):
    process = start(tmp_path, *TWO, *JOBS)
    wait_until(lambda: finished(tmp_path), process)
    kill(process)
    process.communicate()
    before = {folder: folder.stat().st_mtime_ns for folder in finished(tmp_path)}
    ended(start(tmp_path, *JOBS))
    same(tmp_path, reference)
    assert all(folder.stat().st_mtime_ns >= at for folder, at in before.items())
    assert logged(tmp_path) == (COUNT, COUNT)


def test_jobs_of_two_threads_share_their_work_in_a_worker_too(tmp_path_factory):
    jobs = [*SMALL, "threads=2", "defense=baseline"]
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    ended(start(here, *jobs))
    ended(start(there, *TWO, *jobs))
    same(there, here)


def test_a_job_that_no_machine_has_room_for_is_refused_and_not_waited_for(tmp_path):
    process = start(
        tmp_path, *RAY, "+hydra.launcher.ray.init.num_cpus=1", *SMALL, "threads=2", "seed=0,1"
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "a job takes 2 processors, and no machine has more than 1" in err


def test_tasks_of_ray_within_jobs_of_ray_are_refused_and_not_waited_for(tmp_path):
    process = start(tmp_path, *RAY, *SMALL, "parallel.backend=ray", "seed=0,1")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert err.startswith("error: parallel.backend=ray: the jobs of hydra/launcher=ray hold")
    assert err.count("\n") == 1
    assert out == ""
