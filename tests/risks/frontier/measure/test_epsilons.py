"""All epsilons at once are each alone, linear proofs are exact, no broken mechanism passes."""

from dataclasses import asdict, replace

import pytest
import torch

import kinds
import tiny
from benchmarks.faults import FAULTS, planted
from pipeline.config import ModelConfig
from pipeline.data.plan import Plan
from pipeline.data.threat import Threat
from pipeline.defenses.privacy import dp_train, fit_private
from pipeline.files import BadInput, FailedCheck
from pipeline.models.answers import margin
from pipeline.models.mlp import Architecture
from pipeline.risks.frontier.measure import epsilons as module
from pipeline.risks.frontier.measure.epsilons import (
    Frontier,
    Training,
    at_each_noise,
    audited_claims,
    claim_of,
    proofs,
    trace_frontier,
    training_numbers,
)
from pipeline.validation import check_options
from pipeline.verify.nearest import SAME_RADIUS

pytestmark = pytest.mark.heavy

NOT_NUMBERS = ("epsilon", "delta", "engine", "cut")  # of training

LINEAR = Architecture("linear", 5, 2, ())


@pytest.fixture(scope="module")
def changed(cfg):
    """Returns what changes the section `frontier` and the options of `dp_train`, both small."""

    def change(options=(), **section):
        recipe = {**cfg.defenses["dp_train"], "expected_batch": 60, "steps": 20, **dict(options)}
        return cfg.model_copy(
            update={"dp_train": recipe, "frontier": cfg.frontier.model_copy(update=section)}
        )

    return change


@pytest.fixture(scope="module")
def found(changed):
    dataset = tiny.records(120, seed=0)
    plan = tiny.plan(dataset, release=True)
    return trace_frontier(
        dataset,
        plan,
        changed(epsilons=[1.0, 8.0, None], models={"mlp": [6], "linear": []}, repetitions=1),
    )


def test_every_kind_and_epsilon_is_measured(found):
    assert (found.models, found.epsilons) == (("mlp", "linear"), (1.0, 8.0, None))
    assert (
        found.margin.shape == found.proved.shape == found.broken.shape == (2, 3, 1, 120)
    )  # of two repetitions the first
    assert found.scores.shape == (2, 3, 8, 120)
    assert found.scores.isfinite().all()
    assert found.member.shape == (8, 120)
    for claims in found.claims:
        assert [claim["epsilon"] and round(claim["epsilon"], 6) for claim in claims] == [
            1.0,
            8.0,
            None,
        ]
        assert (
            claims[0]["noise_multiplier"]
            > claims[1]["noise_multiplier"]
            > claims[2]["noise_multiplier"]
            == 0
        )
        assert claims[0]["accounts"]["pld"] == pytest.approx(1.0, rel=1e-4)
        assert claims[2]["accounts"] is None
        assert all(
            claim["audit"]["epsilon_lower_bound"] <= (claim["epsilon"] or torch.inf)
            for claim in claims
        )


def test_nobody_is_both_proved_and_broken_and_who_is_wrong_is_broken(found):
    assert not (found.proved & found.broken).any()
    assert (found.margin[found.proved] > 0).all()
    assert found.broken[found.margin < 0].all()
    assert (found.proved | found.broken)[1].all()  # linear models leave nobody undecided


def test_epsilons_differ_by_their_noise_alone(dataset, changed):
    delta, how = training_numbers(changed())
    plan = tiny.plan(dataset)
    claims = [claim_of(epsilon, plan, delta, how) for epsilon in (0.5, 4.0, None)]
    together = at_each_noise(Training("linear", LINEAR, claims, how), dataset, plan, "")
    for population, claim in zip(together, claims, strict=True):
        assert population.labels == plan.labels
        noisy = replace(how, noise=claim["noise_multiplier"])
        alone = fit_private(dataset, plan, LINEAR, noisy)
        for name, weights in alone.parameters.items():
            torch.testing.assert_close(population.parameters[name], weights, rtol=1e-4, atol=1e-5)
    assert not torch.equal(together[0].parameters["weight0"], together[2].parameters["weight0"])


def test_a_linear_model_is_proved_where_its_worst_corner_is_right(dataset, changed):
    plan = tiny.plan(dataset, seeds=1)
    cfg, models = changed(radius=0.3, boxes=1), tiny.untrained(plan, dataset, hidden=())
    answers = proofs([models], dataset, plan, cfg)
    margins, below, breaks = (torch.from_numpy(values)[0] for values in answers)
    threat = Threat.of(tiny.SCHEMA, cfg.threat["clinical"])
    low, high = threat.box(dataset.x, 0.3)
    slope = tiny.slope(models, dataset.y.expand(plan.size, -1), threat)
    corner = torch.where(slope > 0, low, high)
    worst = margin(models.double()(corner), dataset.y)
    own = plan.held_out.float().argmax(0)  # the model that did not train on each
    proved = below > 0.3 + SAME_RADIUS
    assert torch.equal(proved[0], worst[own, torch.arange(120)] > 0)
    assert torch.equal(breaks <= 0.3 + SAME_RADIUS, ~proved)
    assert 0.1 < proved.float().mean() < (margins > 0).float().mean()


def test_it_survives_the_disk(found, tmp_path):
    found.save(tmp_path)
    again = Frontier.load(tmp_path)
    for name, value in vars(found).items():
        same = (
            torch.equal(value, getattr(again, name))
            if isinstance(value, torch.Tensor)
            else value == getattr(again, name)
        )
        assert same, name


def test_what_is_no_frontier_is_one_line(found, tmp_path):
    found.save(tmp_path)
    (tmp_path / module.DESCRIPTION).write_text('{"models": ["mlp"]}')
    with pytest.raises(BadInput, match="not a privacy frontier"):
        Frontier.load(tmp_path)


def test_without_dp_train_there_are_no_numbers_to_train_with(values, dataset):
    from pipeline import params

    del values["dp_train"]
    with pytest.raises(
        BadInput, match=r"^params\.yaml: dp_train: missing; the frontier trains with its numbers"
    ):
        trace_frontier(dataset, tiny.plan(dataset), params.parse(values, "conf"))


def test_the_numbers_are_those_of_dp_train(changed):
    cfg = changed({"steps": 7, "max_grad_norm": 0.3})
    options = check_options(dp_train, cfg.defenses["dp_train"], "dp_train", given=["secret"])
    delta, how = training_numbers(cfg)
    assert delta == options["delta"]
    expected = {name: value for name, value in options.items() if name not in NOT_NUMBERS}
    assert asdict(how) == {**expected, "noise": 0.0, "secret": False}


def test_a_delta_of_one_in_the_cohort_is_refused(dataset, changed):
    with pytest.raises(BadInput, match=r"^dp_train\.delta: .* is not below 1 / records"):
        trace_frontier(dataset, tiny.plan(dataset), changed({"delta": 0.5}))


@pytest.mark.parametrize("epsilon", [0.5, None])
def test_noise_that_was_forgotten_is_found_unless_nothing_was_claimed(changed, epsilon):
    few = tiny.records(60, seed=0)
    cfg = changed({"steps": 80}, epsilons=[epsilon], models={"linear": []}, canaries=1000)
    delta, how = training_numbers(cfg)
    claims = [claim_of(epsilon, tiny.plan(few), delta, how)]
    training = Training("linear", LINEAR, claims, how)
    with planted(FAULTS["no noise"]):
        if epsilon is None:
            (claim,) = audited_claims(training, few, cfg)
            assert claim["audit"]["epsilon_lower_bound"] == claim["audit"]["ceiling"] > 8
            return
        with pytest.raises(
            FailedCheck,
            match=r"^frontier, linear: claims epsilon 0\.500, but \d+ of \d+ guesses about",
        ):
            audited_claims(training, few, cfg)
        with pytest.raises(FailedCheck, match=r"^linear, : the mechanism is not what is claimed"):
            at_each_noise(training, few, tiny.plan(few), "")


# ---- images ----


@pytest.mark.slow
def test_of_images_the_configured_network_is_measured_on_the_official_split(changed):
    split = torch.tensor([0] * 60 + [1] * 12 + [2] * 28)
    scans = replace(kinds.scans(100, seed=0), split=split)
    cfg = changed({"expected_batch": 30}, epsilons=[8.0, None], models={"mlp": [6], "linear": []})
    plan_cfg = cfg.plan.model_copy(update={"kind": "official"})
    model = ModelConfig(name="cnn", hidden=[5], channels=[4])
    cfg = cfg.model_copy(update={"plan": plan_cfg, "model": model})
    found = trace_frontier(scans, Plan.of(scans, cfg.plan, 0), cfg)
    assert (found.models, found.radius) == (("cnn",), 0.0)
    assert found.margin.shape == (1, 2, 1, 28)
    assert torch.equal(found.proved, found.margin > 0)
    assert torch.equal(found.broken, ~found.proved)
    assert found.scores.shape == (1, 2, 8, 60)
    assert found.member.shape == (8, 60)
    claimed, silent = found.claims[0]
    # of so few canaries the bound of 95 % is above a true claim once in twenty audits
    assert claimed["audit"]["surely"] <= claimed["epsilon"]
    assert silent["noise_multiplier"] == 0
