"""What is done to each defence, one by one, by whichever process is free."""

import operator
from collections.abc import Sequence
from pathlib import Path

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.population import Population
from pipeline.parallel import share_out
from pipeline.risks.evasion.measure.examination import audit, load_adversarial
from pipeline.risks.membership.measure.shadows import leakage
from pipeline.stages import ARTIFACTS


def examine(names: Sequence[str], dataset: Dataset, plan: Plan, cfg: Config, audits: Path, leaks: Path) -> None:
    """Attacks each defence and looks for its leaks; writes findings into `audits` and leaks into `leaks`, a folder for each."""
    both = ((attacked, audits), (leaking, leaks))  # the longer first
    share_out(operator.call, [(what, name, dataset, plan, cfg, place / name) for what, place in both for name in names])


def leaking(name: str, dataset: Dataset, _: Plan, cfg: Config, place: Path) -> None:
    """What one recipe leaks, by whichever process is free."""
    leakage(name, dataset, cfg).save(place)


def attacked(name: str, dataset: Dataset, plan: Plan, cfg: Config, place: Path) -> None:
    """What attacks do to one defence, likewise."""
    population, transfer = Population.load(ARTIFACTS / name), load_adversarial(ARTIFACTS / "attack")
    place.mkdir()
    audit(population, dataset, plan, cfg, name=name, transfer=transfer).findings.save(place)
