"""A server that is lost or lacks something costs a line, and nothing that was measured."""

import subprocess
import sys
import time
from contextlib import suppress
from urllib.request import urlopen

import tiny
from benchmarks.servers import BUCKET
from sweep.launched import SMALL

FAILS = "it fails itself; its log says whether its database or its bucket is away"
SLOW = "it does not answer in time; its database may be away"  # it tries again for a while
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
ASKED = "api/2.0/mlflow/experiments/search?max_results=1"


def sweep(told, seed):
    command = [sys.executable, "-m", "pipeline", "-m", *SMALL, "threads=1", "defense=baseline"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, f"seed={seed}"], env=told, cwd=tiny.ROOT, **pipes)


def complaints(process, servers):
    """The lines of errors, none of which holds a secret."""
    out, err = process.communicate(timeout=300)
    assert not any(secret in out + err for secret in servers.secrets)
    assert "Traceback" not in err
    return [line for line in err.splitlines() if line.startswith("error: ")]


def measured(root):
    """The finished measurements, and when they were."""
    return {job: job.stat().st_mtime_ns for job in root.glob("sweeps/*/params.json")}


def until_it_answers(servers):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with suppress(OSError):
            return urlopen(f"{servers.tracking}/{ASKED}", timeout=10).close()
        time.sleep(0.5)
    raise TimeoutError


def test_a_missing_bucket_and_a_lost_database_cost_a_line_each_and_no_measurement(
    told, servers, tmp_path
):
    impatient, bucket = {**told, **IMPATIENT}, servers.store.root / BUCKET
    away = bucket.rename(bucket.with_name("elsewhere"))
    time.sleep(1.5)  # rclone looks again after one
    try:
        (line,) = complaints(sweep(impatient, "0"), servers)
    finally:
        away.rename(bucket)
    assert line.startswith(f"error: baseline: MLflow at {servers.tracking}: {FAILS}; ")
    process = sweep(impatient, "1")
    while len(measured(tmp_path)) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    with servers.database.away():
        (line,) = complaints(process, servers)
    assert process.returncode == 2
    assert line.startswith(f"error: baseline: MLflow at {servers.tracking}: ")
    assert FAILS in line or SLOW in line
    before = measured(tmp_path)
    until_it_answers(servers)
    for seed in "01":
        again = sweep(told, seed)
        assert complaints(again, servers) == []
        assert again.returncode == 0
    assert measured(tmp_path) == before
    ends = (
        "select r.status from runs r join experiments e on e.experiment_id = r.experiment_id "
        "join tags t on t.run_uuid = r.run_uuid and t.key = 'job_key' "
        "where e.name = 'medsecure-breast_cancer'"
    )
    statuses = [status for (status,) in servers.database.ask(ends)]
    assert statuses.count("FINISHED") == 2
    assert "RUNNING" not in statuses
