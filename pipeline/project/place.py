"""Where a project is, and what is none; it waits for no library."""

from pathlib import Path

from pipeline.files import PROJECT

CHECKOUT = ("dvc.yaml", "conf/config.yaml", "pipeline/stages/__init__.py")


def found(start: Path | None = None) -> Path | None:
    """The project or checkout that a folder belongs to: itself, or the nearest above it."""
    here = (start or Path.cwd()).resolve()
    for place in (here, *here.parents):
        if is_project(place) or all((place / name).is_file() for name in CHECKOUT):
            return place
    return None


def is_project(root: Path) -> bool:
    """Whether the folder is a project, run by the installed package; a checkout is none."""
    return (root / PROJECT).is_file()
