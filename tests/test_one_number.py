"""One number per quantity: page, terminal, tables and what MLflow is given do not differ."""

import re

import pandas as pd
import pytest

from pipeline.presentation.numbers import with_interval
from pipeline.risks.evasion.logged import PREFIX
from pipeline.risks.evasion.risk import RISK
from pipeline.risks.risk import nearest_of
from report.reader import read

pytestmark = pytest.mark.heavy

WRITTEN = 1e-6  # tables are written with six digits


@pytest.fixture(scope="module")
def comparison(evaluated):
    """The headline threat in `comparison.csv`, as anybody reads it."""
    table = pd.read_csv(evaluated.folder / "comparison.csv", keep_default_na=True)
    return table[table["threat"] == evaluated.cfg.audit.headline].reset_index(drop=True)


@pytest.fixture(scope="module")
def page(evaluated):
    """Every table of the page, as rows of text under their titles."""
    tables = read((evaluated.folder / "report.html").read_text()).tables
    return [pd.DataFrame(rows[1:], columns=rows[0]) for rows in tables]


FIGURES = {
    "robust accuracy": ("robust_accuracy", "robust_low", "robust_high"),
    "sensitivity": ("sensitivity", "sensitivity_low", "sensitivity_high"),
}


@pytest.mark.parametrize("title", FIGURES)
def test_page_and_terminal_say_what_the_table_holds(evaluated, comparison, page, title):
    shown = next(table for table in page if {"eps", title, "proved"} <= set(table))
    said = with_interval(comparison, *FIGURES[title])
    assert shown[title].str.strip().tolist() == said
    lines = (evaluated.folder / "summary.txt").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("eps robust")) + 1
    rows = [line for line in lines[start:] if re.match(r"\s*[\d.]+ ", line)]
    eps = nearest_of(comparison["eps"], evaluated.cfg.audit.headline_eps)
    of_headline = [words for words, at in zip(said, comparison["eps"], strict=True) if at == eps]
    assert len(of_headline) == comparison["defense"].nunique()
    for line, words in zip(rows, of_headline, strict=False):
        assert line.split()[0] == f"{eps:g}"
        assert words in line


HEADLINES = {
    "missed_diagnosis_rate": ("missed diagnoses under attack", 1),
    "robust_accuracy": ("right answers under attack", 1),
    "clean missed_diagnosis_rate": ("missed diagnoses without attack", 0),
    "clean false_alarm_rate": ("false alarms without attack", 0),
}


@pytest.mark.parametrize("column", HEADLINES)
def test_the_overview_says_what_the_table_holds(evaluated, comparison, page, column):
    words, attacked = HEADLINES[column]
    name = column.removeprefix("clean ")
    first, *_ = RISK.headline(evaluated.results["evasion"], evaluated.cfg)
    eps = attacked * float(first.figure.rsplit(" ", 1)[1])
    at = comparison[comparison["eps"] == eps].reset_index(drop=True)
    stem = name.removesuffix("_accuracy")
    columns = [name, f"{stem}_low", f"{stem}_high"]
    decide, others = page[:2]  # of the matrix: what stands open, and what is folded
    rows = [*decide.to_dict("records"), *others.to_dict("records")]
    (row,) = [row for row in rows if f": {words}" in row["figure"]]
    shown = [f"{value:.3f} {low:.3f} to {high:.3f}" for value, low, high in at[columns].to_numpy()]
    cells = list(row.values())[1:]
    assert [cell[: len(one)] for cell, one in zip(cells, shown, strict=True)] == shown
    headline = pd.read_csv(evaluated.folder / "headline.csv")
    headline = headline[headline["figure"].str.startswith(words)]
    assert headline["defense"].tolist() == at["defense"].tolist()
    assert headline["value"].tolist() == pytest.approx(at[name].tolist(), abs=WRITTEN)
    gains = at[name] - at.loc[at["defense"] == "baseline", name].iloc[0]
    found = headline["difference"].fillna(0.0).tolist()
    assert found == pytest.approx(gains.tolist(), abs=3 * WRITTEN)


def test_mlflow_is_given_what_the_table_holds(evaluated, comparison):
    for name, lines in comparison.groupby("defense"):
        given = {
            (one.name, one.step): one.value
            for one in RISK.figures(evaluated.results["evasion"], name, evaluated.cfg)
        }
        for line in lines.to_dict("records"):
            for key, column in (
                ("robust_accuracy", "robust_accuracy"),
                ("robust_sensitivity", "sensitivity"),
            ):
                step = round(line["eps"] * 1000)
                assert given[f"{PREFIX}/{key}", step] == pytest.approx(line[column], abs=WRITTEN)


def test_tables_that_tell_the_same_agree(evaluated, comparison):
    """Each quantity that stands in two tables is the same number there."""
    folder, threat = evaluated.folder, evaluated.cfg.audit.headline
    attacks = pd.read_csv(folder / "attacks.csv")
    attacks = attacks[attacks["threat"] == threat].set_index(["defense", "eps", "attack"])
    report = pd.read_csv(folder / "classification.csv")
    worst = report["attack"].isin(["none", "strongest"])
    report = report[worst].set_index(["defense", "eps", "class"])
    cells = pd.read_csv(folder / "confusion.csv")
    ill = evaluated.cfg.data.classes[1]
    tried = {(defense, eps, attack) for defense, eps, attack in attacks.index}
    for line in comparison.to_dict("records"):
        place = line["defense"], line["eps"]
        for attack in [name for *where, name in tried if tuple(where) == place]:
            left = attacks["accuracy"].to_dict()[(*place, attack)]
            assert line[f"accuracy_{attack}"] == pytest.approx(left, abs=WRITTEN)
            assert line["robust_accuracy"] <= left + WRITTEN
        assert report.loc[(*place, ill), "recall"] == pytest.approx(
            line["sensitivity"], abs=WRITTEN
        )
        here = cells[(cells["defense"] == place[0]) & (cells["eps"] == place[1])]
        assert here["patients"].tolist() == pytest.approx(
            [line[cell] for cell in ("tn", "fp", "fn", "tp")], abs=WRITTEN
        )


def test_patients_and_the_proved_figure_agree(evaluated, comparison):
    """With one repetition, who is proved in `patients` is who is counted as proved."""
    patients = evaluated.results["evasion"]["patients"]
    for line in comparison.to_dict("records"):
        own = patients[patients["defense"] == line["defense"]]
        share = (own["radius"] > line["eps"] + 1e-9).mean()
        assert share == pytest.approx(line["verified_accuracy"], abs=WRITTEN)
