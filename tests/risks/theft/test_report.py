"""Theft as people read it: every copy with its interval, a line from undefended to the least."""

from dataclasses import replace

import pandas as pd
import pytest
import yaml

import parts
import scans
import tiny
from pipeline import params
from pipeline.config import BASELINE
from pipeline.risks.risk import Context, Judgement, Sources
from pipeline.risks.theft import pictures
from pipeline.risks.theft.measure.copies import TRUE_LABELS
from pipeline.risks.theft.report import theft_line
from pipeline.risks.theft.risk import RISK
from pipeline.risks.theft.tables import best_copies, headline_copies
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


def test_the_line_goes_from_undefended_to_the_least_with_intervals(tables, chapter, context):
    lines = tables["theft"].set_index(["defense", "strategy"])
    line = theft_line(tables["theft"], STRATEGY, BUDGET, context)
    first, least = (said(lines.loc[(name, STRATEGY)], "fidelity") for name in DEFENSES)
    assert line in parts.notes(chapter)
    assert f"{BUDGET}" in line
    assert line.index("undefended") < line.index(first) < line.index(least) < line.index("dp_train")


def test_the_line_without_an_undefended_model(tables, context):
    alone = tables["theft"][tables["theft"]["defense"] != BASELINE]
    assert "undefended" not in theft_line(alone, STRATEGY, BUDGET, context)


def test_of_two_copies_the_better_one_is_shown(tables):
    table = tables["theft"]
    worse = table.assign(surrogate="linear", fidelity=table["fidelity"] - 0.1)
    both = pd.concat([worse, table], ignore_index=True)
    assert (best_copies(both)["surrogate"] == "mlp").all()
    assert len(best_copies(both)) == len(table)


def test_every_copy_stands_beside_its_victim_with_intervals(tables, chapter):
    heads, first, second, third, strategies, answers = parts.tables(chapter)
    copies = pd.concat([first, second.iloc[:, 3:], third.iloc[:, 3:]], axis=1)
    assert copies["defense"].tolist() == [name for name in DEFENSES for _ in range(2)]
    line = tables["theft"].iloc[0]
    for name in ("fidelity", "accuracy", "auroc", "evasion", "membership"):
        assert copies[name][0] == said(line, name)
    assert copies["evasion, victim"][0] == said(line, "victim_evasion")
    assert copies["queries counted"].tolist()[:2] == [BUDGET, 0]
    assert said(line, "fidelity") in parts.cells(strategies)
    assert answers["Brier"][0] == said(tables["theft_api"].iloc[0], "brier")
    names = ("records", "queries counted")
    assert heads["fidelity"].tolist() == [
        said(line, "fidelity") for _, line in headline_copies(tables["theft"], BUDGET).iterrows()
    ]
    assert heads["evasion by the copy"][0] == (
        f"{said(line, 'evasion')} [victim: {line['victim_evasion']:.3f}]"
    )
    assert parts.bare_numbers(heads, "queries") == []
    assert parts.is_short(chapter)
    assert parts.bare_numbers(copies, *names) == parts.bare_numbers(answers) == []


def test_the_finding_is_the_headline_beside_what_no_query_teaches(tables, chapter, context):
    found = RISK.finding(tables, context)
    lines = tables["theft"].set_index(["defense", "strategy"])
    asked, known = (lines.loc[(BASELINE, name)] for name in (STRATEGY, TRUE_LABELS))
    (headline,) = RISK.headline(tables, context.cfg)
    assert asked["fidelity"] == headline.table.loc[BASELINE, "value"]
    assert found.defense == BASELINE
    assert f"After {BUDGET} queries" in found.text
    for line in (asked, known):
        assert f"{100 * line['fidelity']:.1f} of 100" in found.text
    assert chapter.result.startswith(found.text)
    assert "dp_train" in chapter.result
    for path in parts.pictures(chapter):
        assert path.stat().st_size < 80_000
    assert found.text.split(" (")[0] in parts.pictures(chapter)[0].read_text()


def test_the_kinds_of_copies_that_were_tried_are_told(tables, context, tmp_path):
    of_images = replace(context, dataset=scans.dataset(6, seed=0))
    for one, tried in ((context, "boosted trees"), (of_images, "configured network")):
        (chapter,) = RISK.chapters(tables, one, tmp_path)
        assert f"{tried}: whichever resembles the victim most" in parts.notes(chapter)


def test_a_copy_that_was_not_measured_is_found_out(tables, context):
    """A planted fault: another fidelity changes the sentence."""
    table = tables["theft"]
    worse = {"theft": table.assign(fidelity=table["fidelity"] - 0.3)}
    assert RISK.finding(worse, context).text != RISK.finding(tables, context).text
    assert RISK.finding({}, context) is None


def test_flags_stand_beside_names(tables, context, tmp_path):
    flagged = replace(context, judged={"dp_train": Judgement({"harms_a_group": "why"})})
    (chapter,) = RISK.chapters(tables, flagged, tmp_path)
    for table in parts.tables(chapter):
        assert "dp_train" not in parts.cells(table)
    assert "dp_train [harms a group]" in parts.cells(parts.tables(chapter)[0])


def test_test_patients_are_counted(tables):
    counted = tables["theft"]["patients"].unique()
    assert counted.tolist() == [made_up(0.95).test.any(0).sum().item()]


def test_a_curve_is_fidelity_against_the_number_of_questions(
    tables, context, tmp_path, monkeypatch
):
    figures = parts.drawn(monkeypatch, pictures)
    more = tables["theft"].assign(budget=1000, fidelity=0.99)
    table = pd.concat([tables["theft"], more], ignore_index=True)
    first = pictures.draw(table, "", context, tmp_path).path.read_bytes()
    pictures.draw_all(table, STRATEGY, context, tmp_path)
    lines = tables["theft"].set_index(["defense", "strategy"])["fidelity"]
    for name in DEFENSES:
        asked = [(100, lines[name, STRATEGY]), (1000, 0.99)]
        assert parts.curve(figures[0], 0, name) == asked
        assert parts.curve(figures[1], 0, name) == asked
    known = [(100, lines[BASELINE, TRUE_LABELS]), (1000, 0.99)]
    assert parts.curve(figures[0], 0, pictures.UNASKED) == known
    assert pictures.draw(table, "", context, tmp_path).path.read_bytes() == first


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
