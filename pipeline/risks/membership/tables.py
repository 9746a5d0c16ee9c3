"""From membership scores to what people read.

Every attack on every defense with its interval, and who is most exposed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.attacks.membership import MEMBERSHIP_ACCESS, NEEDS_SHADOWS
from pipeline.data.halves import learned_from, only
from pipeline.presentation.frames import by_defense
from pipeline.risks.columns import ACCESS, DEFENSE, IDS, KNOWLEDGE, MEASUREMENT
from pipeline.risks.membership.measure.shadows import BLIND, Membership
from pipeline.risks.membership.patients import (
    drawn_most_exposed,
    exposure,
    exposure_by_half,
    of_patients,
    subgroups,
)
from pipeline.risks.pairs import PAIRS, Drawn, pairs_table
from pipeline.risks.risk import Context, Sources
from pipeline.standards import RISKS, Standards
from pipeline.statistics import Array, intervals
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.separation import (
    HALVES,
    advantage,
    advantage_on,
    auroc,
    bootstrap,
    enough_for,
    roc_log,
    strongest,
    tpr_at_fpr,
)

RATES = {"tpr_at_1pct": 0.01, "tpr_at_01pct": 0.001}
STRONGEST = "strongest"  # of the attacks, chosen on other targets than those that are judged
VARIANTS = {
    "loss": "threshold on the loss",
    "confidence": "threshold on the confidence, diagnosis not known",
    "gap": "right answer = member",
    "lira": "online, log-density, variance per record",
    "lira_fixed": "online, log-density, one variance",
    "lira_offline": "offline, log-cdf, one variance",
    "lira_bayes": "online, log-density, variance and shift with priors that all records share",
    "rmia": "online, gamma 1, all other records, on the common scale",
    "rmia_drift": "as rmia, without what other models predict of the answers",
    "label_only": "share of noisy copies answered alike, online, one variance",
    BLIND: "control: sees the records, not the model",
}

CLAIMED = (
    "epsilon_claimed",
    "epsilon_recomputed",
    "delta",
    "epsilon_lower_bound",
    "epsilon_ceiling",
    "epsilon_gaussian",
    "epsilon_counts",
    "noise_measured",
    "epsilon_replace_one",
    "epsilon_one_patient",
    "records_of_a_patient",
    "epsilon_patient",
    "epsilon_all",
)
_PATIENTS = {
    **DEFENSE,
    "patient": "row of the records, from 0; of several of a patient the first",
    "y": "recorded class; 1 = disease present",
    "exposure": "AUROC of models that trained on the patient against the others; 0.5 = not at all",
    "most_exposed": "whether the patient is among the most exposed 1 % of the defense",
    **MEASUREMENT,
}
COLUMNS = {
    "membership": {
        **DEFENSE,
        "attack": "the membership attack; strongest = the best of them, chosen on other targets; "
        "blind = the control, which sees no model",
        "variant": "which variant of the attack this is; which attacks were chosen",
        "shadows": "models that the attacker trains for it",
        "targets": "models that are attacked, each trained on its own random half",
        "patients": "patients about whom each target is asked",
        "trained_on": "patients whom a target was trained on, mean",
        "auroc": "chance that a member outscores somebody else, over all targets; 0.5 = guessing",
        "advantage": "true less false positives at a threshold chosen on other targets",
        "tpr_at_1pct": "members found while 1 % of the others are taken for members",
        "tpr_at_01pct": "members found while 0.1 % of the others are taken for members",
        "auroc_control": "AUROC of the control, which sees no model",
        "tpr_at_1pct_control": "members that the control finds at a rate of 1 %",
        "train_accuracy": "right answers of a target to those whom it was trained on",
        "test_accuracy": "right answers of a target to the others",
        "gap": "train_accuracy less test_accuracy",
        "epsilon_claimed": "epsilon that the recipe claims; empty = it claims none",
        "epsilon_recomputed": "epsilon by our own accountant, from what was logged",
        "delta": "delta of the claim",
        "epsilon_lower_bound": "epsilon that an audit of every noisy gradient shows to be spent; "
        "95 %, from right guesses, for noise of any shape that is as private as claimed",
        "epsilon_ceiling": "the most that so many guesses could have shown",
        "epsilon_gaussian": "the same if the noise is normal; empty below sample rate 1",
        "epsilon_counts": "the same if nothing is known of the mechanism",
        "noise_measured": "noise that the training measured of itself, over what is claimed",
        "epsilon_replace_one": "epsilon of one model where one record is replaced",
        "epsilon_one_patient": "epsilon of one model where all records of one patient are added or "
        "removed; empty = each has one",
        "records_of_a_patient": "records that one patient has at most; empty = each has one",
        "epsilon_patient": "epsilon of all models together that one patient takes part in, with "
        "all records",
        "epsilon_all": "epsilon of all models of the cross-validation and the release together",
        "noise_source": "where the noise came from, and whether such models may be released",
        **KNOWLEDGE,
        **ACCESS,
        **IDS,
    },
    "membership_pairs": PAIRS,
    "exposed": _PATIENTS,
    "exposure": _PATIENTS,
    "subgroups": {
        **DEFENSE,
        "by": "what divides the patients: the exposure itself, the diagnosis or a measurement",
        "group": "the group; most exposed: the top 5 %, chosen by other targets",
        "patients": "its patients whose exposure is known",
        "exposure": "mean exposure of the group",
    },
    "plots/membership_roc": {
        **DEFENSE,
        "attack": "the membership attack",
        "fpr": "share of the others who are taken for members, over all targets",
        "tpr": "share of the members who are found",
    },
}


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """Every table about membership.

    `membership, membership_pairs, exposed, subgroups, plots/membership_roc`, and `exposure` of
    every patient.
    """
    records = {name: Membership.load(place) for name, place in sources.of("membership").items()}
    if not records:
        return {}
    asked = learned_from(context.dataset, context.cfg.plan)
    people, rows = only(context.dataset, asked), asked.nonzero()[:, 0].numpy()
    own = context.sampling.of(asked.numpy())
    sampling, whose = own.each_alone(), own.whose(len(people.y))
    found = {name: of_patients(one, whose) for name, one in records.items()}
    by_half = {name: exposure_by_half(one) for name, one in found.items()}
    each = {name: exposure(told, people) for name, told in by_half.items()}
    each = {name: one.assign(patient=rows[one["patient"]]) for name, one in each.items()}
    everyone = by_defense(each)
    exposed = everyone[everyone["most_exposed"]].sort_values(
        "exposure", ascending=False, kind="stable"
    )
    table, drawn = _measured(found, sampling, records)
    worst = {
        name: one
        for name, halves in by_half.items()
        if (one := drawn_most_exposed(halves, sampling))
    }
    patients = own.patients(len(whose))
    return {
        "membership": table,
        "membership_pairs": pairs_table({"auroc": drawn, "exposure": worst}, patients),
        "exposed": pd.concat([exposed[exposed["defense"] == name] for name in each]),
        "subgroups": subgroups(by_half, each, context.cfg.data, sampling),
        "plots/membership_roc": roc_table(found),
        "exposure": everyone,
    }


def membership_table(found: Mapping[str, Membership], sampling: Sampling) -> pd.DataFrame:
    """One row per defense and attack, the strongest of them first.

    Returns:
        `auroc`, `tpr_at_1pct` and `tpr_at_01pct` (empty where too few decisions about non-members
        could show it), each pooled over targets, with `_low` and `_high`: bootstrap over patients.
        `advantage` is TPR - FPR at a threshold chosen on other targets. In the row `strongest`
        each half of the targets is attacked by the attack that has the largest AUROC on the other
        half, and `variant` names it; where they differ, the figures are the mean of the halves. Its
        interval holds for the attacks that were chosen. `auroc_control` and `tpr_at_1pct_control`
        repeat the row `blind`, and are empty without one. `train_accuracy`, `test_accuracy` and
        `gap` are those of the targets.
        `epsilon_*` are empty where nothing is claimed.
    """
    return _measured(found, sampling)[0]


def _measured(
    found: Mapping[str, Membership],
    sampling: Sampling,
    records: Mapping[str, Membership] | None = None,
) -> tuple[pd.DataFrame, dict[str, Drawn]]:
    """`membership_table`, and of each defense the resampled AUROC of the strongest attack.

    `records` are the same before they were taken together by patient: answers are counted there.
    """
    lines: list[dict[str, Any]] = []
    drawn: dict[str, Drawn] = {}
    patients = next(iter(found.values())).member.shape[1]
    weights = sampling.weights(patients)
    for defense, one in found.items():
        answered = one if records is None else records[defense]
        inside, correct = answered.member.numpy(), answered.log_odds.numpy() > 0
        trained, others = float(correct[inside].mean()), float(correct[~inside].mean())
        member = one.member.numpy()
        scores = {attack: each.numpy() for attack, each in one.scores.items()}
        attacks = {attack: each for attack, each in scores.items() if attack != BLIND}
        chosen = strongest(attacks, member)
        control = _control(scores, member)
        each = {
            attack: _of_scores(one_score, member, weights, sampling.confidence)
            for attack, one_score in scores.items()
        }
        best, areas = (
            each[chosen[0]]  # one attack on all targets: they compare with each other, too
            if len(set(chosen)) == 1
            else _figures_of_halves(
                [attacks[name] for name in chosen], member, weights, sampling.confidence
            )
        )
        drawn[defense] = Drawn(best["auroc"], areas)
        rows = {STRONGEST: best} | {attack: figures for attack, (figures, _) in each.items()}
        for attack, figures in rows.items():
            by = tuple(dict.fromkeys(chosen)) if attack == STRONGEST else (attack,)
            lines.append(
                {
                    "defense": defense,
                    "attack": attack,
                    "variant": " and ".join(by) if attack == STRONGEST else VARIANTS[attack],
                    "shadows": len(member) - 1 if any(map(NEEDS_SHADOWS.get, by)) else 0,
                    "targets": len(member),
                    "patients": patients,
                    "trained_on": float(member.sum(1).mean()),
                    **figures,
                    **control,
                    "train_accuracy": trained,
                    "test_accuracy": others,
                    "gap": trained - others,
                    **_claim(one.claim),
                    **attacker_columns(*by),
                }
            )
    return pd.DataFrame(lines), drawn


def _control(scores: Mapping[str, Array], member: Array) -> dict[str, float]:
    """What is found without a model, beside every figure of an attack."""
    if BLIND not in scores:
        return dict.fromkeys(("auroc_control", "tpr_at_1pct_control"), np.nan)
    inside, outside = scores[BLIND][member], scores[BLIND][~member]
    rate = RATES["tpr_at_1pct"]
    return {
        "auroc_control": auroc(inside, outside),
        "tpr_at_1pct_control": tpr_at_fpr(inside, outside, rate)
        if enough_for(rate, outside.size)
        else np.nan,
    }


def score_figures(
    scores: Array, member: Array, weights: Array, confidence: float
) -> dict[str, float]:
    """How well scores (T, N) tell members (T, N) from others.

    Columns of `membership_table`, intervals from weights (R, N).
    """
    return _of_scores(scores, member, weights, confidence)[0]


def _of_scores(
    scores: Array, member: Array, weights: Array, confidence: float
) -> tuple[dict[str, float], Array]:
    figures, areas = _figures([(scores, member)], weights, confidence)
    return figures | {"advantage": advantage(scores, member)}, areas


def _figures_of_halves(
    scores: Sequence[Array], member: Array, weights: Array, confidence: float
) -> tuple[dict[str, float], Array]:
    """The same of two halves of the targets.

    Each is judged by scores (T, N) of its own kind; figures are the mean of both, in every
    resample.
    """
    parts = [(one[half], member[half]) for one, half in zip(scores, HALVES, strict=True)]
    gains = [advantage_on(half, one, member) for half, one in enumerate(scores)]
    figures, areas = _figures(parts, weights, confidence)
    return figures | {"advantage": float(np.mean(gains))}, areas


def _figures(
    parts: Sequence[tuple[Array, Array]], weights: Array, confidence: float
) -> tuple[dict[str, float], Array]:
    """AUROC and rates of scores and members, each (T, N): the mean over parts, with intervals.

    Beside them the resampled AUROCs (R,).
    """
    sides = [(scores[member], scores[~member]) for scores, member in parts]
    samples = [bootstrap(*part, weights, list(RATES.values())) for part in parts]
    area = float(np.mean([auroc(*side) for side in sides]))
    areas = np.mean([one for one, _ in samples], axis=0)
    figures = intervals.bounded("auroc", area, areas, confidence)
    for column, (name, rate) in enumerate(RATES.items()):
        if all(enough_for(rate, outside.size) for _, outside in sides):
            found = float(np.mean([tpr_at_fpr(*side, rate) for side in sides]))
            shares = np.mean([rates[:, column] for _, rates in samples], axis=0)
            figures |= intervals.bounded_share(name, found, shares, weights, confidence)
        else:
            figures |= dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    return figures, areas


def _claim(claim: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a claim, empty where there is none, and where no audit was made."""
    figures = dict.fromkeys(CLAIMED, np.nan) | {"noise_source": ""}
    if not claim:
        return figures
    together, audit = claim["composition"], claim["audit"]
    figures |= {
        "epsilon_claimed": claim["epsilon"],
        "epsilon_recomputed": claim["accounts"]["pld"],
        "delta": claim["delta"],
        "noise_measured": claim["measured"]["checks"][0]["noise"]["measured"],
        **{name: together[name] for name in CLAIMED if name in together},
        "noise_source": claim["noise"],
    }
    if audit is not None:
        shown = {name: audit["bounds"][name] for name in ("gaussian", "counts")}
        figures |= {
            "epsilon_lower_bound": audit["epsilon_lower_bound"],
            "epsilon_ceiling": audit["ceiling"],
            **{f"epsilon_{name}": np.nan if one is None else one for name, one in shown.items()},
        }
    return figures


def attacker_columns(*attacks: str) -> dict[str, str]:
    """Who attacks: what is seen, and the ids; the control is no technique of any catalogue.

    Of several attacks, whatever one of them needs.
    """
    if BLIND in attacks:
        return {"knowledge": "none", "access": "none", **Standards().columns()}
    shadows = any(NEEDS_SHADOWS[attack] for attack in attacks)
    scores = any(MEMBERSHIP_ACCESS[attack] == "scores" for attack in attacks)
    return {
        "knowledge": "black box and shadow models" if shadows else "black box",
        "access": "scores" if scores else "labels",
        **RISKS["membership"].columns(),
    }


def roc_table(found: Mapping[str, Membership], points: int = 60) -> pd.DataFrame:
    """The ROC of every attack at false-positive rates that fall geometrically, for log-log axes."""
    frames = []
    for defense, one in found.items():
        member = one.member.numpy()
        for attack, scores in one.scores.items():
            fpr, tpr = roc_log(scores.numpy()[member], scores.numpy()[~member], points)
            frames.append(
                pd.DataFrame({"defense": defense, "attack": attack, "fpr": fpr, "tpr": tpr})
            )
    return pd.concat(frames, ignore_index=True)
