"""The privacy frontier as a table.

What each epsilon costs in answers, and what it is worth against an attacker.
"""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.halves import learned_from, reported_on
from pipeline.models.answers import disease_score, predicted
from pipeline.risks.columns import ACCESS, IDS, KNOWLEDGE
from pipeline.risks.frontier.measure.epsilons import ATTACK, Frontier
from pipeline.risks.membership.tables import attacker_columns, score_figures
from pipeline.risks.risk import Context, Sources
from pipeline.statistics import Array, intervals, rates
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import added, first_records

COLUMNS = {
    "frontier": {
        "model": "the kind of model",
        "epsilon_claimed": "epsilon that is claimed; empty = trained without noise",
        "epsilon_recomputed": "epsilon by our own accountant, from what was logged",
        "delta": "delta of the claim",
        "noise_multiplier": "standard deviation of the noise over the clipping norm",
        "accuracy": "right answers, out of fold",
        "auroc": "chance that an ill patient outscores a healthy one, out of fold",
        "sensitivity": "ill patients who are called ill, out of fold",
        "threat": "the threat model of the proofs",
        "radius": "up to which answers are proved, in units of scale",
        "proved_accuracy": "right answers that no record within the radius changes; empty = none "
        "was to be proved",
        "proved_exact": "whether every patient was decided; if not, the share is a lower bound",
        "lira_auroc": "AUROC of the membership attack; 0.5 = guessing",
        "lira_tpr_at_1pct": "members found while 1 % of the others are taken for members",
        "epsilon_lower_bound": "epsilon that an audit of every noisy gradient shows to be spent; "
        "95 %, from right guesses, for noise of any shape that is as private as claimed",
        "epsilon_ceiling": "the most that so many guesses could have shown",
        "epsilon_gaussian": "the same if the noise is normal; empty below sample rate 1",
        "degenerate": "whether the answers carry next to no information",
        "attack": "the membership attack",
        "targets": "models that it attacks at each epsilon",
        **KNOWLEDGE,
        **ACCESS,
        **IDS,
    }
}


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """The table `frontier`."""
    place = sources.stage("frontier")
    if place is None:
        return {}
    judged, asked = (
        context.sampling.of(whom(context.dataset, context.cfg.plan).numpy())
        for whom in (reported_on, learned_from)
    )
    return {"frontier": frontier_table(Frontier.load(place), judged, asked)}


def frontier_table(
    found: Frontier, sampling: Sampling, asked: Sampling | None = None
) -> pd.DataFrame:
    """One row per kind of model and epsilon.

    Args:
        found: what was measured.
        sampling: how intervals are drawn of those who are answered.
        asked: the same of those whom the membership attack is asked about; None = the same people.

    Returns:
        `epsilon_claimed` and `epsilon_recomputed` (empty without noise), `delta`,
        `noise_multiplier`; `accuracy`, `auroc`, `sensitivity`, and `proved_accuracy`: the share of
        patients who are answered rightly whatever a forger does within `radius` of `threat`, each
        out of fold, seeds averaged; `proved_exact`: whether every patient was decided, otherwise
        that share is a lower bound; `lira_tpr_at_1pct` (empty where too few decisions could show
        it) and `lira_auroc`. All of these with `_low` and `_high`: bootstrap over patients.
        `epsilon_lower_bound` and `epsilon_ceiling` of the audit; `degenerate`; and who attacks.
        Where nothing was to be proved (radius 0), `proved_accuracy` is empty.
    """
    y, asked = found.y.numpy(), asked or sampling
    judged = sampling.weights(len(y))
    records = found.member.shape[1]
    attacked = asked.each_alone().weights(asked.patients(records))
    whose, member = asked.whose(records), found.member.numpy()
    member = member[:, first_records(whose)]
    lines: list[dict[str, Any]] = []
    for k, model in enumerate(found.models):
        for e in range(len(found.epsilons)):
            claim, margins = found.claims[k][e], found.margin[k, e].numpy()
            proved, broken = found.proved[k, e].numpy(), found.broken[k, e].numpy()
            answers = predicted(margins, y)
            leak = score_figures(
                added(found.scores[k, e].numpy(), whose), member, attacked, sampling.confidence
            )
            lines.append(
                {
                    "model": model,
                    **_claim(claim),
                    **_answers(margins, y, judged, sampling.confidence),
                    "threat": found.threat,
                    "radius": found.radius,
                    **_proved(found.radius, proved.mean(0), judged, sampling.confidence),
                    "proved_exact": bool((proved | broken).all()),
                    **{
                        f"lira_{name}": value
                        for name, value in leak.items()
                        if name.startswith(("tpr_at_1pct", "auroc"))
                    },
                    "epsilon_lower_bound": claim["audit"]["epsilon_lower_bound"],
                    "epsilon_ceiling": claim["audit"]["ceiling"],
                    "epsilon_gaussian": _or_nan(claim["audit"]["bounds"]["gaussian"]),
                    "degenerate": rates.is_degenerate(answers, y),
                    "attack": ATTACK,
                    "targets": len(found.member),
                    **attacker_columns(ATTACK),
                }
            )
    return pd.DataFrame(lines)


def _claim(claim: dict[str, Any]) -> dict[str, float]:
    claims = claim["epsilon"] is not None
    return {
        "epsilon_claimed": claim["epsilon"] if claims else np.nan,
        "epsilon_recomputed": claim["accounts"]["pld"] if claims else np.nan,
        "delta": claim["delta"],
        "noise_multiplier": claim["noise_multiplier"],
    }


def _proved(radius: float, share: Array, weights: Array, confidence: float) -> dict[str, float]:
    """The share of patients who are proved; empty at radius 0."""
    if radius == 0:
        return dict.fromkeys([f"proved_accuracy{end}" for end in ("", "_low", "_high")], np.nan)
    return intervals.bounded_mean_share("proved_accuracy", share, weights, confidence)


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _answers(margins: Array, y: Array, weights: Array, confidence: float) -> dict[str, float]:
    """Accuracy, sensitivity and AUROC of margins (S, N) on unchanged records."""
    right, score = (margins > 0).mean(0), disease_score(margins, y)
    area, samples = rates.auroc(score, y), intervals.bootstrap_auroc(score, y, weights)
    return {
        **intervals.bounded_mean_share("accuracy", right, weights, confidence),
        **intervals.bounded_auroc("auroc", area, samples, y, weights, confidence),
        **intervals.bounded_mean_share("sensitivity", right, weights, confidence, y == 1),
    }
