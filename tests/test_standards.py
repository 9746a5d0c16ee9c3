"""The table of ids: nothing outside it, nothing in it that is never named."""

import re

import pytest

from pipeline.standards import (
    ATLAS,
    EPS_UNIT,
    EVASION_BY_ACCESS,
    GOALS,
    KNOWLEDGE,
    NIST,
    OWASP,
    RISKS,
    THREAT_COLUMNS,
    Standards,
    checked_row,
    describe_threat,
)

TABLES = {"atlas": ATLAS, "nist": NIST, "owasp": OWASP}
PATTERN = {
    "atlas": r"AML\.T\d{4}(\.\d{3})?",
    "nist": r"NISTAML\.0\d{1,2}",
    "owasp": r"ML(0[1-9]|10):2023",
}
ROW = {"norm": "linf", "goal": "any", "mutable": ("glucose", "bmi"), "access": "gradients"}


@pytest.mark.parametrize("catalogue", TABLES)
def test_ids_look_as_the_catalogue_writes_them_and_have_a_name_of_their_own(catalogue):
    table = TABLES[catalogue]
    assert all(re.fullmatch(PATTERN[catalogue], one) for one in table)
    assert all(name.strip() == name and name for name in table.values())
    assert len(set(table.values())) == len(table)
    assert list(table) == sorted(table)


def test_model_extraction_is_not_taken_for_exfiltration_by_other_means():
    assert "AML.T0025" not in ATLAS  # "Exfiltration via Cyber Means"
    assert RISKS["extraction"].atlas[0] == "AML.T0024.002"
    assert "Extract AI Model" in ATLAS["AML.T0024.002"]


@pytest.mark.parametrize("catalogue", TABLES)
@pytest.mark.parametrize("unknown", ["AML.T9999", "NISTAML.999", "ML11:2023", ""])
def test_an_unknown_id_is_refused_by_name(catalogue, unknown):
    known = next(iter(TABLES[catalogue]))
    Standards(**{catalogue: (known,)})
    with pytest.raises(ValueError, match=rf"{catalogue.upper()}.*{re.escape(unknown)}"):
        Standards(**{catalogue: (known, unknown)})


def test_an_id_of_another_catalogue_is_refused():
    with pytest.raises(ValueError, match="ATLAS"):
        Standards(atlas=("NISTAML.022",))


def test_every_risk_is_in_a_catalogue_and_every_evasion_among_the_risks():
    assert all(risk.atlas and risk.nist for risk in RISKS.values())
    for access, ids in EVASION_BY_ACCESS.items():
        assert (ids in RISKS.values()) == (access != "none")


def test_every_technique_of_the_table_belongs_to_a_risk():
    assert set(ATLAS) == {one for risk in RISKS.values() for one in risk.atlas}


def test_a_white_box_is_one_and_a_black_box_is_one():
    for access, ids in EVASION_BY_ACCESS.items():
        assert ("AML.T0044" in ids.atlas) == (KNOWLEDGE[access] == "white box")
        assert ("AML.T0040" in ids.atlas) == (KNOWLEDGE[access] == "black box")
        assert ("NISTAML.025" in ids.nist) == (KNOWLEDGE[access] in ("black box", "grey box"))
    assert KNOWLEDGE.keys() == EVASION_BY_ACCESS.keys()


@pytest.mark.parametrize("access", EVASION_BY_ACCESS)
@pytest.mark.parametrize("norm", EPS_UNIT)
@pytest.mark.parametrize("goal", GOALS)
def test_every_row_is_named_completely(access, norm, goal):
    row = describe_threat(
        norm=norm, goal=goal, mutable=["glucose", "bmi"], access=access, query_budget=100
    )
    assert tuple(row) == THREAT_COLUMNS
    assert all(isinstance(value, str) and value for value in row.values())
    assert (row["norm"], row["goal"], row["access"]) == (norm, goal, access)
    assert row["mutable"] == "glucose bmi"
    assert row["query_budget"] == "100"
    for catalogue, table in TABLES.items():
        ids = row[catalogue].split()
        assert ids == ["none"] if access == "none" else set(ids) <= set(table)


def test_the_unit_of_eps_goes_with_the_norm():
    assert describe_threat(**ROW)["eps_unit"] == "reference SD, each value"
    assert describe_threat(**{**ROW, "norm": "l2"})["eps_unit"] == "reference SD, Euclidean"
    assert describe_threat(**{**ROW, "norm": "l0"})["eps_unit"] == "measurements"
    assert describe_threat(**ROW)["query_budget"] == "unlimited"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"norm": "l1"}, "norm: 'l1'"),
        ({"norm": ""}, "norm: ''"),
        ({"goal": "harm"}, "goal: 'harm'"),
        ({"access": "weights"}, "access: 'weights'"),
        ({"access": "scores"}, "query_budget: missing"),
        ({"access": "labels"}, "query_budget: missing"),
        ({"query_budget": -1}, "query_budget: -1"),
    ],
)
def test_a_threat_that_is_not_fully_named_is_refused(change, named):
    with pytest.raises(ValueError, match=named):
        describe_threat(**{**ROW, **change})


@pytest.mark.parametrize("column", THREAT_COLUMNS)
def test_a_row_without_a_column_is_refused(column):
    row = describe_threat(**ROW)
    assert checked_row({**row, "eps": "0.1"}) == row
    for faulty in (
        {**row, column: ""},
        {name: value for name, value in row.items() if name != column},
    ):
        with pytest.raises(ValueError, match=f"missing: {column}$"):
            checked_row(faulty)


@pytest.mark.parametrize(
    ("names", "written"),
    [
        ([], "nothing"),
        (["glucose"], "glucose"),
        (["Packs (per year)", "bmi"], '"Packs (per year)" bmi'),
        (['a "b"', "größe\tcm"], '"a ""b""" "größe\tcm"'),
    ],
)
def test_features_of_any_name_may_change(names, written):
    row = describe_threat(norm="linf", goal="any", mutable=names, access="gradients")
    assert row["mutable"] == written
