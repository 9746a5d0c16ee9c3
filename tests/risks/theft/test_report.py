"""Theft as people read it: every copy with its interval, a line from undefended to the least."""

import pandas as pd
import pytest
import yaml

import parts
import tiny
from pipeline import params
from pipeline.config import BASELINE
from pipeline.risks.risk import Context, Sources
from pipeline.risks.theft import report
from pipeline.risks.theft.measure.copies import TRUE_LABELS
from pipeline.risks.theft.report import best_copies, theft_line
from pipeline.risks.theft.risk import RISK
from risks.theft.made_up import made_up

pytestmark = pytest.mark.heavy

STRATEGY, BUDGET = "public", 100
DEFENSES = (BASELINE, "dp_train")


@pytest.fixture(scope="module")
def context(smoke_text):
    cfg = params.parse(yaml.safe_load(smoke_text), "conf")
    numbers = {"headline": STRATEGY, "headline_budget": BUDGET, "recipes": [*DEFENSES, "unknown"]}
    theft = cfg.theft.model_copy(update=numbers)
    return Context(tiny.records(20, seed=0), cfg.model_copy(update={"theft": theft}))


@pytest.fixture(scope="module")
def tables(context, tmp_path_factory):
    stages = tmp_path_factory.mktemp("artifacts")
    for name, agreement in zip(DEFENSES, (0.95, 0.7), strict=True):
        made_up(agreement).save(stages / "theft" / name)
    return RISK.tables(Sources({}, stages), context)


@pytest.fixture(scope="module")
def chapter(tables, context, tmp_path_factory):
    (chapter,) = RISK.chapters(tables, context, tmp_path_factory.mktemp("chapter"))
    return chapter


def said(line, name):
    return f"{line[name]:.3f} ({line[f'{name}_low']:.3f} to {line[f'{name}_high']:.3f})"


def test_the_tables(tables, context):
    assert list(tables) == ["theft", "theft_pairs", "theft_api"]
    assert list(tables["theft"]["defense"].unique()) == list(DEFENSES)
    assert RISK.tables(Sources({}), context) == {}


def test_the_line_goes_from_undefended_to_the_least_with_intervals(tables, chapter):
    lines = tables["theft"].set_index(["defense", "strategy"])
    line = theft_line(tables["theft"], STRATEGY, BUDGET)
    first, least = (said(lines.loc[(name, STRATEGY)], "fidelity") for name in DEFENSES)
    assert line in parts.notes(chapter)
    assert f"{BUDGET}" in line
    assert line.index("undefended") < line.index(first) < line.index(least) < line.index("dp_train")


def test_the_line_without_an_undefended_model(tables):
    alone = tables["theft"][tables["theft"]["defense"] != BASELINE]
    assert "undefended" not in theft_line(alone, STRATEGY, BUDGET)


def test_of_two_copies_the_better_one_is_shown(tables):
    table = tables["theft"]
    worse = table.assign(surrogate="linear", fidelity=table["fidelity"] - 0.1)
    both = pd.concat([worse, table], ignore_index=True)
    assert (best_copies(both)["surrogate"] == "mlp").all()
    assert len(best_copies(both)) == len(table)


def test_every_copy_stands_beside_its_victim_with_intervals(tables, chapter):
    copies, strategies, answers = parts.tables(chapter)
    assert copies["defense"].tolist() == [name for name in DEFENSES for _ in range(2)]
    line = tables["theft"].iloc[0]
    for name in ("fidelity", "accuracy", "auroc", "evasion", "membership"):
        assert copies[name][0] == said(line, name)
    assert copies["evasion, victim"][0] == said(line, "victim_evasion")
    assert copies["questions counted"].tolist()[:2] == [BUDGET, 0]
    assert said(line, "fidelity") in parts.cells(strategies)
    assert answers["Brier"][0] == said(tables["theft_api"].iloc[0], "brier")
    names = ("records", "questions counted")
    assert parts.bare_numbers(copies, *names) == parts.bare_numbers(answers) == []


def test_a_curve_is_fidelity_against_the_number_of_questions(tables, tmp_path, monkeypatch):
    figures = parts.drawn(monkeypatch, report)
    more = tables["theft"].assign(budget=1000, fidelity=0.99)
    table = pd.concat([tables["theft"], more], ignore_index=True)
    first = report.draw(table, STRATEGY, tmp_path).path.read_bytes()
    lines = tables["theft"].set_index(["defense", "strategy"])["fidelity"]
    for panel, name in enumerate(DEFENSES):
        asked = [(100, lines[name, STRATEGY]), (1000, 0.99)]
        assert parts.curve(figures[0], panel, "labels only") == asked
        known = [(100, lines[name, TRUE_LABELS]), (1000, 0.99)]
        assert parts.curve(figures[0], panel, "no model: diagnoses") == known
    assert report.draw(table, STRATEGY, tmp_path).path.read_bytes() == first


def test_nothing_measured_nothing_said(tables, context, tmp_path):
    assert RISK.chapters({}, context, tmp_path) == ()
    empty = {name: table.iloc[:0] for name, table in tables.items()}
    assert RISK.chapters(empty, context, tmp_path) == ()


def test_every_column_is_explained_and_none_that_is_not_there(tables):
    assert parts.unlike_its_explanation(RISK, tables, ()) == {}


def test_a_column_too_many_or_too_few_is_found(tables):
    table = tables["theft_api"]
    fewer = table.drop(columns=[name for name in table if name.startswith("brier")])
    changed = {**tables, "theft_api": fewer.assign(new_low=1)}
    assert parts.unlike_its_explanation(RISK, changed, ()) == {"theft_api": {"brier", "new"}}
