"""Where models draw the line: on training records alone, and never behind a guarantee's back."""

from dataclasses import replace
from functools import wraps

import pytest
import torch

import tiny
from kinds import ScoresOnly
from pipeline.config import DecisionConfig, ModelConfig
from pipeline.data.nested import own_folds
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses import DEFENSES
from pipeline.defenses.decision import (
    DECISION,
    INNER,
    NOT_COVERED,
    OWN,
    PUBLIC,
    RECALIBRATION,
    TUNED,
    at_public_cut,
    check_decision,
    decided,
    under_guarantee,
)
from pipeline.defenses.trained import train, train_reported
from pipeline.defenses.unseen import out_of_sample, scored_within
from pipeline.files import BadInput, FailedCheck
from pipeline.models.answers import margin
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.params import parse
from pipeline.risks.poisoning.measure.certificate import certify
from pipeline.statistics.calibration import platt
from pipeline.statistics.operating_point import cut_by

AT = DecisionConfig(rule="specificity", value=0.85)
HALF = DecisionConfig(rule="threshold", value=0.5)
PLATT = AT.model_copy(update={"recalibrate": "platt"})
HALF_PLATT = HALF.model_copy(update={"recalibrate": "platt"})


@pytest.fixture(scope="module")
def dataset(folded):
    return folded[0]


@pytest.fixture(scope="module")
def plan(folded):
    return folded[1]


@pytest.fixture
def cfg(values):
    small = {
        "model": {"name": "mlp", "hidden": [8]},
        "train": {**values["train"], "epochs": 5},
        "threads": 1,
    }
    return parse(values | small, "made up")


def test_each_model_stands_where_the_rule_says_on_its_own_training_rows(dataset, plan):
    models = decided(tiny.untrained(plan, dataset), dataset, plan, AT)
    found = tiny.scores(models, dataset)
    for member in range(plan.size):
        rows = plan.train[member]
        y, score = dataset.y[rows].numpy(), found[member, rows].numpy()
        assert float(models.cut[member]) == pytest.approx(
            cut_by("specificity", score, y, 0.85), abs=1e-5
        )
        specificity = (score[y == 0] <= float(models.cut[member])).mean()
        assert 0.85 <= specificity <= 0.85 + 2 / (y == 0).sum()
    assert models.facts[DECISION] == {"rule": "specificity", "value": 0.85, "chosen_on": OWN}
    assert RECALIBRATION not in models.facts


def test_what_a_model_is_not_trained_on_does_not_move_its_cut(dataset, plan):
    fold = int(plan.scored().nonzero()[0])
    others = dataset.y.clone()
    others[plan.held_out[fold]] = 1 - others[plan.held_out[fold]]
    x = dataset.x.clone()
    x[plan.held_out[fold]] += 50
    changed = Dataset(x, others, dataset.schema)
    models = tiny.untrained(plan, dataset)
    before, after = (decided(models, data, plan, AT).cut for data in (dataset, changed))
    assert before[fold] == after[fold]
    assert (before != after).any()


def test_reported_models_are_cut_by_others_and_the_rest_by_themselves(dataset, plan, cfg):
    own, reported = (one("baseline", dataset, plan, cfg) for one in (train, train_reported))
    assert own.facts[DECISION]["chosen_on"] == OWN
    assert reported.facts[DECISION]["chosen_on"] == INNER
    torch.testing.assert_close(tiny.scores(own, dataset), tiny.scores(reported, dataset))
    assert not torch.equal(own.cut, reported.cut)


def test_models_cut_apart_are_cut_by_models_of_folds_of_their_training_rows(dataset, plan, cfg):
    found = train("baseline", dataset, plan, cfg, apart=True)
    nested = own_folds(plan, dataset)
    inner = train("baseline", dataset, nested.plan, cfg)
    said = scored_within(inner, nested, dataset, plan.size)
    assert found.facts[DECISION]["chosen_on"] == INNER
    for row, mine in enumerate(plan.train):
        wanted = cut_by("specificity", said[row, mine].numpy(), dataset.y[mine].numpy(), 0.85)
        assert float(found.cut[row]) == pytest.approx(wanted, abs=1e-4)


def test_trees_that_know_their_records_by_heart_stand_where_the_rule_says(dataset, plan, cfg):
    """Their own scores would put the line where half of the healthy are called ill."""
    forest = ModelConfig(name="forest", kind="forest", trees=30, depth=0, leaf=1)
    cfg = cfg.model_copy(update={"model": forest, "decision": AT})
    models = train("baseline", dataset, plan, cfg)
    own = decided(replace(models), dataset, plan, AT)
    called = {}
    for name, one in (("apart", models), ("own", own)):
        margins, y = margins_out_of_fold(one, dataset, plan)
        called[name] = float((margins[0][:, y == 0] > 0).float().mean())
    assert called["apart"] == pytest.approx(0.85, abs=0.07)
    assert called["own"] < called["apart"] - 0.25


def test_without_a_class_among_those_scored_a_model_scores_for_itself(dataset, plan):
    models = tiny.untrained(plan, dataset)
    unseen = torch.where(plan.train, tiny.scores(models, dataset) + 100, torch.nan)
    unseen[0, dataset.y == 1] = torch.nan
    sensitive = DecisionConfig(rule="sensitivity", value=0.8)
    own, found = (decided(models, dataset, plan, sensitive, of) for of in (None, unseen))
    torch.testing.assert_close(found.cut - own.cut, torch.tensor([0.0] + [100.0] * 6).double())
    assert found.facts[DECISION]["chosen_on"] == INNER


def test_who_is_scored_by_others_does_not_stand_where_memory_would_put_him(dataset, plan):
    """Scores of others put every cut where others say, whatever the models know by heart."""
    models = tiny.untrained(plan, dataset)
    unseen = torch.where(plan.train, tiny.scores(models, dataset) + 100, torch.nan)
    own, others = (decided(models, dataset, plan, AT, of).cut for of in (None, unseen))
    torch.testing.assert_close(others, own + 100, rtol=0, atol=1e-4)


def test_without_inner_models_an_official_split_uses_its_own_scores(dataset):
    test = torch.arange(len(dataset.y)) >= 160
    split = Plan(~test[None], test[None], torch.zeros(1).long(), torch.ones(1).long(), ("only",))
    models = tiny.untrained(split, dataset)
    _, pairs = split.inner()
    unseen = out_of_sample(models, models.select(pairs[:, 0]), pairs, dataset, split)
    assert unseen.isnan().all()
    assert decided(models, dataset, split, AT, unseen).facts[DECISION]["chosen_on"] == OWN


def test_a_threshold_is_a_constant_whatever_the_records(dataset, plan, cfg):
    at = cfg.model_copy(update={"decision": DecisionConfig(rule="threshold", value=0.2)})
    for one in (train, train_reported):
        models = one("baseline", dataset, plan, at)
        torch.testing.assert_close(
            models.cut, torch.full_like(models.cut, 0.25).log(), rtol=0, atol=1e-6
        )
        assert models.facts[DECISION]["chosen_on"] == PUBLIC
    half = at_public_cut(models, HALF, otherwise=3.0)
    torch.testing.assert_close(half.cut, torch.zeros_like(half.cut), rtol=0, atol=1e-6)


def test_the_line_is_where_answers_turn(dataset, plan):
    models = decided(tiny.untrained(plan, dataset), dataset, plan, AT)
    everybody = dataset.x.double().expand(plan.size, -1, -1)
    right = margin(models.double()(everybody), dataset.y) > 0
    called = tiny.scores(models, dataset) > models.cut[:, None]
    assert torch.equal(right, called == (dataset.y == 1))


@pytest.mark.parametrize("name", ["dp_train", "partition"])
def test_a_guarantee_covers_the_line(name, dataset, plan, cfg):
    models = train(name, dataset, plan, cfg)
    check_decision(models.facts, name)
    free = decided(models, dataset, plan, AT)
    with pytest.raises(
        FailedCheck, match=f"^{name}: its guarantee does not cover the decision threshold"
    ):
        check_decision(free.facts, name)
    check_decision({DECISION: free.facts[DECISION]}, name)  # nothing is claimed


# ---- recalibrated ----


def answers(population, dataset):
    everybody = dataset.x.double().expand(population.size, -1, -1)
    return population.double()(everybody).argmax(-1)


def test_recalibrated_each_model_is_right_on_the_scores_that_chose_and_answers_as_before(
    dataset, plan
):
    models = tiny.untrained(plan, dataset)
    models = models.recalibrate(torch.full((plan.size,), 9.0), torch.full((plan.size,), 0.5))
    before, after = (decided(models, dataset, plan, how) for how in (AT, PLATT))
    was, said = tiny.scores(before, dataset), tiny.scores(after, dataset)
    slopes = []
    for member in range(plan.size):
        rows = plan.train[member]
        slope, intercept = platt(was[member, rows].numpy(), dataset.y[rows].numpy())
        if slope <= 0:
            slope, intercept = 1.0, 0.0
        slopes.append(slope)
        torch.testing.assert_close(
            said[member], slope * was[member] + intercept, rtol=1e-5, atol=1e-4
        )
    assert min(slopes) < 0.5
    assert torch.equal(answers(before, dataset), answers(after, dataset))
    assert after.facts[DECISION] == {"rule": "specificity", "value": 0.85, "chosen_on": OWN}
    left = sum(slope == 1 for slope in slopes)
    assert after.facts[RECALIBRATION] == {
        "method": "platt",
        "chosen_on": OWN,
        "left_as_they_were": left,
    }


def test_a_model_that_scores_the_healthy_higher_is_left_and_counted(dataset, plan):
    models = tiny.untrained(plan, dataset)
    ill = tiny.scores(models, dataset) > tiny.scores(models, dataset).median()
    turned = Dataset(dataset.x, 1 - ill[0].long(), dataset.schema)  # the first is always wrong
    said = decided(models, turned, plan, PLATT)
    assert said.facts[RECALIBRATION]["left_as_they_were"] >= 1
    torch.testing.assert_close(tiny.scores(said, dataset)[0], tiny.scores(models, dataset)[0])


def test_reported_models_are_recalibrated_by_others_and_the_rest_by_themselves(dataset, plan, cfg):
    asked = cfg.model_copy(update={"decision": PLATT})
    own, reported = (one("baseline", dataset, plan, asked) for one in (train, train_reported))
    assert own.facts[RECALIBRATION]["chosen_on"] == OWN
    assert reported.facts[RECALIBRATION]["chosen_on"] == INNER
    plain = train_reported("baseline", dataset, plan, cfg)
    assert torch.equal(answers(plain, dataset), answers(reported, dataset))
    assert not torch.allclose(tiny.scores(own, dataset), tiny.scores(reported, dataset))


def test_a_probability_as_threshold_is_one_of_the_recalibrated_ones(dataset, plan):
    models = decided(tiny.untrained(plan, dataset), dataset, plan, HALF_PLATT)
    torch.testing.assert_close(models.cut, torch.zeros_like(models.cut), rtol=0, atol=1e-6)
    assert models.facts[DECISION]["chosen_on"] == PUBLIC
    assert models.facts[RECALIBRATION]["chosen_on"] == OWN
    assert torch.equal(
        answers(models, dataset) == 1, tiny.scores(models, dataset) > models.cut[:, None]
    )


def test_what_gives_scores_alone_is_not_recalibrated(dataset, plan):
    models = ScoresOnly(tiny.untrained(plan, dataset))
    with pytest.raises(BadInput, match=r"^decision\.recalibrate: platt: only networks"):
        decided(models, dataset, plan, PLATT)
    assert decided(models, dataset, plan, AT).facts[DECISION]["chosen_on"] == OWN


@pytest.mark.parametrize("name", ["dp_train", "partition"])
def test_a_guarantee_is_not_recalibrated_for_nothing(name, dataset, plan, cfg):
    asked = cfg.model_copy(update={"decision": PLATT})
    plain, models = (train_reported(name, dataset, plan, one) for one in (cfg, asked))
    assert models.facts[RECALIBRATION] == {"method": "none", "chosen_on": PUBLIC}
    assert torch.equal(tiny.scores(plain, dataset), tiny.scores(models, dataset))
    check_decision(models.facts, name)
    free = decided(models, dataset, plan, HALF_PLATT)  # its cut is public
    said = f"^{name}: its guarantee does not cover the recalibration, which was chosen on {OWN}"
    with pytest.raises(FailedCheck, match=said):
        check_decision(free.facts, name)


@pytest.mark.parametrize("decision", [AT, HALF_PLATT], ids=["cut", "recalibration"])
def test_a_certificate_refuses_what_was_chosen_for_nothing(decision, dataset, plan, cfg):
    models = train("partition", dataset, plan, cfg)
    assert certify(models, dataset, plan).records.max() > 0
    free = decided(models, dataset, plan, decision)
    with pytest.raises(FailedCheck, match="certificate: its guarantee does not cover"):
        certify(free, dataset, plan)


@pytest.mark.parametrize("how", [train, train_reported])
@pytest.mark.parametrize("decision", [AT, HALF_PLATT], ids=["cut", "recalibration"])
def test_a_recipe_that_claims_and_chooses_for_nothing_is_refused_where_it_is_trained(
    how, decision, dataset, plan, cfg, monkeypatch
):
    honest = DEFENSES["partition"]

    def free(dataset, plan, cfg, **options):
        return decided(honest(dataset, plan, cfg, **options), dataset, plan, decision)

    monkeypatch.setitem(DEFENSES, "partition", wraps(honest)(free))
    with pytest.raises(FailedCheck, match=r"^partition: its guarantee does not cover"):
        how("partition", dataset, plan, cfg)


# ---- on records that are set aside ----


@pytest.fixture(scope="module")
def aside(plan, dataset):
    return plan.with_tune(dataset.y, 0.3)


def test_who_is_set_aside_chooses_and_nobody_else(dataset, aside):
    models = tiny.untrained(aside, dataset)
    one = decided(models, dataset, aside, PLATT)
    for member in range(aside.size):
        rows = aside.tune[member]
        score, y = tiny.scores(models, dataset)[member, rows].numpy(), dataset.y[rows].numpy()
        slope, intercept = platt(score, y)
        slope, intercept = (slope, intercept) if slope > 0 else (1.0, 0.0)
        cut = slope * cut_by("specificity", score, y, 0.85) + intercept
        assert float(one.cut[member]) == pytest.approx(cut, abs=1e-4)
    for facts in (one.facts[DECISION], one.facts[RECALIBRATION]):
        assert facts["chosen_on"] == TUNED == "the plan's tune table"
    first = Dataset(dataset.x, torch.where(aside.tune[0], dataset.y, 1 - dataset.y), dataset.schema)
    again = decided(models, first, aside, PLATT)
    assert again.cut[0] == one.cut[0]
    assert (again.cut != one.cut).any()


@pytest.mark.parametrize("decision", [AT, HALF_PLATT], ids=["cut", "recalibration"])
def test_no_further_models_are_trained_where_records_are_set_aside(
    decision, dataset, aside, cfg, monkeypatch
):
    asked = cfg.model_copy(update={"decision": decision})
    monkeypatch.setattr(Plan, "inner", None)
    own, reported = (one("baseline", dataset, aside, asked) for one in (train, train_reported))
    assert torch.equal(own.cut, reported.cut)
    chosen = own.facts[DECISION if decision is AT else RECALIBRATION]
    assert chosen["chosen_on"] == TUNED


@pytest.mark.parametrize("name", ["dp_train", "partition", "dp_adv_train"])
def test_under_a_guarantee_those_set_aside_may_choose_and_the_facts_say_whom_it_leaves_out(
    name, dataset, aside, cfg
):
    private = {key: value for key, value in cfg.defenses["dp_train"].items() if key != "engine"}
    attack = {"eps": 0.15, "threat": "clinical", "attack_steps": 1, "attack_step_size": 1.0}
    asked = cfg.model_copy(update={"decision": PLATT, "dp_adv_train": private | attack})
    models = train_reported(name, dataset, aside, asked)
    assert models.facts[DECISION]["chosen_on"] == TUNED
    assert models.facts[RECALIBRATION]["not_covered"] == NOT_COVERED
    check_decision(models.facts, name)
    for key in (DECISION, RECALIBRATION):
        untold = {**models.facts, key: {**models.facts[key], "not_covered": ""}}
        with pytest.raises(FailedCheck, match=f"chosen on {TUNED}"):
            check_decision(untold, name)
    plain = train_reported(name, dataset, aside.without_tune(), asked)
    assert len(set(plain.cut.tolist())) <= len(set(models.cut.tolist()))
    assert plain.facts[DECISION]["chosen_on"] == PUBLIC


def test_under_a_guarantee_a_constant_stays_public(dataset, aside):
    models = under_guarantee(tiny.untrained(aside, dataset), dataset, aside, HALF, otherwise=9.0)
    assert models.facts[DECISION] == {"rule": "threshold", "value": 0.5, "chosen_on": PUBLIC}
