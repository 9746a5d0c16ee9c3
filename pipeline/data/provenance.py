"""Where scans come from: digests signed at the source, and held against what is read later.

A detector of forged scans can be fooled; a digest cannot. Whoever takes the scans signs one list of
their digests (Ed25519), and every later reading refuses a scan that is not on it. The list vouches
for what was signed, not for the person in front of the scanner.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import DataConfig
from pipeline.data.tabular import cells_of
from pipeline.files import BadInput, write_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PROVENANCE = "provenance"  # in the report of `prepare`
CHECKED, NOT_CHECKED = "checked", "not checked"
PIXELS = "pixels"
SIGNED = b"medsecure manifest of scans, version 1\n"  # in front of what is signed: nothing else is
PARTS = ("train", "val", "test")  # of an archive in the layout of MedMNIST
SHOWN = 5  # places that a line names
KEY_DIGITS = 64  # of a public key, hexadecimal
KEY_SHOWN = 16

Report = dict[str, str | int | list[str]]


@dataclass(frozen=True)
class Digests:
    """N scans, as they lie there.

    Attributes:
        scans: N digests of pixels: of a file as stored, of an array its dtype, shape and bytes.
        said: N mappings of what stands beside each: label, patient, site, date, part of the split.
        places: N names of where each stands: a line of the file of labels, a place in an archive;
            never a file's name, which may be a patient's.
    """

    scans: tuple[str, ...]
    said: tuple[Mapping[str, str], ...]
    places: tuple[str, ...]

    @property
    def records(self) -> tuple[str, ...]:
        """N digests of each scan with all that is said of it."""
        return tuple(map(_record, self.scans, self.said))


def of_bytes(stored: bytes) -> str:
    """The SHA-256 of a file as stored, its header included."""
    return hashlib.sha256(stored).hexdigest()


def of_array(image: NDArray[Any]) -> str:
    """The SHA-256 of an array: its dtype and shape in a line, then its bytes, row by row."""
    head = f"{image.dtype.str} {' '.join(map(str, image.shape))}\n".encode()
    return hashlib.sha256(head + np.ascontiguousarray(image).tobytes()).hexdigest()


def _record(scan: str, said: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([scan, dict(said)], sort_keys=True).encode()).hexdigest()


def digests_of(cfg: DataConfig, root: Path) -> Digests:
    """Of every scan of a data set that can be read.

    Raises:
        BadInput: a file is missing, or its columns are not those of the schema.
    """
    read = {"npz": _of_archive, "folder": _of_folder, "sklearn": _of_sklearn}
    return read[cfg.source](cfg, root / cfg.file)


def _of_archive(cfg: DataConfig, path: Path) -> Digests:
    scans, said, places = [], [], []
    try:
        with np.load(path, allow_pickle=False) as archive:
            for part in PARTS:
                labels = archive[f"{part}_labels"].reshape(-1).tolist()
                images = archive[f"{part}_images"]
                for place, (image, label) in enumerate(zip(images, labels, strict=True)):
                    scans.append(of_array(image))
                    said.append({"label": str(label), "split": part})
                    places.append(f"{part}_images {place}")
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{cfg.file}: cannot be read as an npz archive ({error})") from error
    return Digests(tuple(scans), tuple(said), tuple(places))


def _of_sklearn(cfg: DataConfig, path: Path) -> Digests:
    from sklearn import datasets

    bundle = getattr(datasets, f"load_{cfg.name}")()
    scans = tuple(of_array(np.asarray(image)) for image in bundle.images)
    said = tuple({"label": str(label)} for label in bundle.target.tolist())
    return Digests(scans, said, tuple(f"image {place}" for place in range(len(scans))))


def _of_folder(cfg: DataConfig, path: Path) -> Digests:
    assert cfg.image is not None
    cells = cells_of(cfg, path)
    columns = {"label": cfg.target, "patient": cfg.group, "site": cfg.site, "time": cfg.time}
    columns |= {"split": cfg.image.split}
    told = {name: cells.columns[column] for name, column in columns.items() if column}
    scans, said = [], []
    for row, name in enumerate(cells.columns[cfg.image.column]):
        file = path.parent / str(name)
        try:
            scans.append(of_bytes(file.read_bytes()))
        except OSError:
            place = f"{cells.place} {cells.lines[row]}"
            raise BadInput(f"{cfg.file}: {place}: no such file, or it cannot be read") from None
        said.append({what: str(column[row]) for what, column in told.items()})
    return Digests(
        tuple(scans), tuple(said), tuple(f"{cells.place} {line}" for line in cells.lines.tolist())
    )


# ---- the manifest ----


@dataclass(frozen=True)
class Manifest:
    """What a source vouches for.

    Attributes:
        covers: `pixels`, and the names of what else.
        scans: digests of pixels, in order of their digits; as often as there are such scans.
        records: likewise of scans with what is said of them; empty = pixels alone are covered.
    """

    covers: tuple[str, ...]
    scans: tuple[str, ...]
    records: tuple[str, ...]

    @classmethod
    def of(cls, digests: Digests, *, pixels_only: bool = False) -> "Manifest":
        """Of scans, with or without what is said of them."""
        scans = tuple(sorted(digests.scans))
        if pixels_only:
            return cls((PIXELS,), scans, ())
        named = tuple(digests.said[0]) if digests.said else ()
        return cls((PIXELS, *named), scans, tuple(sorted(digests.records)))

    @property
    def signed(self) -> bytes:
        """The bytes that are signed: the same for the same manifest."""
        lists = {"covers": self.covers, "scans": self.scans, "records": self.records}
        return SIGNED + json.dumps(lists, sort_keys=True, separators=(",", ":")).encode()

    def write(self, path: Path, key: "Ed25519PrivateKey") -> None:
        """Signs it and writes it as JSON."""
        lists = {"covers": self.covers, "scans": self.scans, "records": self.records}
        held = {"version": 1, **lists, "signature": key.sign(self.signed).hex()}
        write_text(path, json.dumps(held, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path, name: str, key: "Ed25519PublicKey") -> "Manifest":
        """Reads what `write` wrote, and trusts it only where the key signed it.

        Raises:
            BadInput: it is missing, damaged, or signed by nobody or somebody else.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            lists = (tuple(map(str, held[part])) for part in ("covers", "scans", "records"))
            found, signature = cls(*lists), bytes.fromhex(held["signature"])
        except OSError as error:
            raise BadInput(f"{name}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError):
            raise BadInput(f"{name}: damaged: no manifest of `medsecure sign`") from None
        try:
            key.verify(signature, found.signed)
        except InvalidSignature:
            raise BadInput(
                f"{name}: not signed by the key that data.image.key names; nothing in it can be "
                "trusted: ask the source for the manifest or for its public key"
            ) from None
        return found

    def faults(self, digests: Digests) -> list[str]:
        """What does not agree with it, a line for each kind, with places.

        The order of the scans counts for nothing.
        """
        lines = []
        fine, wrong = _matched(digests.scans, self.scans)
        doubled = [row for row in wrong if digests.scans[row] in set(self.scans)]
        foreign = [row for row in wrong if row not in set(doubled)]
        lines += _named(foreign, digests, "not in the manifest: changed since, or never signed")
        lines += _named(doubled, digests, "a duplicate: there more often than it was signed")
        if missing := sum((Counter(self.scans) - Counter(digests.scans)).values()):
            lines.append(f"of the {len(self.scans)} scans of the manifest {missing} missing")
        if self.records:
            records = digests.records
            others = _matched([records[row] for row in fine], self.records)[1]
            beside = ", ".join(self.covers[1:])
            said = f"the scan is as signed, but what stands beside it ({beside}) is not"
            lines += _named([fine[row] for row in others], digests, said)
        return lines


def _matched(found: Sequence[str], signed: Sequence[str]) -> tuple[list[int], list[int]]:
    """Rows that the signed ones account for, each of these once; and the other rows."""
    left = Counter(signed)
    fine: list[int] = []
    wrong: list[int] = []
    for row, digest in enumerate(found):
        (fine if left[digest] > 0 else wrong).append(row)
        left[digest] -= 1
    return fine, wrong


def _named(rows: Sequence[int], digests: Digests, said: str) -> list[str]:
    if not rows:
        return []
    places = ", ".join(digests.places[row] for row in rows[:SHOWN])
    more = f" ({len(rows)} in all)" if len(rows) > 1 else ""
    return [f"{places}: {said}{more}"]


def hold(cfg: DataConfig, root: Path) -> Report:
    """Holds the scans of a data set against the manifest that it names.

    Returns:
        a JSON-able report: `state`; where it was checked also the number of `scans`, what the
            manifest `covers`, and the first digits of the `key`.

    Raises:
        BadInput: a line for each kind of fault, all at once.
    """
    assert cfg.image is not None
    if cfg.image.manifest is None or cfg.image.key is None:
        return {"state": NOT_CHECKED}
    key, digits = public_key(cfg.image.key, root)
    manifest = Manifest.read(root / cfg.image.manifest, cfg.image.manifest, key)
    digests = digests_of(cfg, root)
    if faults := manifest.faults(digests):
        raise BadInput("\n".join(f"{cfg.file}: {line}" for line in faults))
    return {
        "state": CHECKED,
        "scans": len(digests.scans),
        "covers": list(manifest.covers),
        "key": digits[:KEY_SHOWN],
    }


def public_key(given: str, root: Path) -> tuple["Ed25519PublicKey", str]:
    """The public key of `data.image.key`: 64 hexadecimal digits, or a file that holds them.

    Raises:
        BadInput: it is neither; or it is the private key, which must not lie here.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    text = given
    if len(given) != KEY_DIGITS:
        try:
            text = (root / given).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            raise BadInput(
                f"data.image.key: {given!r} is neither 64 hexadecimal digits nor a readable file"
            ) from None
        if "PRIVATE" in text:
            raise BadInput(
                f"data.image.key: {given}: that is the private key; it stays at the source, and "
                "here goes the public one, which `medsecure sign` prints"
            )
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)), text.lower()
    except ValueError:
        raise BadInput("data.image.key: no Ed25519 public key of 64 hexadecimal digits") from None


def provenance_in_words(report: Mapping[str, Any]) -> list[str]:
    """What a person should hear of it, in a line; nothing of records."""
    said = report.get(PROVENANCE)
    if said is None:
        return []
    if said["state"] != CHECKED:
        return [f"provenance: {said['state']}; `medsecure sign` makes a manifest at the source"]
    covers = ", ".join(said["covers"])
    return [f"provenance: {said['scans']} scans as signed by key {said['key']}... ({covers})"]
