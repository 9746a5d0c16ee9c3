"""The section on poison: the right rows, never a bare number, and pictures that are drawn."""

import numpy as np
import pytest

from pipeline.attacks.poisoning import POISON_FACTS, POISONS
from pipeline.risks.poisoning.report import damage_section, draw_damage, headline_dose, worst_line
from pipeline.risks.poisoning.tables import damage_table
from risks.poisoning.made_up import damage


@pytest.fixture
def table(cfg):
    poisoning = cfg.poisoning.model_copy(
        update={"attacks": list(POISONS), "doses": [1, 0.05, 0.1, 0.2]}
    )
    damages = {
        name: damage(80, doses=4, harm=harm)
        for name, harm in (("baseline", 3.0), ("dp_train", 1.0))
    }
    return damage_table(damages, cfg.model_copy(update={"poisoning": poisoning}))


def test_the_headline_is_ten_per_cent_or_what_is_nearest(table):
    assert headline_dose(table) == 0.1
    assert headline_dose(table[table["dose"] != 0.1]) == 0.05
    assert headline_dose(table[table["dose"].isin([0, 1])]) == 1


def test_the_worst_attack_and_the_best_defence_are_named_with_intervals(table):
    at = table[(table["dose"] == 0.1) & (table["goal"] == "availability")]
    worst = at[at["defense"] == "baseline"].sort_values("accuracy").iloc[0]
    best = at[at["attack"] == worst["attack"]].sort_values("accuracy").iloc[-1]
    said = [
        f"{one['accuracy']:.3f} ({one['accuracy_low']:.3f} to {one['accuracy_high']:.3f})"
        for one in (worst, best)
    ]
    expected = f"{worst['attack']} at 10 %: accuracy {said[0]} undefended, {said[1]} with dp_train"
    assert best["defense"] == "dp_train"
    assert worst_line(table) == expected


def test_where_no_defence_helps_it_says_so(table):
    assert worst_line(table[table["defense"] == "baseline"]).endswith(
        "undefended; no defence does better"
    )
    assert worst_line(table[table["defense"] == "dp_train"]) == ""


def test_the_section_shows_every_attack_and_no_bare_number(table, tmp_path):
    page = damage_section(table, draw_damage(table, tmp_path))
    assert all(f"<td>{attack}</td>" in page for attack in POISONS)
    cells = [cell.split("</td>")[0] for cell in page.split("<td>")[1:]]
    numbers = [cell for cell in cells if any(letter.isdigit() for letter in cell)]
    on_everybody = sum(
        facts.goal == "availability" for facts in POISON_FACTS.values()
    )  # accuracy and sensitivity
    assert len(numbers) == 2 * (len(POISONS) + on_everybody)
    assert all(" to " in cell for cell in numbers)
    assert page.count("<img") == 2


def test_pictures_are_the_same_bytes_for_the_same_table(table, tmp_path):
    first = [path.read_bytes() for path in draw_damage(table, tmp_path)]
    assert [path.read_bytes() for path in draw_damage(table, tmp_path)] == first
    assert {path.name for path in tmp_path.iterdir()} == {"poisoning.png", "poison_success.png"}


def test_what_was_not_run_is_not_drawn(table, tmp_path):
    flips = table[table["attack"].isin(["none", "random_flips"])]
    assert [path.name for path in draw_damage(flips, tmp_path)] == ["poisoning.png"]
    assert "random_flips" in damage_section(flips, [])
    assert not np.isnan(flips["accuracy"]).any()
