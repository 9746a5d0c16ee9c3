"""The code that a team's own recipe is made of, told from what it was before an edit."""

import ast
import hashlib
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from pipeline.files import BadInput, repository_root
from pipeline.models.opening import HELD

INSTALLED = {"site-packages", "dist-packages"}
OURS = {"pipeline", "medsecure"}  # whose code is part of every key already
_first: dict[str, str] = {}  # what each was when this process first asked


def code_version(path: str) -> str:
    """The digest of the code behind `package.module:attribute`; of an installed one its version.

    It covers every `.py` of the module's package, or the module alone where it lies in none, and
    of what these import all that lies in the same folder, followed to the end. Data that the code
    reads, and what it imports by a name that is made up as it runs, are not covered.

    Raises:
        BadInput: the code has changed since this process asked first, and may have imported it.
    """
    if path in HELD:
        return ""
    found = _digest(path.partition(":")[0])
    if _first.setdefault(path, found) != found:
        raise BadInput(
            f"{path}: its code was edited while this runs, which still has the code from before; "
            "start again"
        )
    return found


def own_files(module: str) -> list[Path]:
    """The files that `code_version` covers; none of an installed package, or of none at all."""
    folder = _folder(module.partition(".")[0])
    if folder is None:
        return []
    found: dict[Path, None] = {}
    waiting = [module.partition(".")[0]]
    while waiting:
        top = waiting.pop()
        for file in sorted(_files(folder, top)):
            if file not in found:
                found[file] = None
                waiting += [one for one in _imports(file) if one not in OURS]
    return sorted(found)


def _digest(module: str) -> str:
    digest = hashlib.sha256()
    if files := own_files(module):
        for file in files:
            digest.update(file.name.encode() + file.read_bytes())
        return digest.hexdigest()
    try:
        known = import_module(module.partition(".")[0])
    except Exception:  # whoever fits says what is wrong with it
        return ""
    return str(getattr(known, "__version__", ""))


def _folder(top: str) -> Path | None:
    """Where a package or module of a team's own lies; None = it is installed, or nowhere."""
    root = str(repository_root())
    if root not in sys.path:
        sys.path.insert(0, root)
    spec = find_spec(top) if top else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    if spec and not places and spec.has_location and spec.origin:
        places = [spec.origin]
    if not places:
        return None
    folder = Path(places[0]).resolve().parent
    standard = Path(ast.__file__).resolve().parent
    return None if INSTALLED & {*folder.parts} or folder == standard else folder


def _files(folder: Path, top: str) -> Iterator[Path]:
    package, alone = folder / top, folder / f"{top}.py"
    if package.is_dir():
        yield from (file for file in package.rglob("*.py") if INSTALLED.isdisjoint(file.parts))
    elif alone.is_file():
        yield alone


def _imports(file: Path) -> Iterator[str]:
    """The top-level names that a file imports, wherever in it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # whoever imports it says so
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
