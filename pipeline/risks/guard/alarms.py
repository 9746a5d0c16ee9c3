"""How soon the guard's alarms see an attack, simulated at the rates that were measured.

The channels are those of the deployed guard, with their part of its false alarms
(`pipeline.serving`): referrals, and confirmed diagnoses of the ill.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.risks.guard.measure.attacked import Passed, key
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.serving.channels import Settings
from pipeline.statistics import Array
from pipeline.statistics.delays import Delay, delay
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.streams import most, of_streams, rises
from pipeline.verify.problem import TOLERANCE

REACH = 2.0  # of the attackers, in multiples of guard.r; the nearest that was tried
STREAMS = 100  # simulated ones, of each row
REFERRALS, LABELS, MISSED = "referrals", "labels", "missed"
STREAMS_OF = {LABELS: 2}  # confirmed diagnoses of the ill, and of all: they share its false alarms


def alarm_table(
    passed: Mapping[str, Passed], wanted: GuardSettings, sampling: Sampling, seed: int
) -> pd.DataFrame:
    """One row per recipe, attacker, channel and share of attacks."""
    lines: list[dict[str, Any]] = []
    policy = Settings()
    limits = of_streams(policy.run_length, policy.parts, STREAMS_OF)
    for name, found in passed.items():
        k = int(np.argmin([abs(reach - REACH) for reach in found.reach]))
        r = min(found.radii, key=lambda one: abs(one - wanted.r))
        for attacker in ("nearest", "adaptive"):
            for channel, rates in rates_of(found, attacker, r, k, wanted.alarm_r).items():
                honest, attacked, patients = rates
                threshold = limits[REFERRALS if channel == REFERRALS else LABELS]
                whom = sampling.patients(len(found.y), patients)
                for share in wanted.shares:
                    seen = simulated(honest, attacked, whom, threshold, share, policy, seed)
                    lines.append(
                        {
                            "defense": name,
                            "attacker": attacker,
                            "eps": float(f"{r * found.reach[k]:.6g}"),
                            "channel": channel,
                            "honest": honest,
                            "attacked": attacked,
                            "share": share,
                            "found": seen.found if seen else np.nan,
                            "events": seen.queries if seen else None,
                        }
                    )
    return pd.DataFrame(lines).astype({"events": float})


def rates_of(
    found: Passed, attacker: str, r: float, k: int, alarm_r: float
) -> dict[str, tuple[float, float, Array]]:
    """By channel the honest rate of events, that of attacks, and (N,) bool of whom.

    An attack on referrals is a record that turned a decision, whoever it is of. One on a diagnosis
    is a record that makes an ill patient be answered healthy who was called ill.

    Args:
        found: of one recipe.
        attacker: of `ATTACKERS`.
        r: radius of the guard.
        k: place of the attacker's reach.
        alarm_r: radius at which referrals are counted.
    """
    radius, shown = found.radius.numpy(), found.presented[key(attacker, r)][k].numpy()
    known = ~np.isnan(shown)
    if attacker == "adaptive":  # what is not answered is not presented: he asks the verifier first
        known &= found.passed[key(attacker, r)][k].numpy()
    ill = np.broadcast_to(found.y.numpy() == 1, radius.shape)
    healthy = found.called.numpy() == 0
    answered = np.asarray(ill & (radius > r + TOLERANCE))
    turned = found.passed[key(attacker, r)][k].numpy() & ill & ~healthy
    whom = np.any(answered, axis=0, keepdims=True)[0]
    return {
        REFERRALS: (
            float((radius <= alarm_r + TOLERANCE).mean()),
            _share(shown <= alarm_r + TOLERANCE, known),
            np.ones(radius.shape[1], dtype=bool),
        ),
        MISSED: (_share(healthy, answered), 1.0 if turned.any() else float("nan"), whom),
    }


def _share(events: Array, among: Array) -> float:
    return float(events[among].mean()) if among.any() else float("nan")


def simulated(
    honest: float,
    attacked: float,
    patients: int,
    threshold: float,
    share: float,
    policy: Settings,
    seed: int,
) -> Delay | None:
    """How soon such an attack is seen; None: nobody attacks, or no rate could be told.

    The detector is held against the largest honest rate that the measured one may stand for.
    """
    if np.isnan(attacked) or np.isnan(honest) or not patients:
        return None
    null = most(honest * patients, patients, policy.confidence)
    if null >= 1:
        return None
    return delay(
        rises(null),
        threshold,
        honest=honest,
        attacked=attacked,
        share=share,
        streams=STREAMS,
        seed=seed,
    )
