"""The entry of evasion in `RISKS`: which planted rows become headline, metric, curve, judgement."""

import math

import pandas as pd
import pytest

from pipeline.files import BadInput
from pipeline.risks.evasion.comparison import headline_metrics
from pipeline.risks.evasion.measure.subject import PROOFS
from pipeline.risks.evasion.risk import AT_RADII, CLEAN, CURVES, RISK
from pipeline.risks.evasion.summary import defenses_by_radius
from risks.evasion.made_up import DEFENSES, HEADLINE

RATES = [
    f"{rate}{end}"
    for rate in ("missed_diagnosis_rate", "false_alarm_rate")
    for end in ("", "_low", "_high")
]
KEYS = dict.fromkeys((*CLEAN, *CURVES, *RATES, "specificity", "brier"))
RADII = {"clinical": [0.0, 0.3], "unconstrained": [0.0, 0.3], "sparse": [0.0, 1.0]}
UNITS = {"clinical": "SD", "unconstrained": "SD", "sparse": "measurements"}


def planted(defense, flags="", evidence=""):
    """A comparison of one defense in which no two figures are the same."""
    lines = []
    for of_threat, (threat, radii) in enumerate(RADII.items()):
        for at, eps in enumerate(radii):
            figures = {key: of_threat + at / 10 + i / 1000 for i, key in enumerate(KEYS)}
            place = {"defense": defense, "threat": threat, "eps": eps, "eps_unit": UNITS[threat]}
            lines.append(figures | place | {"flags": flags, "evidence": evidence})
    return pd.DataFrame(lines)


@pytest.fixture
def both():
    hard = planted("hard").assign(robust_accuracy=lambda t: t["robust_accuracy"] / 2)
    return {"comparison": pd.concat([planted("baseline"), hard], ignore_index=True)}


def line(tables, defense, threat, eps):
    table = tables["comparison"]
    here = (table["defense"] == defense) & (table["threat"] == threat) & (table["eps"] == eps)
    return table[here].iloc[0]


def values(figures, step=0):
    """Name to value of the figures at one step; no name twice."""
    named = [(figure.name, figure.value) for figure in figures if figure.step == step]
    assert len(dict(named)) == len(named)
    return dict(named)


@pytest.mark.parametrize("entry", ["headline", "judge", "points", "metrics", "summary", "figures"])
def test_where_nothing_was_measured_nothing_is_said(cfg, entry):
    further = {"judge": (), "points": ("baseline", cfg), "figures": ("baseline", cfg)}
    said = getattr(RISK, entry)({}, *further.get(entry, (cfg,)))
    assert not (list(said) if entry == "figures" else said)


# ---- headline ----


def test_missed_diagnoses_lead_then_what_robustness_costs_without_attack(both, cfg):
    said = RISK.headline(both, cfg)
    assert [one.figure for one in said] == [
        "missed diagnoses under attack, eps 0.3",
        "right answers under attack, eps 0.3",
        "missed diagnoses without attack",
        "false alarms without attack",
    ]
    assert [one.good for one in said] == ["low", "high", "low", "low"]
    assert [one.weighed for one in said] == [True, False, True, True]
    assert (cfg.audit.headline, cfg.audit.headline_eps) == (HEADLINE, 0.3)
    columns = [
        ("missed_diagnosis_rate", 0.3),
        ("robust_accuracy", 0.3),
        ("missed_diagnosis_rate", 0.0),
        ("false_alarm_rate", 0.0),
    ]
    for one, (column, eps) in zip(said, columns, strict=True):
        stem = column.removesuffix("_accuracy")
        for name in ("baseline", "hard"):
            here = line(both, name, HEADLINE, eps)
            wanted = [here[column], here[f"{stem}_low"], here[f"{stem}_high"]]
            assert one.table.loc[name].tolist() == wanted


def test_every_headline_figure_has_the_pairs_of_its_own_values(tables, context):
    for one in RISK.headline(tables, context.cfg):
        assert len(one.pairs) == 3
        for pair in one.pairs.to_dict("records"):
            value = one.table["value"]
            gain = value[pair["defense"]] - value[pair["other"]]
            assert pair["difference"] == pytest.approx(gain, abs=1e-12)


def test_without_pairs_the_figures_still_stand(tables, context):
    alone = {name: table for name, table in tables.items() if name != "evasion_pairs"}
    assert [one.pairs for one in RISK.headline(alone, context.cfg)] == [None] * 4


def test_the_headline_radius_is_the_nearest_that_was_examined(both, cfg):
    audit = cfg.audit.model_copy(update={"headline_eps": 0.1})
    _, figure, *_ = RISK.headline(both, cfg.model_copy(update={"audit": audit}))
    wanted = line(both, "baseline", HEADLINE, 0.0)["robust_accuracy"]
    assert figure.table.loc["baseline", "value"] == wanted


# ---- metrics and curves ----


def test_a_defense_logs_its_own_rows(both, cfg):
    mine = values(RISK.figures(both, "baseline", cfg))
    other = values(RISK.figures(both, "hard", cfg))
    assert mine.keys() == other.keys()
    for name, got in (("baseline", mine), ("hard", other)):
        assert got["robust_accuracy_at_0.3"] == line(both, name, HEADLINE, 0.3)["robust_accuracy"]
        assert got["clean_sensitivity"] == line(both, name, HEADLINE, 0.0)["sensitivity"]
        for key in CLEAN:
            assert got[key] == line(both, name, HEADLINE, 0.0)[key]
        for key in AT_RADII:
            assert got[f"{key}_at_0.3"] == line(both, name, HEADLINE, 0.3)[key]


def test_radii_of_another_unit_carry_the_name_of_their_threat(both, cfg):
    names = values(RISK.figures(both, "baseline", cfg))
    assert (
        names["sparse/robust_accuracy_at_1"]
        == line(both, "baseline", "sparse", 1.0)["robust_accuracy"]
    )
    assert "robust_accuracy_at_1" not in names
    assert not [name for name in names if name.startswith("unconstrained/") and "_at_" in name]


@pytest.mark.parametrize("threat", RADII)
def test_curves_step_in_thousandths_of_the_radius(both, cfg, threat):
    figures = list(RISK.figures(both, "baseline", cfg))
    for key in CURVES:
        curve = {f.step: f.value for f in figures if f.name == f"{threat}/{key}"}
        assert curve == {
            round(eps * 1000): line(both, "baseline", threat, eps)[key] for eps in RADII[threat]
        }


def test_every_flag_is_a_metric_that_can_be_searched_for(cfg):
    tables = {"comparison": planted("baseline", "randomised violations", "why; why not")}
    names = values(RISK.figures(tables, "baseline", cfg))
    assert {name for name in names if name.startswith("flag/")} == {
        "flag/randomised",
        "flag/violations",
    }


# ---- nested runs ----


def test_a_point_for_each_radius_of_the_headline_threat(both, cfg):
    points = RISK.points(both, "hard", cfg)
    assert [point.params for point in points] == [{"eps": "0"}, {"eps": "0.3"}]
    for point, eps in zip(points, RADII[HEADLINE], strict=True):
        got = values(point.figures)
        assert got["eps"] == eps
        for key in CURVES:
            assert got[key] == line(both, "hard", HEADLINE, eps)[key]
            assert got[f"unconstrained/{key}"] == line(both, "hard", "unconstrained", eps)[key]


def test_what_counts_in_another_unit_stays_out_of_the_points(both, cfg):
    for point in RISK.points(both, "hard", cfg):
        assert not [name for name in values(point.figures) if name.startswith("sparse")]


def test_of_an_examination_every_number_is_finite_or_left_out_as_nan(tables, context):
    for name in DEFENSES:
        for point in RISK.points(tables, name, context.cfg):
            assert all(isinstance(figure.value, float) for figure in point.figures)
            robust = values(point.figures)["robust_accuracy"]
            assert not math.isnan(robust)


# ---- judgement ----


def test_flags_carry_their_reasons():
    table = pd.concat(
        [planted("baseline"), planted("hard", "randomised violations", "why; why not")]
    )
    judged = RISK.judge({"comparison": table})
    assert judged["baseline"].flags == {}
    assert judged["hard"].flags == {"randomised": "why", "violations": "why not"}


def test_a_defense_that_masks_its_gradients_is_judged_with_its_evidence(tables):
    judged = RISK.judge(tables)
    assert list(judged) == list(DEFENSES)
    assert [bool(one.flags) for one in judged.values()] == [False, False, True]
    assert judged["distill"].flags["masked_gradients"].startswith(f"{HEADLINE}, eps ")


# ---- metrics, the terminal, the configuration ----


def test_dvc_metrics_are_those_of_the_headline_threat(tables, context):
    wanted = headline_metrics(tables["comparison"], HEADLINE)
    assert RISK.metrics(tables, context.cfg) == wanted


def test_curves_are_those_of_the_headline_threat_with_their_intervals(both, cfg):
    curves = RISK.curves(both, cfg)
    of = both["comparison"][both["comparison"]["threat"] == HEADLINE]
    columns = {
        "missed_diagnoses": RATES[:3],
        "right_answers": ["robust_accuracy", "robust_low", "robust_high"],
    }
    assert curves.keys() == columns.keys()
    for name, wanted in columns.items():
        assert list(curves[name]) == ["defense", "eps", "value", "low", "high"]
        kept = of[["defense", "eps", *wanted]].set_axis(list(curves[name]), axis=1)
        pd.testing.assert_frame_equal(curves[name], kept.reset_index(drop=True))
    assert RISK.curves({}, cfg) == {}


def test_the_terminal_is_told_under_which_threat_it_is(tables, context):
    text = RISK.summary(tables, context.cfg)
    assert defenses_by_radius(tables["comparison"], HEADLINE) in text
    assert f"threat model: {HEADLINE}" in text.splitlines()[0]


def test_the_terminal_never_calls_exact_what_cannot_be_proved(tables, context):
    gaps = pd.DataFrame({"defense": DEFENSES, "what": PROOFS, "why": "why"})
    text = RISK.summary({**tables, "evasion_not_applicable": gaps}, context.cfg)
    title, *lines = text.split("\n\n")[1].splitlines()
    rows = [line for line in lines if line[:1].isdigit()]
    assert rows
    assert all(line[title.index("proved") :].startswith("undecided") for line in rows)


def test_an_unknown_attack_is_refused(cfg):
    RISK.check(cfg, "conf")
    wrong = cfg.model_copy(update={"attack": {"mine": {"method": "magic"}}})
    with pytest.raises(BadInput, match=r"conf: attack\.mine\.method: 'magic'"):
        RISK.check(wrong, "conf")
