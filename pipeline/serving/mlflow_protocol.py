"""MLflow's scoring protocol (`/invocations`): its shapes into records, replies into its shape."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.files import BadInput
from pipeline.serving.bodies import Invocation

DECISION = "decision"  # the column of `pipeline.serving.release`


def frame_of(asked: Invocation) -> list[Any]:
    """The records of a request, in order.

    Raises:
        BadInput: columns and rows do not fit each other.
    """
    if asked.dataframe_records is not None:
        return list(asked.dataframe_records)
    if (split := asked.dataframe_split) is not None:
        if len(set(split.columns)) < len(split.columns):
            raise BadInput("dataframe_split.columns: a name stands there twice")
        for number, row in enumerate(split.data):
            if len(row) != len(split.columns):
                raise BadInput(
                    f"dataframe_split.data: row {number}: {len(row)} values, expected "
                    f"{len(split.columns)}"
                )
        return [dict(zip(split.columns, row, strict=True)) for row in split.data]
    given = asked.instances if asked.instances is not None else asked.inputs
    if not isinstance(given, dict):
        return list(given or [])
    lengths = {len(column) for column in given.values()}
    if len(lengths) > 1:
        raise BadInput(f"columns of different lengths: {', '.join(map(str, sorted(lengths)))}")
    return [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]


def predictions_of(
    told: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """One row for each record, as the registered model gives it; what is not told is null.

    `referred` and `refused` say why there is no decision.
    """
    return [_row(said, classes) for said in told]


def _row(said: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    healthy, ill = classes
    chance = said.get("probability")
    return {
        healthy: None if chance is None else round(1 - chance, 12),
        ill: chance,
        DECISION: said.get("decision"),
        **{key: said[key] for key in ("id", "referred", "refused") if key in said},
    }
