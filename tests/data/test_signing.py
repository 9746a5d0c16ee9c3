"""What a program proposed of a threat model stops an audit, all lines at once, until signed."""

import pytest

from pipeline.config import DataConfig
from pipeline.config.cohort import JUDGED
from pipeline.data.signing import HOW, unsigned


def feature(source):
    numbers = {"lower": 0.0, "upper": 9.0, "step": 1.0, "center": 4.0, "scale": 2.0}
    given = {"kind": "integer", "mutable": True, "private": False, "error": None}
    return given | numbers | {"error_source": None, "source": source}


def schema(accept_guesses=False, **sources):
    return DataConfig.model_validate(
        {
            "name": "ward",
            "title": "A ward",
            "source": "file",
            "file": "ward.csv",
            "target": "ill",
            "classes": ["healthy", "ill"],
            "auroc_ceiling": None,
            "bands": {},
            "accept_guesses": accept_guesses,
            "features": {name: feature(source) for name, source in sources.items()},
        }
    )


def test_every_feature_that_nobody_signed_is_named_at_once():
    lines = unsigned(
        schema(
            age="a person, and where it says so",
            bmi={"lower": "data", "upper": "dictionary", "mutable": "guess", "scale": "you"},
            crp={"step": "data"},
        )
    )
    assert lines == [
        "data.features.bmi: lower (data), mutable (guess): proposed, not reviewed",
        "data.features.crp: step (data): proposed, not reviewed",
        HOW,
    ]


@pytest.mark.parametrize("field", JUDGED)
@pytest.mark.parametrize("origin", ["data", "guess", "dictionary", "you"])
def test_each_judged_field_counts(field, origin):
    assert bool(unsigned(schema(age={field: origin}))) == (origin in ("data", "guess"))


@pytest.mark.parametrize("field", ["kind", "levels", "center", "private", "unit"])
def test_what_the_threat_model_does_not_hold_stops_nothing(field):
    assert unsigned(schema(age={field: "guess"})) == []


@pytest.mark.parametrize("origin", ["data", "guess", "dictionary", "you"])
def test_a_guess_of_what_means_missing_stops_and_a_plain_sign_does_not(origin):
    said = unsigned(schema(age={"lower": "you", "missing": origin}))
    line = "data.features.age: missing (guess): proposed, not reviewed"
    assert said == ([line, HOW] if origin == "guess" else [])
    assert unsigned(schema(accept_guesses=True, age={"missing": origin})) == []


def test_guesses_can_be_let_through():
    assert unsigned(schema(accept_guesses=True, age={"lower": "guess"})) == []
