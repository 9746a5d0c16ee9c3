"""Many models as one object: preprocessing inside, axes block by block, saved bit for bit."""

import json
from dataclasses import replace

import pytest
import torch

import mixed
from largest import Largest
from pipeline.files import BadInput, read_json, sha256
from pipeline.models import networks
from pipeline.models.answers import log_odds
from pipeline.models.mlp import as_module
from pipeline.models.networks import Networks, fitted_preprocessing, public_preprocessing
from pipeline.models.stacked import DESCRIPTION, WEIGHTS
from pipeline.verify import verify
from pipeline.verify.network import Network
from tiny import SCHEMA, UNCONSTRAINED, population, records, same_bits


@pytest.fixture(scope="module")
def models():
    return population(4)


@pytest.fixture(scope="module")
def x():
    return records(30, seed=5, missing=0.3).x


def test_missing_values_in_finite_logits_out(models, x):
    assert x.isnan().any()
    assert models(x.expand(4, -1, -1)).isfinite().all()
    assert models(torch.full((4, 3, 5), torch.nan)).isfinite().all()


def test_a_missing_value_is_the_members_median(models, x):
    filled = torch.where(x.isnan(), models.preprocessing["impute"][:, None], x)
    assert torch.equal(models(x.expand(4, -1, -1)), models(filled))


def test_a_missing_value_has_gradient_zero(models, x):
    inputs = x.expand(4, -1, -1).clone().requires_grad_()
    grad = torch.autograd.grad(models(inputs).square().sum(), inputs)[0]
    assert (grad[inputs.isnan()] == 0).all()
    assert grad.isfinite().all()
    assert (grad[~inputs.isnan()] != 0).any()


@pytest.mark.parametrize("lead", [(1,), (3,), (2, 3), (2, 1, 2)])
def test_leading_axes_are_folded(models, x, lead):
    offset = torch.randn(*lead, 4, 30, 5, generator=torch.Generator().manual_seed(0))
    many = x + offset
    out = models(many)
    assert out.shape == (*lead, 4, 30, 2)
    for one, expected in zip(many.flatten(0, -4), out.flatten(0, -4), strict=True):
        torch.testing.assert_close(models(one), expected, rtol=1e-5, atol=1e-5)


def test_a_member_does_not_depend_on_its_neighbours(models, x):
    together = models(x.expand(4, -1, -1))
    for member in range(4):
        alone = models.select(torch.tensor([member]))(x[None])
        torch.testing.assert_close(alone[0], together[member], rtol=1e-5, atol=1e-5)


def test_select_by_index_by_mask_and_release():
    models = population(3)
    models = Networks(
        models.architecture,
        models.preprocessing,
        models.parameters,
        ("a", "release", "b"),
        {"k": 1},
    )
    assert models.select(torch.tensor([2, 0])).labels == ("b", "a")
    assert models.select(torch.tensor([True, False, True])).labels == ("a", "b")
    release = models.release()
    assert (release.size, release.labels, release.facts) == (1, ("release",), {"k": 1})
    assert torch.equal(release.parameters["weight0"][0], models.parameters["weight0"][1])
    assert torch.equal(release.preprocessing["impute"][0], models.preprocessing["impute"][1])


def test_in_float64_it_is_the_same_model(models, x):
    answers = models.double()(x.double())
    assert answers.dtype == torch.float64
    torch.testing.assert_close(answers.float(), models(x))
    assert models.parameters["weight0"].dtype == torch.float32  # left as it was


@pytest.mark.parametrize("hidden", [(), (6,), (8, 6)])
def test_a_cut_moves_the_line_and_no_log_odds(hidden, x):
    models = population(3, hidden=hidden)
    cut = torch.tensor([-1.5, 0.0, 2.25], dtype=torch.float64)
    moved = models.decide_at(cut)
    events = x.expand(3, -1, -1)
    before, after = models(events), moved(events)
    torch.testing.assert_close(moved.cut, cut, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        log_odds(moved, events), log_odds(models, events), rtol=0, atol=1e-12
    )
    called = log_odds(models, events) > moved.cut[:, None]
    assert torch.equal(moved.double()(events.double()).argmax(-1) == 1, called)
    assert not torch.equal(before.argmax(-1), after.argmax(-1))
    # moved again it is as if it were moved once
    torch.testing.assert_close(moved.decide_at(-cut).cut, -cut, rtol=0, atol=1e-6)
    torch.testing.assert_close(moved.decide_at(torch.zeros(3))(events), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize("hidden", [(), (6,), (8, 6)])
def test_recalibrated_log_odds_are_a_line_of_what_they_were_and_answers_stay(hidden, x):
    models = population(3, hidden=hidden).decide_at(torch.tensor([-1.5, 0.0, 0.25]))
    slope, intercept = torch.tensor([[0.04, 1.0, 3.5], [0.3, -2.0, 0.0]], dtype=torch.float64)
    said, events = models.recalibrate(slope, intercept), x.expand(3, -1, -1)
    torch.testing.assert_close(
        log_odds(said, events),
        slope[:, None] * log_odds(models, events) + intercept[:, None],
        rtol=0,
        atol=1e-5,
    )
    before, after = (one.double()(events.double()).argmax(-1) for one in (models, said))
    assert torch.equal(before, after)
    called = log_odds(said, events) > said.cut[:, None]
    assert torch.equal(after == 1, called)
    assert said.parameters["weight0"].dtype == torch.float32
    unchanged = models.recalibrate(torch.ones(3).double(), torch.zeros(3).double())
    assert torch.equal(unchanged.cut, models.cut)
    assert torch.equal(unchanged(events), models(events))


def test_a_cut_stays_with_its_member(models, tmp_path):
    moved = models.decide_at(torch.arange(4.0))
    kept = [0.0, 1.0, 2.0, 3.0]
    assert moved.cut.tolist() == pytest.approx(kept, abs=1e-6)
    chosen = torch.tensor([3, 1])
    assert torch.equal(moved.select(chosen).cut, moved.cut[chosen])
    assert torch.equal(moved.double().cut, moved.cut)
    assert torch.equal(Networks.join([moved, models]).cut[:4], moved.cut)
    moved.save(tmp_path)
    assert torch.equal(Networks.load(tmp_path).cut, moved.cut)
    assert moved.digest != models.digest


def test_save_and_load_bit_for_bit(models, x, tmp_path):
    saved = Networks(
        models.architecture,
        models.preprocessing,
        models.parameters,
        models.labels,
        {"epsilon": 2.99},
    )
    saved.save(tmp_path)
    loaded = Networks.load(tmp_path)
    assert (loaded.architecture, loaded.labels, loaded.facts) == (
        saved.architecture,
        saved.labels,
        saved.facts,
    )
    assert set(loaded.preprocessing) == set(saved.preprocessing) == {"impute", "center", "scale"}
    for part in ("preprocessing", "parameters"):
        for name, tensor in getattr(saved, part).items():
            assert same_bits(getattr(loaded, part)[name], tensor)
    assert same_bits(loaded(x.expand(4, -1, -1)), saved(x.expand(4, -1, -1)))


def test_saving_twice_gives_the_same_bytes(models, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        models.save(tmp_path / name)
    for file in (WEIGHTS, DESCRIPTION):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def tamper(folder):
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)


def truncate(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def truncate_and_cover_up(folder):
    from pipeline.files import sha256

    truncate(folder)
    description = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(
        json.dumps({**description, "sha256": sha256(folder / WEIGHTS)})
    )


def forget(key):
    def change(folder):
        description = json.loads((folder / DESCRIPTION).read_text())
        del description[key]
        (folder / DESCRIPTION).write_text(json.dumps(description))

    change.__name__ = f"forget_{key}"
    return change


DAMAGE = [
    tamper,
    truncate,
    truncate_and_cover_up,
    lambda folder: (folder / WEIGHTS).unlink(),
    lambda folder: (folder / DESCRIPTION).unlink(),
    lambda folder: (folder / DESCRIPTION).write_text("{"),
    lambda folder: (folder / DESCRIPTION).write_text("[]"),
    forget("sha256"),
    forget("architecture"),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_or_missing_weights_are_one_line(models, tmp_path, damage):
    models.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(BadInput, match=r"population\.(safetensors|json): ") as caught:
        Networks.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_preprocessing_is_the_training_rows_median_mean_and_spread():
    x = torch.tensor([[1.0, 5.0], [2.0, torch.nan], [9.0, 7.0], [torch.nan, 6.0], [1000.0, 1000.0]])
    train = torch.tensor([[True, True, True, True, False], [True, False, True, False, True]])
    fitted = fitted_preprocessing(x, train)
    assert fitted["impute"][0].tolist() == [2.0, 6.0]
    assert fitted["center"][0].tolist() == pytest.approx([3.5, 6.0])
    assert fitted["scale"][0].tolist() == pytest.approx(
        [torch.tensor([1, 2, 9, 2.0]).std(correction=0).item(), 0.5**0.5]
    )
    assert fitted["impute"][1].tolist() == [9.0, 7.0]


def test_a_held_out_record_changes_nothing():
    data = records(50, seed=1)
    train = torch.ones(2, 50, dtype=torch.bool)
    train[0, 7] = False
    before = fitted_preprocessing(data.x, train)
    for replacement in (1e6, torch.nan, -3.0):
        changed = data.x.clone()
        changed[7] = replacement
        after = fitted_preprocessing(changed, train)
        for name in before:
            assert torch.equal(before[name][0], after[name][0])
            assert not torch.equal(before[name][1], after[name][1])


@pytest.mark.parametrize("value", [0.0, 0.1, 33.6, 1e6, torch.nan])
@pytest.mark.parametrize("rows", [3, 37, 50])
def test_a_feature_that_never_varies_has_no_scale(value, rows):
    x = torch.full((rows, 1), value)
    fitted = fitted_preprocessing(x, torch.ones(1, rows, dtype=torch.bool))
    assert fitted["scale"].item() == torch.inf
    assert fitted["impute"].item() == (0.0 if value != value else pytest.approx(value))


def with_a_constant(hidden):
    """Two models, of which the second has seen one value of feature 1 only, and none of 3."""
    x, models = records(40, seed=3).x.clone(), population(2, hidden=hidden)
    x[20:, 1], x[20:, 3] = 7.5, torch.nan
    train = torch.arange(40) < 20
    fitted = fitted_preprocessing(x, torch.stack([train, ~train]))
    return replace(models, preprocessing=fitted), x


@pytest.mark.parametrize("hidden", [(), (8, 6)])
def test_what_never_varied_counts_for_nothing_whatever_a_record_holds(hidden):
    models, x = with_a_constant(hidden)
    forged = x.clone()
    forged[:, 1], forged[:, 3] = torch.linspace(-1e6, 1e6, 40), torch.linspace(0, 300, 40)
    before, after = (models(one.expand(2, -1, -1)) for one in (x, forged))
    assert before.isfinite().all()
    assert after.isfinite().all()
    assert torch.equal(before[1], after[1])
    assert not torch.equal(before[0], after[0])
    logits, pull = models.pullback(forged.expand(2, -1, -1))
    grad = pull(torch.ones_like(logits) * torch.tensor([-1.0, 1.0]))
    assert (grad[1][:, [1, 3]] == 0).all()
    assert (grad[0][:, 1] != 0).all()
    alone = as_module(models.parameters, models.preprocessing, 1)
    torch.testing.assert_close(alone(forged), after[1])


@pytest.mark.parametrize("hidden", [(), (8, 6)])
def test_the_verifier_knows_what_never_varied(hidden):
    models, x = with_a_constant(hidden)
    network = Network.of(models, 1)
    own = models(x.expand(2, -1, -1))[1].argmax(-1)
    found = verify(network, x, own, UNCONSTRAINED, largest=2.0, budget=50)
    moved = found.record != x
    assert found.breaks_at.isfinite().any()
    assert not moved[:, [1, 3]].logical_and(~x[:, [1, 3]].isnan()).any()
    assert float((network.layers[0][0][[1, 3]]).abs().sum()) == 0
    assert network.rounding(x.nan_to_num().double().abs()).isfinite().all()


def test_models_whose_feature_never_varied_are_loaded_bit_for_bit(tmp_path):
    models, _ = with_a_constant((8,))
    models.save(tmp_path)
    loaded = Networks.load(tmp_path).preprocessing
    assert all(same_bits(loaded[name], value) for name, value in models.preprocessing.items())


def test_each_member_is_fitted_by_itself():
    x = records(2000, seed=4).x
    train = torch.rand(12, 2000, generator=torch.Generator().manual_seed(0)) < 0.5
    with Largest() as largest:
        fitted_preprocessing(x, train)
    assert largest.numbers <= x.numel()


def test_public_preprocessing_is_the_given_constants():
    constants = public_preprocessing(SCHEMA, 3)
    center, scale = (SCHEMA.column(name).float() for name in ("center", "scale"))
    assert torch.equal(constants["impute"], center.expand(3, -1))
    assert torch.equal(constants["center"], center.expand(3, -1))
    assert torch.equal(constants["scale"], scale.expand(3, -1))
    assert set(constants) == {"impute", "center", "scale"}


@pytest.mark.parametrize("hidden", [(), (8, 6)])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_pullback_is_what_autograd_finds(hidden, classes):
    models, x = population(3, hidden=hidden, classes=classes), records(60, seed=2).x.view(3, 20, 5)
    direction = torch.randn(3, 20, classes, generator=torch.Generator().manual_seed(0))
    logits, pull = models.pullback(x)
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad((models(leaf) * direction).sum(), leaf)[0]
    assert torch.equal(logits, models(x))
    torch.testing.assert_close(pull(direction), expected)
    assert x.isnan().any()
    assert (pull(direction)[x.isnan()] == 0).all()


def test_the_digest_is_that_of_the_file_and_of_its_description(models, tmp_path):
    models.save(tmp_path)
    assert (
        models.digest == sha256(tmp_path / WEIGHTS) == read_json(tmp_path / DESCRIPTION)["sha256"]
    )
    assert Networks.load(tmp_path).digest == models.digest
    assert models.select(torch.tensor([0])).digest != models.digest


def test_parts_joined_are_the_whole_bit_for_bit(models, x):
    parts = [models.select(torch.tensor(rows)) for rows in ([0], [1, 2], [3])]
    again = Networks.join(parts)
    assert (again.labels, again.facts) == (models.labels, models.facts)
    assert again.architecture == models.architecture
    for kind in ("preprocessing", "parameters"):
        whole, joined = getattr(models, kind), getattr(again, kind)
        assert list(whole) == list(joined)
        assert all(same_bits(joined[name], value) for name, value in whole.items())
    swapped = Networks.join(parts[::-1])
    assert torch.equal(swapped(x.expand(4, -1, -1))[0], models(x.expand(4, -1, -1))[3])


def test_joined_members_keep_the_facts_of_the_first(models):
    told = replace(models, facts={"guarantee": 1})
    assert Networks.join([told, models]).facts == {"guarantee": 1}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_do_not_depend_on_how_many_are_asked_about_at_once(monkeypatch, dtype):
    models, x = population(3, hidden=(8, 6)), records(500, seed=2).x.to(dtype).expand(3, -1, -1)
    models = models.double() if dtype == torch.float64 else models
    whole = models(x)
    monkeypatch.setattr(networks, "ANSWERED_AT_ONCE", 300)
    torch.testing.assert_close(models(x), whole, rtol=1e-6, atol=1e-6)
    with Largest() as largest:
        models(x)
    assert largest.numbers <= max(300 * 8, 3 * 500 * 5)


def test_of_no_model_there_are_no_answers():
    """With two folds no further model is trained that could choose a cut."""
    nobody = population(2, hidden=()).select(torch.tensor([], dtype=torch.int64))
    assert nobody(records(5, seed=1).x.expand(0, 5, -1)).shape == (0, 5, 2)


@pytest.mark.parametrize("mixed_records", [False, True])
def test_no_member_answers_nothing_with_categories_too(models, x, mixed_records):
    if mixed_records:
        models, x = mixed.models(2), mixed.records(6, seed=0).x
    nobody = models.select(torch.zeros(models.size, dtype=torch.bool))
    assert nobody(x.expand(0, *x.shape)).shape == (0, len(x), 2)
