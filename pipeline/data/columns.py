"""What is wrong with a column as a whole, before anything is trained on it."""

from dataclasses import dataclass

import torch

from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import BadInput
from pipeline.statistics.separation import auroc

LEAK = 0.99  # AUROC of one column alone, from which on it is taken for the outcome in other words


@dataclass(frozen=True)
class Columns:
    """What a person should look at before believing a figure.

    Attributes:
        constant: names of the columns that hold one value only, and that value.
        alone: names of the columns that tell the classes apart by themselves, and their AUROC,
            missing values left out, high or low values being those of the ill.
    """

    constant: dict[str, float]
    alone: dict[str, float]

    @classmethod
    def of(cls, dataset: Dataset) -> "Columns":
        """Looks at every column of records (N, D); images have none to look at."""
        if dataset.schema.image:
            return cls({}, {})
        constant, alone = {}, {}
        for name, values in zip(dataset.schema.names, dataset.x.T, strict=True):
            known = ~values.isnan()
            cells, ill = values[known].double().numpy(), (dataset.y[known] == 1).numpy()
            if not len(cells):
                continue
            if cells.min() == cells.max():
                constant[name] = float(cells[0])
                continue
            area = auroc(cells[ill], cells[~ill])
            if max(area, 1 - area) >= LEAK:
                alone[name] = round(max(area, 1 - area), 4)
        return cls(constant, alone)

    @property
    def remarks(self) -> list[str]:
        """One line for each kind of thing that was found."""
        said = []
        if self.constant:
            held = ", ".join(f"{name} ({value:g})" for name, value in self.constant.items())
            said.append(f"one value only, so it counts for nothing: {held}")
        if self.alone:
            areas = ", ".join(f"{name} (AUROC {area:.3f})" for name, area in self.alone.items())
            said.append(
                f"suspected_leak: tells the classes apart all by itself: {areas}; is it "
                "known before the outcome is?"
            )
        return said


def refuse_unmeasured(dataset: Dataset, plan: Plan, origin: str) -> None:
    """Refuses columns that some model of the plan would never see a value of.

    Args:
        dataset: N records.
        plan: who trains.
        origin: where the records come from, for the message.

    Raises:
        BadInput: a column without any value among the training rows of a model; the message names
            it, the model, and how many values there are at all.
    """
    known = ~dataset.x.flatten(1).isnan()
    seen = plan.train.float() @ known.float()
    never = torch.nonzero(seen == 0).tolist()
    if dataset.schema.image or not never or not plan.train.any():  # nobody trains: a frozen model
        return
    member, column = never[0]
    others = len({place for _, place in never}) - 1
    more = f" (and {others} other columns)" if others else ""
    raise BadInput(
        f"{origin}: column {dataset.schema.names[column]!r}: no value among the training rows of "
        f"{plan.labels[member]} ({int(known[:, column].sum())} of {len(known)} measured){more}; "
        "drop it, or lower plan.folds"
    )
