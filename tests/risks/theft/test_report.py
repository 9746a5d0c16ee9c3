"""What people read about theft: every table, one picture, and one line that names its figures' intervals."""

import pandas as pd
import pytest
import yaml

from pipeline import params
from pipeline.risks.theft.report import (
    TheftReport,
    best_copies,
    draw_theft,
    theft_line,
    theft_report,
    theft_section,
)
from risks.theft.made_up import made_up


@pytest.fixture(scope="module")
def report(smoke_text):
    cfg = params.parse(yaml.safe_load(smoke_text), "conf")
    numbers = cfg.theft.model_copy(update={"headline": "public", "headline_budget": 100})
    cfg = cfg.model_copy(update={"theft": numbers})
    thefts = {"baseline": made_up(0.95), "<i>dp</i>": made_up(0.7)}
    return theft_report(thefts, cfg)


def test_the_tables(report):
    assert list(report.tables) == ["theft", "theft_api"]
    assert (report.strategy, report.budget) == ("public", 100)


def test_the_line_goes_from_undefended_to_the_least_with_intervals(report):
    table = report.tables["theft"].set_index(["defense", "strategy"])["fidelity"]
    line = theft_line(report)
    assert line.startswith(
        f"Fidelity of a copy after 100 questions: undefended {table['baseline', 'public']:.3f} ("
    )
    assert f"-> least {table['<i>dp</i>', 'public']:.3f} (" in line
    assert line.count(" to ") == 2
    assert line.endswith("(<i>dp</i>).")


def test_the_line_without_an_undefended_model(report):
    alone = {name: table[table["defense"] != "baseline"] for name, table in report.tables.items()}
    assert "undefended" not in theft_line(TheftReport(alone, report.strategy, report.budget))


def test_of_two_copies_the_better_one_is_shown(report):
    table = report.tables["theft"]
    worse = table.assign(surrogate="linear", fidelity=table["fidelity"] - 0.1)
    both = pd.concat([worse, table], ignore_index=True)
    assert (best_copies(both)["surrogate"] == "mlp").all()
    assert len(best_copies(both)) == len(table)


def test_the_page_shows_figures_with_intervals_and_escapes_names(report, tmp_path):
    section = theft_section(report, draw_theft(report, tmp_path))
    assert "data:image/png;base64," in section
    assert "<i>dp</i>" not in section
    assert "unlike the release model" in section
    for name in ("fidelity", "evasion, victim", "Brier", "questions counted"):
        assert name in section


def test_the_same_tables_give_the_same_picture(report, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (draw_theft(report, tmp_path / name)[0].read_bytes() for name in "ab")
    assert one == two
