"""A risk that nobody asks for leaves a word of why, and no results."""

import pytest

from pipeline import params
from pipeline.files import NOT_FOR_COUNTS, NOT_FOR_IMAGES
from pipeline.risks.forgery.risk import RISK as FORGERY
from pipeline.risks.frontier.risk import RISK as FRONTIER
from pipeline.risks.guard.risk import RISK as GUARD
from pipeline.risks.poisoning.risk import RISK as POISONING
from pipeline.risks.risk import Sources
from pipeline.risks.safeguards.risk import RISK as SAFEGUARDS
from pipeline.risks.theft.risk import RISK as THEFT
from pipeline.stages import ARTIFACTS
from pipeline.stages.forgery import forge_and_look
from pipeline.stages.frontier import vary_epsilon
from pipeline.stages.guard import guard_all
from pipeline.stages.poisoning import harm_and_filter
from pipeline.stages.safeguards import safeguard
from pipeline.stages.theft import steal_all

ASKED = [
    (FRONTIER, {"epsilons": []}, "not asked for: frontier.epsilons is empty", vary_epsilon),
    (POISONING, {"recipes": []}, "not asked for: poisoning.recipes is empty", harm_and_filter),
    (THEFT, {"recipes": []}, "not asked for: theft.recipes is empty", steal_all),
    (FORGERY, {"recipes": []}, "not asked for: forgery.recipes is empty", forge_and_look),
    (SAFEGUARDS, {"enabled": False}, "safeguards.enabled is false", safeguard),
]


@pytest.mark.parametrize(
    ("risk", "changed", "said", "stage"), ASKED, ids=[one[0].name for one in ASKED]
)
def test_what_nobody_asks_for_is_not_measured(tmp_path, monkeypatch, risk, changed, said, stage):
    """And nothing is read: there is nothing."""
    monkeypatch.chdir(tmp_path)
    cfg = params.configured(["experiment=digits"])
    section = cfg.sections[risk.name]
    assert not section.unasked
    nothing = cfg.model_copy(update={risk.name: section.model_copy(update=changed)})
    assert stage(nothing) == said
    sources = Sources({}, ARTIFACTS)
    assert sources.stage(risk.name) is None
    assert sources.not_applicable(risk.name) == [("every recipe", "", said)]
    risk.check(nothing, "conf")


def test_under_a_threat_that_counts_nobody_follows_gradients(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = params.configured(["threat=[clinical,sparse]", "audit.headline=sparse"])
    assert safeguard(cfg) == NOT_FOR_COUNTS
    assert guard_all(cfg) == NOT_FOR_COUNTS
    for risk in ("safeguards", "guard"):
        said = Sources({}, ARTIFACTS).not_applicable(risk)
        assert said == [("every recipe", "", NOT_FOR_COUNTS)]


def test_a_guard_is_not_for_images_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert guard_all(params.configured(["experiment=digits"])) == NOT_FOR_IMAGES
    nobody = params.configured(["guard.recipes=[]"])
    assert guard_all(nobody) == "not asked for: guard.recipes is empty"
    assert GUARD.tables(Sources({}, ARTIFACTS), None) == {}
