"""Two audits: what changed, whose change it is, and how sure that is."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gate.made_up import content
from pipeline.gate.audits import Audit
from pipeline.gate.comparing import PAIRED, attributed, changes, drifted, paired
from pipeline.gate.keyed import Keyed

FIGURE = "evasion/right_answers_under_attack"
NAME = "right_answers_under_attack"


def audit(tmp_path, model="1", cohort="a", inputs=None, ill=100, **more):
    told = content(**more)
    told["audited"]["models"]["sha256"] = dict.fromkeys(told["audited"]["models"]["sha256"], model)
    told["audited"]["cohort"] |= {"sha256": cohort, "ill": ill}
    if inputs:
        told["audited"]["cohort"]["inputs"] = inputs
    return Audit(tmp_path / "audit.json", told)


def found(a, b, keyed=(None, None), looks=1, of="good"):
    return {one.address: one for one in changes(a, b, of, of, keyed, looks)}


def test_nothing_has_changed(tmp_path):
    one = audit(tmp_path)
    assert {x.found.verdict for x in found(one, one).values()} == {"not told apart"}


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.95, "better"), (0.65, "worse"), (0.78, "not told apart")]
)
def test_unpaired_intervals_tell_what_their_widths_allow(tmp_path, value, verdict):
    told = found(audit(tmp_path), audit(tmp_path, values={"good": value}))
    one = told[FIGURE]
    assert (one.found.verdict, one.method) == (verdict, "unpaired")
    assert one.found.difference.se == pytest.approx(0.05 / 1.959964 * math.sqrt(2))
    assert one.found.difference.value == pytest.approx(value - 0.80)
    # of what is good when low the sign is turned: HIGHER = BETTER
    missed = told["evasion/missed_diagnoses"]
    assert missed.found.difference.value == pytest.approx(value - 0.80)


def test_a_figure_under_another_threat_is_none_of_both(tmp_path):
    other = audit(tmp_path)
    for line in other.content["figures"]:
        line["threat"] = "black box"
    assert found(audit(tmp_path), other) == {}


def test_planned_looks_spend_the_error(tmp_path):
    a, b = audit(tmp_path), audit(tmp_path, values={"good": 0.884})  # z = 2.33, two figures
    assert found(a, b)[FIGURE].found.verdict == "better"
    assert found(a, b, looks=4)[FIGURE].found.verdict == "not told apart"


# ---- on the same patients ----


def keyed(values, salt="s"):
    return Keyed(salt, {"good": {NAME: values}})


def test_a_pair_is_the_mean_difference_on_the_patients_of_both():
    rng = np.random.default_rng(3)
    first, second = rng.random(60), rng.random(60)
    a = keyed({f"{n}": x for n, x in enumerate(first)} | {"x": 0.0})
    b = keyed({f"{n}": x for n, x in enumerate(second)} | {"y": 1.0})
    mean, se, count = paired((a, b), "good", "good", NAME)
    assert (mean, count) == (pytest.approx((second - first).mean()), 60)
    assert se == pytest.approx((second - first).std(ddof=1) / math.sqrt(60))


def test_a_pair_that_nobody_tells_apart_is_not_certain():
    a = keyed({f"{n}": 0.0 for n in range(53)})
    assert paired((a, a), "good", "good", NAME) == (0.0, pytest.approx(2**0.5 / 55), 53)


def test_intervals_of_no_width_are_none(tmp_path):
    one = audit(tmp_path, half=0.0)
    assert found(one, audit(tmp_path, half=0.0, values={"good": 0.1})) == {}


def test_another_salt_or_too_few_of_both_are_no_pair():
    values = {f"{n}": 1.0 for n in range(30)}
    assert paired((keyed(values), keyed(values)), "good", "good", NAME)[::2] == (0.0, 30)
    assert paired((keyed(values), keyed(values, "t")), "good", "good", NAME) is None
    assert paired((keyed(values), None), "good", "good", NAME) is None
    few = dict(list(values.items())[:29])
    assert paired((keyed(values), keyed(few)), "good", "good", NAME) is None


def test_the_same_difference_is_told_where_it_is_paired(tmp_path):
    """0.03 better: lost in two intervals of 0.05, told on the very patients."""
    a, b = audit(tmp_path), audit(tmp_path, model="2", values={"good": 0.83})
    first = {f"{n}": float(n % 5 > 0) for n in range(400)}
    second = {key: 1.0 if int(key) % 32 == 0 else one for key, one in first.items()}
    assert found(a, b)[FIGURE].found.verdict == "not told apart"
    one = found(a, b, (keyed(first), keyed(second)))[FIGURE]
    assert (one.method, one.patients) == (PAIRED, 400)
    assert one.found.difference.value == pytest.approx(
        np.mean([second[k] - first[k] for k in first])
    )
    assert found(a, b, (keyed(first), keyed(second, "t")))[FIGURE].method == "unpaired"


# ---- whose change it is ----


@pytest.mark.parametrize(
    ("model", "cohort", "overlap", "said"),
    [
        ("1", "a", False, "attacks, settings or chance"),
        ("1", "b", False, "of the patients"),
        ("2", "a", False, "of the model"),
        ("2", "b", True, "on the patients of both, is of the model"),
        ("2", "b", False, "cannot be told apart"),
        ("", "a", False, "nothing is attributed"),
    ],
)
def test_a_change_of_the_model_is_told_from_one_of_the_patients(
    tmp_path, model, cohort, overlap, said
):
    a, b = audit(tmp_path), audit(tmp_path, model=model, cohort=cohort)
    assert said in attributed(a, b, "good", "good", overlap)


# ---- patients ----

LINE = {"measurement": "glucose", "known": 400, "missing": 0.01, "mean": 120.0, "sd": 30.0}
LEVELS = {"measurement": "ward", "known": 400, "missing": 0.0, "levels": {"0": 0.5, "1": 0.5}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"mean": 122.0}, []),  # z = 0.94
        ({"mean": 130.0}, ["glucose"]),
        ({"mean": 130.0, "step": 40.0}, []),  # rounding alone may be as much
        ({"missing": 0.10}, ["glucose"]),
        ({"mean": None}, []),
        ({"missing": None}, []),
    ],
)
def test_a_drift_is_told_where_it_is_more_than_chance(tmp_path, change, told):
    a = audit(tmp_path, inputs=[LINE, LEVELS])
    b = audit(tmp_path, inputs=[{**LINE, **change}, LEVELS])
    assert [one.measurement for one in drifted(a, b, 1)] == told


def test_new_levels_and_more_of_the_ill_are_told(tmp_path):
    a = audit(tmp_path, inputs=[LINE, LEVELS])
    new = {**LEVELS, "levels": {"0": 0.5, "1": 0.4, "2": 0.1}}
    said = [one.said for one in drifted(a, audit(tmp_path, inputs=[LINE, new]), 1)]
    assert "level 2 0.0%, then 10.0%" in said
    (ill,) = drifted(a, audit(tmp_path, inputs=[LINE, LEVELS], ill=160), 1)
    assert (ill.measurement, ill.said) == ("", "ill 25.0%, then 40.0%")


def test_an_audit_that_does_not_say_has_not_drifted_nor_stayed(tmp_path):
    assert drifted(audit(tmp_path), audit(tmp_path, inputs=[LINE]), 1) is None


def test_drift_is_rarely_told_where_there_is_none(tmp_path):
    """Ten measurements, 200 pairs of cohorts: at most 5 of 100 with one false word (Holm)."""
    rng = np.random.default_rng(0)

    def cohort():
        x = rng.normal(size=(400, 10))
        return [
            {
                **LINE,
                "measurement": f"m{n}",
                "missing": 0.0,
                "mean": x[:, n].mean(),
                "sd": x[:, n].std(),
            }
            for n in range(10)
        ]

    base = audit(tmp_path)
    wrong = 0
    for _ in range(200):
        told = [replace(base, content=audit(tmp_path, inputs=cohort()).content) for _ in "ab"]
        wrong += bool(drifted(*told, 1))
    assert wrong <= 20  # 10 expected; P(more than 20) < 0.002
