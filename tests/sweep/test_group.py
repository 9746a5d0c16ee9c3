"""A sweep is one group: every job once, paired, on a page, in MLflow; what fails stops nothing."""

import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

import clinic
from pipeline.files import BadInput
from pipeline.report import HEADLINE, REPORT
from pipeline.risks.evasion.measure.examination import RECORDS
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Sources
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.sweep import compared, group, once, staged
from pipeline.sweep.page import CURVES, JOBS
from pipeline.tracking import runs
from report.reader import check
from risks.theft.made_up import made_up as made_up_copies

pytestmark = pytest.mark.heavy
TWO_EPS = [
    ("defense=baseline", "adv_train.eps=0.1"),
    ("defense=baseline", "adv_train.eps=0.3"),
    ("defense=adv_train", "adv_train.eps=0.1"),
    ("defense=adv_train", "adv_train.eps=0.3"),
]


@pytest.fixture(scope="module")
def known():
    """Tables of single jobs: those of the same recipe and seed are the same, whatever its eps."""
    return {}


@pytest.fixture
def sweep(tmp_path, monkeypatch, empty_store, evaluated, composed, known, capsys):
    """Runs sweeps in a root of their own, and counts what is trained.

    Training and examining end with what the tiny clinic's models were and gave away.
    """
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(group, "read_raw", lambda *_: (evaluated.dataset, {}))
    clinic.undrawn(monkeypatch)
    trained, sent = [], []

    def train(name, dataset, plan, cfg):
        trained.append((name, cfg.defenses[name].get("eps"), cfg.seed))
        return evaluated.populations[name]

    def examine(examinee, place, transfer):
        sent.append((examinee.name, examinee.cfg.seed, transfer))
        shutil.copytree(evaluated.examined[examinee.name], place, dirs_exist_ok=True)

    def write(results, context, folder):
        (folder / REPORT).write_text("drawn")

    def draw_up(sources, context):
        key = (*sources.examined, sources.stages is None, context.cfg.seed)
        if key not in known:
            known[key] = draw_up_all(sources, context)
        return known[key]

    monkeypatch.setattr(once, "train_reported", train)
    monkeypatch.setattr(once, "examine", examine)
    monkeypatch.setattr(once, "draw_up_all", draw_up)
    monkeypatch.setattr(once, "write_evaluation", write)
    monkeypatch.setattr(runs, "log_release", lambda *_: None)

    def configuration(overrides):
        (defense,) = (one[8:] for one in overrides if one.startswith("defense="))
        usable = [one for one in overrides if not one.startswith(("defense=", "adv_train."))]
        own = [one for one in overrides if one.startswith(f"{defense}.")]
        return clinic.configuration(composed("threads=1", *usable, *own), (defense,))

    def run(*combinations):
        trained.clear()
        sent.clear()
        asked = [(list(overrides), configuration(overrides)) for overrides in combinations]
        status = group.run_sweep(asked)
        said = capsys.readouterr()
        return SimpleNamespace(
            status=status,
            out=said.out,
            err=said.err,
            trained=list(trained),
            sent=list(sent),
            root=tmp_path,
        )

    run.configuration, run.trained = configuration, trained
    return run


def page_of(root):
    (place,) = (path.parent for path in (root / "sweeps").glob(f"*/{JOBS}"))
    return place


def runs_in(root):
    """The finished runs of MLflow: the sweep, its jobs, and their radii."""
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("medsecure-tiny").experiment_id
    found = client.search_runs([experiment], max_results=1000)
    assert {run.info.status for run in found} <= {"FINISHED", "FAILED"}
    found = [run for run in found if run.info.status == "FINISHED"]
    above = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in found}
    top = [run for run in found if above[run.info.run_id] is None]
    jobs = [run for run in found if above[run.info.run_id] in {run.info.run_id for run in top}]
    rest = [run for run in found if run not in top and run not in jobs]
    return top, jobs, rest


@pytest.mark.slow
def test_a_sweep_trains_each_job_once_compares_them_and_is_one_run(sweep):
    first = sweep(*TWO_EPS)
    assert first.status == 0
    assert first.trained == [("baseline", None, 0), ("adv_train", 0.1, 0), ("adv_train", 0.3, 0)]
    assert first.out.startswith("3 jobs of 4 combinations: the others differ in what they do not")
    rows = [line for line in first.out.splitlines() if line.startswith(("1/3", "2/3", "3/3"))]
    told = [row.replace("*", "").split()[1:3] for row in rows]
    assert told[1:] == [["adv_train", "0.1"], ["adv_train", "0.3"]]
    table, _ = first.out.split("\nPage:")  # a path is as long as it is
    assert max(map(len, table.splitlines())) <= 100

    place = page_of(first.root)
    jobs = pd.read_csv(place / JOBS, keep_default_na=False)
    assert jobs["job"].tolist() == ["baseline", "adv_train (eps=0.1)", "adv_train (eps=0.3)"]
    assert jobs["control"].tolist() == ["", "baseline", "baseline"]
    table = pd.read_csv(place / HEADLINE, keep_default_na=False)
    assert set(table.loc[table["defense"] != "baseline", "verdict"]) <= {
        "better",
        "worse",
        "not told apart",
    }
    along = pd.read_csv(place / CURVES)
    assert set(along["key"]) == {"adv_train.eps"}
    page = check((place / REPORT).read_text(encoding="utf-8"))
    assert any(
        "adv_train (eps=0.3)" in cell for table in page.tables for row in table for cell in row
    )

    (top,), below, points = runs_in(first.root)
    assert len(below) == 3
    assert len(points) == 9
    assert top.data.params["adv_train.eps"] == "0.1,0.3"
    flags = dict(zip(jobs["job"], jobs["flags"], strict=True))
    names = {run.info.run_id: run.info.run_name.partition(" [")[0] for run in below}
    assert set(names.values()) == set(jobs["job"])
    for run in below:
        name = names[run.info.run_id]
        assert run.data.tags["flags"] == (flags[name] or "none")
        assert ("[" in run.info.run_name) == bool(flags[name])

    again = sweep(*TWO_EPS)
    assert (again.status, again.trained) == (0, [])
    assert again.out.splitlines()[-8:] == first.out.splitlines()[-8:]
    assert [len(found) for found in runs_in(first.root)] == [1, 3, 9]


@pytest.mark.slow
def test_a_job_that_fails_costs_one_line_and_the_others_go_on(sweep, monkeypatch):
    whole = once.examine

    def fails(examinee, *rest):
        if examinee.cfg.defenses[examinee.name].get("eps") == 0.1:
            raise BadInput("no such\nluck")
        return whole(examinee, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(once, "examine", fails)
        ran = sweep(*TWO_EPS)
    assert ran.status == 1
    assert "error: adv_train (eps=0.1): no such luck\n" in ran.err
    assert ran.err.splitlines()[-1] == "failed: adv_train (eps=0.1)"
    jobs = pd.read_csv(page_of(ran.root) / JOBS)
    assert jobs["job"].tolist() == ["baseline", "adv_train (eps=0.3)"]
    assert "no such luck" in (page_of(ran.root) / REPORT).read_text(encoding="utf-8")

    mended = sweep(*TWO_EPS)
    assert (mended.status, mended.trained) == (0, [("adv_train", 0.1, 0)])
    assert len(pd.read_csv(page_of(ran.root) / JOBS)) == 3
    assert [len(found) for found in runs_in(ran.root)] == [1, 3, 9]


def test_deltas_that_do_not_fit_are_refused_together_before_anything_is_trained(sweep, tmp_path):
    largest = 1 / 60
    asked = [
        ("defense=baseline",),
        *[("defense=dp_train", f"dp_train.delta={delta}") for delta in (0.0001, largest, 0.5)],
    ]
    with pytest.raises(BadInput) as refused:
        sweep(*asked)
    lines = str(refused.value).splitlines()
    assert [line.split()[1] for line in lines] == ["0.0166667", "0.5"]
    assert all(line.startswith("dp_train.delta: ") for line in lines)
    assert sweep.trained == []
    assert not (tmp_path / "sweeps").exists()
    with pytest.raises(BadInput, match=r"^dp_train\.delta: 0\.5 is not below"):
        group.run_alone(sweep.configuration(asked[-1]), asked[-1])
    assert sweep.trained == []


def test_a_mistake_of_ours_is_one_line_that_says_how_to_see_it(sweep, monkeypatch):
    monkeypatch.setattr(once, "examine", lambda *_: 1 / 0)
    ran = sweep(("defense=baseline",))
    assert ran.status == 1
    assert "ZeroDivisionError" in ran.err
    assert "alone: python -m pipeline defense=baseline" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_a_stopped_sweep_does_what_is_missing(sweep, monkeypatch):
    def stop(name, *rest):
        if name == "adv_train":
            raise KeyboardInterrupt
        return train(name, *rest)

    train = once.train_reported
    with monkeypatch.context() as patch:
        patch.setattr(once, "train_reported", stop)
        with pytest.raises(KeyboardInterrupt):
            sweep(*TWO_EPS)
    again = sweep(*TWO_EPS)
    assert [name for name, *_ in again.trained] == ["adv_train", "adv_train"]
    assert [len(found) for found in runs_in(again.root)] == [1, 3, 9]


@pytest.mark.slow
def test_a_baseline_that_nobody_asked_for_is_run_first_for_each_seed(sweep):
    ran = sweep(("defense=adv_train", "seed=0"), ("defense=adv_train", "seed=1"))
    assert [(name, seed) for name, _, seed in ran.trained] == [
        ("baseline", 0),
        ("adv_train", 0),
        ("baseline", 1),
        ("adv_train", 1),
    ]
    folders = {seed: transfer for name, seed, transfer in ran.sent if name == "adv_train"}
    assert [one for one in ran.sent if one[0] == "baseline"] == [
        ("baseline", 0, None),
        ("baseline", 1, None),
    ]
    assert len(ran.sent) == 4
    for seed, folder in folders.items():  # the records of its own seed
        made = yaml.safe_load((folder.parents[1] / "params.json").read_text(encoding="utf-8"))
        assert (folder.name, made["seed"]) == ("baseline", seed)
        assert (folder / RECORDS).exists()
    assert ran.out.startswith("2 jobs; baseline (seed=0), baseline (seed=1) added, to compare with")
    table = pd.read_csv(page_of(ran.root) / JOBS, keep_default_na=False)
    assert table["control"].tolist() == ["", "baseline (seed=0)", "", "baseline (seed=1)"]


@pytest.mark.slow
def test_all_risks_add_poisoning_and_theft_of_the_jobs_own_recipe(
    sweep, evaluated, monkeypatch, tmp_path
):
    asked = []

    def poison(name, dataset, cfg, place):
        asked.append((name, "poisoning"))
        whole = clinic.stages(evaluated.cfg, dataset, tmp_path / f"stages{len(asked)}")
        for file in (whole / "poisoning").iterdir():
            if name == "baseline" or file.stem == name:
                shutil.copy(file, place)

    def steal(name, dataset, cfg, place):
        asked.append((name, "theft"))
        made_up_copies(0.9).save(place / name)

    measures = {"poisoning": (poison, PoisoningSettings), "theft": (steal, TheftSettings)}
    monkeypatch.setattr(staged, "MEASURES", measures)
    few = sweep(*TWO_EPS)
    assert asked == []
    every = [(*overrides, "risks=all") for overrides in TWO_EPS]
    ran = sweep(*every)
    assert ran.status == 0, ran.err
    assert ran.trained == []  # what was examined before is not examined again
    assert asked == [
        (name, risk)
        for name in ("baseline", "adv_train", "adv_train")
        for risk in ("poisoning", "theft")
    ]
    tables = {
        frozenset(pd.read_csv(path)["risk"]): path
        for path in (few.root / "sweeps").glob(f"*/{HEADLINE}")
    }
    assert sorted("theft" in risks for risks in tables) == [False, True]
    (whole,) = (pd.read_csv(path) for risks, path in tables.items() if "theft" in risks)
    theft = whole[whole["risk"] == "theft"].set_index("defense")
    assert list(theft.index) == ["baseline", "adv_train (eps=0.1)", "adv_train (eps=0.3)"]
    assert theft["verdict"].iloc[1] in ("better", "worse", "not told apart")
    assert {"poisoning"} <= set(whole["risk"])
    sweep(*every)
    assert len(asked) == 6


@pytest.mark.slow
def test_jobs_drawn_up_together_say_what_an_evaluation_of_the_same_models_says(
    evaluated, monkeypatch
):
    """Differences to no defense, and their errors, are those of `evaluate`, to the last digit."""
    from pipeline.risks.conclusions import Conclusions
    from pipeline.sweep.jobs import plan_jobs

    cfg = evaluated.cfg
    monkeypatch.setattr(once.Run, "examined", property(lambda run: evaluated.examined[run.defense]))
    jobs = plan_jobs([([], cfg)])
    runs = [(job, once.Run(job.defense, job.cfg, evaluated.dataset, "key", True)) for job in jobs]
    said = compared.compare_jobs(runs)
    results = draw_up_all(Sources(evaluated.examined), evaluated.context)
    wanted = Conclusions.of(results, cfg)
    key = ["risk", "figure", "defense"]
    pd.testing.assert_frame_equal(
        said.headlines.sort_values(key).reset_index(drop=True),
        wanted.headlines.sort_values(key).reset_index(drop=True),
    )
    assert said.front == wanted.front


def test_a_run_alone_is_shown_and_compared_with_nobody(sweep, capsys, tmp_path):
    overrides = ["defense=adv_train", "adv_train.eps=0.1"]
    group.run_alone(sweep.configuration(overrides), overrides)
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("adv_train")]
    assert "(" in row
    assert not list((tmp_path / "sweeps").glob(f"*/{JOBS}"))
    (run,), _, _ = runs_in(tmp_path)
    assert run.info.run_name.startswith("adv_train (eps=0.1)")
