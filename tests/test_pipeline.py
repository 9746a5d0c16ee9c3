"""The whole road in a repository of its own: fetch, run, again, break, kill, experiment."""

import io
import json
import os
import re
import resource
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pandas as pd
import pytest
import yaml

import tiny
from pipeline import params
from search import records_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = [
    "experiment=smoke",
    "threads=1",
    "threat.unconstrained.exact_to=0.1",
    "train.epochs=4",
    "plan.seeds=1",
    "dp_train.steps=20",
    "distill.epochs=6",
    "model.hidden=[16,16]",
    "audit.resamples=100",
    "frontier.models={mlp:[8]}",
    "frontier.boxes=2",
    "frontier.targets=4",
    "frontier.canaries=16",
    "membership.canaries=16",
    "partition.parts=10",
    "poisoning.doses=[1]",
    "poisoning.filters=[majority]",
    "theft.budgets=[10]",
    "theft.headline_budget=10",
    "theft.steps=5",
]
DVC = [sys.executable, "-m", "dvc"]
ABSENT = ("DVC_ROOT", "MLFLOW_TRACKING_URI", "DVC_STAGE")


class Repository:
    """A clone of the files that git tracks, with commands that run inside it."""

    def __init__(self, root):
        self.root = root
        self.environment = os.environ | {
            "PYTHONPATH": str(root),
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@t",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@t",
            "DVC_SITE_CACHE_DIR": str(root / ".dvc" / "tmp" / "site"),
        }
        for name in ABSENT:
            self.environment.pop(name, None)

    def run(self, *command):
        return subprocess.run(
            [*map(str, command)],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def well(self, *command):
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def module(self, name, *arguments, **environment):
        """What `python -m name` does here and says, without a process that imports all anew."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for absent in ABSENT:
                patch.delenv(absent, raising=False)
            for variable, value in environment.items():
                patch.setenv(variable, value)
            patch.chdir(self.root)
            patch.setattr(sys, "argv", [name, *arguments])
            patch.delitem(sys.modules, name, raising=False)  # it runs anew, as __main__
            try:
                runpy.run_module(name, run_name="__main__")
                status = 0
            except SystemExit as end:
                status = end.code
        return subprocess.CompletedProcess(name, status, out.getvalue(), err.getvalue())

    def stage(self, name, **environment):
        """Runs a stage's command, as `dvc.yaml` has it."""
        stages = yaml.safe_load((self.root / "dvc.yaml").read_text())["stages"]
        _, _, module, *arguments = stages[name]["cmd"].split()
        return self.module(module, *arguments, **environment)

    @property
    def stages(self):
        """Every stage that DVC knows, by name."""
        return self.well(*DVC, "stage", "list", "--name-only").split()

    @property
    def cfg(self):
        return params.load(self.root / "params.yaml")

    def bytes_of(self, folder="artifacts"):
        """What lies in a folder, hidden leftovers included."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file()
        }


def clone(root):
    """A repository of its own with the files that git tracks here."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=tiny.ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if not name.startswith(("docs/", "tests/", "benchmarks/")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tiny.ROOT / name, root / name)
    repository = Repository(root)
    repository.well("git", "init", "-q")
    repository.well("git", "add", "-A")
    repository.well("git", "commit", "-qm", "clone")
    return repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Cloned, fetched, composed and run once; the tests come in the order of a person's steps."""
    repository = clone(tmp_path_factory.mktemp("clone"))
    repository.well(*DVC, "pull", "-q", "data.dvc")
    repository.well(sys.executable, "-m", "pipeline.params", *SMALL)
    repository.output = repository.well(*DVC, "repro")
    return repository


def test_every_stage_writes_its_own_folder(repository):
    artifacts = repository.root / "artifacts"
    places = [stage.removeprefix("extra@").replace("@", "/") for stage in repository.stages]
    for stage, place in zip(repository.stages, places, strict=True):
        assert (artifacts / place).is_dir()
        assert f"Running stage '{stage}'" in repository.output
    assert {path.name for path in artifacts.iterdir()} == {place.split("/")[0] for place in places}


def test_the_comparison_holds_every_defense_threat_and_radius(repository):
    table = pd.read_csv(repository.root / "artifacts/evaluate/comparison.csv")
    wanted = [
        "defense",
        "threat",
        "eps",
        "clean_accuracy",
        "auroc",
        "robust_accuracy",
        "robust_low",
        "robust_high",
        "sensitivity",
        "missed_diagnosis_rate",
        "verified_accuracy",
        "undecided",
        "atlas",
        "flags",
    ]
    assert set(wanted) <= set(table.columns)
    cfg = repository.cfg
    radii = [len(threat.eps or cfg.audit.eps) for threat in cfg.threat.values()]
    assert len(table) == len(cfg.defenses) * sum(radii)
    assert set(table["defense"]) == set(cfg.defenses)
    assert not table[wanted[:-1]].isna().any().any()
    for _, curve in table.groupby(["defense", "threat"]):
        assert curve["robust_accuracy"].is_monotonic_decreasing


def test_every_patient_has_a_proof_under_the_clinical_threat(repository):
    folder = repository.root / "artifacts/evaluate"
    table = pd.read_csv(folder / "comparison.csv")
    clinical = table[table["threat"] == "clinical"]
    assert (clinical["undecided"] == 0).all()
    assert (clinical["verified_accuracy"] == clinical["robust_accuracy"]).all()
    patients = pd.read_parquet(folder / "patients.parquet")
    records = len(pd.read_csv(repository.root / "data/pima.csv"))
    assert len(patients) == len(repository.cfg.defenses) * records
    assert patients["decided"].all()
    turned = patients[patients["correct"] & (patients["breaks_at"] < float("inf"))]
    assert turned["change"].str.contains("→").all()
    assert (turned["margin_after"] <= 0).all()  # at the model's own line, wherever it is


def test_a_broken_record_is_broken_in_the_stored_model_too(repository):
    """The change that the table names, typed into the record, turns the stored model's answer."""
    from pipeline.data.plan import Plan
    from pipeline.data.schema import load_dataset
    from pipeline.models.networks import Networks
    from pipeline.serving.release import DECISION, answers
    from pipeline.verify.out_of_fold import Proofs

    artifacts = repository.root / "artifacts"
    dataset, plan = (
        load_dataset(artifacts / "prepare"),
        Plan.load(artifacts / "prepare/plan.safetensors"),
    )
    population = Networks.load(artifacts / "train_baseline")
    proof = Proofs.load(artifacts / "attack/evasion/verified/clinical.safetensors")
    model_of = {
        int(patient): row
        for row in range(plan.size)
        for patient in plan.held_out[row].nonzero()[:, 0]
    }
    broken = (proof.breaks_at[0].isfinite() & (proof.margin[0] > 0)).nonzero()[:, 0].tolist()
    assert len(broken) > 50
    for at in broken[::7]:
        patient = int(proof.patients[at])
        member = population.select([model_of[patient]])
        decimals = [
            max(0, -int(f"{feature.step:e}".split("e")[1])) for feature in dataset.schema.features
        ]
        typed = [
            round(value, d)
            for value, d in zip(
                proof.counterexample[0, at].double().tolist(), decimals, strict=True
            )
        ]
        answer = answers(
            member, dataset.schema, pd.DataFrame([typed], columns=list(dataset.schema.names))
        )
        said = dataset.schema.classes.index(answer[DECISION].iloc[0])
        assert said != int(dataset.y[patient])


def test_the_summary_ends_with_two_lines_that_help(repository):
    lines = repository.module("pipeline.report").stdout.rstrip().splitlines()
    assert "make ui" in lines[-2]
    assert "artifacts/evaluate/report.html" in lines[-1]


def test_mlflow_holds_a_run_per_defense_and_radius(repository):
    with sqlite3.connect(repository.root / "mlflow.db") as database:
        names = [
            name for (name,) in database.execute("select name from runs where status = 'FINISHED'")
        ]
    cfg = repository.cfg
    assert len([name for name in names if ", attack_eps " not in name]) == len(cfg.defenses)
    assert len(names) == len(cfg.defenses) * (1 + len(cfg.audit.eps))


def test_mlflow_holds_no_record_of_the_cohort(repository):
    from pipeline.data.schema import load_dataset

    cohort = load_dataset(repository.root / "artifacts/prepare")
    places = [repository.root / "mlartifacts", repository.root / "mlflow.db"]
    assert records_in(repository.root / "data", cohort)
    assert [records_in(place, cohort) for place in places] == [{}, {}]


def test_nothing_runs_the_second_time(repository):
    before = repository.bytes_of()
    output = repository.well(*DVC, "repro")
    assert "Running stage" not in output
    assert "up to date" in output
    assert repository.bytes_of() == before


# ---- what an edit runs again ----


def to_run(repository):
    """The stages that a `dvc repro` would run now."""
    said = repository.well(*DVC, "repro", "--dry")
    return set(re.findall(r"^Running stage '([^']+)'", said, re.MULTILINE))


@pytest.mark.parametrize(
    "file",
    [
        "pipeline/risks/poisoning/report.py",
        "pipeline/risks/evasion/tables.py",
        "pipeline/report/templates/page.html.jinja",
        "pipeline/tracking/runs.py",
        "pipeline/presentation/numbers.py",
    ],
)
def test_an_edit_of_what_shows_results_runs_evaluate_alone(restored, file):
    path = restored.root / file
    path.write_text(path.read_text() + "\n")
    assert to_run(restored) == {"evaluate"}


def test_another_limit_is_held_against_what_there_is(restored):
    composed(restored, lambda v: v["gate"].update(unclear="warn"))
    assert to_run(restored) == {"gate"}


def test_an_edit_of_one_attack_runs_only_what_attacks(restored):
    composed(restored, lambda v: v["attack"]["pgd_margin"].update(steps=6))
    examined = {f"examine@{name}" for name in restored.cfg.examine}
    # `prepare` looks whether what is asked of the cohort fits into memory; its bytes are the same
    assert to_run(restored) == {"prepare", "attack", *examined, "evaluate"}


def test_an_edit_of_one_defense_runs_what_knows_it(restored):
    composed(restored, lambda v: v["distill"].update(epochs=7))
    assert to_run(restored) == {"distill", "examine@distill", "poisoning", "theft", "evaluate"}


def test_dvc_shows_metrics_and_plots(repository):
    shown = json.loads(repository.well(*DVC, "metrics", "show", "--json"))
    figures = shown[""]["data"]
    assert {path.rpartition("/")[2] for path in figures} == {
        f"{name}.json" for name in repository.cfg.defenses
    }
    repository.well(*DVC, "plots", "show", "-q", "-o", "plots")
    page = (repository.root / "plots" / "index.html").read_text()
    for title in ("Missed diagnoses", "Right answers", "trigger", "Fidelity"):
        assert title in page


def test_the_same_seed_gives_the_same_bytes(repository):
    before = repository.bytes_of()
    for stage in ("prepare", "train_baseline", "attack"):
        assert repository.stage(stage).returncode == 0
    assert repository.bytes_of() == before


# ---- bad input: one line, status 2, earlier results untouched ----


def raw(repository, change):
    path = repository.root / "data" / "pima.csv"
    path.write_text(change(path.read_text()))


def composed(repository, change):
    path = repository.root / "params.yaml"
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values))


def weights(repository, change):
    path = repository.root / "artifacts/train_baseline/population.safetensors"
    path.write_bytes(change(path.read_bytes()))


MISTAKES = {
    "no file": (
        "prepare",
        lambda r: (r.root / "data" / "pima.csv").unlink(),
        "data/pima.csv: not found",
    ),
    "empty file": ("prepare", lambda r: raw(r, lambda _: ""), "data/pima.csv: the file is empty"),
    "out of range": (
        "prepare",
        lambda r: raw(r, lambda t: t.replace("6,148,", "6,9999,", 1)),
        "line 2, column 'glucose': 9999",
    ),
    "too many folds": (
        "prepare",
        lambda r: composed(r, lambda v: v["plan"].update(folds=400)),
        "plan.folds: 400 folds",
    ),
    "unknown key": (
        "attack",
        lambda r: composed(r, lambda v: v["train"].update(epoch=3)),
        "epoch: unknown key; did you mean",
    ),
    "negative eps": (
        "attack",
        lambda r: composed(r, lambda v: v["audit"].update(eps=[0, -1])),
        "audit.eps",
    ),
    "epsilon 0": (
        "dp_train",
        lambda r: composed(r, lambda v: v["dp_train"].update(epsilon=0.0)),
        "dp_train.epsilon",
    ),
    "delta 1/n": (
        "dp_train",
        lambda r: composed(r, lambda v: v["dp_train"].update(delta=0.01)),
        "dp_train.delta: 0.01 is",
    ),
    "truncated weights": (
        "attack",
        lambda r: weights(r, lambda b: b[:-50]),
        "population.safetensors",
    ),
    "tampered weights": (
        "attack",
        lambda r: weights(r, lambda b: b[:-1] + bytes([b[-1] ^ 1])),
        "damaged or exchanged",
    ),
    "no plan": (
        "attack",
        lambda r: (r.root / "artifacts/prepare/plan.safetensors").unlink(),
        "plan.safetensors",
    ),
}


@pytest.fixture
def restored(repository):
    """The repository, put back as it was afterwards."""
    kept = {name: repository.bytes_of(name) for name in ("artifacts", "data", "pipeline")}
    text = (repository.root / "params.yaml").read_bytes()
    yield repository
    for folder, files in kept.items():
        for name in repository.bytes_of(folder):
            if name not in files:
                (repository.root / name).unlink()
        for name, content in files.items():
            if (
                not (repository.root / name).exists()
                or (repository.root / name).read_bytes() != content
            ):
                (repository.root / name).unlink(missing_ok=True)
                (repository.root / name).write_bytes(content)
    (repository.root / "params.yaml").write_bytes(text)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_the_results_alone(restored, mistake):
    stage, make, message = MISTAKES[mistake]
    make(restored)
    before = restored.bytes_of()
    done = restored.stage(stage)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert restored.bytes_of() == before


def test_a_mistake_ends_the_process_with_status_two(restored):
    """In a process of its own, as DVC starts it; the others share this one."""
    raw(restored, lambda _: "")
    done = restored.run(sys.executable, "-m", "pipeline.stages.prepare")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: data/pima.csv: the file is empty")
    assert done.stderr.count("\n") == 1


def test_an_unreachable_server_is_one_line_before_the_work(restored):
    before = restored.bytes_of()
    done = restored.stage(
        "evaluate", MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "http://127.0.0.1:9" in done.stderr
    assert restored.bytes_of() == before


@contextmanager
def full_disk():
    """No file may grow beyond 4 KiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("stage", ["prepare", "train_baseline", "attack"])
def test_a_full_disk_is_one_line_and_leaves_the_results_alone(restored, stage):
    before = restored.bytes_of()
    with full_disk():
        done = restored.stage(stage)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "earlier results are untouched" in done.stderr
    assert restored.bytes_of() == before


# ---- killed midway ----

HALF_WRITTEN = """
import os, signal, sys
from pipeline import stages
from pipeline.models import networks
from pipeline.stages.train import train_one

def save(self, folder):
    (folder / "population.safetensors").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

networks.Networks.save = save
sys.argv[1:] = ["train_baseline"]
stages.run(train_one)
"""


def test_a_stage_killed_while_writing_leaves_the_earlier_result(restored):
    before = restored.bytes_of()
    done = restored.run(sys.executable, "-c", HALF_WRITTEN)
    assert done.returncode == -signal.SIGKILL
    left = {name: content for name, content in restored.bytes_of().items() if "/." not in name}
    assert left == before
    assert "Running stage" not in restored.well(*DVC, "repro")
    assert restored.stage("train_baseline").returncode == 0  # clears what the dead process left
    assert restored.bytes_of() == before


def test_a_killed_repro_is_completed_by_the_next(restored):
    assert restored.module("pipeline.params", *SMALL, "seed=7").returncode == 0
    process = subprocess.Popen(
        [*DVC, "repro", "train_baseline"],
        cwd=restored.root,
        env=restored.environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if "Running stage 'train_baseline'" in line:
            break
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    output = restored.well(*DVC, "repro", "train_baseline")
    assert "Running stage 'train_baseline'" in output
    assert not [name for name in restored.bytes_of() if "/." in name]


# ---- experiments ----


def test_an_experiment_composes_the_same_bytes_as_make_params(repository):
    repository.well(
        *DVC, "exp", "run", "-q", "prepare", "-S", "adv_train.eps=0.1", "-S", "attack=fgsm"
    )
    written = (repository.root / "params.yaml").read_text()
    assert written == params.compose(["adv_train.eps=0.1", "attack=fgsm"], tiny.ROOT / "conf")


def test_an_experiment_with_an_unknown_key_is_refused(repository):
    before = (repository.root / "params.yaml").read_bytes()
    assert repository.run(*DVC, "exp", "run", "-S", "adv_train.epz=0.1").returncode != 0
    assert (repository.root / "params.yaml").read_bytes() == before


# ---- a cohort of one's own ----

FETCH = (
    "pull",
    "--remote",
    "repository",
    "data.dvc",
)  # what `make repro` does where the file is absent


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """A clone with an own cohort, `data=ward`, and a stray file in `data/`; nothing was run."""
    repository = clone(tmp_path_factory.mktemp("ward"))
    root = repository.root
    repository.well(*DVC, *FETCH)
    (root / "data" / "local").mkdir()
    shutil.copy(root / "data" / "pima.csv", root / "data" / "stray.csv")
    schema = (root / "conf/data/pima.yaml").read_text().replace("name: pima", "name: ward")
    (root / "conf/data/ward.yaml").write_text(
        schema.replace("file: data/pima.csv", "file: data/local/ward.csv")
    )
    header, *lines = (root / "data" / "pima.csv").read_text().splitlines()
    mixed = [
        first.rpartition(",")[0].replace("0.", "1.") + "," + first[-1] for first in lines[:200]
    ]
    (root / "data/local/ward.csv").write_text("\n".join([header, *mixed]) + "\n")
    repository.well(sys.executable, "-m", "pipeline.params", "data=ward")
    return repository


def files_of_the_remote(repository):
    return sorted(
        path.name for path in (repository.root / ".dvc/remote").rglob("*") if path.is_file()
    )


def test_an_own_cohort_is_prepared_beside_stray_files_and_an_edit_of_it_is_noticed(ward):
    tracked = (ward.root / "data.dvc").read_bytes()
    ward.well(*DVC, *FETCH)
    assert "Running stage 'prepare'" in ward.well(*DVC, "repro", "prepare")
    assert "Running stage" not in ward.well(*DVC, "repro", "prepare")
    records = ward.root / "artifacts/prepare/records.parquet"
    before = pd.read_parquet(records)
    own = ward.root / "data/local/ward.csv"
    own.write_text(own.read_text().rpartition("\n")[0].rpartition("\n")[0] + "\n")
    assert "Running stage 'prepare'" in ward.well(*DVC, "repro", "prepare")
    assert len(pd.read_parquet(records)) == len(before) - 1
    assert (ward.root / "data.dvc").read_bytes() == tracked
    assert (ward.root / "data/stray.csv").exists()


@pytest.mark.parametrize("path", ["data/local/ward.csv", "data/local", "data/stray.csv"])
def test_dvc_refuses_to_track_an_own_file_in_one_line(ward, path):
    done = ward.run(*DVC, "add", path)
    assert done.returncode != 0
    assert done.stderr.startswith("ERROR: ")
    assert (done.stderr.count("\n"), path in done.stderr) == (1, True)


def test_no_push_takes_an_own_file_into_the_remote_inside_the_repository(ward):
    """Not even by force: then nothing of it can enter git."""
    bundled = files_of_the_remote(ward)
    for command in (["push"], ["push", "--run-cache"]):
        done = ward.run(*DVC, *command)
        assert "no remote specified" in done.stdout + done.stderr
    ward.well(*DVC, "push", "--remote", "repository", "--run-cache")
    ward.well(*DVC, "add", "-q", "data")  # the whole folder: all but the bundled file is ignored
    ward.well(*DVC, "push", "--remote", "repository")
    objects = "".join(path.read_text() for path in (ward.root / ".dvc/remote").rglob("*.dir"))
    assert set(files_of_the_remote(ward)) - set(bundled) <= {"d8ba8ea1ac4ed924b13a0030d9f772.dir"}
    assert objects.count("relpath") == objects.count("pima.csv")
    ward.well("git", "checkout", "-q", "data.dvc")
    (ward.root / "own").mkdir()
    shutil.copy(ward.root / "data/stray.csv", ward.root / "own")
    (ward.root / "own/stray.csv").write_text("a,b\n1,2\n")
    ward.well(*DVC, "add", "-q", "own/stray.csv")
    assert ward.run(*DVC, "push").returncode != 0
    assert len(files_of_the_remote(ward)) <= len(bundled) + 1
    ward.well(*DVC, "push", "--remote", "repository")
    assert len(files_of_the_remote(ward)) > len(bundled)  # by force it lies there,
    seen = ward.well("git", "status", "--short", "--untracked-files=all", ".dvc", "data")
    assert seen == ""  # and git does not see it


def test_the_bundled_file_is_not_pushed_when_somebody_wrote_own_records_into_it(ward):
    bundled = files_of_the_remote(ward)
    path = ward.root / "data/pima.csv"
    original = path.read_bytes()
    path.write_text((ward.root / "data/local/ward.csv").read_text())
    ward.well(*DVC, "commit", "-q", "--force", "data.dvc")
    ward.well(*DVC, "push", "--remote", "repository", "data.dvc")
    assert files_of_the_remote(ward) == bundled
    path.write_bytes(original)
    ward.well("git", "checkout", "-q", "data.dvc")


def test_a_data_set_of_scikit_learn_is_prepared_without_a_file(ward):
    ward.well(sys.executable, "-m", "pipeline.params", "experiment=breast_cancer")
    assert "569 records" in ward.well(*DVC, "repro", "prepare")
    assert "Running stage" not in ward.well(*DVC, "repro", "prepare")


# ---- images ----

SMALL_IMAGES = [
    "experiment=digits",
    "threads=1",
    "plan.folds=3",
    "plan.seeds=1",
    "train.epochs=2",
    "distill.epochs=2",
    "dp_train.steps=10",
    "audit.resamples=100",
    "audit.sample=200",
    "attack.apgd_ce.steps=3",
    "attack.apgd_margin.steps=3",
    "attack.pgd_ce.steps=3",
    "attack.pgd_margin.steps=3",
    "attack.square.queries=10",
    "threat.pixels.boxes=1",
    "threat.pixels_missed.boxes=1",
    "membership.targets=4",
    "membership.canaries=64",
    "frontier.targets=4",
    "frontier.canaries=64",
    "frontier.epsilons=[1.0]",
    "poisoning.attacks=[backdoor]",
    "poisoning.doses=[0.05]",
    "poisoning.filters=[]",
]


@pytest.fixture(scope="module")
def of_images(tmp_path_factory):
    """Handwritten digits, through every stage that serves images."""
    repository = clone(tmp_path_factory.mktemp("images"))
    repository.well(sys.executable, "-m", "pipeline.params", *SMALL_IMAGES)
    repository.output = repository.well(*DVC, "repro")
    return repository


def test_images_go_through_the_whole_pipeline(of_images):
    evaluated = of_images.root / "artifacts/evaluate"
    table = pd.read_csv(evaluated / "comparison.csv")
    assert set(table["defense"]) == {"baseline", *of_images.cfg.examine}
    assert set(table["eps_unit"]) == {"grey levels, each pixel"}
    for stage in ("logistic", "partition"):
        assert f"{stage}: not for images" in of_images.output
    page = (evaluated / "report.html").read_text(encoding="utf-8")
    assert "What a forged image looks like" in page
    assert "every pixel is forged by at most" in page
    assert (evaluated / "poisoning.csv").exists()
    assert (evaluated / "theft.csv").exists()
    assert (evaluated / "membership.csv").exists()


def test_no_attack_on_images_left_the_threat_or_beat_a_proof(of_images):
    for place in ("attack", *(f"examine/{name}" for name in of_images.cfg.examine)):
        found = of_images.root / "artifacts" / place / "evasion/diagnostics.json"
        checks = json.loads(found.read_text())
        assert checks["violations"] == checks["attack_beats_proof"] == 0


# ---- another kind of model ----


def test_a_forest_goes_through_every_stage_and_its_page_names_what_could_not_be_asked(
    tmp_path_factory,
):
    """Every attack is configured, and those along gradients do not apply: FGSM among them."""
    repository = clone(tmp_path_factory.mktemp("forest"))
    records = tiny.ROOT / "data" / "pima.csv"
    if not records.exists():
        pytest.skip("data/pima.csv is not here")
    few = [one for one in SMALL if not one.startswith(("model.", "threat."))]
    few += ["model=forest", "model.trees=5", "model.depth=4", "examine=[logistic]"]
    few += ["threat=[clinical]", "plan.folds=2", "membership.targets=4"]
    (repository.root / "data").mkdir(exist_ok=True)
    shutil.copy(records, repository.root / "data")
    assert repository.module("pipeline.params", *few).returncode == 0
    stages = yaml.safe_load((repository.root / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        items = {"extra": [], "examine": ["logistic"]}.get(name, [""])
        command = stage.get("do", stage)["cmd"]
        for item in items:
            _, _, module, *arguments = command.replace("${item}", item).split()
            done = repository.module(module, *arguments)
            assert done.returncode == 0, (name, done.stderr)
    evaluated = repository.root / "artifacts/evaluate"
    asked = pd.read_csv(evaluated / "evasion_not_applicable.csv").set_index("what")
    assert asked.loc["fgsm", "why"] == "it needs gradients, and the model gives scores alone"
    page = (evaluated / "report.html").read_text(encoding="utf-8")
    assert "it needs gradients, and the model gives scores alone" in page
    table = pd.read_csv(evaluated / "comparison.csv").set_index("defense")
    assert set(table.index) == {"baseline", "logistic"}
    assert not table["robust_accuracy"].isna().any()
    assert table["accuracy_fgsm"].isna().groupby(level=0).all().to_dict() == {
        "baseline": True,
        "logistic": False,
    }
