"""Conclusions of evasion are those of the rules: nothing is said that a planted pair forbids."""

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.risks.evasion.judged import WEIGHED, against_none, figure_of, front
from pipeline.risks.evasion.risk import judge
from pipeline.risks.evasion.view import View
from pipeline.risks.sentences import concluded

RATE = "missed_diagnosis_rate"


def planted(tables, context, differences, flags=None, se=0.01):
    """A view in which missed diagnoses differ from none by so much."""
    names = ["baseline", *differences]
    comparison = tables["comparison"]
    one = comparison[comparison["defense"] == "baseline"]
    lines = []
    for name in names:
        more = differences.get(name, 0.0)
        own = one.assign(defense=name, flags=(flags or {}).get(name, ""))
        lines.append(own.assign(missed_diagnosis_rate=0.5 + more))
    pairs = [
        {
            "figure": figure,
            "defense": b,
            "other": a,
            "difference": differences.get(b, 0.0) - differences.get(a, 0.0),
            "se": se,
            "patients": 100,
        }
        for figure in WEIGHED
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]
    known = {**tables, "comparison": pd.concat(lines), "evasion_pairs": pd.DataFrame(pairs)}
    return View(known, context.cfg)


def said(view, context):
    of_view = replace(context, judged=judge(view.tables))
    return concluded("evasion", figure_of(view, RATE), of_view)


def test_fewer_misses_are_better_and_a_difference_within_chance_is_not_told(tables, context):
    view = planted(tables, context, {"good": -0.2, "bad": 0.2, "same": 0.001})
    verdicts = {name: one.verdict for name, one in against_none(view, RATE).items()}
    assert verdicts == {"good": "better", "bad": "worse", "same": "not told apart"}
    assert said(view, context) == (
        "Against no defense, better: good by 0.200; worse: bad by 0.200; not told apart: same; "
        "best: good."
    )


def test_a_flag_goes_with_every_better(tables, context):
    view = planted(tables, context, {"good": -0.2}, {"good": "masked_gradients"})
    assert "better: good [masked gradients] by 0.200, but flagged" in said(view, context)


def test_who_is_told_to_be_worse_is_off_the_front_and_who_is_flagged_is_not_asked(tables, context):
    view = planted(tables, context, {"bad": 0.2, "near": 0.001, "odd": -0.3}, {"odd": "violations"})
    assert front(view) == {"baseline": (), "bad": ("baseline", "near"), "near": ()}


def test_where_nothing_was_paired_nothing_is_concluded(tables, context):
    alone = {name: table for name, table in tables.items() if name != "evasion_pairs"}
    view = View(alone, context.cfg)
    assert (against_none(view, RATE), said(view, context), front(view)) == ({}, "", {})


@pytest.mark.parametrize("spread", [0.01, 1.0])
def test_the_words_follow_the_standard_error(tables, context, spread):
    words = said(planted(tables, context, {"good": -0.1}, se=spread), context)
    assert ("not told apart" in words) == (spread == 1.0)
