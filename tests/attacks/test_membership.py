from statistics import NormalDist

import pytest
import torch
from torch.nn.functional import one_hot

import tiny
from pipeline.attacks.log_odds import VARIANCE_FLOOR, on_common_scale
from pipeline.attacks.membership import (
    MEMBERSHIP,
    MEMBERSHIP_ACCESS,
    NEEDS_SHADOWS,
    Signals,
    blind,
    lira,
    lira_bayes,
    lira_fixed,
    lira_offline,
    rmia,
    rmia_drift,
    signals,
)
from pipeline.data.schema import Dataset
from pipeline.statistics.separation import auroc

pytestmark = pytest.mark.heavy

PHI = NormalDist().cdf


def coins(targets, records, seed):
    """Each record is in half of the models, drawn at random."""
    noise = torch.rand(targets, records, generator=torch.Generator().manual_seed(seed))
    return noise.argsort(0).argsort(0) < targets // 2


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made_up(log_odds, seed=0):
    """Signals of two classes, label shares in tenths."""
    noisy = log_odds + normal(*log_odds.shape, seed=seed)
    return Signals(log_odds, log_odds.abs(), (torch.sigmoid(noisy) * 10).round() / 10)


def area(scores, member):
    return auroc(scores[member].numpy(), scores[~member].numpy())


@pytest.fixture(scope="module")
def member():
    return coins(32, 40, seed=1)


@pytest.fixture(scope="module")
def some(member):
    records = 2 * normal(40, seed=2)  # some records are easy, others hard
    return made_up(records + member + normal(*member.shape, seed=3))


# ---- signals ----


def ask(models, x, y, *, copies=3, spread=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    dataset = Dataset(x, y, tiny.SCHEMA)
    return signals(models, dataset, copies=copies, spread=spread, generator=generator)


@pytest.mark.parametrize("classes", [2, 3])
def test_log_odds_are_those_of_the_probability(classes):
    models, data = tiny.population(3, classes=classes), tiny.records(20, seed=1)
    p = models.double()(data.x.double().expand(3, -1, -1)).softmax(-1)
    recorded = (p * one_hot(data.y, classes)).sum(-1)
    read = ask(models, data.x, data.y)
    torch.testing.assert_close(read.log_odds, torch.log(recorded / (1 - recorded)))
    torch.testing.assert_close(read.confidence, torch.log(p.amax(-1) / (1 - p.amax(-1))))
    right = p.argmax(-1) == data.y
    assert torch.equal(MEMBERSHIP["gap"](read, right), right.double())
    assert 0.2 < right.double().mean() < 0.95


def test_the_record_itself_is_among_its_copies():
    models, data = tiny.population(3), tiny.records(20, seed=1)
    right = MEMBERSHIP["gap"](ask(models, data.x, data.y), torch.ones(3, 20))
    assert torch.equal(ask(models, data.x, data.y, copies=0).label_share, right)
    assert torch.equal(ask(models, data.x, data.y, spread=0.0).label_share, right)
    share = ask(models, data.x, data.y, copies=3, spread=2.0).label_share
    assert set((share * 4).unique().tolist()) == {0, 1, 2, 3, 4}
    assert (share[right == 1] >= 0.25).all()
    assert (share[right == 0] <= 0.75).all()


def test_all_models_see_the_same_copies():
    twins, data = tiny.population(2).select(torch.tensor([0, 1, 0])), tiny.records(30, seed=1)
    share = ask(twins, data.x, data.y, spread=2.0).label_share
    assert torch.equal(share[0], share[2])
    assert not torch.equal(share[0], share[1])


def test_a_missing_value_stays_missing_in_every_copy():
    class Seen:
        size, asked, cut = 2, [], torch.zeros(2, dtype=torch.float64)

        def double(self):
            return self

        def __call__(self, x):
            self.asked.append(x.clone())
            return torch.zeros(*x.shape[:2], 2, dtype=torch.float64)

    models, data = Seen(), tiny.records(20, seed=1, missing=0.3)
    ask(models, data.x, data.y)
    assert len(models.asked) == 4
    assert all(torch.equal(x.isnan(), data.x.isnan().expand(2, -1, -1)) for x in models.asked)
    moved = (models.asked[1] - models.asked[0])[~models.asked[0].isnan()]
    assert (moved != 0).all()


def test_noise_is_measured_in_the_scale_of_each_feature():
    class Reader:
        size, cut = 1, torch.zeros(1, dtype=torch.float64)

        def double(self):
            return self

        def __call__(self, x):
            self.last = x
            return torch.zeros(*x.shape[:2], 2, dtype=torch.float64)

    reader, x = Reader(), torch.zeros(20_000, 5)
    ask(reader, x, torch.zeros(20_000, dtype=torch.long), copies=1, spread=0.5)
    torch.testing.assert_close(reader.last[0].std(0), 0.5 * tiny.CLINICAL.scale, rtol=0.03, atol=0)


def test_a_certain_model_does_not_lose_its_log_odds():
    models, data = tiny.population(3, hidden=(), boost=1e5), tiny.records(50, seed=1)
    read = ask(models, data.x, data.y)
    assert read.log_odds.abs().median() > 1e3
    assert read.log_odds.isfinite().all()
    assert len(read.log_odds.unique()) == read.log_odds.numel()


# ---- attacks ----


def test_the_tables_name_the_same_attacks():
    assert list(MEMBERSHIP) == list(MEMBERSHIP_ACCESS) == list(NEEDS_SHADOWS)
    assert all(attack.__name__ == name for name, attack in MEMBERSHIP.items())


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_scores_of_a_target_do_not_depend_on_its_own_membership(name, member, some):
    scores = MEMBERSHIP[name](some, member)
    for target in (0, 13, 31):
        flipped = member.clone()
        flipped[target] = ~flipped[target]
        assert torch.equal(MEMBERSHIP[name](some, flipped)[target], scores[target])


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_only_shadows_are_needed_that_are_used(name, member, some):
    scores = MEMBERSHIP[name](some, member)
    other = MEMBERSHIP[name](made_up(torch.cat([some.log_odds[:1], some.log_odds[1:] + 1])), member)
    same = name in ("loss", "confidence", "gap") and torch.equal(scores[0], other[0])
    assert same == (not NEEDS_SHADOWS[name])


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_labels_are_enough_for_those_that_say_so(name, member, some):
    blurred = Signals(some.log_odds.sinh(), some.confidence.sinh(), some.label_share)
    same = torch.equal(MEMBERSHIP[name](some, member), MEMBERSHIP[name](blurred, member))
    assert same == (MEMBERSHIP_ACCESS[name] == "labels")


def density(values, spread, at):
    return torch.distributions.Normal(values.mean(), spread).log_prob(at)


def pooled(log_odds, chosen):
    columns = [log_odds[chosen[:, i], i] for i in range(log_odds.shape[1])]
    return (
        sum(((c - c.mean()) ** 2).sum() for c in columns) / sum(len(c) - 1 for c in columns)
    ).sqrt()


@pytest.mark.parametrize("fixed", [False, True])
def test_lira_is_the_ratio_that_a_loop_over_targets_finds(fixed, member, some):
    odds, expected = some.log_odds, torch.empty(member.shape, dtype=torch.float64)
    for t in range(len(member)):
        rest = torch.arange(len(member)) != t
        spreads = [pooled(odds[rest], side[rest]) for side in (member, ~member)]
        for i in range(member.shape[1]):
            inside, outside = odds[rest & member[:, i], i], odds[rest & ~member[:, i], i]
            wide, narrow = spreads if fixed else (inside.std(), outside.std())
            expected[t, i] = density(inside, wide, odds[t, i]) - density(
                outside, narrow, odds[t, i]
            )
    torch.testing.assert_close(
        (lira_fixed if fixed else lira)(some, member), expected, rtol=1e-9, atol=1e-9
    )


def test_offline_lira_is_the_log_odds_of_the_cdf(member, some):
    odds = some.log_odds
    for t in (0, 5, 31):
        rest = torch.arange(len(member)) != t
        spread = pooled(odds[rest], ~member[rest])
        mean = torch.stack([odds[rest & ~member[:, i], i].mean() for i in range(member.shape[1])])
        cdf = torch.distributions.Normal(mean, spread).cdf(odds[t])
        torch.testing.assert_close(
            lira_offline(some, member)[t], torch.log(cdf / (1 - cdf)), rtol=1e-7, atol=1e-9
        )


def test_offline_lira_reads_no_model_with_the_record(member, some):
    elsewhere = member.clone()
    elsewhere[3] = False  # the target is looked at, as any outsider would be
    moved = Signals(
        torch.where(elsewhere, some.log_odds + 7, some.log_odds), some.confidence, some.label_share
    )
    torch.testing.assert_close(lira_offline(moved, member)[3], lira_offline(some, member)[3])


def test_rmia_is_the_share_that_a_double_loop_finds(member, some):
    p = torch.sigmoid(on_common_scale(some.log_odds))
    targets, records = p.shape
    scores = rmia(some, member)
    for t in range(targets):
        ratio = p[t] / torch.cat([p[:t], p[t + 1 :]]).mean(0)
        share = [
            sum(float(ratio[i] / ratio[z] >= 1) for z in range(records) if z != i) / (records - 1)
            for i in range(records)
        ]
        rest = scores[t] - torch.tensor(share)
        assert ((rest > -1e-12) & (rest < 1 / records)).all()


def test_rmia_breaks_ties_across_targets_by_the_ratio(member, some):
    scores = rmia(some, member)
    assert len(scores.unique()) == scores.numel()
    p = torch.sigmoid(on_common_scale(some.log_odds))
    ratio = p / ((p.sum(0) - p) / (len(p) - 1))
    best = scores.amax(1)  # the same share, 1, for every target
    assert torch.equal(best.argsort(), ratio.amax(1).argsort())


def test_rmia_counts_a_record_that_gains_as_much():
    twins = normal(6, 1, seed=20).expand(-1, 2).clone()
    assert (rmia(made_up(twins), coins(6, 2, seed=21)) >= 1).all()


@pytest.mark.parametrize("mu", [0.5, 1.5])
@pytest.mark.parametrize("attack", [lira_fixed, lira_offline, lira, lira_bayes])
def test_lira_finds_the_truth_of_gaussians(attack, mu):
    member = coins(128, 300, seed=4)
    odds = 3 * normal(300, seed=5) + mu * member + normal(128, 300, seed=6)
    found, truth = area(attack(made_up(odds), member), member), PHI(mu / 2**0.5)
    assert found == pytest.approx(truth, abs=0.012)
    assert (
        found > area(odds, member) + 0.03
    )  # the records differ, which the loss alone does not know


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_memory_is_found_and_coins_are_not(name):
    member, records = coins(64, 150, seed=7), 1.5 * normal(150, seed=8)
    noise = normal(64, 150, seed=9)
    remembers = made_up(records + 2 * member + noise)
    assert area(MEMBERSHIP[name](remembers, member), member) > 0.57
    # 4800 members and as many others: one standard deviation is about 0.006.
    assert area(MEMBERSHIP[name](made_up(records + noise), member), member) == pytest.approx(
        0.5, abs=0.02
    )


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_models_that_are_certain_give_finite_scores(name):
    member = coins(32, 40, seed=10)
    odds = 1e3 + normal(40, seed=11) + 5 * member + normal(32, 40, seed=12)
    scores = MEMBERSHIP[name](made_up(odds), member)
    assert scores.dtype == torch.float64
    assert scores.isfinite().all()
    if name not in ("gap", "label_only", "rmia", "rmia_drift"):  # whose signals are certain, too
        assert len(scores.unique()) == scores.numel()
    if name.startswith("lira"):
        assert area(scores, member) > 0.95


def test_rmia_tells_models_apart_whose_probabilities_round_to_one():
    member = coins(32, 40, seed=10)
    odds = 100 + normal(40, seed=11) + 5 * member + normal(32, 40, seed=12)
    scores = rmia(made_up(odds), member)
    assert len(scores.unique()) == scores.numel()
    assert area(scores, member) > 0.85


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_models_that_agree_tell_nothing(name):
    member = coins(32, 40, seed=13)
    scores = MEMBERSHIP[name](made_up(normal(40, seed=14).expand(32, -1)), member)
    assert scores.isfinite().all()
    assert area(scores, member) == pytest.approx(0.5, abs=0.05)
    if name not in (
        "label_only",
        "rmia",
        "rmia_drift",
    ):  # one is made up with noise of its own, the others rank what rounding leaves
        assert (scores.std(0) < 1e-12).all()


@pytest.mark.parametrize("attack", [lira, lira_fixed, lira_offline, lira_bayes])
def test_a_record_with_too_few_shadows_has_a_finite_score(attack, member, some):
    few = member.clone()
    few[:, 0], few[:, 1] = True, False  # nobody to compare with
    few[:, 2], few[:, 3] = torch.arange(32) == 5, torch.arange(32) != 5  # one
    scores = attack(some, few)
    assert scores.isfinite().all()
    assert (scores[:, 0] == 0).all()
    if attack is not lira_offline:
        assert (scores[:, 1] == 0).all()
        assert scores[5, 2] == scores[5, 3] == 0  # the one is the target itself
    assert (scores[:5, 2] != 0).all()


def test_a_single_shadow_gets_the_pooled_variance(member, some):
    few = member.clone()
    few[:, 2] = torch.arange(32) == 5
    few[:, 3] = ~few[:, 2]
    odds, rest = some.log_odds, torch.arange(32) != 0
    inside = density(odds[5, 2], pooled(odds[rest], few[rest]), odds[0, 2])
    outside = odds[rest & ~few[:, 2], 2]
    expected = inside - density(outside, outside.std(), odds[0, 2])
    torch.testing.assert_close(lira(some, few)[0, 2], expected, rtol=1e-9, atol=1e-9)


def test_two_models_know_nothing_of_the_spread():
    member = torch.tensor([[True, False], [False, True]])
    for attack in (lira, lira_fixed, lira_offline, lira_bayes):
        assert torch.equal(
            attack(made_up(normal(2, 2, seed=1)), member), torch.zeros(2, 2, dtype=torch.float64)
        )


def test_the_variance_has_a_floor():
    member = coins(16, 1, seed=15)
    odds = 1.0 * member.double()
    odds[0] = 0.5
    limit = 0.5 / VARIANCE_FLOOR
    assert lira(made_up(odds), member).abs().max() <= limit * (1 + 1e-9)


# ---- one scale for all defenses ----


def test_a_defense_that_multiplies_its_logits_hides_nobody():
    member = coins(64, 150, seed=7)
    odds = 1.5 * normal(150, seed=8) + 2 * member + normal(64, 150, seed=9)
    sure = made_up(1000 * odds)
    assert area(rmia(sure, member), member) == pytest.approx(
        area(rmia(made_up(odds), member), member), abs=1e-9
    )
    assert torch.equal(rmia(sure, member).argsort(1), rmia(made_up(odds), member).argsort(1))


# ---- priors that the records share ----


def test_bayesian_lira_is_the_ratio_that_a_loop_over_targets_finds(member, some):
    odds, expected = some.log_odds, torch.empty(member.shape, dtype=torch.float64)
    wrong = torch.sigmoid(-on_common_scale(odds).mean(0))
    records = member.shape[1]
    for t in range(len(member)):
        rest = torch.arange(len(member)) != t
        sides = [[odds[rest & side[:, i], i] for i in range(records)] for side in (member, ~member)]
        means, counts = (
            [torch.tensor([float(f(one)) for one in side]).double() for side in sides]
            for f in (torch.mean, len)
        )
        squares = sum(
            torch.stack([((one - one.mean()) ** 2).sum() for one in side]) for side in sides
        )
        free = counts[0] + counts[1] - 2
        pooled = squares.sum() / free.sum()
        dispersion = ((squares / free / pooled) ** 2).mean() / (1 + 2 / free.mean()) - 1
        prior = 4 + 2 / max(float(dispersion), 1e-3)
        variance = ((prior - 2) * pooled + squares) / (prior + free)
        noise = 1 / counts[0] + 1 / counts[1]
        shift = (means[0] - means[1]) / variance.sqrt()
        design = torch.stack([torch.ones(records).double(), wrong], 1)
        line = design @ torch.linalg.lstsq(design, shift[:, None]).solution[:, 0]
        scatter = max(float(((shift - line) ** 2 - noise).mean()), 0.0)
        half = (line + scatter / (scatter + noise) * (shift - line)) * variance.sqrt() / 2
        width = (variance * (1 + 1 / (counts[0] + counts[1]))).sqrt()
        middle = (means[0] + means[1]) / 2
        with_it, without_it = (
            torch.distributions.StudentT(prior + free, middle + side, width).log_prob(odds[t])
            for side in (half, -half)
        )
        expected[t] = with_it - without_it
    torch.testing.assert_close(lira_bayes(some, member), expected, rtol=1e-5, atol=1e-6)


def test_shared_priors_help_where_shadows_are_few():
    member, records = coins(16, 400, seed=30), 2 * normal(400, seed=31)
    spread = torch.exp(0.5 * normal(400, seed=32))
    odds = made_up(records + spread * (member + normal(16, 400, seed=33)))
    found = area(lira_bayes(odds, member), member)
    assert found > area(lira(odds, member), member) + 0.05
    assert found > area(lira_fixed(odds, member), member) + 0.02


# ---- drift ----


def drifting(seed, *, memory):
    """Models that share three directions in which luck moves the answers to many records."""
    member = coins(48, 160, seed=seed)
    luck = 1.5 * normal(48, 3, seed=seed + 1) @ normal(3, 160, seed=seed + 2)
    noise = 0.7 * normal(48, 160, seed=seed + 3)
    return made_up(normal(160, seed=seed + 4) + memory * member + luck + noise), member


def test_drift_hides_members_until_it_is_taken_out():
    odds, member = drifting(40, memory=1.0)
    assert area(rmia_drift(odds, member), member) > area(rmia(odds, member), member) + 0.08


def test_taking_drift_out_finds_nobody_where_nothing_is_remembered():
    found = []
    for seed in range(50, 110, 6):
        odds, member = drifting(seed, memory=0.0)
        found.append(area(rmia_drift(odds, member), member))
    # 38400 members in all and as many others: one standard deviation is about 0.002.
    assert sum(found) / len(found) == pytest.approx(0.5, abs=0.008)


def test_how_much_drift_is_taken_out_is_chosen_on_other_targets():
    odds, member = drifting(40, memory=1.0)
    flipped = member.clone()
    flipped[::2] = coins(48, 160, seed=99)[::2]
    before, after = rmia_drift(odds, member), rmia_drift(odds, flipped)
    assert torch.equal(before[::2], after[::2])


# ---- the control ----


def test_the_blind_classifier_finds_nothing_in_coins():
    data = tiny.records(300, seed=16)
    member = coins(64, 300, seed=17)
    # 9600 members and as many others: one standard deviation is about 0.004.
    assert area(blind(data.x, data.y, member), member) == pytest.approx(0.5, abs=0.015)


def test_the_blind_classifier_never_knows_a_patient_by_another_visit():
    data = tiny.records(100, seed=16)
    patient = torch.arange(100).repeat_interleave(4)
    x, y, member = data.x[patient], data.y[patient], coins(64, 100, seed=17)[:, patient]
    assert area(blind(x, y, member), member) > 0.6
    assert area(blind(x, y, member, patient), member) == pytest.approx(0.5, abs=0.03)


def test_the_blind_classifier_finds_members_that_differ():
    data = tiny.records(300, seed=16, missing=0.1)
    product = (data.x[:, 0] - 120) * (data.x[:, 4] - 40)
    member = torch.stack([data.x[:, 0] > 120, product.nan_to_num() > 0])
    for target, floor in ((0, 0.9), (1, 0.8)):
        assert area(blind(data.x, data.y, member)[target], member[target]) > floor


def test_the_blind_classifier_never_fits_on_whom_it_scores():
    data, member = tiny.records(60, seed=18), coins(4, 60, seed=19)
    flipped = member.clone()
    flipped[:, ::2] = ~flipped[:, ::2]
    before, after = blind(data.x, data.y, member), blind(data.x, data.y, flipped)
    assert torch.equal(before[:, ::2], after[:, ::2])
    assert not torch.allclose(before[:, 1::2], after[:, 1::2])
