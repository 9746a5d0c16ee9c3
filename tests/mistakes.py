"""Configurations with one mistake, and the one line that is said of it."""

import pytest
import yaml

from pipeline.files import BadInput


def planted(values, path, value):
    """`values` with one value exchanged (or added) at a dotted path."""
    *folders, last = path.split(".")
    place = values
    for key in folders:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value
    return values


def overridden(values, overrides):
    """`values` as these overrides of single keys leave them; Hydra takes a quarter of a second."""
    for override in overrides:
        path, _, value = override.partition("=")
        planted(values, path, yaml.safe_load(value))
    return values


def complaint(function, *arguments, **keywords):
    with pytest.raises(BadInput) as caught:
        function(*arguments, **keywords)
    line = str(caught.value)
    assert "\n" not in line
    return line
