"""The entry of evasion in `RISKS`: which planted rows become headline, judgement."""

import pandas as pd
import pytest

from pipeline.files import BadInput
from pipeline.risks.evasion.measure.subject import PROOFS
from pipeline.risks.evasion.risk import RISK
from pipeline.risks.evasion.summary import defenses_by_radius
from pipeline.risks.risk import nearest_of
from risks.evasion.made_up import DEFENSES, HEADLINE, line, planted


@pytest.fixture
def both():
    hard = planted("hard").assign(robust_accuracy=lambda t: t["robust_accuracy"] / 2)
    return {"comparison": pd.concat([planted("baseline"), hard], ignore_index=True)}


def values(figures, step=0):
    """Name to value of the figures at one step; no name twice."""
    named = [(figure.name, figure.value) for figure in figures if figure.step == step]
    assert len(dict(named)) == len(named)
    return dict(named)


@pytest.mark.parametrize("entry", ["headline", "judge", "points", "metrics", "summary", "curves"])
def test_where_nothing_was_measured_nothing_is_said(cfg, entry):
    further = {"judge": (), "points": ("baseline", cfg), "curves": ("baseline", cfg)}
    said = getattr(RISK, entry)({}, *further.get(entry, (cfg,)))
    assert not (list(said) if entry == "curves" else said)


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


def test_what_dvc_draws_is_that_of_the_headline_threat_with_their_intervals(both, cfg):
    drawn = RISK.plotted(both, cfg)
    of = both["comparison"][both["comparison"]["threat"] == HEADLINE]
    columns = {
        "missed_diagnoses": [
            "missed_diagnosis_rate",
            "missed_diagnosis_rate_low",
            "missed_diagnosis_rate_high",
        ],
        "right_answers": ["robust_accuracy", "robust_low", "robust_high"],
    }
    assert drawn.keys() == columns.keys()
    for name, wanted in columns.items():
        assert list(drawn[name]) == ["defense", "eps", "value", "low", "high"]
        kept = of[["defense", "eps", *wanted]].set_axis(list(drawn[name]), axis=1)
        pd.testing.assert_frame_equal(drawn[name], kept.reset_index(drop=True))
    assert RISK.plotted({}, cfg) == {}


def test_what_is_traded_is_ranking_without_attack_for_ranking_that_is_proved(both, cfg):
    """At each radius with a proof, of the headline threat, of whoever has one."""
    table = both["comparison"]
    assert RISK.trades({}, cfg) == RISK.trades({"comparison": table}, cfg) == ()
    ends = {"": 0.0, "_low": -0.02, "_high": 0.02}
    known = {f"attacked_auc{end}": table["attacked_auc"] + by for end, by in ends.items()}
    proved = {f"certified_auc{end}": table["attacked_auc"] - 0.1 + by for end, by in ends.items()}
    (one,) = RISK.trades({"comparison": table.assign(**known, **proved)}, cfg)
    assert one.bought.figure == "certified AUROC, eps 0.3"
    for name in ("baseline", "hard"):
        clean, attacked = (line(both, name, HEADLINE, eps) for eps in (0.0, 0.3))
        assert one.kept.table.loc[name, "value"] == clean["attacked_auc"]
        assert one.bought.table.loc[name, "high"] == attacked["attacked_auc"] - 0.1 + 0.02


def test_the_terminal_is_told_under_which_threat_it_is(tables, context):
    text = RISK.summary(tables, context.cfg)
    lines = tables["comparison"]
    at = nearest_of(lines["eps"], context.cfg.audit.headline_eps)
    assert defenses_by_radius(lines[lines["eps"] == at], HEADLINE) in text
    assert len([line for line in text.splitlines() if line[:1].isdigit()]) == len(DEFENSES)
    assert max(map(len, text.splitlines())) <= 100
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
