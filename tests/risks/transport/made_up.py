"""Made-up answers at made-up sites: as good everywhere as they are told to be."""

from dataclasses import replace

import torch

import tiny
from pipeline.data.schema import Dataset
from pipeline.risks.transport.measure.answers import Answers
from pipeline.risks.transport.measure.places import Places
from pipeline.risks.transport.measure.settings import TransportSettings

SITES = ("north", "south", "west")


def settings(**changes) -> TransportSettings:
    usual = {"recipes": ["baseline"], "sites": 9, "date": None, "later": 0.25}
    return TransportSettings(**{**usual, "repetitions": 2, "boxes": 2, **changes})


def ward(n: int = 300, *, seed: int = 0) -> Dataset:
    """Patients who come once, to one of three sites by chance, a day after another."""
    drawn, data = torch.Generator().manual_seed(seed + 100), tiny.records(n, seed=seed)
    return replace(
        data,
        schema=replace(data.schema, sites=SITES),
        site=torch.randint(0, 3, (n,), generator=drawn),
        time=torch.arange(n).double(),
    )


def answers(dataset: Dataset, places: Places, *, bad: int = -1, seed: int = 0) -> Answers:
    """Of the cross-validation and of each place; where `bad` is, scores say nothing of the ill."""
    drawn = torch.Generator().manual_seed(seed + 200)
    rows = places.estimable(dataset).nonzero()[:, 0]
    shape = (1 + len(rows), 2, len(dataset.y))
    signal = (2.0 * dataset.y - 1).expand(shape).clone()
    luck = torch.randn(shape[2], generator=drawn)  # most of it is the patient's
    noise = 0.3 * torch.randn(shape, generator=drawn) + luck
    everybody = torch.ones_like(dataset.y, dtype=torch.bool)
    asked = torch.stack([everybody, *places.asked[rows]])
    if bad >= 0:
        signal[1 + rows.tolist().index(bad)] = 0.0
    score = (signal + noise).double()
    margin = score * (2 * dataset.y - 1)
    outside = ~asked[:, None].expand(shape)
    return Answers(
        place=rows,
        margin=margin.masked_fill(outside, torch.nan),
        score=score.masked_fill(outside, torch.nan),
        proved=(margin[:, 0] > 0.5) & asked,
        tried=asked,
        exact=True,
        threat="clinical",
        radius=0.1,
    )
