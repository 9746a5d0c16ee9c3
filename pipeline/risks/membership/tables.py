"""From membership scores to what people read.

Every attack on every defense with its interval, and who is most exposed.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from pipeline.attacks.membership import MEMBERSHIP_ACCESS, NEEDS_SHADOWS
from pipeline.config import AuditConfig, DataConfig
from pipeline.data.schema import Dataset
from pipeline.presentation.frames import by_defense
from pipeline.risks.columns import ACCESS, DEFENSE, IDS, KNOWLEDGE, MEASUREMENT
from pipeline.risks.membership.measure.shadows import BLIND, Membership
from pipeline.risks.risk import Context, Sources
from pipeline.standards import RISKS, Standards
from pipeline.statistics import Array, intervals
from pipeline.statistics.separation import (
    advantage,
    auroc,
    bootstrap,
    by_patient,
    enough_for,
    roc_log,
    tpr_at_fpr,
)

RATES = {"tpr_at_1pct": 0.01, "tpr_at_01pct": 0.001}
MOST_EXPOSED = 0.01  # of the patients
VARIANTS = {
    "loss": "threshold on the loss",
    "confidence": "threshold on the confidence, diagnosis not known",
    "gap": "right answer = member",
    "lira": "online, log-density, variance per record",
    "lira_fixed": "online, log-density, one variance",
    "lira_offline": "offline, log-cdf, one variance",
    "rmia": "online, gamma 1, all other records",
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
    "epsilon_patient",
    "epsilon_all",
)
_PATIENTS = {
    **DEFENSE,
    "patient": "row of the records, from 0",
    "y": "recorded class; 1 = disease present",
    "exposure": "AUROC of models that trained on the patient against the others; 0.5 = not at all",
    "most_exposed": "whether the patient is among the most exposed 1 % of the defense",
    **MEASUREMENT,
}
COLUMNS = {
    "membership": {
        **DEFENSE,
        "attack": "the membership attack; blind = the control, which sees no model",
        "variant": "which variant of the attack this is",
        "shadows": "models that the attacker trains for it",
        "targets": "models that are attacked, each trained on its own random half",
        "auroc": "chance that a member outscores somebody else, over all targets; 0.5 = guessing",
        "advantage": "true less false positives at a threshold chosen on other targets",
        "tpr_at_1pct": "members found while 1 % of the others are taken for members",
        "tpr_at_01pct": "members found while 0.1 % of the others are taken for members",
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
        "epsilon_patient": "epsilon of all models together that one patient takes part in",
        "epsilon_all": "epsilon of all models of the cross-validation and the release together",
        "noise_source": "where the noise came from, and whether such models may be released",
        **KNOWLEDGE,
        **ACCESS,
        **IDS,
    },
    "exposed": _PATIENTS,
    "exposure": _PATIENTS,
    "subgroups": {
        **DEFENSE,
        "by": "what divides the patients: the diagnosis or a measurement",
        "group": "the group",
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

    `membership, exposed, subgroups, plots/membership_roc`, and `exposure` of every patient.
    """
    found = {name: Membership.load(place) for name, place in sources.of("membership").items()}
    if not found:
        return {}
    cfg = context.cfg
    each = {name: exposure(one, context.dataset) for name, one in found.items()}
    everyone = by_defense(each)
    exposed = everyone[everyone["most_exposed"]].sort_values(
        "exposure", ascending=False, kind="stable"
    )
    return {
        "membership": membership_table(found, cfg.audit, cfg.seed),
        "exposed": pd.concat([exposed[exposed["defense"] == name] for name in each]),
        "subgroups": subgroups(each, cfg.data, cfg.audit, cfg.seed),
        "plots/membership_roc": roc_table(found),
        "exposure": everyone,
    }


def membership_table(found: Mapping[str, Membership], cfg: AuditConfig, seed: int) -> pd.DataFrame:
    """One row per defense and attack.

    Returns:
        `auroc`, `tpr_at_1pct` and `tpr_at_01pct` (empty where too few decisions about non-members
        could show it), each pooled over targets, with `_low` and `_high`: bootstrap over patients.
        `advantage` is TPR - FPR at a threshold chosen on other targets. `train_accuracy`,
        `test_accuracy` and `gap` are those of the targets. `epsilon_*` are empty where nothing is
        claimed.
    """
    lines: list[dict[str, Any]] = []
    patients = next(iter(found.values())).member.shape[1]
    weights = intervals.bootstrap_weights(patients, cfg.resamples, seed)
    for defense, one in found.items():
        member, correct = one.member.numpy(), one.log_odds.numpy() > 0
        trained, others = float(correct[member].mean()), float(correct[~member].mean())
        for attack, scores in one.scores.items():
            figures = score_figures(scores.numpy(), member, weights, cfg.confidence)
            lines.append(
                {
                    "defense": defense,
                    "attack": attack,
                    "variant": VARIANTS[attack],
                    "shadows": len(member) - 1 if NEEDS_SHADOWS.get(attack, False) else 0,
                    "targets": len(member),
                    **figures,
                    "train_accuracy": trained,
                    "test_accuracy": others,
                    "gap": trained - others,
                    **_claim(one.claim),
                    **attacker_columns(attack),
                }
            )
    return pd.DataFrame(lines)


def score_figures(
    scores: Array, member: Array, weights: Array, confidence: float
) -> dict[str, float]:
    """How well scores (T, N) tell members (T, N) from others.

    Columns of `membership_table`, intervals from weights (R, N).
    """
    inside, outside = scores[member], scores[~member]
    areas, shares = bootstrap(scores, member, weights, list(RATES.values()))
    figures = intervals.bounded("auroc", auroc(inside, outside), areas, confidence)
    figures["advantage"] = advantage(scores, member)
    for (name, rate), samples in zip(RATES.items(), shares.T, strict=True):
        if enough_for(rate, outside.size):
            found = tpr_at_fpr(inside, outside, rate)
            figures |= intervals.bounded(name, found, samples, confidence)
        else:
            figures |= dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    return figures


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


def attacker_columns(attack: str) -> dict[str, str]:
    """Who attacks: what is seen, and the ids; the control is no technique of any catalogue."""
    if attack == BLIND:
        return {"knowledge": "none", "access": "none", **Standards().columns()}
    knows = "black box and shadow models" if NEEDS_SHADOWS[attack] else "black box"
    return {
        "knowledge": knows,
        "access": MEMBERSHIP_ACCESS[attack],
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


def exposure(one: Membership, dataset: Dataset) -> pd.DataFrame:
    """One row per patient: how well models of them can be told from the others by their answer.

    Within one patient the log-odds of models compare without shadows. (Likelihood ratios that leave
    the target out would fall
    below 0.5 where there is nothing to find: a target that answers high leaves the others of its
    side lower.)

    Returns:
        `patient` (row of the records), `y`, `exposure` (AUROC over targets; 0.5 = not at all),
        `most_exposed` (the top 1 %), and the measurements (of images none).
    """
    risk = by_patient(one.log_odds.numpy(), one.member.numpy())
    known = np.nan_to_num(risk, nan=-1.0)
    top = np.argsort(-known, kind="stable")[: max(1, round(MOST_EXPOSED * len(risk)))]
    table = pd.DataFrame(
        {"patient": np.arange(len(risk)), "y": dataset.y.numpy(), "exposure": risk}
    )
    table["most_exposed"] = np.isin(np.arange(len(risk)), top)
    if dataset.schema.image:
        return table
    values = dict(zip(dataset.schema.names, dataset.x.numpy().T, strict=True))
    return pd.concat([table, pd.DataFrame(values)], axis=1)


def subgroups(
    exposures: Mapping[str, pd.DataFrame], data: DataConfig, cfg: AuditConfig, seed: int
) -> pd.DataFrame:
    """Mean exposure by diagnosis and by the data set's bands, with intervals over patients."""
    lines = []
    for defense, table in exposures.items():
        groups = {
            (data.target, name): table["y"] == index for index, name in enumerate(data.classes)
        }
        for name, cuts in data.bands.items():
            edges = [-np.inf, *cuts, np.inf]
            for band, (low, high) in zip(band_names(cuts), pairwise(edges), strict=True):
                groups[name, band] = table[name].between(low, high, inclusive="left")
        for (kind, group), chosen in groups.items():
            values = table.loc[chosen, "exposure"].dropna().to_numpy()
            if not len(values):
                continue
            weights = intervals.bootstrap_weights(len(values), cfg.resamples, seed)
            key = {"defense": defense, "by": kind, "group": group, "patients": len(values)}
            lines.append(key | intervals.bounded_mean("exposure", values, weights, cfg.confidence))
    return pd.DataFrame(lines)


def band_names(cuts: Sequence[float]) -> list[str]:
    """What people call the groups between cuts: `below 30`, `30 to below 45`, `45 and above`."""
    between = [f"{low:g} to below {high:g}" for low, high in pairwise(cuts)]
    return [f"below {cuts[0]:g}", *between, f"{cuts[-1]:g} and above"]
