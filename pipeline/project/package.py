"""The installed package seen from a project: which one it is, and what of it is no code."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.files import sha256

PACKAGE = Path(__file__).parents[1]
CODE = ("*.py", "*.jinja", "*.json", "*.typ")
# Top-level names by which no figure, table or page is made: commands, what calls the rest, and
# what starts others who do the same work.
CALLERS = {
    "__init__.py", "__main__.py", "api", "cluster.py", "cohort", "gate", "params.py", "project",
    "release.py", "stages", "sweep",
}  # fmt: skip


def shipped(name: str) -> Path:
    """A file or folder of the package that is no code: `conf` or `dvc.yaml`.

    The wheel holds them inside the package; in a checkout they lie beside it, where people edit
    them.
    """
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name


def package_version() -> str:
    """The version of the installed distribution; `unknown` of code that was never installed."""
    try:
        return version("medsecure")
    except PackageNotFoundError:
        return "unknown"


def package_digest() -> str:
    """The digest of all code, whether it lies in a wheel or in a checkout."""
    return sha256(*code_files())


def audit_digest() -> str:
    """The digest of the code that measures, concludes and writes pages, whoever calls it.

    An edit elsewhere leaves it as it is, as it leaves every page.
    """
    own = [file for file in code_files() if file.relative_to(PACKAGE).parts[0] not in CALLERS]
    return sha256(*own)


def code_files() -> list[Path]:
    """All files of the package that are code, in order."""
    found = [file for kind in CODE for file in PACKAGE.rglob(kind)]
    # a wheel holds conf/ and .dvc/, too, which lie beside the package in a checkout
    beside = {"conf", ".dvc"}
    return sorted(file for file in found if file.relative_to(PACKAGE).parts[0] not in beside)
