"""The one audit: what every attack of the suite does to a population, out of fold. `attack` and `evaluate` both call it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.attacks import Attack, evasion_suite
from pipeline.attacks.control import worst
from pipeline.attacks.losses import margin
from pipeline.config import Config
from pipeline.data import Dataset
from pipeline.files import BadInput, read_tensors, write_tensors
from pipeline.plan import Plan
from pipeline.population import Population
from pipeline.threat import Threat

TRANSFER = "transfer"
ROWS, RECORDS = "rows.parquet", "adversarial.safetensors"


@dataclass(frozen=True)
class Audit:
    """The primary result.

    Attributes:
        rows: one row per threat x attack x eps x repetition x patient, in this order: `threat, attack, eps, repetition,
            patient, model, y, margin, broken, changed`. `margin` is that of the true class, in logits; `broken` means the
            answer is wrong; `changed` counts the values that differ from the record.
        x_adv: for each "threat/attack", records (E, S, N, D) in clinical units: radius x repetition x patient.
    """

    rows: pd.DataFrame
    x_adv: dict[str, Tensor]

    def save(self, folder: Path) -> None:
        """Writes `rows.parquet` and the adversarial records as safetensors."""
        save_rows(self.rows, folder / ROWS)
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
        return pd.read_parquet(folder / ROWS)
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder / ROWS}: cannot be read ({error}); run `dvc repro` to make it") from error


def load_adversarial(folder: Path) -> dict[str, Tensor]:
    """Reads the adversarial records of an audit.

    Raises:
        BadInput: the file is missing or damaged.
    """
    return read_tensors(folder / RECORDS, advice="run `dvc repro attack`")[0]


def audit(
    population: Population, dataset: Dataset, plan: Plan, cfg: Config, *, name: str, transfer: dict[str, Tensor] | None = None
) -> Audit:
    """Attacks every model on the patients it did not train on, with every attack, radius and threat model of `cfg`.

    Each attack is adaptive: it sees the gradients of the very model it attacks. An attack is not trusted: its result is
    projected onto the threat model, checked against it, and scored again, here.

    Args:
        population: M models; those that hold nobody out are left alone.
        dataset: the records.
        plan: who trained on whom.
        cfg: radii, threat models and attacks.
        name: of the defence, beside the progress bar.
        transfer: adversarial records of another population, as `Audit.x_adv`; all of them are tried on this one too.

    Raises:
        RuntimeError: a projected record lies outside the threat model; a bug, never the user's mistake.
    """
    scored = plan.scored()
    population, plan = population.select(scored), plan.select(scored)
    grid = Grid(plan, cfg.audit.eps)
    index, valid = plan.held_out_index()
    x, y = dataset.x[index], dataset.y[index]
    eps = torch.tensor(cfg.audit.eps)[:, None, None, None]
    suite: dict[str, Attack] = evasion_suite(cfg.attack)
    frames: list[pd.DataFrame] = []
    records: dict[str, Tensor] = {}

    def proposals(threat_name: str, threat: Threat) -> Iterator[tuple[str, Tensor]]:
        for number, (attack_name, attack) in enumerate(suite.items()):
            generator = torch.Generator().manual_seed(cfg.seed * 1_000 + number)
            yield attack_name, attack(population, x, y, threat, eps=eps, generator=generator)
        if transfer is not None:
            sent = [records for key, records in transfer.items() if key.startswith(f"{threat_name}/")]
            yield TRANSFER, worst(population, [grid.gather(records, index) for records in sent], y)

    attacks = len(suite) + (transfer is not None)
    with tqdm(total=len(cfg.threat) * attacks, desc=f"attacking {name}", unit="attack", disable=None, leave=False) as bar:
        for threat_name, threat_cfg in cfg.threat.items():
            threat = Threat.of(dataset.schema.features, threat_cfg)
            for attack_name, proposed in proposals(threat_name, threat):
                x_adv = threat.project(proposed, x, eps)
                if outside := threat.violations(x_adv, x, eps):
                    raise RuntimeError(f"{attack_name} under {threat_name}: {outside} values outside the threat model")
                with torch.no_grad():
                    margins = grid.scatter(margin(population(x_adv), y), index, valid)
                changed = grid.scatter(((x_adv != x) & ~x.isnan()).sum(-1), index, valid)
                frames.append(grid.frame(threat_name, attack_name, margins, changed, dataset.y))
                records[f"{threat_name}/{attack_name}"] = grid.scatter(x_adv, index, valid)
                bar.update()
    rows = pd.concat(frames, ignore_index=True)
    categories = {"threat": list(cfg.threat), "attack": [*suite, TRANSFER], "model": list(plan.labels)}
    for column, values in categories.items():
        rows[column] = pd.Categorical(rows[column], categories=values)
    return Audit(rows, records)


@torch.no_grad()
def out_of_fold(population: Population, dataset: Dataset, plan: Plan) -> tuple[Tensor, Tensor]:
    """Margins (1, S, N) of the unchanged records, each scored by models that did not train on it, and classes (N,)."""
    scored = plan.scored()
    population, plan = population.select(scored), plan.select(scored)
    grid = Grid(plan, [0.0])
    index, valid = plan.held_out_index()
    margins = margin(population(dataset.x[index]), dataset.y[index])
    return grid.scatter(margins[None], index, valid), dataset.y[grid.patients]


class Grid:
    """Between the rectangle that models work on, (E, M, B, ...), and the patients, (E, S, N, ...)."""

    def __init__(self, plan: Plan, eps: list[float]) -> None:
        """Takes a plan without a release model: each repetition holds out the same patients, each once."""
        self.plan, self.eps = plan, eps
        self.repetitions = int(plan.repetition.max()) + 1
        counts = torch.stack([plan.held_out[plan.repetition == s].sum(0) for s in range(self.repetitions)])
        if (counts != counts[:1]).any() or counts.max() > 1:
            raise ValueError("each repetition of a plan must hold out the same patients, each of them once")
        self.patients = counts[0].nonzero()[:, 0]
        self.model_of = torch.zeros(self.repetitions, plan.held_out.shape[1], dtype=torch.int64)
        for row in range(plan.size):
            self.model_of[plan.repetition[row], plan.held_out[row]] = row

    def scatter(self, values: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        """(E, M, B, ...) to (E, S, N, ...), dropping the filler of the rectangle."""
        repetition = self.plan.repetition[:, None].expand(index.shape)
        total = self.plan.held_out.shape[1]
        dense = values.new_zeros(values.shape[0], self.repetitions, total, *values.shape[3:])
        dense[:, repetition[valid], index[valid]] = values[:, valid]
        return dense[:, :, self.patients].contiguous()

    def gather(self, dense: Tensor, index: Tensor) -> Tensor:
        """(E, S, N, ...) to (E, M, B, ...)."""
        position = torch.zeros(self.plan.held_out.shape[1], dtype=torch.int64)
        position[self.patients] = torch.arange(len(self.patients))
        return dense[:, self.plan.repetition[:, None].expand(index.shape), position[index]]

    def frame(self, threat: str, attack: str, margins: Tensor, changed: Tensor, y: Tensor) -> pd.DataFrame:
        """Rows in the order radius, repetition, patient."""
        radii, repetitions, patients = margins.shape
        model = self.model_of[:, self.patients].expand(radii, -1, -1).flatten().numpy()
        return pd.DataFrame(
            {
                "threat": threat,
                "attack": attack,
                "eps": np.repeat(self.eps, repetitions * patients),
                "repetition": np.tile(np.repeat(np.arange(repetitions, dtype=np.int16), patients), radii),
                "patient": np.tile(self.patients.numpy().astype(np.int32), radii * repetitions),
                "model": np.array(self.plan.labels, dtype=object)[model],
                "y": np.tile(y[self.patients].numpy().astype(np.int8), radii * repetitions),
                "margin": margins.flatten().numpy(),
                "broken": (margins <= 0).flatten().numpy(),
                "changed": changed.flatten().numpy().astype(np.int16),
            }
        )
