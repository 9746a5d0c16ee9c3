"""Why a threat changes nothing of a record, where it changes nothing."""

from collections.abc import Iterable

from pipeline.config import FeatureConfig, ThreatConfig

UNFORGEABLE = "nothing can be forged: no measurement of these records is mutable"
UNSTATED = "no measurement of these records that may change states its error"
UNLISTED = "nothing can be forged: of the mutable columns, all categories, none lists recodes"


def why_idle(threat: ThreatConfig, features: Iterable[FeatureConfig]) -> str:
    """Why none of these features can be moved, recoded or left out; empty = one can."""
    features = list(features)
    if any(threat.moves(one) or threat.forges(one) for one in features):
        return ""
    mutable = [one for one in features if one.mutable or not threat.mutable_only]
    if not mutable:
        return UNFORGEABLE
    return UNSTATED if threat.unit == "error" else UNLISTED
