"""The entry of forged scans: names that are checked, and no figure of a defense."""

import pytest

import handwritten
from pipeline.files import BadInput
from pipeline.risks.forgery.risk import READY, RISK


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("forgery.recipes=[base]", "'base' is no defense; did you mean 'baseline'?"),
        ("forgery.recipes=[certified]", "certified is not trained before this stage"),
        ("forgery.forgeries=[slice]", "'slice' is no forgery; did you mean 'splice'?"),
        ("forgery.learned=[splice,splice]", "forgery.learned: must differ, not splice, splice"),
        ("forgery.box=0.7", "forgery.box"),
    ],
)
def test_a_name_or_number_that_does_not_fit_is_refused(override, said):
    with pytest.raises(BadInput) as told:
        handwritten.configured(override)
    assert said in str(told.value)


def test_the_stage_has_every_model_ready_that_may_be_asked():
    import yaml

    import tiny

    stages = yaml.safe_load((tiny.ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    asked = [f"artifacts/{'train_' * (name == 'baseline')}{name}" for name in READY]
    assert set(asked) <= set(stages["forgery"]["deps"])


def test_a_detector_is_no_figure_of_a_defense(cfg):
    assert RISK.headline({}, cfg) == ()
    assert RISK.metrics({}, cfg) == {}
