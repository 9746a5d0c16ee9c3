"""A sweep by two workers on PostgreSQL and S3: one run a job, files in S3, secrets nowhere."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import tiny
from benchmarks.servers import BUCKET, team

SWEEP = ["-m", "experiment=smoke", "threads=1", "plan.folds=2", "defense=baseline", "seed=0,1"]


@contextmanager
def commands_seen():
    """Every command line of this machine within the block."""
    seen, over = set(), threading.Event()

    def watch():
        while not over.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it has ended
                    seen.add(file.read_bytes())
            time.sleep(0.05)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def holding(folders, secrets):
    """The files that hold one of these."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    found = [one.encode() for one in secrets]
    return [str(file) for file in files if any(one in file.read_bytes() for one in found)]


def rows(database):
    """Every row of every table, as text."""
    tables = database.ask("select tablename from pg_tables where schemaname = 'public'")
    return [row for (name,) in tables for (row,) in database.ask(f'select t::text from "{name}" t')]


def test_no_command_line_holds_a_secret_from_start_to_end(told, servers):
    with commands_seen() as seen, team(workers=1) as own:
        secrets = [*own.secrets, *servers.secrets]
    assert any(b"initdb" in line for line in seen)
    assert any(b"serve\0s3" in line for line in seen)
    assert any(b"mlflow\0server" in line for line in seen)
    assert not [line for line in seen if any(secret.encode() in line for secret in secrets)]


def test_two_workers_log_each_job_once_and_files_go_to_s3(told, servers, records, tmp_path):
    command = [sys.executable, "-m", "pipeline", *SWEEP]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with commands_seen() as seen:
        two = [subprocess.Popen(command, env=told, cwd=tiny.ROOT, **pipes) for _ in range(2)]
        said = [one.communicate() for one in two]
    assert [one.returncode for one in two] == [0, 0], said
    keys = (
        "select t.value, r.status from runs r join tags t on t.run_uuid = r.run_uuid "
        "join experiments e on e.experiment_id = r.experiment_id "
        "where t.key = 'run_key' and e.name = 'medsecure-pima'"
    )
    runs = servers.database.ask(keys)
    assert len(runs) == len({key for key, _ in runs}) == 2
    assert {status for _, status in runs} == {"FINISHED"}
    groups = keys.replace("run_key", "sweep_key")
    assert len(servers.database.ask(groups)) == 1
    kept = {path.name for path in servers.store.root.rglob("*") if path.is_file()}
    assert {"report_shared.html", "headline.csv", "config.yaml", "MLmodel"} <= kept
    everything = [text for texts in said for text in texts] + rows(servers.database)
    everything += [line.decode(errors="replace") for line in seen]
    assert any("smoke" in line for line in everything)
    assert not [text for text in everything if any(one in text for one in servers.secrets)]
    assert holding([servers.home, tmp_path], [BUCKET]) != []
    assert holding([servers.home, tmp_path], servers.secrets) == []


def test_a_server_that_is_away_is_one_line_without_a_secret(told, servers):
    command = [sys.executable, "-m", "pipeline", *SWEEP]
    env = {**told, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    ended = subprocess.run(command, env=env, cwd=tiny.ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("error: MLflow at http://127.0.0.1:9")
    assert not any(secret in ended.stdout + ended.stderr for secret in servers.secrets)
