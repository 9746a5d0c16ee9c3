"""Sites and days that models are asked about and did not learn from: rows beside a plan's folds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.risks.transport.measure.settings import TransportSettings, day_of
from pipeline.seeds import Stream, of
from pipeline.statistics.patients import LEAST

PLACES = "places.safetensors"


@dataclass(frozen=True)
class Places:
    """P places: sites, in the order of their names, the small ones together; then the later days.

    Attributes:
        sites: (P, K) bool, which of the K sites a place is made of; none = the later days.
        asked: (P, N) bool, on whose records a model is scored.
        train: (P, N) bool, from whose it learns. Records of neither are those that must stay on
            one side with some of both (`Dataset.together`).
        first_day: the first of the later days, as `Dataset.time` counts; None = there are none.
    """

    sites: Tensor
    asked: Tensor
    train: Tensor
    first_day: float | None

    def save(self, path: Path) -> None:
        """Writes one file of tensors."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Places":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing or damaged.
        """
        return read_artifact(path, cls, what="sites and days", advice="run `dvc repro transport`")

    @classmethod
    def of(cls, dataset: Dataset, wanted: TransportSettings) -> "Places":
        """All that the data set allows.

        A site: everybody with a record there is asked about it, and nobody learns from whoever has
        a record there, wherever else he has more. Later days: everybody of before is learned from,
        and whoever came back is not asked about. A site is a place of its own where it has `LEAST`
        patients and is among the largest `wanted.sites`.
        """
        sites, asked, train = [], [], []
        for one in _groups_of_sites(dataset, wanted.sites):
            there = one[dataset.site]
            sites.append(one)
            asked.append(there)
            train.append(~_beside(there, dataset))
        first = first_later_day(dataset, wanted)
        if first is not None and dataset.time is not None:
            before = dataset.time < first
            sites.append(torch.zeros(len(dataset.schema.sites), dtype=torch.bool))
            asked.append(~_beside(before, dataset))
            train.append(before)
        shape = (len(sites), len(dataset.y))
        return cls(
            torch.stack(sites) if sites else torch.zeros(0, len(dataset.schema.sites)).bool(),
            torch.stack(asked) if asked else torch.zeros(shape).bool(),
            torch.stack(train) if train else torch.zeros(shape).bool(),
            first,
        )

    @property
    def left_out(self) -> Tensor:
        """(P, N) bool: who is neither learned from nor asked about."""
        return ~(self.asked | self.train)

    def estimable(self, dataset: Dataset) -> Tensor:
        """(P,) bool: enough patients of both classes to learn from, and to be asked about."""
        enough = [not lacking(*rows, dataset) for rows in zip(self.asked, self.train, strict=True)]
        return torch.tensor(enough, dtype=torch.bool)


def _groups_of_sites(dataset: Dataset, most: int) -> Iterator[Tensor]:
    """(K,) bool each: the sites that are left out together."""
    if dataset.site is None or len(dataset.site.unique()) < 2:
        return
    count = len(dataset.schema.sites)
    pairs = torch.stack([dataset.site, dataset.patient], 1).unique(dim=0)
    patients = torch.bincount(pairs[:, 0], minlength=count)
    largest = torch.zeros(count, dtype=torch.bool)
    largest[patients.argsort(descending=True, stable=True)[:most]] = True
    alone = largest & (patients >= LEAST)
    every = torch.eye(count, dtype=torch.bool)
    yield from every[alone]
    if (~alone & (patients > 0)).any():
        yield ~alone


def first_later_day(dataset: Dataset, wanted: TransportSettings) -> float | None:
    """The first day of those asked about; None = nobody says when, or all are of one side of it."""
    if dataset.time is None:
        return None
    if wanted.date is not None:
        first = day_of(wanted.date)
    else:
        count = max(1, round(wanted.later * len(dataset.y)))
        first = float(dataset.time.sort(descending=True).values[count - 1])
    before = dataset.time < first
    return None if before.all() or not before.any() else first


def _beside(rows: Tensor, dataset: Dataset) -> Tensor:
    """(N,) bool: the rows, and all that must stay on one side with some of them."""
    return torch.isin(dataset.together, dataset.together[rows])


def patients_of(rows: Tensor, dataset: Dataset, label: int | None = None) -> int:
    """How many patients have records among `rows` (N,), or such of one class."""
    where = rows if label is None else rows & (dataset.y == label)
    return len(dataset.patient[where].unique())


def lacking(asked: Tensor, train: Tensor, dataset: Dataset) -> str:
    """Why a place (N,), (N,) has no figures, without a count; empty = it has."""
    for rows, what in ((asked, "to be asked about"), (train, "to learn from")):
        for label, name in enumerate(dataset.schema.classes):
            count = patients_of(rows, dataset, label)
            if count < LEAST:
                few = f"fewer than {LEAST}" if count else "no"
                return f"{few} patients of class {name!r} {what}"
    return ""


def beside(places: Places, dataset: Dataset, repetitions: int, seed: int) -> Plan:
    """A row for each place with figures and each repetition, which differ by their seed alone.

    Args:
        places: Q of them have figures.
        dataset: the records.
        repetitions: S.
        seed: of the models' own seeds.

    Returns:
        a plan of Q * S rows, repetitions fastest; `repetition` is which.
    """
    rows = places.estimable(dataset).nonzero()[:, 0]
    seeds = [
        of(Stream.ELSEWHERE, seed, place, one)
        for place in rows.tolist()
        for one in range(repetitions)
    ]
    return Plan(
        places.train[rows].repeat_interleave(repetitions, 0),
        places.asked[rows].repeat_interleave(repetitions, 0),
        torch.arange(repetitions).repeat(len(rows)),
        torch.tensor(seeds, dtype=torch.int64),
        tuple(f"place{p}-seed{one}" for p in rows.tolist() for one in range(repetitions)),
    )
