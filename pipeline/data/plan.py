"""Who trains on whom: two boolean tables, and a third where some are set aside to choose on."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.config import PlanConfig
from pipeline.data.folds import enough_for, stratified
from pipeline.data.known import trained_on
from pipeline.data.schema import SPLITS, Dataset
from pipeline.files import BadInput
from pipeline.seeds import Stream, generator, of, of_each, random_state

RELEASE = "release"
PLAN = "plan.safetensors"  # its file, in the folder of `prepare`


@dataclass(frozen=True)
class Plan:
    """One row per model, one column per patient.

    Attributes:
        train: (M, N) bool, who trains this model.
        held_out: (M, N) bool, whom this model may be scored on; never overlaps `train`.
        repetition: (M,) int64, which repetition of the cross-validation a model belongs to; -1 =
            none (the release model).
        seeds: (M,) int64, the seed of each model's initial weights and batch order.
        labels: a readable name of each model.
        tune: (M, N) bool, on whom each model's cut and recalibration are chosen: nobody whom it
            trains on or is scored on. None = nobody is set aside for that.

    Raises:
        ValueError: the tables overlap, or nobody is set aside for some model.
    """

    train: Tensor
    held_out: Tensor
    repetition: Tensor
    seeds: Tensor
    labels: tuple[str, ...]
    tune: Tensor | None = None

    def __post_init__(self) -> None:
        """Checks the table of those who are set aside."""
        if self.tune is None:
            return
        if (self.tune & (self.train | self.held_out)).any():
            raise ValueError("the tune table overlaps those trained on or held out")
        if not self.tune.any(1).all():
            raise ValueError("the tune table sets nobody aside for some model")

    @property
    def size(self) -> int:
        """The number of models M."""
        return len(self.labels)

    @classmethod
    def of(cls, dataset: Dataset, cfg: PlanConfig, seed: int) -> "Plan":
        """The configured plan of a data set: folds, the split that it comes with, or one model's.

        Raises:
            BadInput: there are too few records of a class, or no split came with them.
        """
        if cfg.kind == "official":
            if dataset.split is None:
                raise BadInput(
                    "plan.kind: official, but the data set names no split; take folds, or name "
                    "the column of the split as data.image.split"
                )
            return cls.official(dataset.split, seeds=cfg.seeds, seed=seed)
        if cfg.frozen:
            return cls.frozen(trained_on(dataset, cfg.trained_on), dataset.together, seed=seed)
        return cls.cross_validation(
            dataset.y,
            folds=cfg.folds,
            seeds=cfg.seeds,
            seed=seed,
            tune=cfg.tune,
            together=dataset.together,
        )

    @classmethod
    def cross_validation(
        cls,
        y: Tensor,
        *,
        folds: int,
        seeds: int,
        seed: int,
        release: bool = True,
        tune: float = 0.0,
        together: Tensor | None = None,
    ) -> "Plan":
        """Stratified `folds` x `seeds`, and one release model that trains on everyone.

        Args:
            y: (N,) class indices.
            folds: each patient is held out once per repetition.
            seeds: repetitions, each with its own partition.
            seed: of the partitions and of the models' own seeds.
            release: append the release model.
            tune: the share of each model's training records, the release model's too, that it does
                not train on, but is tuned on; 0 = none.
            together: (N,) int64, records of one number are held out by the same model; None =
                each by itself.

        Raises:
            BadInput: a class has fewer records than there are folds, or fewer groups of records
                that stay together.
        """
        enough_for(folds, y, together)
        held_out, labels = [], []
        for repetition in range(seeds):
            state = random_state(Stream.PARTITION, seed, repetition)
            for fold, test in enumerate(stratified(y, folds, state, together)):
                row = torch.zeros(len(y), dtype=torch.bool)
                row[torch.from_numpy(test)] = True
                held_out.append(row)
                labels.append(f"seed{repetition}-fold{fold}")
        table = torch.stack(held_out)
        repetitions = torch.arange(seeds).repeat_interleave(folds)
        own = of_each(Stream.CROSS_VALIDATION, seed, len(labels))
        plan = cls(~table, table, repetitions, own, tuple(labels))
        plan = plan.with_release() if release else plan
        return plan.with_tune(y, tune, together) if tune else plan

    @classmethod
    def official(cls, split: Tensor, *, seeds: int, seed: int) -> "Plan":
        """One model a seed, on the split that a data set came with; the first one is deployed.

        Args:
            split: (N,) int64, places in `pipeline.data.schema.SPLITS`: trained on, tuned on, or
                tested on.
            seeds: models, which differ by their seed alone.
            seed: of the models' own seeds.

        Raises:
            BadInput: nobody is trained on, or tested on.
        """
        train, tune, test = (split == place for place in range(len(SPLITS)))
        for name, who in zip(SPLITS, (train, tune, test), strict=True):
            if name != "tune" and not who.any():
                raise BadInput(f"plan.kind: official, but the data set has no records of {name}")
        return cls(
            train.expand(seeds, -1).clone(),
            test.expand(seeds, -1).clone(),
            torch.arange(seeds),
            of_each(Stream.OFFICIAL, seed, seeds),
            tuple(f"seed{number}" for number in range(seeds)),
            tune.expand(seeds, -1).clone() if tune.any() else None,
        )

    @classmethod
    def frozen(cls, train: Tensor, together: Tensor, *, seed: int) -> "Plan":
        """One model that was trained elsewhere, and is deployed.

        Args:
            train: (N,) bool, on whom; tested on are those who share no number with any of them.
            together: (N,) int64.
            seed: of what is drawn about it.

        Raises:
            BadInput: nobody is left to test on.
        """
        seen = torch.isin(together, together[train])
        if seen.all():
            raise BadInput("plan.trained_on: leaves nobody of the cohort to test on")
        seeds, first = of_each(Stream.OFFICIAL, seed, 1), torch.zeros(1, dtype=torch.int64)
        return cls(train[None].clone(), ~seen[None], first, seeds, (RELEASE,))

    @classmethod
    def random_halves(
        cls,
        records: int,
        *,
        models: int,
        seed: int,
        always: int = 0,
        together: Tensor | None = None,
    ) -> "Plan":
        """Each record joins each model by a fair coin of its own, as membership inference asks for.

        Args:
            records: N.
            models: M.
            seed: of the coins and of the models' own seeds.
            always: the first so many records are trained on by every model, and scored by none.
            together: (n,) int64 of the first n records: those of one number share a coin; None =
                none do.
        """
        coins = torch.rand(models, records, generator=generator(Stream.COINS, seed))
        if together is not None:
            coins[:, : len(together)] = coins[:, first_of(together)]
        train = coins < 0.5
        train[:, :always] = True
        return cls(
            train,
            ~train,
            torch.full((models,), -1),
            of_each(Stream.HALF, seed, models),
            tuple(f"half{model}" for model in range(models)),
        )

    def with_tune(self, y: Tensor, share: float, together: Tensor | None = None) -> "Plan":
        """This plan, but that each model trains on fewer: some of its rows are for choosing.

        Args:
            y: (N,) class indices.
            share: of each class of a model's training rows, at least one record; in 0 to 1.
            together: (N,) int64, records of one number are set aside together, and counted as one
                of the class of the first; None = each by itself.

        Raises:
            BadInput: a model would train on nobody of a class.
        """
        tune = torch.zeros_like(self.train)
        first = torch.arange(len(y)) if together is None else first_of(together)
        heads = first == torch.arange(len(y))
        for row, seed in enumerate(self.seeds.tolist()):
            drawn = generator(Stream.TUNE, seed)
            for label in y.unique().tolist():
                who = (self.train[row] & (y == label) & heads).nonzero()[:, 0]
                count = max(1, round(share * len(who)))
                if count >= len(who):
                    raise BadInput(
                        f"plan.tune: {share:g} leaves {self.labels[row]} no record of class "
                        f"{label} to train on; lower it"
                    )
                tune[row, who[torch.randperm(len(who), generator=drawn)[:count]]] = True
        tune = tune[:, first] & self.train
        return replace(self, train=self.train & ~tune, tune=tune)

    def sampled(
        self, y: Tensor, count: int | None, seed: int, among: Tensor | None = None
    ) -> "Plan":
        """This plan, but that only some patients are scored, the same by every repetition.

        Args:
            y: (N,) class indices.
            count: of each class its share of so many, rounded, at least one; None = everybody.
            seed: of the choice.
            among: (N,) bool, who may be chosen; None = everybody.
        """
        asked = torch.ones(len(y), dtype=torch.bool) if among is None else among
        if count is None or count >= int(asked.sum()):
            return self
        drawn, chosen = generator(Stream.SAMPLE, seed), torch.zeros(len(y), dtype=torch.bool)
        for label in y[asked].unique().tolist():
            who = ((y == label) & asked).nonzero()[:, 0]
            wanted = max(1, round(count * len(who) / int(asked.sum())))
            chosen[who[torch.randperm(len(who), generator=drawn)[:wanted]]] = True
        return replace(self, held_out=self.held_out & chosen)

    def narrowed(self, rows: Tensor) -> "Plan":
        """This plan for these records (indices) alone, numbered from 0; nobody is set aside."""
        return replace(self, train=self.train[:, rows], held_out=self.held_out[:, rows], tune=None)

    def without_tune(self) -> "Plan":
        """This plan, but that nobody is set aside: models choose on whom they train on."""
        return replace(self, tune=None)

    def with_release(self) -> "Plan":
        """This plan and one more model, trained on everyone and scored on no one.

        Raises:
            ValueError: records were set aside before, of which the new model would have none.
        """
        if self.tune is not None:
            raise ValueError("add the release model before records are set aside")
        everyone = torch.ones_like(self.train[:1])
        return Plan(
            torch.cat([self.train, everyone]),
            torch.cat([self.held_out, ~everyone]),
            torch.cat([self.repetition, torch.tensor([-1])]),
            torch.cat([self.seeds, torch.tensor([of(Stream.RELEASE, *self.seeds.tolist())])]),
            (*self.labels, RELEASE),
        )

    def inner(self) -> tuple["Plan", Tensor]:
        """Models that score each model's training rows without having trained on them.

        Of each pair of a repetition, one model on whom both train: held out are whom the other one
        of the pair holds out. A pair that trains on nobody in common, as of two folds, has none.

        Returns:
            the plan of these models, scored on no one, and (P, 2) int64, which rows of this plan
            are the pairs.
        """
        pairs = torch.tensor(
            [
                (one, other)
                for one in range(self.size)
                for other in range(one + 1, self.size)
                if self.repetition[one] == self.repetition[other] >= 0
            ],
            dtype=torch.int64,
        ).view(-1, 2)
        pairs = pairs[(self.train[pairs[:, 0]] & self.train[pairs[:, 1]]).any(1)]
        one, other = pairs.T
        train = self.train[one] & self.train[other]
        return (
            Plan(
                train,
                torch.zeros_like(train),
                torch.full_like(one, -1),
                torch.tensor(
                    [of(Stream.INNER_FOLD, *self.seeds[pair].tolist()) for pair in pairs],
                    dtype=torch.int64,
                ),
                tuple(f"{self.labels[a]} and {self.labels[b]}" for a, b in pairs.tolist()),
            ),
            pairs,
        )

    def with_second_seeds(self, models: int) -> "Plan":
        """This plan, and its first rows once more: who trains is the same, the seed is another.

        Models that differ by their seed alone show how much of a difference is the seed's.

        Args:
            models: how many rows, at most all.
        """
        again = self.select(torch.arange(models))
        seeds = torch.tensor([of(Stream.AGAIN, seed) for seed in again.seeds.tolist()])
        return Plan(
            torch.cat([self.train, again.train]),
            torch.cat([self.held_out, again.held_out]),
            torch.cat([self.repetition, again.repetition]),
            torch.cat([self.seeds, seeds]),
            (*self.labels, *(f"{label}-again" for label in again.labels)),
            None if self.tune is None else torch.cat([self.tune, self.tune[:models]]),
        )

    def select(self, members: Tensor) -> "Plan":
        """The rows `members` (indices or a mask) as a plan of their own."""
        rows = torch.arange(self.size)[members]
        labels = tuple(self.labels[row] for row in rows.tolist())
        return Plan(
            self.train[rows],
            self.held_out[rows],
            self.repetition[rows],
            self.seeds[rows],
            labels,
            None if self.tune is None else self.tune[rows],
        )

    def scored(self) -> Tensor:
        """(M,) bool: the models that hold somebody out."""
        return self.held_out.any(1)

    def held_out_index(self) -> tuple[Tensor, Tensor]:
        """Whom each model is scored on, as a rectangle.

        Returns:
            index (M, B) int64 into the patients, and valid (M, B) bool: False where a shorter row
                was filled up.
        """
        return rectangle(self.held_out)

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        return read_artifact(path, cls, what="a plan", advice="run `dvc repro prepare`")


def first_of(together: Tensor) -> Tensor:
    """(N,) int64: for each record the first one of its number."""
    _, number = together.unique(return_inverse=True)
    place = torch.arange(len(together))
    first = torch.full((int(number.max()) + 1,), len(together))
    return first.scatter_reduce_(0, number, place, "amin")[number]


def rectangle(table: Tensor) -> tuple[Tensor, Tensor]:
    """The True columns of each row of a boolean (M, N) table, filled up with the row's first.

    Returns:
        index (M, B) int64 and valid (M, B) bool.
    """
    width = int(table.sum(1).max())
    order = torch.argsort(table.byte(), dim=1, descending=True, stable=True)[:, :width]
    valid = table.gather(1, order)
    return torch.where(valid, order, order[:, :1]), valid
