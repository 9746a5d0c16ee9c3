"""DVC's remote on S3: data goes and comes back, secrets stay in DVC's local file or environment."""

import hashlib
import shutil
import subprocess
import sys

import pytest

DVC = [sys.executable, "-m", "dvc"]


def run(*command, cwd, env, status=0):
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture
def project(told, servers, tmp_path):
    """A repository with a file that DVC keeps, and the team's remote, as docs/team.md says."""
    place = tmp_path / "project"
    place.mkdir()
    (servers.store.root / "medsecure").mkdir(exist_ok=True)
    run("git", "init", "-q", cwd=place, env=told)
    run(*DVC, "init", "-q", cwd=place, env=told)
    (place / "data.csv").write_text("made,up\n1,2\n")
    run(*DVC, "add", "-q", "data.csv", cwd=place, env=told)
    run(*DVC, "remote", "add", "-d", "team", "s3://medsecure/data", cwd=place, env=told)
    local = [*DVC, "remote", "modify", "--local", "team"]
    run(*local, "endpointurl", servers.store.endpoint, cwd=place, env=told)
    return place


def test_what_is_pushed_is_pulled_with_the_same_bytes(project, told, servers):
    run(*DVC, "push", "-q", cwd=project, env=told)
    digest = hashlib.md5((project / "data.csv").read_bytes()).hexdigest()
    kept = servers.store.root / "medsecure" / "data" / "files" / "md5" / digest[:2] / digest[2:]
    assert kept.read_bytes() == (project / "data.csv").read_bytes()
    (project / "data.csv").unlink()
    shutil.rmtree(project / ".dvc" / "cache")
    run(*DVC, "pull", "-q", cwd=project, env=told)
    assert (project / "data.csv").read_text() == "made,up\n1,2\n"


def test_a_wrong_secret_is_refused(project, told):
    wrong = {**told, "AWS_SECRET_ACCESS_KEY": "wrong"}
    said = run(*DVC, "push", "-q", cwd=project, env=wrong, status=255)
    assert "wrong" not in said


def test_secrets_of_the_local_file_never_enter_git(project, told, servers):
    keys = {"access_key_id": "AWS_ACCESS_KEY_ID", "secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    local = [*DVC, "remote", "modify", "--local", "team"]
    for option, name in keys.items():
        run(*local, option, told[name], cwd=project, env=told)
    bare = {name: value for name, value in told.items() if not name.startswith("AWS_")}
    run(*DVC, "push", "-q", cwd=project, env=bare)
    run("git", "add", "-A", cwd=project, env=told)
    kept = run("git", "ls-files", cwd=project, env=told).split()
    assert ".dvc/config" in kept
    assert ".dvc/config.local" not in kept
    for file in kept:
        text = (project / file).read_text()
        assert not any(secret in text for secret in servers.secrets), file
