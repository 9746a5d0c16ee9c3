"""The part on cleaning: every filter and attack at the headline dose, what cleaning costs, and no bare number."""

import pytest
from pipeline.risks.poisoning.filter_report import cleansing_section

from pipeline.attacks.poisoning import POISONS
from pipeline.presentation.numbers import interval_text
from pipeline.risks.poisoning.filter_tables import sanitising_table
from risks.poisoning.made_up import cleansings, damage

MEASURES = {
    "backdoor": "attack_success_rate",
    "missed_disease": "sensitivity",
    "worst_missed": "sensitivity",
}
FILTERS = ("neighbours", "majority", "loss")


@pytest.fixture
def table(cfg):
    poisoning = cfg.poisoning.model_copy(update={"attacks": list(POISONS), "doses": [1, 0.1, 0.2]})
    harmed = damage(60, doses=3, harm=2.0)
    cleaned = cleansings(harmed, filters=FILTERS, gain=1.5)
    return sanitising_table(cleaned, harmed, cfg.model_copy(update={"poisoning": poisoning}))


def cells_of(page):
    rows = [row.split("</tr>")[0] for row in page.split("<tr>")[1:]]
    return [[cell.split("</td>")[0] for cell in row.split("<td>")[1:]] for row in rows]


def said(line, name):
    return interval_text(*(line[f"{name}{end}"] for end in ("", "_low", "_high")))


def test_every_filter_and_attack_at_the_headline_dose(table):
    shown = {
        (cells[0], cells[1]): cells[2:]
        for cells in cells_of(cleansing_section(table))
        if len(cells) == 8
    }
    at = table[(table["dose"] == 0.1)]
    assert len(shown) == len(at) == len(FILTERS) * (len(POISONS) - 1)
    for _, line in at.iterrows():
        measure = MEASURES.get(line["attack"], "accuracy")
        names = [f"{measure}_without", measure, f"{measure}_difference"]
        expected = [
            said(line, "recall"),
            said(line, "false_alarm_rate"),
            "success" if line["attack"] == "backdoor" else measure,
        ]
        assert shown[line["attack"], line["filter"]] == [
            *expected,
            *(said(line, name) for name in names),
        ]


def test_what_cleaning_costs_without_poison(table):
    shown = {cells[0]: cells[1:] for cells in cells_of(cleansing_section(table)) if len(cells) == 6}
    assert set(shown) == set(FILTERS)
    for _, line in table[table["attack"] == "none"].iterrows():
        names = ["accuracy_without", "accuracy", "accuracy_difference"]
        expected = [
            said(line, "false_alarm_rate"),
            "accuracy",
            *(said(line, name) for name in names),
        ]
        assert shown[line["filter"]] == expected


def test_no_bare_number(table):
    numbers = [
        cell
        for cells in cells_of(cleansing_section(table))
        for cell in cells
        if any(one.isdigit() for one in cell)
    ]
    assert len(numbers) == 5 * len(FILTERS) * (len(POISONS) - 1) + 4 * len(FILTERS)
    assert all(" to " in cell for cell in numbers)


def test_what_was_not_run_is_not_shown(table):
    clean, poisoned = (
        cleansing_section(table[(table["attack"] == "none") == is_clean])
        for is_clean in (True, False)
    )
    assert "What cleaning costs" in clean
    assert "records poisoned:" not in clean
    assert "What cleaning costs" not in poisoned
    assert "10 % of a model's training records poisoned:" in poisoned
