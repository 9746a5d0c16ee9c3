"""The chapter on images says what was found, and the control beside it."""

from types import SimpleNamespace

import pandas as pd

from pipeline.presentation.chapter import Picture, Table
from pipeline.risks.inversion.image_report import image_parts, sentence
from pipeline.risks.inversion.image_tables import REBUILT, TYPICAL, UPDATES

CONTEXT = SimpleNamespace(display=lambda name: name)


def bounded(name, value):
    return {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}


def made_up():
    lines = [
        {
            "defense": "baseline",
            "update": kind,
            "images": 8,
            **bounded("correlation", found),
            **bounded("control", 0.25),
            **bounded("psnr", 20.0),
            **bounded("control_psnr", 12.0),
            "nearer": 1.0,
        }
        for kind, found in (("plain", 0.75), ("private", 0.125))
    ]
    names = ("to_class_mean", "public_to_class_mean", "to_nearest_member", "to_nearest_non_member")
    typical = {"defense": "baseline", "victims": 2}
    for name in names:
        typical |= bounded(name, 0.5)
    return {UPDATES: pd.DataFrame(lines), TYPICAL: pd.DataFrame([typical])}


def test_the_sentence_names_finding_control_and_number():
    said = sentence(made_up(), CONTEXT)
    for part in ("0.75 (0.65 to 0.85, 8 images)", "[public mean: 0.25]", "dp_train 0.12"):
        assert part in said
    alone = made_up()
    alone[UPDATES] = alone[UPDATES].head(1)
    assert "dp_train" not in sentence(alone, CONTEXT)


def test_every_row_is_shown_with_its_control(tmp_path):
    parts = image_parts(made_up(), CONTEXT, tmp_path)
    assert not list(tmp_path.iterdir())  # no picture where no patient is shown
    (table,) = [part for part in parts if isinstance(part, Table)]
    assert table.table["update"].tolist() == ["plain", "private"]
    assert table.table["control"].tolist() == ["0.250 (0.150 to 0.350)"] * 2


def test_images_are_drawn_where_they_may_be_shown(tmp_path):
    lines = [
        {"defense": "baseline", "kind": kind, "place": place, "height": 2, "pixels": "00ff7f80"}
        for kind in ("original", "control", "plain")
        for place in range(2)
    ]
    parts = image_parts(made_up() | {REBUILT: pd.DataFrame(lines)}, CONTEXT, tmp_path)
    assert [part.path.name for part in parts if isinstance(part, Picture)] == ["image_updates.svg"]
    assert (tmp_path / "image_updates.svg").read_text().count("<image") == 6
