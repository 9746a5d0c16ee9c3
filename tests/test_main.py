"""The command line: one job, a sweep, a sweep that is killed, and mistakes."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

import brought
import tiny
from pipeline.__main__ import is_sweep
from pipeline.files import BadInput
from pipeline.params import check_command_line, configured

pytestmark = pytest.mark.heavy

SMALL = [
    "threads=1",
    "train.epochs=2",
    "plan.folds=2",
    "plan.seeds=1",
    "audit.eps=[0.0,0.1]",
    "audit.resamples=100",
]
SMALL += [
    "model=linear",
    "membership.attacks=[loss]",
    "membership.targets=4",
    "membership.second_seeds=2",
    "inversion.victims=1",
    "inversion.candidates=2",
]
CHEAP = [
    "attack=[noise,fgsm]",
    "threat=clinical",
    "threat.clinical.boxes=1",
]  # proofs over thirty measurements take minutes


@pytest.fixture
def place(tmp_path):
    """A root with `conf/` and the bundled data set."""
    (tmp_path / "conf").symlink_to(tiny.ROOT / "conf")
    return tmp_path


def start(place, *arguments, known_root=True):
    environment = os.environ | {
        "DVC_ROOT": str(place),
        "PYTHONPATH": str(tiny.ROOT),
        "OMP_NUM_THREADS": "1",
    }
    for absent in ["MLFLOW_TRACKING_URI", *([] if known_root else ["DVC_ROOT"])]:
        environment.pop(absent, None)
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=place,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finished(place):
    """The folders of jobs; beside them lies the page of their sweep."""
    return [
        path.parent
        for path in place.glob("sweeps/*/params.json")
        if not path.parent.name.startswith(".")
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_sweep_goes_on_where_it_stopped(place):
    sweep = ["-m", *SMALL, *CHEAP, "data=breast_cancer", "defense=baseline", "seed=0,1"]
    process = start(place, *sweep)
    for _ in range(600):
        if finished(place) or process.poll() is not None:
            break
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(finished(place)) == 1
    out, err = start(place, *sweep).communicate()
    assert len(finished(place)) == 2, err
    rows = [line.split()[:3] for line in out.splitlines() if line[:2] in ("1/", "2/")]
    named = [[at, name.rstrip("*"), seed] for at, name, seed in rows]  # a star: it is flagged
    assert named == [["1/2", "baseline", "0"], ["2/2", "baseline", "1"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adv_train.eps=0.1,-1"], r"adv_train\.eps: input should be greater than 0, not -1"),
        (["defense=baseline,adv_trian"], "Could not find 'defense/adv_trian'"),
        (["dp_train.epsilon=0.5,abc"], r"dp_train\.epsilon: .*'abc'"),
        (["tran.epochs=3"], r"tran\.epochs: did you mean 'train\.epochs'"),
        (["theft.budget=9"], r"theft\.budget: did you mean 'theft\.budgets'"),
        (["theft.queries=9"], r"theft\.queries: theft has access, budgets, .*victims$"),
        (["seed=1,"], "command line"),
    ],
)
def test_a_mistake_in_any_job_is_one_line_before_the_first_job(arguments, message):
    with pytest.raises(BadInput, match=message) as caught:
        check_command_line(arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_mistake_ends_with_status_two(place):
    process = start(place, "-m", "defense=baseline,basline")
    out, err = process.communicate()
    assert process.returncode == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert not (place / "mlflow.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["-m"]], ids=["alone", "sweep"])
def test_a_delta_that_does_not_fit_the_cohort_is_one_line_before_the_first_job(place, flags):
    process = start(
        place, *flags, *SMALL, "data=breast_cancer", "defense=dp_train", "dp_train.delta=0.01"
    )
    out, err = process.communicate()
    assert process.returncode == 2
    assert out == ""
    assert err.splitlines()[-1].startswith("error: dp_train.delta: 0.01 is not below 1 / records")
    assert finished(place) == []


@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        (["-m", "seed=0,1"], True),
        (["seed=0,1", "--multirun"], True),
        (["seed=0"], False),
        (["-m", "--cfg", "job"], False),
        (["-m", "--help"], False),
        ([], False),
    ],
)
def test_a_sweep_is_ours_and_what_else_is_asked_of_hydra_is_not(arguments, ours):
    assert is_sweep(arguments) is ours


@pytest.mark.slow
def test_a_preset_may_adjust_a_defense_that_is_not_chosen(place):
    text = "# @package _global_\ndp_train: {steps: 7}\n"
    conf = place / "own"
    conf.mkdir()
    for path in (tiny.ROOT / "conf").iterdir():
        if path.name != "experiment":
            (conf / path.name).symlink_to(path)
    (conf / "experiment").mkdir()
    (conf / "experiment" / "short.yaml").write_text(text)
    assert set(configured(["defense=baseline", "experiment=short"], conf).defenses) == {"baseline"}
    assert (
        configured(["defense=dp_train", "experiment=short"], conf).defenses["dp_train"]["steps"]
        == 7
    )
    assert list(configured(["defense=[baseline,distill]"], conf).defenses) == [
        "baseline",
        "distill",
    ]


@pytest.mark.slow
def test_a_folder_below_the_root_is_as_good_as_the_root(place):
    """Composed from the root's `conf/`, and nothing is left where it was started."""
    (place / "dvc.yaml").touch()
    below = place / "Ärzte und Daten"
    below.mkdir()
    process = start(
        below,
        "-m",
        "defense=baseline",
        "seed=0,1",
        "plan.folds=600",
        "data=breast_cancer",
        known_root=False,
    )
    _, err = process.communicate()
    said = "error: plan.folds: 600 folds" in err  # once for both jobs, before the first
    assert (process.returncode, said) == (2, True), err
    assert not (place / "mlflow.db").exists()
    assert list(below.iterdir()) == []


@pytest.mark.slow
def test_a_model_behind_an_address_is_audited_and_nothing_is_asked_twice(place):
    def answer(records):
        return [1 / (1 + 2.718 ** (one["mean_radius"] - 15)) for one in records]

    with brought.served(answer) as (address, sent):
        asked = ["defense=baseline", "experiment=deployed", f"model.source={address}"]
        asked += ["data=breast_cancer", "audit.sample=12", "audit.eps=[0.0,0.1]", "threat=clinical"]
        asked += ["attack=[noise,square,hop_skip_jump]", "attack.square.queries=5"]
        asked += ["attack.hop_skip_jump.queries=30", "attack.hop_skip_jump.samples=5"]
        asked += ["risks=examined", "threads=1"]
        done = start(place, *asked)
        out, err = done.communicate(timeout=200)
        assert done.returncode == 0, err
        every = [str(one) for some in sent for one in some]
        probes, patients = every[: 2 * 256 + 8], every[2 * 256 + 8 :]
        told = re.search(rf"asked {address} about (\d+) records; none is asked about again", out)
        count = len(sent)
        again = start(place, *asked)
        assert again.communicate(timeout=200)[0].count("page: sweeps/") == 1
        later = [str(one) for some in sent[count:] for one in some]
    # records of nobody are asked about at the beginning of each, and once more where it is opened
    new = [one for one in patients if one not in set(probes)]
    assert len(new) == len(set(new)) == int(told[1])
    assert set(later) <= set(probes)
    for kept in place.glob("sweeps/answers/*"):
        assert b"mean_radius" not in kept.read_bytes()
