"""The examination: nobody is scored by a model that saw them, every number can be recomputed."""

import shutil
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

import lattice
import tiny
from kinds import ScoresOnly
from pipeline import params
from pipeline.attacks.evasion import EVASION
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses import DEFENSES, why_unfit
from pipeline.defenses.trained import train
from pipeline.files import BadInput
from pipeline.models.answers import disease_probability, margin
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.parallel import Inline, workers
from pipeline.risks.evasion.comparison import compare
from pipeline.risks.evasion.evidence import MEASUREMENTS
from pipeline.risks.evasion.measure import examination as examination_module
from pipeline.risks.evasion.measure import subject as subject_module
from pipeline.risks.evasion.measure.attackers import EXACT, SURROGATE, TRANSFER, all_attackers
from pipeline.risks.evasion.measure.examination import (
    Examination,
    examine,
    load_adversarial,
    save_adversarial,
)
from pipeline.risks.evasion.measure.rows import load_rows
from pipeline.risks.evasion.measure.subject import PROOFS, cannot_be_asked
from pipeline.standards import ATLAS, EVASION_BY_ACCESS, KNOWLEDGE, NIST, OWASP, THREAT_COLUMNS
from pipeline.statistics import intervals, rates
from pipeline.verify.out_of_fold import typical
from risks.evasion.made_up import small
from tiny import SCHEMA, UNCONSTRAINED, same_bits, untrained

pytestmark = pytest.mark.heavy

RADII = {"clinical": [0.0, 0.1, 0.5], "unconstrained": [0.0, 0.1, 0.5], "sparse": [0.0, 1.0, 2.0]}
KEYS = ["threat", "attack", "eps", "repetition", "patient"]
COLUMNS = [
    "threat",
    "attack",
    *THREAT_COLUMNS,
    "eps",
    "repetition",
    "patient",
    "model",
    "y",
    "margin",
    "broken",
    "changed",
]
COUNTS = {"violations": 0, "attack_beats_proof": 0}


@pytest.fixture(scope="module")
def dataset():
    return tiny.records(61, seed=0)  # not a multiple of the folds: the rectangle has filler


@pytest.fixture(scope="module")
def plan(dataset):
    return tiny.plan(dataset, release=True)


@pytest.fixture(scope="module")
def population(plan, dataset):
    return untrained(plan, dataset)


@pytest.fixture(scope="module")
def cfg(smoke_text):
    """Every attack there is, and as many boxes as these models need to be decided."""
    whole = params.parse(yaml.safe_load(smoke_text), "conf")
    threats = {
        name: threat.model_copy(update={"boxes": 200, "exact_to": None})
        for name, threat in whole.threat.items()
        if threat.unit == "scale"  # the features of `tiny` have no error
    }
    return whole.model_copy(update={"threat": threats})


@pytest.fixture(scope="module")
def quick(cfg):
    """A few attacks under the clinical threat."""
    return only(small(cfg), "clinical")


@pytest.fixture(scope="module")
def result_and_records(population, dataset, plan, cfg):
    return examine(population, dataset, plan, cfg)


@pytest.fixture(scope="module")
def result(result_and_records):
    return result_and_records[0]


@pytest.fixture(scope="module")
def x_adv(result_and_records):
    return result_and_records[1]


@pytest.fixture(scope="module")
def rows(result):
    return result.rows


def only(cfg, *threats):
    return cfg.model_copy(update={"threat": {name: cfg.threat[name] for name in threats}})


def attacks_of(cfg, threat, *, transfer=False):
    """The attacks under a threat of numbers alone, in their order."""
    norm = cfg.threat[threat].norm
    methods = {name: EVASION[options["method"]] for name, options in cfg.attack.items()}
    suite = [name for name, one in methods.items() if norm in one.norms and not one.discrete]
    return [
        *suite,
        *([SURROGATE] if norm != "l0" else []),
        *([TRANSFER] if transfer else []),
        EXACT,
    ]


def threat_of(cfg, name):
    return Threat.of(SCHEMA, cfg.threat[name])


def radius(threat):
    return torch.tensor(RADII[threat])[:, None, None, None]


def block(rows, threat, attack):
    """One attack's rows as arrays (E, S, N) by column."""
    chosen = rows[(rows["threat"] == threat) & (rows["attack"] == attack)]
    return {column: chosen[column].to_numpy().reshape(3, 2, 61).copy() for column in chosen}


def compared(examined, cfg):
    return compare(
        examined,
        cfg.audit,
        all_attackers(cfg),
        decision=cfg.decision,
        sampling=tiny.sampling(cfg.audit),
        auroc_ceiling=None,
    )


# ---- who is scored, and by whom ----


def test_one_row_for_each_threat_attack_radius_repetition_and_patient_in_this_order(
    rows, cfg, dataset
):
    wanted = [
        (threat, attack, eps, repetition, patient)
        for threat in cfg.threat
        for attack in attacks_of(cfg, threat)
        for eps in RADII[threat]
        for repetition in range(2)
        for patient in range(61)
    ]
    assert list(rows) == COLUMNS
    got = pd.MultiIndex.from_frame(rows[KEYS].astype({"threat": str, "attack": str}))
    assert got.tolist() == wanted
    assert rows["y"].tolist() == np.tile(dataset.y.numpy(), len(wanted) // 61).tolist()
    assert not rows.isna().any().any()


def test_under_l0_only_those_who_count_measurements_attack(rows, cfg):
    here = set(rows.loc[rows["threat"] == "sparse", "attack"])
    there = set(rows.loc[rows["threat"] != "sparse", "attack"])
    assert {"noise", "sparse", EXACT} <= here
    assert "sparse" not in there
    assert not [name for name in here if name.startswith(("pgd", "fgsm", SURROGATE))]


def test_every_patient_is_scored_once_per_seed_by_a_model_that_did_not_train_on_them(rows, plan):
    of_model = {label: number for number, label in enumerate(plan.labels)}
    for _, some in rows.groupby(["threat", "attack", "eps"], observed=True):
        assert (some["patient"].value_counts() == 2).all()
        assert some["patient"].nunique() == 61
        members, people = some["model"].astype(str).map(of_model).tolist(), some["patient"].tolist()
        assert not plan.train[members, people].any()
        assert plan.held_out[members, people].all()
        assert (plan.repetition[members].numpy() == some["repetition"]).all()


def test_the_margin_is_the_named_models_own_in_float64(x_adv, rows, population, dataset, plan):
    double = population.double()
    for row in rows.sample(80, random_state=0).itertuples():
        member = plan.labels.index(str(row.model))
        records = x_adv[f"{row.threat}/{row.attack}"][
            RADII[row.threat].index(row.eps), row.repetition, row.patient
        ]
        value = margin(
            double.select(torch.tensor([member]))(records[None, None].double()),
            dataset.y[row.patient],
        ).item()
        assert row.margin == pytest.approx(value, rel=1e-6, abs=1e-9)
        assert row.broken == (value <= 0)


def test_the_release_model_scores_no_one(rows):
    assert "release" not in set(rows["model"])


def test_a_plan_without_release_gives_the_same_results(population, dataset, plan, quick):
    scored = plan.scored()
    with_it = examine(population, dataset, plan, quick)[0]
    alone = examine(population.select(scored), dataset, plan.select(scored), quick)[0]
    pd.testing.assert_frame_equal(alone.rows, with_it.rows)
    assert alone.diagnostics == with_it.diagnostics


def test_some_are_broken_and_some_are_not(rows):
    broken = rows[rows["eps"] == 0.5].groupby("attack", observed=True)["broken"].mean()
    assert broken.between(0.05, 0.95).all()
    assert broken["pgd_margin"] > broken["noise"]


# ---- radius zero ----


def test_radius_zero_is_the_clean_margin_bit_for_bit(x_adv, rows, population, dataset, plan, cfg):
    clean, y = margins_out_of_fold(population, dataset, plan)
    assert clean.shape == (1, 2, 61)
    assert clean.dtype == torch.float64
    assert torch.equal(y, dataset.y)
    for threat in cfg.threat:
        for attack in attacks_of(cfg, threat):
            of_attack = block(rows, threat, attack)
            assert same_bits(torch.from_numpy(of_attack["margin"][0]), clean[0].float()), (
                threat,
                attack,
            )
            assert (of_attack["changed"][0] == 0).all()
            assert same_bits(
                x_adv[f"{threat}/{attack}"][0], dataset.x.expand(2, -1, -1).contiguous()
            )


def test_out_of_fold_asks_the_model_that_held_the_patient_out(population, dataset, plan):
    margins, _ = margins_out_of_fold(population, dataset, plan)
    everyone = margin(
        population.double()(dataset.x.double().expand(plan.size, -1, -1).contiguous()), dataset.y
    )
    for member in range(plan.size - 1):
        held_out = plan.held_out[member]
        torch.testing.assert_close(
            margins[0, plan.repetition[member], held_out], everyone[member, held_out]
        )


def test_out_of_fold_of_a_plan_that_leaves_patients_out(dataset, plan):
    known = torch.arange(61) < 40
    part = plan.select(plan.scored())
    part = Plan(part.train, part.held_out & known, part.repetition, part.seeds, part.labels)
    models = untrained(part, dataset)
    margins, y = margins_out_of_fold(models, dataset, part)
    whole, _ = margins_out_of_fold(models, dataset, plan.select(plan.scored()))
    torch.testing.assert_close(margins, whole[:, :, :40], rtol=1e-12, atol=1e-12)
    assert torch.equal(y, dataset.y[:40])


# ---- linear models: the closed form ----


@pytest.fixture(scope="module")
def linear(dataset, plan):
    return untrained(plan, dataset, hidden=())


@pytest.fixture(scope="module")
def of_linear(linear, dataset, plan, cfg):
    """What is found of linear models; what margins (S, N) lose at eps 1 in closed form."""
    threats = only(cfg, "unconstrained", "clinical")
    suite = {name: cfg.attack[name] for name in ("noise", "fgsm", "pgd_ce", "pgd_margin")}
    result = examine(linear, dataset, plan, threats.model_copy(update={"attack": suite}))[0]
    measured = ~dataset.x.isnan()
    return result, (
        slopes(linear, plan, dataset.y).abs() * UNCONSTRAINED.scale.float() * measured
    ).sum(-1)


def slopes(population, plan, y):
    """(S, N, D): how the margin of the true class grows with each feature, out of fold."""
    weight = population.parameters["weight0"]  # (M, D, 2)
    towards_ill = (weight[..., 1] - weight[..., 0]) / population.preprocessing["scale"]
    result = torch.zeros(2, len(y), 5)
    for member in range(plan.size):
        if plan.repetition[member] >= 0:
            result[plan.repetition[member], plan.held_out[member]] = towards_ill[member]
    return result * torch.where(y == 1, 1, -1)[:, None]


@pytest.mark.parametrize("attack", ["fgsm", "pgd_ce", "pgd_margin"])
def test_a_linear_model_loses_what_the_closed_form_says(of_linear, attack):
    result, loss = of_linear
    got = block(result.rows, "unconstrained", attack)["margin"]
    expected = torch.from_numpy(got[0]) - torch.tensor(RADII["unconstrained"])[:, None, None] * loss
    torch.testing.assert_close(torch.from_numpy(got), expected, rtol=1e-4, atol=2e-4)
    assert (loss > 0.5).any()


def test_a_linear_models_noise_loses_less(of_linear):
    noise, fgsm = (
        block(of_linear[0].rows, "unconstrained", attack)["margin"] for attack in ("noise", "fgsm")
    )
    assert (noise >= fgsm - 1e-3).all()
    assert noise[2].mean() > fgsm[2].mean() + 0.1


def test_a_linear_model_breaks_at_the_distance_of_its_boundary(of_linear):
    result, loss = of_linear
    one = result.proofs["unconstrained"]
    distance = (one.margin / loss).clamp(min=0)
    near = distance <= 0.5
    assert 0.1 < near.float().mean() < 0.9
    torch.testing.assert_close(one.breaks_at[near], distance[near], rtol=1e-4, atol=3e-5)
    torch.testing.assert_close(one.robust_below[near], distance[near], rtol=1e-4, atol=3e-5)
    assert one.breaks_at[~near].isinf().all()


# ---- inside the threat model ----


@pytest.mark.parametrize("threat", RADII)
def test_no_adversarial_record_leaves_the_threat_model(x_adv, rows, dataset, cfg, threat):
    for attack in attacks_of(cfg, threat):
        records = x_adv[f"{threat}/{attack}"]
        assert records.shape == (3, 2, 61, 5)
        assert threat_of(cfg, threat).violations(records, dataset.x, radius(threat)) == 0
        changed = ((records != dataset.x) & ~dataset.x.isnan()).sum(-1)
        assert (block(rows, threat, attack)["changed"] == changed.numpy()).all()
        assert changed[1:].any()


def test_every_row_names_its_threat_completely(rows, cfg):
    known = {"atlas": ATLAS, "nist": NIST, "owasp": OWASP}
    access = {name: EVASION[options["method"]].access for name, options in cfg.attack.items()}
    access |= {SURROGATE: "transfer", EXACT: "exact"}
    for (name, attack), some in rows.groupby(["threat", "attack"], observed=True):
        (line,) = some[list(THREAT_COLUMNS)].astype(str).drop_duplicates().to_dict("records")
        assert all(line.values())
        assert line["access"] == access[attack]
        assert line["knowledge"] == KNOWLEDGE[access[attack]]
        assert (line["norm"], line["goal"]) == (cfg.threat[name].norm, cfg.threat[name].goal)
        mutable = threat_of(cfg, name).mutable.tolist()
        assert line["mutable"].split() == [
            feature for feature, may in zip(SCHEMA.names, mutable, strict=True) if may
        ]
        assert line["query_budget"] == "unlimited" or access[attack] in ("scores", "labels")
        for catalogue, table in known.items():
            ids = [] if line[catalogue] == "none" else line[catalogue].split()
            assert ids == list(getattr(EVASION_BY_ACCESS[access[attack]], catalogue))
            assert set(ids) <= set(table)
    budgets = rows.drop_duplicates("attack").set_index("attack")["query_budget"]
    assert budgets["square"] == str(cfg.attack["square"]["queries"])
    assert budgets["hop_skip_jump"] == str(cfg.attack["hop_skip_jump"]["queries"])
    assert budgets["sparse"] == str(
        1 + 2 * 3 * cfg.attack["sparse"]["points"]
    )  # two of three measurements


def planted(monkeypatch, attack):
    """In place of the suite."""
    monkeypatch.setattr(subject_module, "evasion_suite", lambda configured, norm: {"fgsm": attack})


def test_an_attack_that_leaves_the_threat_model_is_brought_back_and_judged_there(
    monkeypatch, population, dataset, plan, cfg
):
    planted(
        monkeypatch,
        lambda model, x, y, threat, *, eps, generator: x + 5 * eps * threat.scale.float(),
    )
    both = only(cfg, "clinical", "unconstrained")
    result, x_adv = examine(population, dataset, plan, both)
    for name in both.threat:
        threat = threat_of(cfg, name)
        legal = threat.project(
            dataset.x + 5 * radius(name) * threat.scale.float(), dataset.x, radius(name)
        )
        assert torch.equal(
            x_adv[f"{name}/fgsm"].nan_to_num(), legal.expand(3, 2, -1, -1).nan_to_num()
        )
    assert result.diagnostics["violations"] == 0


def test_values_that_an_attack_makes_missing_are_counted(
    monkeypatch, population, dataset, plan, quick
):
    planted(monkeypatch, lambda model, x, y, threat, *, eps, generator: x + torch.nan * eps)
    found = examine(population, dataset, plan, quick)[0]
    index, _ = plan.select(plan.scored()).held_out_index()
    above_zero = len(quick.audit.eps) - 1  # at radius 0 nobody is asked
    values = (~dataset.x[index].isnan()).sum()
    assert found.diagnostics["violations"] == above_zero * values


def test_a_projection_that_fails_is_counted_and_flagged(
    monkeypatch, population, dataset, plan, quick
):
    monkeypatch.setattr(Threat, "project", lambda self, x_adv, x, eps: x_adv + 7)
    found = examine(population, dataset, plan, quick)[0]
    assert found.diagnostics["violations"] > 1000
    assert "violations" in compared({"models": found}, quick)["flags"].iloc[0].split()


def test_an_attack_cannot_claim_a_success_it_does_not_have(
    monkeypatch, population, dataset, plan, quick
):
    planted(monkeypatch, lambda model, x, y, threat, *, eps, generator: x + 0 * eps)
    found = examine(population, dataset, plan, quick)[0].rows
    clean = margins_out_of_fold(population, dataset, plan)[0].float().numpy()
    assert (block(found, "clinical", "fgsm")["margin"] == clean).all()


# ---- what is proved ----


def test_no_check_of_the_examination_itself_fails(result):
    assert {name: result.diagnostics[name] for name in COUNTS} == COUNTS
    assert result.diagnostics.keys() == MEASUREMENTS.keys()


@pytest.mark.parametrize("threat", RADII)
def test_where_all_is_decided_robust_accuracy_is_verified_accuracy(result, rows, cfg, threat):
    """No attack breaks more than the verifier, and that breaks whoever it says."""
    one = result.proofs[threat]
    robust, broken = one.robust_at(RADII[threat]), one.broken_at(RADII[threat])
    assert torch.equal(robust, ~broken)  # decided
    assert (block(rows, threat, EXACT)["broken"] == broken.numpy()).all()
    for attack in attacks_of(cfg, threat):
        assert not (block(rows, threat, attack)["broken"] & robust.numpy()).any(), attack
    table = compared({"baseline": result}, cfg)
    of_threat = table[table["threat"] == threat]
    np.testing.assert_allclose(
        of_threat["robust_accuracy"], of_threat["verified_accuracy"], atol=1e-12
    )
    np.testing.assert_allclose(
        of_threat["robust_accuracy"], robust.double().mean((1, 2)), atol=1e-12
    )
    assert of_threat["robust_accuracy"].is_monotonic_decreasing
    assert of_threat["robust_accuracy"].nunique() == 3


def test_single_measurements_are_looked_for_under_the_headline_alone(result, cfg):
    assert cfg.audit.headline == "clinical"
    looked = {name: not one.alone.isnan().all() for name, one in result.proofs.items()}
    assert looked == {"clinical": True, "unconstrained": False, "sparse": False}


# other numbers of recipes that are here already
SAME = {"larger_leaves", "small_boosting"}
OF_RECORDS = [
    name
    for name in DEFENSES
    if not why_unfit(name, images=False, network=True) and name not in SAME
]


FEW_HOSPITALS = {"sites": 2, "by": "age", "rounds": 2, "aggregate": "mean", "tolerated": 0}
PRIVATELY = {
    **{"epsilon": 3.0, "delta": 1e-4, "sample_rate": 1.0, "expected_batch": 20},
    **{"max_grad_norm": 1.0, "local_steps": 4, "learning_rate": 0.02, "cut": 0.0},
}
BEHIND_NOISE = {
    **{name: FEW_HOSPITALS[name] for name in ("sites", "by", "rounds")},
    **{"local_epochs": 1, "epsilon": 3000.0, "delta": 1e-4, "clip": 1.0, "cut": 0.0},
}


@pytest.mark.parametrize("recipe", OF_RECORDS)
@pytest.mark.slow
def test_auroc_that_is_certified_is_at_most_what_attacks_leave_of_every_recipe(
    recipe, dataset, plan, quick
):
    options = quick.model_dump()["dp_train"] | {"expected_batch": 40}
    bounds = {"eps": 0.3, "threat": "clinical", "kappa": 0.5, "ramp": 0.5}
    few = {"kind": "forest", "trees": 9, "depth": 4, "leaf": 5}
    small = {"rounds": 9, "leaves": 5, "rate": 0.3, "leaf": 10, "rising": []}
    others = {
        "dp_adv_train": _also_private(options),
        "certified": bounds,
        "forest": few,
        "extra_trees": few | {"kind": "extra_trees"},
        "boosting": small,
        "monotone": small | {"rising": ["glucose"]},
        "federated": FEW_HOSPITALS | {"local_epochs": 1, "engine": "loop"},
        "federated_private": FEW_HOSPITALS | PRIVATELY | {"engine": "loop"},
        "federated_noisy_server": BEHIND_NOISE,
    }
    cfg = quick.model_copy(update={"dp_train": options, **others})
    models = train(recipe, dataset, plan, cfg)
    found = examine(models, dataset, plan, cfg)[0]
    assert found.diagnostics["attack_beats_proof"] == 0
    margins = found.margins["clinical"]
    at = margins.eps.tolist().index(found.least.eps)
    assert (found.least.margins.numpy() <= margins.worst[at]).all()
    table = compared({"baseline": found}, cfg).set_index("eps")
    assert table.loc[0.0, "certified_auc"] == table.loc[0.0, "auroc"]
    line = table.loc[found.least.eps]
    assert 0 < line["certified_auc"] <= line["attacked_auc"] < table.loc[0.0, "auroc"]
    assert line["certified_auc"] > line["attacked_auc"] - 0.05  # worth printing


def _also_private(options):
    kept = {name: value for name, value in options.items() if name != "engine"}
    attack = {"eps": 0.15, "threat": "clinical", "attack_steps": 3, "attack_step_size": 0.5}
    return kept | attack


def test_a_bound_that_is_too_good_is_caught(monkeypatch, population, dataset, plan, quick):
    honest = examination_module.least_out_of_fold

    def boasting(*args):
        found = honest(*args)()
        return lambda: replace(found, margins=found.margins + 100)

    monkeypatch.setattr(examination_module, "least_out_of_fold", boasting)
    found = examine(population, dataset, plan, quick)[0]
    inside = found.rows["eps"] <= found.least.eps
    assert found.diagnostics["attack_beats_proof"] == inside.sum() > 100


def verifier_says(monkeypatch, twist):
    """What an honest verifier says, twisted."""
    honest = examination_module.proofs_out_of_fold

    def dishonest(*args, **options):
        proved = honest(*args, **options)
        return lambda: twist(proved())

    monkeypatch.setattr(examination_module, "proofs_out_of_fold", dishonest)


def test_a_verifier_that_proves_what_is_not_true_is_caught(
    monkeypatch, population, dataset, plan, quick
):
    verifier_says(
        monkeypatch,
        lambda one: replace(one, robust_below=torch.full_like(one.robust_below, torch.inf)),
    )
    found = examine(population, dataset, plan, quick)[0]
    assert found.diagnostics["attack_beats_proof"] == found.rows["broken"].sum() > 100
    assert "attack_beats_proof" in compared({"models": found}, quick)["flags"].iloc[0].split()


def test_a_record_that_breaks_nothing_is_no_success_of_the_verifier(
    monkeypatch, population, dataset, plan, quick
):
    """Whatever it says of its distance: the record is scored by the examination."""

    def boasting(one):
        x = dataset.x.expand(one.counterexample.shape).clone()
        nothing = torch.zeros_like(one.breaks_at)
        return replace(one, breaks_at=nothing, robust_below=nothing, counterexample=x)

    verifier_says(monkeypatch, boasting)
    found = examine(population, dataset, plan, quick)[0].rows
    clean = margins_out_of_fold(population, dataset, plan)[0].float().numpy()
    assert (block(found, "clinical", EXACT)["margin"] == clean).all()


def test_of_models_that_give_scores_alone_what_can_be_asked_is_asked(
    population, dataset, plan, quick, x_adv
):
    """No gradient, no proof; whoever else attacks does what it does to the model inside."""
    beyond = ScoresOnly(population)
    found, records = examine(beyond, dataset, plan, quick, transfer=x_adv)
    gaps = cannot_be_asked(beyond, quick)
    known = all_attackers(quick)
    by_gradients = [name for name, who in known.items() if who.access == "gradients"]
    assert list(gaps) == [*by_gradients, PROOFS]
    assert all(gaps.values())
    tried = set(found.rows["attack"])
    assert tried == {"noise", SURROGATE, TRANSFER}
    assert same_bits(records["clinical/noise"], x_adv["clinical/noise"])
    assert not found.proofs["clinical"].robust_at(RADII["clinical"]).any()
    assert found.least is None
    assert "certified_auc" not in compared({"box": found}, quick)
    flags = compared({"box": found}, quick)["flags"].iloc[0].split()
    assert "not_adaptive" in flags
    assert cannot_be_asked(population, quick) == {}


# ---- repeated measurements ----


@pytest.fixture(scope="module")
def measured(dataset):
    """The same records, of which two measurements have a known error."""
    errors = (6.0, 1.4, None, None, None)
    features = tuple(
        feature.model_copy(update={"error": error})
        for feature, error in zip(dataset.schema.features, errors, strict=True)
    )
    return replace(dataset, schema=replace(dataset.schema, features=features))


@pytest.fixture(scope="module")
def repeating(smoke_text):
    return only(small(params.parse(yaml.safe_load(smoke_text), "conf")), "clinical"), params.parse(
        yaml.safe_load(smoke_text), "conf"
    ).threat["repeat"]


def test_of_repeated_measurements_all_is_proved_and_only_chance_attacks(
    population, measured, plan, repeating
):
    clinical, repeat = repeating
    both = clinical.model_copy(update={"threat": {**clinical.threat, "repeat": repeat}})
    found, _ = examine(population, measured, plan, both)
    here = found.rows[found.rows["threat"] == "repeat"]
    assert set(here["attack"]) == {"noise", EXACT}
    assert set(here["eps_unit"]) == {"measurement errors, each value"}
    assert set(here["mutable"]) == {"glucose bmi"}
    one = found.proofs["repeat"]
    assert torch.equal(one.robust_at([1.0, 3.0]), ~one.broken_at([1.0, 3.0]))
    moved = (one.counterexample - measured.x).abs().nan_to_num()
    assert not moved[..., 2:].any()
    # An error is a fifth of a scale here, so three of them are eps 0.6 of these two values.
    schema = replace(measured.schema, features=_only_two_move(measured.schema.features))
    same = examine(
        population,
        replace(measured, schema=schema),
        plan,
        clinical.model_copy(
            update={
                "threat": {
                    "clinical": clinical.threat["clinical"].model_copy(update={"eps": [0, 0.6]})
                }
            }
        ),
    )[0].proofs["clinical"]
    assert torch.equal(one.broken_at([3.0]), same.broken_at([0.6]))
    assert one.broken_at([3.0]).sum() > one.broken_at([1.0]).sum() > one.broken_at([0.0]).sum()


def _only_two_move(features):
    return tuple(
        feature.model_copy(update={"mutable": feature.error is not None}) for feature in features
    )


def test_where_no_error_is_known_repeats_are_not_tried_and_the_page_can_say_why(
    population, dataset, plan, repeating
):
    clinical, repeat = repeating
    both = clinical.model_copy(update={"threat": {**clinical.threat, "repeat": repeat}})
    found, _ = examine(population, dataset, plan, both)
    assert list(found.proofs) == ["clinical"]
    unknown = {
        name: feature.model_copy(update={"error": None, "error_source": None})
        for name, feature in both.data.features.items()
    }
    data = both.data.model_copy(update={"features": unknown})
    (gap,) = cannot_be_asked(population, both.model_copy(update={"data": data})).items()
    assert gap == ("threat repeat", gap[1])
    assert "error" in gap[1]


def test_every_repetitions_model_is_put_to_the_change_of_the_typical_one(
    result, population, dataset, plan
):
    one = result.proofs["clinical"]
    chosen = typical(one.breaks_at)
    for patient in range(0, len(dataset.y), 7):
        record = one.counterexample[chosen[patient], patient].double()
        for repetition in range(2):
            held = plan.held_out[:, patient] & (plan.repetition == repetition)
            model = population.select(held.nonzero()[:, 0]).double()
            said = margin(model(record[None, None]), dataset.y[patient].view(1, 1))
            assert float(said) == pytest.approx(float(one.typical_margin[repetition, patient]))


# ---- goals ----


@pytest.mark.parametrize(("goal", "attacked"), [("miss", 1), ("alarm", 0)])
def test_only_those_whom_the_goal_names_are_changed(
    population, dataset, plan, cfg, rows, goal, attacked
):
    aimed = only(cfg, "clinical")
    aimed = aimed.model_copy(
        update={"threat": {"clinical": cfg.threat["clinical"].model_copy(update={"goal": goal})}}
    )
    result, _ = examine(population, dataset, plan, aimed)
    found = result.rows
    assert {name: result.diagnostics[name] for name in COUNTS} == COUNTS
    spared = found[found["y"] != attacked]
    assert (spared["changed"] == 0).all()
    clean = margins_out_of_fold(population, dataset, plan)[0][0].float().numpy()
    for attack in attacks_of(aimed, "clinical"):
        one = block(found, "clinical", attack)
        free = one["y"][0] != attacked
        assert (one["margin"][:, free] == clean[free]).all(), attack
        assert (one["changed"][1:, ~free] > 0).any(), attack
    exact = block(found, "clinical", EXACT)
    mine = exact["y"] == attacked
    assert (exact["broken"][mine] == block(rows, "clinical", EXACT)["broken"][mine]).all()
    assert set(found["goal"]) == {goal}


# ---- surrogate and transfer ----


def test_a_linear_surrogate_attacks_in_its_own_right(rows, of_linear):
    """What it sends breaks some; the gradients of the model itself break more."""
    surrogate, own = (
        block(rows, "unconstrained", attack)["broken"] for attack in (SURROGATE, "pgd_margin")
    )
    assert own[2].sum() > surrogate[2].sum()
    assert (block(rows, "unconstrained", SURROGATE)["changed"][1:] > 0).any()
    assert not np.array_equal(surrogate[2], block(rows, "unconstrained", "fgsm")["broken"][2])
    assert SURROGATE in set(of_linear[0].rows["attack"])


@pytest.fixture(scope="module")
def other(plan, dataset):
    return untrained(plan, dataset, seed=77)


def test_transferred_records_are_scored_on_this_population(x_adv, other, dataset, plan, cfg):
    few = small(cfg)
    found = examine(other, dataset, plan, few, transfer=x_adv)[0].rows
    index, valid = plan.select(plan.scored()).held_out_index()
    for threat in cfg.threat:
        got = block(found, threat, TRANSFER)["margin"]
        for member in range(6):
            people = index[member][valid[member]]
            repetition = int(plan.repetition[member])
            alone = other.select(torch.tensor([member]))
            sent = [
                x_adv[f"{threat}/{attack}"][:, repetition, people][:, None]
                for attack in attacks_of(cfg, threat)
            ]
            expected = torch.stack(
                [margin(alone(one), dataset.y[people])[:, 0] for one in sent]
            ).amin(0)
            torch.testing.assert_close(
                torch.from_numpy(got[:, repetition, people]), expected, rtol=1e-4, atol=1e-4
            )
        attacks = list(found.loc[found["threat"] == threat, "attack"].unique())
        assert attacks == attacks_of(few, threat, transfer=True)


def test_without_transfer_there_are_no_such_rows(x_adv, rows):
    assert TRANSFER not in set(rows["attack"])
    assert not [key for key in x_adv if key.endswith(TRANSFER)]


def test_of_the_records_sent_the_most_harmful_counts(
    population, dataset, plan, cfg, quick, rows, x_adv
):
    """Sent back to the models they were made on, they are as strong as the whole suite."""
    found = examine(population, dataset, plan, quick, transfer=x_adv)[0].rows
    suite = np.minimum.reduce(
        [block(rows, "clinical", attack)["margin"] for attack in attacks_of(cfg, "clinical")]
    )
    np.testing.assert_allclose(block(found, "clinical", TRANSFER)["margin"], suite, atol=1e-4)


# ---- files ----


@pytest.mark.slow
def test_saved_and_loaded_bit_for_bit(result, x_adv, tmp_path):
    result.save(tmp_path)
    save_adversarial(x_adv, tmp_path)
    pd.testing.assert_frame_equal(load_rows(tmp_path), result.rows)
    loaded = load_adversarial(tmp_path)
    assert loaded.keys() == x_adv.keys()
    assert all(same_bits(loaded[key], x_adv[key]) for key in loaded)
    again = Examination.load(tmp_path)
    pd.testing.assert_frame_equal(again.rows, result.rows)
    assert again.margins.keys() == result.margins.keys()
    assert again.diagnostics == result.diagnostics
    assert again.least.eps == result.least.eps
    assert same_bits(again.least.margins, result.least.margins)
    assert list(again.proofs) == list(result.proofs)
    for name, one in result.proofs.items():
        for field in fields(one):
            before, after = getattr(one, field.name), getattr(again.proofs[name], field.name)
            if before is None:  # of records bounds of margins stand by themselves
                assert after is None
                continue
            assert before.dtype == after.dtype
            # missing values too
            assert torch.equal(before.view(torch.uint8), after.view(torch.uint8)), field.name


FILES = {
    "rows.parquet": Examination.load,
    "diagnostics.json": Examination.load,
    "verified/clinical.safetensors": Examination.load,
    "adversarial.safetensors": load_adversarial,
}


@pytest.fixture(scope="module")
def saved(result, x_adv, tmp_path_factory):
    place = tmp_path_factory.mktemp("saved")
    result.save(place)
    save_adversarial(x_adv, place)
    return place


@pytest.mark.parametrize("damage", ["missing", "truncated"])
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_one_line(saved, tmp_path, file, damage):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    path = tmp_path / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(BadInput, match=file) as caught:
        FILES[file](tmp_path)
    assert "\n" not in str(caught.value)
    assert "run" in str(caught.value)


def test_the_same_configuration_is_the_same_bytes_whatever_the_global_state(
    population, dataset, plan, cfg, result_and_records, tmp_path
):
    torch.manual_seed(99)
    again = examine(population, dataset, plan, cfg)
    for name, (one, x_adv) in (("a", result_and_records), ("b", again)):
        (tmp_path / name).mkdir()
        one.save(tmp_path / name)
        save_adversarial(x_adv, tmp_path / name)
    files = [
        path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()
    ]
    assert len(files) == 5 + len(cfg.threat)
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


@pytest.mark.slow
def test_processes_find_what_one_process_finds(
    two_threads, population, dataset, plan, cfg, result_and_records
):
    one, x_adv = result_and_records
    with workers(beside=False) as pool:
        assert not isinstance(pool, Inline)
        again, records = examine(population, dataset, plan, cfg, pool=pool)
    pd.testing.assert_frame_equal(again.rows, one.rows)
    assert again.diagnostics == one.diagnostics
    assert same_bits(again.least.margins, one.least.margins)
    assert list(records) == list(x_adv)
    assert all(same_bits(records[name], x_adv[name]) for name in x_adv)


def test_another_seed_draws_other_noise(population, dataset, plan, quick, x_adv):
    other = quick.model_copy(update={"seed": 1})
    _, found = examine(population, dataset, plan, other)
    assert not same_bits(found["clinical/noise"], x_adv["clinical/noise"])
    assert same_bits(found["clinical/fgsm"], x_adv["clinical/fgsm"])


# ---- no leak ----


def shuffled_interval(cfg, plan_of) -> tuple[float, float]:
    dataset = tiny.records(240, seed=0)
    y = dataset.y[torch.randperm(240, generator=torch.Generator().manual_seed(1))]
    dataset = type(dataset)(dataset.x, y, dataset.schema)
    plan = plan_of(tiny.plan(dataset))
    margins, _ = margins_out_of_fold(train("baseline", dataset, plan, cfg), dataset, plan)
    score = disease_probability(margins[0].numpy(), y.numpy())
    samples = intervals.bootstrap_auroc(
        score, y.numpy(), intervals.bootstrap_weights(240, 500, seed=3)
    )
    return intervals.interval(rates.auroc(score, y.numpy()), samples)


@pytest.fixture(scope="module")
def long_cfg(cfg):
    return cfg.model_copy(
        update={"train": cfg.train.model_copy(update={"epochs": 40, "learning_rate": 3e-3})}
    )


def test_shuffled_labels_cannot_be_learnt(long_cfg):
    low, high = shuffled_interval(long_cfg, lambda plan: plan)
    assert low < 0.5 < high
    assert high - low < 0.2


def test_a_planted_leak_is_seen_by_the_same_test(long_cfg):
    def leaking(plan: Plan) -> Plan:
        everyone: Tensor = torch.ones_like(plan.train)
        return Plan(everyone, plan.held_out, plan.repetition, plan.seeds, plan.labels)

    low, _ = shuffled_interval(long_cfg, leaking)
    assert low > 0.6


# ---- images ----


@pytest.fixture(scope="module")
def of_images():
    """Half of 24 drawn images are examined, by a drawn network, against noise and gradients."""
    networks = lattice.networks((1, 8, 8), (3, 4), (5,), gain=1.5)
    x, y = lattice.images(24, networks, (1, 8, 8))
    y[::5] = 1 - y[::5]  # some are answered wrongly
    half = (torch.arange(24) % 2 == 0).expand(1, -1)
    plan = Plan(~half, half, torch.zeros(1).long(), torch.zeros(1).long(), ("one",))
    cfg = params.configured(["experiment=digits", "attack=[noise,fgsm,pgd_margin]"])
    return networks, Dataset(x, y, lattice.schema((1, 8, 8))), plan, cfg


def test_images_are_proved_at_every_radius_and_no_attack_beats_it(of_images):
    found, _ = examine(*of_images)
    assert {name: found.diagnostics[name] for name in COUNTS} == COUNTS
    margins, proofs = found.margins["pixels"], found.proofs["pixels"]
    assert proofs.robust_at(list(margins.eps)).any()
    assert (proofs.least.numpy() <= margins.worst).all()
    assert EXACT not in margins.by_attack
    assert found.least is None
    assert found.proofs["pixels_missed"].least is None
    table = compared({"box": found}, of_images[-1])
    lines = table[table["threat"] == "pixels"]
    assert (lines["certified_auc"] <= lines["attacked_auc"] + 1e-12).all()
    assert cannot_be_asked(of_images[0], of_images[-1]).keys().isdisjoint({PROOFS})


def test_bounds_of_images_that_are_not_true_are_caught(monkeypatch, of_images):
    def boasting(one):
        return replace(one, least=None if one.least is None else one.least + 100)

    verifier_says(monkeypatch, boasting)
    found, _ = examine(*of_images)
    assert found.diagnostics["attack_beats_proof"] > 0
