"""Measurements of any name beside the columns that a table has of its own."""

from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.risks.columns import measurement_columns
from pipeline.risks.inversion.tables import beside_measurements
from pipeline.risks.membership.patients import OWN

NAMES = some.sampled_from(
    [
        "patient",
        "y",
        "defense",
        "glucose",
        "patient (measurement)",
        "eps",
        "model",
        "",
        " ",
        "größe",
    ]
)


def test_only_what_collides_is_marked():
    assert measurement_columns(["glucose", "patient"], ["patient", "y"]) == [
        "glucose",
        "patient (measurement)",
    ]
    taken = ["patient", "patient (measurement)"]
    assert measurement_columns(["patient"], taken) == ["patient (measurement) (measurement)"]


@settings(deadline=None)
@given(some.lists(NAMES, unique=True), some.sets(NAMES))
def test_no_two_columns_of_a_table_have_one_name(names, taken):
    called = measurement_columns(names, taken)
    assert len({*called, *taken}) == len(names) + len(taken)
    assert all(one.startswith(name) for one, name in zip(called, names, strict=True))


def test_the_columns_of_tables_with_measurements_are_known():
    assert {"defense", "victims", "to_class_mean", "to_class_mean_low", "atlas"} <= set(
        beside_measurements()
    )
    assert {"defense", "patient", "y"} <= set(OWN)
