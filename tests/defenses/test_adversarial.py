"""Attacks harm an ordinary model, adversarial training helps, its mixture is the configured one."""

import pytest
import torch

import tiny
from pipeline import params
from pipeline.attacks.evasion.gradient import pgd
from pipeline.config import DecisionConfig, TrainConfig
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.adversarial import attack_part_of_batch
from pipeline.defenses.trained import train
from pipeline.files import BadInput
from pipeline.models.answers import margin
from pipeline.models.training import Batch

pytestmark = pytest.mark.heavy

EPS = 0.4


def fragile_problem(seed: int, n: int = 300) -> Dataset:
    """One feature tells classes apart by a wide, noisy gap, four others by one below the radius.

    An ordinary model leans on the four (together they are nearly perfect); an attacker moves them
    at will."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    sign = (2 * y - 1)[:, None]
    wide = 1.0 * sign + 0.7 * torch.randn(n, 1, generator=generator)
    narrow = 0.1 * sign + 0.1 * torch.randn(n, 4, generator=generator)
    features = tuple(tiny.feature(-10.0, 10.0, None, True, 0.0, 1.0) for _ in range(5))
    return Dataset(
        torch.cat([wide, narrow], 1), y, Schema(tuple("abcde"), features, "t", ("healthy", "ill"))
    )


@pytest.fixture
def cfg(cfg):
    return cfg.model_copy(
        update={
            "decision": DecisionConfig(rule="threshold", value=0.5),
            "train": TrainConfig(epochs=15, batch_size=32, learning_rate=5e-3, weight_decay=1e-4),
            "adv_train": {**cfg.defenses["adv_train"], "eps": EPS},
        }
    )


def accuracies(models, data, plan):
    """Out of fold: clean, and under PGD."""
    index, _ = plan.held_out_index()
    x, y = data.x[index], data.y[index]
    threat = Threat.of(data.schema, tiny.threat_config(recorded_grid=False))
    x_adv = pgd(models, x, y, threat, eps=EPS, steps=15, step_size=0.2, generator=torch.Generator())
    return [float((margin(models(records), y) > 0).float().mean()) for records in (x, x_adv)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_harm_is_real_and_the_defense_helps(cfg, seed):
    data = fragile_problem(seed)
    plan = tiny.plan(data, folds=3, seeds=1, seed=seed)
    clean, robust = accuracies(train("baseline", data, plan, cfg), data, plan)
    defended_clean, defended_robust = accuracies(train("adv_train", data, plan, cfg), data, plan)
    assert clean > 0.93
    assert robust < 0.5
    assert defended_robust > robust + 0.15
    assert defended_clean > 0.8


def test_the_same_plan_gives_the_same_weights(cfg, dataset):
    plan = tiny.plan(dataset)
    first, second = (train("adv_train", dataset, plan, cfg).parameters for _ in range(2))
    assert all(tiny.same_bits(first[name], second[name]) for name in first)


def test_clean_share_one_is_the_baseline(cfg, dataset):
    plan = tiny.plan(dataset)
    cfg = cfg.model_copy(update={"adv_train": {**cfg.defenses["adv_train"], "clean_share": 1.0}})
    defended, plain = (
        train(name, dataset, plan, cfg).parameters for name in ("adv_train", "baseline")
    )
    assert all(torch.equal(defended[name], plain[name]) for name in plain)


def recorder(shift, seen):
    def attack(logits_fn, x, y, threat, *, eps, generator):
        seen.append((x.shape[1], eps))
        return x + shift

    return attack


@pytest.mark.parametrize("size", [16, 20, 33])
def test_shares_of_the_batch(size):
    seen: list = []
    components = [(recorder(100.0, seen), 0.3, 0.35), (recorder(200.0, seen), 0.15, 0.25)]
    x = torch.zeros(2, size, 5)
    y = torch.zeros(2, size, dtype=torch.int64)
    perturb = attack_part_of_batch(tiny.CLINICAL, components, torch.Generator())
    mixed = perturb(tiny.population(2), Batch(x, y, y, torch.ones(2, size)))
    counts = [int((mixed[0, :, 0] == value).sum()) for value in (100.0, 200.0, 0.0)]
    assert sum(counts) == size
    for count, share in zip(counts, (0.35, 0.25, 0.4), strict=True):
        assert abs(count - share * size) <= 1
    assert [eps for _, eps in seen] == [0.3, 0.15]
    assert (x == 0).all()  # the batch that was given stays as it was


GOOD = {"method": "fgsm", "radius": 1.0, "share": 1.0}


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ([], r"mixture: .*at least 1 item"),
        ([{**GOOD, "share": 0.6}], r"mixture: the shares add up to 0\.6, not to 1"),
        ([GOOD, GOOD], r"mixture: the shares add up to 2, not to 1"),
        (
            [{**GOOD, "radius": 0}],
            r"mixture\[0\]\.radius: must be a number above 0 and at most 1, not 0",
        ),
        ([{**GOOD, "radius": 1.5}], r"mixture\[0\]\.radius"),
        ([{**GOOD, "share": "all"}], r"mixture\[0\]\.share: .*'all'"),
        ([{**GOOD, "radius": True}], r"mixture\[0\]\.radius"),
        ([{"method": "fgsm", "radius": 1.0}], r"mixture\[0\]\.share: .*None"),
        (
            [{**GOOD, "share": 0.5}, {**GOOD, "share": 0.5, "method": "fgms"}],
            r"mixture\[1\]\.method: .*did you mean 'fgsm'",
        ),
        ([{**GOOD, "los": "margin"}], r"mixture\[0\]\.los: unknown key; did you mean 'loss'"),
        ([{**GOOD, "loss": "margins"}], r"mixture\[0\]\.loss: "),
    ],
)
def test_a_bad_mixture_is_one_line_as_soon_as_it_is_read(values, mixture, message):
    values["adv_train"]["mixture"] = mixture
    with pytest.raises(BadInput, match=r"adv_train.*" + message) as caught:
        params.parse(values, "params.yaml")
    assert "\n" not in str(caught.value)


def test_an_unknown_threat_is_one_line_as_soon_as_it_is_read(values):
    values["adv_train"]["threat"] = "clinicle"
    with pytest.raises(
        BadInput, match=r"adv_train\.threat: 'clinicle' is no threat model; did you mean 'clinical'"
    ):
        params.parse(values, "params.yaml")
