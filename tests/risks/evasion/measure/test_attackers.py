"""Who attacks: what is configured, and what an examination adds by itself."""

import pytest

from mistakes import complaint
from pipeline.risks.evasion.measure.attackers import ADDED, all_attackers


def with_attack(cfg, name, options):
    return cfg.model_copy(update={"attack": {**cfg.attack, name: options}})


def test_the_configured_come_first_and_the_added_last(cfg):
    known = all_attackers(cfg)
    assert list(known) == [*cfg.attack, *ADDED]
    assert {name: one.method for name, one in known.items() if name in cfg.attack} == {
        name: options["method"] for name, options in cfg.attack.items()
    }


def test_an_attack_of_any_name_is_known_by_what_it_does(cfg):
    mine = with_attack(cfg, "my_pgd", cfg.attack["pgd_ce"])
    assert all_attackers(mine)["my_pgd"] == all_attackers(mine)["pgd_ce"]


@pytest.mark.parametrize("name", ADDED)
def test_the_name_of_an_attack_that_is_added_is_taken(cfg, name):
    """Otherwise two attacks would share their rows."""
    mine = with_attack(cfg, name, {"method": "noise"})
    assert complaint(all_attackers, mine, "conf").startswith(f"conf: attack.{name}: every")


def test_a_wrong_option_is_one_line(cfg):
    mine = with_attack(cfg, "mine", {"method": "pgd", "steps": 3})
    assert complaint(all_attackers, mine, "conf") == "conf: attack.mine.step_size: missing"
