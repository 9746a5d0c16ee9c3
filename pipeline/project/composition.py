"""A configuration composed from `conf/`: the project's own first, then the package's."""

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.files import BadInput, repository_root
from pipeline.project.package import shipped
from pipeline.validation import nearest

CONFIG = "config.yaml"
MUCH_LIKE = 0.7  # a slip of the pen
APPENDED = re.compile(r"\. To append to your config use \+\S+")
NO_FILE = re.compile(r"Could not (?:find|load) '(?P<group>[\w/]+)/(?P<name>[^/']+)'")


def searched(conf: Path | None = None) -> list[Path]:
    """The folders in which a file is looked for, in this order; the first holds `config.yaml`.

    Args:
        conf: the project's own files; None = those of the project that this folder belongs to.

    Returns:
        the project's own `conf/`, then the package's. A `conf/` without a `config.yaml` only adds
        to the package's, because Hydra starts where that file lies.
    """
    own, ours = conf or repository_root() / "conf", shipped("conf")
    if own.resolve() == ours.resolve():
        return [own]
    return [own, ours] if (own / CONFIG).is_file() else [ours, *([own] if own.is_dir() else [])]


def search_overrides(places: list[Path]) -> list[str]:
    """The overrides with which Hydra looks into all but the first of the folders, too."""
    rest = [_quoted(f"file://{place.resolve()}") for place in places[1:]]
    return [f"hydra.searchpath=[{','.join(rest)}]"] if rest else []


def _quoted(text: str) -> str:
    """A text that Hydra's grammar takes for itself, whatever a path may hold."""
    escaped = re.sub(r"(\\*)('|$)", r"\1\1\2", text).replace("'", "\\'")
    return f"'{escaped}'".replace("${", "\\${")


def compose(overrides: list[str], conf: Path | None = None) -> str:
    """Composes `config.yaml` with Hydra overrides, byte for byte as DVC does.

    Args:
        overrides: in Hydra's syntax.
        conf: the project's own files; None = those of the project that this folder belongs to. What
            it lacks is taken from the package.

    Raises:
        BadInput: an override names no key or no file of `conf/`.
    """
    with _in_one_line(overrides, conf):
        return composed_text(overrides, searched(conf))


def composed_launcher(overrides: list[str], conf: Path | None = None) -> dict[str, Any]:
    """What `hydra.launcher` holds, which is no part of a configuration.

    Args:
        overrides: in Hydra's syntax.
        conf: as for `compose`.

    Raises:
        BadInput: as for `compose`.
    """
    from omegaconf import OmegaConf

    with _in_one_line(overrides, conf, new_keys=True):
        whole = _composed(overrides, searched(conf), with_hydra=True)
        settings: Any = OmegaConf.to_container(whole.hydra.launcher, resolve=True)
    return {str(key): value for key, value in settings.items()}


@contextmanager
def _in_one_line(
    overrides: list[str], conf: Path | None, *, new_keys: bool = False
) -> Iterator[None]:
    """Turns what Hydra raises into one line that says what would be right.

    Only where there may be `new_keys`, Hydra's advice to write `+key` is one.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    places = searched(conf)
    try:
        yield
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        message = " ".join(str(error).partition("Config search path")[0].split())
        message = message if new_keys else APPENDED.sub("", message)
        hint = _file_hint(message, places) or _override_hint(overrides, places, conf)
        raise BadInput(f"conf: {message}{hint}") from error


def composed_text(overrides: list[str], places: list[Path]) -> str:
    """What Hydra makes of the files in the folders, resolved; its own errors pass."""
    from omegaconf import OmegaConf

    composed = _composed(overrides, places)
    OmegaConf.resolve(composed)
    return OmegaConf.to_yaml(composed)


def _composed(overrides: list[str], places: list[Path], *, with_hydra: bool = False) -> Any:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with initialize_config_dir(str(places[0].resolve()), version_base=None):
        return hydra_compose(
            config_name="config",
            overrides=[*overrides, *search_overrides(places)],
            return_hydra_config=with_hydra,
        )


def _file_hint(message: str, places: list[Path]) -> str:
    """The nearest file of the group in which the message misses one; empty = none is near."""
    missed = NO_FILE.search(message)
    if not missed:
        return ""
    files = (file for place in places for file in place.glob(f"{missed['group']}/*.yaml"))
    close = difflib.get_close_matches(missed["name"], {file.stem for file in files}, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _override_hint(overrides: list[str], places: list[Path], conf: Path | None) -> str:
    """The nearest valid key for the first override that names none; empty when all name one."""
    if not overrides:
        return ""
    known = yaml.safe_load(compose([], conf))
    folders = (folder for place in places for folder in place.iterdir() if folder.is_dir())
    top = {*known, *(folder.name for folder in folders)}
    keys = {*_flat_keys(known), *top}
    for override in overrides:
        if override.startswith("+"):  # which makes a key
            continue
        key = override.split("=")[0].lstrip("+~")
        if key in keys or key.startswith("hydra"):
            continue
        section = key.rpartition(".")[0]
        if section in keys:
            return f"; {key}: {_nearest_of(key, section, keys)}"
        close = difflib.get_close_matches(key, keys, cutoff=0.5)
        return f"; {key}: {nearest(key, keys if close else top)}"
    return ""


def _nearest_of(key: str, section: str, keys: set[str]) -> str:
    """The key of a section that was meant; all that it has, where none is much like it."""
    here = [one[len(section) + 1 :] for one in sorted(keys) if one.rpartition(".")[0] == section]
    close = difflib.get_close_matches(key[len(section) + 1 :], here, n=1, cutoff=MUCH_LIKE)
    named = ", ".join(here) or "no keys"
    return f"did you mean '{section}.{close[0]}'?" if close else f"{section} has {named}"


def _flat_keys(values: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield f"{prefix}{key}"
            yield from _flat_keys(value, f"{prefix}{key}.")


def jobs(overrides: Iterable[str]) -> list[list[str]]:
    """The overrides of each job of a sweep, as Hydra takes the product of all choices.

    Raises:
        BadInput: an override cannot be read.
    """
    from itertools import product

    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise BadInput(f"command line: {' '.join(str(error).split())}") from error
    choices = [
        [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [str(one.input_line)]
        for one in parsed
    ]
    return [list(job) for job in product(*choices)]
