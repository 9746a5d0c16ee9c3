"""A large cohort is examined in blocks: each by one process, into a folder of its own.

Who is in which block depends on the plan, the seed and `audit.block`, and chances are drawn by
block: how many processes work, here or elsewhere, changes nothing. No process holds more than its
block, and this one a few of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import BadInput, read_tensors, write_tensors
from pipeline.models.population import Population
from pipeline.parallel import in_turn, one_thread
from pipeline.risks.evasion.measure.examination import ADVICE, Examination, examine
from pipeline.risks.evasion.measure.rows import ROWS
from pipeline.risks.evasion.measure.subject import Block, linear_beside
from pipeline.risks.evasion.measure.told import Told
from pipeline.seeds import Stream, generator
from pipeline.verify.least import Least
from pipeline.verify.out_of_fold import Proofs

Found = TypeVar("Found")
BLOCKS, SENT = "blocks", "adversarial"  # folders: of what was found, and of adversarial records
PATIENTS = "patients"  # in a file of adversarial records: whose they are
COUNTED = ("violations", "attack_beats_proof")  # diagnostics that add up; others are of one block


def blocks_of(plan: Plan, size: int | None, seed: int) -> list[Tensor]:
    """Those who are scored, in random blocks: indices of `size` records each, rising.

    Args:
        plan: who is scored by whom.
        size: records of a block; the last one has fewer. None = all in one.
        seed: of the order in which they are cut.
    """
    scored = plan.held_out.any(0).nonzero()[:, 0]
    if size is None or size >= len(scored):
        return [scored]
    order = torch.randperm(len(scored), generator=generator(Stream.BLOCKS, seed))
    return [rows.sort().values for rows in scored[order].split(size)]


def examine_in_blocks(
    population: Population,
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    place: Path,
    *,
    blocks: Sequence[Tensor],
    transfer: Path | None = None,
) -> None:
    """`examine` of each block; rows and proofs of each are written as soon as they are there.

    Args:
        population: M models.
        dataset: the records.
        plan: who trained on whom.
        cfg: radii, threat models and attacks.
        place: folder of one defense; its `evasion` exists.
        blocks: of `blocks_of`, more than one.
        transfer: the folder of the undefended models' records, in the same blocks; None = these are
            the undefended models, and their records are kept.

    Raises:
        BadInput: what transfers was made in other blocks.
    """
    with one_thread():
        stand_in = linear_beside(dataset, plan)
    (place / "evasion" / BLOCKS).mkdir()
    if transfer is None:
        (place / SENT).mkdir()

    def jobs() -> Iterator[tuple[Any, ...]]:
        for number, rows in enumerate(blocks):
            sent = None if transfer is None else sent_to(transfer, number, rows)
            own = dataset.narrowed(rows), plan.narrowed(rows)
            yield population, *own, cfg, Block(number, stand_in), rows, sent

    for number, (found, x_adv) in enumerate(in_turn(_examine_block, jobs())):
        folder = place / "evasion" / BLOCKS / f"{number:04d}"
        folder.mkdir()
        found.save(folder)
        if transfer is None:
            kept = {PATIENTS: blocks[number], **x_adv}
            write_tensors(place / SENT / f"{number:04d}.safetensors", kept)


def beside_in_blocks(
    measure: Callable[..., Found | None],
    population: Population,
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
) -> Found | None:
    """What is measured beside the suite of all who are scored, a block after another.

    Args:
        measure: of (population, dataset, plan, cfg, number of the block) what is found, a dataclass
            whose tensors have the patients as their last axis; None = nothing is.
        population: M models.
        dataset: the records.
        plan: who trained on whom.
        cfg: the size of a block, and what `measure` asks for.
    """
    blocks = blocks_of(plan, cfg.audit.block, cfg.seed)
    if len(blocks) == 1:
        return measure(population, dataset, plan, cfg)
    jobs = (
        (population, dataset.narrowed(rows), plan.narrowed(rows), cfg, number)
        for number, rows in enumerate(blocks)
    )
    parts = []
    for found in in_turn(measure, jobs):
        if found is None:
            return None
        parts.append(found)
    order = torch.cat(blocks).argsort()

    def together(values: Sequence[Any]) -> Any:
        if isinstance(values[0], dict):
            return {name: together([one[name] for one in values]) for name in values[0]}
        if not isinstance(values[0], Tensor):
            return values[0]
        return torch.cat(list(values), -1).index_select(-1, order)

    each = {
        one.name: together([getattr(part, one.name) for part in parts]) for one in fields(parts[0])
    }
    whole: Found = replace(parts[0], **each)
    return whole


def sent_to(transfer: Path, number: int, rows: Tensor) -> dict[str, Tensor]:
    """The adversarial records of one block, that another population was sent.

    Raises:
        BadInput: they are of other patients, or there are none.
    """
    file = transfer / SENT / f"{number:04d}.safetensors"
    kept = read_tensors(file, ADVICE)[0]
    if not torch.equal(kept.pop(PATIENTS), rows):
        raise BadInput(f"{file}: of other patients than this block; {ADVICE}")
    return kept


def _examine_block(
    population: Population,
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    block: Block,
    patients: Tensor,
    sent: dict[str, Tensor] | None,
) -> tuple[Examination, dict[str, Tensor]]:
    """What is found of one block, by the rows of the whole cohort."""
    found, x_adv = examine(population, dataset, plan, cfg, transfer=sent, block=block)
    numbers = patients.numpy().astype("int32")
    rows = found.rows.assign(patient=numbers[found.rows["patient"].to_numpy()])
    proofs = {
        threat: replace(one, patients=patients[one.patients])
        for threat, one in found.proofs.items()
    }
    return replace(found, rows=rows, proofs=proofs), x_adv if sent is None else {}


def load_examination(folder: Path) -> Examination:
    """What was found of a population, at once or in blocks, of which rows are never held together.

    Raises:
        BadInput: a file is missing or damaged.
    """
    if not (folder / BLOCKS).exists():
        return Examination.load(folder)
    told, parts = [], []
    for place in sorted((folder / BLOCKS).iterdir()):
        part = Examination.load(place)
        told.append(part.told)
        parts.append(replace(part, rows=part.rows.iloc[:0].copy()))  # its rows are not kept
    if not parts:
        raise BadInput(f"{folder / BLOCKS}: empty; {ADVICE}")
    order = torch.cat([torch.from_numpy(one.patients) for one in told]).argsort()
    counted = {name: sum(part.diagnostics[name] for part in parts) for name in COUNTED}
    least = [part.least for part in parts if part.least is not None]
    cuts = [part.cut for part in parts if part.cut is not None]
    return Examination(
        parts[0].rows,
        {
            threat: _proofs_of([part.proofs[threat] for part in parts], order)
            for threat in parts[0].proofs
        },
        parts[0].diagnostics | counted,
        torch.cat(cuts, 1)[:, order] if cuts else None,
        Least(least[0].eps, torch.cat([one.margins for one in least], 1)[:, order])
        if least
        else None,
        Told.joined(told),
    )


def _proofs_of(parts: Sequence[Proofs], order: Tensor) -> Proofs:
    """Proofs of blocks put together; patients are the first axis of these, else the second."""
    columns = {}
    for one in fields(Proofs):
        values = [getattr(part, one.name) for part in parts]
        if values[0] is None:
            continue
        axis = 0 if values[0].dim() == 1 else 2 if one.name == "least" else 1
        columns[one.name] = torch.cat(values, axis).index_select(axis, order)
    return Proofs(**columns)


def rows_in_blocks(folder: Path) -> Iterator[pd.DataFrame]:
    """The rows of one block after another."""
    for place in sorted((folder / BLOCKS).iterdir()):
        yield pd.read_parquet(place / ROWS)
