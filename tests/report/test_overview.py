"""One line per threat: the right rows are compared, flagged defences never win, and who is better is better."""

import numpy as np
import pandas as pd
import pytest

from pipeline.report.overview import in_words, overview


def with_interval(table, *names):
    for name in names:
        table = table.assign(
            **{f"{name}_low": table[name] - 0.01, f"{name}_high": table[name] + 0.01}
        )
    return table


COMPARISON = pd.DataFrame(
    {
        "defense": ["baseline", "baseline", "hard", "hard", "masked", "masked"],
        "threat": "clinical",
        "eps": [0.0, 0.3] * 3,
        "flags": ["", "", "", "", "masked_gradients", "masked_gradients"],
        "robust_accuracy": [0.76, 0.6, 0.75, 0.7, 0.76, 0.9],
    }
).assign(robust_low=0.5, robust_high=0.95)
PRIVACY = with_interval(
    pd.DataFrame(
        {
            "defense": ["baseline"] * 3 + ["hard"] * 3,
            "attack": ["loss", "lira", "blind"] * 2,
            "auroc": [0.55, 0.6, 0.9, 0.58, 0.57, 0.9],
        }
    ),
    "auroc",
)
GUESSES = with_interval(
    pd.DataFrame(
        {
            "defense": ["baseline"] * 2 + ["hard"] * 2,
            "attribute": ["age", "glucose"] * 2,
            "attacker": "learned",
            "diagnosis": "known",
            "access": "scores",
            "group": "members",
            "error_alone": [6.0, 20.0] * 2,
            "uplift": [3.0, 16.0, 5.0, 18.0],
        }
    ),
    "uplift",
)
DAMAGE = with_interval(
    pd.DataFrame(
        {
            "defense": ["baseline", "baseline", "baseline", "baseline", "hard", "hard", "hard"],
            "attack": ["none", "flips", "other", "backdoor", "flips", "other", "backdoor"],
            "dose": [0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
            "goal": [
                "none",
                "availability",
                "availability",
                "backdoor",
                "availability",
                "availability",
                "backdoor",
            ],
            "accuracy": [0.76, 0.7, 0.65, np.nan, 0.66, 0.74, np.nan],
            "sensitivity": [0.6, 0.1, 0.5, np.nan, 0.4, 0.3, np.nan],
            "attack_success_rate": [np.nan, np.nan, np.nan, 0.8, np.nan, np.nan, 0.3],
        }
    ),
    "accuracy",
    "sensitivity",
    "attack_success_rate",
)
COPIES = with_interval(
    pd.DataFrame(
        {
            "defense": ["baseline", "baseline", "baseline", "hard"],
            "api": ["plain", "plain", "noisy", "plain"],
            "strategy": ["active", "equations", "active", "active"],
            "budget": [1000, 1000, 1000, 1000],
            "fidelity": [0.95, 1.0, 0.99, 0.97],
        }
    ),
    "fidelity",
)
EVERYTHING = {
    "comparison": COMPARISON,
    "privacy": PRIVACY,
    "inversion": GUESSES,
    "poisoning": DAMAGE,
    "theft": COPIES,
}


@pytest.fixture
def table():
    return overview(EVERYTHING, "clinical")


def test_one_line_per_threat(table):
    assert table["risk"].tolist() == [
        "evasion",
        "membership",
        "inversion",
        "poisoning",
        "poisoning",
        "poisoning",
        "theft",
    ]


def test_a_flagged_defence_never_wins(table):
    assert (table["undefended"][0], table["defense"][0], table["best"][0]) == (0.6, "hard", 0.7)


def test_each_defence_meets_the_attack_that_hurts_it_most(table):
    assert (table["undefended"][1], table["best"][1]) == (0.6, 0.58)
    assert (table["undefended"][3], table["best"][3]) == (0.65, 0.66)
    assert (table["undefended"][4], table["best"][4]) == (0.1, 0.3)  # by another attack


def test_inversion_is_about_what_the_undefended_model_tells_most(table):
    assert "glucose" in table["figure"][2]
    assert table["undefended"][2] == pytest.approx(0.8)
    assert table["undefended_low"][2] == pytest.approx(15.99 / 20)


def test_where_no_defence_does_better_none_is_named(table):
    assert table["defense"].tolist() == ["hard", "hard", "", "hard", "hard", "hard", ""]
    assert np.isnan(table["best"][6])
    assert table["undefended"][6] == 0.95  # neither the solved equations nor another API


def test_what_was_not_measured_has_no_line():
    some = overview(
        {"comparison": COMPARISON, "privacy": PRIVACY, "inversion": GUESSES.iloc[:0]}, "clinical"
    )
    assert some["risk"].tolist() == ["evasion", "membership"]


def test_without_a_baseline_the_best_is_still_named():
    tables = {name: table[table["defense"] != "baseline"] for name, table in EVERYTHING.items()}
    table = overview(tables, "clinical")
    assert table["undefended"].isna().all()
    assert (table["defense"] == "hard").all()
    assert in_words(table)["undefended"].tolist() == ["-"] * 7


def test_words_carry_the_interval(table):
    said = in_words(table)
    assert said["undefended"][1] == "0.600 (0.590 to 0.610)"
    assert said["best defence"][1] == "0.580 (0.570 to 0.590)  hard"
    assert said["best defence"][6] == "no defence does better"
