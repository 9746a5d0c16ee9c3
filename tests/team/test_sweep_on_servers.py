"""A sweep by two workers on PostgreSQL and S3: one run a job, files in S3, secrets nowhere."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import tiny
from benchmarks.servers import team

SWEEP = ["-m", "experiment=smoke", "threads=1", "plan.folds=2", "defense=baseline", "seed=0,1"]


def commands_seen(over):
    """Every command line of this machine while something runs."""
    seen = set()

    def watch():
        while not over.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(file.read_bytes())
                except OSError:  # it has ended
                    continue
            time.sleep(0.05)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    return seen, watcher


def test_no_command_line_holds_a_secret_from_start_to_end(told, servers):
    over = threading.Event()
    seen, watcher = commands_seen(over)
    try:
        with team(workers=1) as own:
            secrets = [*own.secrets, *servers.secrets]
    finally:
        over.set()
        watcher.join()
    assert any(b"initdb" in line for line in seen)
    assert any(b"serve\0s3" in line for line in seen)
    assert any(b"mlflow\0server" in line for line in seen)
    assert not [line for line in seen if any(secret.encode() in line for secret in secrets)]


def test_two_workers_log_each_job_once_and_files_go_to_s3(told, servers, records, tmp_path):
    command = [sys.executable, "-m", "pipeline", *SWEEP]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    two = [subprocess.Popen(command, env=told, cwd=tiny.ROOT, **pipes) for _ in range(2)]
    said = [one.communicate() for one in two]
    assert [one.returncode for one in two] == [0, 0], said
    assert not any(secret in text for texts in said for text in texts for secret in servers.secrets)
    keys = (
        "select t.value, r.status from runs r join tags t on t.run_uuid = r.run_uuid "
        "join experiments e on e.experiment_id = r.experiment_id "
        "where t.key = 'run_key' and e.name = 'medsecure-pima'"
    )
    runs = servers.database.ask(keys)
    assert len(runs) == len({key for key, _ in runs}) == 2
    assert {status for _, status in runs} == {"FINISHED"}
    groups = servers.database.ask("select count(*) from tags where key = 'sweep_key'")
    assert groups == [(1,)]
    kept = {path.name for path in servers.store.root.rglob("*") if path.is_file()}
    assert {"report_shared.html", "headline.csv", "config.yaml", "MLmodel"} <= kept


def test_a_server_that_is_away_is_one_line_without_a_secret(told, servers):
    command = [sys.executable, "-m", "pipeline", *SWEEP]
    env = {**told, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    ended = subprocess.run(command, env=env, cwd=tiny.ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("error: MLflow at http://127.0.0.1:9")
    assert not any(secret in ended.stdout + ended.stderr for secret in servers.secrets)
