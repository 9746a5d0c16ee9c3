"""Tables of forged scans: figures against counting, intervals, and who may be shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import handwritten
import scans
from pipeline.presentation.numbers import without_few
from pipeline.risks.forgery.measure.forged import FILE
from pipeline.risks.forgery.risk import RISK
from pipeline.risks.forgery.tables import (
    ANSWERED,
    FOUND,
    PROVENANCE,
    SHOWN,
    answered,
    detection,
    found_at,
    provenance,
    shown,
)
from pipeline.risks.risk import SUFFIXES, Context, Sources
from pipeline.statistics.intervals import Sampling
from risks.forgery.made_up import EASY, N, answers, dataset, found

SAMPLING, FEW = (Sampling(resamples, 0.95, 0) for resamples in (300, 200))


@pytest.fixture(scope="module")
def cfg():
    return handwritten.configured().model_copy(update={"data": scans.described(patients="shown")})


def line(table, forgery, disguise="as_is"):
    own = table[(table["forgery"] == forgery) & (table["disguise"] == disguise)]
    return own.iloc[0]


def test_found_at_false_alarms_is_what_counting_says():
    """Each resample by repeating its scans and looking at them one by one."""
    drawn = np.random.default_rng(0)
    for decimals in (8, 1):  # without and with ties
        genuine = drawn.normal(size=60).round(decimals)
        forged = (drawn.normal(size=60) + 1).round(decimals)
        weights = drawn.multinomial(60, np.full(60, 1 / 60), size=20).astype(np.float32)
        for rate, row in ((0.05, 0), (0.2, 1), (0.5, 2)):
            repeated = [np.repeat(one, weights[row].astype(int)) for one in (genuine, forged)]
            best = 0.0
            for threshold in np.append(np.unique(repeated[0]), -np.inf):
                if (repeated[0] > threshold).mean() <= rate + 1e-9:
                    best = max(best, (repeated[1] > threshold).mean())
            found = found_at(genuine, forged, weights, rate)[row]
            if decimals == 8:
                assert_allclose(found, best)
            else:  # a tie at the threshold counts against the detector
                assert found <= best + 1e-9


def test_the_detector_is_told_by_its_intervals():
    moved = {("copy_move", "as_is"): EASY, ("splice", "as_is"): 0.5, ("opacity", "blur"): -3.0}
    table = detection(found(moved), dataset(), 0.05, SAMPLING)
    assert len(table) == 17  # six times three, but for what is neither forged nor hidden
    easy, chance = line(table, "copy_move"), line(table, "inpainting")
    assert easy["auroc"] > 0.99
    assert easy["found"] > 0.99
    assert bool(easy["finds"])
    assert chance["auroc_low"] < 0.5 < chance["auroc_high"]
    assert not bool(chance["finds"])
    half = line(table, "splice")
    assert half["auroc_low"] > 0.5  # told from chance, and still found too seldom
    assert not bool(half["finds"])
    assert line(table, "opacity", "blur")["auroc_high"] < 0.5
    assert table["learned"].sum() == 9


def test_the_same_scores_are_chance_exactly():
    same = found()
    same.score[:] = same.score[0, 0].clone()
    table = detection(same, dataset(), 0.05, SAMPLING)
    assert (table["auroc"] == 0.5).all()
    assert_allclose(table["found"], 0.05)
    assert not table["finds"].any()


@pytest.mark.slow
def test_intervals_of_the_auroc_cover_it():
    """Of normal scores 1 apart it is Phi(1 / sqrt 2) = 0.760; 15 of 20 or fewer: 1 in 380."""
    lines = [
        line(
            detection(found({("splice", "as_is"): 1.0}, seed=seed), dataset(), 0.05, FEW), "splice"
        )
        for seed in range(20)
    ]
    covered = sum(one["auroc_low"] <= 0.760 <= one["auroc_high"] for one in lines)
    assert covered >= 16
    assert all(one["auroc_high"] - one["auroc_low"] < 0.12 for one in lines)


def test_errors_are_counted_against_the_same_scans_untouched():
    table = answered("baseline", found(), answers(missed=20, alarmed=2), dataset(), SAMPLING)
    table = table.set_index("forgery")
    assert table.loc["splice", "called_healthy"] == 0.2  # of 100 ill
    assert table.loc["splice", "called_healthy_difference"] == 0.2
    assert table.loc["splice", "called_healthy_verdict"] == "worse"
    assert table.loc["splice", "called_ill"] == 0.02
    assert table.loc["splice", "called_ill_verdict"] == "not told apart"
    others = table.drop(index="splice")
    assert (others[["called_ill", "called_healthy"]] == 0).all(axis=None)
    assert table.loc["none", ["patients", "ill"]].tolist() == [200, 100]
    assert table["called_ill_verdict"].isna().tolist() == [True] + [False] * 5


def test_few_patients_of_either_class_are_not_counted_for_others():
    """Whoever may not see patients gets no count of fewer than ten of them."""
    data = dataset()
    for few, of_class in ((4, 1), (4, 0)):
        rare = replace(data, y=torch.where(torch.arange(N) < few, of_class, 1 - of_class))
        table = answered("baseline", found(), answers(), rare, SAMPLING)
        told = without_few(table)
        assert told["ill"].isna().all()
        assert (told["patients"] == N).all()


def test_what_vouches_is_told_as_prepare_said_it():
    assert provenance(found()).iloc[0].tolist() == ["not checked", 0, "", ""]
    said = {"state": "checked", "scans": 9, "covers": ["pixels", "label"], "key": "ab12"}
    assert provenance(found(provenance=said)).iloc[0].tolist() == [
        "checked",
        9,
        "pixels label",
        "ab12",
    ]


def test_the_scan_that_is_shown_is_chosen_by_rule():
    data, one = dataset(), found()
    table = shown(one, data)
    scores = one.score[0, 0, data.y == 1].sort().values
    chosen = int(table["patient"].iloc[0])
    assert data.y[chosen] == 1
    assert one.score[0, 0, chosen] == scores[(len(scores) - 1) // 2]
    first = np.frombuffer(bytes.fromhex(table["pixels"].iloc[0]), np.uint8).reshape(8, 8)
    np.testing.assert_array_equal(first, data.x[chosen, 0].numpy())
    assert table["forgery"].tolist() == list(one.forgeries)


def test_tables_of_a_stage_and_their_columns(cfg, tmp_path):
    place = tmp_path / "forgery"
    place.mkdir()
    data = dataset()
    sources, context = Sources({}, tmp_path), Context(data, cfg)
    assert RISK.tables(sources, context) == {}  # of records the stage writes no scans
    found().save(place)
    assert (place / FILE).exists()
    answers(missed=20).save(place / "baseline.safetensors")
    tables = RISK.tables(sources, context)
    assert list(tables) == [FOUND, ANSWERED, PROVENANCE, SHOWN]
    for name, table in tables.items():
        known = RISK.columns()[name]
        for column in table:
            plain = column
            for suffix in ("_low", "_high", "_difference"):
                assert suffix in SUFFIXES
                plain = plain.removesuffix(suffix)
            assert plain in known, column
    hidden = cfg.model_copy(update={"report": cfg.report.model_copy(update={"patients": "hidden"})})
    assert SHOWN not in RISK.tables(sources, Context(data, hidden))
    assert SHOWN in RISK.private
