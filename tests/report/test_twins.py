"""What stands beside the page: it is all written, says the same, and keeps to the wording rules."""

import json
import re

import jsonschema
import pytest

from pipeline.report import AUDIT, AUDIT_SCHEMA, CARD, CHAPTERS
from pipeline.report.paged import HEADINGS, LEFT_OUT, cut_of, texts_of
from pipeline.risks import RISKS
from pipeline.risks.catalogues import CATALOGUES
from pipeline.risks.conclusions import questions
from report.wording import shown, violations
from tiny import ROOT

pytestmark = pytest.mark.heavy


@pytest.fixture
def audit(evaluated):
    return json.loads((evaluated.folder / AUDIT).read_text(encoding="utf-8"))


@pytest.fixture
def chapters(evaluated):
    return json.loads((evaluated.folder / CHAPTERS).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_audit_of_the_real_risks_is_as_its_schema_says(evaluated, audit):
    schema = json.loads((evaluated.folder / AUDIT_SCHEMA).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(audit)
    assert {one["risk"] for one in audit["figures"]} <= {risk.name for risk in RISKS}
    assert len(audit["figures"]) > 10
    digests = {name: one.digest for name, one in evaluated.populations.items()}
    assert audit["audited"]["models"]["sha256"] == digests


def test_every_row_of_the_catalogues_is_in_the_audit_and_leads_to_what_is_there(evaluated, audit):
    rows = {(one["document"], one["id"]) for one in audit["evidence"]}
    assert rows == {(one.document, row) for one in CATALOGUES for row in one.rows}
    files = {one["artefact"] for one in audit["evidence"]} - {"", "dvc.yaml"}
    assert files
    assert all((evaluated.folder / name).is_file() for name in files)
    sections = {one["section"] for one in audit["evidence"]} - {"", "All risks"}
    page = (evaluated.folder / "report.html").read_text(encoding="utf-8")
    assert all(f". {title}</h2>" in page for title in sections)


def test_pictures_of_the_chapters_lie_beside_them(evaluated, chapters):
    def pictures(parts):
        for part in parts:
            yield from [part["path"]] if part["kind"] == "picture" else []
            yield from pictures(part.get("parts", ()))

    paths = [path for one in chapters for path in pictures(one["parts"])]
    assert paths
    assert all((evaluated.folder / path).is_file() for path in paths)


def test_the_tiny_clinic_hides_its_patients_or_says_where_they_were(chapters):
    said = [text for one in chapters for text in texts_of(one["parts"])]
    assert LEFT_OUT in said


# ---- wording ----


@pytest.mark.parametrize(
    "said",
    [
        "This model complies with Art. 15.", "is GDPR-ready", "The defense ensures privacy.",
        "a certified product", "It meets the requirements.", "Safe for patients.",
        "adv_train is robust", "in compliance with",
    ],
)  # fmt: skip
def test_a_claim_is_found(said):
    assert violations(said)


@pytest.mark.parametrize(
    "said",
    [
        "certified accuracy 0.5", "certified AUROC", "the attack that meets the defense",
        "robust accuracy 0.6", "safety",
    ],
)  # fmt: skip
def test_a_word_of_the_field_is_none(said):
    assert violations(said) == []


def test_no_page_card_or_json_claims_what_nobody_can_prove(evaluated):
    pages = sorted(evaluated.folder.glob("*.html"))
    assert len(pages) >= 2
    for page in pages:
        assert violations(shown(page.read_text(encoding="utf-8"))) == [], page.name
    for name in (AUDIT, CARD, CHAPTERS, "summary.txt"):
        assert violations((evaluated.folder / name).read_text(encoding="utf-8")) == [], name


def test_every_headline_figure_has_an_interval(evaluated):
    for one in questions(evaluated.results, evaluated.cfg):
        table = one.figure.table.dropna()
        assert len(table), one.figure.figure
        assert (table["low"] <= table["value"]).all(), one.figure.figure
        assert (table["value"] <= table["high"]).all(), one.figure.figure


def test_every_headline_figure_says_of_how_many_and_against_whom(evaluated):
    asked = questions(evaluated.results, evaluated.cfg)
    if not any(one.figure.among for one in asked):
        pytest.xfail("no risk says of whom its figures are")
    lacking = [f"{one.risk}: {one.figure.figure}" for one in asked if not _complete(one.figure)]
    assert lacking == []


def _complete(figure):
    """With a number of patients, or of targets; with a threat, or none because nobody attacks."""
    quiet = any(word in figure.figure for word in ("without attack", "unattacked"))
    counted = any(letter.isdigit() for letter in figure.among) or "fewer than" in figure.among
    return counted and (quiet or bool(figure.threat))


# ---- three readers ----

ASKED = [
    (cut, *line)
    for cut, section in re.findall(
        r"^## [\w ]+: `(\w+)`\n(.*?)(?=^## |\Z)",
        (ROOT / "docs" / "readers.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    for line in re.findall(r"^\| (.*\?) \| (.*?) \| (.*?) \|$", section, flags=re.MULTILINE)
]
HTML = {"full": "report_shared.html", "facts": "facts.html", "privacy": "privacy.html"}


def test_each_of_three_readers_has_five_questions():
    assert [sum(one[0] == cut for one in ASKED) for cut in HTML] == [5, 5, 5]


def texts_of_cut(document):
    said = [document["title"], *document["findings"], *document["not_tested"], *document["flags"]]
    said += [document["headings"][name] for name in HEADINGS if document[name]]
    said += [text for pair in document["audited"] for text in pair]
    said += texts_of([document["overview"]]) if document["overview"] else []
    for one in document["chapters"]:
        said += [one["title"], one["result"], *texts_of(one["parts"])]
    return "\n".join(said)


@pytest.mark.parametrize(("cut", "question", "where", "words"), ASKED)
def test_a_reader_finds_the_answer_in_the_document_made_for_them(
    evaluated, audit, chapters, cut, question, where, words
):
    document = cut_of(audit, chapters, cut)
    if not document["chapters"] or not audit["not_tested"]:
        pytest.xfail("the chapters have nothing to say to this reader yet")
    told = [texts_of_cut(document), shown((evaluated.folder / HTML[cut]).read_text("utf-8"))]
    markers = re.findall(r"`([^`]+)`", words)
    assert markers
    for text in told:
        assert [one for one in markers if one.lower() not in text.lower()] == []
