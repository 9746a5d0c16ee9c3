"""Columns that tables of several risks share, and what they say."""

from collections.abc import Iterable, Sequence

DEFENSE = {"defense": "the recipe by which the models were trained"}
IDS = {
    "atlas": "techniques of MITRE ATLAS, joined by a blank; none = no technique",
    "nist": "entries of NIST AI 100-2, likewise",
    "owasp": "entries of the OWASP Machine Learning Security Top 10, likewise",
}
KNOWLEDGE = {"knowledge": "what the attacker knows beside the answers of the model"}
ACCESS = {"access": "the most that the attacker sees of an answer"}
# One column for each measurement of the data set, under its own name.
MEASUREMENT = {"<measurement>": "the value of this measurement, in clinical units"}


def measurement_columns(names: Sequence[str], taken: Iterable[str]) -> list[str]:
    """What the columns of the measurements are called in a table that has columns of its own.

    Their own names; one that the table uses itself is marked as the measurement.

    Args:
        names: of the measurements, all different.
        taken: the other columns of the table.
    """
    used, called = {*taken, *names}, []
    own = set(taken)
    for name in names:
        free = name
        while free in own or (free != name and free in used):
            free = f"{free} (measurement)"
        used.add(free)
        called.append(free)
    return called
