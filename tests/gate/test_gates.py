"""Planted cases: each has one right answer, and one state of all."""

import numpy as np
import pytest

from gate.made_up import DIGEST, RIGHT_ANSWERS, gates, written
from pipeline.files import BadInput
from pipeline.gate.gates import judge
from pipeline.gate.keyed import Keyed


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    return written(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same without tables, so that nothing is paired."""
    return written(tmp_path_factory.mktemp("alone"), tables=False)


def only(judged):
    (one,) = judged.outcomes
    return one


def limit(**more):
    return {"figure": RIGHT_ANSWERS, **more}


@pytest.mark.parametrize(
    ("gate", "answer", "state"),
    [
        (limit(at_least=0.75), "pass", "passed"),  # its low end is 0.75
        (limit(at_least=0.7501), "unclear", "unclear"),
        (limit(at_least=0.85), "unclear", "unclear"),
        (limit(at_least=0.8501), "fail", "failed"),
        (limit(at_most=0.85), "pass", "passed"),
        (limit(at_most=0.80), "unclear", "unclear"),
        (limit(at_most=0.74), "fail", "failed"),
        (limit(at_least=0.8, bound="point"), "pass", "passed"),
        (limit(at_least=0.801, bound="point"), "fail", "failed"),
        (limit(at_least=0.1, defense="flagged"), "flagged", "failed"),
        (limit(at_least=0.1, bound="point", defense="flagged"), "flagged", "failed"),
        (limit(at_least=0.1, defense="unmeasured"), "absent", "failed"),
        (limit(at_least=0.1, eps=0.2), "absent", "failed"),
        (limit(at_least=0.1, threat="sparse"), "absent", "failed"),
        (limit(at_least=0.7, eps=0.3, threat="clinical"), "pass", "passed"),
        ({"figure": "comparison/bare", "eps": 0.3, "at_least": 0.1}, "absent", "failed"),
        ({"forbid": "any"}, "pass", "passed"),
        ({"forbid": "any", "defense": "flagged"}, "fail", "failed"),
        ({"forbid": ["degenerate"], "defense": "flagged"}, "fail", "failed"),
        ({"forbid": ["masked_gradients"], "defense": "flagged"}, "pass", "passed"),
        ({"require": "reviewed"}, "pass", "passed"),
    ],
)
def test_a_gate_has_the_answer_that_was_planted(audit, gate, answer, state):
    judged = judge(gates(one=gate), audit)
    assert (only(judged).answer, judged.state) == (answer, state)


def test_nobody_reviewed(tmp_path):
    judged = judge(gates(one={"require": "reviewed"}), written(tmp_path, reviewed=False))
    assert only(judged).answer == "fail"


def test_without_a_gate_nothing_is_passed(audit):
    with pytest.raises(BadInput, match="no gate"):
        judge(gates(), audit)


def test_unclear_may_be_a_warning_and_absent_or_flagged_never(audit):
    asked = {"at_least": 0.82}
    assert judge(gates(one=limit(**asked), unclear="warn"), audit).state == "passed"
    assert judge(gates(one=limit(**asked, unclear="warn")), audit).state == "passed"
    assert judge(gates(one=limit(at_least=0.9), unclear="warn"), audit).state == "failed"
    for of in ("unmeasured", "flagged"):
        one = limit(**asked, unclear="warn", defense=of)
        assert judge(gates(one=one, unclear="warn"), audit).state == "failed"


def test_an_unclear_gate_says_how_many_patients_would_settle_it(audit):
    one = only(judge(gates(one=limit(at_least=0.77)), audit))
    # half a width of 0.05 must shrink to 0.03 * 1.96 / (1.96 + 0.84)
    assert one.patients == pytest.approx(
        400 * (0.05 / 0.03 * (1.95996 + 0.84162) / 1.95996) ** 2, 1e-3
    )
    at = only(judge(gates(one=limit(at_least=0.80)), audit))
    assert at.patients is None
    assert "no number of patients" in at.said


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (
            {"figure": "evasion/right_anwsers_under_attack", "at_least": 0.5},
            "did you mean 'evasion/right_an",
        ),
        (
            {"figure": "comparison/robust_acuracy", "eps": 0.3, "at_least": 0.5},
            "did you mean 'comparison/robust_accuracy'",
        ),
        (limit(at_least=0.5, defense="god"), "did you mean 'good'"),
        (limit(at_least=0.5, threat="clinicl"), "did you mean 'clinical'"),
        (limit(against="god", margin=0.1), "did you mean 'good'"),
        (limit(against="good", margin=0.1), "that is itself"),
        (limit(against="champion", margin=0.1), "no champion is named"),
        ({"forbid": ["degenerat"]}, "did you mean 'degenerate'"),
        (
            {"figure": "comparison/robust_accuracy", "at_least": 0.5},
            "3 rows fit; they differ in threat, eps",
        ),
        (
            {"figure": "comparison/robust_accuracy", "eps": 0.3, "against": "twin", "margin": 0.1},
            "good: high, low or zero",
        ),
        (limit(against="twin", margin=0.1, good="low"), "is good at high"),
    ],
)
def test_what_nobody_knows_is_refused_with_the_nearest_name(audit, gate, said):
    with pytest.raises(BadInput, match=r"^gate\.one: ") as refused:
        judge(gates(fine=limit(at_least=0.1), one=gate), audit)
    assert said in str(refused.value)


def test_all_faults_are_told_at_once(audit):
    with pytest.raises(BadInput) as refused:
        judge(
            gates(
                one={"forbid": ["x"]}, two=limit(at_least=0.1, threat="y"), accept={"z": "it is so"}
            ),
            audit,
            model_sha256="0" * 64,
        )
    lines = str(refused.value).splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["gate.one", "gate.two", "gate.accept"]
    assert "not an audit of the model" in lines[3]


def test_another_model_than_the_audited_one_is_refused(audit):
    asked = gates(one=limit(at_least=0.1))
    assert judge(asked, audit, model_sha256=DIGEST).state == "passed"
    with pytest.raises(BadInput, match="not an audit of the model"):
        judge(asked, audit, model_sha256=DIGEST[::-1])


# ---- flags that are known ----


def test_an_accepted_flag_stands_in_nobodys_way_and_is_said(audit):
    asked = gates("flagged", {"degenerate": "screening only"}, one=limit(at_least=0.1))
    judged = judge(asked, audit)
    assert judged.state == "passed"
    assert judged.accepted == {"flagged: degenerate": "screening only"}


def test_a_flag_that_is_forbidden_by_name_cannot_be_accepted(audit):
    asked = gates("flagged", {"degenerate": "so"}, one={"forbid": ["degenerate"]})
    assert judge(asked, audit).state == "failed"
    asked = gates("flagged", {"degenerate": "so"}, one={"forbid": "any"})
    assert judge(asked, audit).state == "passed"


# ---- against another one ----


def against(who, margin, **more):
    return limit(against=who, margin=margin, **more)


def test_not_inferior_where_the_pair_is_known_and_unclear_by_intervals_alone(audit, alone):
    asked = gates(one=against("twin", 0.05), defense="good")
    paired, unpaired = only(judge(asked, audit)), only(judge(asked, alone))
    assert paired.answer == "pass"
    assert "paired, on the same patients" in paired.said
    assert unpaired.answer == "unclear"
    assert "unpaired intervals" in unpaired.said
    strict = gates(one=against("twin", 0.05, test="paired"))
    assert judge(strict, audit).state == "passed"
    assert only(judge(strict, alone)).answer == "absent"


def test_an_order_that_was_written_the_other_way_round_is_the_same_pair(audit):
    one = only(judge(gates("twin", one=against("good", 0.02)), audit))
    assert one.interval.value == pytest.approx(-0.01)
    assert one.answer == "pass"


def test_inferior_by_more_than_the_margin_fails(audit):
    assert only(judge(gates("baseline", one=against("good", 0.05)), audit)).answer == "fail"
    # told to be worse, and by less than the margin: that is what a margin allows
    assert only(judge(gates("baseline", one=against("good", 0.15)), audit)).answer == "pass"


def test_a_column_of_a_table_is_paired_where_the_pair_is_of_that_row(audit):
    at = {"figure": "comparison/robust_accuracy", "eps": 0.3, "threat": "clinical", "good": "high"}
    assert (
        "paired, on"
        in only(judge(gates(one={**at, "against": "twin", "margin": 0.05}), audit)).said
    )
    bad = {**at, "good": "low", "against": "twin", "margin": 0.001}
    assert only(judge(gates(one=bad), audit)).answer == "fail"


def test_a_pair_of_another_row_is_not_taken(audit, tmp_path):
    other = written(tmp_path, values={"baseline": 0.70, "good": 0.81})
    said = only(judge(gates(one=against("baseline", 0.05)), other)).said
    assert "unpaired intervals" in said  # the table's pair differs by 0.10, these by 0.11


def test_a_champion_is_another_audit(audit, tmp_path):
    weaker = written(tmp_path / "weaker", values={"good": 0.5})
    better = written(tmp_path / "better", values={"good": 0.99})
    asked = gates(one=against("champion", 0.02))
    assert judge(asked, audit, weaker).state == "passed"
    assert judge(asked, audit, better).state == "failed"
    flagged = written(tmp_path / "flagged", values={"good": 0.5}, flags=[("good", "degenerate")])
    assert only(judge(asked, audit, flagged)).answer == "flagged"
    named = asked.model_copy(update={"champion_defense": "twin"})
    assert only(judge(named, audit, audit)).interval.value == pytest.approx(0.01)


def kept(seed, lead=0.0, salt="s"):
    """Verdicts on 60 patients, as they lie beside an audit."""
    rng = np.random.default_rng(seed)
    each = np.clip(np.random.default_rng(0).random(60) + lead + 0.02 * rng.random(60), 0, 1)
    return Keyed(salt, {"good": {RIGHT_ANSWERS.split("/")[1]: dict(enumerate(each))}})


def test_a_champion_is_paired_where_verdicts_on_the_same_patients_were_kept(audit, tmp_path):
    """Unpaired the intervals say nothing of 0.05; patient by patient it is clear."""
    champion = written(tmp_path / "champion", values={"good": 0.80})
    asked = gates(one=against("champion", 0.05))
    unpaired = only(judge(asked, audit, champion))
    assert (unpaired.answer, "unpaired" in unpaired.said) == ("unclear", True)
    told = only(judge(asked, audit, champion, keyed=(kept(1), kept(2))))
    assert told.answer == "pass"
    assert "paired, on the 60 patients of both" in told.said
    worse = only(judge(asked, audit, champion, keyed=(kept(1), kept(2, lead=-0.3))))
    assert worse.answer == "fail"
    assert worse.interval.value < -0.05
    other = only(judge(asked, audit, champion, keyed=(kept(1), kept(2, salt="t"))))
    assert other.said == unpaired.said
    strict = gates(one=against("champion", 0.05) | {"test": "paired"})
    assert only(judge(strict, audit, champion)).answer == "absent"
    assert only(judge(strict, audit, champion, keyed=(kept(1), kept(2)))).answer == "pass"


def test_a_pair_of_what_is_good_when_low_is_turned(audit, tmp_path):
    missed = "evasion/missed_diagnoses"
    asked = gates(one={"figure": missed, "against": "champion", "margin": 0.05})
    champion = written(tmp_path / "champion")
    sides = tuple(
        Keyed("s", {"good": {"missed_diagnoses": dict(enumerate(each))}})
        for each in (np.linspace(0, 0.5, 60), np.linspace(0.3, 0.8, 60))
    )
    assert only(judge(asked, audit, champion, keyed=sides)).answer == "fail"
    assert only(judge(asked, audit, champion, keyed=sides[::-1])).answer == "pass"


def test_nothing_follows_from_intervals_of_no_width(audit, tmp_path):
    sure = written(tmp_path / "sure", half=0.0)
    champion = written(tmp_path / "champion", half=0.0, values={"good": 0.1})
    assert only(judge(gates(one=against("champion", 0.05)), sure, champion)).answer == "absent"
    assert only(judge(gates(one=limit(at_least=0.1)), sure)).answer == "absent"
    assert only(judge(gates(one=limit(at_least=0.1, bound="point")), sure)).answer == "pass"


def test_a_champion_under_another_threat_is_no_champion(audit, tmp_path):
    other = written(tmp_path, values={"good": 0.5})
    for one in other.content["figures"]:
        one["threat"] = "clinical; black box"
    assert only(judge(gates(one=against("champion", 0.02)), audit, other)).answer == "absent"


def test_two_comparisons_are_corrected_together(audit):
    """Each alone is told at 0.025, one-sided; the two together are not."""
    # good less twin 0.01, se 0.002: z = (0.01 + margin) / 0.002; twin less good: (margin - 0.01)
    margin = 0.01 + 2.1 * 0.002
    alone = judge(gates("twin", one=against("good", margin)), audit)
    assert alone.state == "passed"
    twice = judge(gates("twin", one=against("good", margin), two=against("good", margin)), audit)
    assert [one.answer for one in twice.outcomes] == ["unclear", "unclear"]
    assert twice.tests == 2
    assert twice.outcomes[0].p == pytest.approx(2 * alone.outcomes[0].p)


# ---- digests ----


def test_the_digest_of_the_gates_follows_limits_and_champion(audit, tmp_path):
    plain = judge(gates(one=limit(at_least=0.5)), audit)
    assert plain.gate_sha256 == judge(gates(one=limit(at_least=0.5)), audit).gate_sha256
    assert plain.gate_sha256 != judge(gates(one=limit(at_least=0.6)), audit).gate_sha256
    champion = written(tmp_path)
    assert plain.gate_sha256 != judge(gates(one=limit(at_least=0.5)), audit, champion).gate_sha256
    assert plain.audit_sha256 == audit.sha256
