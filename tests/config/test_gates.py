"""A gate asks one thing; every fault of the section is told, all of them at once."""

import pytest

from pipeline.config.gates import gates_of
from pipeline.config.settings import canonical
from pipeline.files import BadInput

RIGHT = {"figure": "evasion/x", "at_least": 0.5}


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({}, "needs one of figure, forbid, require"),
        ({"forbid": "any", "require": "reviewed"}, "needs one of figure, forbid, require"),
        ({"figure": "evasion/x"}, "needs one of at_least"),
        ({**RIGHT, "at_most": 0.7}, "needs one of at_least"),
        ({**RIGHT, "against": "champion", "margin": 0.1}, "needs one of at_least"),
        ({"figure": "evasion/x", "against": "champion"}, "against and margin go together"),
        ({"figure": "evasion/x", "against": "a", "margin": 0.0}, "greater than 0"),
        ({"figure": "evasion/x", "against": "a", "margin": 0.1, "bound": "point"}, "no point"),
        ({**RIGHT, "good": "high"}, "against is missing"),
        ({**RIGHT, "figure": "evasion"}, "<risk>/<figure>"),
        ({**RIGHT, "figure": "a/b/c"}, "<risk>/<figure>"),
        ({"forbid": []}, "gate.one.forbid"),
        ({"forbid": "any", "at_least": 0.4}, "of a figure, and none is named"),
        ({**RIGHT, "at_least": float("nan")}, "finite"),
        ({**RIGHT, "at_least": True}, "number"),
        ({**RIGHT, "treat": "clinical"}, "did you mean 'threat'"),
    ],
)
def test_a_gate_that_asks_nothing_or_too_much_is_refused(gate, said):
    with pytest.raises(BadInput, match=r"^conf: gate\.one") as refused:
        gates_of({"one": gate}, "conf")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(BadInput) as refused:
        gates_of({"a": {}, "b": {"x": 1}, "unclaer": "warn", "unclear": "maybe"}, "conf")
    starts = [line.split(": ")[1] for line in str(refused.value).splitlines()]
    assert starts == ["gate.a", "gate.b.x", "gate.unclaer", "gate.unclear"]


def test_settings_and_gates_stand_side_by_side_and_a_gate_can_be_taken_out():
    found = gates_of({"unclear": "warn", "one": RIGHT, "two": None}, "conf")
    assert (found.unclear, list(found.gates)) == ("warn", ["one"])
    assert gates_of({"one": {**RIGHT, "at_least": 1}}, "conf").gates["one"].at_least == 1.0


def test_a_limit_is_in_no_digest_of_what_was_measured(cfg):
    asked = gates_of({"one": RIGHT}, "conf")
    assert canonical(cfg.model_copy(update={"gate": asked})) == canonical(cfg)
