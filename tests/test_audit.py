"""The one audit: nobody is scored by a model that saw them, nothing leaves the threat model, every number can be recomputed."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import yaml
from tiny import THREATS, UNCONSTRAINED, same_bits
from torch import Tensor

from pipeline import audit as audit_module
from pipeline import metrics, params
from pipeline.attacks.losses import margin
from pipeline.audit import TRANSFER, Grid, audit, load_adversarial, load_rows, out_of_fold
from pipeline.compare import disease_probability
from pipeline.defenses import train
from pipeline.files import BadInput
from pipeline.models import Architecture, initialise
from pipeline.plan import Plan
from pipeline.population import Population, fitted_preprocessing

EPS = [0.0, 0.1, 0.5]
COLUMNS = ["threat", "attack", "eps", "repetition", "patient", "model", "y", "margin", "broken", "changed"]


def models(plan, dataset, hidden=(6,), seed=0):
    """Untrained models, one for each row of the plan."""
    architecture = Architecture("mlp" if hidden else "linear", 5, 2, hidden)
    weights = {name: 3 * value for name, value in initialise(architecture, plan.seeds + seed).items()}
    return Population(architecture, fitted_preprocessing(dataset.x, plan.train), weights, plan.labels)


@pytest.fixture(scope="module")
def dataset():
    return tiny.records(61, seed=0)  # not a multiple of the folds: the rectangle has filler


@pytest.fixture(scope="module")
def plan(dataset):
    return tiny.plan(dataset, release=True)


@pytest.fixture(scope="module")
def population(plan, dataset):
    return models(plan, dataset)


@pytest.fixture(scope="module")
def cfg(smoke_text):
    return params.parse(yaml.safe_load(smoke_text), "conf")


@pytest.fixture(scope="module")
def result(population, dataset, plan, cfg):
    return audit(population, dataset, plan, cfg, name="models")


def block(rows, threat, attack):
    """One attack's rows as arrays (E, S, N) by column."""
    chosen = rows[(rows["threat"] == threat) & (rows["attack"] == attack)]
    return {column: chosen[column].to_numpy().reshape(3, 2, 61).copy() for column in chosen}


# ---- who is scored, and by whom ----


def test_one_row_for_each_threat_attack_radius_repetition_and_patient_in_this_order(result, cfg, dataset):
    wanted = pd.MultiIndex.from_product([cfg.threat, cfg.attack, EPS, range(2), range(61)])
    assert list(result.rows) == COLUMNS
    got = pd.MultiIndex.from_frame(result.rows[COLUMNS[:5]].astype({"threat": str, "attack": str}))
    assert got.tolist() == wanted.tolist()
    assert result.rows["y"].tolist() == np.tile(dataset.y.numpy(), len(wanted) // 61).tolist()
    assert not result.rows.isna().any().any()


def test_every_patient_is_scored_once_per_seed_by_a_model_that_did_not_train_on_them(result, plan):
    of_model = {label: number for number, label in enumerate(plan.labels)}
    for _, rows in result.rows.groupby(["threat", "attack", "eps"], observed=True):
        assert (rows["patient"].value_counts() == 2).all()
        assert rows["patient"].nunique() == 61
        members, people = rows["model"].astype(str).map(of_model).tolist(), rows["patient"].tolist()
        assert not plan.train[members, people].any()
        assert plan.held_out[members, people].all()
        assert (plan.repetition[members].numpy() == rows["repetition"]).all()


def test_the_margin_is_the_named_models_own(result, population, dataset, plan):
    rows = result.rows.sample(60, random_state=0)
    for row in rows.itertuples():
        member = plan.labels.index(str(row.model))
        records = result.x_adv[f"{row.threat}/{row.attack}"][EPS.index(row.eps), row.repetition, row.patient]
        alone = population.select(torch.tensor([member]))
        value = margin(alone(records[None, None]), dataset.y[row.patient])
        torch.testing.assert_close(value.item(), row.margin, rtol=1e-4, atol=1e-4)
        assert row.broken == (row.margin <= 0)


def test_the_release_model_scores_no_one(result):
    assert "release" not in set(result.rows["model"])


def test_a_plan_without_release_gives_the_same_rows(population, dataset, plan, cfg, result):
    scored = plan.scored()
    alone = audit(population.select(scored), dataset, plan.select(scored), cfg, name="models")
    pd.testing.assert_frame_equal(alone.rows, result.rows)


def test_some_are_broken_and_some_are_not(result):
    broken = result.rows[result.rows["eps"] == 0.5].groupby("attack", observed=True)["broken"].mean()
    assert broken.between(0.05, 0.95).all()
    assert broken["pgd_margin"] > broken["noise"]


# ---- radius zero ----


def test_radius_zero_is_the_clean_margin_bit_for_bit(result, population, dataset, plan, cfg):
    clean, y = out_of_fold(population, dataset, plan)
    assert clean.shape == (1, 2, 61)
    assert torch.equal(y, dataset.y)
    for threat in cfg.threat:
        for attack in cfg.attack:
            of_attack = block(result.rows, threat, attack)
            assert same_bits(torch.from_numpy(of_attack["margin"][0]), clean[0])
            assert (of_attack["changed"][0] == 0).all()
            assert same_bits(result.x_adv[f"{threat}/{attack}"][0], dataset.x.expand(2, -1, -1).contiguous())


def test_out_of_fold_asks_the_model_that_held_the_patient_out(population, dataset, plan):
    margins, _ = out_of_fold(population, dataset, plan)
    everyone = margin(population(dataset.x.expand(plan.size, -1, -1).contiguous()), dataset.y)
    for member in range(plan.size - 1):
        held_out = plan.held_out[member]
        torch.testing.assert_close(margins[0, plan.repetition[member], held_out], everyone[member, held_out])


# ---- linear models: the closed form ----


def slopes(population, plan, y):
    """(S, N, D): by how much the margin of the true class grows with each feature, in the model that holds a patient out."""
    weight = population.parameters["weight0"]  # (M, D, 2)
    towards_ill = (weight[..., 1] - weight[..., 0]) / population.preprocessing["scale"]
    result = torch.zeros(2, len(y), 5)
    for member in range(plan.size):
        if plan.repetition[member] >= 0:
            result[plan.repetition[member], plan.held_out[member]] = towards_ill[member]
    return result * torch.where(y == 1, 1, -1)[:, None]


@pytest.mark.parametrize("attack", ["fgsm", "pgd_ce", "pgd_margin"])
def test_a_linear_model_loses_what_the_closed_form_says(dataset, plan, cfg, attack):
    population = models(plan, dataset, hidden=())
    rows = audit(population, dataset, plan, cfg, name="linear").rows
    got = block(rows, "unconstrained", attack)["margin"]
    measured = ~dataset.x.isnan()
    loss = (slopes(population, plan, dataset.y).abs() * UNCONSTRAINED.scale.float() * measured).sum(-1)  # (S, N) at eps 1
    expected = torch.from_numpy(got[0]) - torch.tensor(EPS)[:, None, None] * loss
    torch.testing.assert_close(torch.from_numpy(got), expected, rtol=1e-4, atol=2e-4)
    assert (loss > 0.5).any()


def test_a_linear_models_noise_loses_less(dataset, plan, cfg):
    rows = audit(models(plan, dataset, hidden=()), dataset, plan, cfg, name="linear").rows
    noise, fgsm = (block(rows, "unconstrained", attack)["margin"] for attack in ("noise", "fgsm"))
    assert (noise >= fgsm - 1e-3).all()
    assert noise[2].mean() > fgsm[2].mean() + 0.1


# ---- inside the threat model ----


@pytest.mark.parametrize("threat", THREATS)
def test_no_adversarial_record_leaves_the_threat_model(result, dataset, cfg, threat):
    eps = torch.tensor(EPS)[:, None, None, None]
    for attack in cfg.attack:
        x_adv = result.x_adv[f"{threat}/{attack}"]
        assert x_adv.shape == (3, 2, 61, 5)
        assert THREATS[threat].violations(x_adv, dataset.x, eps) == 0
        changed = ((x_adv != dataset.x) & ~dataset.x.isnan()).sum(-1)
        assert (block(result.rows, threat, attack)["changed"] == changed.numpy()).all()
        assert changed[1:].any()


def planted(monkeypatch, attack):
    monkeypatch.setattr(audit_module, "evasion_suite", lambda configured: {"planted": attack})


def test_an_attack_that_leaves_the_threat_model_is_brought_back_and_judged_there(monkeypatch, population, dataset, plan, cfg):
    planted(monkeypatch, lambda model, x, y, threat, *, eps, generator: x + 5 * eps * threat.scale.float())
    result = audit(population, dataset, plan, cfg, name="models")
    eps = torch.tensor(EPS)[:, None, None, None]
    for name, threat in THREATS.items():
        legal = threat.project(dataset.x + 5 * eps * threat.scale.float(), dataset.x, eps)
        assert torch.equal(result.x_adv[f"{name}/planted"].nan_to_num(), legal.expand(3, 2, -1, -1).nan_to_num())
        assert threat.violations(result.x_adv[f"{name}/planted"], dataset.x, eps) == 0


def test_an_attack_that_makes_values_missing_is_an_error(monkeypatch, population, dataset, plan, cfg):
    planted(monkeypatch, lambda model, x, y, threat, *, eps, generator: x + torch.nan * eps)
    with pytest.raises(RuntimeError, match=r"planted under clinical: \d+ values outside the threat model"):
        audit(population, dataset, plan, cfg, name="models")


def test_a_projection_that_fails_is_an_error(monkeypatch, population, dataset, plan, cfg):
    monkeypatch.setattr(audit_module.Threat, "project", lambda self, x_adv, x, eps: x_adv + 7)
    with pytest.raises(RuntimeError, match="values outside the threat model"):
        audit(population, dataset, plan, cfg, name="models")


def test_an_attack_cannot_claim_a_success_it_does_not_have(monkeypatch, population, dataset, plan, cfg):
    planted(monkeypatch, lambda model, x, y, threat, *, eps, generator: x + 0 * eps)
    rows = audit(population, dataset, plan, cfg, name="models").rows
    clean = out_of_fold(population, dataset, plan)[0].numpy()
    assert (rows["margin"].to_numpy().reshape(2, 3, 2, 61) == clean).all()


# ---- transfer ----


def test_transferred_records_are_scored_on_this_population(result, dataset, plan, cfg):
    other = models(plan, dataset, seed=77)
    audited = audit(other, dataset, plan, cfg, name="other", transfer=result.x_adv)
    index, valid = plan.select(plan.scored()).held_out_index()
    for threat in cfg.threat:
        got = block(audited.rows, threat, TRANSFER)["margin"]
        for member in range(6):
            people = index[member][valid[member]]
            repetition = int(plan.repetition[member])
            alone = other.select(torch.tensor([member]))
            each = [result.x_adv[f"{threat}/{attack}"][:, repetition, people][:, None] for attack in cfg.attack]
            expected = torch.stack([margin(alone(sent), dataset.y[people])[:, 0] for sent in each]).amin(0)
            torch.testing.assert_close(torch.from_numpy(got[:, repetition, people]), expected, rtol=1e-4, atol=1e-4)
    assert list(audited.rows["attack"].unique()) == [*cfg.attack, TRANSFER]


def test_without_transfer_there_are_no_such_rows(result):
    assert TRANSFER not in set(result.rows["attack"])
    assert not [key for key in result.x_adv if key.endswith(TRANSFER)]


def test_of_the_records_sent_the_most_harmful_counts(population, dataset, plan, cfg, result):
    """Sent back to the models they were made on, they are as strong as the whole suite."""
    audited = audit(population, dataset, plan, cfg, name="models", transfer=result.x_adv)
    for threat in THREATS:
        suite = np.minimum.reduce([block(result.rows, threat, attack)["margin"] for attack in cfg.attack])
        np.testing.assert_allclose(block(audited.rows, threat, TRANSFER)["margin"], suite, atol=1e-4)


# ---- files ----


def test_saved_and_loaded_bit_for_bit(result, tmp_path):
    result.save(tmp_path)
    pd.testing.assert_frame_equal(load_rows(tmp_path), result.rows)
    loaded = load_adversarial(tmp_path)
    assert loaded.keys() == result.x_adv.keys()
    assert all(same_bits(loaded[key], result.x_adv[key]) for key in loaded)


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_file_is_one_line(result, tmp_path, damage):
    result.save(tmp_path)
    for path in list(tmp_path.iterdir()):
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-50])
    for load, name in ((load_rows, "rows.parquet"), (load_adversarial, "adversarial.safetensors")):
        with pytest.raises(BadInput, match=rf"{name}: cannot be read .*; run `dvc repro") as caught:
            load(tmp_path)
        assert "\n" not in str(caught.value)


def test_the_same_configuration_is_the_same_bytes_whatever_the_global_state(population, dataset, plan, cfg, result, tmp_path):
    torch.manual_seed(99)
    again = audit(population, dataset, plan, cfg, name="another name")
    for name, one in (("a", result), ("b", again)):
        (tmp_path / name).mkdir()
        one.save(tmp_path / name)
    for file in ("rows.parquet", "adversarial.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_another_seed_draws_other_noise(population, dataset, plan, cfg, result):
    other = audit(population, dataset, plan, cfg.model_copy(update={"seed": 1}), name="models")
    assert not torch.equal(other.x_adv["clinical/noise"].nan_to_num(), result.x_adv["clinical/noise"].nan_to_num())
    assert same_bits(other.x_adv["clinical/fgsm"], result.x_adv["clinical/fgsm"])


# ---- the grid ----


def test_scatter_and_gather_are_inverse(dataset, plan):
    scored = plan.select(plan.scored())
    grid = Grid(scored, EPS)
    index, valid = scored.held_out_index()
    dense = torch.arange(3 * 2 * 61 * 4, dtype=torch.float32).view(3, 2, 61, 4)
    assert torch.equal(grid.scatter(grid.gather(dense, index), index, valid), dense)


def test_a_plan_may_leave_patients_out_altogether(dataset, plan):
    known = torch.arange(61) < 40
    part = plan.select(plan.scored())
    part = Plan(part.train, part.held_out & known, part.repetition, part.seeds, part.labels)
    population = models(part, dataset)
    margins, y = out_of_fold(population, dataset, part)
    whole, _ = out_of_fold(population, dataset, plan.select(plan.scored()))
    assert torch.equal(margins, whole[:, :, :40])
    assert torch.equal(y, dataset.y[:40])


@pytest.mark.parametrize("change", ["twice", "in one repetition only"])
def test_a_plan_that_scores_unevenly_is_refused(plan, change):
    table = plan.held_out.clone()
    table[0, 0] = change == "twice"
    table[1, 0] = change == "twice"
    table[2, 0] = False
    part = Plan(plan.train, table, plan.repetition, plan.seeds, plan.labels).select(plan.scored())
    with pytest.raises(ValueError, match="the same patients, each of them once"):
        Grid(part, EPS)


# ---- no leak ----


def shuffled_interval(cfg, plan_of) -> tuple[float, float]:
    dataset = tiny.records(240, seed=0)
    y = dataset.y[torch.randperm(240, generator=torch.Generator().manual_seed(1))]
    dataset = type(dataset)(dataset.x, y, dataset.schema)
    plan = plan_of(tiny.plan(dataset))
    margins, _ = out_of_fold(train("baseline", dataset, plan, cfg), dataset, plan)
    score = disease_probability(margins[0].numpy(), y.numpy())
    samples = metrics.bootstrap_auroc(score, y.numpy(), metrics.bootstrap_weights(240, 500, seed=3))
    return metrics.interval(metrics.auroc(score, y.numpy()), samples)


@pytest.fixture(scope="module")
def long_cfg(cfg):
    return cfg.model_copy(update={"train": cfg.train.model_copy(update={"epochs": 40, "learning_rate": 3e-3})})


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
