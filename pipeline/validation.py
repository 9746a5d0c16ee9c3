"""Values against types: one clear line for whatever does not fit."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Sized
from types import UnionType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from pipeline.files import BadInput

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

Model = TypeVar("Model", bound=BaseModel)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name, ready to append to a message."""
    known = list(known)
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(sorted(known))}"


def check_names(names: Iterable[str], registry: Iterable[str], key: str, what: str) -> None:
    """Refuses a name that a registry does not hold.

    Raises:
        BadInput: the line begins with `key` and calls the entries of the registry `what`.
    """
    known = list(registry)
    for name in names:
        if name not in known:
            raise BadInput(f"{key}: {name!r} is no {what}; {nearest(name, known)}")


def check_two(name: str, classes: Sized) -> None:
    """Refuses a cohort of other classes than healthy and ill.

    Raises:
        BadInput: in the words of the recipe `name`.
    """
    if len(classes) != 2:
        raise BadInput(f"{name}: answers about one disease, but there are {len(classes)} classes")


def check_both(name: str, y: Iterable[int]) -> None:
    """Refuses the classes of one model's training records where they are all the same.

    Raises:
        BadInput: in the words of the recipe `name`.
    """
    if len(set(y)) < 2:
        raise BadInput(f"{name}: a model would train on one class alone; take fewer folds")


def check_options(
    function: Callable[..., Any], options: dict[str, Any], key: str, given: Iterable[str] = ()
) -> dict[str, Any]:
    """Checks the options of an attack or a defense in a configuration against its signature.

    Args:
        function: its keyword-only parameters, with their annotations, are the options.
        options: what the configuration says.
        key: where it says so, for the message: a key, or `<file>: <key>`.
        given: parameters that the program sets itself and nobody configures.

    Raises:
        BadInput: an option is unknown, missing, ill-typed or out of its range.
    """
    fields: dict[str, Any] = {
        name: (
            parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in set(given)
    }
    model = create_model(function.__name__, __config__=STRICT, **fields)
    origin, _, within = key.rpartition(": ")
    checked = checked_model(model, options, origin, within)
    return {name: getattr(checked, name) for name in fields}


def checked_model(model: type[Model], values: Any, origin: str, within: str = "") -> Model:
    """Validates `values`; what does not fit is a `BadInput` of one line that begins with `origin`.

    `within` is the key of the whole at which the values stand, for the message.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BadInput(_one_line(model, error, origin, within)) from error
    except BadInput as error:  # from a validator that checks an attack of its own
        raise BadInput(_joined(": ", origin, _joined(".", within, str(error)))) from error


def _joined(between: str, *parts: str) -> str:
    return between.join(filter(None, parts))


# What pydantic puts into the path of a value beside keys.
NO_KEYS = ("function-", "constrained-", "[key]")


def _one_line(model: type[BaseModel], error: ValidationError, origin: str, within: str) -> str:
    # A misspelt key is both unknown and missing: the misspelling is what its author wants to hear
    # of.
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    keys = (str(part) for part in first["loc"] if not str(part).startswith(NO_KEYS))
    where = _joined(": ", origin, _joined(".", within, *keys))
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        return f"{where}: unknown key; {nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"{where}: missing"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict) else f", not {first['input']!r}"
    return f"{where}: {message[0].lower()}{message[1:]}{given}"


def _known_keys(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """The valid keys at `path` below `model`."""
    for part in path:
        if _is_section(model):
            model = model.model_fields[str(part)].annotation
            if isinstance(model, UnionType):  # one that may be null
                model = next(filter(_is_section, get_args(model)), model)
        else:  # a mapping's or list's values
            model = model.__args__[-1]
    return list(model.model_fields) if _is_section(model) else []


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)
