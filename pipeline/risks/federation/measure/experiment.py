"""All that is measured of a federation, as jobs that need not wait for each other."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.federated.sites import hospitals_of
from pipeline.risks.federation.measure.hospitals import file_of, three_ways
from pipeline.risks.federation.measure.hostile import Asked, harm, why_too_few
from pipeline.risks.federation.measure.members import guess_members, members_file
from pipeline.risks.federation.measure.seen import FILE as SEEN
from pipeline.risks.federation.measure.seen import look_at_updates
from pipeline.risks.federation.measure.settings import FederationSettings

Job = tuple[Callable[..., Any], tuple[Any, ...], Path]


def harm_file(asked: Asked) -> str:
    """The file of one federation under one rule."""
    name = f"harm_{'named' if asked.sites is None else asked.sites}_{asked.aggregate}"
    how = "_private" if asked.private else ""
    return f"{name}_{asked.malicious}{how}.safetensors"


def every_federation(wanted: FederationSettings) -> Iterator[Asked]:
    """Those that are attacked, the one that is told first in front.

    Other numbers of hospitals, more that are malicious, and private ones stand beside it, each by
    itself.
    """
    first, *more = wanted.malicious
    for sites in wanted.every_number:
        repetitions = wanted.repetitions if sites == wanted.sites else 1
        for rule in wanted.every_rule:
            yield Asked(sites, rule, first, False, repetitions)
    for malicious in more:
        for rule in wanted.every_rule:
            yield Asked(wanted.sites, rule, malicious, False, 1)
    if wanted.dp_sgd is not None:
        for rule in wanted.every_rule:
            yield Asked(wanted.sites, rule, first, True, 1)


def jobs_of(
    dataset: Dataset, plan: Plan, cfg: Config, place: Path
) -> tuple[list[Job], Mapping[str, str]]:
    """What is to be done, the longest first, and what cannot be asked, with why.

    Raises:
        BadInput: there are no such hospitals.
    """
    wanted = cfg.section(FederationSettings)
    jobs: list[Job] = [(look_at_updates, (dataset, plan, cfg), place / SEEN)]
    for private in (False, *([True] if wanted.dp_sgd is not None else [])):
        jobs.append((guess_members, (dataset, cfg, private), place / members_file(private)))
    whys: dict[str, str] = {}
    counts = {
        sites: len(hospitals_of(dataset, sites, wanted.by, "federation").names)
        for sites in wanted.every_number
    }
    for sites, count in counts.items():
        if not why_too_few(cfg, count, Asked(sites, wanted.aggregate, 0, False, 1)):
            jobs.append((three_ways, (dataset, plan, cfg, sites), place / file_of(sites)))
    for asked in every_federation(wanted):
        if why := why_too_few(cfg, counts[asked.sites], asked):
            of = f"{asked.aggregate} of {counts[asked.sites]} hospitals, {asked.malicious} hostile"
            whys[of] = why
            continue
        jobs.append((harm, (dataset, plan, cfg, asked), place / harm_file(asked)))
    return jobs, whys


def run_job(measure: Callable[..., Any], arguments: tuple[Any, ...], path: Path) -> None:
    """One of them, by whichever process is free."""
    measure(*arguments).save(path)
