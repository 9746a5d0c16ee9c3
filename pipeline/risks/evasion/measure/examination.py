"""What every attack does to a population, out of fold, and what is proved."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.attacks.evasion import EVASION, Attacker, evasion_suite
from pipeline.attacks.evasion.control import worst
from pipeline.attacks.evasion.gradient import fgsm
from pipeline.attacks.evasion.records import LogitsFn
from pipeline.attacks.surrogate import train_linear_surrogate
from pipeline.config import Config, ThreatConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.files import BadInput, read_json, read_tensors, write_json, write_tensors
from pipeline.models.answers import margin
from pipeline.models.out_of_fold import Grid
from pipeline.models.population import Networks, Population
from pipeline.parallel import workers
from pipeline.risks.evasion.measure.attackers import EXACT, SURROGATE, TRANSFER, all_attackers
from pipeline.risks.evasion.measure.diagnostics import diagnose
from pipeline.risks.evasion.measure.margins import Outcome, outcomes
from pipeline.seeds import of_attack
from pipeline.standards import describe_threat
from pipeline.verify import provable
from pipeline.verify.out_of_fold import Verified, proofs_out_of_fold

ROWS, RECORDS, DIAGNOSTICS, VERIFIED = (
    "rows.parquet",
    "adversarial.safetensors",
    "diagnostics.json",
    "verified",
)


@dataclass(frozen=True)
class Findings:
    """What is reported of one population; every figure and flag is a function of it.

    Attributes:
        rows: one row per threat x attack x eps x repetition x patient, in this order: `threat,
            attack`, the columns of `pipeline.standards.THREAT_COLUMNS`, `eps, repetition, patient,
            model, y, margin, broken, changed`. `margin` is that of the true class, in logits;
            `broken` means the answer is wrong; `changed` counts the values that differ.
        verified: what is proved, by threat.
        diagnostics: measurements of gradients and answers, and how often a check of the audit
            itself failed.
    """

    rows: pd.DataFrame
    verified: dict[str, Verified]
    diagnostics: dict[str, float]

    @cached_property
    def outcomes(self) -> dict[str, Outcome]:
        """The rows as arrays, by threat."""
        return outcomes(self.rows)

    def save(self, folder: Path) -> None:
        """Writes `rows.parquet`, `diagnostics.json` and `verified/<threat>.safetensors`."""
        save_rows(self.rows, folder / ROWS)
        write_json(folder / DIAGNOSTICS, self.diagnostics)
        (folder / VERIFIED).mkdir()
        for threat, verified in self.verified.items():
            verified.save(folder / VERIFIED / f"{threat}.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "Findings":
        """Reads what `save` wrote.

        Raises:
            BadInput: a file is missing or damaged.
        """
        rows = load_rows(folder)
        threats = list(rows["threat"].cat.categories)
        verified = {
            threat: Verified.load(folder / VERIFIED / f"{threat}.safetensors") for threat in threats
        }
        return cls(rows, verified, read_json(folder / DIAGNOSTICS))


@dataclass(frozen=True)
class Audit:
    """Findings, and the adversarial records behind them.

    Attributes:
        findings: what is reported.
        x_adv: for each "threat/attack" (E, S, N, D) in clinical units.
        skipped: what could not be asked of this model -> why.
    """

    findings: Findings
    x_adv: dict[str, Tensor]
    skipped: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Writes the findings, and the adversarial records as safetensors."""
        self.findings.save(folder)
        write_tensors(folder / RECORDS, self.x_adv)


def save_rows(rows: pd.DataFrame, path: Path) -> None:
    """Writes the rows of one audit as parquet."""
    rows.to_parquet(path, index=False, compression="zstd")


def load_rows(folder: Path) -> pd.DataFrame:
    """Reads `rows.parquet`.

    Raises:
        BadInput: the file is missing or damaged.
    """
    try:
        rows = pd.read_parquet(folder / ROWS)
        rows["threat"].cat.categories  # noqa: B018 - an audit's rows have one
        return rows
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise BadInput(
            f"{folder / ROWS}: cannot be read ({error}); run `dvc repro` to make it"
        ) from error


def load_adversarial(folder: Path) -> dict[str, Tensor]:
    """Reads the adversarial records of an audit.

    Raises:
        BadInput: the file is missing or damaged.
    """
    return read_tensors(folder / RECORDS, advice="run `dvc repro attack`")[0]


def audit(
    population: Population,
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    name: str,
    transfer: dict[str, Tensor] | None = None,
) -> Audit:
    """Attacks every model on the patients it did not train on, and proves what no attack can do.

    Each attack is adaptive: it sees the very model it attacks. An attack is not trusted, and
    neither is the verifier: what they propose is projected onto the threat model, checked against
    its definition, and scored in float64, here.

    Args:
        population: M models; those that hold nobody out are left alone.
        dataset: the records.
        plan: who trained on whom.
        cfg: radii, threat models and attacks.
        name: of the defense, beside the progress bar.
        transfer: adversarial records of another population, as `Audit.x_adv`; all of them are tried
            on this one too.
    """
    scored = plan.scored()
    population, plan = population.select(scored), plan.select(scored)
    subject = Subject(
        population,
        _of_images(train_linear_surrogate(dataset.x.flatten(1), dataset.y, plan), dataset),
        dataset,
        plan,
        *plan.held_out_index(),
    )
    threats = {
        threat: Threat.of(dataset.schema.features, limits, dataset.schema.image)
        for threat, limits in cfg.threat.items()
    }
    radii = {threat: radii_of(limits, cfg) for threat, limits in cfg.threat.items()}
    frames: list[pd.DataFrame] = []
    records: dict[str, Tensor] = {}
    verified: dict[str, Verified] = {}
    checks = {"violations": 0.0, "attack_beats_proof": 0.0}
    with workers() as pool:
        proofs = {
            threat_name: proofs_out_of_fold(
                pool,
                population,
                dataset,
                plan,
                threat,
                radii=radii[threat_name],
                exact_to=cfg.threat[threat_name].exact_to,
                budget=cfg.threat[threat_name].boxes,
                alone=threat_name == cfg.audit.headline,
            )
            for threat_name, threat in threats.items()
        }
        for threat_name, threat in tqdm(
            threats.items(), desc=f"attacking {name}", unit="threat", disable=None, leave=False
        ):
            grid, eps = Grid(plan, radii[threat_name]), subject.radius(threat, radii[threat_name])
            attacks = list(_attacks(subject, grid, threat_name, threat, eps, cfg, transfer))
            proof = verified[threat_name] = proofs[threat_name]()
            if not provable(population):
                nearest = grid.gather(proof.records_at(grid.eps, dataset.x), subject.index)
                attacks.append((EXACT, "exact", None, nearest))
            proved = proof.robust_at(grid.eps)
            mutable = _mutable(dataset, threat)
            for attack, access, budget, proposed in attacks:
                x_adv = threat.project(proposed, subject.x, eps)
                checks["violations"] += threat.violations(x_adv, subject.x, eps)
                margins, changed = subject.scored(grid, x_adv)
                checks["attack_beats_proof"] += int(((margins <= 0) & proved).sum())
                named = {"threat": threat_name, "attack": attack}
                named |= describe_threat(
                    norm=threat.norm,
                    goal=threat.goal,
                    mutable=mutable,
                    access=access,
                    query_budget=budget,
                )
                frames.append(grid.frame(named, margins, changed, dataset.y))
                records[f"{threat_name}/{attack}"] = grid.scatter(
                    x_adv, subject.index, subject.valid
                )
    measured = diagnose(
        population,
        subject.x,
        subject.y,
        threats[cfg.audit.headline],
        eps=_middle(cfg.audit.eps),
        seed=cfg.seed,
    )
    skipped = {
        attack: "it needs gradients, and the model gives scores alone"
        for attack, who in all_attackers(cfg).items()
        if not offers(population, who)
    }
    if why := provable(population):
        skipped["proofs"] = why
    return Audit(Findings(_joined(frames), verified, measured | checks), records, skipped)


def offers(population: Population, who: Attacker) -> bool:
    """Whether a population offers what an attacker must see of it."""
    return population.gradients or who.access != "gradients"


def _of_images(surrogate: Networks, dataset: Dataset) -> LogitsFn:
    """A model of records that is asked about images, as records of their values."""
    axes = len(dataset.schema.image)
    if not axes:
        return surrogate

    def logits(x: Tensor) -> Tensor:
        return surrogate(x.flatten(-axes))

    return logits


def _mutable(dataset: Dataset, threat: Threat) -> list[str]:
    """The names of what may be changed."""
    names = dataset.schema.names
    if dataset.schema.image:
        return list(names) if threat.mutable.any() else []
    return [name for name, may in zip(names, threat.mutable.tolist(), strict=True) if may]


@dataclass(frozen=True)
class Subject:
    """Whom an examination is about: M models and the patients each may be scored on (M, B).

    And a linear stand-in for each model.
    """

    population: Population
    surrogate: LogitsFn
    dataset: Dataset
    plan: Plan
    index: Tensor
    valid: Tensor

    @property
    def x(self) -> Tensor:
        """(M, B, D) records."""
        return self.dataset.x[self.index]

    @property
    def y(self) -> Tensor:
        """(M, B) classes."""
        return self.dataset.y[self.index]

    def radius(self, threat: Threat, radii: list[float]) -> Tensor:
        """Radii that broadcast over (E, M, B, D): 0 for those whom the threat's goal spares."""
        event = (1,) * threat.mutable.dim()
        eps = torch.tensor(radii).view(-1, 1, 1, *event)
        return (
            eps
            if threat.goal == "any"
            else eps * threat.attackable(self.y).view(*self.y.shape, *event)
        )

    @torch.no_grad()
    def scored(self, grid: Grid, x_adv: Tensor) -> tuple[Tensor, Tensor]:
        """Of records (E, M, B, D), float64 margins and how many values changed; both (E, S, N)."""
        margins = margin(self.population.double()(x_adv.double()), self.y)
        differs = (x_adv != self.x) & ~self.x.isnan()
        changed = differs.flatten(1 - self.dataset.x.dim()).sum(-1)
        return grid.scatter(margins, self.index, self.valid), grid.scatter(
            changed, self.index, self.valid
        )


Proposal = tuple[str, str, int | None, Tensor]


def _attacks(
    subject: Subject,
    grid: Grid,
    threat_name: str,
    threat: Threat,
    eps: Tensor,
    cfg: Config,
    transfer: dict[str, Tensor] | None,
) -> Iterator[Proposal]:
    """The name, access, query budget and records (E, M, B, D) of each attack in turn."""
    x, y, known = subject.x, subject.y, all_attackers(cfg)
    for number, (attack_name, attack) in enumerate(
        evasion_suite(cfg.attack, norm=threat.norm).items()
    ):
        who = known[attack_name]
        if not offers(subject.population, who):
            continue
        generator = torch.Generator().manual_seed(of_attack(cfg.seed, number))
        proposed = attack(subject.population, x, y, threat, eps=eps, generator=generator)
        budget = EVASION[who.method].budget(who.options, threat, grid.eps[-1])
        yield attack_name, who.access, budget, proposed
    if threat.norm != "l0":  # the gradient step is exact on a linear model
        yield SURROGATE, "transfer", None, fgsm(subject.surrogate, x, y, threat, eps=eps)
    if transfer is not None:
        sent = [records for key, records in transfer.items() if key.startswith(f"{threat_name}/")]
        yield (
            TRANSFER,
            "transfer",
            None,
            worst(subject.population, [grid.gather(one, subject.index) for one in sent], y),
        )


def radii_of(threat: ThreatConfig, cfg: Config) -> list[float]:
    """The radii at which a threat is tried."""
    return cfg.audit.eps if threat.eps is None else threat.eps


def _middle(radii: list[float]) -> float:
    """The radius at which gradients are examined: the middle one."""
    return radii[len(radii) // 2]


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """All rows, with every column of few values as a category, in the order of first appearance."""
    for column in [
        name for name, kind in frames[0].dtypes.items() if isinstance(kind, pd.CategoricalDtype)
    ]:
        values = list(
            dict.fromkeys(value for frame in frames for value in frame[column].cat.categories)
        )
        for frame in frames:
            frame[column] = frame[column].cat.set_categories(values)
    return pd.concat(frames, ignore_index=True)
