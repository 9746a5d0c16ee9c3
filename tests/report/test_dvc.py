"""What DVC itself makes of the figures in git, in a clone that ran nothing; and of no server."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

import pandas as pd
import pytest

from tiny import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEPT = ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", ".dvc/config", "results")
KEPT += (".dvc/plots", ".dvc/.gitignore")
CDN = "cdn.jsdelivr.net"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def run(folder, *command, **environment):
    kept = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"}
    kept |= {"DVC_NO_ANALYTICS": "1", "COLUMNS": "100", **environment}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def dvc(folder, *arguments):
    return run(folder, sys.executable, "-m", "dvc", *arguments).stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What git holds, cloned, and two figures changed: a run with other results."""
    whole = tmp_path_factory.mktemp("whole")
    for name in KEPT:
        (whole / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, whole / name)
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "results")):
        run(whole, "git", *identity, *command)
    place = tmp_path_factory.mktemp("clone") / "fresh"
    run(whole, "git", "clone", "-q", whole, place)
    figures = place / "results/pima/metrics/adv_train.json"
    changed = json.loads(figures.read_text()) | {"sensitivity": 0.5}
    figures.write_text(json.dumps(changed))
    curve = place / "results/pima/plots/missed_diagnoses.csv"
    table = pd.read_csv(curve, keep_default_na=False)
    table.assign(value=table["value"] * 0.9).to_csv(curve, index=False)
    return place


def test_metrics_are_shown_and_compared_with_the_last_commit_within_100_columns(clone):
    shown = dvc(clone, "metrics", "show").splitlines()
    assert len(shown) == 1 + len(list((clone / "results/pima/metrics").iterdir()))
    compared = dvc(clone, "metrics", "diff").splitlines()
    assert max(map(len, shown + compared)) <= 100
    (line,) = compared[1:]
    path, name, before, now, _ = line.split()
    kept = run(clone, "git", "show", f"HEAD:{path}").stdout
    assert (path, name, now) == ("results/pima/metrics/adv_train.json", "sensitivity", "0.5")
    assert float(before) == json.loads(kept)["sensitivity"]


def test_every_figure_is_compared_when_its_file_is_named(clone):
    said = dvc(clone, "metrics", "show", "--json", "results/pima/metrics.json")
    every = json.loads(said)[""]["data"]["results/pima/metrics.json"]["data"]
    assert every == json.loads((clone / "results/pima/metrics.json").read_text())


def test_plots_hold_both_revisions_and_their_intervals(clone):
    plots = json.loads(dvc(clone, "plots", "diff", "--json"))["data"]
    assert len(plots) == len(list((clone / "results/pima/plots").iterdir()))
    for (plot,) in plots.values():
        rows = plot["content"]["data"]["values"]
        assert {row["rev"] for row in rows} == {"workspace", "HEAD"}
        assert all(float(row["low"]) <= float(row["high"]) for row in rows)


class Listener:
    """A proxy that answers nothing and remembers whom it was asked for."""

    def __init__(self):
        self.asked = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self.asked.append(connection.recv(4096).partition(b"\r\n")[0].decode())


def opened(page, profile):
    """The page as a browser builds it, and whom the browser asked for anything."""
    listener = Listener()
    flags = ["--headless=new", "--no-sandbox", "--disable-background-networking", "--no-first-run"]
    flags += [f"--proxy-server={listener.address}", f"--user-data-dir={profile}"]
    built = run(page.parent, BROWSER, *flags, "--dump-dom", page.as_uri()).stdout
    listener.socket.close()
    return built, listener.asked


@pytest.mark.skipif(BROWSER is None, reason="no browser here")
def test_the_page_of_plots_draws_every_line_and_asks_no_server(clone, tmp_path):
    dvc(clone, "plots", "diff", "-q", "-o", "drawn")
    page = clone / "drawn" / "index.html"
    built, asked = opened(page, tmp_path / "one")
    assert not [line for line in asked if CDN in line]
    svg = re.findall(r"<svg.*?</svg>", built, re.DOTALL)
    assert len(svg) == len(list((clone / "results/pima/plots").iterdir()))
    table = pd.read_csv(clone / "results/pima/plots/missed_diagnoses.csv")
    (missed,) = [one for one in svg if "Missed diagnoses" in one]
    defenses = table["defense"].nunique()
    assert missed.count("<polyline") == missed.count("<polygon") == 2 * defenses  # two revisions
    assert "NaN" not in built
    assert "distill [masked gradients, zero gradients]" in missed
    figure = table.iloc[0]
    assert f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" in missed


@pytest.mark.skipif(BROWSER is None, reason="no browser here")
def test_a_page_that_asks_a_server_would_be_noticed(clone, tmp_path):
    """DVC's own page, in place of ours."""
    run(clone, sys.executable, "-m", "dvc", "config", "--local", "plots.html_template", "")
    try:
        dvc(clone, "plots", "show", "-q", "-o", "theirs")
    finally:
        (clone / ".dvc" / "config.local").unlink()
    _, asked = opened(clone / "theirs" / "index.html", tmp_path / "two")
    assert [line for line in asked if CDN in line]
