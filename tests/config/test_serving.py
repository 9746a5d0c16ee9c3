"""The policy of the guard: every key is checked, and what ships is complete."""

import pytest
import yaml

import tiny
from pipeline.config.serving import ASKING, CHANNELS, ROLES, ServingConfig
from pipeline.files import BadInput
from pipeline.validation import checked_model

SHIPPED = yaml.safe_load((tiny.ROOT / "conf/serving/default.yaml").read_text(encoding="utf-8"))


def checked(**changes):
    return checked_model(ServingConfig, {**SHIPPED, **changes}, "conf", within="serving")


def test_what_ships_is_a_policy():
    assert set(checked().roles) == set(ASKING) < set(ROLES)
    assert set(checked().alarms) == set(CHANNELS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"r": 0.0}, "serving.r"),
        ({"alarm_r": 0.2}, "alarm_r"),
        ({"near": 1.0}, "serving.near"),
        ({"boxes": 0}, "serving.boxes"),
        ({"uncertified": "maybe"}, "serving.uncertified"),
        ({"port": 70000}, "serving.port"),
        ({"roles": {"clinician": {"answers": "decision"}}}, "must be of clinician, researcher"),
        ({"alarms": {"referrals": "note"}}, "must be of referrals, near"),
        ({"nearly": 2}, "serving.nearly"),
        ({"limits": {**SHIPPED["limits"], "seconds": 0}}, "serving.limits.seconds"),
    ],
)
def test_a_value_that_cannot_be_is_a_line_that_names_it(change, says):
    with pytest.raises(BadInput) as error:
        checked(**change)
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1
