"""What people read about the price of privacy: a table, three pictures in one, and what no epsilon covers."""

import re

import numpy as np
import pandas as pd
import pytest

from pipeline.risks.frontier.report import NOT_COVERED, draw_frontier, frontier_section

EPSILONS = [0.5, 4.0, np.nan]


@pytest.fixture
def table():
    lines = []
    for model, exact in (("mlp", False), ("linear", True)):
        for number, epsilon in enumerate(EPSILONS):
            line = {
                "model": model,
                "epsilon_claimed": epsilon,
                "epsilon_recomputed": epsilon,
                "delta": 1e-4,
                "noise_multiplier": 10.0 - 5 * number,
                "threat": "clinical",
                "radius": 0.3,
                "proved_exact": exact,
                "epsilon_lower_bound": 0.1 * number,
                "epsilon_ceiling": 3.6,
                "degenerate": model == "linear" and number == 0,
                "attack": "lira_fixed",
                "targets": 32,
            }
            for name, value in (
                ("accuracy", 0.75),
                ("auroc", 0.83),
                ("sensitivity", 0.6),
                ("proved_accuracy", 0.64),
                ("lira_tpr_at_1pct", 0.02),
                ("lira_auroc", 0.52),
            ):
                line |= {name: value, f"{name}_low": value - 0.01, f"{name}_high": value + 0.01}
            lines.append(line)
    return pd.DataFrame(lines)


def test_the_page_has_a_line_for_each_row_and_says_what_is_not_covered(table, tmp_path):
    section = frontier_section(table, draw_frontier(table, tmp_path))
    cells = np.array(re.findall(r"<td>(.*?)</td>", section)).reshape(6, -1)
    assert NOT_COVERED in section
    assert "data:image/png;base64," in section
    assert (
        section.count("at least 0.640 (0.630 to 0.650)") == 3
    )  # the models whose proofs are not exact
    assert "mlp 0.20, linear 0.20" in section  # what the audit sees where there is no noise
    assert cells[:, 1].tolist() == ["0.5", "4", "none"] * 2
    assert cells[:, 0].tolist() == ["mlp"] * 3 + ["linear [degenerate]", "linear", "linear"]


def test_the_same_table_gives_the_same_picture(table, tmp_path):
    (tmp_path / "again").mkdir()
    first, second = (
        draw_frontier(table, folder)[0].read_bytes() for folder in (tmp_path, tmp_path / "again")
    )
    assert first == second


def test_a_table_that_was_written_and_read_gives_the_same_page(table, tmp_path):
    table.to_csv(tmp_path / "frontier.csv", index=False)
    assert frontier_section(pd.read_csv(tmp_path / "frontier.csv"), []) == frontier_section(
        table, []
    )


def test_without_a_run_without_noise_there_is_no_control(table, tmp_path):
    claimed = table.dropna(subset="epsilon_claimed")
    assert "Without noise" not in frontier_section(claimed, draw_frontier(claimed, tmp_path))


def test_a_rate_that_nobody_could_see_is_a_dash(table):
    table[["lira_tpr_at_1pct", "lira_tpr_at_1pct_low", "lira_tpr_at_1pct_high"]] = np.nan
    assert frontier_section(table, []).count("<td>-</td>") == 6
