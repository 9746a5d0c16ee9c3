"""What chapters say alike: conclusions are those of the overview, counts of a few are not told."""

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.presentation.chapter import Note
from pipeline.risks.conclusions import Question, headline_table, overview_table
from pipeline.risks.pairs import PAIRS
from pipeline.risks.risk import Context, HeadlineFigure, Judgement
from pipeline.risks.sentences import (
    concluded,
    model_of,
    narrow,
    of_patients,
    patients_told,
    per_hundred,
    said,
    whose,
)

pytestmark = pytest.mark.heavy

NAN = float("nan")
VALUES = {"baseline": 0.60, "good": 0.50, "bad": 0.70, "same": 0.601}


@pytest.fixture
def context(dataset, cfg):
    return Context(dataset, cfg, {"good": Judgement()})


def figure(se=0.01, values=VALUES):
    names = list(values)
    pairs = [
        ("f", later, earlier, values[later] - values[earlier], se, 100)
        for at, earlier in enumerate(names)
        for later in names[at + 1 :]
    ]
    table = pd.DataFrame({"value": values, "low": values, "high": values}).rename_axis("defense")
    return HeadlineFigure("a rate", "low", table, pd.DataFrame(pairs, columns=list(PAIRS)))


def hidden(context):
    cfg = context.cfg
    report = cfg.report.model_copy(update={"patients": "hidden"})
    return replace(context, cfg=cfg.model_copy(update={"report": report}))


def test_a_conclusion_is_that_of_the_overview(context):
    asked = Question.of("any", figure())
    headlines = headline_table([asked], context.cfg.audit.confidence)
    (line,) = overview_table([asked], headlines, {}, context.cfg.audit.confidence).to_dict(
        "records"
    )
    assert (line["better"], line["worse"], line["best"]) == ("good", "bad", "good")
    assert concluded("any", figure(), context) == (
        "Against no defense, better: good by 0.100; worse: bad by 0.100; not told apart: same; "
        "best: good."
    )


def test_nobody_is_the_best_who_is_not_told_apart(context):
    text = concluded("any", figure(se=0.2), context)
    assert text == (
        "Against no defense, not told apart: good, bad, same; none is told to be the best."
    )


def test_a_flag_stands_beside_a_name_and_takes_its_praise_back(context):
    flagged = replace(context, judged={"good": Judgement({"masked_mouth": "why"})})
    text = concluded("any", figure(), flagged)
    assert "better: good [masked mouth] by 0.100, but flagged" in text
    assert "best: good" not in text


def test_without_pairs_nothing_is_concluded(context):
    assert concluded("any", replace(figure(), pairs=None), context) == ""
    assert concluded("any", figure(values={"baseline": 0.6}), context) == ""


def test_the_worst_is_told_of_no_defense_where_it_was_measured(context):
    assert whose(pd.DataFrame({"defense": ["a", "baseline"]})) == "baseline"
    assert whose(pd.DataFrame({"defense": ["a", "b"]})) == "a"
    assert model_of("baseline", context) == "the undefended model"
    flagged = replace(context, judged={"a": Judgement({"deaf": ""})})
    assert model_of("a", flagged) == "a [deaf]'s model"


def test_counts_of_patients(context):
    assert of_patients(0.25, 268, context) == "67 of 268"
    assert of_patients(0.25, 30, context) == "7.5 of 30"  # a mean over repetitions
    assert of_patients(0.25, NAN, context) == "0.250"
    assert patients_told(NAN, context) == "not told"


@pytest.mark.parametrize("count", [0.5, 1, 9, 9.9])
def test_a_few_patients_are_not_counted_where_they_are_hidden(context, count):
    assert patients_told(count, hidden(context)) == "fewer than 10"
    assert of_patients(count / 50, 50, hidden(context)) == "fewer than 10 of 50"
    assert of_patients(1 - count / 50, 50, hidden(context)) == "all but fewer than 10 of 50"
    assert patients_told(count, context) == f"{count:g}"


def test_nobody_and_many_may_be_told(context):
    assert patients_told(0, hidden(context)) == "0"
    assert patients_told(10, hidden(context)) == "10"
    assert of_patients(1.0, 50, hidden(context)) == "50 of 50"
    assert of_patients(0.8, 50, hidden(context)) == "40 of 50"


def test_a_wide_table_is_several_with_the_keys_in_front():
    table = pd.DataFrame([range(11)], columns=list("abcdefghijk"))
    tables = [part.table for part in narrow(table, ["a", "b"])]
    assert [list(one) for one in tables] == [list("abcdef"), list("abghij"), list("abk")]


def test_small_words():
    assert per_hundred(0.04013, 0.0357, 0.045) == "4.0 of 100 (3.6 to 4.5)"
    assert said("") == []
    assert said("text") == [Note("text", small=False)]
