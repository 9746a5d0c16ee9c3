"""`medsecure status`: whether the audit still is about what is there.

Exit status: 0 it is, 1 it is stale, 2 a mistake.
"""

from dataclasses import replace
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
    now = present(cfg, models)
    known = read.content["audited"]["cohort"].get("schema_sha256")
    if known == now.schema:  # of columns that mean something else nothing is compared
        now = replace(now, records=records_there(cfg))
    found = reasons(read, now, cfg.gate.valid_until, today or date.today())
    until = f", valid until {cfg.gate.valid_until}" if cfg.gate.valid_until else ""
    print("\n".join([f"{read.path}: {'stale' if found else f'current{until}'}", *found]))
    if not models:
        print("no model lies here, and --sha256 names none: whether it is the same was not asked")
    if now.records is None:
        print("the records of the cohort were not read: whether patients are new was not asked")
    return 1 if found else 0


def present(cfg: Config, models: dict[str, str]) -> Present:
    """What is there today, by the configuration and the models."""
    return Present(
        cfg.tried, list(cfg.threat), schema_sha256(cfg), configuration_sha256(cfg), models
    )


def records_there(cfg: Config) -> tuple[str, int] | None:
    """The digest of the cohort and the number of its patients; None: its file is not here.

    Raises:
        BadInput: there are records, and they are not what the schema says.
    """
    from pipeline.data.raw import read_raw

    if not (repository_root() / cfg.data.file).exists():
        return None
    dataset, _ = read_raw(cfg.data, repository_root())
    return dataset.digest, len(dataset.patient.unique())


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
