"""Hospitals, and what each of them holds: every record belongs to one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from pipeline.data.halves import only
from pipeline.data.plan import Plan, first_of
from pipeline.data.schema import Dataset
from pipeline.files import BadInput
from pipeline.seeds import Stream, of
from pipeline.validation import nearest


@dataclass(frozen=True)
class Hospitals:
    """K hospitals, in the order of the data set's sites, or of what parts them.

    Attributes:
        names: of each.
        of: (N,) int64, to which each record belongs.
        rule: what parts them, in words.
    """

    names: tuple[str, ...]
    of: Tensor
    rule: str


def hospitals_of(
    dataset: Dataset, count: int | None, by: str | None, section: str = "federated"
) -> Hospitals:
    """The hospitals that a data set names, or made-up ones that differ by one measurement.

    Args:
        dataset: the records.
        count: K, cut where a feature's quantiles lie, so that they are about as large; None = the
            sites that the data set names.
        by: that feature. What must stay together goes where its first record goes, what was not
            measured to the last hospital.
        section: of the configuration that says so, for the message.

    Raises:
        BadInput: the data set names no sites, `by` is no feature, or it has too few values.
    """
    if count is None:
        return _named(dataset, section)
    names = dataset.schema.names
    if dataset.schema.image or by not in names:
        raise BadInput(f"{section}.by: {by!r} is no feature; {nearest(str(by), names)}")
    values, first = dataset.x[:, names.index(by)].double(), first_of(dataset.together)
    # of one record each: versions of a record that lie beside it move no hospital's bounds
    once = values[first.unique()].numpy()
    cuts = np.unique(np.nanquantile(once, np.arange(1, count) / count))
    own = values[first]
    place = torch.from_numpy(np.searchsorted(cuts, own.numpy(), side="right"))
    filled = place.unique()
    if len(filled) < count:
        raise BadInput(
            f"{section}.sites: {by} has too few values to make {count} hospitals; take at most "
            f"{len(filled)}"
        )
    return Hospitals(tuple(_bands(by, cuts.tolist())), place, f"{count} bands of {by}")


def _named(dataset: Dataset, section: str) -> Hospitals:
    """The sites of the data set that have records."""
    if dataset.site is None:
        raise BadInput(
            f"{section}.sites: null takes the hospitals that the data set names as data.site, and "
            f"it names none; give a number of hospitals, and {section}.by"
        )
    filled, place = dataset.site.unique(return_inverse=True)
    names = tuple(dataset.schema.sites[one] for one in filled.tolist())
    return Hospitals(names, place, "sites of the data set")


def _bands(by: str, cuts: Sequence[float]) -> list[str]:
    """`age below 24`, `age 24 to below 29`, `age 29 and above`."""
    if not cuts:
        return ["everybody"]
    between = [f"{by} {low:g} to below {high:g}" for low, high in pairwise(cuts)]
    return [f"{by} below {cuts[0]:g}", *between, f"{by} {cuts[-1]:g} and above"]


@dataclass(frozen=True)
class Site:
    """All that one hospital knows.

    Attributes:
        number: of the hospital, which tells its streams of random numbers apart.
        name: of the hospital.
        dataset: its own n records.
        train: (M, n) bool, which of them each member learns from.
        seeds: (M,) int64, of the members; no secret.
    """

    number: int
    name: str
    dataset: Dataset
    train: Tensor
    seeds: Tensor

    @property
    def records(self) -> Tensor:
        """(M,) float32: how many records each member learns from here."""
        return self.train.sum(1).float()

    def plan(self, number: int, members: Tensor) -> Plan:
        """Who trains here in one round: the `members` (R,), with seeds of this place and round."""
        seeds = [
            of(Stream.HOSPITAL_ROUND, seed, self.number, number)
            for seed in self.seeds[members].tolist()
        ]
        train = self.train[members]
        return Plan(
            train,
            torch.zeros_like(train),
            torch.full((len(members),), -1),
            torch.tensor(seeds, dtype=torch.int64),
            tuple(f"member{member}" for member in members.tolist()),
        )


def sites_of(dataset: Dataset, plan: Plan, hospitals: Hospitals) -> tuple[Site, ...]:
    """What each hospital holds of the records, and of the plan."""
    found = []
    for number, name in enumerate(hospitals.names):
        rows = hospitals.of == number
        held = only(dataset, rows)
        found.append(Site(number, name, held, plan.train[:, rows], plan.seeds))
    return tuple(found)
