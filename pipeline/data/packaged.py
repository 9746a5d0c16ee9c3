"""Records that ship in a Python package: scikit-learn's own, or a file in any other.

Such a file is read, its package never imported: no code of it runs, no pickle of it is opened. It
is known by its digest: the schema was written for that one, and for no other.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.sector import PackagedConfig
from pipeline.data.cells import Cells, Reading, cells_in
from pipeline.data.values import Values
from pipeline.files import BadInput

KEEL = b"@"  # how the lines of a KEEL file's header begin; its names are placeholders


def bundled(name: str, columns: int) -> tuple[Values, NDArray[np.int64]]:
    """A data set of scikit-learn; its first class is the disease, so classes are turned round.

    Args:
        name: of the loader, without `load_`.
        columns: how many the schema has.

    Raises:
        BadInput: there is no such loader, or it has other columns.
    """
    from sklearn import datasets

    loader = getattr(datasets, f"load_{name}", None)
    if loader is None:
        raise BadInput(f"data.name: scikit-learn has no data set {name!r}; known: breast_cancer")
    bundle: Any = loader()
    if bundle.data.shape[1] != columns:
        raise BadInput(
            f"data.features: {name} has {bundle.data.shape[1]} columns, the schema {columns}"
        )
    return bundle.data.astype(np.float64).copy(), 1 - bundle.target.astype(np.int64)


def packaged_cells(packaged: PackagedConfig, reading: Reading) -> Cells:
    """The cells of a file of a package, as of any other file.

    Args:
        packaged: which file of which package.
        reading: how it is written. Of a file of KEEL it gives the names: the file has none.

    Raises:
        BadInput: the package is not installed or lacks the file, the file is another one than the
            schema was written for, or is no table.
    """
    content = packaged_path(packaged).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != packaged.sha256:
        raise BadInput(
            f"{packaged.where}: not the file that the schema was written for (sha256 {found[:12]}, "
            f"expected {packaged.sha256[:12]}); {_install(packaged)}"
        )
    return cells_in(without_keel_header(content), packaged.where, reading)


def packaged_path(packaged: PackagedConfig) -> Path:
    """Where the file lies.

    Raises:
        BadInput: the package is not installed, or has no such file.
    """
    try:
        path = Path(str(distribution(packaged.package).locate_file(packaged.path)))
    except PackageNotFoundError:
        raise BadInput(
            f"data.packaged: package {packaged.package} is not installed; {_install(packaged)}"
        ) from None
    if not path.is_file():
        raise BadInput(f"{packaged.where}: no such file in it; {_install(packaged)}")
    return path


def without_keel_header(content: bytes) -> bytes:
    """A table whose lines keep their numbers: each line of a header of KEEL is left empty."""
    return b"".join(
        b"\n" if line.startswith(KEEL) else line for line in content.splitlines(keepends=True)
    )


def _install(packaged: PackagedConfig) -> str:
    return f"pip install {packaged.package}=={packaged.version}"
