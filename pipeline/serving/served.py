"""The folder that the guard serves from: a release, what was audited of it, and the policy.

It needs no cohort, no MLflow and no attack: a machine that serves has this folder and the package.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import ThreatConfig
from pipeline.config.serving import ServingConfig
from pipeline.data.schema import Schema, load_schema
from pipeline.data.threat import Threat
from pipeline.files import BadInput, read_json, sha256, write_json
from pipeline.models.population import Foreign, Population, load_population
from pipeline.validation import checked_model

FILE, RELEASE, FORMAT = "served.json", "release", 1


@dataclass(frozen=True)
class Served:
    """What is served, and by what right.

    Attributes:
        cohort: the name of the data that it was audited on.
        defense: the recipe.
        version: of the registered model, or the folder's name; for people.
        release_sha256: of the model.
        audit_sha256: of the `audit.json` that names this digest.
        gate_sha256: of the gates that it passed.
        threat_name: which threat model the certificate is under.
        threat: that threat model.
        policy: what is answered, to whom.
        honest: what alarms are held against, of the audit; empty = no alarms are raised.
        words: of the cohort's sector, in place of a clinic's; empty = these.
    """

    cohort: str
    defense: str
    version: str
    release_sha256: str
    audit_sha256: str
    gate_sha256: str
    threat_name: str
    threat: ThreatConfig
    policy: ServingConfig
    honest: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Writes `served.json`; the release lies beside it already."""
        said = asdict(self) | {
            "threat": self.threat.model_dump(mode="json"),
            "policy": self.policy.model_dump(mode="json"),
        }
        kept = {name: one for name, one in said.items() if one or name != "words"}
        write_json(folder / FILE, {"format": FORMAT, **kept})

    @classmethod
    def load(cls, folder: Path) -> "Served":
        """Reads what `save` wrote.

        Raises:
            BadInput: it is missing, or not what this version writes.
        """
        path = folder / FILE
        if not path.is_file():
            raise BadInput(f"{path}: not found; `medsecure serve` makes it of a passed audit")
        said = read_json(path)
        if not isinstance(said, dict) or said.pop("format", None) != FORMAT:
            raise BadInput(f"{path}: not of format {FORMAT}; `medsecure serve` makes it anew")
        try:
            return cls(
                **{
                    **said,
                    "threat": checked_model(ThreatConfig, said["threat"], str(path), "threat"),
                    "policy": checked_model(ServingConfig, said["policy"], str(path), "policy"),
                }
            )
        except (KeyError, TypeError) as error:
            raise BadInput(f"{path}: {error}; `medsecure serve` makes it anew") from error


def digest_of(folder: Path) -> str:
    """The digest of what is served, policy and threat included: a change of it is a change."""
    return sha256(folder / FILE)


def opened(folder: Path) -> tuple[Served, Population, Schema, Threat]:
    """What is served, its model, the meaning of its columns and the threat model.

    Raises:
        BadInput: the folder holds another model than was audited, or more than one.
    """
    served = Served.load(folder)
    population = load_population(folder / RELEASE)
    if isinstance(population, Foreign):
        raise BadInput(f"{folder / RELEASE}: is asked through code of its own; nothing is served")
    if population.size != 1 or population.digest != served.release_sha256:
        raise BadInput(
            f"{folder / RELEASE}: is not the audited model {served.release_sha256[:12]}; nothing is"
            " served: `medsecure serve` fetches it anew"
        )
    schema = load_schema(folder / RELEASE)
    return served, population, schema, Threat.of(schema, served.threat)
