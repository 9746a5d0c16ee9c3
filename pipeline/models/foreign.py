"""Models of somebody else as a population: they are asked about records, and what they say is held.

Each is asked as its own code is: a data frame of records in clinical units goes in, probabilities
of disease come out, and nothing else is trusted. What could be read of a model's structure
(`pipeline.models.reading`) serves gradients and proofs; its own answers have the last word.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.data.plan import RELEASE
from pipeline.data.schema import Dataset, Schema, load_schema, save_schema
from pipeline.files import BadInput, read_json, write_json
from pipeline.models.first_call import acquainted, digest_of
from pipeline.models.networks import Networks
from pipeline.models.questions import Ask, Gaps, chances, framed
from pipeline.models.recipes import ENDING, Recipe
from pipeline.models.stacked import DESCRIPTION
from pipeline.models.torch_module import Module
from pipeline.models.trees import LEAST_CHANCE as OF_TREES
from pipeline.models.trees import Trees
from pipeline.statistics import Array

KIND = "foreign"
READ = "read"  # where, beside it, its structure lies: files of ours alone
LEAST_CHANCE = 1e-12  # what a probability is taken for at least, and one minus it at most


@dataclass(frozen=True)
class Kept:
    """A model that is opened when it is first asked."""

    source: str | None
    origin: str
    folder: Path
    schema: Schema

    @property
    def recipe(self) -> Recipe | None:
        """By which it is fitted again, where that is all that was kept."""
        of_recipe = self.source is not None and self.source.endswith(ENDING)
        return Recipe.load(self.folder / str(self.source)) if of_recipe else None

    @cached_property
    def _opened(self) -> Ask:
        from pipeline.models.opening import opened

        if self.source is None:
            raise BadInput(
                f"{self.folder}: {self.origin}: is a function, and not kept between stages; give "
                "estimators whose parts are scikit-learn's own"
            )
        if self.source.endswith(ENDING):
            raise BadInput(
                f"{self.folder}: {self.origin}: is kept as its recipe, because models of its kind "
                "hold records or are not opened safely; the stages fit it again"
            )
        return opened(self.source, self.schema, self.folder)

    def __call__(self, frame: pd.DataFrame) -> Any:
        """What the opened model says."""
        return self._opened(frame)

    def save(self, folder: Path, number: int) -> str | None:
        """Likewise."""
        return self._opened.save(folder, number)


@dataclass(frozen=True)
class Foreign:
    """M models that are asked: a `Population` of scores, or of more as far as they were read.

    Attributes:
        asked: of each member, its own code.
        schema: of the records that it is asked about.
        labels: a readable name of each member.
        digest: of what they say of records of nobody that lack nothing.
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

    @classmethod
    def met(
        cls,
        ask: Ask,
        dataset: Dataset,
        origin: str,
        *,
        gaps: Gaps = "empty",
        label: str = RELEASE,
        said: Array | None = None,
    ) -> Self:
        """One model, after its first call.

        Args:
            ask: the model.
            dataset: the records that it will be asked about.
            origin: what it is, for people and messages.
            gaps: how it is told a missing value.
            label: a readable name.
            said: what it said at its first call; None = this is the first.

        Raises:
            BadInput: as `acquainted`.
        """
        said = acquainted(ask, dataset, origin, gaps) if said is None else said
        return cls((ask,), dataset.schema, (label,), digest_of(said), origin, gaps=gaps)

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
        structure = self.read if isinstance(self.read, Trees | Networks) else None
        if structure is not None:
            (folder / READ).mkdir()
            structure.save(folder / READ)
        described = {
            "kind": KIND,
            "labels": list(self.labels),
            "facts": self.facts,
            "digest": self.digest,
            "origin": self.origin,
            "cut": self.cut.tolist(),
            "kept": kept,
            "gaps": self.gaps,
            "read": type(structure).__name__ if structure is not None else "",
            "unread": self.unread,
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
        read: Trees | Networks | None = None
        if kind := described.get("read"):
            read = Trees.load(folder / READ) if kind == "Trees" else Networks.load(folder / READ)
        return cls(
            tuple(Kept(one, described["origin"], folder, schema) for one in described["kept"]),
            schema,
            tuple(described["labels"]),
            described["digest"],
            described["origin"],
            described["facts"],
            torch.tensor(described["cut"], dtype=torch.float64),
            read=read,
            unread=described.get("unread", ""),
            gaps=described["gaps"],
        )
