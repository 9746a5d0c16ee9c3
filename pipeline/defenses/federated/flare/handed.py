"""What a hospital's process needs: its own records, and what every hospital is told."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.config import ModelConfig, TrainConfig
from pipeline.data.schema import load_dataset, save_dataset
from pipeline.defenses.federated.local import Training
from pipeline.defenses.federated.sites import Site
from pipeline.files import read_json, read_tensors, write_json, write_tensors
from pipeline.models.designs import architecture_of

HOSPITAL = "MEDSECURE_HOSPITAL"  # of its environment: where its folder lies
FAILED = "failed.txt"  # why its process gave up
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
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    name: str
    model: ModelConfig
    train: TrainConfig
    rounds: int
    local_epochs: int


def hand_over(site: Site, task: Task, folder: Path) -> None:
    """Writes a hospital's folder, readable by its owner alone."""
    (folder / RECORDS).mkdir(parents=True)
    folder.chmod(0o700)
    save_dataset(site.dataset, folder / RECORDS)
    write_tensors(folder / MEMBERS, {"train": site.train, "seeds": site.seeds})
    write_json(folder / TASK, task.model_dump(mode="json"))


def take_over(folder: Path) -> tuple[Site, Training]:
    """Reads what `hand_over` wrote.

    Raises:
        BadInput: a file is missing or damaged.
    """
    task = Task.model_validate(read_json(folder / TASK))
    members, _ = read_tensors(folder / MEMBERS, "hand the hospital's folder over again")
    dataset = load_dataset(folder / RECORDS)
    site = Site(task.number, task.name, dataset, members["train"], members["seeds"])
    architecture = architecture_of(dataset.schema, task.model)
    return site, Training(architecture, task.train, task.rounds, task.local_epochs)
