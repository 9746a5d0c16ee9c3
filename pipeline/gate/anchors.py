"""The file and the line that set a gate, so that whoever reads a failure lands there."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Place:
    """A line, from 1, of a file, as a path from the root of the repository."""

    file: str
    line: int


def places_of(gates: Mapping[str, Any], folders: Sequence[Path], root: Path) -> dict[str, Place]:
    """Where each gate stands in `gate/*.yaml`; one that an override made stands nowhere.

    Of several files that have a gate of the name, the first whose gate says the same as what was
    composed, else the first.

    Args:
        gates: by name, as composed.
        folders: `conf/` of the project, then the package's.
        root: of the repository; a file outside it has no line that its readers could see.
    """
    found: dict[str, Place] = {}
    same: set[str] = set()
    for file in (file for one in folders for file in sorted((one / "gate").glob("*.yaml"))):
        if not file.resolve().is_relative_to(root.resolve()):
            continue
        place = Path(os.path.relpath(file.resolve(), root.resolve())).as_posix()
        for name, line, content in _entries(file):
            if name not in gates or name in same:
                continue
            if content == gates[name]:
                same.add(name)
                found[name] = Place(place, line)
            else:
                found.setdefault(name, Place(place, line))
    return found


def _entries(file: Path) -> list[tuple[str, int, Any]]:
    """Key, line and content of each entry of a mapping; nothing of what cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
        node, values = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    if not isinstance(node, yaml.MappingNode):
        return []
    return [
        (str(key.value), key.start_mark.line + 1, values.get(key.value)) for key, _ in node.value
    ]
