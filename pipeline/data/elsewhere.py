"""Rows of a plan beside the cross-validation: scored at another site, or later, than trained."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import BadInput
from pipeline.seeds import Stream, of, of_each


def by_site(dataset: Dataset, seed: int) -> Plan:
    """A model for each site, scored there and trained on all others (internal-external).

    Nobody with a record at the site is trained on, wherever the other records were made; nor is
    whoever must stay with such a person (`Dataset.together`). A site that leaves the others no
    record of a class has no model.

    Args:
        dataset: whose records say where they were made.
        seed: of the models' own seeds.

    Raises:
        BadInput: nobody says where records were made, or no site leaves both classes.
    """
    if dataset.site is None:
        raise BadInput("data.site: no column says where records were made; name one")
    rows = {name: dataset.site == place for place, name in enumerate(dataset.schema.sites)}
    return _elsewhere(rows, dataset, of(Stream.SITES, seed), "data.site")


def by_time(dataset: Dataset, share: float, seed: int) -> Plan:
    """One model, scored on the last records and trained on those before.

    Whoever has a record among the last is not trained on at all.

    Args:
        dataset: whose records say when they were made.
        share: of the records that are the last, at least; all of the first of these days are
            among them. In 0 to 1.
        seed: of the model's own seed.

    Raises:
        BadInput: nobody says when records were made, or those before lack a class.
    """
    if dataset.time is None:
        raise BadInput("data.time: no column says when records were made; name one")
    later = max(1, round(share * len(dataset.y)))
    first = dataset.time.sort(descending=True).values[later - 1]
    rows = {"later": dataset.time >= first}
    return _elsewhere(rows, dataset, of(Stream.DATES, seed), "data.time")


def _elsewhere(asked: Mapping[str, Tensor], dataset: Dataset, seed: int, column: str) -> Plan:
    """A row for each of the records `asked` (N,): trained on whoever has none among them."""
    held_out, train, labels = [], [], []
    for label, rows in asked.items():
        others = ~torch.isin(dataset.together, dataset.together[rows])
        if rows.any() and len(dataset.y[others].unique()) == len(dataset.schema.classes):
            held_out.append(rows)
            train.append(others)
            labels.append(label)
    if not labels:
        raise BadInput(f"{column}: too few records elsewhere to train on; both classes are needed")
    return Plan(
        torch.stack(train),
        torch.stack(held_out),
        torch.zeros(len(labels), dtype=torch.int64),
        of_each(Stream.HALF, seed, len(labels)),
        tuple(labels),
    )
