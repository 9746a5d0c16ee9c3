"""The command line of `python -m pipeline` as Hydra will read it, with its mistakes in one line."""

from collections.abc import Sequence
from typing import NoReturn

from pipeline.files import BadInput
from pipeline.project.composition import jobs

MORE = "`python -m pipeline --help` says more"


def understood(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What Hydra is to get, and which of it is to be composed and checked first.

    Args:
        arguments: without the name of the program.

    Returns:
        the arguments, where `help` is `--help`; the overrides, none where Hydra only answers a
        question about itself, such as what a shell may complete.

    Raises:
        BadInput: an argument is neither an override nor an option of Hydra's, or options and
            overrides do not fit each other.
    """
    from hydra._internal.utils import get_args_parser  # the very one that reads them afterwards

    if list(arguments) == ["help"]:
        return ["--help"], []
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    asked = parser.parse_args(arguments)
    overrides = list(asked.overrides)
    if asked.help or asked.hydra_help or asked.shell_completion or asked.info:
        return list(arguments), []
    for one in overrides:
        if "=" not in one and not one.startswith("~"):
            raise BadInput(f"command line: {one!r}: expected key=value; {MORE}")
    if asked.cfg and asked.multirun:
        raise BadInput(
            "command line: --cfg shows one configuration: leave out -m, and give each key one value"
        )
    count = len(jobs(overrides))
    if count > 1 and not asked.multirun:
        chosen = " ".join(one for one in overrides if len(jobs([one])) > 1)
        raise BadInput(f"command line: {chosen}: these are {count} runs; add -m to sweep")
    return list(arguments), overrides


def _refuse(message: str) -> NoReturn:
    raise BadInput(f"command line: {message}; {MORE}")
