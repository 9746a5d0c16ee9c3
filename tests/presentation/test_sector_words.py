"""A clinic's words put into those of another sector: every one of them, and nothing else."""

import json

import pytest
import yaml

import tiny
from pipeline.config.sector import WordsConfig, with_names
from pipeline.presentation.sector_words import (
    data_in_words,
    html_in_words,
    in_columns,
    in_words,
    names_told,
    retell,
    table_in_words,
)

SECTORS = ("credit", "intrusion", "wine")


def words_of(name):
    described = yaml.safe_load((tiny.ROOT / f"conf/data/{name}.yaml").read_text())
    return WordsConfig(**described["words"]).spoken


CREDIT = words_of("credit")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a patient", "an applicant"),
        ("An ill patient's", "A defaulting applicant's"),
        ("Missed  diagnoses", "Missed defaults"),  # a phrase counts before its words
        ("missed\ndiagnosis", "missed default"),  # a line may end in it
        ("the disease of 3 of 9 ill patients", "the default of 3 of 9 defaulting applicants"),
        ("correct diagnoses of disease", "correct calls of default"),
        ("no medical device, not for clinical use", "no basis for a decision"),
        ("missed_diagnosis_rate, n_patients", "missed_diagnosis_rate, n_patients"),
        ("report.patients=shown, patients.csv", "report.patients=shown, patients.csv"),
        ("will, skill, impatient, illness", "will, skill, impatient, illness"),
        ("", ""),
    ],
)
def test_words_and_phrases_follow_and_names_stay(text, said):
    assert in_words(text, CREDIT) == said
    assert in_words(said, CREDIT) == said


@pytest.mark.parametrize("words", [None, {}])
def test_without_words_of_a_sector_nothing_is_touched(words, tmp_path):
    page = "<p title='ill'>no medical device, not for clinical use: a patient</p>"
    assert in_words(page, words) == html_in_words(page, words) == in_columns(page, words) == page
    (tmp_path / "page.html").write_text(page)
    before = (tmp_path / "page.html").stat().st_mtime_ns
    retell(tmp_path, words)
    assert (tmp_path / "page.html").stat().st_mtime_ns == before


@pytest.mark.parametrize("sector", SECTORS)
def test_every_word_of_the_vocabulary_is_put_in_by_every_sector(sector):
    words = words_of(sector)
    for given, put in words.items():
        assert in_words(f"the {given}.", words) == f"the {put}."
        assert in_words(put, words) == put, "a second telling changes nothing"


def test_of_a_page_only_what_is_read_changes():
    page = (
        '<style>.patient{}</style><a href="#ill-patients" title="ill patients" class="patient">'
        "the ill</a><script>const patient = 1 < 2</script><!-- patient -->"
        '<svg aria-label="a patient"><text>healthy</text></svg>'
    )
    assert html_in_words(page, CREDIT) == (
        '<style>.patient{}</style><a href="#ill-patients" title="defaulting applicants" '
        'class="patient">the defaulting</a><script>const patient = 1 < 2</script><!-- patient -->'
        '<svg aria-label="an applicant"><text>repaying</text></svg>'
    )


def test_columns_stay_where_they_are():
    heading = "missed diagnoses  ill patients   false alarms"
    row = "0.1               0.2            0.3"
    told = in_columns(f"{heading}\n{row}", CREDIT).split("\n")
    assert told[1] == row
    assert told[0].index("defaulting") == heading.index("ill")
    # a longer word takes of the gap behind it, and leaves two blanks
    assert told[0] == "missed defaults   defaulting applicants  false alarms"


def test_of_a_table_single_words_are_names_in_titles_and_cells():
    table = 'patients,the patient,threat\n3,"missed diagnoses, eps 1",clinical\n'
    assert table_in_words(table, CREDIT) == (
        'patients,the applicant,threat\n3,"missed defaults, eps 1",clinical\n'
    )
    assert table_in_words("", CREDIT) == ""


def test_a_folder_is_retold_but_for_what_machines_read(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/a.svg").write_text("<text>ill</text>")
    (tmp_path / "summary.txt").write_text("an ill patient\n")
    (tmp_path / "rows.parquet").write_bytes(b"patient")
    (tmp_path / "audit.json").write_text('{"said": "a patient"}')
    parts = [{"kind": "note", "path": "plots/patient.svg", "text": "a patient", "patients": 3}]
    (tmp_path / "chapters.json").write_text(json.dumps(parts))
    retell(tmp_path, CREDIT)
    assert (tmp_path / "plots/a.svg").read_text() == "<text>defaulting</text>"
    assert (tmp_path / "summary.txt").read_text() == "a defaulting applicant\n"
    assert (tmp_path / "rows.parquet").read_bytes() == b"patient"
    assert (tmp_path / "audit.json").read_text() == '{"said": "a patient"}'
    assert json.loads((tmp_path / "chapters.json").read_text()) == [
        {"kind": "note", "path": "plots/patient.svg", "text": "an applicant", "patients": 3}
    ]


@pytest.mark.parametrize(
    "text",
    [
        "column 'outcome': 'ill' and 'very ill patients' are unknown",
        'class "healthy", from "a patient"',
        "`patients` and `medsecure key new ward --role clinician`",
        "data/patients/ill.csv, patients/diagnoses, C:\\clinic\\a",
    ],
)
def test_what_is_quoted_or_part_of_a_path_stays(text):
    assert in_words(text, CREDIT) == text


def test_an_apostrophe_quotes_nothing():
    said = in_words("the patients' values, a patient's diagnoses, the clinics' own", CREDIT)
    assert said == "the applicants' values, an applicant's outcomes, the clinics' own"


def test_names_of_the_data_stay_wherever_they_stand():
    words = with_names(
        CREDIT, ["ill relative", "Patient", "income", "missed diagnosis of 2 clinics"]
    )
    assert in_words("ill relative, Ill relative, an ill patient", words) == (
        "ill relative, Ill relative, a defaulting patient"
    )
    assert in_words("missed diagnosis of 2 clinics; missed diagnosis of a clinic", words) == (
        "missed diagnosis of 2 clinics; missed default of a bank"
    )
    assert "income" not in words
    assert with_names({}, ["patient"]) == {}


def test_data_is_retold_but_for_keys_and_names():
    told = {"risk": "clinic", "patients": ["a patient", 3, None, {"ill": "an ill patient"}]}
    assert data_in_words(told, CREDIT) == {
        "risk": "clinic", "patients": ["an applicant", 3, None, {"ill": "a defaulting applicant"}],
    }  # fmt: skip
    assert data_in_words(told, None) == told


def test_what_the_names_of_metrics_stand_for_is_told_in_a_sector_alone():
    said = names_told(CREDIT)
    assert "`missed_diagnosis` for missed default" in said
    assert in_words(said, CREDIT) == said
    assert names_told(None) == names_told({}) == ""
