"""An audit as it lies in a folder: `audit.json`, and the tables beside it where there are any."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline.files import BadInput, sha256
from pipeline.presentation import SCHEMA_VERSION

FILE, FORMAT = "audit.json", 1
NEEDED = ("audited", "figures", "flags")
Row = Mapping[str, str]


@dataclass(frozen=True)
class Audit:
    """What an audit says.

    Attributes:
        path: of `audit.json`.
        content: what it holds.
    """

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, place: Path) -> "Audit":
        """From a file, or from the folder that it lies in.

        Raises:
            BadInput: there is none, or it is none that this version reads.
        """
        path = place / FILE if place.is_dir() else place
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BadInput(
                f"{path}: not found; `medsecure run` makes one; of `medsecure audit` give --audit "
                "sweeps/<key>/evaluation, the folder of its page"
            ) from None
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
        if not isinstance(content, dict) or any(key not in content for key in NEEDED):
            raise BadInput(f"{path}: no audit of medsecure: {', '.join(NEEDED)} are expected in it")
        if content.get("format") != FORMAT:
            raise BadInput(f"{path}: of format {content.get('format')}, not {FORMAT}")
        if content.get("figures_version") != SCHEMA_VERSION:
            raise BadInput(
                f"{path}: figures of version {content.get('figures_version')}, not"
                f" {SCHEMA_VERSION}: their names or what they mean have changed (docs/names.md)"
            )
        return cls(path, content)

    @cached_property
    def sha256(self) -> str:
        """The digest of the file."""
        return sha256(self.path)

    @property
    def cohort(self) -> str:
        """The name of the data."""
        return str(self.content["audited"]["cohort"]["name"])

    @property
    def words(self) -> Mapping[str, str]:
        """What stands for a clinic's words; empty: these themselves."""
        return dict(self.content["audited"]["cohort"].get("words", {}))

    @property
    def defenses(self) -> Sequence[str]:
        """Whose figures it holds."""
        return list(self.content["audited"]["models"]["defenses"])

    @property
    def threats(self) -> Sequence[str]:
        """The threat models that it knows."""
        return list(self.content["audited"]["threats"]["names"])

    @property
    def reviewed(self) -> bool:
        """Whether a person signed the threat model."""
        return bool(self.content["audited"]["threats"]["reviewed"])

    @property
    def patients(self) -> int | None:
        """Of the cohort; None: a count that is not told."""
        told = self.content["audited"]["cohort"]["patients"]
        return None if told is None else int(told)

    @property
    def confidence(self) -> float:
        """Of its intervals."""
        return float(self.content["audited"]["confidence"])

    def model_sha256(self, defense: str) -> str:
        """The digest of a defense's trained models; empty: the audit does not say."""
        return str(self.content["audited"]["models"].get("sha256", {}).get(defense, ""))

    def release_sha256(self, defense: str) -> str:
        """The digest of the one of these models that is deployed; empty: the audit does not say."""
        return str(self.content["audited"]["models"].get("release_sha256", {}).get(defense, ""))

    @property
    def headline(self) -> tuple[str, Mapping[str, Any]]:
        """The threat model of its first figures: name and content; empty where it does not say."""
        threats = self.content["audited"]["threats"]
        return str(threats["headline"]), threats.get("described", {})

    def flags(self, defense: str) -> dict[str, str]:
        """What speaks against the figures of a defense: flag -> evidence."""
        told = self.content["flags"]
        return {one["flag"]: one["evidence"] for one in told if one["defense"] == defense}

    @property
    def tables(self) -> Sequence[str]:
        """The names of the tables beside it."""
        return sorted(path.stem for path in self.path.parent.glob("*.csv"))

    def rows(self, table: str) -> Sequence[Row]:
        """The rows of a table beside it, as text."""
        return _rows(self.path.parent / f"{table}.csv")

    def columns(self, table: str) -> Sequence[str]:
        """The columns of a table beside it."""
        rows = self.rows(table)
        return list(rows[0]) if rows else []


@cache
def _rows(path: Path) -> Sequence[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
