"""The catalogues, and what risks say of their rows."""

import pytest

from pipeline.risks import RISKS
from pipeline.risks.catalogues import CATALOGUES, HERE, PARTLY, ROWS
from pipeline.standards import ATLAS, NIST, OWASP
from pipeline.standards import RISKS as TECHNIQUES


def test_no_row_stands_in_two_documents():
    assert len(ROWS) == sum(len(one.rows) for one in CATALOGUES)
    assert all(asks.strip() for asks in ROWS.values())


def test_five_issuers_are_asked_and_a_draft_is_called_one():
    assert len({one.issuer for one in CATALOGUES}) == 5
    top_ten = next(one for one in CATALOGUES if "Top 10" in one.document)
    assert "draft v0.3" in top_ten.document
    assert all(any(letter.isdigit() for letter in one.document) for one in CATALOGUES)


def test_a_row_of_the_opinion_names_its_paragraph_or_says_that_it_was_not_checked():
    (opinion,) = [one for one in CATALOGUES if one.issuer == "EDPB"]
    summed_up = {"extraction", "queries"}  # in its executive summary, which has no numbers
    for row in opinion.rows.keys() - summed_up:
        asks = opinion.rows[row]
        assert ("para. " in asks) != ("paragraph not checked" in asks), row
    tests = [asks for row, asks in opinion.rows.items() if row.startswith("testing")]
    assert [asks.partition("55")[2] for asks in tests] == [
        "(i)",
        "(i)",
        "(ii)",
        "(iii)",
        "(iv)",
        "(v)",
    ]


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: risk.name)
def test_a_risk_names_rows_and_tables_that_exist_each_once(risk):
    said = risk.evidence()
    assert said
    assert {one.id for one in said} <= set(ROWS)
    assert {one.status for one in said} <= {HERE, PARTLY}
    assert len({(one.id, one.table) for one in said}) == len(said)
    assert all(one.what.strip() for one in said)


@pytest.mark.heavy
@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: risk.name)
def test_the_tables_that_a_risk_names_are_drawn(risk, evaluated):
    named, known = {one.table for one in risk.evidence()}, set(evaluated.results[risk.name])
    if not named <= known:  # the tiny clinic did not run its stage
        known |= set(risk.columns())
    assert named <= known


@pytest.mark.heavy
def test_ids_of_attacks_are_those_that_the_attacks_carry(evaluated):
    """An attack under a catalogue's id was made, or the id is not claimed of attacks."""
    table = evaluated.results["evasion"]["attacks"]
    carried = {
        one for name in ("atlas", "nist", "owasp") for ids in table[name] for one in ids.split()
    }
    (evasion,) = [risk for risk in RISKS if risk.name == "evasion"]
    claimed = {one.id for one in evasion.evidence() if one.table == "attacks"}
    known = {*ATLAS, *NIST, *OWASP} & claimed
    assert known - carried <= NOT_IN_THE_TINY_SUITE | {"NISTAML.02"}


# The tiny clinic asks no model for scores or labels; test_standards holds their ids.
NOT_IN_THE_TINY_SUITE = {"AML.T0040", "AML.T0043.001"}


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: risk.name)
def test_evidence_of_single_patients_is_handed_to_nobody(risk):
    kept = risk.private | risk.per_patient
    assert not {one.table.split("/")[0] for one in risk.evidence()} & kept


def test_techniques_that_nothing_here_measures_are_evidence_of_nothing():
    """What the house itself lists as a risk without a measurement."""
    claimed = {one.id for risk in RISKS for one in risk.evidence()}
    for name in ("query_flooding", "supply_chain"):
        standards = TECHNIQUES[name]
        assert not claimed & {*standards.atlas, *standards.nist, *standards.owasp}
    assert "NISTAML.034" not in claimed  # property inference


def test_rows_of_the_known_techniques_are_all_of_them():
    rows = [set(one.rows) for one in CATALOGUES]
    assert all(set(known) in rows for known in (ATLAS, NIST, OWASP))
