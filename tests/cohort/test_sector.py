"""The words of another sector: taken over from a data set that has them, and kept to be edited."""

import pandas as pd
import pytest
import yaml

import tiny
from pipeline.cohort.command import init
from pipeline.cohort.sector import HINT, lines_of, words_like
from pipeline.files import BadInput

PLACES = [tiny.ROOT / "conf" / "data"]


def test_what_is_written_is_read_back_as_it_was():
    words = words_like("credit", PLACES)
    told = yaml.safe_load("\n".join(lines_of(words)))["words"]
    assert told == words.model_dump()
    assert lines_of(None) == [HINT]
    assert HINT.startswith("#")


@pytest.mark.parametrize(("name", "said"), [("credt", "did you mean 'credit'"), ("pima", "known")])
def test_a_data_set_without_words_is_refused(name, said):
    with pytest.raises(BadInput, match=f"--words: '{name}' has no words of its own; .*{said}"):
        words_like(name, PLACES)


def test_what_a_project_calls_the_same_goes_before_the_package(tmp_path):
    mine = yaml.safe_load((PLACES[0] / "wine.yaml").read_text()) | {"name": "credit"}
    (tmp_path / "credit.yaml").write_text(yaml.safe_dump(mine))
    assert words_like("credit", [tmp_path, *PLACES]).patient == "lot"


def test_a_table_of_loans_is_asked_about_in_a_banks_words(tmp_path, monkeypatch, capsys):
    """A level that holds a clinic's word keeps its name, in the schema and on the pages."""
    monkeypatch.chdir(tmp_path)
    purposes = ["car", "house", "ill patient"] * 40
    table = {"income": range(1000, 1120), "purpose": purposes, "repaid": ["yes", "no", "yes"] * 40}
    pd.DataFrame(table).to_csv("loans.csv", index=False)
    assert init("loans.csv", "repaid", positive=["no"], words="credit") == 0
    schema = yaml.safe_load((tmp_path / "conf/data/loans.yaml").read_text())
    assert schema["words"]["patient"] == "applicant"
    assert "ill patient" in schema["features"]["purpose"]["levels"].values()
    pages = [*(tmp_path / "docs/data").glob("*.md")]
    told = [page.read_text() for page in pages] + [capsys.readouterr().out]
    assert any("Is this the default" in text for text in told)
    for text in told:
        assert "patient" not in text.replace("ill patient", "")
