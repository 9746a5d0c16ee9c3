"""What is kept of the copies of one recipe's models."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.files import BadInput

ROWS, ANSWERS = "copies.parquet", "answers.safetensors"


@dataclass(frozen=True)
class Theft:
    """What is reported of one recipe; every figure is a function of it.

    Attributes:
        rows: one row per copy: `strategy, api, access, surrogate, budget, queries` (as the oracle
            counted), `victim`.
        log_odds: (R, N) float32, of class 1, what each copy says of each patient.
        broken: (R, N) bool, test patients only: the victim is wrong about the record that was made
            on the copy.
        agrees: (R, U) bool, whether copy and victim give a uniformly drawn record the same class.
        member: (V, N) bool, who trained each victim.
        test: (V, N) bool, who neither trained it nor was the attacker's; under an official split
            its test records, of whom figures are made, and some of its training records, beside
            whom members are told apart.
        y: (N,) class indices.
        victims: for `plain` and, if tried, `ensemble` (V, N) float32 log-odds of class 1.
        direct: likewise (V, N) bool, `broken` by the same attack on the victim itself.
        shown: for each "api/access" (V, N) float32, the chance of class 1 that an honest user is
            told.
    """

    rows: pd.DataFrame
    log_odds: Tensor
    broken: Tensor
    agrees: Tensor
    member: Tensor
    test: Tensor
    y: Tensor
    victims: dict[str, Tensor]
    direct: dict[str, Tensor]
    shown: dict[str, Tensor]

    def save(self, folder: Path) -> None:
        """Writes `copies.parquet` and `answers.safetensors` into a new folder."""
        folder.mkdir(parents=True)
        self.rows.to_parquet(folder / ROWS, index=False, compression="zstd")
        write_artifact(folder / ANSWERS, self, beside=["rows"])

    @classmethod
    def load(cls, folder: Path) -> "Theft":
        """Reads what `save` wrote.

        Raises:
            BadInput: a file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro theft`"
        try:
            rows = pd.read_parquet(folder / ROWS)
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder / ROWS}: cannot be read ({error}); {advice}") from error
        return read_artifact(
            folder / ANSWERS, cls, what="answers of copies", advice=advice, rows=rows
        )
