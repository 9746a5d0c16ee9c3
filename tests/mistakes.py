"""Configurations with one mistake, and the one line that is said of it."""

import pytest

from pipeline.files import BadInput


def planted(values, path, value):
    """`values` with one value exchanged (or added) at a dotted path."""
    *folders, last = path.split(".")
    place = values
    for key in folders:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value
    return values


def complaint(function, *arguments, **keywords):
    with pytest.raises(BadInput) as caught:
        function(*arguments, **keywords)
    line = str(caught.value)
    assert "\n" not in line
    return line
