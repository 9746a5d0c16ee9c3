"""A frozen dataclass of tensors and facts as one safetensors file, and back, bit for bit.

Fields are `Tensor`, `Tensor | None` (None leaves no trace), `dict[str, Tensor]`, or facts: whatever
JSON can hold, dataclasses included.
Facts, and the order of dictionaries, stand in the file's metadata under one key, because several
keys have no order of their own there.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter
from torch import Tensor

from pipeline.files import BadInput, read_json, read_tensors, write_json, write_tensors

FACTS = "facts"
OPTIONAL = Tensor | None
Kind = TypeVar("Kind")


def write_artifact(
    path: Path, result: Any, *, facts: Path | None = None, beside: Collection[str] = ()
) -> None:
    """Writes a dataclass.

    Args:
        path: of the safetensors file; its folder exists.
        result: the dataclass.
        facts: JSON file that takes the facts, for people to read; None = into the metadata.
        beside: fields that the caller writes elsewhere.
    """
    tensors: dict[str, Tensor] = {}
    others: dict[str, Any] = {}
    for name, hint in _hints(type(result), beside).items():
        value = getattr(result, name)
        if hint is Tensor or (hint == OPTIONAL and value is not None):
            tensors[name] = value
        elif hint == OPTIONAL:
            continue
        elif hint == dict[str, Tensor]:
            tensors |= {f"{name}.{key}": one for key, one in value.items()}
            others[name] = list(value)
        else:
            others[name] = value
    text = json.dumps(others, allow_nan=False, default=asdict)
    if facts is not None:
        write_json(facts, json.loads(text))
    write_tensors(path, tensors, {FACTS: text} if others and facts is None else None)


def read_artifact(
    path: Path,
    kind: type[Kind],
    *,
    what: str,
    advice: str,
    facts: Path | None = None,
    **beside: Any,
) -> Kind:
    """Reads what `write_artifact` wrote.

    Args:
        path: of the safetensors file.
        kind: the dataclass.
        what: it is, for the message: `not <what>`.
        advice: what to do about a file that is missing or wrong.
        facts: as in `write_artifact`.
        beside: the fields that were written elsewhere.

    Raises:
        BadInput: a file is missing, damaged, or holds something else.
    """
    tensors, metadata = read_tensors(path, advice)
    try:
        others = read_json(facts) if facts else json.loads(metadata.get(FACTS, "{}"))
        values = dict(beside)
        for name, hint in _hints(kind, beside).items():
            if hint is Tensor:
                values[name] = tensors.pop(name)
            elif hint == OPTIONAL:
                values[name] = tensors.pop(name, None)
            elif hint == dict[str, Tensor]:
                values[name] = {key: tensors.pop(f"{name}.{key}") for key in others.pop(name)}
            else:
                values[name] = TypeAdapter(hint).validate_python(others.pop(name))
        if unknown := [*tensors, *others]:
            raise ValueError(f"it holds {', '.join(unknown)}")
        return kind(**values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BadInput(f"{path}: not {what} ({' '.join(reason.split())}); {advice}") from error


def _hints(kind: Any, beside: Collection[str]) -> dict[str, Any]:
    """The type of each field, in order, but for those kept elsewhere."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind) if one.name not in beside}
