"""The verbs: which commands they call where, and one line for every mistake."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
import yaml

from pipeline.api import verbs
from pipeline.api.verbs import STAGED, VERBS, run_verb
from pipeline.defenses import DEFENSES
from pipeline.files import PROJECT
from pipeline.project import founding
from pipeline.project.place import found, is_project
from tiny import ROOT

HEAVY = ("torch", "numpy", "pandas", "pydantic", "hydra", "omegaconf", "mlflow", "dvc", "yaml")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and this process in it."""
    place = tmp_path / "my ward"
    place.mkdir()
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def project(folder, monkeypatch):
    """A project whose package does not change."""
    (folder / PROJECT).touch()
    (folder / "dvc.yaml").touch()
    monkeypatch.setattr(founding, "renew", lambda root: [])
    return folder


@pytest.fixture
def called(monkeypatch):
    """The commands that were called instead of being run; `fail` names one that ends badly."""
    calls, statuses = [], {}

    def note(root, module, *arguments):
        calls.append((root.name, module, *arguments))
        return statuses.get(module, 0)

    monkeypatch.setattr(verbs, "_call", note)
    note.calls, note.fail = calls, statuses
    return note


# ---- help ----


@pytest.mark.parametrize("name", VERBS)
def test_each_help_has_one_example_that_its_own_parser_takes(name, capsys):
    assert run_verb([name, "-h"]) == 0
    said = capsys.readouterr().out
    assert said.count("example:") == 1
    assert VERBS[name].what in said
    program, verb, *arguments = shlex.split(VERBS[name].example)
    assert (program, verb) == ("medsecure", name)
    VERBS[name].parser(name).parse_args(arguments)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_names_every_verb_with_its_example(flag, capsys):
    assert run_verb([flag]) == 0
    said = capsys.readouterr().out
    assert all(one.what in said and one.example in said for one in VERBS.values())
    assert all(len(line) <= 100 for line in said.splitlines())


@pytest.mark.parametrize(
    "arguments", [["-h"], *([name, "-h"] for name in VERBS), ["--version"], []]
)
def test_help_waits_for_no_library(arguments, tmp_path):
    code = (
        "import sys; from pipeline.api.verbs import run_verb; status = run_verb(sys.argv[1:]);"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


# ---- the next step ----


def test_without_a_project_the_next_step_makes_one(folder, capsys):
    assert run_verb([]) == 0
    assert "medsecure init cohort.csv" in capsys.readouterr().out


def test_in_a_project_the_next_step_runs_it_then_looks_at_it(project, capsys):
    run_verb([])
    assert "medsecure run" in capsys.readouterr().out
    (project / "artifacts/evaluate").mkdir(parents=True)
    (project / verbs.PAGE).touch()
    run_verb([])
    said = capsys.readouterr().out
    assert "medsecure report" in said
    assert "medsecure run" not in said


# ---- mistakes ----


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rum"], "'rum' is no verb of medsecure; did you mean 'run'?"),
        (["shcek"], "did you mean 'check'?"),
        (["run", "--fast"], "unrecognized arguments: --fast"),
        (["init"], "required: file, --target"),
        (["init", "x.csv", "--taget", "y"], "required: --target"),
        (["ui", "--port", "many"], "invalid int value: 'many'"),
        (["run"], "no project here nor in a folder above; `medsecure init"),
        (["sweep", "seed=0,1"], "no project here"),
        (["report"], "no project here"),
        (["ui"], "no project here"),
        (["run", "seed=0,1"], "`medsecure sweep` takes several values"),
        (["run", "seed=[1"], "command line: "),
    ],
)
def test_a_mistake_is_one_line_and_status_two(folder, capsys, called, arguments, said):
    assert run_verb(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert said in err
    assert called.calls == []


def test_a_store_without_a_run_is_not_opened(project, capsys, called):
    assert run_verb(["ui"]) == 2
    assert "nothing was logged yet" in capsys.readouterr().err
    assert called.calls == []


# ---- what they call ----


def test_run_composes_runs_the_stages_and_prints_the_comparison(project, called):
    assert run_verb(["run", "experiment=smoke", "seed=3"]) == 0
    assert called.calls == [
        ("my ward", "pipeline.params", "experiment=smoke", "seed=3"),
        ("my ward", "pipeline.stages.prepare", "--check"),
        ("my ward", "dvc", "repro"),
        ("my ward", "pipeline.report"),
    ]


def test_what_the_stages_lack_is_one_line_before_any_of_them(project, capsys, called):
    assert run_verb(["run", "experiment=sectors"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: run: logistic, distill, dp_train, partition: not chosen")
    assert err.count("\n") == 1
    assert called.calls == []


def test_every_recipe_with_a_stage_of_its_own_is_looked_for():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert {name for name in stages if name in DEFENSES} == {*STAGED}


@pytest.mark.parametrize(
    ("module", "status", "ends", "calls"),
    [
        ("pipeline.params", 2, 2, 1),
        ("pipeline.stages.prepare", 2, 2, 2),
        ("dvc", 255, 1, 3),
        ("dvc", 130, 130, 3),
        ("pipeline.report", 2, 2, 4),
    ],
)
def test_run_ends_where_something_fails(project, called, module, status, ends, calls):
    called.fail[module] = status
    assert run_verb(["run"]) == ends
    assert len(called.calls) == calls


def test_a_chosen_defense_runs_alone_in_one_process(project, called):
    assert run_verb(["run", "defense=adv_train", "adv_train.eps=0.2"]) == 0
    assert called.calls == [("my ward", "pipeline", "defense=adv_train", "adv_train.eps=0.2")]


def test_a_sweep_is_a_sweep(project, called, monkeypatch):
    (project / "conf").mkdir()
    monkeypatch.chdir(project / "conf")
    assert run_verb(["sweep", "defense=baseline,adv_train", "seed=0,1"]) == 0
    assert called.calls == [("my ward", "pipeline", "-m", "defense=baseline,adv_train", "seed=0,1")]


def test_what_changed_with_the_package_is_said_before_the_run(project, called, monkeypatch, capsys):
    monkeypatch.setattr(founding, "renew", lambda root: [f"{root.name}: every stage runs again"])
    for verb in (["run"], ["run", "defense=baseline"], ["sweep", "seed=0,1"]):
        run_verb(verb)
        assert capsys.readouterr().out == "my ward: every stage runs again\n"


def test_in_a_checkout_the_bundled_records_are_fetched_first(folder, called):
    for name in ("dvc.yaml", "data.dvc", "conf/config.yaml", "pipeline/stages/__init__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    chosen = "".join(f"{name}: {{}}\n" for name in STAGED)
    (folder / "conf/config.yaml").write_text(chosen, encoding="utf-8")
    fetch = ("my ward", "dvc", "pull", "--remote", "repository", "data.dvc")
    run_verb(["run"])
    assert called.calls[1] == fetch
    (folder / "data").mkdir()
    (folder / "data/pima.csv").touch()
    called.calls.clear()
    run_verb(["run"])
    assert fetch not in called.calls


def test_report_opens_the_page_where_asked(project, called, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    run_verb(["report"])
    assert opened == []
    run_verb(["report", "--open"])
    assert opened == [(project / verbs.PAGE).resolve().as_uri()]
    assert called.calls == [("my ward", "pipeline.report")] * 2


def test_an_export_is_passed_on_from_where_it_was_asked(project, called):
    (project / "below").mkdir()
    os.chdir(project / "below")
    options = ["--for", "facts", "--signed-by=-A. Person", "--overwrite"]
    run_verb(["report", "--export", "out", *options])
    target = str(project / "below" / "out")
    said = ("--export", target, "--for", "facts", "--patients", "hidden", "--signed-by=-A. Person")
    assert called.calls == [("my ward", "pipeline.report", *said, "--overwrite")]


ADDRESSES = {"Runs": "SERVER/runs", "Compare": "SERVER/compare"}


@pytest.fixture
def seen(monkeypatch):
    """What is opened; the store has two pages."""
    opened = []
    monkeypatch.setattr(
        "pipeline.tracking.pages.addresses",
        lambda server: {key: one.replace("SERVER", server) for key, one in ADDRESSES.items()},
    )
    monkeypatch.setattr("pipeline.api.browser.open_when_ready", lambda *pages: opened.append(pages))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return opened


def test_ui_serves_the_projects_store_under_any_path(project, called, seen, capsys):
    assert run_verb(["ui", "--port", "5001"]) == 0
    store = f"sqlite:///{project.resolve() / 'mlflow.db'}"
    assert " " in store
    (call,) = called.calls
    assert call == (
        "my ward", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", "5001",
        "--backend-store-uri", store,
    )  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["Runs:", "http://127.0.0.1:5001/runs"]
    assert said[1].split() == ["Compare:", "http://127.0.0.1:5001/compare"]
    assert seen == [("http://127.0.0.1:5001", "http://127.0.0.1:5001/runs")]


def test_ui_opens_nothing_where_it_was_told_so(project, called, seen):
    assert run_verb(["ui", "--no-open"]) == 0
    assert seen == []


def test_a_server_that_somebody_runs_is_looked_at_and_none_is_started(
    project, called, seen, capsys, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ward:secret@mlflow.clinic.example/")
    assert run_verb(["ui"]) == 0
    assert called.calls == []
    assert "https://mlflow.clinic.example/runs" in capsys.readouterr().out
    assert seen == [("https://mlflow.clinic.example", "https://mlflow.clinic.example/runs")]


# ---- cohorts ----


@pytest.mark.heavy
def test_init_makes_the_folder_a_project_and_check_needs_no_signature(folder, capsys):
    rows = [
        f"{20 + number * 7 % 40},{number % 7}.5,{'ny'[number % 3 == 0]}" for number in range(60)
    ]
    (folder / "cohort.csv").write_text("\n".join(["age,dose,ill", *rows, ""]))
    assert run_verb(["init", "cohort.csv", "--target", "ill", "--positive", "y"]) == 0
    assert found() == folder.resolve()
    assert is_project(folder)
    assert "/cohort.csv" in (folder / ".gitignore").read_text().splitlines()
    assert "cohort.csv" not in capsys.readouterr().err
    assert run_verb(["check", "cohort.csv"]) == 0
    (folder / "later.csv").write_text("age,dose,ill\nold,1.5,n\n")
    assert run_verb(["check", "later.csv"]) == 2
    before = (folder / "dvc.yaml").read_bytes()
    again = ["init", "cohort.csv", "--target", "ill", "--positive", "y"]
    assert run_verb(again) == 2
    assert run_verb([*again, "--name", "second"]) == 0
    assert (folder / "conf/data/second.yaml").is_file()
    assert (folder / "dvc.yaml").read_bytes() == before
    (folder / "params.yaml").write_text("seed: 0\n")
    capsys.readouterr()
    assert run_verb(["check", "cohort.csv"]) == 2
    assert "names no schema; say which with --data" in capsys.readouterr().err
    assert run_verb(["check", "cohort.csv", "--data", "second"]) == 0


# ---- processes ----


def test_a_project_runs_the_installed_package_whatever_lies_in_its_folder(project, capfd):
    (project / "pipeline").mkdir()
    (project / "pipeline" / "__init__.py").write_text("raise SystemExit(9)")
    (project / "shown.py").write_text("raise SystemExit(9)")
    assert verbs._call(project, "pipeline.report") == 2  # ours: there is no evaluation
    assert "run `dvc repro` to make it" in capfd.readouterr().err
    assert verbs._call(project, "shown") == 1  # not found


def test_a_checkout_runs_its_own_code(folder):
    (folder / "pipeline").mkdir()
    (folder / "pipeline" / "__init__.py").touch()
    (folder / "pipeline" / "report.py").write_text("raise SystemExit(9)")
    assert verbs._call(folder, "pipeline.report") == 9


def test_a_killed_command_ends_as_a_shell_would_say(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(project))
    (project / "dying.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert verbs._call(project, "dying") == 128 + signal.SIGTERM


def test_ctrl_c_reaches_the_command_and_waits_for_it(project):
    """DVC has locks to release: it is not killed while it does."""
    slow = (
        "import time\ntry:\n    print('up', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(1); print('released', flush=True)\n"
    )
    (project / "slow.py").write_text(slow)
    code = (
        "from pathlib import Path; from pipeline.api.verbs import _call;"
        "raise SystemExit(_call(Path('.').resolve(), 'slow'))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=project,
        env={"PYTHONPATH": f"{ROOT}:{project}", "PATH": "/usr/bin:/bin"},
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout.readline() == "up\n"
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("released\n", 0)


@pytest.mark.parametrize("given", [["a=1", "--accept-guesses"], ["--accept-guesses", "a=1"]])
def test_guesses_are_accepted_by_an_option_wherever_it_stands(given):
    parsed = verbs.VERBS["run"].parser("run").parse_args(given)
    assert verbs._asked(parsed) == ["a=1", "data.accept_guesses=true"]
    assert verbs._asked(verbs.VERBS["sweep"].parser("sweep").parse_args(["b=2"])) == ["b=2"]
