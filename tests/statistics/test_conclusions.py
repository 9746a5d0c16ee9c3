"""Verdicts follow the rules: Holm by hand, families hold their level, nobody is in a ring."""

from itertools import combinations
from math import inf

import numpy as np
import pytest

from pipeline.statistics.conclusions import (
    Difference,
    best,
    compare,
    dominated,
    holm,
    oriented,
    pareto_front,
    verdict_columns,
)


def verdicts(differences, **options):
    judged = compare(differences, patients=768, **options)
    return {name: one.verdict for name, one in judged.items()}


def all_pairs(figures, se):
    return {(a, b): Difference(figures[a] - figures[b], se) for a, b in combinations(figures, 2)}


def test_holm_by_hand():
    # Holm 1979: 0.01 x 4, 0.02 x 3, 0.03 x 2 = 0.06 and no less than what came before, 0.05
    assert holm([0.03, 0.01, 0.05, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_p_is_that_of_the_normal_distribution():
    assert Difference(1.959964, 1.0).p == pytest.approx(0.05, abs=1e-6)
    assert Difference(-1.959964, 1.0).p == pytest.approx(0.05, abs=1e-6)
    assert (Difference(0.0, 0.0).p, Difference(0.1, 0.0).p) == (1.0, 0.0)


def test_alone_a_difference_is_told_apart_that_among_others_is_not():
    one = Difference(0.022, 0.01)  # p 0.028
    assert verdicts({"a": one}) == {"a": "better"}
    assert verdicts({"a": one, "b": Difference(0.001, 0.01)}) == {
        "a": "not told apart",
        "b": "not told apart",
    }
    assert verdicts({"a": one, "b": Difference(-0.03, 0.01)}) == {"a": "better", "b": "worse"}


def test_columns_of_a_table_are_what_is_compared():
    asked = {"a": Difference(0.1, 0.02), "b": Difference(-0.01, 0.02), "c": Difference(0.0, 0.0)}
    told = verdict_columns(asked, patients=100)
    for key, one in compare(asked, patients=100).items():
        assert told[key] == {
            "difference": one.difference.value,
            "se": one.difference.se,
            "p": one.p,
            "verdict": one.verdict,
            "smallest_detectable": one.smallest_detectable,
        }


def test_no_difference_is_not_told_apart_and_no_number_of_patients_settles_it():
    judged = compare({"a": Difference(0.0, 0.0)}, patients=10)["a"]
    assert (judged.verdict, judged.patients_to_settle) == ("not told apart", inf)


def test_a_family_without_any_difference_seldom_claims_one():
    rng, wrong = np.random.default_rng(0), []
    for _ in range(2000):
        family = {name: Difference(rng.normal(0, 0.01), 0.01) for name in range(5)}
        wrong.append(any(v != "not told apart" for v in verdicts(family).values()))
    assert np.mean(wrong) < 0.065  # 0.05, and three standard errors of the simulation
    assert np.mean(wrong) > 0.03


def test_the_smallest_detectable_difference_is_detected_four_times_in_five():
    rng = np.random.default_rng(1)
    others = {name: Difference(0.0, 0.01) for name in range(3)}
    least = compare({**others, "a": Difference(0.0, 0.01)}, patients=768)["a"].smallest_detectable
    found = [
        verdicts({**others, "a": Difference(rng.normal(least, 0.01), 0.01)})["a"] == "better"
        for _ in range(2000)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_with_as_many_patients_as_would_settle_it_the_difference_is_detectable():
    judged = compare({"a": Difference(0.01, 0.02)}, patients=768)["a"]
    assert judged.patients_to_settle > 768
    se = 0.02 * (768 / judged.patients_to_settle) ** 0.5
    again = compare({"a": Difference(0.01, se)}, patients=768)["a"]
    assert again.smallest_detectable == pytest.approx(0.01, rel=1e-3)


def test_best_is_who_is_told_apart_from_everybody():
    figures = {"a": 0.5, "b": 0.7, "c": 0.4}
    found = best(figures, all_pairs(figures, 0.03), patients=768)
    assert (found.leader, found.proved, found.rivals) == ("b", True, ())
    assert found.closest.difference.value == pytest.approx(0.2)
    close = {"a": 0.65, "b": 0.7, "c": 0.4}
    found = best(close, all_pairs(close, 0.03), patients=768)
    assert (found.leader, found.proved, found.rivals) == ("b", False, ("a",))
    assert found.closest.difference.value == pytest.approx(0.05)
    assert found.closest.smallest_detectable > 0.05
    assert found.closest.patients_to_settle > 768


def test_the_leader_of_equals_is_seldom_called_best():
    rng, wrong = np.random.default_rng(2), []
    for _ in range(1000):
        figures = dict(zip("abcde", rng.normal(0, 1, 5), strict=True))
        wrong.append(best(figures, all_pairs(figures, 2**0.5), patients=768).proved)
    assert np.mean(wrong) < 0.05


def test_whoever_leads_is_corrected_over_all_pairs():
    figures = {"a": 0.0, "b": 2.5, "c": 0.0, "d": 0.0}  # p 0.0124: of 3 comparisons, not of 6
    found = best(figures, all_pairs(figures, 1.0), patients=768)
    assert (found.leader, found.proved, found.rivals) == ("b", False, ("a", "c", "d"))


def test_one_defense_is_not_the_best():
    with pytest.raises(ValueError, match="alone"):
        best({"a": 1.0}, {}, patients=768)


def test_a_difference_reads_both_ways():
    pairs = {("a", "b"): Difference(0.2, 0.1)}
    assert oriented(pairs, "a", "b") == Difference(0.2, 0.1)
    assert oriented(pairs, "b", "a") == Difference(-0.2, 0.1)
    with pytest.raises(ValueError, match="a and c is missing"):
        oriented(pairs, "a", "c")


def of_two(first, second, se=0.01):
    figures = {"found": first, "spared": second}
    return figures, {name: all_pairs(values, se) for name, values in figures.items()}


def test_who_is_behind_in_one_figure_and_ahead_in_none_is_dominated():
    found = dominated(*of_two({"a": 0.7, "b": 0.6}, {"a": 0.85, "b": 0.85}), patients=768)
    assert found == {"a": (), "b": ("a",)}


def test_who_is_ahead_in_anything_stays():
    figures, pairs = of_two({"a": 0.7, "b": 0.6}, {"a": 0.85, "b": 0.855})
    assert pareto_front(figures, pairs, patients=768) == ("a", "b")


def test_who_is_not_told_apart_stays():
    figures, pairs = of_two({"a": 0.7, "b": 0.69}, {"a": 0.86, "b": 0.85})
    assert pareto_front(figures, pairs, patients=768) == ("a", "b")


def test_somebody_is_always_left_and_nobody_dominates_who_dominates_them():
    rng = np.random.default_rng(3)
    for _ in range(200):
        first, second = (dict(zip("abcd", rng.normal(0, 0.03, 4), strict=True)) for _ in range(2))
        figures, pairs = of_two(first, second)
        found = dominated(figures, pairs, patients=768)
        assert pareto_front(figures, pairs, patients=768)
        assert not any(b in found[a] for b, above in found.items() for a in above)
