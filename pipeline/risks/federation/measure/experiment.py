"""All that is measured of a federation, as jobs that need not wait for each other."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.federated.sites import hospitals_of
from pipeline.risks.federation.measure.hospitals import file_of, three_ways
from pipeline.risks.federation.measure.hostile import harm, why_too_few
from pipeline.risks.federation.measure.members import FILE as MEMBERS
from pipeline.risks.federation.measure.members import guess_members
from pipeline.risks.federation.measure.seen import FILE as SEEN
from pipeline.risks.federation.measure.seen import look_at_updates
from pipeline.risks.federation.measure.settings import FederationSettings

Job = tuple[Callable[..., Any], tuple[Any, ...], Path]


def harm_file(sites: int | None, aggregate: str) -> str:
    """The file of one federation under one rule."""
    return f"harm_{'named' if sites is None else sites}_{aggregate}.safetensors"


def jobs_of(
    dataset: Dataset, plan: Plan, cfg: Config, place: Path
) -> tuple[list[Job], Mapping[str, str]]:
    """What is to be done, the longest first, and what cannot be asked, with why.

    Raises:
        BadInput: there are no such hospitals.
    """
    wanted = cfg.section(FederationSettings)
    jobs: list[Job] = [
        (look_at_updates, (dataset, plan, cfg), place / SEEN),
        (guess_members, (dataset, cfg), place / MEMBERS),
    ]
    whys: dict[str, str] = {}
    for sites in wanted.every_number:
        count = len(hospitals_of(dataset, sites, wanted.by, "federation").names)
        if not why_too_few(cfg, count, wanted.aggregate):
            jobs.append((three_ways, (dataset, plan, cfg, sites), place / file_of(sites)))
        for aggregate in wanted.every_rule:
            if why := why_too_few(cfg, count, aggregate):
                whys[f"{aggregate} of {count} hospitals"] = why
                continue
            path = place / harm_file(sites, aggregate)
            jobs.append((harm, (dataset, plan, cfg, sites, aggregate), path))
    return jobs, whys


def run_job(measure: Callable[..., Any], arguments: tuple[Any, ...], path: Path) -> None:
    """One of them, by whichever process is free."""
    measure(*arguments).save(path)
