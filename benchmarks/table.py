"""What people read of the results, and how a partial run joins an earlier one."""

from collections.abc import Sequence
from typing import Any


def merged(
    earlier: list[dict[str, Any]], fresh: list[dict[str, Any]], order: list[str]
) -> list[dict[str, Any]]:
    """All entries in the order of the cases; a fresh one replaces that of its case and peer."""
    by_key = {
        (entry["case"], entry["peer"]): entry
        for entry in [*earlier, *fresh]
        if entry["case"] in order
    }
    return sorted(by_key.values(), key=lambda entry: order.index(entry["case"]))


def case_table(entries: list[dict[str, Any]]) -> str:
    """One line per case and peer."""
    head = ["case", "peer", "ours", "peer", "ratio", "target", "quality ours", "peer", "better"]
    lines = [
        [
            entry["case"],
            entry["peer"],
            duration(entry["ours_s"]),
            duration(entry["peer_s"]),
            f"{entry['ratio']:.1f}x",
            f"{entry['target']:g}x" + ("" if entry["ratio"] >= entry["target"] else " missed"),
            f"{entry['quality_ours']:.4f}",
            f"{entry['quality_peer']:.4f}",
            entry["better"],
        ]
        for entry in entries
    ]
    return table(head, lines, left=2)


def duration(seconds: float) -> str:
    """Seconds or milliseconds, three digits."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    """Columns of text; the first `left` are flush left, the others flush right."""
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]

    def aligned(line: Sequence[str]) -> str:
        cells = [cell.ljust(width) for cell, width in zip(line[:left], widths, strict=False)]
        cells += [cell.rjust(width) for cell, width in zip(line[left:], widths[left:], strict=True)]
        return "  ".join(cells)

    return "\n".join(aligned(line) for line in [head, ["-" * width for width in widths], *lines])
