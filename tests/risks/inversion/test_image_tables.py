"""Figures of images by hand, with their controls beside them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.attacks.reconstruction import correlation
from pipeline.risks.inversion.image_tables import (
    COLUMNS,
    REBUILT,
    TOLD,
    TOLD_PAIRS,
    TYPICAL,
    UPDATES,
    as_sent,
    rebuilt_images,
    told_more,
    told_tables,
    typical_images,
    updates_table,
)
from pipeline.statistics.intervals import Sampling
from risks.inversion.made_up import SCANS, seen

SAMPLING = Sampling(200, 0.95, 0)


def told(one, dataset=SCANS, sampling=SAMPLING):
    return told_tables({"baseline": one}, dataset, sampling)[TOLD].set_index("source")


def test_what_is_told_beyond_the_public_mean_by_hand():
    table, one = told(seen()), seen()
    control = correlation(one.public[0], SCANS.x[:4]).mean().item()
    assert table["correlation"].tolist()[:2] == pytest.approx([1.0, -1.0])
    assert table.loc["plain", "control"] == pytest.approx(control)
    assert table.loc["plain", "more"] == pytest.approx(1 - control)
    assert table["images"].tolist() == [4, 4, 3]
    # the typical image is the control itself here: it tells nothing more, of the ill trained on
    own = correlation(one.public[0], SCANS.x[[1, 3, 5]]).mean().item()
    assert table.loc["class", ["correlation", "more"]].tolist() == pytest.approx([own, 0.0])
    assert table["finding"].tolist() == ["yes", "no", "no"]


def test_only_those_whom_a_network_trained_on_are_compared_with_its_typical_image():
    one = seen()
    moved = SCANS.x.clone()
    moved[6:] = moved[6:].flip(-1)  # nobody's member
    dataset = replace(SCANS, x=moved)
    assert told(one, dataset).loc["class"].equals(told(one).loc["class"])


def test_an_image_of_two_networks_counts_once():
    one = seen()
    twice = replace(one, index=torch.tensor([[0, 1], [0, 1]]))
    twice = replace(twice, rebuilt={"plain": torch.stack([SCANS.x[:2], -SCANS.x[:2]])})
    line = told(twice).loc["plain"]
    assert line["images"] == 2
    assert line["correlation"] == pytest.approx(0.0)  # 1 by one network and -1 by the other
    assert line["correlation_low"] == pytest.approx(line["correlation_high"])


def test_patients_are_drawn_with_all_their_images():
    one = replace(seen(), rebuilt={"plain": torch.randn(2, 2, 1, 8, 8)})
    alone = told(one).loc["plain"]
    together = told(one, sampling=replace(SAMPLING, patient=np.arange(8) // 8)).loc["plain"]
    assert alone["more_low"] < alone["more_high"]
    assert together["more_low"] == pytest.approx(together["more_high"])


def test_the_rule():
    cases = [(0.01, 0.2), (-0.1, 0.1), (0.0, 0.1), (-0.2, -0.1), (-0.1, 0.0)]
    answers = ["yes", "not told apart", "not told apart", "no", "no"]
    assert [told_more(*bounds) for bounds in cases] == answers


def test_defenses_are_compared_on_the_same_images():
    worse = replace(seen(), rebuilt={"plain": seen().rebuilt["private"]})
    pairs = told_tables({"baseline": seen(), "other": worse}, SCANS, SAMPLING)[TOLD_PAIRS]
    lines = pairs.set_index("figure")
    assert lines.index.tolist() == ["plain", "class", "sent"]
    assert lines["difference"].tolist() == pytest.approx([-2.0, 0.0, -2.0])
    assert lines["se"].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_a_private_recipe_is_judged_by_the_update_that_it_sends():
    """Noise is part of it: without, its networks may tell as much as any, and nobody sees that."""
    both = {"baseline": seen(), "dp_train": seen()}
    tables = told_tables(both, SCANS, SAMPLING)
    own = as_sent(tables[TOLD]).set_index("defense")
    assert own["source"].to_dict() == {"baseline": "plain", "dp_train": "private"}
    pairs = tables[TOLD_PAIRS].set_index("figure")["difference"]
    assert pairs.to_dict() == pytest.approx(
        {"plain": 0.0, "private": 0.0, "class": 0.0, "sent": -2.0}
    )


def test_updates_by_hand():
    table = updates_table({"baseline": seen()}, SCANS).set_index("update")
    assert table["correlation"].tolist() == pytest.approx([1.0, -1.0])
    assert table["nearer"].tolist() == [1.0, 0.0]
    assert table.loc["plain", "images"] == 4
    # off by one level of 16 everywhere
    assert table.loc["plain", "psnr"] == pytest.approx(20 * torch.tensor(16.0).log10().item())
    assert table.loc["private", "noise_multiplier"] == 2
    assert table["noise_multiplier"].isna().tolist() == [True, False]
    assert (table["control_low"] <= table["control"]).all()


def test_typical_images_are_means_with_their_range():
    line = typical_images({"baseline": seen()}).iloc[0]
    assert [line[f"to_class_mean{end}"] for end in ("", "_low", "_high")] == [0.5, 0.25, 0.75]
    assert line["victims"] == 2


def test_every_column_is_explained():
    drawn = {
        **told_tables({"baseline": seen(), "other": seen()}, SCANS, SAMPLING),
        TYPICAL: typical_images({"baseline": seen()}),
        UPDATES: updates_table({"baseline": seen()}, SCANS),
    }
    for name, table in drawn.items():
        plain = {column.removesuffix("_low").removesuffix("_high") for column in table}
        assert plain == set(COLUMNS[name])


def test_what_is_shown_is_the_image_itself():
    table = rebuilt_images({"baseline": seen()}, SCANS)
    assert table["kind"].value_counts(sort=False).to_dict() == dict.fromkeys(
        ["original", "control", "plain", "private"], 2
    )
    levels = torch.tensor(list(bytes.fromhex(table["pixels"].iloc[1]))).view(1, 8, 8)
    torch.testing.assert_close(levels / 255 * 16, SCANS.x[1], atol=0.04, rtol=0)
    assert set(table) == set(COLUMNS[REBUILT])
