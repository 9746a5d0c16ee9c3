"""Forged scans as people read them: every sentence follows from the tables."""

import pytest

import handwritten
import parts
import scans
from pipeline.presentation.chapter import Picture
from pipeline.risks.forgery.report import NAMES, effect, worth
from pipeline.risks.forgery.risk import RISK
from pipeline.risks.forgery.tables import FOUND
from pipeline.risks.risk import Context, Sources
from risks.forgery.made_up import EASY, FORGERIES, answers, dataset, found

pytestmark = pytest.mark.heavy
CHECKED = {"state": "checked", "scans": 200, "covers": ["pixels", "label"], "key": "ab12"}
SEAMS = {(name, "as_is"): EASY for name in FORGERIES[:2]}
ALL = {(name, how): EASY for name in FORGERIES for how in ("as_is", "blur")}


@pytest.fixture(scope="module")
def cfg():
    return handwritten.configured().model_copy(update={"data": scans.described(patients="shown")})


@pytest.fixture
def written(cfg, tmp_path):
    """Maps what was measured to tables, the chapter and the context."""

    def write(measured, *, missed=0, patients="shown"):
        place = tmp_path / "forgery"
        place.mkdir(exist_ok=True)
        measured.save(place)
        answers(missed=missed).save(place / "baseline.safetensors")
        report = cfg.report.model_copy(update={"patients": patients})
        context = Context(dataset(), cfg.model_copy(update={"report": report}))
        tables = RISK.tables(Sources({}, tmp_path), context)
        (chapter,) = RISK.chapters(tables, context, tmp_path)
        return tables, chapter, context

    return write


def test_a_forger_who_blurs_leaves_no_defense(written):
    tables, chapter, context = written(found(SEAMS))
    said = worth(tables[FOUND])
    assert "finds 2 of 5 forgeries (copied within the scan, spliced from another scan)" in said
    assert "none of 5 forgeries once the scan is blurred" in said
    assert said.endswith("no defense against a forger who blurs, at this size.")
    assert chapter.result == said
    assert RISK.finding(tables, context).text == said
    assert parts.is_short(chapter)


@pytest.mark.slow
def test_the_sentence_turns_with_the_figures(written):
    assert worth(written(found())[0][FOUND]).endswith(
        "no defense against any forger here, at this size."
    )
    assert worth(written(found(ALL))[0][FOUND]).endswith(
        "none of these forgers hides by a blur; nothing is said of others."
    )
    some = SEAMS | {("splice", "blur"): EASY}
    assert worth(written(found(some))[0][FOUND]).endswith(
        "a defense against a forger who blurs in these alone."
    )


@pytest.mark.slow
def test_what_holds_is_said_with_its_state(written):
    _, chapter, _ = written(found())
    assert "nobody vouches for the scans: provenance: not checked." in parts.notes(chapter)
    tables, chapter, context = written(found(provenance=CHECKED))
    said = "the digests of 200 scans (pixels label) were held against the manifest that the key"
    assert f"{said} ab12... signed" in parts.notes(chapter)
    assert "ab12" in RISK.finding(tables, context).more


@pytest.mark.slow
def test_the_diagnosis_is_told_by_verdicts(written):
    tables, _, context = written(found(), missed=20)
    said = effect(tables["forgery_answers"], context)
    assert "called healthy of the ill 0.000 (0.000 to 0.037), spliced from another scan" in said
    assert said.endswith("worse.")
    harmless = effect(written(found())[0]["forgery_answers"], context)
    assert "worse" not in harmless
    assert harmless.count("not told apart") == 2


def test_a_scan_is_drawn_only_where_patients_are_shown(written, tmp_path):
    _, chapter, _ = written(found())
    (picture,) = parts.of_kind(chapter, Picture)
    assert picture.patients
    assert picture.path.stem in RISK.private
    first = picture.path.read_bytes()
    written(found())
    assert picture.path.read_bytes() == first
    _, chapter, _ = written(found(), patients="hidden")
    assert not parts.of_kind(chapter, Picture)


def test_records_have_no_chapter(cfg):
    context = Context(dataset(), cfg)
    assert RISK.chapters({}, context, None) == ()
    assert RISK.finding({}, context) is None
    assert RISK.untested({}, context) == ()


def test_every_forgery_has_a_name_for_people():
    assert set(NAMES) == {"none", *FORGERIES}
    assert len(set(NAMES.values())) == len(NAMES)
