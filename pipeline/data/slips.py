"""Records that break what their own data set says of its values."""

from dataclasses import dataclass

import torch

from pipeline.data.relations import Relations
from pipeline.data.schema import Dataset


@dataclass(frozen=True)
class Slips:
    """How many records break what is said; they stay, and may break it as far as they do.

    Attributes:
        break_relation: by the relation, as written.
        differ_from_formula: by the name of what is derived, records that hold another value.
    """

    break_relation: dict[str, int]
    differ_from_formula: dict[str, int]

    @classmethod
    def of(cls, dataset: Dataset) -> "Slips":
        """Counts them in records (N, D)."""
        schema = dataset.schema
        step = torch.tensor([one.step or 0.0 for one in schema.features], dtype=torch.float64)
        unlimited = torch.full_like(step, torch.inf)
        relations = Relations.of_schema(schema, step, (-unlimited, unlimited))
        if relations is None:
            return cls({}, {})
        broken, differ = relations.exceptions(dataset.x)
        return cls(
            dict(zip(schema.relations, broken, strict=True)),
            {schema.names[place]: count for place, count in differ.items()},
        )

    @property
    def remarks(self) -> list[str]:
        """One line for each kind of thing that was found."""
        kinds = {
            "records break a relation": self.break_relation,
            "records differ from their formula": self.differ_from_formula,
        }
        said = []
        for what, counts in kinds.items():
            each = ", ".join(f"{name} ({count})" for name, count in counts.items() if count)
            if each:
                said.append(f"{what}, and may as far as they do: {each}")
        return said
