"""What is measured of one defense: the same for all of them, in `attack` and `examine`."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.refitting import recalled
from pipeline.files import NOT_APPLICABLE, NOT_TRAINED_AGAIN, NotApplicable, write_json
from pipeline.models.population import Population, load_population
from pipeline.parallel import workers
from pipeline.risks.evasion.measure import examination
from pipeline.risks.evasion.measure.blocks import beside_in_blocks, blocks_of, examine_in_blocks
from pipeline.risks.evasion.measure.ensemble import ENSEMBLE, attack_vote
from pipeline.risks.evasion.measure.everyone import EVERYONE, attack_everyone, beside_a_sample
from pipeline.risks.evasion.measure.half_models import HALF_MODELS, answers_at_headline
from pipeline.risks.evasion.measure.set_aside import SET_ASIDE, answer_those_set_aside
from pipeline.risks.evasion.measure.smoothing import SMOOTHING, count_votes
from pipeline.risks.evasion.measure.subject import cannot_be_asked
from pipeline.risks.inversion.measure.guesses import guess_measurements
from pipeline.risks.inversion.measure.images import reconstruct_images
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.membership.measure.shadows import (
    attacks_on,
    infer_members,
    train_halves,
    why_not_asked,
)
from pipeline.risks.poisoning.measure.certificate import CERTIFICATE, certify


@dataclass(frozen=True)
class Examinee:
    """A defense that is examined.

    Attributes:
        name: of the defense.
        population: its models.
        dataset: the records.
        plan: who trained on whom.
        cfg: radii, threat models, attacks and their numbers.
    """

    name: str
    population: Population
    dataset: Dataset
    plan: Plan
    cfg: Config


def trained(name: str, place: Path, dataset: Dataset, plan: Plan, cfg: Config) -> Examinee:
    """A defense as its stage left it in a folder; of what is kept as a recipe all is fitted again.

    Raises:
        BadInput: there is none, or as `recalled`.
    """
    return Examinee(name, recalled(load_population(place), dataset), dataset, plan, cfg)


Gaps = dict[str, dict[str, str]]  # risk -> what could not be asked ("" = anything) -> why


def examine(examinee: Examinee, place: Path, transfer: Path | None = None) -> str:
    """Attacks a defense, looks for what it leaks, certifies what can be; a folder for each risk.

    What cannot be asked of such a model or such records is said, not left out.

    Args:
        examinee: the defense.
        place: an existing folder.
        transfer: the folder of the undefended models' adversarial records, which are tried on this
            defense too; None = these are the undefended models, and their records are kept.

    Returns:
        how much was asked, in a line.
    """
    (place / "evasion").mkdir()
    blocks = blocks_of(_sampled(examinee), examinee.cfg.audit.block, examinee.cfg.seed)
    if len(blocks) > 1:
        said, gaps = _attacked_in_blocks(examinee, place, transfer, blocks)
        gaps |= _leaking(examinee, place)
    else:
        with workers(beside=False) as pool:
            leaking = pool.submit(_leaking, examinee, place)  # the longest job, so it is the first
            said, gaps = _attacked(examinee, place, transfer, pool)
            gaps |= leaking.result()
    if certificate := certify(examinee.population, examinee.dataset, examinee.plan):
        certificate.save(place / CERTIFICATE)
    if gaps:
        write_json(place / NOT_APPLICABLE, gaps)
    return said


def _sampled(examinee: Examinee) -> Plan:
    """The plan, of a sample of those who are scored, where that is all that is attacked."""
    plan, cfg = examinee.plan, examinee.cfg
    scored = plan.held_out.any(0)
    return plan.sampled(examinee.dataset.y, cfg.audit.sample, cfg.seed, among=scored)


def _attacked(
    examinee: Examinee, place: Path, transfer: Path | None, pool: Executor
) -> tuple[str, Gaps]:
    """What attacks do to the defense, by whichever process is free, and how much was asked."""
    sent = None if transfer is None else examination.load_adversarial(transfer)
    dataset, cfg = examinee.dataset, examinee.cfg
    plan = _sampled(examinee)
    found, x_adv = examination.examine(
        examinee.population, dataset, plan, cfg, pool=pool, transfer=sent
    )
    found.save(place / "evasion")
    _attack_everyone(examinee, place)
    if chosen_on := answer_those_set_aside(examinee.population, dataset, examinee.plan, cfg):
        chosen_on.save(place / "evasion" / SET_ASIDE)
    if on_vote := attack_vote(examinee.population, dataset, plan, cfg):
        on_vote.save(place / "evasion" / ENSEMBLE)
    if counted := count_votes(examinee.population, dataset, plan, cfg):
        counted.save(place / "evasion" / SMOOTHING)
    if transfer is None:
        examination.save_adversarial(x_adv, place)
    return _said(examinee)


def _attacked_in_blocks(
    examinee: Examinee, place: Path, transfer: Path | None, blocks: Sequence[Tensor]
) -> tuple[str, Gaps]:
    """Likewise of a large cohort, a block after another."""
    population, dataset, cfg = examinee.population, examinee.dataset, examinee.cfg
    plan = _sampled(examinee)
    examine_in_blocks(population, dataset, plan, cfg, place, blocks=blocks, transfer=transfer)
    _attack_everyone(examinee, place)
    if chosen_on := answer_those_set_aside(population, dataset, examinee.plan, cfg):
        chosen_on.save(place / "evasion" / SET_ASIDE)
    if on_vote := beside_in_blocks(attack_vote, population, dataset, plan, cfg):
        on_vote.save(place / "evasion" / ENSEMBLE)
    if counted := beside_in_blocks(count_votes, population, dataset, plan, cfg):
        counted.save(place / "evasion" / SMOOTHING)
    said, gaps = _said(examinee)
    return f"{said}, in {len(blocks)} blocks", gaps


def _attack_everyone(examinee: Examinee, place: Path) -> None:
    """Beside a sample, everybody whom the plan scores, in as many blocks as that takes."""
    population, dataset, cfg = examinee.population, examinee.dataset, examinee.cfg
    if beside_a_sample(dataset, cfg):
        found = beside_in_blocks(attack_everyone, population, dataset, examinee.plan, cfg)
        if found is not None:
            found.save(place / "evasion" / EVERYONE)


def _said(examinee: Examinee) -> tuple[str, Gaps]:
    """How much was asked, and what cannot be."""
    cfg, size = examinee.cfg, examinee.population.size
    gaps = cannot_be_asked(examinee.population, cfg)
    radii = [one.eps or cfg.audit.eps for one in cfg.threat.values()]
    said = f"{size} models attacked under {len(radii)} threats at {sum(map(len, radii))} radii"
    return said, {"evasion": gaps} if gaps else {}


def _leaking(examinee: Examinee, place: Path) -> Gaps:
    """What the recipe leaks, likewise: from models of random halves; and what these answer."""
    name, dataset, cfg = examinee.name, examinee.dataset, examinee.cfg
    if why := why_not_asked(name, cfg):
        return {risk: {"": why} for risk in ("membership", "inversion")}
    halves, gaps = train_halves(name, dataset, cfg), {}
    if cfg.plan.frozen:
        lacking = set(cfg.section(MembershipSettings).attacks) - set(attacks_on(cfg))
        gaps = {"membership": dict.fromkeys(sorted(lacking), NOT_TRAINED_AGAIN)}
    else:
        every = halves.every
        scored = _sampled(examinee).held_out.any(0)
        asked = replace(every.plan, held_out=every.plan.held_out & scored)  # whom figures are of
        answers_at_headline(every.population, dataset, asked, cfg).save(place / HALF_MODELS)
    infer_members(name, halves, dataset, cfg).save(place / "membership")
    try:
        targets = halves.targets
        invert = reconstruct_images if dataset.schema.image else guess_measurements
        found = invert(targets.population, targets.plan.train, dataset, cfg)
    except NotApplicable as why:
        return {**gaps, "inversion": {"": str(why)}}
    found.save(place / "inversion")
    return gaps
