"""Whether records allow what is configured; asked on every way to a training, before the first."""

import os
from collections.abc import Iterable

from pipeline.config import Config
from pipeline.data.columns import refuse_unmeasured
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.budget import refuse_deltas
from pipeline.files import BadInput

ADDED = 2  # attacks that every examination adds to the configured ones
# Bytes that an answer under attack takes, and each value of its record: by how much FGSM and PGD at
# three radii grew from 10 000 to 100 000 records of 12 values.
OF_ROW, OF_VALUE = 140, 20
MANY = 100_000  # answers of models; the bundled cohort has 3840
LARGER = (
    "experiment=large attacks a sample of them (audit.sample), experiment=million all in blocks "
    "(audit.block)"
)


def admit(dataset: Dataset, cfg: Config) -> Plan:
    """The plan of a configuration for records that allow it.

    Raises:
        BadInput: a column has no value among the training rows of a model, a delta does not fit the
            cohort, or the cohort does not fit this machine; a line for each.
    """
    plan = Plan.of(dataset, cfg.plan, cfg.seed)
    faults = []
    for refuse in (
        lambda: refuse_unmeasured(dataset, plan, cfg.data.file),
        lambda: refuse_deltas(plan, cfg),
        lambda: refuse_too_many(dataset, plan, cfg, memory()),
    ):
        try:
            refuse()
        except BadInput as fault:
            faults.append(str(fault))
    if faults:
        raise BadInput("\n".join(faults))
    return plan


def admit_all(asked: Iterable[tuple[Dataset, Config]]) -> list[str]:
    """Refuses jobs before the first of them is trained.

    Returns:
        `remarks_on_size` of all of them, each once.

    Raises:
        BadInput: as `admit`, of all of them together: a line for each fault.
    """
    faults: dict[str, None] = {}
    remarks: dict[str, None] = {}
    for dataset, cfg in asked:
        try:
            remarks |= dict.fromkeys(remarks_on_size(admit(dataset, cfg), cfg))
        except BadInput as fault:
            faults[str(fault)] = None
    if faults:
        raise BadInput("\n".join(faults))
    return list(remarks)


def memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def answers_at_once(plan: Plan, cfg: Config) -> int:
    """How many answers of models are attacked at a time: of each repetition one for a patient."""
    asked = int(plan.held_out.sum())
    scored = max(int(plan.held_out.any(0).sum()), 1)
    least = min(scored, *(one or scored for one in (cfg.audit.sample, cfg.audit.block)))
    return asked * least // scored


def held_at_once(dataset: Dataset, plan: Plan, cfg: Config) -> int:
    """About how many bytes the attacks on records hold together, at all their radii.

    What an attack makes is kept until all are through: a row for each answer, and its record.
    """
    tried = sum(len(cfg.radii(name)) for name in cfg.threat) * (len(cfg.attack) + ADDED)
    return answers_at_once(plan, cfg) * tried * (OF_ROW + OF_VALUE * dataset.x.shape[1])


def refuse_too_many(dataset: Dataset, plan: Plan, cfg: Config, room: int) -> None:
    """Refuses records whose attacks would need more memory than there is; of images none.

    Args:
        dataset: N records.
        plan: who is scored by whom.
        cfg: attacks, threats and radii.
        room: bytes.

    Raises:
        BadInput: they would; the message says by how much.
    """
    if dataset.schema.image:
        return
    records = f"{cfg.data.file}: {len(dataset.y)} records"
    has = f"this machine has {room / 1e9:.0f}"
    lines = []
    if (held := held_at_once(dataset, plan, cfg)) > room:
        lines.append(
            f"{records}: to attack all of them at once takes about {held / 1e9:.0f} GB, and {has}; "
            f"{LARGER}"
        )
    for risk, section in cfg.sections.items():
        if (held := section.held(len(dataset.y))) > room:
            lines.append(
                f"{records}: {risk} takes about {held / 1e9:.0f} GB, in blocks or not, and {has}; "
                f"experiment=large asks less, experiment=million leaves it out"
            )
    if lines:
        raise BadInput("\n".join(lines))


def remarks_on_size(plan: Plan, cfg: Config) -> list[str]:
    """What somebody should hear who asks of very many records what suits few; a line, or none."""
    answers = answers_at_once(plan, cfg)
    if cfg.audit.block is not None or answers <= MANY:
        return []
    return [
        f"{answers} answers of models are to be attacked, of the bundled cohort 3840, and no stage "
        f"is faster by the answer; {LARGER}"
    ]
