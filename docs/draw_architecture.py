"""Draws the floors of the house into docs/architecture.md, from the import contracts.

Command:  python docs/draw_architecture.py

`lint-imports` enforces the contracts of pyproject.toml; this picture is drawn from the same lines,
and a test fails when it is not current.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by docs/draw_architecture.py -->", "<!-- end of the drawing -->"


def contracts() -> list[dict[str, Any]]:
    """The import contracts of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def floors(contract: dict[str, Any]) -> list[list[str]]:
    """The rooms of a contract of layers, top floor first."""
    return [re.split(r" *[:|] *", layer.strip("()")) for layer in contract["layers"]]


def drawing() -> str:
    """A Mermaid picture of each contract of layers, and a line for each forbidden import."""
    pictures, lines = [], []
    for contract in contracts():
        if contract["type"] == "layers":
            pictures.append(_picture(contract))
        elif contract["type"] == "forbidden":
            what = _names(contract["forbidden_modules"])
            may = sorted({line.split(" ")[0] for line in contract.get("ignore_imports", [])})
            who = (
                f"only {_names(may)} may"
                if may
                else f"{_names(contract['source_modules'])} may not"
            )
            lines.append(f"- {contract['name']}: {who} import {what}.")
    return "\n\n".join([BEGIN, *pictures, "\n".join(lines), END])


def _picture(contract: dict[str, Any]) -> str:
    rooms = floors(contract)
    drawn = ["```mermaid", "---", f'title: "{contract["name"]}"', "---", "flowchart TB"]
    for number, floor in enumerate(rooms):
        drawn.append(f'  floor{number}["{" · ".join(_plain(room) for room in floor)}"]')
    drawn += [f"  floor{number} --> floor{number + 1}" for number in range(len(rooms) - 1)]
    return "\n".join([*drawn, "```"])


def _short(module: str) -> str:
    return module.removeprefix("pipeline.").removesuffix(".*")


def _names(modules: list[str]) -> str:
    return ", ".join(f"`{_short(module)}`" for module in modules)


def _plain(room: str) -> str:
    """Mermaid reads `__main__` as bold."""
    return room.replace("__main__", "main")


def main() -> None:
    """Writes the drawing between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(before + drawing() + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
