"""Figures of images by hand, with their controls beside them."""

import pytest
import torch

from pipeline.risks.inversion.image_tables import (
    COLUMNS,
    REBUILT,
    TYPICAL,
    UPDATES,
    rebuilt_images,
    typical_images,
    updates_table,
)
from risks.inversion.made_up import SCANS, seen


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
