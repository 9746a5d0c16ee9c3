"""Verdicts on single patients under salted digests of their records, for the team alone.

They are no part of `audit.json` and of nothing that is handed on. Whoever holds this file without
the salt learns how many patients are alike in what was found, and nothing of whom. Whoever holds
the salt and a whole record learns whether that patient was in the cohort, whether ill, and what
was found: the salt is as secret as the cohort.
"""

import hmac
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.files import BadInput
from pipeline.gate.addresses import SIX_DIGITS, eps_of, short
from pipeline.gate.audits import Audit

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.data.schema import Dataset

FILE, FORMAT = "keyed.json", 1
LETTERS = 16  # of a key: 64 bits
SAME_RADIUS = 1e-6  # a record that breaks at a radius breaks within it, whatever the last digit
Verdicts = Mapping[str, Mapping[str, Mapping[str, float]]]  # defense -> figure -> key -> value

# Figures of the page that are means over patients: of which class, and whether of wrong answers.
MEANS: Mapping[str, tuple[int | None, bool]] = {
    "missed_diagnoses_under_attack": (1, True),
    "right_answers_under_attack": (None, False),
    "missed_diagnoses_without_attack": (1, True),
    "false_alarms_without_attack": (0, True),
}


@dataclass(frozen=True)
class Keyed:
    """Verdicts on single patients.

    Attributes:
        salt: a digest of the salt, so that files of two salts are not held against each other.
        verdicts: by defense, by the short name of a figure of the page, by key: what the figure is
            the mean of.
    """

    salt: str
    verdicts: Verdicts

    @classmethod
    def beside(cls, audit: Audit) -> "Keyed | None":
        """Those that lie beside an audit; None: none do.

        Raises:
            BadInput: they are damaged, or of another audit.
        """
        path = audit.path.parent / FILE
        if not path.exists():
            return None
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != FORMAT or told["audit_sha256"] != audit.sha256:
                raise BadInput(f"{path}: not of the audit beside it")
            return cls(told["salt"], told["verdicts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path}: cannot be read ({' '.join(str(error).split())})") from error


def keys_of(dataset: "Dataset", names: list[str], salt: bytes) -> list[str]:
    """A key for each record, of its measurements alone; empty: it is not the only one like it.

    HMAC-SHA256, so that nobody without the salt can try records out.
    """
    import numpy as np

    x = dataset.x.flatten(1).numpy().astype(np.float32)
    x = np.where(np.isnan(x), np.float32("nan"), x + np.float32(0))  # one NaN, one zero
    head = json.dumps(names).encode()
    keys = [hmac.digest(salt, head + row.tobytes(), "sha256").hex()[:LETTERS] for row in x]
    seen = Counter(keys)
    return ["" if seen[key] > 1 else key for key in keys]


def salt_digest(salt: bytes) -> str:
    """Of the salt itself, which it does not give away."""
    return hmac.digest(salt, b"medsecure salt", "sha256").hex()[:LETTERS]


def keyed_text(audit: Audit, dataset: "Dataset", names: list[str], salt: bytes) -> str:
    """The content of the file: the same audit and salt are the same bytes.

    Raises:
        BadInput: a patient has several records, or no figure is a mean of the verdicts that lie
            beside the audit.
    """
    import pandas as pd

    if dataset.records_of_a_patient > 1:
        raise BadInput("keep: patients have several records, and a key is of one")
    threat = audit.content["audited"]["threats"]["headline"]
    keys = keys_of(dataset, names, salt)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for defense in audit.defenses:
        path = audit.path.parent / "verdicts" / f"{defense}.parquet"
        if path.exists():
            table = pd.read_parquet(path)
            told = _verdicts(audit, defense, table[table["threat"] == threat], keys)
            found |= {defense: told} if told else {}
    if not found:
        raise BadInput(
            f"{audit.path.parent}: no verdicts on single patients that add up to figures"
        )
    content = {
        "format": FORMAT,
        "audit_sha256": audit.sha256,
        "salt": salt_digest(salt),
        "verdicts": found,
    }
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _verdicts(
    audit: Audit, defense: str, table: "pd.DataFrame", keys: list[str]
) -> dict[str, dict[str, float]]:
    """By figure and key; a figure that is not the mean of its verdicts is left out."""
    found: dict[str, dict[str, float]] = {}
    for line in audit.content["figures"]:
        name, eps = short(line["figure"]), eps_of(line["figure"]) or 0.0
        if line["defense"] != defense or name not in MEANS or line["value"] is None:
            continue
        of, wrong = MEANS[name]
        rows = table if of is None else table[table["y"] == of]
        right = (rows["margin"] > 0) & ((eps == 0) | (rows["breaks_at"] > eps * (1 + SAME_RADIUS)))
        each: Any = right.groupby(rows["patient"]).mean()
        each = 1 - each if wrong else each
        if len(each) and abs(float(each.mean()) - line["value"]) <= SIX_DIGITS:
            told = {keys[int(place)]: round(float(one), 6) for place, one in each.items()}
            found[name] = {key: one for key, one in told.items() if key}
    return found


def keep(audit: Audit, text: str, place: Path) -> None:
    """Writes an audit and its keyed verdicts into a folder of their own, for its owner's eyes.

    Raises:
        BadInput: something is there already, or it cannot be written.
    """
    try:
        place.mkdir(parents=True)
        place.chmod(0o700)
        (place / "audit.json").write_bytes(audit.path.read_bytes())
        (place / FILE).write_text(text, encoding="utf-8")
        (place / ".gitignore").write_text(f"{FILE}\n", encoding="utf-8")
    except FileExistsError:
        raise BadInput(f"{place}: is there already; nothing is overwritten") from None
    except OSError as error:
        raise BadInput(f"{place}: cannot write ({error.strerror or error})") from error
