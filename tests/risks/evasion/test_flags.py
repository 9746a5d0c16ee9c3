"""For every rule a planted fault that it finds; and a healthy model that raises none."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.attacks.evasion import Attacker, attackers_of
from pipeline.models.answers import disease_score
from pipeline.presentation.pictures import display_name
from pipeline.risks.evasion import flags
from pipeline.risks.evasion.evidence import MEASUREMENTS, Evidence
from pipeline.risks.evasion.flags import FLAGS, raise_flags
from pipeline.risks.evasion.groups import HARMS
from pipeline.risks.evasion.measure import diagnostics
from pipeline.risks.evasion.measure.attackers import ADDED, EXACT, TRANSFER
from pipeline.risks.evasion.measure.diagnostics import diagnose
from pipeline.risks.evasion.measure.margins import Margins, margins_by_threat
from pipeline.statistics import rates
from risks.evasion.made_up import APGD, EPS, KNOWN, PGD, Liar, Still, model, rows, trained_models
from tiny import CLINICAL, ROOT, records

pytestmark = pytest.mark.heavy

Y = records(200, seed=0).y.numpy()
GRADIENTS = ("fgsm", "pgd_ce", "pgd_margin")
SUITE = {
    "noise": -1.0,
    "fgsm": 0.0,
    "pgd_ce": 0.2,
    "pgd_margin": 0.2,
    "square": 0.1,
    TRANSFER: -0.5,
}


def suite(y=Y, strength=1.2, loss=2.0):
    """Margins of an honest model: what an attack knows decides what it takes."""
    clean = strength + np.random.default_rng(0).normal(0, 1.5, (2, len(y)))
    return {
        name: clean - np.array(EPS)[:, None, None] * (loss + extra) for name, extra in SUITE.items()
    }


def judged(margins, y=Y, known=KNOWN, **further):
    """The evidence of an examination with the same margins under two threats."""
    table = pd.concat(
        [rows(margins, y, threat=threat, known=known) for threat in ("clinical", "unconstrained")]
    )
    return Evidence(margins_by_threat(table), known, **further)


def flat(share, y=Y, value=1.0):
    """Margins that no attack moves, of a model that is right about `share` of the patients."""
    margins = np.full((3, 2, len(y)), value)
    margins[:, :, np.argsort(np.arange(len(y)) % 10, kind="stable")[round(share * len(y)) :]] *= -1
    return margins


def broken(margins, share, at=2):
    """The same, with that share of all patients broken at one radius."""
    margins = margins.copy()
    margins[at, :, np.flatnonzero(margins[at, 0] > 0)[: round(share * margins.shape[2])]] = -1.0
    return margins


@pytest.fixture(scope="module")
def healthy(smoke_text):
    """A trained population with its records and diagnoses."""
    return trained_models(smoke_text)


def measured(healthy, **faulty):
    """The measurements of a healthy population, but for those taken of a faulty one."""
    models, x, y = healthy
    return {**diagnose(models, x, y, CLINICAL, eps=0.3, seed=0), **faulty}


def seeded():
    return torch.Generator().manual_seed(0)


# ---- the planted faults: of the margins ----


def constant_answer(_):
    return judged({"fgsm": np.broadcast_to(np.where(Y == 1, 3.0, -3.0), (3, 2, len(Y)))})


def only_the_ill(_):
    return judged({name: margins[:, :, Y == 1] for name, margins in suite().items()}, Y[Y == 1])


def too_clean(_):
    return judged(suite(strength=9.0), auroc_ceiling=0.88)


def too_clean_for_any_clinic(_):
    return judged(suite(strength=9.0))


def nobody_moves(_):
    return judged(suite(), movable={("clinical", 0.3): 0.0})


def moved_at_eps_zero(_):
    evidence = judged(suite())
    margins = dict(evidence.by_threat["unconstrained"].by_attack)
    margins["square"] = margins["square"].copy()
    margins["square"][0, 1, 7] += 0.01
    return replace(
        evidence,
        by_threat={**evidence.by_threat, "unconstrained": Margins(np.array(EPS), Y, margins)},
    )


def radii_in_disorder(_):
    return Evidence({"clinical": Margins(np.array([0.0, 0.5, 0.1]), Y, suite())}, KNOWN)


def cross_entropy_blind(_):
    return judged({"pgd_ce": flat(0.9), "pgd_margin": broken(flat(0.9), 0.3)})


def stranger_wins(_):
    return judged({"pgd_margin": flat(0.9), TRANSFER: broken(flat(0.9), 0.3)})


def questions_win(_):
    return judged({"fgsm": flat(0.9), "square": broken(flat(0.9), 0.3)})


def noise_wins(_):
    return judged({"pgd_ce": flat(0.9), "noise": broken(flat(0.9), 0.3)})


def one_step_wins(_):
    return judged({"pgd_ce": flat(0.9), "fgsm": broken(flat(0.9), 0.3)})


def single_steps_fooled(_):
    return judged(
        {
            "fgsm": broken(flat(0.9), 0.05),
            "pgd_ce": broken(flat(0.9), 0.9),
            "pgd_margin": broken(flat(0.9), 0.9),
        }
    )


def strangers_only(_):
    margins = suite()
    return judged(
        {TRANSFER: margins[TRANSFER], "square": margins["square"], "noise": margins["noise"]}
    )


# ---- the planted faults: of the model ----


def saturated(healthy):
    models, x, y = healthy
    share = diagnostics.zero_gradient_share(lambda r: 1e4 * models(r), x, y)
    return judged(suite(), diagnostics=measured(healthy, zero_gradient_share=share))


def lying(healthy):
    models, x, y = healthy
    liar = Liar(models, lambda grad: grad.roll(1, -1))
    cosine = diagnostics.gradient_agreement(liar, x, y, CLINICAL.scale, reference=models.double())
    return judged(suite(), diagnostics=measured(healthy, gradient_agreement=cosine))


def noisy(healthy):
    models, x, _ = healthy
    generator = seeded()
    difference = diagnostics.nondeterminism(
        lambda r: models(r) + 0.01 * torch.randn(2, generator=generator), x
    )
    return judged(suite(), diagnostics=measured(healthy, nondeterminism=difference))


def softmaxed(healthy):
    models, x, _ = healthy
    share = diagnostics.answers_are_probabilities(lambda r: models(r).softmax(-1), x)
    return judged(suite(), diagnostics=measured(healthy, answers_are_probabilities=share))


def one_short_step(healthy):
    models, x, y = healthy
    gap = diagnostics.convergence_gap(
        models, x, y, CLINICAL, eps=1.0, generator=seeded(), steps=1, step_size=0.3
    )
    return judged(suite(), diagnostics=measured(healthy, convergence_gap=gap))


def gradient_withheld(healthy):
    models, x, y = healthy
    left = diagnostics.unbounded_accuracy(
        lambda r: models(Still.apply(r)), x, y, CLINICAL, generator=seeded()
    )
    return judged(suite(), diagnostics=measured(healthy, unbounded_accuracy=left))


def outside_the_box(healthy):
    _, x, _ = healthy
    count = CLINICAL.violations(x + 100 * CLINICAL.scale, x, 0.1)
    return judged(suite(), diagnostics=measured(healthy, violations=count))


def proof_refuted(healthy):
    return judged(suite(), diagnostics=measured(healthy, attack_beats_proof=2))


# flag: planted faults, and what else each of them rightly raises
PLANTED = {
    "degenerate": [(constant_answer, set())],
    "one_class_only": [(only_the_ill, {"degenerate"})],
    "suspected_leak": [(too_clean, set()), (too_clean_for_any_clinic, set())],
    "empty_radius": [(nobody_moves, set())],
    "clean_mismatch": [(moved_at_eps_zero, set())],
    "not_monotone": [(radii_in_disorder, set())],
    "violations": [(outside_the_box, set())],
    "attack_beats_proof": [(proof_refuted, set())],
    "masked_gradients": [(cross_entropy_blind, set()), (stranger_wins, set())],
    "zero_gradients": [(saturated, set())],
    "wrong_gradients": [(lying, set())],
    "probabilities": [(softmaxed, set())],
    "randomised": [(noisy, set())],
    "not_converged": [(one_short_step, set())],
    "unbounded_survivor": [(gradient_withheld, set())],
    "black_box_wins": [(questions_win, set())],
    "noise_beats_attack": [(noise_wins, set())],
    "pgd_loses_to_fgsm": [(one_step_wins, set())],
    "catastrophic_overfitting": [(single_steps_fooled, set())],
    "not_adaptive": [(strangers_only, set())],
}


def test_every_rule_has_a_planted_fault_and_its_own_name():
    assert PLANTED.keys() == FLAGS.keys()
    assert all(rule.__name__ == name and rule.__doc__ for name, rule in FLAGS.items())


@pytest.mark.parametrize(
    ("flag", "plant", "also"),
    [(flag, plant, also) for flag, plants in PLANTED.items() for plant, also in plants],
)
def test_a_planted_fault_raises_its_flag_and_no_other(healthy, flag, plant, also):
    raised = raise_flags(plant(healthy))
    assert set(raised) == {flag} | also
    assert any(character.isdigit() for character in raised[flag]) or flag == "not_adaptive"
    assert ";" not in raised[flag]
    assert "\n" not in raised[flag]


def test_an_honest_model_has_no_flag(healthy):
    counts = {"violations": 0, "attack_beats_proof": 0}
    assert (
        raise_flags(judged(suite(), diagnostics=measured(healthy, **counts), auroc_ceiling=0.99))
        == {}
    )
    assert raise_flags(judged(model(1.2, Y))) == {}


def test_what_was_not_measured_raises_nothing():
    assert raise_flags(judged(suite())) == {}


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_that_is_no_number_raises_a_flag(name):
    assert len(raise_flags(judged(suite(), diagnostics={name: float("nan")}))) == 1


@pytest.mark.parametrize(
    ("name", "allowed", "forbidden", "flag"),
    [
        ("zero_gradient_share", 0.0099, 0.01, "zero_gradients"),
        ("gradient_agreement", 0.99, 0.9899, "wrong_gradients"),
        ("nondeterminism", 1e-5, 1.1e-5, "randomised"),
        ("answers_are_probabilities", 0.01, 0.02, "probabilities"),
        ("convergence_gap", 0.005, 0.0051, "not_converged"),
        ("convergence_gap", -0.1, 0.1, "not_converged"),
        (
            "unbounded_accuracy",
            max(Y.mean(), 1 - Y.mean()),
            max(Y.mean(), 1 - Y.mean()) + 0.001,
            "unbounded_survivor",
        ),
        ("violations", 0, 1, "violations"),
        ("attack_beats_proof", 0, 1, "attack_beats_proof"),
    ],
)
def test_the_limit_of_a_measurement(name, allowed, forbidden, flag):
    assert raise_flags(judged(suite(), diagnostics={name: allowed})) == {}
    assert set(raise_flags(judged(suite(), diagnostics={name: forbidden}))) == {flag}


# ---- duels: the limits, the worst radius, the words ----


@pytest.mark.parametrize(
    ("favourites", "outsiders", "limit", "flag"),
    [
        (["pgd_ce"], ["pgd_margin"], flags.MASKING_GAP, "masked_gradients"),
        (["apgd_ce"], ["apgd_margin"], flags.MASKING_GAP, "masked_gradients"),
        (["pgd_ce", "fgsm"], [TRANSFER], flags.OUTSIDER_GAP, "masked_gradients"),
        (["pgd_margin"], ["square"], flags.OUTSIDER_GAP, "black_box_wins"),
        (["pgd_margin"], ["hop_skip_jump"], flags.OUTSIDER_GAP, "black_box_wins"),
        (["pgd_margin"], ["noise"], flags.OUTSIDER_GAP, "noise_beats_attack"),
        (["pgd_margin", "pgd_ce"], ["fgsm"], flags.OUTSIDER_GAP, "pgd_loses_to_fgsm"),
    ],
)
@pytest.mark.parametrize("at", [1, 2])
def test_who_must_not_lose_to_whom_and_by_how_much(favourites, outsiders, limit, flag, at):
    y = np.arange(2000) % 2
    for share, expected in ((limit - 0.001, set()), (limit + 0.001, {flag})):
        won = broken(flat(0.9, y), share, at)
        margins = dict.fromkeys(favourites, flat(0.9, y)) | dict.fromkeys(outsiders, won)
        raised = raise_flags(judged(margins, y))
        assert set(raised) == expected
        for sentence in raised.values():
            figures = (
                f"eps {EPS[at]:g}: accuracy 0.900 under {favourites[0]} but "
                f"{0.9 - share:.3f} under {outsiders[0]}"
            )
            assert sentence == f"clinical, {figures} ({0.9 - share:.3f} under all attacks together)"
    other = dict.fromkeys(favourites, broken(flat(0.9, y), 0.3, at)) | dict.fromkeys(
        outsiders, flat(0.9, y)
    )
    assert flag not in raise_flags(judged(other, y))


def test_the_best_of_several_favourites_counts():
    won = broken(flat(0.9), 0.3)
    assert (
        raise_flags(judged({"pgd_ce": flat(0.9), "pgd_margin": won, TRANSFER: won}))[
            "masked_gradients"
        ].count("under all")
        == 1
    )
    assert (
        raise_flags(
            judged({"fgsm": won, "pgd_margin": won, "square": won, "noise": won, TRANSFER: won})
        )
        == {}
    )


def test_the_sentence_shows_the_radius_where_most_is_lost_and_what_the_suite_finds_there():
    margins = {
        "pgd_ce": flat(0.9),
        "pgd_margin": broken(broken(flat(0.9), 0.1, 1), 0.4, 2),
        "square": broken(flat(0.9), 0.4, 1),
    }
    sentence = raise_flags(judged(margins))["masked_gradients"]
    assert sentence == (
        "clinical, eps 0.5: accuracy 0.900 under pgd_ce but 0.500 under pgd_margin "
        "(0.500 under all attacks together)"
    )
    both = raise_flags(judged({**margins, TRANSFER: broken(flat(0.9), 0.8, 1)}))["masked_gradients"]
    assert both.startswith(
        f"{sentence[: sentence.index('(')]}(0.100 under all attacks together) and "
        "clinical, eps 0.1: "
    )


def test_a_fault_under_any_threat_counts():
    honest, blind = judged(suite()), cross_entropy_blind(None)
    both = Evidence(
        {"clinical": honest.by_threat["clinical"], "other": blind.by_threat["clinical"]}, KNOWN
    )
    assert raise_flags(both)["masked_gradients"].startswith("other, eps 0.5: ")


def test_a_stranger_may_break_other_patients_as_long_as_it_breaks_no_more():
    margins = {"pgd_margin": broken(flat(0.9), 0.1), TRANSFER: flat(0.9)}
    margins[TRANSFER][2, :, -15:] = -1.0
    assert raise_flags(judged(margins)) == {}


def with_mystery(access):
    return KNOWN | {"mystery": Attacker("mystery", access, steps="many")}


@pytest.mark.parametrize(
    ("access", "flags_raised"),
    [
        ("gradients", set()),
        ("scores", {"black_box_wins"}),
        ("labels", {"black_box_wins"}),
        ("transfer", {"masked_gradients"}),
        ("none", {"noise_beats_attack"}),
        ("exact", set()),  # a solver may find what no attack finds
    ],
)
def test_access_decides_who_is_who(access, flags_raised):
    margins = {"pgd_margin": flat(0.9), "mystery": broken(flat(0.9), 0.3)}
    assert set(raise_flags(judged(margins, known=with_mystery(access)))) == flags_raised


# ---- names mean nothing ----

OWN = {
    "my_pgd": {**PGD, "loss": "cross_entropy"},
    "other": {**PGD, "loss": "margin"},
    "swift": {"method": "fgsm"},
}
AS_USUAL = {"my_pgd": "pgd_ce", "other": "pgd_margin", "swift": "fgsm"}
FAULTS = {
    "masked_gradients": {"my_pgd": 0.0, "other": 0.3},
    "pgd_loses_to_fgsm": {"my_pgd": 0.0, "swift": 0.3},
    "catastrophic_overfitting": {"swift": 0.05, "my_pgd": 0.9, "other": 0.9},
}


@pytest.mark.parametrize("flag", FAULTS)
def test_an_attack_of_any_name_raises_the_same_flags(flag):
    own = {name: broken(flat(0.9), share) for name, share in FAULTS[flag].items()}
    usual = {AS_USUAL[name]: margins for name, margins in own.items()}
    mine = raise_flags(judged(own, known={**attackers_of(OWN), **ADDED}))
    assert mine.keys() == raise_flags(judged(usual)).keys() == {flag}
    named = next(iter(FAULTS[flag]))
    assert f"under {named}" in mine[flag]


def test_a_name_alone_is_no_loss_and_no_step():
    """Called like the usual three, but all on the margin, and none of a single step."""
    called = {
        "pgd_ce": {**PGD, "loss": "margin"},
        "pgd_margin": {**PGD, "loss": "margin", "restarts": 5},
        "fgsm": {**APGD, "loss": "margin"},
    }
    won = broken(flat(0.9), 0.3)
    margins = {"pgd_ce": flat(0.9), "pgd_margin": flat(0.9), "fgsm": won}
    assert raise_flags(judged(margins, known=attackers_of(called))) == {}


@pytest.mark.parametrize(
    ("first", "second", "pair"),
    [
        ({**PGD, "loss": "cross_entropy"}, {**PGD, "loss": "margin"}, True),
        ({**PGD, "loss": "cross_entropy"}, PGD, True),  # the margin is PGD's default
        ({**PGD, "loss": "cross_entropy", "restarts": 1}, {**PGD, "loss": "margin"}, True),
        ({**PGD, "loss": "cross_entropy"}, {**PGD, "loss": "margin", "restarts": 2}, False),
        ({**PGD, "loss": "cross_entropy"}, {**APGD, "loss": "margin"}, False),
        ({"method": "fgsm"}, {"method": "fgsm", "loss": "margin"}, True),
    ],
)
def test_a_pair_is_the_same_method_with_the_same_options_but_for_the_loss(first, second, pair):
    """Otherwise the one with more steps would always win."""
    known = attackers_of({"x": first, "y": second})
    assert known["x"].differs_by_loss(known["y"]) == pair
    margins = {"x": flat(0.9), "y": broken(flat(0.9), 0.3)}
    assert ("masked_gradients" in raise_flags(judged(margins, known=known))) == pair


def test_a_verifier_is_adaptive():
    assert set(raise_flags(judged({"noise": flat(0.9)}))) == {"not_adaptive"}
    assert raise_flags(judged({"noise": flat(0.9), EXACT: flat(0.9)})) == {}


# ---- overfitting to single steps ----


@pytest.mark.parametrize(
    ("to_fgsm", "to_pgd", "overfitted"),
    [
        (0.00, 0.09, False),  # a small gap
        (0.00, 0.11, True),
        (0.05, 0.90, True),
        (0.40, 0.85, True),
        (0.45, 0.85, False),  # more than half of what PGD takes
        (0.70, 0.85, False),
        (0.85, 0.90, False),  # an undefended model at a large radius
    ],
)
def test_overfitting_is_a_model_that_is_robust_to_single_steps_alone(to_fgsm, to_pgd, overfitted):
    margins = {
        "fgsm": broken(flat(0.9), to_fgsm),
        "pgd_ce": broken(flat(0.9), to_pgd),
        "pgd_margin": broken(flat(0.9), to_pgd),
    }
    assert set(raise_flags(judged(margins))) == (
        {"catastrophic_overfitting"} if overfitted else set()
    )


def test_masked_cross_entropy_is_not_taken_for_overfitting():
    """FGSM and PGD are compared on the same loss, if both are there."""
    margins = {"fgsm": flat(0.9), "pgd_ce": flat(0.9), "pgd_margin": broken(flat(0.9), 0.6)}
    assert set(raise_flags(judged(margins))) == {"masked_gradients"}
    del margins["pgd_ce"]
    assert set(raise_flags(judged(margins))) == {"catastrophic_overfitting"}


# ---- the figures themselves ----


@pytest.mark.parametrize("answer", [0, 1])
def test_a_model_that_says_the_same_of_everyone_is_degenerate(answer):
    raised = raise_flags(
        judged({"fgsm": np.broadcast_to(np.where(answer == Y, 3.0, -3.0), (3, 2, len(Y)))})
    )
    assert raised == {
        "degenerate": (
            f"unattacked, {answer:.1%} of the patients are called ill, balanced accuracy 0.500"
        )
    }


def test_the_ceiling_is_measured_on_clean_records():
    margins = suite()
    area = rates.auroc(disease_score(margins["fgsm"][0].astype(np.float32), Y), Y)
    assert set(raise_flags(judged(margins, auroc_ceiling=area - 1e-6))) == {"suspected_leak"}
    assert raise_flags(judged(margins, auroc_ceiling=area + 1e-6)) == {}


def test_without_a_ceiling_only_what_no_clinic_sees_is_a_leak():
    margins = suite()
    area = rates.auroc(disease_score(margins["fgsm"][0].astype(np.float32), Y), Y)
    assert area < flags.LEAK
    assert raise_flags(judged(margins)) == {}


def test_one_patient_who_can_be_changed_makes_a_radius_count():
    assert raise_flags(judged(suite(), movable={("clinical", 0.3): 0.01})) == {}
    assert raise_flags(judged(suite(), movable={("clinical", 0.3): float("nan")})) == {}


def test_rounding_is_no_mismatch():
    margins = suite()
    margins["pgd_ce"] = margins["pgd_ce"] * (1 + 1e-6)
    assert raise_flags(judged(margins)) == {}
    raised = raise_flags(moved_at_eps_zero(None))
    assert raised["clean_mismatch"].startswith(
        "unconstrained, eps 0: 1 of 400 answers under square "
    )


def test_the_rise_is_named():
    sentence = raise_flags(radii_in_disorder(None))["not_monotone"]
    first, second = ((radii_in_disorder(None).first.worst[at] > 0).mean() for at in (2, 1))
    assert first < second
    assert sentence == f"clinical, eps 0.5: robust accuracy rises from {first:.3f} to {second:.3f}"


def test_only_the_ill_is_named():
    ill = int((Y == 1).sum())
    assert (
        raise_flags(only_the_ill(None))["one_class_only"]
        == f"clinical: all {ill} patients are of class 1"
    )


# ---- evidence that no rule would read ----


def test_an_unknown_measurement_is_refused():
    with pytest.raises(ValueError, match=r"zero_gradients_share.*zero_gradient_share"):
        judged(suite(), diagnostics={"zero_gradients_share": 0.5})


def test_an_attack_of_whom_nothing_is_known_is_refused():
    """It must not silently count as one that has the gradients."""
    known = {name: one for name, one in KNOWN.items() if name != "fgsm"}
    with pytest.raises(ValueError, match=r"nothing is known of the attack fgsm"):
        Evidence(margins_by_threat(rows(suite(), Y)), known)


# ---- what people read about flags ----


def test_the_page_on_threats_explains_every_flag_and_no_other():
    section = (
        (ROOT / "docs" / "threats.md")
        .read_text(encoding="utf-8")
        .split("## Flags")[1]
        .split("\n## ")[0]
    )
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == [*FLAGS, HARMS]


def test_every_flag_has_a_readable_label():
    assert all(display_name("dp", flag) == f"dp [{' '.join(flag.split('_'))}]" for flag in FLAGS)


def test_where_records_are_repaired_attacks_are_held_against_each_other_without_relations():
    """The planted fault under both threats: it is found under the one without relations."""
    margins = suite()
    margins[TRANSFER] = broken(margins["pgd_margin"], 0.3, at=1)
    both = judged(margins)
    assert raise_flags(both)["masked_gradients"].startswith("clinical")
    once = replace(both, repaired=frozenset({"clinical"}))
    assert raise_flags(once)["masked_gradients"].startswith("unconstrained")
    assert "masked_gradients" not in raise_flags(
        replace(both, repaired=frozenset({"clinical", "unconstrained"}))
    )
