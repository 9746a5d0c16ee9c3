"""The section of the federation: what is told first, and that it is asked for."""

from risks.federation.made_up import settings


def test_the_first_one_is_told_first_and_none_twice(cfg):
    own = settings(cfg, sites=8, hospitals=[4, 8], aggregate="krum", aggregates=["mean", "krum"])
    assert own.federation.every_number == [8, 4]
    assert own.federation.every_rule == ["krum", "mean"]


def test_by_default_nobody_asks(cfg):
    assert cfg.federation.unasked
    assert not settings(cfg, enabled=True).federation.unasked


def test_a_rule_is_to_stand_as_many_as_are_malicious(cfg):
    own = settings(cfg, tolerated=1).federation
    assert [own.stands(malicious) for malicious in (0, 1, 2)] == [1, 1, 2]
