"""The command line of `python -m pipeline` as Hydra will read it, with its mistakes in one line."""

from collections.abc import Sequence
from typing import NoReturn

from pipeline.files import BadInput
from pipeline.project.composition import jobs

# Hydra's own knows `python file.py` alone. Of `python -m pipeline`, it asks Hydra what may follow.
COMPLETION = """\
_medsecure_completion() {
    local line="${COMP_LINE:0:$COMP_POINT}" word="${COMP_LINE:0:$COMP_POINT}"
    [[ "$line" == *"-m pipeline "* ]] || return
    line="pipeline ${line#*-m pipeline }" word="${word##* }"
    COMPREPLY=($(compgen -W "$(COMP_LINE="$line" COMP_POINT=${#line} \\
        "${COMP_WORDS[0]}" -m pipeline -sc query=bash 2> /dev/null)" -- "$word"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _medsecure_completion python python3
"""
INSTALL = "install=bash"
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
    parser.error = _refuse
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
