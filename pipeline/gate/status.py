"""`medsecure status`: whether the audit still is about what is there.

Exit status: 0 it is, 1 it is stale, 2 a mistake.
"""

from datetime import date
from pathlib import Path

from pipeline.config import BASELINE, Config, configuration_sha256, schema_sha256
from pipeline.files import BadInput, in_repository, repository_root
from pipeline.gate.audits import Audit
from pipeline.gate.command import AUDIT
from pipeline.gate.stale import Present, reasons
from pipeline.params import configured


def say_status(
    overrides: list[str],
    audit: str | None = None,
    sha256: str | None = None,
    defense: str | None = None,
    today: date | None = None,
) -> int:
    """The command.

    Args:
        overrides: of the whole configuration, as of `medsecure run`.
        audit: an `audit.json` or its folder; None = that of the last run.
        sha256: the digest of the model that is in use, which is then compared instead of what
            lies in `artifacts/`.
        defense: which one that is; None = as the gates have it.
        today: None = today.

    Raises:
        BadInput: a mistake.
    """
    read = Audit.read(in_repository(AUDIT) if audit is None else Path(audit))
    cfg = configured(overrides)
    if cfg.data.name != read.cohort:
        raise BadInput(f"{read.path}: of the cohort {read.cohort}, and this is {cfg.data.name}")
    whose = defense or cfg.gate.defense
    if whose not in read.defenses:
        raise BadInput(f"{read.path}: {whose} was not audited, but {', '.join(read.defenses)}")
    models = models_there(read) if sha256 is None else {whose: sha256}
    found = reasons(read, present(cfg, models), cfg.gate.valid_until, today or date.today())
    until = f", valid until {cfg.gate.valid_until}" if cfg.gate.valid_until else ""
    print("\n".join([f"{read.path}: {'stale' if found else f'current{until}'}", *found]))
    if not models:
        print("no model lies here, and --sha256 names none: whether it is the same was not asked")
    return 1 if found else 0


def present(cfg: Config, models: dict[str, str]) -> Present:
    """What is there today, by the configuration and the models."""
    return Present(
        cfg.tried, list(cfg.threat), schema_sha256(cfg), configuration_sha256(cfg), models
    )


def models_there(audit: Audit) -> dict[str, str]:
    """The digests of the audited defenses whose models lie in `artifacts/`."""
    from pipeline.models.population import load_population

    found = {}
    for name in audit.defenses:
        place = trained_in(name)
        if place.is_dir():
            found[name] = load_population(place).digest
    return found


def trained_in(defense: str) -> Path:
    """The folder of a defense's trained models, whether it is there or not."""
    return (
        repository_root() / "artifacts" / (f"train_{BASELINE}" if defense == BASELINE else defense)
    )
