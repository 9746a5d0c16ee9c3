"""What clients may know of the served model: whose it is, what it takes, how far it is proved."""

from typing import Any

from pipeline.data.schema import Schema
from pipeline.presentation.sector_words import in_words
from pipeline.serving.model import Model

USE = "Research use: no medical device, not for clinical use."


def described(model: Model, role: str) -> dict[str, Any]:
    """Digests, threat, radius and columns; of the answers how fine they are for a role."""
    served, policy = model.served, model.served.policy
    asking = policy.roles.get(role)
    return {
        "use": in_words(USE, served.words),
        "cohort": served.cohort,
        "defense": served.defense,
        "version": served.version,
        "release_sha256": served.release_sha256,
        "audit_sha256": served.audit_sha256,
        "gate_sha256": served.gate_sha256,
        "policy_sha256": model.policy_sha256,
        "classes": list(model.schema.classes),
        "certificate": {
            "r": policy.r,
            "threat": served.threat_name,
            "means": (
                f"no record that is admissible and within {policy.r:g} of an answered one, in units"
                " of each column's scale, is answered with another decision"
            ),
        },
        "answers": asking.answers if asking else None,
        "limits": asking.model_dump(exclude={"answers"}) if asking else None,
        "columns": columns(model.schema),
    }


def columns(schema: Schema) -> list[dict[str, Any]]:
    """What each column takes; of images the one line of all grey levels."""
    return [
        {
            "name": name,
            "unit": feature.unit,
            "kind": feature.kind,
            "lower": feature.lower,
            "upper": feature.upper,
            "step": feature.step,
            "scale": feature.scale,
            "levels": list(feature.levels),
            "shape": list(schema.image),
        }
        for name, feature in zip(schema.names, schema.features, strict=True)
    ]
