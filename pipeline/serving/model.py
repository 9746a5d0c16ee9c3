"""The served model as it is asked: admission, answers and certificates of one release."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipeline.config.serving import ServingConfig
from pipeline.data.provenance import Manifest
from pipeline.data.schema import Schema
from pipeline.data.threat import Threat
from pipeline.files import BadInput
from pipeline.models.population import Population
from pipeline.serving.admission import Admitted, admitted, admitted_images
from pipeline.serving.certificate import Certifier
from pipeline.serving.served import Served, digest_of, opened
from pipeline.statistics import Array

AT_A_GLANCE = 1  # boxes: the bound of the whole box, and no search


@dataclass(frozen=True)
class Said:
    """What is said of one admitted record.

    Attributes:
        log_odds: of the disease.
        probability: of the disease.
        ill: the decision at the operating point.
        reason: why it is referred; empty = it is proved.
        alarming: whether alarms count it as referred.
        near: of a proved one, whether it is near the end of what is proved; None of others.
    """

    log_odds: float
    probability: float
    ill: bool
    reason: str
    alarming: bool
    near: bool | None


@dataclass(frozen=True)
class Asked:
    """One model at the radii of a policy.

    Attributes:
        certifier: at the radius of the certificate.
        alarming: at the radius of the referrals that alarms count; None = at the same.
        near: beyond, at a glance.
    """

    certifier: Certifier
    alarming: Certifier | None
    near: Certifier

    @classmethod
    def of(
        cls, population: Population, schema: Schema, threat: Threat, policy: ServingConfig
    ) -> Self:
        """Of a population of one.

        Raises:
            BadInput: the threat has no certificate of this kind.
        """

        def at(r: float, boxes: int | None) -> Certifier:
            return Certifier.of(population, schema, threat, r=r, boxes=boxes)

        own = at(policy.r, policy.boxes)
        alarming = None if policy.alarm_r == policy.r else at(policy.alarm_r, policy.boxes)
        return cls(own, alarming, at(beyond(threat, policy.r, policy.near), AT_A_GLANCE))

    def said(self, values: Array) -> list[Said]:
        """What is said of admitted records (B, D), or images (B, C, H, W)."""
        if not len(values):
            return []
        answers = self.certifier.answers(values)
        proved = answers.certified
        alarming, near = ~proved, np.zeros(len(values), dtype=bool)
        if self.alarming is not None and alarming.any():
            asked = alarming.copy()
            alarming[asked] = ~self.alarming.proves(values[asked], answers.decision[asked])
        if proved.any():
            near[proved] = ~self.near.proves(values[proved], answers.decision[proved])
        return [
            Said(
                float(answers.log_odds[one]),
                float(answers.probability[one]),
                bool(answers.decision[one]),
                answers.reason[one],
                bool(alarming[one]),
                bool(near[one]) if proved[one] else None,
            )
            for one in range(len(values))
        ]


def beyond(threat: Threat, r: float, near: float) -> float:
    """The radius within which an answer counts as near: `near` times r.

    Where every value is recorded on a grid it is at least a step further than r: nothing lies
    between 1 and 1.5 grey levels, so nothing would be near.
    """
    ticks = (threat.step / threat.scale)[threat.mutable]
    gridded = threat.norm == "linf" and bool(len(ticks)) and bool((ticks > 0).all())
    return max(near * r, r + float(ticks.min())) if gridded else near * r


@dataclass(frozen=True)
class Model:
    """What a folder serves, opened.

    Attributes:
        served: the release, its audit and the policy.
        policy_sha256: the digest of all of that.
        schema: of the records.
        asked: the model.
    """

    served: Served
    policy_sha256: str
    schema: Schema
    asked: Asked

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Of a folder that `medsecure serve` made.

        Raises:
            BadInput: it serves nothing, or another model than was audited.
        """
        served, population, schema, threat = opened(folder)
        asked = Asked.of(population, schema, threat, served.policy)
        return cls(served, digest_of(folder), schema, asked)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one record or image."""
        return tuple(self.schema.image) or (len(self.schema.names),)

    def at(self, r: float) -> Certifier:
        """The same model at another radius."""
        boxes = self.served.policy.boxes
        own = self.asked.certifier
        return Certifier.of(own.population, self.schema, own.threat, r=r, boxes=boxes)

    def admitted(self, records: Sequence[Any]) -> Admitted:
        """Which records could stand in the clinic's file."""
        if self.schema.image:
            return admitted_images(records, self.schema, signed=self.vouched)
        return admitted(records, self.schema)

    @property
    def vouched(self) -> frozenset[str] | None:
        """Digests of the scans that their source has signed; None = nobody vouches for scans.

        Raises:
            BadInput: the manifest is missing, or another key signed it: no scan is asked then.
        """
        policy = self.served.policy
        if policy.manifest is None or policy.manifest_key is None:
            return None
        path = Path(policy.manifest)
        try:
            return _signed(path, policy.manifest_key, path.stat().st_mtime_ns)
        except OSError as error:
            raise BadInput(f"the manifest of scans cannot be read ({error.strerror})") from error

    def said(self, values: Array) -> list[Said]:
        """As `Asked.said`."""
        return self.asked.said(values)


@lru_cache(maxsize=1)
def _signed(path: Path, key: str, changed: int) -> frozenset[str]:
    """Read once for each time that the file was changed."""
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    return frozenset(Manifest.read(path, "the manifest of scans", public).scans)
