"""Tables are drawn up once, in the digits of a file, and what risks say of a defense is joined."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.files import write_json
from pipeline.presentation.chapter import Chapter, Fold, NotApplicable, Note
from pipeline.risks import RISKS
from pipeline.risks.results import (
    OPEN_GAPS,
    as_written,
    chapters_of,
    draw_up_all,
    judgements,
    measured,
)
from pipeline.risks.risk import Context, Judgement, Sources, unlogged, unmeasured
from report.made_up import EARS, HEARD, RUMOUR, SILENCE, WHY, only_risks

pytestmark = pytest.mark.heavy

NOTHING = Sources({})


@pytest.fixture
def drawn(monkeypatch, dataset, cfg):
    def draw(*risks, sources=NOTHING):
        only_risks(monkeypatch, *risks)
        return draw_up_all(sources, Context(dataset, cfg))

    return draw


def test_tables_keep_six_digits_those_of_patients_all(drawn):
    tables = drawn(RUMOUR)["rumour"]
    assert tables["rumour"]["heard"].tolist() == [0.333333, 0.666667, 0.1, 0.2, 3.33333e-08, 0.05]
    pd.testing.assert_frame_equal(tables["ears"], EARS)
    assert tables["by/baseline"]["heard"].tolist() == EARS["heard"].tolist()
    pd.testing.assert_frame_equal(
        tables["rumour"].drop(columns=["heard", "heard_low", "heard_high"]),
        HEARD.drop(columns=["heard", "heard_low", "heard_high"]),
    )


def test_what_is_written_once_is_not_changed_by_writing_it_again():
    table = pd.DataFrame({"a": [1 / 3, np.nan, np.inf, -1e-9 / 3, 1234567.0, 0.0]})
    once = as_written(table)
    assert once["a"].tolist()[3:] == [-3.33333e-10, 1234570.0, 0.0]
    pd.testing.assert_frame_equal(as_written(once), once, check_exact=True)
    assert table["a"][0] == 1 / 3  # the table itself is left alone


def test_a_single_precision_figure_is_the_number_that_its_digits_say():
    assert as_written(pd.DataFrame({"a": np.float32([0.1])}))["a"].tolist() == [0.1]


def test_a_table_without_a_row_is_left_out_and_its_risk_is_still_there(drawn):
    assert drawn(RUMOUR, SILENCE)["silence"] == {}


def test_a_risk_draws_up_from_the_sources_it_is_given(drawn, tmp_path):
    seen = []
    silent = replace(SILENCE, drawn=lambda sources, context: seen.append(sources) or {})
    sources = Sources({"baseline": tmp_path})
    drawn(silent, sources=sources)
    assert seen == [sources]


def test_two_tables_of_one_name_are_refused(drawn):
    other = replace(SILENCE, drawn=lambda *_: {"rumour": HEARD})
    with pytest.raises(ValueError, match="rumour and silence both have a table 'rumour'"):
        drawn(RUMOUR, other)


# ---- sources ----


def test_sources_know_of_whom_a_risk_was_measured(tmp_path):
    for place in ("attack/rumour", "examine/hard/silence", "rumour"):
        (tmp_path / place).mkdir(parents=True)
    examined = {"baseline": tmp_path / "attack", "hard": tmp_path / "examine" / "hard"}
    sources = Sources(examined, tmp_path)
    assert sources.of("rumour") == {"baseline": tmp_path / "attack" / "rumour"}
    assert sources.stage("rumour") == tmp_path / "rumour"
    assert sources.stage("silence") is None
    assert Sources(examined).stage("rumour") is None


# ---- judgements ----


def judged_by(monkeypatch, *judged):
    risks = [
        replace(SILENCE, name=str(at), judge=lambda _, one=one: one)
        for at, one in enumerate(judged)
    ]
    only_risks(monkeypatch, *risks)
    return judgements({risk.name: {} for risk in risks})


def test_the_flags_of_all_risks_are_joined(monkeypatch):
    only_risks(monkeypatch, RUMOUR, SILENCE)
    judged = judgements({"rumour": {}, "silence": {}})
    assert judged["masked"] == Judgement({"masked_mouth": WHY, "deaf": "no ear"})
    assert judged["baseline"] == judged["hard"] == Judgement()


@pytest.mark.parametrize("flagging_first", [True, False])
def test_a_flag_of_one_risk_stands_whatever_another_says(monkeypatch, flagging_first):
    both = [{"hard": Judgement({"a": "x"})}, {"hard": Judgement(), "soft": Judgement()}]
    judged = judged_by(monkeypatch, *(both if flagging_first else both[::-1]))
    assert judged["hard"] == Judgement({"a": "x"})
    assert judged["soft"] == Judgement()


# ---- what could not be asked ----


@pytest.fixture
def gaps(tmp_path):
    """Sources in which silence could not be asked of one defense, nor loud silence of another."""
    for name, whys in (("baseline", {"": "no ears"}), ("hard", {"loudly": "too quiet"})):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "not_applicable.json", {"silence": whys})
    return Sources({name: tmp_path / name for name in ("baseline", "hard")})


def test_what_could_not_be_asked_is_a_table_of_its_risk(drawn, gaps):
    results = drawn(RUMOUR, SILENCE, sources=gaps)
    assert set(results["silence"]) == {"silence_not_applicable"}
    assert results["silence"]["silence_not_applicable"].to_numpy().tolist() == [
        ["baseline", "", "no ears"],
        ["hard", "loudly", "too quiet"],
    ]
    assert "rumour_not_applicable" not in results["rumour"]


@pytest.mark.parametrize("spoken", [True, False])
def test_what_could_not_be_asked_ends_the_last_chapter_or_is_one(
    drawn, gaps, dataset, cfg, tmp_path, spoken
):
    chapters = [Chapter("First", [Note("a")]), Chapter("Last", [Note("b")])] if spoken else []
    risk = replace(SILENCE, written=lambda *_: chapters)
    results = drawn(risk, sources=gaps)
    written = chapters_of(risk, results[risk.name], Context(dataset, cfg), tmp_path)
    said = [NotApplicable("baseline", "no ears"), NotApplicable("hard, loudly", "too quiet")]
    assert [one.title for one in written] == (["First", "Last"] if spoken else ["Silence"])
    assert list(written[-1].parts)[-2:] == said
    assert len(written[-1].parts) == (3 if spoken else 2)


def test_many_gaps_are_folded_and_the_last_chapter_keeps_what_it_says(
    drawn, dataset, cfg, tmp_path
):
    whys = {f"question {number}": "too quiet" for number in range(OPEN_GAPS + 1)}
    (tmp_path / "hard").mkdir()
    write_json(tmp_path / "hard" / "not_applicable.json", {"silence": whys})
    last = Chapter("Last", [Note("b")], "It came out.", {"privacy": [Note("c")]}, early=True)
    risk = replace(SILENCE, written=lambda *_: [last])
    results = drawn(risk, sources=Sources({"hard": tmp_path / "hard"}))
    (written,) = chapters_of(risk, results[risk.name], Context(dataset, cfg), tmp_path)
    assert replace(written, parts=last.parts) == last
    fold = written.parts[-1]
    assert isinstance(fold, Fold)
    assert [part.what for part in fold.parts] == [f"hard, {question}" for question in whys]
    assert not measured(risk, results[risk.name])


def test_without_a_gap_the_chapters_are_those_of_the_risk(drawn, dataset, cfg, tmp_path):
    written = chapters_of(SILENCE, drawn(SILENCE)[SILENCE.name], Context(dataset, cfg), tmp_path)
    assert written == []


# ---- the risks that there are ----


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: risk.name)
def test_every_figure_of_a_risk_is_a_number_that_stands_in_its_tables(evaluated, risk):
    """But for the mark of a flag; also of the one defense that the frontier is about."""
    tables = evaluated.results[risk.name]
    said = 0
    for name in (*evaluated.examined, "dp_train"):
        rows = [
            table[table["defense"] == name] if "defense" in table else table
            for table in tables.values()
        ]
        cells = {
            float(cell)
            for table in rows
            for cell in table.select_dtypes("number").to_numpy(dtype=float, na_value=np.nan).flat
        }
        if not any(map(len, rows)) or (name == "dp_train" and risk.judge(tables)):
            continue
        figures = [
            *risk.figures(tables, name, evaluated.cfg),
            *(one for point in risk.points(tables, name, evaluated.cfg) for one in point.figures),
        ]
        for figure in figures:
            if not (pd.isna(figure.value) or figure.name.startswith("flag/")):
                said += 1
                assert float(figure.value) in cells, (name, figure)
    data = evaluated.cfg.data  # where it names no sites and no days, nothing is asked about them
    says = risk.metrics is not unmeasured or risk.curves is not unlogged
    # what an experiment of its own asks for is held to its tables in the tests of that risk
    asked = says and (risk.name != "transport" or bool(data.site or data.time))
    asked &= risk.name != "federation"
    assert bool(said) == asked
