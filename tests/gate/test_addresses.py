"""Figures are found where an address says, and nowhere else."""

import json

import pytest

from gate.made_up import MISSED, RIGHT, written
from pipeline.config.gates import Gate
from pipeline.files import BadInput
from pipeline.gate.addresses import Absent, find, known, short
from pipeline.gate.audits import Audit
from pipeline.risks import RISKS
from tiny import ROOT

EXAMPLE = ROOT / "docs" / "example" / "audit.json"


def gate(figure, **more):
    return Gate(figure=figure, at_least=0.0, **more)


@pytest.mark.parametrize(
    ("figure", "name"),
    [
        (RIGHT, "right_answers_under_attack"),
        (MISSED, "missed_diagnoses"),
        ("AUROC, 10 % of the records poisoned", "auroc_10_of_the_records_poisoned"),
        ("fidelity after 1000 queries, 2 victims", "fidelity_after_1000_queries_2_victims"),
        ("AUROC of the strongest attack (0.5: guessing)", "auroc_of_the_strongest_attack"),
    ],
)
def test_a_name_is_short_and_without_eps(figure, name):
    assert short(figure) == name


def test_a_figure_is_found_by_its_short_name_and_by_its_words(tmp_path):
    audit = written(tmp_path)
    for name in (RIGHT, short(RIGHT)):
        found = find(audit, gate(f"evasion/{name}"), "twin")
        assert (found.interval.value, found.good) == (0.79, "high")


def test_a_column_has_its_bounds_whatever_their_names(tmp_path):
    audit = written(tmp_path)
    found = find(audit, gate("comparison/robust_accuracy", eps=0.0), "good")
    assert (found.interval.low, found.interval.high) == (0.88, 0.92)
    chosen = gate("comparison/robust_accuracy", where={"threat": "sparse", "eps": 1.0})
    assert find(audit, chosen, "good").interval.value == 0.6


def test_a_value_that_a_column_lacks_is_a_mistake_in_words_and_absent_in_numbers(tmp_path):
    audit = written(tmp_path)
    with pytest.raises(BadInput, match="did you mean 'sparse'"):
        find(audit, gate("comparison/robust_accuracy", where={"threat": "sparce"}), "good")
    with pytest.raises(BadInput, match="did you mean 'threat'"):
        find(audit, gate("comparison/robust_accuracy", where={"thread": "sparse"}), "good")
    with pytest.raises(Absent, match="eps 7"):
        find(audit, gate("comparison/robust_accuracy", eps=7.0), "good")


def test_every_flag_of_the_example_is_one_that_a_risk_may_raise():
    raised = {one["flag"] for one in json.loads(EXAMPLE.read_text())["flags"]}
    assert raised
    assert raised <= {flag for risk in RISKS for flag in risk.flags()}


def test_every_figure_of_the_example_has_an_address_of_its_own():
    audit = Audit.read(EXAMPLE)
    told = json.loads(EXAMPLE.read_text())["figures"]
    assert len(known(audit)) == len({(one["risk"], one["figure"]) for one in told})
    for one in told:
        found = find(audit, gate(f"{one['risk']}/{short(one['figure'])}"), one["defense"])
        assert found.line is not None
        assert found.interval.value == one["value"]


def test_in_a_sector_a_figure_answers_to_the_name_on_the_page_and_to_its_own(tmp_path):
    audit = written(tmp_path)
    audit.content["audited"]["cohort"]["words"] = {
        "missed diagnoses": "missed defaults", "ill": "defaulting",
    }  # fmt: skip
    assert "evasion/missed_defaults" in known(audit)
    for name in ("missed_defaults", "missed_diagnoses", "missed defaults (of the defaulting)"):
        assert find(audit, gate(f"evasion/{name}"), "twin").title == MISSED
