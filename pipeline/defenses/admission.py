"""Whether records allow what is configured; asked on every way to a training, before the first."""

from collections.abc import Iterable

from pipeline.config import Config
from pipeline.data.columns import refuse_unmeasured
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.budget import refuse_deltas
from pipeline.files import BadInput


def admit(dataset: Dataset, cfg: Config) -> Plan:
    """The plan of a configuration for records that allow it.

    Raises:
        BadInput: a column has no value among the training rows of a model, or a delta does not fit
            the cohort.
    """
    plan = Plan.of(dataset, cfg.plan, cfg.seed)
    refuse_unmeasured(dataset, plan, cfg.data.file)
    refuse_deltas(plan, cfg)
    return plan


def admit_all(asked: Iterable[tuple[Dataset, Config]]) -> None:
    """Refuses jobs before the first of them is trained.

    Raises:
        BadInput: as `admit`, of all of them together: a line for each fault.
    """
    faults: dict[str, None] = {}
    for dataset, cfg in asked:
        try:
            admit(dataset, cfg)
        except BadInput as fault:
            faults[str(fault)] = None
    if faults:
        raise BadInput("\n".join(faults))
