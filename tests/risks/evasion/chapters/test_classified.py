"""The sentence of the chapter names the attacks that were asked, and no other."""

from types import SimpleNamespace

import pandas as pd
import pytest

from pipeline.risks.evasion.chapters import classified
from pipeline.risks.evasion.classification import ALL, NONE

STEPS = ["fgsm"]


def sentence(monkeypatch, *attacks):
    """Of a table with these attacks on the undefended models."""
    view = SimpleNamespace(
        first="baseline",
        cfg=None,
        who="the undefended models",
        threat="clinical",
        eps=0.5,
        among=lambda: "768 patients",
        budget=lambda eps: f"{eps} scale",
    )
    monkeypatch.setattr(classified, "single_steps", lambda cfg: STEPS)
    monkeypatch.setattr(classified, "figure_of", lambda view, figure: figure)
    monkeypatch.setattr(classified, "concluded", lambda *_: "")
    shares = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6}
    lines = [
        {"defense": defense, "attack": attack, **shares}
        for defense, known in (("baseline", attacks), ("adv_train", [NONE, *STEPS, ALL]))
        for attack in known
    ]
    return classified._result(view, pd.DataFrame(lines), None)


def test_models_with_gradients_are_told_of_under_fgsm(monkeypatch):
    said = sentence(monkeypatch, NONE, "fgsm", ALL)
    assert said.startswith("Accuracy of the undefended models of 768 patients under the clinical")
    assert said.count("0.500 (0.400 to 0.600)") == 3
    for when in ("before attack", "under fgsm", "under the strongest attack"):
        assert when in said


@pytest.mark.parametrize("known", [(NONE, ALL), (NONE,)])
def test_models_that_give_scores_alone_are_not_told_of_under_fgsm(monkeypatch, known):
    said = sentence(monkeypatch, *known)  # a defense beside them was asked for gradients
    assert "fgsm" not in said
    assert said.count("0.500 (0.400 to 0.600)") == len(known)
