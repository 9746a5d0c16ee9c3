"""What is measured of one defence: the same for all of them, in `attack` and `examine`."""

import operator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import write_tensors
from pipeline.models.population import Population
from pipeline.parallel import share_out
from pipeline.risks.evasion.measure.examination import RECORDS, audit, load_adversarial
from pipeline.risks.inversion.measure.guesses import guess_measurements
from pipeline.risks.membership.measure.shadows import infer_members, train_halves
from pipeline.risks.poisoning.measure.certificate import CERTIFICATE, certify

if TYPE_CHECKING:
    from collections.abc import Callable


def examine(
    name: str,
    population: Population,
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    place: Path,
    transfer: Path | None = None,
) -> None:
    """Attacks a defense, looks for what it leaks, certifies what can be; a folder for each risk.

    Args: name: of the defence. population: its models. dataset: the records. plan: who trained on
        whom. cfg: radii, threat models, attacks and their numbers. place: an existing folder.
        transfer: the folder of the undefended models' adversarial records, which are tried on this
        defence too; None = these are the undefended models, and their records are kept for the
        others.
    """
    jobs: list[Callable[..., None]] = [_attacked, _leaking]  # the longer first
    share_out(
        operator.call,
        [(job, name, population, dataset, plan, cfg, place, transfer) for job in jobs],
    )
    if certificate := certify(population, dataset, plan):
        certificate.save(place / CERTIFICATE)


def _attacked(
    name: str,
    population: Population,
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    place: Path,
    transfer: Path | None,
) -> None:
    """What attacks do to the defence, by whichever process is free."""
    sent = None if transfer is None else load_adversarial(transfer)
    result = audit(population, dataset, plan, cfg, name=name, transfer=sent)
    (place / "evasion").mkdir()
    result.findings.save(place / "evasion")
    if transfer is None:
        write_tensors(place / RECORDS, result.x_adv)


def _leaking(
    name: str,
    _: Population,
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    place: Path,
    transfer: Path | None,
) -> None:
    """What the recipe leaks, likewise: from models of random halves."""
    halves = train_halves(name, dataset, cfg)
    infer_members(name, halves, dataset, cfg).save(place / "membership")
    guess_measurements(halves.population, halves.plan.train, dataset, cfg).save(place / "inversion")
