"""Models of somebody else as a population: they are asked about records, and what they say is held.

Each is asked as its own code is: a data frame of records in clinical units goes in, probabilities
of disease come out, and nothing else is trusted. What could be read of a model's structure
(`pipeline.models.reading`) serves gradients and proofs; its own answers have the last word.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.data.plan import RELEASE
from pipeline.data.schema import Schema, load_schema, save_schema
from pipeline.files import BadInput, read_json, write_json
from pipeline.models.networks import Networks
from pipeline.models.reading import celled, made_up, typed
from pipeline.models.stacked import DESCRIPTION
from pipeline.models.trees import LEAST_CHANCE as OF_TREES
from pipeline.models.trees import Trees
from pipeline.statistics import Array

KIND = "foreign"
LEAST_CHANCE = 1e-12  # what a probability is taken for at least, and one minus it at most
SAME = 1e-6  # of two answers to one record: sums in another order differ in the last digits
PROBES = 256  # made up records that a model is asked about before any patient's
SLOW = 0.02  # seconds a record, from which on hundreds of thousands of questions take hours


Gaps = Literal["empty", "code"]  # how a missing value is told


class Ask(Protocol):
    """A model's own code."""

    def __call__(self, frame: pd.DataFrame) -> Any:
        """(B,) probabilities of disease of B records, or those of both classes (B, 2)."""

    def save(self, folder: Path, number: int) -> str | None:
        """Keeps it in a folder, as the member of this number; where it is then, None = nowhere."""


@dataclass(frozen=True)
class Kept:
    """A model that is opened when it is first asked."""

    source: str | None
    origin: str
    folder: Path
    schema: Schema

    @cached_property
    def _opened(self) -> Ask:
        from pipeline.models.opening import opened

        if self.source is None:
            raise BadInput(
                f"{self.folder}: {self.origin}: is a function, and not kept between stages; give "
                "estimators whose parts are scikit-learn's own"
            )
        return opened(self.source, self.schema, self.folder)

    def __call__(self, frame: pd.DataFrame) -> Any:
        """What the opened model says."""
        return self._opened(frame)

    def save(self, folder: Path, number: int) -> str | None:
        """Likewise."""
        return self._opened.save(folder, number)


def framed(x: Array, schema: Schema, gaps: Gaps = "empty") -> pd.DataFrame:
    """Records (B, D) float32 as a team's own code reads them from its files.

    Numbers are those that were typed (27.1, not 27.100000381), levels the file's own cells. What is
    missing is NaN, as pandas reads it; or, `code`, the first of the file's own codes, where it has
    one.
    """
    values = typed(x)
    columns: dict[str, Any] = {}
    for place, (name, feature) in enumerate(zip(schema.names, schema.features, strict=True)):
        column = values[:, place]
        code = feature.missing[0] if gaps == "code" and feature.missing else None
        if feature.levels:
            gap = np.nan if code is None else code
            columns[name] = celled(column, list(feature.levels), gap)
        elif code is not None:
            columns[name] = np.where(np.isnan(column), float(code), column)
        else:
            columns[name] = column
    return pd.DataFrame(columns)


def chances(ask: Callable[[pd.DataFrame], Any], frame: pd.DataFrame, what: str) -> Array:
    """(B,) float64: what a model says of the disease, checked.

    Args:
        ask: the model.
        frame: B records.
        what: it is, for the message.

    Raises:
        BadInput: it fails, or answers in another shape, or with something that is no probability.
    """
    try:
        given = ask(frame)
    except BadInput:
        raise
    except Exception as error:  # of code that is not ours, whatever it is
        kind, first = type(error).__name__, str(error).strip().split("\n", 1)[0]
        hint = "; model.gaps=code tells missing values by the file's own code" * ("NaN" in first)
        raise BadInput(f"{what}: fails when it is asked: {kind}: {first[:200]}{hint}") from error
    said = np.asarray(given)
    if said.ndim == 2 and said.shape[1] in (1, 2):
        said = said[:, -1]
    if said.shape != (len(frame),):
        shape = " x ".join(map(str, said.shape)) or "one value"
        raise BadInput(
            f"{what}: answers {len(frame)} records with {shape}; expected one probability of "
            "disease a record, or those of both classes"
        )
    if not np.issubdtype(said.dtype, np.number) or np.iscomplexobj(said):
        raise BadInput(f"{what}: answers with {said.dtype}; expected probabilities of disease")
    said = said.astype(np.float64)
    if np.isnan(said).any():
        raise BadInput(f"{what}: answers {np.isnan(said).sum()} of {len(said)} records with NaN")
    if ((said < 0) | (said > 1)).any():
        raise BadInput(
            f"{what}: answers from {said.min():.3g} to {said.max():.3g}; expected probabilities, 0 "
            "to 1: of scores take the logistic function"
        )
    return said


def probes(schema: Schema, missing: Sequence[int], seed: int) -> Array:
    """(PROBES, D) float32 records of nobody, on the clinic's grid; each of `missing` lacks once."""
    x = made_up(schema, seed, PROBES)
    for place, feature in enumerate(schema.features):
        if step := feature.step or (1.0 if feature.kind == "integer" else None):
            on_grid = np.round(x[:, place].astype(np.float64) / step) * step
            x[:, place] = np.clip(on_grid, feature.lower, feature.upper)
    for number, place in enumerate(missing):
        x[number % PROBES, place] = np.nan
    return x


def acquainted(
    ask: Callable[[pd.DataFrame], Any],
    schema: Schema,
    missing: Sequence[int],
    what: str,
    seed: int,
    gaps: Gaps = "empty",
) -> str:
    """Asks a model about records of nobody, before anybody's; the digest of what it says.

    Args:
        ask: the model.
        schema: of the records.
        missing: places of features that some patient lacks.
        what: it is, for messages.
        seed: of the records.
        gaps: how a missing value is told.

    Raises:
        BadInput: it answers otherwise than a model does: see `chances`; or with labels, in another
            order, differently on two calls, or too slowly.
    """
    frame = framed(probes(schema, missing, seed), schema, gaps)
    began = time.monotonic()
    said = chances(ask, frame, what)
    took = (time.monotonic() - began) / len(frame)
    if took > SLOW:
        raise BadInput(
            f"{what}: takes {took:.2g} s a record, and attacks ask about hundreds of thousands; "
            f"expected at most {SLOW:g} s: take many records in one call"
        )
    if set(np.unique(said)) <= {0.0, 1.0}:
        raise BadInput(
            f"{what}: answers with labels, 0 or 1; expected probabilities of disease, as "
            "predict_proba gives them"
        )
    if (apart := np.abs(chances(ask, frame, what) - said).max()) > SAME:
        raise BadInput(
            f"{what}: answers the same records differently on two calls, by up to {apart:.2g}; "
            "expected a model whose answers repeat"
        )
    few = slice(None, -9, -1)  # the last first, and nobody else beside them
    if (apart := np.abs(chances(ask, frame[few], what) - said[few]).max()) > SAME:
        raise BadInput(
            f"{what}: answers in another order than it is asked in, or by what else is asked (by "
            f"up to {apart:.2g}); expected one answer a record, in the order of the records"
        )
    return hashlib.sha256(np.round(said, 6).tobytes()).hexdigest()


@dataclass(frozen=True)
class Module:
    """A module of torch's with its own preprocessing: records (B, D) in, one logit or two out.

    Attributes:
        module: takes float32 or float64 records in clinical units, NaN = missing.
        cut: log-odds from which on it calls ill.
    """

    module: torch.nn.Module
    cut: float = 0.0
    gradients = True

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (..., 1, B, 2) of records (..., 1, B, D), differentiable in them."""
        out = self.module(x.reshape(-1, x.shape[-1]))
        odds = out[:, 1] - out[:, 0] if out.dim() == 2 and out.shape[1] == 2 else out.reshape(-1)
        if odds.shape != (x[..., 0].numel(),):
            shape = " x ".join(map(str, out.shape))
            raise BadInput(
                f"model: a module that answers {x[..., 0].numel()} records with {shape}; expected "
                "one logit a record, or two"
            )
        odds = odds.view(x.shape[:-1]) - self.cut
        return torch.stack([torch.zeros_like(odds), odds], -1)

    def decide_at(self, cut: Tensor) -> "Module":
        """The same module, calling ill from other log-odds (1,) on."""
        return replace(self, cut=float(cut))

    def select(self, members: Tensor) -> "Module":
        """Itself: it is one."""
        return self

    def double(self) -> "Module":
        """The same numbers in float64."""
        return replace(self, module=deepcopy(self.module).double())


@dataclass(frozen=True)
class Foreign:
    """M models that are asked: a `Population` of scores, or of more as far as they were read.

    Attributes:
        asked: of each member, its own code.
        schema: of the records that it is asked about.
        labels: a readable name of each member.
        digest: of what they say of records of nobody.
        origin: what they are, for people and messages.
        facts: what the recipe says of itself, JSON-able.
        cut: (M,) float64, log-odds from which on a member calls ill.
        read: their structure; None = it could not be read.
        unread: why not.
        gaps: how they are told a missing value.
    """

    asked: tuple[Ask, ...]
    schema: Schema
    labels: tuple[str, ...]
    digest: str
    origin: str
    facts: dict[str, Any] = field(default_factory=dict)
    cut: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    read: Trees | Networks | Module | None = None
    unread: str = ""
    gaps: Gaps = "empty"

    def __post_init__(self) -> None:
        """Without a cut they decide at log-odds of 0."""
        if not len(self.cut):
            object.__setattr__(self, "cut", torch.zeros(self.size, dtype=torch.float64))

    @property
    def size(self) -> int:
        """The number of members M."""
        return len(self.labels)

    @property
    def gradients(self) -> bool:
        """Whether a network was read, along which gradients lead."""
        return self.read is not None and self.read.gradients

    @property
    def least_chance(self) -> float:
        """What a probability is taken for at least: of a mean of trees the same as of those."""
        mean = isinstance(self.read, Trees) and self.read.architecture.link == "probability"
        return OF_TREES if mean else LEAST_CHANCE

    @property
    def adds_float32(self) -> bool:
        """Whether what was read is of a library whose sums are no more exact than float32."""
        facts = self.read.facts if isinstance(self.read, Trees) else {}
        return str(facts.get("read_of", "")).lower().startswith("xgb")

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (..., M, B, 2) of records (..., M, B, D); along gradients, of what was read."""
        if x.requires_grad and self.read is not None:
            return self.read(x)
        every = x.detach().movedim(-3, 0)
        each = [self._of(number, records) for number, records in enumerate(every)]
        said = torch.stack(each) if each else torch.zeros(every.shape[:-1], dtype=torch.float64)
        odds = said.movedim(0, -2) - self.cut[:, None]
        return torch.stack([torch.zeros_like(odds), odds], -1).to(x.dtype)

    def _of(self, number: int, x: Tensor) -> Tensor:
        """(..., B) float64 log-odds of records (..., B, D): each different one is asked once."""
        rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]).float().numpy())
        as_bytes = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
        _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
        said = torch.from_numpy(self.chances(rows[first], number))
        least = self.least_chance
        return said.clamp(least, 1 - least).logit()[inverse].view(x.shape[:-1])

    def chances(self, x: Array, number: int = 0) -> Array:
        """(B,) float64: what a member says of records (B, D) float32, as they are typed."""
        return chances(self.asked[number], framed(x, self.schema, self.gaps), self.origin)

    def decide_at(self, cut: Tensor) -> Self:
        """The same models, calling ill from other log-odds (M,) on."""
        read = None if self.read is None else self.read.decide_at(cut)
        return replace(self, cut=cut.double(), read=read)

    def select(self, members: Tensor) -> Self:
        """The given members (indices or a mask) as a population of their own."""
        rows = torch.arange(self.size)[members].tolist()
        return replace(
            self,
            asked=tuple(self.asked[row] for row in rows),
            labels=tuple(self.labels[row] for row in rows),
            cut=self.cut[rows],
            read=None if self.read is None else self.read.select(torch.tensor(rows)),
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The members of several populations of one recipe, one after another."""
        read = [part.read for part in parts if isinstance(part.read, Trees | Networks)]
        return replace(
            parts[0],
            asked=tuple(ask for part in parts for ask in part.asked),
            labels=tuple(label for part in parts for label in part.labels),
            cut=torch.cat([part.cut for part in parts]),
            digest=hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest(),
            read=type(read[0]).join(read) if len(read) == len(parts) else None,  # type: ignore[arg-type]
        )

    def double(self) -> Self:
        """The same, what was read of them in float64."""
        return self if self.read is None else replace(self, read=self.read.double())

    def release(self) -> Self:
        """The model that is deployed: the one trained on everyone, or the only one."""
        place = self.labels.index(RELEASE) if RELEASE in self.labels else 0
        return self.select(torch.tensor([place]))

    def save(self, folder: Path) -> None:
        """Writes what they are and where they came from; their own code keeps itself."""
        kept = [ask.save(folder, number) for number, ask in enumerate(self.asked)]
        save_schema(self.schema, folder)
        described = {
            "kind": KIND,
            "labels": list(self.labels),
            "facts": self.facts,
            "digest": self.digest,
            "origin": self.origin,
            "cut": self.cut.tolist(),
            "kept": kept,
            "gaps": self.gaps,
        }
        write_json(folder / DESCRIPTION, described)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; each model is opened where it is kept when it is asked.

        Raises:
            BadInput: the description is missing or damaged; when it is asked, also where a model
                was not kept, or cannot be opened.
        """
        described, schema = read_json(folder / DESCRIPTION), load_schema(folder)
        return cls(
            tuple(Kept(one, described["origin"], folder, schema) for one in described["kept"]),
            schema,
            tuple(described["labels"]),
            described["digest"],
            described["origin"],
            described["facts"],
            torch.tensor(described["cut"], dtype=torch.float64),
            gaps=described["gaps"],
        )
