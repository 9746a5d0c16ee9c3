"""A project from nothing, all of it or none; and the same project under a newer package."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from pipeline.files import PROJECT, BadInput, write_text
from pipeline.project.composition import CONFIG, compose
from pipeline.project.package import package_digest, package_version, shipped

CODE = "pipeline/"  # of a dependency on code in the package's own stages
MODULE, INSTALLED = "python -m ", "python -P -m "  # -P: a folder here called `pipeline` is not it
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
SPECIAL = re.compile(r"([\\*?\[\] #!])")  # of patterns in .gitignore

OUT_OF_GIT = """\
/artifacts/
/sweeps/
/multirun/
/mlflow.db*
/mlartifacts/
/mlruns/
/dvc_plots/
"""
OUT_OF_DVC = """\
**/__pycache__
**/.*.unfinished
**/.*.replaced
sweeps
mlartifacts
"""
DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
{no_scm}[cache]
    dir = cache
[hydra]
    enabled = true
[plots]
    html_template = plots/page.html
"""
# how `dvc plots` draws without asking anybody
DRAWING = (".dvc/plots/intervals.json", ".dvc/plots/intervals_log.json", ".dvc/plots/page.html")
DVC_OUT_OF_GIT = "/config.local\n/tmp\n/cache\n"
DAG_COMMENT = """\
# The stages of medsecure, as the installed package runs them: `medsecure run`, or `dvc repro`.
# Their only code is the package that .medsecure names. A newer package writes this file anew,
# unless somebody edited it.
"""
MARK_COMMENT = """\
# Which package runs the stages here: all of them depend on this file. `medsecure run` writes it.
"""


def start(
    folder: Path, data_yaml: str, name: str, beside: Mapping[str, str] | None = None
) -> list[str]:
    """Makes a folder a project, with git and DVC or without: everything, or nothing.

    The cohort stays where it is. It enters neither git nor a DVC cache that is not the project's
    own; where an earlier DVC repository holds the folder, results enter no cache either.

    Args:
        folder: made where it is not there; what lies in it stays as it is. To an earlier
            `.gitignore` and `.dvcignore` the lines that they lack are added.
        data_yaml: the text of `conf/data/<name>.yaml`; `file` in it is absolute, or starts from
            the folder.
        name: of the cohort.
        beside: texts of further files, by their paths in the folder.

    Returns:
        the paths of the new files in the folder, sorted.

    Raises:
        BadInput: a file is there already or cannot be written, or the texts compose to nothing.
    """
    if not NAME.fullmatch(name) or yaml.safe_load(name) != name:
        raise BadInput(
            f"--name: {name!r}: expected a word such as ward_3: letters, digits, `_`, `.` or `-`"
        )
    own = not _inside(folder, ".dvc", Path.is_dir)
    generated = _generated(name, cached=own)
    texts = {f"conf/data/{name}.yaml": data_yaml, **generated, **(beside or {})}
    texts["params.yaml"] = _composed(texts)
    texts[PROJECT] = _mark(generated, cached=own)
    if own:
        no_scm = "" if _inside(folder, ".git", Path.exists) else "    no_scm = true\n"
        texts |= {
            ".dvc/config": DVC_CONFIG.format(no_scm=no_scm),
            ".dvc/.gitignore": DVC_OUT_OF_GIT,
        }
    added = {".gitignore": _ignored(data_yaml, folder) + OUT_OF_GIT, ".dvcignore": OUT_OF_DVC}
    _refuse_present(folder, texts)
    with all_or_nothing() as new:
        for path, text in texts.items():
            new(folder / path, text)
        for path, lines in added.items():
            new(folder / path, lines, add=True)
    return sorted([*texts, *added])


def renew(root: Path) -> list[str]:
    """Takes note of the package that is installed now; where it has changed, every stage runs anew.

    What the package wrote and nobody edited is written anew, too.

    Returns:
        lines that say what was changed, and what was not.
    """
    mark, said = _read_mark(root), []
    before = mark.get("wrote", {})
    cached = mark.get("cached") is True
    wrote = _generated(_chosen(root), cached)
    package = {"version": package_version(), "digest": package_digest()}
    changed = any(mark.get(key) != value for key, value in package.items())
    for path, text in wrote.items():
        present = _text(root / path)
        if present is None:
            _write(root / path, text)
            said.append(f"{path}: was not there; it is the package's now")
        elif changed and present != text:
            if _digest(present) == before.get(path):
                _write(root / path, text)
                said.append(f"{path}: written anew")
            elif before.get(path) != _digest(text):
                said.append(
                    f"{path}: was edited here, so it stays, though the package's own has changed;"
                    " delete it, and the next run writes that one"
                )
    if changed:
        was = mark.get("version", "another version")
        said.insert(0, f"medsecure {package['version']} (was {was}): every stage runs again")
    if changed or said:
        write_text(root / PROJECT, _mark(wrote, cached))
    return said


def _generated(name: str, cached: bool) -> dict[str, str]:
    """What follows from the package and two facts alone: path -> text."""
    drawing = {path: shipped(path).read_text(encoding="utf-8") for path in DRAWING if cached}
    return {f"conf/{CONFIG}": config_of(name), "dvc.yaml": dag(cached), **drawing}


def config_of(name: str) -> str:
    """The package's `config.yaml` with another data set."""
    text = shipped(f"conf/{CONFIG}").read_text(encoding="utf-8")
    text = re.sub(r"^(  - data: )\S+", rf"\g<1>{name}", text, count=1, flags=re.MULTILINE)
    here = (
        "# The one place where numbers are edited; `medsecure run` composes it into params.yaml.\n"
    )
    looks = "hydra:\n  searchpath: [pkg://pipeline.conf]  # what conf/ lacks is the package's\n"
    return re.sub(r"^#.*\n", here, text, count=1).replace("hydra:\n", looks, 1)


def dag(cached: bool) -> str:
    """The package's `dvc.yaml` for a folder without code.

    Args:
        cached: whether results may enter the DVC cache; it is the project's own then, and holds
            what draws plots.
    """
    stages = yaml.safe_load(shipped("dvc.yaml").read_text(encoding="utf-8"))
    for entry in stages["stages"].values():
        stage = entry.get("do", entry)
        stage["cmd"] = stage["cmd"].replace(MODULE, INSTALLED)
        stage["deps"] = [PROJECT, *(dep for dep in stage["deps"] if not dep.startswith(CODE))]
        if not cached:
            stage["outs"] = [
                {path: {**how, "cache": False} for path, how in out.items()}
                for out in stage["outs"]
            ]
    if not cached:
        del stages["plots"]
    return DAG_COMMENT + yaml.safe_dump(stages, sort_keys=False, width=120, allow_unicode=True)


def _mark(wrote: Mapping[str, str], cached: bool) -> str:
    values = {
        "version": package_version(),
        "digest": package_digest(),
        "cached": cached,
        "wrote": {path: _digest(text) for path, text in wrote.items()},
    }
    return MARK_COMMENT + yaml.safe_dump(values, sort_keys=False)


def _read_mark(root: Path) -> dict[str, Any]:
    """What `.medsecure` says; nothing where it is damaged."""
    try:
        values = yaml.safe_load(_text(root / PROJECT) or "")
    except yaml.YAMLError:
        return {}
    sound = isinstance(values, dict) and isinstance(values.get("wrote", {}), dict)
    return values if sound else {}


def _chosen(root: Path) -> str:
    """The data set that the project is about: that of its `config.yaml`, or its first."""
    text = _text(root / "conf" / CONFIG) or ""
    if chosen := re.search(r"^  - data: (\S+)", text, re.MULTILINE):
        return chosen[1]
    names = sorted(path.stem for path in (root / "conf" / "data").glob("*.yaml"))
    if not names:
        raise BadInput(f"conf/{CONFIG}: names no data set; `medsecure init` makes one of a file")
    return names[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(path: Path) -> str | None:
    """What a file holds; None = there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({' '.join(str(error).split())})") from error


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def _inside(folder: Path, mark: str, is_there: Callable[[Path], bool]) -> bool:
    """Whether the folder, or one above it, holds the mark."""
    here = folder.resolve()
    return any(is_there(place / mark) for place in (here, *here.parents))


def _composed(texts: Mapping[str, str]) -> str:
    """`params.yaml` of a `conf/` that is not written yet."""
    with TemporaryDirectory() as place:
        for path, text in texts.items():
            if path.startswith("conf/"):
                _write(Path(place) / path, text)
        return compose([], Path(place) / "conf")


def _ignored(data_yaml: str, folder: Path) -> str:
    """The line that keeps a cohort inside the folder out of git; empty = it lies elsewhere."""
    described = yaml.safe_load(data_yaml)
    file = PurePath(str(described["file"]))
    if described.get("source") == "sklearn" or ".." in file.parts:
        return ""
    if file.is_absolute():
        try:
            file = file.relative_to(folder.resolve())
        except ValueError:
            return ""
    return "/" + SPECIAL.sub(r"\\\1", file.as_posix()) + "\n"


def _refuse_present(folder: Path, texts: Mapping[str, str]) -> None:
    present = sorted(path for path in texts if (folder / path).exists())
    if present:
        raise BadInput(
            f"{folder / present[0]}: is there already, and nothing is overwritten"
            f" ({len(present)} of {len(texts)} files are); start in a folder of its own,"
            " as in `mkdir audit && cd audit`"
        )


@contextmanager
def all_or_nothing() -> Iterator[Callable[..., None]]:
    """Yields a function that writes new files; when the block fails, they are gone again."""
    undo: list[Callable[[], object]] = []

    def new(path: Path, text: str, add: bool = False) -> None:
        for place in reversed([one for one in path.parents if not one.exists()]):
            place.mkdir()
            undo.append(place.rmdir)
        present = _text(path) if add else None
        if present is None:
            with path.open("x", encoding="utf-8") as file:
                undo.append(path.unlink)
                file.write(text)
            return
        lacking = [line for line in text.splitlines() if line not in present.splitlines()]
        undo.append(lambda: write_text(path, present))
        between = "" if present.endswith("\n") or not present else "\n"
        write_text(path, present + between + "".join(f"{line}\n" for line in lacking))

    try:
        yield new
    except BaseException as error:
        for step in reversed(undo):
            step()
        if isinstance(error, OSError):
            raise BadInput(
                f"{error.filename}: cannot be written ({error.strerror}); nothing was changed"
            ) from error
        raise
