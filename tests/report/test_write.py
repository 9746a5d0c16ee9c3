"""What people read: the files, the digits in them, the same bytes each time, and whose they are."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.presentation.chapter import Chapter, Note
from pipeline.presentation.flagged import with_flags
from pipeline.report import REPORT
from pipeline.report.contents import labels_of
from pipeline.report.matrix import DOUBTED, MARKS
from pipeline.report.overview import RULE, front_in_words, verdicts_in_words
from pipeline.report.write import (
    AGAINST,
    REST,
    defenses_table,
    headline_metrics,
    summary,
    write_evaluation,
    write_table,
)
from pipeline.risks import RISKS
from pipeline.risks.conclusions import NOT_COMPARED, Conclusions, headline_table, overview_table
from pipeline.risks.results import as_written, draw_up_all, judgements
from pipeline.risks.risk import BOUNDS, Context, Sources
from report.made_up import EARS, HEARD, NAMED, RUMOUR, SECRET, SILENCE, WHY, only_risks
from report.reader import check, read, sections

pytestmark = pytest.mark.heavy

COMMON = {
    "headline.csv",
    "overview.csv",
    "defenses.csv",
    "metrics.json",
    "schema.json",
    "summary.txt",
    "audit.json",
    "audit.schema.json",
    "card.md",
    "chapters.json",
}
PAGES = {"facts.html", "privacy.html", "report.html", "report_shared.html"}


@pytest.fixture
def context(dataset, cfg):
    return Context(dataset, cfg)


@pytest.fixture
def write(monkeypatch, context, tmp_path):
    """Draws up and writes what these risks have to say; returns the folder and the results."""

    def write(*risks, into="evaluate", of=context):
        only_risks(monkeypatch, *risks)
        folder = tmp_path / into
        folder.mkdir()
        results = draw_up_all(Sources({}), of)
        write_evaluation(results, of, folder)
        return folder, results

    return write


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---- files ----


def test_every_table_is_written_once_those_of_patients_as_parquet(write):
    folder, _ = write(RUMOUR, SILENCE)
    tables = {
        "rumour.csv",
        "rumour_pairs.csv",
        "named.csv",
        "plots/rumour.csv",
        "ears.parquet",
        "by/baseline.parquet",
    }
    assert files_in(folder) == COMMON | PAGES | tables
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "ears.parquet"), EARS)


def test_a_csv_holds_six_digits_and_these_are_the_table_in_memory(write):
    folder, results = write(RUMOUR)
    text = (folder / "rumour.csv").read_bytes()
    kept = results["rumour"]["rumour"]
    assert text == HEARD.to_csv(index=False, float_format="%.6g").encode()
    assert text == kept.to_csv(index=False, float_format="%.6g").encode()
    read = pd.read_csv(folder / "rumour.csv", dtype=str)
    for name in ("heard", "heard_low", "heard_high"):
        assert [float(cell) for cell in read[name]] == kept[name].tolist()
    assert read["heard"].tolist() == ["0.333333", "0.666667", "0.1", "0.2", "3.33333e-08", "0.05"]


def test_a_table_reads_back_as_it_was(tmp_path):
    table = as_written(HEARD.assign(heard=[1 / 3, np.nan, 1e-300, 1e300, 123456789.0, -0.1]))
    write_table(table, tmp_path / "deep" / "a.csv")
    read = pd.read_csv(tmp_path / "deep" / "a.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(read, table, check_exact=True)


def test_the_same_results_are_the_same_bytes(write):
    first, _ = write(RUMOUR)
    second, _ = write(RUMOUR, into="again")
    for name in files_in(first):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.parametrize("name", ["headline", "overview", "defenses"])
def test_a_table_of_one_risk_is_not_called_as_one_of_all(write, name):
    greedy = replace(RUMOUR, drawn=lambda *_: {"rumour": HEARD, "named": NAMED, name: HEARD})
    with pytest.raises(ValueError, match=f"{name}.csv: the name of a table of all risks"):
        write(greedy)


# ---- tables of all risks ----


def test_the_overview_and_the_headline_are_those_of_the_results(write, context):
    folder, results = write(RUMOUR, SILENCE)
    found = Conclusions.of(results, context.cfg)
    tables = {"headline": found.headlines, "overview": found.overview}
    for name, table in tables.items():
        read = pd.read_csv(folder / f"{name}.csv", float_precision="round_trip")
        pd.testing.assert_frame_equal(
            read.fillna({"verdict": "", "worse": "", "rivals": ""}),
            table,
            check_exact=True,
            check_dtype=False,
        )
    (line,) = tables["overview"].to_dict("records")
    assert line["undefended"] == 0.666667
    assert (line["better"], line["best"]) == ("hard", "hard")  # `masked` is flagged


def test_the_table_of_defenses_says_what_speaks_against_each(write):
    folder, _ = write(RUMOUR)
    rows = pd.read_csv(folder / "defenses.csv", dtype=str, keep_default_na=False)
    assert rows.to_dict("list") == {
        "defense": ["baseline", "hard", "masked"],
        "flags": ["", "", "masked_mouth deaf"],
        "evidence": ["", "", f"{WHY}; no ear"],
        "pareto_front": ["no", "yes", ""],
        "dominated_by": ["hard", "", ""],
    }


def test_a_table_of_no_defense_has_its_columns():
    columns = ["defense", "flags", "evidence", "pareto_front", "dominated_by"]
    assert list(defenses_table({}, None)) == columns


def test_the_metrics_are_those_of_all_risks_by_defense(write):
    other = replace(
        SILENCE, metrics=lambda tables, cfg: {"hard": {"quiet": 1.0}, "new": {"quiet": 0.5}}
    )
    folder, _ = write(RUMOUR, other)
    assert json.loads((folder / "metrics.json").read_text()) == {
        "baseline": {"heard": 0.6667},
        "hard": {"heard": 0.2, "quiet": 1.0},
        "new": {"quiet": 0.5},
    }


# ---- pages ----


def test_the_page_shows_the_rounding_of_what_the_file_holds(write):
    folder, _ = write(RUMOUR)
    page = check((folder / "report.html").read_text(encoding="utf-8"))
    table = pd.read_csv(folder / "rumour.csv", dtype=str)
    shown = [
        f"{float(value):.3f} ({float(low):.3f} to {float(high):.3f})"
        for value, low, high in table[["heard", "heard_low", "heard_high"]].to_numpy()
    ]
    assert [row[2] for row in page.tables[1][1:]] == shown
    headline = pd.read_csv(folder / "headline.csv", dtype=str, keep_default_na=False)
    matrix = " ".join(page.tables[0][1])
    for value, low, high in headline[list(BOUNDS)].to_numpy():
        assert f"{float(value):.3f} {float(low):.3f} to {float(high):.3f}" in matrix


def test_only_the_full_page_holds_single_patients(write):
    folder, _ = write(RUMOUR)
    pages = {name: (folder / name).read_text(encoding="utf-8") for name in PAGES}
    assert {name for name, text in pages.items() if SECRET in text} == {"report.html"}
    assert pages["report_shared.html"].count("Left out here") == 1
    whole, shared = (check(pages[name]) for name in ("report.html", "report_shared.html"))
    assert shared.headings == whole.headings
    assert "Left out here" in pages["privacy.html"]


def test_chapters_stand_in_the_order_of_the_risks_and_none_leaves_no_heading(write):
    spoken = replace(SILENCE, name="spoken", written=lambda *_: [Chapter("Spoken", [Note("a")])])
    folder, _ = write(SILENCE, spoken, RUMOUR)
    page = check((folder / "report.html").read_text(encoding="utf-8"))
    assert sections(page)[3:] == ["Spoken", "What is told", "Evidence for five catalogues"]


def test_a_flagged_defense_has_its_flag_wherever_a_page_names_it(write):
    folder, _ = write(RUMOUR)
    for name in PAGES:
        text = read((folder / name).read_text(encoding="utf-8")).text
        assert "masked" in text
        assert bare_names(text, {"masked": "masked mouth, deaf"}) == []


def bare_names(text, flags):
    """Where a flagged defense is named and its flags do not follow at once."""
    text = " ".join(text.split())
    return [
        text[max(0, found.start() - 60) : found.end() + 60]
        for name, said in flags.items()
        for found in re.finditer(rf"(?<![\w./\[-])({re.escape(name)})(?![\w/-]|\.\w)", text)
        if not text[found.end() :].lstrip().startswith(f"[{said}]")
    ]


def test_a_bare_name_is_seen():
    flags = {"masked": "masked mouth"}
    assert bare_names("masked [masked mouth] and masked_mouth", flags) == []
    assert bare_names("of masked, [masked mouth]", flags) == ["of masked, [masked mouth]"]


def test_pictures_are_drawn_into_the_folder_of_plots(write):
    places = []
    silent = replace(SILENCE, written=lambda tables, context, folder: places.append(folder) or ())
    folder, _ = write(silent)
    assert places == [folder / "plots"]
    assert places[0].is_dir()


# ---- the summary ----


def test_the_summary_is_the_verdict_with_flags_beside_names_and_where_the_rest_is(write, context):
    folder, results = write(RUMOUR, SILENCE)
    text = (folder / "summary.txt").read_text(encoding="utf-8")
    said, block, front, worst, rest = text.strip().split("\n\n")
    assert said == "Rumours are counted twice"
    found = Conclusions.of(results, context.cfg)
    title, verdicts = block.split("\n", 1)
    assert title == AGAINST
    assert verdicts == verdicts_in_words(found.overview, found.judged)
    flagged = front_in_words(found.front).replace("masked", "masked [masked mouth, deaf]")
    assert " ".join(front.split()) == flagged
    assert rest == REST
    title, sentence = worst.splitlines()
    assert title == "The worst that was found:"
    assert sentence == "rumour: Of masked [masked mouth, deaf] 2 of 3 listeners hear."
    assert max(map(len, text.splitlines())) <= 100
    assert not re.search(r"\bmasked\b(?! \[| mouth)", text)


def test_page_and_terminal_conclude_alike(write):
    folder, _ = write(RUMOUR, SILENCE)
    page = " ".join(check((folder / "report.html").read_text(encoding="utf-8")).text.split())
    text = " ".join((folder / "summary.txt").read_text(encoding="utf-8").split())
    front = "Pareto front of heard from two tongues: hard. Dominated: baseline (by hard)."
    assert RULE in page
    assert "hard; flagged, hence never best: masked [masked mouth, deaf]" in page
    assert front in page
    assert front in text
    assert "rumour: heard from two tongues: better: hard; best: hard" in text
    assert "0.200 0.180 to 0.220 ▲ better" in page


def test_risks_that_measured_nothing_are_no_reason_to_fail(write, context):
    folder, results = write(SILENCE)
    assert files_in(folder) == COMMON | PAGES
    assert headline_metrics(results, context) == {}
    none = headline_table([], 0.95)
    nothing = Conclusions([], {}, none, overview_table([], none, {}, 0.95), None)
    assert summary(results, nothing, context) == "\n"


# ---- the risks that there are ----


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_of_the_real_risks_is_in_order_and_says_nan_nowhere(evaluated, name):
    page = check((evaluated.folder / name).read_text(encoding="utf-8"))
    assert name in ("facts.html", "privacy.html") or len(sections(page)) > len(RISKS)
    assert name in ("facts.html", "privacy.html") or len(page.pictures) >= len(RISKS)
    assert not re.findall(r"\b(?:nan|None|NaN|inf)\b", page.text)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_page_of_the_real_risks_names_flags(evaluated, name):
    labels = labels_of(judgements(evaluated.results))
    assert labels
    flags = {defense: label[len(defense) + 2 : -1] for defense, label in labels.items()}
    assert bare_names(read((evaluated.folder / name).read_text(encoding="utf-8")).text, flags) == []


def test_no_cell_of_a_table_of_patients_stands_on_another_page(evaluated):
    """What the full page shows beyond the shared one: patients, and they are nowhere else."""
    pages = {name: read((evaluated.folder / name).read_text(encoding="utf-8")) for name in PAGES}
    whole, shared = pages.pop("report.html"), pages["report_shared.html"]
    left_out = [table for table in whole.tables if table not in shared.tables]
    assert left_out
    cells = {cell for table in left_out for row in table[1:] for cell in row}
    planted = {cell for cell in cells if "→" in cell}
    assert len(planted) > 3
    for name, page in pages.items():
        assert not [cell for cell in planted if cell in page.text], name


def test_every_risk_is_in_the_overview_or_has_no_headline(evaluated):
    table = pd.read_csv(evaluated.folder / "overview.csv")
    said = [
        risk.name for risk in RISKS if risk.headline(evaluated.results[risk.name], evaluated.cfg)
    ]
    assert list(table["risk"].unique()) == said
    assert table["undefended"].notna().all()


def test_conclusions_of_the_real_risks_are_the_same_wherever_they_stand(evaluated):
    """In tables, on the page, on the terminal, and among the tags of MLflow."""
    page = " ".join(
        check((evaluated.folder / "report.html").read_text(encoding="utf-8")).text.split()
    )
    text = " ".join((evaluated.folder / "summary.txt").read_text(encoding="utf-8").split())
    headline = pd.read_csv(evaluated.folder / "headline.csv", keep_default_na=False)
    overview = pd.read_csv(evaluated.folder / "overview.csv", keep_default_na=False)
    defenses = pd.read_csv(evaluated.folder / "defenses.csv", keep_default_na=False)
    labels = labels_of(judgements(evaluated.results))
    flagged = set(defenses.loc[defenses["flags"] != "", "defense"])
    assert flagged == set(labels)
    assert (headline["verdict"] != NOT_COMPARED).sum() > len(headline) / 2
    for line in headline.to_dict("records"):
        value, low, high = (float(line[bound]) for bound in BOUNDS)
        shown = f"{value:.3f} {low:.3f} to {high:.3f}"
        if line["verdict"] in ("better", "worse"):
            doubted = line["verdict"] == "better" and line["defense"] in flagged
            shown += f" {DOUBTED if doubted else MARKS[line['verdict']]}"
        assert shown in page
    for line in overview.to_dict("records"):
        assert with_flags(line["conclusion"], labels) in page
        assert line["figure"] in text
        for verdict in ("better", "worse", "best"):
            names = ", ".join(labels.get(name, name) for name in line[verdict].split())
            assert not names or f"{verdict}: {names}" in text
        assert line["best"] == "" or line["conclusion"].startswith(line["best"])
    concluded = Conclusions.of(evaluated.results, evaluated.cfg)
    for line in defenses.to_dict("records"):
        said = concluded.of_defense(line["defense"])
        own = headline[headline["defense"] == line["defense"]]
        for verdict in ("better", "worse"):
            figures = own.loc[own["verdict"] == verdict, "figure"]
            suspect = verdict == "better" and line["flags"]
            assert said.get(verdict, "") == ("" if suspect else "; ".join(figures))
        assert said.get("pareto_front", "").split(":")[0] == line["pareto_front"]


def test_every_csv_reads_back_as_the_table_in_memory(evaluated):
    tables = {
        name: table
        for risk in RISKS
        for name, table in evaluated.results[risk.name].items()
        if not risk.is_per_patient(name)
    }
    assert len(tables) > 15
    for name, table in tables.items():
        read = pd.read_csv(evaluated.folder / f"{name}.csv", dtype=str, keep_default_na=False)
        assert list(read) == [str(column) for column in table]
        for column in table.select_dtypes("float"):
            found = [float(cell) if cell else math.nan for cell in read[str(column)]]
            np.testing.assert_array_equal(found, table[column], err_msg=f"{name}, {column}")


def test_the_page_says_how_many_patients_the_records_are_of(write, context):
    folder, _ = write(RUMOUR)
    alone = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"\d records of", alone)
    visits = torch.arange(len(context.dataset.y)) // 2
    several = replace(context, dataset=replace(context.dataset, patient=visits))
    folder, _ = write(RUMOUR, into="visits", of=several)
    said = (folder / "report.html").read_text(encoding="utf-8")
    assert f"{len(visits)} records of {len(visits.unique())} patients" in said


@pytest.mark.slow
@pytest.mark.heavy
def test_where_patients_are_hidden_no_count_of_a_few_is_told(evaluated, tmp_path, undrawn):
    banded = evaluated.cfg.data.model_copy(update={"bands": {"age": [24, 30, 55], "bmi": [18]}})

    def drawn_up(patients):
        shown = evaluated.cfg.report.model_copy(update={"patients": patients})
        cfg = evaluated.cfg.model_copy(update={"data": banded, "report": shown})
        context = Context(evaluated.dataset, cfg)
        sources = Sources(evaluated.examined, evaluated.folder.parent / "stages")
        return draw_up_all(sources, context), context

    def told(results):
        return {
            name: table
            for risk in RISKS
            for name, table in results[risk.name].items()
            if name not in risk.private and not risk.is_per_patient(name)
        }

    def few_in(tables):
        return {
            (name, column)
            for name, table in tables.items()
            for column in table
            if column in ("patients", "ill", "support", "tn", "fp", "fn", "tp")
            and ((table[column] > 0) & (table[column] < 10)).any()
        }

    hidden, context = drawn_up("hidden")
    write_evaluation(hidden, context, tmp_path)
    private = {name for risk in RISKS for name in risk.private}
    paths = {path.stem: path for path in tmp_path.rglob("*.csv") if path.stem not in private}
    tables = {name: pd.read_csv(path) for name, path in paths.items()}
    assert few_in(tables) == set()
    page = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert "not told" in page
    assert "a count of fewer than 10 of them is not told" in page
    open_tables = told(drawn_up("shown")[0])
    assert few_in(open_tables) >= {
        ("groups", "patients"), ("groups", "ill"), ("confusion", "patients"),
        ("subgroups", "patients"), ("comparison", "fp"),
    }  # fmt: skip
    assert set(open_tables) == set(told(hidden))
    assert "is not told" not in (evaluated.folder / REPORT).read_text(encoding="utf-8")
    parts = tables["groups"].groupby(["defense", "by"])["patients"]
    assert (parts.agg(lambda one: one.isna().sum()) != 1).all()  # no subtraction tells it
