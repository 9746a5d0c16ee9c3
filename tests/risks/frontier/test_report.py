"""The price of privacy as people read it: a table, three pictures, and what no epsilon covers."""

import numpy as np
import pandas as pd
import pytest
import yaml

import parts
import tiny
from pipeline import params
from pipeline.presentation.chapter import Chapter, Picture
from pipeline.risks.frontier import pictures, report
from pipeline.risks.frontier.report import NOT_COVERED
from pipeline.risks.frontier.risk import RISK
from pipeline.risks.risk import Context

pytestmark = pytest.mark.heavy

EPSILONS = [0.5, 4.0, np.nan]
FIGURES = {
    "accuracy": 0.75,
    "auroc": 0.83,
    "sensitivity": 0.6,
    "proved_accuracy": 0.64,
    "lira_tpr_at_1pct": 0.02,
    "lira_auroc": 0.52,
}


@pytest.fixture(scope="module")
def context(smoke_text):
    return Context(tiny.records(20, seed=0), params.parse(yaml.safe_load(smoke_text), "conf"))


@pytest.fixture
def table():
    lines = []
    for model, exact in (("mlp", False), ("linear", True)):
        for number, epsilon in enumerate(EPSILONS):
            line = {
                "model": model,
                "epsilon_claimed": epsilon,
                "epsilon_recomputed": epsilon,
                "delta": 1e-4,
                "noise_multiplier": 10.0 - 5 * number,
                "threat": "clinical",
                "radius": 0.3,
                "proved_exact": exact,
                "epsilon_lower_bound": 0.1 * number,
                "epsilon_ceiling": 3.6,
                "degenerate": model == "linear" and number == 0,
                "attack": "lira_fixed",
                "targets": 32,
            }
            for name, value in FIGURES.items():
                line |= {name: value, f"{name}_low": value - 0.01, f"{name}_high": value + 0.01}
            lines.append(line)
    return pd.DataFrame(lines)


@pytest.fixture
def written(context, tmp_path, monkeypatch):
    """Maps a table to its chapter, whose picture is not drawn."""
    nothing = Picture(tmp_path / "none.png", "")
    monkeypatch.setattr(report, "draw", lambda table, shows, folder: nothing)

    def chapter(table):
        (one,) = RISK.chapters({"frontier": table}, context, tmp_path)
        return one

    return chapter


def test_a_line_for_each_row_and_what_is_not_covered(table, written):
    chapter = written(table)
    first, shown, others = parts.tables(chapter)
    assert first.equals(shown.iloc[:3])
    assert parts.is_short(chapter)
    assert NOT_COVERED in parts.notes(chapter)
    marked = ["mlp"] * 3 + ["linear [degenerate]", "linear", "linear"]
    assert shown["model"].tolist() == marked
    assert shown["epsilon"].tolist() == ["0.5", "4", "none"] * 2
    proved = "0.640 (0.630 to 0.650)"
    assert others["proved"].tolist() == [f"at least {proved}"] * 3 + [proved] * 3
    assert shown["spends at least"][1] == "0.10 (of 3.60)"


def test_the_control_is_what_the_audit_shows_without_noise(table, written):
    assert "mlp 0.20, linear 0.20" in parts.notes(written(table))
    claimed = table.dropna(subset="epsilon_claimed")
    assert "Without noise" not in parts.notes(written(claimed))


def test_a_table_that_was_written_and_read_gives_the_same_chapter(table, written, tmp_path):
    table.to_csv(tmp_path / "frontier.csv", index=False)
    first, second = written(table), written(pd.read_csv(tmp_path / "frontier.csv"))
    assert parts.notes(first) == parts.notes(second)
    pd.testing.assert_frame_equal(parts.tables(first)[0], parts.tables(second)[0])


def test_a_rate_that_nobody_could_see_is_a_dash(table, written):
    table[["lira_tpr_at_1pct", "lira_tpr_at_1pct_low", "lira_tpr_at_1pct_high"]] = np.nan
    assert (parts.tables(written(table))[0]["members found"] == "-").all()


def test_curves_are_the_columns_of_the_table_against_epsilon(table, tmp_path, monkeypatch):
    figures = parts.drawn(monkeypatch, pictures)
    table.loc[0, "accuracy"] = 0.7
    first = pictures.draw(table, "what it says", tmp_path).path.read_bytes()
    assert parts.curve(figures[0], 3, "mlp") == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert parts.curve(figures[0], 3, "claimed, or guessing") == [(0, 0.5), (1, 4.0)]
    assert parts.curve(figures[0], 2, "linear") == [(0, 0.02), (1, 0.02), (2, 0.02)]
    assert parts.curve(figures[0], 0, "mlp") == [(0, 0.7), (1, 0.75), (2, 0.75)]
    assert pictures.draw(table, "what it says", tmp_path).path.read_bytes() == first
    assert b"what it says" in first
    assert len(first) < 80_000


def test_the_sentence_is_the_strictest_epsilon_beside_no_noise(table, written, context):
    table.loc[0, ["accuracy", "accuracy_low", "accuracy_high"]] = 0.7, 0.69, 0.71
    found = RISK.finding({"frontier": table}, context)
    assert "epsilon 0.5 (delta 0.0001) mlp models answer 0.700 (0.690 to 0.710)" in found.whole
    assert "without noise 0.750 (0.740 to 0.760)" in found.whole
    assert "at least 0.00 of the 0.5 claimed, 0.10 of 4 at the other end" in found.whole
    assert written(table).result == found.whole
    assert RISK.finding({}, context) is None


def test_a_bound_above_its_claim_is_said(table, written):
    assert "lies above the claim" not in parts.notes(written(table))
    table.loc[1, "epsilon_lower_bound"] = 4.013
    chapter = written(table)
    assert "mlp at epsilon 4: the audit's lower bound, 4.013, lies above" in parts.notes(chapter)
    assert "Each of 4 bounds holds with 95 %" in parts.notes(chapter)
    brief = Chapter("", chapter.brief["privacy"])
    assert "4.013" in parts.items(brief)["Audit above the claim"]
    assert parts.tables(brief)[0]["epsilon"].tolist() == ["0.5", "4", "none"]


def test_nothing_measured_nothing_said(table, context, tmp_path):
    assert RISK.chapters({}, context, tmp_path) == ()
    assert RISK.chapters({"frontier": table.iloc[:0]}, context, tmp_path) == ()


def test_where_nothing_was_to_be_proved_nothing_is_said_of_proofs(table, context, tmp_path):
    nothing = table.assign(**{f"proved_accuracy{end}": np.nan for end in ("", "_low", "_high")})
    assert "proved" in report._shown(table)
    assert "proved" not in report._shown(nothing)
    (chapter,) = RISK.chapters({"frontier": nothing}, context, tmp_path)
    assert "proved" not in parts.notes(chapter)
    assert "What an attacker can change was not asked of these models." in parts.notes(chapter)
