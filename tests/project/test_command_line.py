"""What Hydra is asked, and what it is not even told: one line for each mistake."""

import os
import subprocess
import sys

import pytest

from pipeline.files import BadInput
from pipeline.project.command_line import COMPLETION, understood
from tiny import ROOT

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize(
    ("arguments", "checked"),
    [
        (["defense=adv_train", "seed=1"], ["defense=adv_train", "seed=1"]),
        (["-m", "seed=0,1"], ["seed=0,1"]),
        (["seed=0,1", "--multirun"], ["seed=0,1"]),
        (["--cfg", "job", "seed=1"], ["seed=1"]),
        (["train.epochs=3", "audit.eps=[0,0.1]"], ["train.epochs=3", "audit.eps=[0,0.1]"]),
        (["-sc", "query=bash"], []),
        (["--help"], []),
        (["--hydra-help"], []),
        (["--info", "all"], []),
    ],
)
def test_what_hydra_is_asked_is_checked_but_its_own_questions_are_not(arguments, checked):
    assert understood(arguments) == (arguments, checked)


def test_help_is_help():
    assert understood(["help"]) == (["--help"], [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hepl"], "'hepl': expected key=value"),
        (["help", "seed=1"], "'help': expected key=value"),
        (["seed=0,1"], "seed=0,1: these are 2 runs; add -m to sweep"),
        (["defense=a,b", "seed=0,1", "model=mlp"], "defense=a,b seed=0,1: these are 4 runs"),
        (["-m", "--cfg", "job", "seed=0,1"], "--cfg shows one configuration: leave out -m"),
        (["--nonsense"], "--nonsense; `python -m pipeline --help`"),
        (["-c"], "expected"),
    ],
)
def test_a_mistake_is_one_line(arguments, said):
    with pytest.raises(BadInput) as caught:
        understood(arguments)
    assert str(caught.value).startswith("command line: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def ran(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_help_fits_a_screen_and_names_every_group():
    done = ran(sys.executable, "-m", "pipeline", "help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) < 60
    groups = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()} - {"hydra"}
    assert groups <= {line.partition(":")[0] for line in lines}
    assert done.stdout.count("python -m pipeline ") == 6  # five examples, and completion
    assert "--cfg job" in done.stdout


@pytest.mark.slow
def test_a_shell_completes_names():
    done = ran(sys.executable, "-m", "pipeline", "-sc", "install=bash")
    assert done.stdout == COMPLETION
    typed = f"{sys.executable} -m pipeline seed=1 defense=dp"
    script = COMPLETION + (
        f"COMP_WORDS=({typed}); COMP_LINE='{typed}'; COMP_POINT=${{#COMP_LINE}}\n"
        '_medsecure_completion; echo "${COMPREPLY[@]}"'
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    answered = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answered.stdout.split() == ["defense=dp_adv_train", "defense=dp_train"]
