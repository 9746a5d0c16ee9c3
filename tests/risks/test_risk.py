"""The protocol: who shows results names no risk, and who only checks waits for nothing."""

import pickle
import re
import subprocess
import sys

import pandas as pd
import pytest

from pipeline.risks import RISKS
from pipeline.risks.risk import Context, Judgement, nearest_of, own
from pipeline.sweep.keys import STAGED
from pipeline.sweep.staged import MEASURES
from report.made_up import HEARD, RUMOUR, SILENCE
from tiny import ROOT

pytestmark = pytest.mark.heavy

NAMES = [risk.name for risk in RISKS]
# They learn from `RISKS` alone what there is, so that a new risk is no edit of any of them.
NAMELESS = [
    "report",
    "tracking",
    "presentation",
    "config",
    "params.py",
    "validation.py",
    "sweep",
    "__main__.py",
    "risks/risk.py",
    "risks/results.py",
]


# the one list that is wired by hand, of what a sweep measures by stages of their own
BY_NAME = ("staged.py",)


def sources(place):
    found = ROOT / "pipeline" / place
    return [found] if found.is_file() else sorted({*found.rglob("*.py"), *found.rglob("*.jinja")})


def names_in(text):
    """Names of risks as words, in code, comments and prose alike."""
    return {name for name in NAMES if re.search(rf"(?<![a-z]){name}(?![a-z])", text.lower())}


def test_a_name_is_found_wherever_it_stands():
    text = f"# {NAMES[0]}\nclass {NAMES[1].title()}Thing:\n    x_{NAMES[2]}_y = 1"
    assert names_in(text) == {NAMES[0], NAMES[2]}
    assert names_in(f"{NAMES[0]}s") == set()


@pytest.mark.parametrize("place", NAMELESS)
def test_who_shows_logs_or_checks_results_names_no_risk(place):
    files = sources(place)
    assert files
    for file in files:
        if file.name in BY_NAME:
            continue
        assert names_in(file.read_text(encoding="utf-8")) == set(), file


def test_the_one_list_that_names_risks_is_what_they_say_of_themselves():
    assert tuple(MEASURES) == STAGED == tuple(one.name for one in RISKS if one.staged == "each")


def test_who_has_a_stage_of_its_own_says_so():
    stages = {path.stem for path in (ROOT / "pipeline" / "stages").glob("*.py")}
    assert {risk.name for risk in RISKS if risk.staged} == {*NAMES} & stages


def test_a_defense_is_shown_with_what_speaks_against_it(dataset, cfg):
    judged = {"masked": Judgement({"masked_mouth": "why", "deaf": "why"}), "baseline": Judgement()}
    context = Context(dataset, cfg, judged)
    assert context.display("masked") == "masked [masked mouth, deaf]"
    assert context.display("baseline") == "baseline"
    assert context.display("never heard of") == "never heard of"
    assert Context(dataset, cfg).display("masked") == "masked"  # while tables are drawn up


def test_the_names_are_distinct_and_none_is_another_section_of_the_configuration():
    from pipeline.config import Config
    from pipeline.defenses import DEFENSES

    taken = [*NAMES, *Config.model_fields, *DEFENSES]
    assert len(set(taken)) == len(taken)


def test_a_risk_without_further_ado_judges_nothing_and_adds_nothing(cfg):
    assert SILENCE.judge({}) == SILENCE.metrics({}, cfg) == {}
    assert SILENCE.points({}, "baseline", cfg) == ()
    assert SILENCE.summary({}, cfg) == ""
    SILENCE.check(cfg, "conf")


@pytest.mark.parametrize("risk", RISKS, ids=NAMES)
def test_where_nothing_was_measured_a_risk_says_nothing(risk, cfg, dataset, tmp_path):
    """No table, no chapter, no line, no metric: and no heading is left on the page."""
    from pipeline.risks.risk import Context, Sources

    context = Context(dataset, cfg)
    tables = risk.tables(Sources({}), context)
    assert dict(tables) == {}
    assert list(risk.chapters({}, context, tmp_path)) == []
    assert list(risk.headline({}, cfg)) == []
    assert list(risk.figures({}, "baseline", cfg)) == []
    assert risk.judge({}) == risk.metrics({}, cfg) == {}
    assert list(risk.points({}, "baseline", cfg)) == []
    assert risk.summary({}, cfg) == ""


def test_a_table_of_patients_is_known_by_its_name_or_its_folder():
    assert [RUMOUR.is_per_patient(name) for name in ("ears", "by/baseline", "rumour")] == [
        True,
        True,
        False,
    ]


def test_the_rows_of_one_defense():
    assert own({"rumour": HEARD}, "rumour", "hard")["heard"].tolist() == [0.1, 0.2]
    assert len(own({"rumour": HEARD}, "rumour", "nobody")) == 0


@pytest.mark.parametrize(("wanted", "nearest"), [(0.3, 0.25), (0.0, 0.1), (9.0, 0.5)])
def test_the_nearest_value_that_there_is(wanted, nearest):
    assert nearest_of(pd.Series([0.5, 0.1, 0.25, 0.1]), wanted) == nearest


SLOW = ("pandas", "scipy", "sklearn", "matplotlib", "jinja2", "mlflow", "hydra", "opacus")


@pytest.mark.slow
def test_who_reads_a_configuration_waits_for_nothing_that_draws_or_logs():
    """Whatever the modules below need, by themselves these need none of it."""
    script = f"""
import builtins, sys
real, asked = builtins.__import__, set()
def watched(name, globals=None, locals=None, fromlist=(), level=0):
    who = (globals or {{}}).get("__name__", "")
    if who.startswith(("pipeline.risks", "pipeline.params", "pipeline.config", "pipeline.valid")):
        asked.add(name.split(".")[0])
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = watched
import pipeline.params
print(sorted(asked & set({SLOW!r})))
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "[]\n", ran.stderr


@pytest.mark.parametrize("risk", RISKS, ids=NAMES)
def test_a_risk_travels_between_processes(risk):
    assert pickle.loads(pickle.dumps(risk)) == risk
