"""What a hospital's process needs: its own records, and what every hospital is told."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.config import ModelConfig, TrainConfig
from pipeline.data.schema import load_dataset, save_dataset
from pipeline.defenses.federated.local import Training
from pipeline.defenses.federated.sites import Site
from pipeline.defenses.privacy import NoisySteps
from pipeline.defenses.self_measurement import Check
from pipeline.files import read_json, read_tensors, write_json, write_tensors
from pipeline.models.designs import architecture_of

HOSPITAL = "MEDSECURE_HOSPITAL"  # of its environment: where its folder lies
FAILED = "failed.txt"  # why its process gave up
MEASURED = "measured.json"  # what its noisy training measured of itself
RECORDS, MEMBERS, TASK = "records", "members.safetensors", "task.json"


class Task(BaseModel):
    """What every hospital is told, and which of them this one is; no record.

    Attributes:
        number: of this hospital.
        name: of this hospital.
        model: the network.
        train: as in the configuration; `epochs` is not read.
        rounds: of the federation.
        local_epochs: passes over a hospital's records in each round.
        noisy: the fields of `NoisySteps`, of one round; None = ordinary training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    name: str
    model: ModelConfig
    train: TrainConfig
    rounds: int
    local_epochs: int
    noisy: dict[str, bool | int | float] | None = None


def hand_over(site: Site, task: Task, folder: Path) -> None:
    """Writes a hospital's folder, readable by its owner alone."""
    (folder / RECORDS).mkdir(parents=True)
    folder.chmod(0o700)
    save_dataset(site.dataset, folder / RECORDS)
    write_tensors(folder / MEMBERS, {"train": site.train, "seeds": site.seeds})
    write_json(folder / TASK, task.model_dump(mode="json"))


def take_over(folder: Path) -> tuple[Site, Training, NoisySteps | None]:
    """Reads what `hand_over` wrote.

    Raises:
        BadInput: a file is missing or damaged.
    """
    task = Task.model_validate(read_json(folder / TASK))
    members, _ = read_tensors(folder / MEMBERS, "hand the hospital's folder over again")
    dataset = load_dataset(folder / RECORDS)
    site = Site(task.number, task.name, dataset, members["train"], members["seeds"])
    training = Training(
        architecture_of(dataset.schema, task.model), task.train, task.rounds, task.local_epochs
    )
    how = None if task.noisy is None else NoisySteps(**task.noisy)  # type: ignore[arg-type]
    return site, training, how


def leave_checks(found: Sequence[dict[str, Check]], folder: Path) -> None:
    """Writes what a hospital's training measured of itself, of each of its witnesses."""
    write_json(
        folder / MEASURED, [{name: asdict(one) for name, one in each.items()} for each in found]
    )


def checks_left(folder: Path) -> list[dict[str, Check]]:
    """Reads what `leave_checks` wrote, to the last bit.

    Raises:
        BadInput: the file is missing or damaged.
    """
    return [
        {name: Check(**one) for name, one in each.items()} for each in read_json(folder / MEASURED)
    ]
