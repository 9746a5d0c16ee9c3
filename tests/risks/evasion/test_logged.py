"""What MLflow and `dvc metrics` get of evasion: planted rows as metrics, curves, nested runs."""

import pandas as pd
import pytest

from pipeline.config.cohort import ImageConfig
from pipeline.risks.evasion.logged import (
    ATTACKED,
    CLEAN,
    COMPARED,
    PREFIX,
    curves,
    metrics,
    points,
    radii,
    shown,
)
from pipeline.risks.evasion.risk import RISK
from risks.evasion.made_up import DEFENSES, HEADLINE, RADII, line, planted


@pytest.fixture
def both():
    hard = planted("hard").assign(robust_accuracy=lambda t: t["robust_accuracy"] / 2)
    both = pd.concat([planted("baseline"), hard], ignore_index=True)
    return {"comparison": both.assign(certified_auc=both["attacked_auc"] - 0.05)}


def values(figures):
    """Name to value; no name twice."""
    named = [(figure.name, figure.value) for figure in figures]
    assert len(dict(named)) == len(named)
    return dict(named)


@pytest.mark.parametrize(
    ("eps", "headline", "few"),
    [
        ([0, 0.05, 0.1, 0.2, 0.3, 0.5, 1], 0.3, [0.1, 0.3, 1]),
        ([0, 0.1], 0.3, [0.1]),
        ([0, 1, 2], 1, [1, 2]),
        ([0], 0.3, []),
    ],
)
def test_three_radii_are_compared_or_as_many_as_there_are(eps, headline, few):
    assert radii(eps, headline) == few


def test_metrics_are_of_the_headline_threat_and_of_their_own_defense(both, cfg):
    found = metrics(both, cfg)
    assert list(found) == ["baseline", "hard"]
    for name, got in found.items():
        clean, attacked = (line(both, name, HEADLINE, eps) for eps in RADII[HEADLINE])
        wanted = {key: clean[column] for key, column in CLEAN.items()}
        wanted |= {f"{key}_at_0.3": attacked[ATTACKED[key]] for key in COMPARED}
        for end in ("_low", "_high"):
            wanted[f"robust_sensitivity_at_0.3{end}"] = attacked[f"sensitivity{end}"]
        of_headline = both["comparison"].query("defense == @name and threat == @HEADLINE")
        assert got == wanted | {"undecided_at_most": of_headline["undecided"].max()}


def test_a_page_that_compares_runs_opens_with_sensitivity_under_attack(both, cfg):
    assert next(iter(metrics(both, cfg)["hard"])) == "robust_sensitivity_at_0.3"
    for point in points(both, "hard", cfg):
        assert point.figures[0].name == "robust_sensitivity"


def test_columns_of_the_table_of_runs_are_metrics(tables, context):
    for figures in metrics(tables, context.cfg).values():
        assert set(shown(context.cfg)) <= set(figures)


def test_of_images_runs_are_compared_by_what_no_threshold_decides(both, cfg):
    """Attacked and certified AUROC are columns of MLflow's Compare page, of images alone."""
    image = cfg.data.model_copy(update={"image": ImageConfig(shape=[1, 8, 8])})
    of_images = metrics(both, cfg.model_copy(update={"data": image}))
    for name, plain in metrics(both, cfg).items():
        attacked = line(both, name, HEADLINE, 0.3)
        more = {
            "attacked_auroc_at_0.3": attacked["attacked_auc"],
            "certified_auroc_at_0.3": attacked["certified_auc"],
        }
        assert of_images[name] == plain | more


def test_without_a_radius_only_what_needs_none_is_shown(cfg):
    audit = cfg.audit.model_copy(update={"eps": [0.0]})
    threats = {HEADLINE: cfg.threat[HEADLINE].model_copy(update={"eps": None})}
    assert shown(cfg.model_copy(update={"audit": audit, "threat": threats})) == (
        "sensitivity",
        "brier",
    )
    untouched = {"comparison": planted("baseline").query("eps == 0")}
    assert set(metrics(untouched, cfg)["baseline"]) == {*CLEAN, "undecided_at_most"}


def test_what_is_no_number_is_left_out(both, cfg):
    both["comparison"]["auroc"] = float("nan")
    assert "auroc" not in metrics(both, cfg)["hard"]


def test_curves_step_in_thousandths_of_the_radius_of_the_headline_threat(both, cfg):
    found = list(curves(both, "baseline", cfg))
    assert {one.name.split("/")[0] for one in found} == {PREFIX}
    for key in COMPARED:
        curve = {one.step: one.value for one in found if one.name == f"{PREFIX}/{key}"}
        assert curve == {
            round(eps * 1000): line(both, "baseline", HEADLINE, eps)[ATTACKED[key]]
            for eps in RADII[HEADLINE]
        }


def test_a_point_for_each_radius_of_the_headline_threat(both, cfg):
    found = points(both, "hard", cfg)
    assert [point.params for point in found] == [{"attack_eps": "0"}, {"attack_eps": "0.3"}]
    for point, eps in zip(found, RADII[HEADLINE], strict=True):
        got = values(point.figures)
        assert got["attack_eps"] == eps
        for key, column in ATTACKED.items():
            assert got[key] == line(both, "hard", HEADLINE, eps)[column]
            other = line(both, "hard", "unconstrained", eps)[column]
            assert got[f"unconstrained/{key}"] == other


def test_what_counts_in_another_unit_stays_out_of_the_points(both, cfg):
    for point in points(both, "hard", cfg):
        assert not [name for name in values(point.figures) if name.startswith("sparse")]


def test_of_an_examination_every_number_is_there(tables, context):
    for name in DEFENSES:
        for point in RISK.points(tables, name, context.cfg):
            assert all(figure.value == figure.value for figure in point.figures)
            assert "robust_accuracy" in values(point.figures)
