"""Updates of malicious hospitals: closed forms, bounds, and what each rule of aggregation makes."""

import pytest
import torch

from pipeline.attacks.updates import (
    HOSTILE,
    against_krum,
    boosted,
    honest,
    honest_ones,
    little_is_enough,
    nearest_to_others,
    replacing,
    tailored,
)

HOSPITALS, MODELS, WEIGHTS = 8, 3, 6


def updates(seed=0, common=1.0):
    """Every hospital learns much the same."""
    drawn = torch.Generator().manual_seed(seed)
    shape = (HOSPITALS, MODELS, WEIGHTS)
    own = 0.3 * torch.randn(shape, generator=drawn, dtype=torch.float64)
    return own + common * torch.linspace(-1, 1, WEIGHTS)


def malicious(count=1):
    """Others in each model."""
    table = torch.zeros(HOSPITALS, MODELS, dtype=torch.bool)
    for place in range(count):
        table[(torch.arange(MODELS) * 3 + place) % HOSPITALS, torch.arange(MODELS)] = True
    return table


def mean(rows):
    return rows.mean(0)


def trimmed(rows):
    return rows.sort(0).values[1:-1].mean(0)


def median(rows):
    return rows.quantile(0.5, 0)


def krum(rows):
    chosen = nearest_to_others(rows, 1)
    return rows[chosen, torch.arange(rows.shape[1])]


RULES = {"mean": mean, "trimmed": trimmed, "median": median, "krum": krum}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", HOSTILE)
def test_honest_updates_arrive_to_the_last_bit(name, count):
    given, bad = updates(), malicious(count)
    before = given.clone()
    sent = HOSTILE[name].sent(given, bad, mean)
    assert torch.equal(given, before)
    assert torch.equal(sent[~bad], given[~bad])
    assert (HOSTILE[name].sent is honest) == torch.equal(sent, given)


def test_one_of_eight_that_sends_ten_times_back_undoes_the_mean_as_computed():
    given = updates()[:1].expand(HOSPITALS, -1, -1)  # all learn the same: u
    sent = boosted(given, malicious(), mean)
    torch.testing.assert_close(sent.mean(0), (7 - 10) / 8 * given[0])
    torch.testing.assert_close(trimmed(sent), given[0])


@pytest.mark.parametrize("count", [1, 2])
def test_a_replacing_update_is_the_mean_once_the_others_stand_still(count):
    bad = malicious(count)
    wanted = torch.ones(MODELS, WEIGHTS, dtype=torch.float64)
    given = torch.where(bad[..., None], wanted, 0.0)
    torch.testing.assert_close(replacing(given, bad, mean).mean(0), wanted)


@pytest.mark.parametrize("within", [0.5, 1.5, 100.0])
def test_a_little_is_never_beyond_what_an_honest_hospital_sends(within):
    given, bad = updates(), malicious()
    others = honest_ones(given, bad)
    sent = little_is_enough(given, bad, mean, within=within)
    low, high = others.amin(0), others.amax(0)
    for model in range(MODELS):
        row = sent[bad[:, model], model][0]
        assert (row >= low[model]).all()
        assert (row <= high[model]).all()
        back = (row - others.mean(0)[model]) * others.mean(0)[model].sign()
        assert (back <= 1e-12).all()
    # so a trimmed mean and a median stay within what honest hospitals send, whatever he wants
    for rule in (trimmed, median):
        assert (rule(sent) >= low).all()
        assert (rule(sent) <= high).all()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("rule", ["trimmed", "median"])
def test_no_update_of_one_hospital_moves_a_robust_rule_out_of_the_honest_range(name, rule):
    given, bad = updates(), malicious()
    others = honest_ones(given, bad)
    result = RULES[rule](HOSTILE[name].sent(given, bad, RULES[rule]))
    assert (result >= others.amin(0) - 1e-12).all()
    assert (result <= others.amax(0) + 1e-12).all()


def test_krum_chooses_what_was_made_for_it_and_not_a_little_more():
    given, bad = updates(), malicious()
    sent = against_krum(given, bad, krum)
    assert bad.gather(0, nearest_to_others(sent, 1)[None]).all()
    others = honest_ones(given, bad)
    centre = others.mean(0)
    farther = torch.where(bad[..., None], centre + 1.01 * (sent - centre), sent)
    assert not bad.gather(0, nearest_to_others(farther, 1)[None]).any()
    along = ((sent - centre) * centre).sum(-1)
    assert (along[bad] < 0).all()


@pytest.mark.parametrize("rule", RULES)
def test_whoever_knows_the_rule_leaves_least_progress(rule):
    given, bad = updates(), malicious()
    direction = honest_ones(given, bad).mean(0)

    def left(name):
        return (RULES[rule](HOSTILE[name].sent(given, bad, RULES[rule])) * direction).sum(-1)

    for name in ("boost", "little_is_enough", "against_krum"):
        assert (left("tailored") <= left(name) + 1e-9).all()
    untouched = (RULES[rule](given) * direction).sum(-1)
    assert (left("tailored") < untouched).all()


def test_whom_krum_chooses_by_hand():
    at = torch.tensor([0.0, 0.1, 0.2, 5.0, 9.0], dtype=torch.float64)[:, None, None]
    # of each the 5 - 1 - 2 = 2 nearest: .05, .02, .05, far, far
    assert nearest_to_others(at, 1).tolist() == [1]


def test_honest_ones_are_those_in_their_order():
    given, bad = updates(), malicious(2)
    found = honest_ones(given, bad)
    for model in range(MODELS):
        assert torch.equal(found[:, model], given[~bad[:, model], model])


def test_tailored_depends_on_the_rule():
    given, bad = updates(), malicious()
    assert not torch.equal(tailored(given, bad, mean), tailored(given, bad, krum))
