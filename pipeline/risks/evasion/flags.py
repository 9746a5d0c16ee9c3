"""What makes a defense's figures suspect: one rule per flag, a function of the evidence.

A flag is an alarm, not a proof, and no flag is no proof either. **Who has any is called best in
nothing** (`pipeline/risks/conclusions.py`), because each of them means that the robust accuracy may
be too high, or that something is broken.
"""

from collections.abc import Callable, Iterable

import numpy as np

from pipeline.models.answers import predicted
from pipeline.risks.evasion.evidence import Duel, Evidence, Sides, duels
from pipeline.risks.evasion.measure.margins import Margins
from pipeline.statistics import rates

# cross-entropy may fail by chance on this share of records where the margin succeeds
MASKING_GAP = 0.02
# nobody with less knowledge may beat the model's own gradients by more: Croce and Hein 2020,
# 2003.01690
OUTSIDER_GAP = 0.002
ZERO_GRADIENT_SHARE = 0.01  # of rightly answered records; Croce and Hein 2020's checks warn of any
# of a right gradient with finite differences; float32 rounding alone leaves more than 0.9999
COSINE = 0.99
# what twice the steps may gain: Carlini et al. 2019, 1902.06705, set at half a point
CONVERGENCE_GAP = 0.005
# FGSM against PGD; on honest networks of either data set they differ by up to 0.08
OVERFITTING_GAP = 0.10
# ... and FGSM finds less than this share of the accuracy that PGD takes: Wong et al. 2020,
# 2001.03994
OVERFITTING_SHARE = 0.5
RANDOMNESS = 1e-5  # logits; the same float32 sum in another order differs by less
PROBABILITY_SHARE = 0.01  # of answers that look like a softmax
LEAK = 0.97  # clean AUROC from which on a leak is suspected where no ceiling is set
EMPTY = "no patient's record has an admitted change within it, so robust accuracy tests nothing"
CLEAN_MISMATCH = 1e-4  # relative to the margin; the audit's own attacks agree bit for bit

Rule = Callable[
    [Evidence], str | None
]  # a sentence with the figures where the flag is raised, otherwise None


def raise_flags(evidence: Evidence) -> dict[str, str]:
    """The flags that the evidence raises, each with one sentence: figures, threat, eps; no ";"."""
    sentences = {name: rule(evidence) for name, rule in FLAGS.items()}
    return {name: sentence for name, sentence in sentences.items() if sentence is not None}


# ---- duels: attacks that must not lose, against attacks that must not win ----


def _lost(fought: Iterable[Duel], limit: float) -> str | None:
    """The duel that the favourite lost by most, where that is more than the limit."""
    worst = max(fought, key=lambda duel: duel.gap, default=None)
    if worst is None or worst.gap <= limit:
        return None
    return (
        f"{worst.threat}, eps {worst.eps:g}: accuracy {worst.under_favourite:.3f} under "
        f"{worst.favourite} but {worst.under_outsider:.3f} under {worst.outsider} "
        f"({worst.under_all:.3f} under all attacks together)"
    )


def masked_gradients(evidence: Evidence) -> str | None:
    """Cross-entropy loses where the margin wins, or foreign records win where gradients lose."""

    def losses(margins: Margins) -> Iterable[Sides]:
        known = evidence.attackers
        of = {
            loss: [name for name in margins.by_attack if known[name].loss == loss]
            for loss in ("cross_entropy", "margin")
        }
        return [
            ([one], [other])
            for one in of["cross_entropy"]
            for other in of["margin"]
            if known[one].differs_by_loss(known[other])
        ]

    def elsewhere(margins: Margins) -> Iterable[Sides]:
        return [evidence.must_beat(margins, "transfer")]

    found = [
        _lost(duels(evidence, losses), MASKING_GAP),
        _lost(duels(evidence, elsewhere), OUTSIDER_GAP),
    ]
    return " and ".join(sentence for sentence in found if sentence is not None) or None


def black_box_wins(evidence: Evidence) -> str | None:
    """An attack that only asks questions beats all that use gradients."""
    return _lost(
        duels(evidence, lambda o: [evidence.must_beat(o, "scores", "labels")]), OUTSIDER_GAP
    )


def noise_beats_attack(evidence: Evidence) -> str | None:
    """Random noise breaks more than the best attack."""
    return _lost(duels(evidence, lambda o: [evidence.must_beat(o, "none")]), OUTSIDER_GAP)


def pgd_loses_to_fgsm(evidence: Evidence) -> str | None:
    """One step breaks more than many: the iterative attacks are broken."""

    def sides(margins: Margins) -> Iterable[Sides]:
        return [
            (
                evidence.attacks(margins, "gradients", steps="many"),
                evidence.attacks(margins, "gradients", steps="one"),
            )
        ]

    return _lost(duels(evidence, sides), OUTSIDER_GAP)


def catastrophic_overfitting(evidence: Evidence) -> str | None:
    """One step sees a robust model, many on the same loss see none: training fooled one step."""

    def sides(margins: Margins) -> Iterable[Sides]:
        known = evidence.attackers
        many = evidence.attacks(margins, "gradients", steps="many")
        for one in evidence.attacks(margins, "gradients", steps="one"):
            same_loss = [name for name in many if known[name].loss == known[one].loss]
            yield [one], same_loss or many

    # An honest model that loses nearly everything, loses nearly everything to FGSM too: not every
    # gap is a sign.
    blind = [
        duel
        for duel in duels(evidence, sides)
        if duel.clean - duel.under_favourite
        < OVERFITTING_SHARE * (duel.clean - duel.under_outsider)
    ]
    return _lost(blind, OVERFITTING_GAP)


# ---- measurements of the model; comparisons are written so that NaN raises the flag ----


def zero_gradients(evidence: Evidence) -> str | None:
    """Where the model is right, cross-entropy often has no gradient."""
    share = evidence.diagnostics.get("zero_gradient_share", 0.0)
    return (
        None
        if share < ZERO_GRADIENT_SHARE
        else f"no gradient of cross-entropy at {share:.1%} of the rightly answered records"
    )


def wrong_gradients(evidence: Evidence) -> str | None:
    """The gradient that attacks get is not the model's."""
    cosine = evidence.diagnostics.get("gradient_agreement", 1.0)
    return (
        None
        if cosine >= COSINE
        else f"cosine {cosine:.3f} between the model's gradient and finite differences"
    )


def not_converged(evidence: Evidence) -> str | None:
    """More steps would still have found more."""
    gap = evidence.diagnostics.get("convergence_gap", 0.0)
    return (
        None
        if gap <= CONVERGENCE_GAP
        else f"twice the steps of PGD take away another {gap:.3f} of accuracy"
    )


def randomised(evidence: Evidence) -> str | None:
    """The same question gets two answers.

    Attacks would have to average over them (Athalye et al. 2018, arXiv:1802.00420).
    """
    difference = evidence.diagnostics.get("nondeterminism", 0.0)
    return (
        None
        if difference <= RANDOMNESS
        else f"two answers to the same record differ by up to {difference:.2g} logits"
    )


def probabilities(evidence: Evidence) -> str | None:
    """The model answers with probabilities where attacks expect logits."""
    share = evidence.diagnostics.get("answers_are_probabilities", 0.0)
    return (
        None
        if share <= PROBABILITY_SHARE
        else f"{share:.1%} of the answers lie in [0, 1] and sum to 1: not logits"
    )


def unbounded_survivor(evidence: Evidence) -> str | None:
    """Without any limit a model must fall to what the best constant answer gets."""
    left, constant = (
        evidence.diagnostics.get("unbounded_accuracy", 0.0),
        _largest_class(evidence.first),
    )
    if left <= constant:
        return None
    return (
        f"accuracy {left:.3f} survives an attack without limits, while a constant answer "
        f"gets {constant:.3f}"
    )


def violations(evidence: Evidence) -> str | None:
    """Adversarial records outside the threat model."""
    count = evidence.diagnostics.get("violations", 0)
    return None if count <= 0 else f"{count:g} adversarial values lie outside the threat model"


def attack_beats_proof(evidence: Evidence) -> str | None:
    """An attack broke what was proved unbreakable: the attack or the proof is wrong."""
    count = evidence.diagnostics.get("attack_beats_proof", 0)
    return (
        None
        if count <= 0
        else f"{count:g} records were broken or pushed further than was proved possible"
    )


# ---- the figures themselves ----


def degenerate(evidence: Evidence) -> str | None:
    """It says nearly the same of everybody, ill or not: hardly better than a coin."""
    answer, y = predicted(evidence.first.worst[0], evidence.first.y), evidence.first.y
    if not rates.is_degenerate(answer, y):
        return None
    figures = rates.classification(answer, y)
    called, balanced = figures["predicted_positive_rate"], figures["balanced_accuracy"]
    return (
        f"unattacked, {called:.1%} of the patients are called ill, balanced accuracy {balanced:.3f}"
    )


def suspected_leak(evidence: Evidence) -> str | None:
    """Cleaner than honest data allow."""
    first, ceiling = evidence.first, evidence.auroc_ceiling
    if _largest_class(first) == 1:
        return None
    area = rates.auroc(first.score(first.worst[0]), first.y)
    if ceiling is not None:
        over = f"clean AUROC {area:.3f} is above the ceiling of {ceiling:g}"
        return None if area <= ceiling else over
    if area < LEAK:
        return None
    return (
        f"clean AUROC {area:.3f} is {LEAK:g} or more, which clinical records seldom allow: does a "
        "column hold the outcome, or what is known only after it? (auroc_ceiling says what is)"
    )


def empty_radius(evidence: Evidence) -> str | None:
    """At the radius that people compare first nobody's record can be changed: nothing is tested."""
    for (threat, eps), share in evidence.movable.items():
        if share == 0:
            return f"{threat}, eps {eps:g}: {EMPTY}"
    return None


def clean_mismatch(evidence: Evidence) -> str | None:
    """At eps 0 nothing may change: every attack must leave the same clean margins."""
    clean = next(iter(evidence.first.by_attack.values()))[0]
    allowed = CLEAN_MISMATCH * np.maximum(np.abs(clean), 1)
    for threat, margins in evidence.by_threat.items():
        for attack, own in margins.by_attack.items() if margins.eps[0] == 0 else ():
            differ = ~(np.abs(own[0] - clean) <= allowed)
            if differ.any():
                count = f"{differ.sum()} of {differ.size} answers"
                return f"{threat}, eps 0: {count} under {attack} are not those without any attack"
    return None


def not_monotone(evidence: Evidence) -> str | None:
    """A larger radius may not leave more accuracy."""
    for threat, margins in evidence.by_threat.items():
        order = np.argsort(margins.eps)
        accuracy = (margins.worst > 0).mean((1, 2))[order]
        if (rise := np.diff(accuracy, prepend=accuracy[0])).max() > 0:
            at = int(rise.argmax())
            before, after = accuracy[at - 1], accuracy[at]
            return (
                f"{threat}, eps {margins.eps[order][at]:g}: robust accuracy rises from "
                f"{before:.3f} to {after:.3f}"
            )
    return None


def one_class_only(evidence: Evidence) -> str | None:
    """Robustness of one class alone says nothing: a constant answer is perfectly robust on it."""
    for threat, margins in evidence.by_threat.items():
        if _largest_class(margins) == 1:
            return f"{threat}: all {len(margins.y)} patients are of class {margins.y[0]}"
    return None


def not_adaptive(evidence: Evidence) -> str | None:
    """No attack of the suite looks into this very model (Tramer et al. 2020, 2002.08347)."""
    if any(
        evidence.attacks(margins, "gradients", "exact") for margins in evidence.by_threat.values()
    ):
        return None
    names = dict.fromkeys(
        name for margins in evidence.by_threat.values() for name in margins.by_attack
    )
    return f"no attack uses this model's gradients, only: {', '.join(names)}"


def _largest_class(margins: Margins) -> float:
    """What the best constant answer gets."""
    return float(np.bincount(margins.y).max() / len(margins.y))


FLAGS: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        degenerate,
        one_class_only,
        suspected_leak,
        empty_radius,
        clean_mismatch,
        not_monotone,
        violations,
        attack_beats_proof,
        masked_gradients,
        zero_gradients,
        wrong_gradients,
        probabilities,
        randomised,
        not_converged,
        unbounded_survivor,
        black_box_wins,
        noise_beats_attack,
        pgd_loses_to_fgsm,
        catastrophic_overfitting,
        not_adaptive,
    )
}
