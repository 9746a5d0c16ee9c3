"""Nobody is scored by a model that trained on them, and everybody is scored."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from pipeline.data.plan import Plan, first_of, rectangle
from pipeline.files import BadInput, write_tensors
from tiny import plan, records


@pytest.fixture(scope="module")
def y():
    return (torch.rand(103, generator=torch.Generator().manual_seed(0)) < 0.35).long()


@pytest.fixture(scope="module")
def cv(y):
    return Plan.cross_validation(y, folds=5, seeds=3, seed=7)


def test_each_patient_is_held_out_once_per_seed(cv):
    for repetition in range(3):
        assert (cv.held_out[cv.repetition == repetition].sum(0) == 1).all()


def test_a_model_trains_on_exactly_those_it_is_not_scored_on(cv):
    scored = cv.scored()
    assert scored.tolist() == [True] * 15 + [False]
    assert torch.equal(cv.train[scored], ~cv.held_out[scored])
    assert not (cv.train & cv.held_out).any()


def test_the_release_model_trains_on_everyone_and_is_scored_on_no_one(cv):
    assert cv.labels[-1] == "release"
    assert cv.train[-1].all()
    assert not cv.held_out[-1].any()
    assert cv.repetition[-1] == -1


def test_inner_models_score_all_training_rows_and_have_trained_on_none_of_those(cv):
    inner, pairs = cv.inner()
    assert inner.size == len(pairs) == 3 * 10
    assert len(set(inner.seeds.tolist()) | set(cv.seeds.tolist())) == inner.size + cv.size
    asked = torch.zeros_like(cv.train, dtype=torch.int64)
    for row, (one, other) in enumerate(pairs.tolist()):
        assert cv.repetition[one] == cv.repetition[other]
        for member, held_out in ((one, cv.held_out[other]), (other, cv.held_out[one])):
            asked[member] += held_out
            assert not (inner.train[row] & held_out).any()
            assert not (inner.train[row] & ~cv.train[member]).any()  # nor on those it is scored on
    assert torch.equal(asked[cv.scored()], cv.train[cv.scored()].long())
    assert not asked[-1].any()  # the release model has no pair


def test_of_two_folds_nobody_is_left_to_train_an_inner_model(y):
    inner, pairs = Plan.cross_validation(y, folds=2, seeds=2, seed=0).inner()
    assert (inner.size, len(pairs)) == (0, 0)


def test_without_repetitions_there_are_no_inner_models():
    inner, pairs = Plan.random_halves(20, models=4, seed=0).inner()
    assert (inner.size, pairs.shape) == (0, (0, 2))


def test_without_release(y):
    assert "release" not in Plan.cross_validation(y, folds=5, seeds=1, seed=0, release=False).labels


def test_folds_are_stratified_and_of_equal_size(cv, y):
    held_out = cv.held_out[cv.scored()]
    sizes, positives = held_out.sum(1), (held_out & (y == 1)).sum(1)
    assert sizes.max() - sizes.min() <= 2
    assert positives.max() - positives.min() <= 1


def test_repetitions_differ_and_models_have_their_own_seeds(cv):
    assert not torch.equal(cv.held_out[:5], cv.held_out[5:10])
    assert len(set(cv.seeds.tolist())) == cv.size == 16
    assert len(set(cv.labels)) == 16


def test_the_same_seed_is_the_same_plan_and_another_is_not(y, cv):
    again = Plan.cross_validation(y, folds=5, seeds=3, seed=7)
    other = Plan.cross_validation(y, folds=5, seeds=3, seed=8)
    assert torch.equal(again.train, cv.train)
    assert torch.equal(again.seeds, cv.seeds)
    assert not torch.equal(other.train, cv.train)
    assert not set(other.seeds.tolist()) & set(cv.seeds.tolist())


def test_more_seeds_extend_a_plan(y, cv):
    longer = Plan.cross_validation(y, folds=5, seeds=4, seed=7, release=False)
    assert torch.equal(longer.train[:15], cv.train[:15])
    assert torch.equal(longer.seeds[:15], cv.seeds[:15])


@pytest.mark.parametrize("seed", [20_240_101, 2**31])
def test_a_date_or_any_large_number_is_a_seed(y, seed):
    assert Plan.cross_validation(y, folds=5, seeds=2, seed=seed).size == 11


def test_select_by_index_and_by_mask(cv):
    chosen = cv.select(torch.tensor([3, 15]))
    assert chosen.labels == (cv.labels[3], "release")
    assert torch.equal(chosen.train, cv.train[[3, 15]])
    assert torch.equal(chosen.seeds, cv.seeds[[3, 15]])
    assert cv.select(cv.scored()).labels == cv.labels[:-1]


# ---- records that are set aside ----


@pytest.fixture(scope="module")
def aside(y):
    return Plan.cross_validation(y, folds=5, seeds=3, seed=7, tune=0.2)


def test_who_is_set_aside_is_neither_trained_on_nor_held_out(aside, cv):
    assert not (aside.tune & (aside.train | aside.held_out)).any()
    assert torch.equal(aside.train | aside.tune, cv.train)  # of the release model, too
    assert torch.equal(aside.held_out, cv.held_out)
    assert torch.equal(aside.seeds, cv.seeds)


def test_the_share_set_aside_is_that_of_each_class(aside, cv, y):
    for label in (0, 1):
        count = (aside.tune & (y == label)).sum(1)
        expected = (cv.train & (y == label)).sum(1) * 0.2
        assert ((count - expected).abs() <= 0.5 + 1e-6).all()
    tiny_share = Plan.cross_validation(y, folds=5, seeds=1, seed=7, tune=1e-6).tune
    assert ((tiny_share & (y == 0)).sum(1) == 1).all()
    assert ((tiny_share & (y == 1)).sum(1) == 1).all()


def test_who_is_set_aside_is_drawn_by_each_models_own_seed(aside, y):
    again = Plan.cross_validation(y, folds=5, seeds=3, seed=7, tune=0.2)
    assert torch.equal(again.tune, aside.tune)
    other = replace(aside, train=aside.train | aside.tune, tune=None, seeds=aside.seeds + 1)
    assert not (other.with_tune(y, 0.2).tune == aside.tune).all(1).any()
    drawn = aside.tune.double().mean(0)
    assert drawn.std() < 0.15  # nobody is meant


def test_too_large_a_share_is_one_line(y):
    with pytest.raises(BadInput, match=r"^plan.tune: 0.999 leaves seed0-fold0 no record of class"):
        Plan.cross_validation(y, folds=5, seeds=1, seed=7, tune=0.999)


def test_tables_that_overlap_are_refused(aside, cv):
    for wrong in (aside.train, aside.held_out, aside.tune & False):
        with pytest.raises(ValueError, match="the tune table"):
            replace(aside, tune=wrong)
    with pytest.raises(ValueError, match="before records are set aside"):
        aside.with_release()


def test_rows_keep_whom_they_set_aside(aside):
    rows = torch.tensor([3, 15])
    assert torch.equal(aside.select(rows).tune, aside.tune[rows])
    assert torch.equal(aside.with_second_seeds(2).tune[-2:], aside.tune[:2])
    assert aside.without_tune().tune is None
    assert torch.equal(aside.without_tune().train, aside.train)


def test_a_plan_that_sets_nobody_aside_has_the_file_it_had(aside, cv, tmp_path):
    aside.save(tmp_path / "aside")
    cv.save(tmp_path / "plan")
    again = Plan.load(tmp_path / "aside")
    assert torch.equal(again.tune, aside.tune)
    assert Plan.load(tmp_path / "plan").tune is None
    with safe_open(tmp_path / "plan", "pt") as file:
        assert sorted(file.keys()) == ["held_out", "repetition", "seeds", "train"]
        assert list(json.loads(file.metadata()["facts"])) == ["labels"]
    overlapping = {name: getattr(aside, name) for name in ("train", "held_out", "repetition")}
    write_tensors(
        tmp_path / "wrong",
        {**overlapping, "seeds": aside.seeds, "tune": aside.train.clone()},
        {"facts": json.dumps({"labels": aside.labels})},
    )
    with pytest.raises(BadInput, match=r"wrong: not a plan \(the tune table overlaps"):
        Plan.load(tmp_path / "wrong")


def test_save_and_load(cv, tmp_path):
    cv.save(tmp_path / "plan")
    loaded = Plan.load(tmp_path / "plan")
    for name in ("train", "held_out", "repetition", "seeds"):
        assert torch.equal(getattr(loaded, name), getattr(cv, name))
    assert loaded.labels == cv.labels


def test_a_missing_truncated_or_foreign_file_is_one_line(cv, tmp_path):
    from safetensors.torch import save_file

    cv.save(tmp_path / "whole")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:-10])
    save_file({"train": cv.train}, tmp_path / "other")
    save_file(
        {n: getattr(cv, n) for n in ("train", "held_out", "repetition", "seeds")},
        tmp_path / "unnamed",
    )
    for name in ("missing", "half", "other", "unnamed"):
        with pytest.raises(
            BadInput,
            match=rf"{name}: (not a plan|cannot be read as tensors) .*; run `dvc repro prepare`",
        ):
            Plan.load(tmp_path / name)


@pytest.mark.parametrize("y", [[0, 0, 0, 0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0, 2, 2, 2, 2]])
def test_fewer_records_of_a_class_than_folds(y):
    with pytest.raises(
        BadInput, match=r"plan\.folds: 4 folds need at least 4 records of each class"
    ):
        Plan.cross_validation(torch.tensor(y), folds=4, seeds=1, seed=0)


def test_rectangle_lists_the_true_columns_in_order_and_marks_the_filler():
    table = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    index, valid = rectangle(table)
    assert index[0].tolist() == [1, 3, 4]
    assert index[1].tolist() == [2, 2, 2]
    assert valid.tolist() == [[True] * 3, [True, False, False], [False] * 3]


def test_rectangle_of_nothing():
    index, valid = rectangle(torch.zeros(3, 4, dtype=torch.bool))
    assert index.shape == valid.shape == (3, 0)


def test_held_out_index_covers_exactly_the_held_out():
    tested = plan(records(50, seed=0), folds=4, seeds=2)
    index, valid = tested.held_out_index()
    for row in range(tested.size):
        assert index[row][valid[row]].tolist() == tested.held_out[row].nonzero()[:, 0].tolist()


def test_second_seeds_repeat_who_trains_and_nothing_else():
    plan = Plan.random_halves(40, models=6, seed=1)
    both = plan.with_second_seeds(4)
    assert both.size == 10
    assert torch.equal(both.train[6:], plan.train[:4])
    assert torch.equal(both.held_out[6:], plan.held_out[:4])
    assert torch.equal(both.seeds[:6], plan.seeds)
    assert len(set(both.seeds.tolist())) == 10
    assert len(set(both.labels)) == 10


# ---- patients with several records ----


@pytest.fixture(scope="module")
def visits():
    """(300,) classes and 100 patients, some with one record and some with many."""
    drawn = torch.Generator().manual_seed(3)
    patient = torch.randint(0, 100, (300,), generator=drawn)
    return (torch.rand(300, generator=drawn) < 0.3).long(), patient


def splits_nobody(table, patient):
    return all(
        (table[:, patient == one] == table[:, patient == one][:, :1]).all()
        for one in patient.unique()
    )


@pytest.mark.parametrize("tune", [0.0, 0.3])
def test_all_records_of_a_patient_lie_on_one_side_of_every_split(visits, tune):
    y, patient = visits
    made = Plan.cross_validation(y, folds=5, seeds=3, seed=7, tune=tune, together=patient)
    for table in (made.train, made.held_out, *([made.tune] if tune else [])):
        assert splits_nobody(table, patient)
    for repetition in range(3):
        assert (made.held_out[made.repetition == repetition].sum(0) == 1).all()
    inner, _ = made.inner()
    assert splits_nobody(inner.train, patient)
    ill = (made.held_out[:-1].float() @ y.float()) / made.held_out[:-1].sum(1)
    assert ((ill - y.float().mean()).abs() < 0.12).all()  # stratified as far as patients allow


def test_records_that_stay_together_share_their_coin(visits):
    _, patient = visits
    halves = Plan.random_halves(310, models=64, seed=3, together=patient)
    assert splits_nobody(halves.train[:, :300], patient)
    own = halves.train[:, 300:].float().mean(1)
    assert len(own.unique()) > 2  # the others have coins of their own
    assert abs(float(halves.train.float().mean()) - 0.5) < 0.05


def test_patients_of_one_record_change_nothing(y):
    alone = torch.randperm(len(y), generator=torch.Generator().manual_seed(1))
    plain = Plan.cross_validation(y, folds=5, seeds=2, seed=7, tune=0.2)
    grouped = Plan.cross_validation(y, folds=5, seeds=2, seed=7, tune=0.2, together=alone)
    for name in ("train", "held_out", "tune", "seeds"):
        assert torch.equal(getattr(plain, name), getattr(grouped, name))
    halves = [
        Plan.random_halves(len(y), models=4, seed=1, together=who).train for who in (None, alone)
    ]
    assert torch.equal(*halves)


def test_the_first_record_of_each_patient():
    assert first_of(torch.tensor([7, 3, 7, 3, 9])).tolist() == [0, 1, 0, 1, 4]


def test_too_few_patients_of_a_class_are_named():
    y, patient = torch.tensor([0] * 20 + [1] * 20), torch.tensor([*range(20), *[20, 21] * 10])
    with pytest.raises(BadInput, match=r"at least 3 patients, or groups .* class 1 has 2"):
        Plan.cross_validation(y, folds=3, seeds=1, seed=0, together=patient)


@pytest.mark.parametrize("count", [3, 40, 77])
def test_a_sample_keeps_the_share_of_each_class_and_is_the_same_in_every_repetition(count):
    y = (torch.arange(200) % 10 == 0).long()
    whole = Plan.cross_validation(y, folds=5, seeds=3, seed=0)
    some = whole.sampled(y, count, seed=4)
    asked = torch.stack([some.held_out[some.repetition == s].any(0) for s in range(3)])
    assert (asked == asked[0]).all()
    assert int((asked[0] & (y == 1)).sum()) == max(1, round(count * 20 / 200))
    assert int((asked[0] & (y == 0)).sum()) == round(count * 180 / 200)
    assert not (some.held_out & ~whole.held_out).any()
    assert torch.equal(some.train, whole.train)
    assert torch.equal(some.sampled(y, None, 0).held_out, some.held_out)
    assert not torch.equal(whole.sampled(y, count, seed=5).held_out, some.held_out)
    assert torch.equal(whole.sampled(y, 200, seed=4).held_out, whole.held_out)


def test_a_plan_of_fewer_records_says_the_same_of_these():
    data = records(60, seed=3)
    whole = plan(data, seeds=2).with_tune(data.y, 0.2)
    rows = torch.tensor([3, 10, 11, 40])
    few, own = whole.narrowed(rows), data.narrowed(rows)
    assert few.tune is None  # of a few records, no model might have any
    for name in ("train", "held_out"):
        assert torch.equal(getattr(few, name), getattr(whole, name)[:, rows])
    assert (few.labels, few.seeds.tolist()) == (whole.labels, whole.seeds.tolist())
    assert torch.equal(own.x.nan_to_num(), data.x[rows].nan_to_num())
    assert own.y.tolist() == data.y[rows].tolist()
    assert own.patient.tolist() == rows.tolist()
