"""What is proved about each patient, as data: nine tensors, written and read as safetensors."""

from dataclasses import dataclass, fields
from pathlib import Path

from torch import Tensor

from pipeline.files import BadInput, read_tensors, write_tensors

ADVICE = "run `dvc repro` to make it"


@dataclass(frozen=True)
class Verified:
    """What is proved about each patient under one threat model.

    S repetitions x N patients, each judged by the model that did not train on them.

    Attributes:
        patients: (N,) int64, row of the data set.
        y: (N,) int64, class indices; class 1 = disease present.
        margin: (S, N) float64, of the true class on the unchanged record, in logits.
        robust_below: (S, N) float64, no record nearer than this changes the answer (proved), in units of scale; 0 = already
            wrong; inf = none up to the largest radius looked at.
        breaks_at: (S, N) float64, distance of the nearest record found that does; inf = none. robust_below <= breaks_at;
            equal = exact.
        counterexample: (S, N, D) float32, that record in clinical units; the record itself where there is none. NaN = missing.
        counter_margin: (S, N) float64, margin there.
        alone: (S, N, D) float64, the smallest change of this measurement alone, in units of scale, that changes the answer,
            anywhere in its plausible range; inf = none; NaN = not mutable or missing.
        alone_value: (S, N, D) float64, the value it takes then; NaN = none.
    """

    patients: Tensor
    y: Tensor
    margin: Tensor
    robust_below: Tensor
    breaks_at: Tensor
    counterexample: Tensor
    counter_margin: Tensor
    alone: Tensor
    alone_value: Tensor

    def save(self, path: Path) -> None:
        """Writes the tensors as safetensors."""
        write_tensors(path, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Verified":
        """Reads what `save` wrote, bit for bit.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        tensors, _ = read_tensors(path, ADVICE)
        expected = {field.name for field in fields(cls)}
        if set(tensors) != expected:
            raise BadInput(f"{path}: not what was proved about patients (it holds {', '.join(sorted(tensors))}); {ADVICE}")
        return cls(**tensors)
