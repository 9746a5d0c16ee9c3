"""Every table of evasion: drawn up from files, the same again, and no row of one defense lost."""

import numpy as np
import pandas as pd
import pytest

from parts import unsuffixed
from pipeline.files import NOT_APPLICABLE, write_json
from pipeline.risks.evasion.evaluation import evaluate_all
from pipeline.risks.evasion.fragility import clinic_tables
from pipeline.risks.evasion.groups import groups_table, harms
from pipeline.risks.evasion.measure.subject import PROOFS
from pipeline.risks.evasion.movable import movable_shares
from pipeline.risks.evasion.patients import most_fragile
from pipeline.risks.evasion.proofs import verdicts
from pipeline.risks.evasion.risk import RISK
from pipeline.risks.evasion.scans import COLUMNS as OF_SCANS
from pipeline.risks.evasion.set_aside import COLUMNS as OF_SPLIT
from pipeline.risks.evasion.tables import COLUMNS, draw_up
from pipeline.risks.risk import Sources
from risks.evasion.made_up import DEFENSES

PER_PATIENT = {"patients", *(f"verdicts/{name}" for name in DEFENSES)}
FOR_PEOPLE = {
    "comparison",
    "everyone",
    "ensemble",
    "smoothing",
    "evasion_pairs",
    "groups",
    "attacks",
    "fragile",
    "alone",
    "changes",
    "radii",
    "reliability",
    "decision",
    "repeats",
    "classification",
    "confusion",
}
CURVES = {"plots/roc", "plots/proved"}


def test_the_tables_of_an_examination(tables):
    assert set(tables) == PER_PATIENT | FOR_PEOPLE | CURVES
    assert {name for name in tables if RISK.is_per_patient(name)} == PER_PATIENT
    assert set(tables) >= RISK.private


def test_every_column_of_a_table_that_is_read_by_itself_is_explained(tables):
    others = {*OF_SCANS, *OF_SPLIT}  # of images, and of a split that came with the data
    of_records = {name: one for name, one in COLUMNS.items() if name not in others}
    for name, explained in of_records.items():
        assert {unsuffixed(column) for column in tables[name]} == set(explained), name


def test_of_whom_nothing_was_measured_there_is_no_table(context, tmp_path):
    assert draw_up(Sources({"baseline": tmp_path}), context) == {}


def test_what_was_measured_reads_back_into_the_same_tables(tables, examined, context):
    harmful = harms(groups_table(examined, context.dataset, context.cfg, context.sampling))
    movable = movable_shares(examined, context.dataset, context.cfg)
    straight = evaluate_all(examined, context.cfg, context.sampling, harmful, movable=movable)
    for name in ("comparison", "attacks", "classification", "confusion"):
        pd.testing.assert_frame_equal(tables[name], getattr(straight, name))
    pd.testing.assert_frame_equal(tables["plots/proved"], straight.exact)
    for name, one in examined.items():
        pd.testing.assert_frame_equal(tables[f"verdicts/{name}"], verdicts(one.proofs))


def test_every_figure_of_a_group_is_paired_with_the_undefended_models(tables):
    groups = tables["groups"].set_index(["by", "group", "defense"])
    first = groups.xs("baseline", level="defense")
    paired = ("sensitivity", "attacked_sensitivity", "specificity", "calibration_gap")
    for figure in paired:
        known = 0
        for key, line in groups.iterrows():
            more = line[f"{figure}_difference"]
            if key[2] == "baseline" or np.isnan(line[figure]):
                assert np.isnan(more)
                continue
            known += 1
            assert more == pytest.approx(line[figure] - first.loc[key[:2], figure], abs=1e-9)
            assert line[f"{figure}_difference_low"] <= more <= line[f"{figure}_difference_high"]
        assert known


def test_the_roc_has_a_column_for_each_defense(tables, examined, context):
    roc = evaluate_all(examined, context.cfg, context.sampling).roc
    assert set(tables["plots/roc"]) == {"fpr", *DEFENSES}
    for defense in DEFENSES:
        mine = roc[roc["defense"] == defense]
        np.testing.assert_array_equal(tables["plots/roc"][["fpr", defense]], mine[["fpr", "tpr"]])


def test_the_tables_of_patients_are_those_of_every_defense(tables, examined, context):
    clinic = clinic_tables(examined, context.dataset, context.cfg, context.sampling)
    for name in DEFENSES:
        for table, mine in (
            ("patients", clinic.patients[name]),
            ("alone", clinic.alone[name]),
            ("changes", clinic.changes[name]),
            ("radii", clinic.radii[name]),
            ("fragile", most_fragile(clinic.patients[name])),
        ):
            of_defense = tables[table][tables[table]["defense"] == name]
            got = of_defense.drop(columns="defense").reset_index(drop=True)
            pd.testing.assert_frame_equal(got, mine)


def test_of_whom_nothing_can_be_proved_there_are_no_patients(examined, context, tmp_path):
    """Of such a defense no nearest change was looked for: its absence would read as robustness."""
    for name in ("baseline", "distill"):
        (tmp_path / name / "evasion").mkdir(parents=True)
        examined[name].save(tmp_path / name / "evasion")
    write_json(tmp_path / "distill" / NOT_APPLICABLE, {"evasion": {PROOFS: "why"}})
    drawn = draw_up(Sources({name: tmp_path / name for name in ("baseline", "distill")}), context)
    for table in ("patients", "alone", "fragile"):
        assert set(drawn[table]["defense"]) == {"baseline"}
    assert set(drawn["comparison"]["defense"]) == {"baseline", "distill"}


def test_what_is_proved_of_both_diagnoses_is_what_is_proved_of_all(tables, context):
    """At every radius; and nobody is known to be missed of whom the contrary is proved."""
    curve, ill = tables["plots/proved"], float((context.dataset.y == 1).double().mean())
    missed, alarms = curve["missed_at_most"], curve["alarms_at_most"]
    both = ill * (1 - missed) + (1 - ill) * (1 - alarms)
    np.testing.assert_allclose(both, curve["proved"])
    assert (curve["missed"] <= missed + 1e-12).all()
    assert (curve["missed"] < missed - 1e-12).any()
    assert curve.groupby(["defense", "threat"])["missed"].is_monotonic_increasing.all()
