"""The one examination: what every attack does to a population, out of fold, and what is proved."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import FailedCheck, read_json, read_tensors, write_json, write_tensors
from pipeline.models.out_of_fold import OutOfFold, cuts_out_of_fold
from pipeline.models.population import Foreign, Population
from pipeline.parallel import Inline
from pipeline.risks.evasion.measure.attackers import ADDED, EXACT
from pipeline.risks.evasion.measure.diagnostics import diagnose
from pipeline.risks.evasion.measure.idle import why_idle
from pipeline.risks.evasion.measure.margins import Margins, margins_by_threat
from pipeline.risks.evasion.measure.rows import ROWS, joined, load_rows, rows_of
from pipeline.risks.evasion.measure.subject import Block, Proposal, Subject, Trial, proposers
from pipeline.risks.evasion.measure.told import Told
from pipeline.verify.least import Least, least_out_of_fold
from pipeline.verify.out_of_fold import Proofs, ProofSearch, proofs_out_of_fold

RECORDS = "adversarial.safetensors"
WORST = "worst"  # of an image, the one of all attacks that leaves the least margin
DIAGNOSTICS, VERIFIED, CUT = "diagnostics.json", "verified", "cut.safetensors"
LEAST = "least.safetensors"
ADVICE = "run `dvc repro attack`"


@dataclass(frozen=True)
class Examination:
    """What is reported of one population; every figure and flag is a function of it.

    Attributes:
        rows: one row per threat x attack x eps x repetition x patient, in this order: `threat,
            attack`, the columns of `pipeline.standards.THREAT_COLUMNS`, `eps, repetition, patient,
            model, y, margin, broken, changed`. `margin` is that of the true class, in logits;
            `broken` means the answer is wrong; `changed` counts the values that differ.
        proofs: what is proved, by threat.
        diagnostics: measurements of gradients and answers, and how often a check of the examination
            itself failed.
        cut: (S, N) float64, the log-odds at which the model that holds a patient out draws the
            line; margins are counted from there. None = at 0.
        least: proved bounds of the margins at the headline radius of the headline threat; None =
            nothing can be proved, or, of images, they stand with the proofs, for every radius.
        in_blocks: what the rows tell, where a large cohort was attacked in blocks; `rows` has none
            then: they stay in a file for each block.
    """

    rows: pd.DataFrame
    proofs: dict[str, Proofs]
    diagnostics: dict[str, float]
    cut: Tensor | None = None
    least: Least | None = None
    in_blocks: Told | None = None

    @cached_property
    def told(self) -> Told:
        """What the rows tell, as arrays."""
        return self.in_blocks or Told.of(self.rows)

    @cached_property
    def margins(self) -> dict[str, Margins]:
        """The rows as arrays, by threat."""
        cut = 0.0 if self.cut is None else self.cut.numpy()
        if self.in_blocks is None:
            return margins_by_threat(self.rows, cut)
        return {name: replace(one, cut=cut) for name, one in self.in_blocks.margins.items()}

    def save(self, folder: Path) -> None:
        """Writes rows, diagnostics, cut, bounds of margins, and `verified/<threat>.safetensors`."""
        self.rows.to_parquet(folder / ROWS, index=False, compression="zstd")
        write_json(folder / DIAGNOSTICS, self.diagnostics)
        if self.cut is not None:
            write_tensors(folder / CUT, {"cut": self.cut})
        if self.least is not None:
            self.least.save(folder / LEAST)
        if self.proofs:
            (folder / VERIFIED).mkdir()
        for threat, proofs in self.proofs.items():
            proofs.save(folder / VERIFIED / f"{threat}.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "Examination":
        """Reads what `save` wrote.

        Raises:
            BadInput: a file is missing or damaged.
        """
        rows = load_rows(folder)
        threats = list(rows["threat"].cat.categories)
        asked = threats if (folder / VERIFIED).exists() else []
        proofs = {
            threat: Proofs.load(folder / VERIFIED / f"{threat}.safetensors") for threat in asked
        }
        cut = read_tensors(folder / CUT, ADVICE)[0]["cut"] if (folder / CUT).exists() else None
        least = Least.load(folder / LEAST) if (folder / LEAST).exists() else None
        return cls(rows, proofs, read_json(folder / DIAGNOSTICS), cut, least)


def save_adversarial(x_adv: dict[str, Tensor], folder: Path) -> None:
    """Writes adversarial records, as `examine` returns them."""
    write_tensors(folder / RECORDS, x_adv)


def load_adversarial(folder: Path) -> dict[str, Tensor]:
    """Reads what `save_adversarial` wrote.

    Raises:
        BadInput: the file is missing or damaged.
    """
    return read_tensors(folder / RECORDS, advice=ADVICE)[0]


def examine(
    population: Population,
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    pool: Executor | None = None,
    transfer: dict[str, Tensor] | None = None,
    block: Block | None = None,
) -> tuple[Examination, dict[str, Tensor]]:
    """Attacks every model on the patients it did not train on, and proves what no attack can do.

    Each attack is adaptive: it sees the very model it attacks. An attack is not trusted, and
    neither is the verifier: what they propose is projected onto the threat model, checked against
    its definition, and scored in float64, here.

    Args:
        population: M models; those that hold nobody out are left alone.
        dataset: the records.
        plan: who trained on whom.
        cfg: radii, threat models and attacks.
        pool: who does the work, in as many tasks as can be told apart; None = this process.
        transfer: adversarial records of another population, as this function returns them; all of
            them are tried on this one too.
        block: where these records are a block of a larger cohort.

    Returns:
        the examination; and the adversarial records behind it, for each "threat/attack" (E, S, N,
        D) in clinical units; of images "threat/worst" (E, S, N, C, H, W), uint8.
    """
    subject = Subject.of(population, dataset, plan, block, proofs=cfg.audit.proofs)
    every = [Trial.of(threat, dataset, cfg) for threat in cfg.threat]
    # the one that people read first is there also where nothing can be forged
    features = dataset.schema.features
    trials = [
        one
        for one in every
        if one.name == cfg.audit.headline or not why_idle(cfg.threat[one.name], features)
    ]
    found = _Found()
    workers = pool or Inline()
    proposing = [
        [workers.submit(one) for one in proposers(subject, trial, cfg, _sent(transfer, trial))]
        for trial in trials
    ]
    proving = [
        proofs_out_of_fold(workers, subject.population, dataset, subject.plan, search)
        if subject.proofs
        else None
        for search in searches(trials, cfg)
    ]
    (headline,) = (trial for trial in trials if trial.name == cfg.audit.headline)
    bounding = _bounding(workers, subject, headline, cfg)
    for trial, proposed, proved in tqdm(
        list(zip(trials, proposing, proving, strict=True)),
        desc="attacking",
        unit="threat",
        disable=None,
        leave=False,
    ):
        found.add(subject, trial, (one.result() for one in proposed), proved)
    least = bounding() if bounding else None
    if least is not None:
        found.hold_against(least, headline, _most(subject.population))
    measured = {}
    if block is None or block.number == 0:  # of a larger cohort, a random sample is enough
        measured = diagnose(
            subject.population,
            subject.x,
            subject.y,
            headline.threat,
            eps=_middle(cfg.audit.eps),
            seed=cfg.seed,
        )
    rows = joined(found.frames)
    cut = cuts_out_of_fold(subject.population, subject.plan)
    return Examination(rows, found.proofs, measured | found.checks, cut, least), found.x_adv


def _bounding(
    workers: Executor, subject: Subject, headline: Trial, cfg: Config
) -> Callable[[], Least] | None:
    """What waits for bounds of the margins at the headline radius.

    None where there are none, or where they come with the proofs, as those of images do.
    """
    population, eps = subject.population, cfg.headline_radius
    if subject.why_unproved or subject.dataset.schema.image:
        return None
    of = (population, subject.dataset, subject.plan, headline.threat, eps)
    return least_out_of_fold(workers, *of)


def _sent(transfer: dict[str, Tensor] | None, trial: Trial) -> list[Tensor] | None:
    """The records of another population that were made under this threat."""
    if transfer is None:
        return None
    own = [x_adv for key, x_adv in transfer.items() if key.startswith(f"{trial.name}/")]
    return [x_adv.float() for x_adv in own]  # images are kept as bytes


class _Found:
    """What was found so far."""

    def __init__(self) -> None:
        self.frames: list[pd.DataFrame] = []
        self.x_adv: dict[str, Tensor] = {}
        self.least: dict[str, Tensor] = {}  # of images, the margins of the worst
        self.proofs: dict[str, Proofs] = {}
        self.checks = {"violations": 0.0, "attack_beats_proof": 0.0}

    def add(
        self,
        subject: Subject,
        trial: Trial,
        proposed: Iterable[Proposal],
        proved: Callable[[], Proofs] | None,
    ) -> None:
        """Projects, checks and scores what is proposed under one threat, by the verifier too."""
        scored = [self._scored(subject, trial, one) for one in proposed]
        if proved is None:
            return
        proofs = self.proofs[trial.name] = proved()
        if not subject.why_unproved and not subject.dataset.schema.image:
            folds = OutOfFold(subject.plan, trial.radii)
            nearest = proofs.records_at(trial.radii, subject.dataset.x)
            by_verifier = folds.gather(nearest, subject.index)
            exact = Proposal(EXACT, ADDED[EXACT], None, by_verifier)
            replayed = self._scored(subject, trial, exact)
            if isinstance(subject.population, Foreign):
                _confirmed(subject.population, replayed, proofs.broken_at(trial.radii))
            scored.append(replayed)
        robust = proofs.robust_at(trial.radii)
        for margins in scored:
            self.checks["attack_beats_proof"] += int(((margins <= 0) & robust).sum())
            if proofs.least is not None:
                self.checks["attack_beats_proof"] += int((margins < proofs.least).sum())

    def _scored(self, subject: Subject, trial: Trial, one: Proposal) -> Tensor:
        """The margins (E, S, N) that one proposal leaves, as far as the threat lets it."""
        folds, eps, threat = (
            OutOfFold(subject.plan, trial.radii),
            subject.radius(trial),
            trial.threat,
        )
        x_adv = threat.project(one.records, subject.x, eps)
        self.checks["violations"] += threat.violations(x_adv, subject.x, eps)
        margins, changed = subject.scored(folds, x_adv, threat)
        named = {"threat": trial.name, "attack": one.attack, **subject.described(threat, one)}
        self.frames.append(rows_of(folds, named, margins, changed, subject.dataset.y))
        scattered = folds.scatter(x_adv, subject.index, subject.valid)
        if subject.dataset.schema.image:
            self.keep_worst(trial.name, scattered, margins)
        else:
            self.x_adv[f"{trial.name}/{one.attack}"] = scattered
        return margins

    def keep_worst(self, threat: str, x_adv: Tensor, margins: Tensor) -> None:
        """Of images (E, S, N, *event) alone the worst of all attacks, a byte a grey level."""
        key, found = f"{threat}/{WORST}", x_adv.to(torch.uint8)
        if key not in self.x_adv:
            self.x_adv[key], self.least[threat] = found, margins
            return
        worse = margins < self.least[threat]
        shaped = worse.view(*worse.shape, *[1] * (found.dim() - worse.dim()))
        self.x_adv[key] = torch.where(shaped, found, self.x_adv[key])
        self.least[threat] = torch.minimum(margins, self.least[threat])

    def hold_against(self, least: Least, headline: Trial, most: float) -> None:
        """Counts margins that an attack left below their proved bound, as far as one is told."""
        bound = least.margins.flatten().clamp_max(most).numpy()
        for frame in self.frames:
            if frame["threat"].iloc[0] == headline.name:
                inside = frame.loc[frame["eps"] <= least.eps, "margin"].to_numpy()
                below = inside.reshape(-1, len(bound)) < bound
                self.checks["attack_beats_proof"] += int(below.sum())


def _most(population: Population) -> float:
    """The largest margin that is told; infinite but of probabilities, which are cut off."""
    if not isinstance(population, Foreign):
        return torch.inf
    least = population.least_chance
    return float(
        torch.tensor([1 - least], dtype=torch.float64).logit() - population.cut.abs().max()
    )


def _confirmed(models: Foreign, margins: Tensor, broken: Tensor) -> None:
    """Whether the models' own code errs wherever what was read of them says so.

    Raises:
        FailedCheck: it does not: something else was read.
    """
    if wrong := int((broken & (margins > 0)).sum()):
        raise FailedCheck(
            f"{models.origin}: {wrong} of {int(broken.sum())} changed records that turn what was "
            "read of it do not turn its own answer; nothing is proved of it"
        )


def searches(trials: list[Trial], cfg: Config) -> list[ProofSearch]:
    """How far proofs are looked for under each threat.

    Of the headline threat, which people read, the records found are pruned, and single measurements
    that suffice are looked for: as far as an l0 threat that is tried too lets one go, otherwise
    anywhere in its range.
    """
    sparse = next((trial.threat for trial in trials if trial.threat.norm == "l0"), None)
    return [
        ProofSearch(
            trial.threat,
            trial.radii,
            exact_to=cfg.threat[trial.name].exact_to,
            budget=cfg.threat[trial.name].boxes,
            alone=(sparse or replace(trial.threat, norm="l0")) if headline else None,
            pruned=headline,
        )
        for trial in trials
        for headline in [trial.name == cfg.audit.headline]
    ]


def _middle(radii: list[float]) -> float:
    """The radius at which gradients are examined: the middle one."""
    return radii[len(radii) // 2]
