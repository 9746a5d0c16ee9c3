"""What `medsecure audit` asks of a run: whole paths, and signs that are Hydra's own.

And by command line against a server of MLflow's: a version is audited, judged and marked.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mlflow_server import served
from pipeline.api.auditing import add_arguments, asked_for
from pipeline.api.verbs import QUIET
from pipeline.params import configured
from tiny import ROOT


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def composed(*arguments):
    return configured(asked_for(parsed(*arguments)), ROOT / "conf")


def test_a_model_is_audited_as_it_is_at_its_own_threshold():
    cfg = composed("--model", "ward.model:load", "--threshold", "0.3")
    assert cfg.model.own == {"source": "ward.model:load", "named": "", "rate": 0.0, "gaps": "empty"}
    assert (cfg.plan.kind, cfg.plan.trained_on) == ("frozen", None)
    assert (cfg.decision.rule, cfg.decision.value) == ("threshold", 0.3)
    assert list(cfg.defenses) == ["baseline"]


@pytest.mark.parametrize("name", ["über 1.skops", "it's.skops", "a=b,c.skops", "{x}[y].skops"])
def test_a_file_is_named_whole_whatever_its_name_holds(name, tmp_path, monkeypatch):
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    cfg = composed("--model", name, "--trained-on", "rows.csv", "--records", "later.csv")
    assert cfg.model.own["source"] == str(tmp_path / name)
    assert cfg.plan.trained_on == str(tmp_path / "rows.csv")
    assert cfg.data.file == str(tmp_path / "later.csv")


def test_addresses_and_names_stay_as_they_are():
    assert composed("--model", "http://127.0.0.1:8000/predict").model.own["source"].endswith("ict")
    assert composed("--model", "m:f", "--data", "breast_cancer").data.name == "breast_cancer"


# ---- a real server, by command line ----

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from pipeline.api.command import main; sys.exit(main())",
]
SHORT = [
    "audit.eps=[0.0,0.3]",
    "audit.resamples=200",
    "attack.square.queries=5",
    "attack.hop_skip_jump.queries=20",
    "attack.hop_skip_jump.samples=5",
    "theft.budgets=[10,40]",
    "theft.headline_budget=40",
    "theft.hidden=[8]",
    "theft.steps=20",
    "theft.ensemble=2",
]


def cohort(path):
    """120 patients of two measurements, and one that says nothing."""
    draw = np.random.default_rng(0)
    x = draw.integers(60, 200, (120, 3))
    ill = (x[:, 0] + x[:, 1] / 2 + draw.normal(0, 30, 120) > 195).astype(int)
    table = pd.DataFrame(x, columns=["glucose", "pressure", "height"]).assign(ill=ill)
    table.to_csv(path, index=False)
    return table


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server of its own, with its files."""
    tmp_path = tmp_path_factory.mktemp("server")
    files = ["--artifacts-destination", str(tmp_path / "files")]
    with served(f"sqlite:///{tmp_path / 'ml.db'}", tmp_path, *files) as address:
        yield address


@pytest.fixture(scope="module")
def ward(tmp_path_factory, server):
    """A signed project, and a shell in it that knows the server."""
    folder = tmp_path_factory.mktemp("ward")
    table = cohort(folder / "ward.csv")

    def shell(*arguments):
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=folder,
            env={k: v for k, v in os.environ.items() if k != "DVC_ROOT"}
            | QUIET
            | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": server},
            capture_output=True,
            text=True,
            check=False,
        )
        return SimpleNamespace(rc=done.returncode, out=done.stdout, err=done.stderr)

    made = shell("init", "ward.csv", "--target", "ill")
    assert made.rc == 0, made.err
    schema = folder / "conf" / "data" / "ward.yaml"
    schema.write_text(re.sub(r": (guess|data)([,}])", r": you\2", schema.read_text()))
    return SimpleNamespace(folder=folder, table=table, shell=shell)


def registered(table, name, **how):
    """Logs and registers a model as a team would; with an example it is fitted on an array."""
    import mlflow
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = table.drop(columns="ill")
    x = x[x.columns[::-1]] if "input_example" in how else x
    given = x.to_numpy() if "input_example" in how else x
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(given, table["ill"])
    how = {"serialization_format": "skops", "skops_trusted_types": ["numpy.dtype"]} | how
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model, name="model", registered_model_name=name, pip_requirements=[], **how
        )


@pytest.mark.slow
def test_a_version_on_a_server_is_audited_judged_and_marked(ward, server):
    import mlflow

    mlflow.set_tracking_uri(server)
    client = mlflow.MlflowClient()
    registered(ward.table, "ward")
    registered(ward.table.iloc[:60], "ward")  # nobody audits this one
    client.set_registered_model_alias("ward", "champion", 1)
    audited = ward.shell("audit", "--model", "models:/ward@champion", "--data", "ward", *SHORT)
    assert audited.rc == 0, audited.err
    gate = re.search(r"its gates: medsecure (gate --audit (\S+))", audited.out)
    assert gate is not None, audited.out
    call = gate.group(1).split()
    said = json.loads((ward.folder / gate.group(2) / "audit.json").read_text())["audited"]["models"]
    assert said["named"] == "models:/ward/1"
    assert "by the deployed model" in said["scored"]

    digest = said["sha256"]["baseline"]
    tags = client.get_model_version("ward", "1").tags
    assert tags["population_sha256"] == digest
    assert "models:/ward/1" in client.get_run(tags["audit_run"]).info.run_name

    # statuses 0, 1, 2; the alias moves on the pass alone, to the version that was audited
    accepted = [f'+gate.accept.{flag}="known"' for flag in tags["flags"].split() if flag != "none"]
    accepted += ["gate.alias=champion_audited", "~gate.no_flags"]
    too_much = "+gate.one={figure: evasion/right_answers_under_attack, at_least: 0.9999}"

    def held():
        return {name: int(one) for name, one in client.get_registered_model("ward").aliases.items()}

    failed = ward.shell(*call, *accepted, too_much, "--mlflow", "--junit", "g.xml")
    assert (failed.rc, "champion_audited" in held()) == (1, False), failed.err
    assert "<failure" in (ward.folder / "g.xml").read_text()
    other = ward.shell(*call, *accepted, "--mlflow", "--sha256", "9" * 64)
    assert (other.rc, other.err.count("\n"), "champion_audited" in held()) == (2, 1, False)
    passed = ward.shell(*call, *accepted, "--mlflow", "--json", "g.json", "--markdown", "g.md")
    assert passed.rc == 0, passed.out + passed.err
    assert {name: int(one) for name, one in held().items()} == {
        "champion": 1,
        "champion_audited": 1,
    }
    assert client.get_model_version("ward", "1").tags["medsecure.gate"] == "passed"
    assert "medsecure.gate" not in client.get_model_version("ward", "2").tags
    assert json.loads((ward.folder / "g.json").read_text())["state"] == "passed"
    assert "| pass |" in (ward.folder / "g.md").read_text()


@pytest.mark.slow
def test_what_a_server_holds_in_another_way_is_one_line(ward, server):
    import mlflow

    mlflow.set_tracking_uri(server)
    registered(ward.table, "pickled", serialization_format="cloudpickle", skops_trusted_types=None)
    registered(ward.table, "array", input_example=ward.table.iloc[:2, 2::-1])
    for address, said in (
        ("models:/pickled/1", "which could run code when opened; log it with serialization_format"),
        ("models:/array/latest", "in another order than the schema's (column 1: 'height'"),
        ("models:/pickled@nobody", "alias nobody not found"),
        ("models:pickled@nobody", "MLflow's begin with models:/"),
        ("runs:/0123/model", "Run with id=0123 not found"),
    ):
        found = ward.shell("audit", "--model", address, "--data", "ward")
        assert (found.rc, found.err.count("\n")) == (2, 1), found.err
        assert said in found.err
