"""Bytes of a model's file: what it is by its first bytes, whatever its name says."""

import re
from pathlib import Path

from pipeline.files import BadInput

MOST_BYTES = 2**30  # of a file, and of what it unpacks to
MOST_TEXT = 2**28  # of a file that is parsed as text
ZIP = b"PK\x03\x04"
PICKLED = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt")
# Protocol 2 to 5 says so itself; 0 and 1 begin with a mark, an empty container or a name to call.
PICKLE = re.compile(rb"\x80[\x02-\x05]|c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n|\([lpdic]|[\]})][q\x94]")
# Of gzip, bzip2, xz, lz4 and zlib, as joblib compresses pickles.
SQUEEZED = re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|\x04\x22\x4d\x18|\x78[\x01\x5e\x9c\xda]")
TORCH = "data.pkl"  # in every archive that torch.save writes
CONVERT = (
    "a pickle runs what stands in it, and is never loaded; where you trust it, write it anew: "
    "skops.io.dump(joblib.load('model.pkl'), 'model.skops')"
)


def content_of(path: Path) -> bytes:
    """What a model's file holds.

    Raises:
        BadInput: there is no such file, it is too large, or a pickle.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(f"{path}: larger than {MOST_BYTES >> 20} MiB, which is not read")
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error})") from error
    if not content:
        raise BadInput(f"{path}: is empty")
    refuse_pickle(path, content)
    return content


def refuse_pickle(path: Path, content: bytes) -> None:
    """Refuses what only `pickle` or `joblib` would read, by its bytes or by its name.

    Raises:
        BadInput: the line says how to convert it.
    """
    named = path.suffix.lower() in PICKLED and not content.startswith(ZIP)
    if named or PICKLE.match(content):
        raise BadInput(f"{path}: {CONVERT}")
    if SQUEEZED.match(content):
        raise BadInput(f"{path}: compressed, as joblib writes pickles: {CONVERT}")
