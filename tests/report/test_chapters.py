"""Chapters: one for every table that is there, none for what was not measured, and words that are no gaps."""

import pandas as pd

from pipeline.attacks.poisoning import POISONS
from pipeline.report.chapters import OF_STAGES, chapters, read_chapters
from pipeline.risks.poisoning.filter_tables import sanitising_table
from pipeline.risks.poisoning.tables import damage_table
from risks.poisoning.made_up import CERTIFICATE, cleansings, damage


def test_a_chapter_for_what_is_there(cfg, tmp_path):
    html = chapters({"certificate": CERTIFICATE}, cfg, tmp_path)
    assert html.count("<h3>What no poison can do</h3>") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["certificate.png"]


def test_cleaning_comes_after_the_poison_that_it_is_for(cfg, tmp_path):
    poisoning = cfg.poisoning.model_copy(update={"attacks": list(POISONS), "doses": [1, 0.1]})
    cfg, found = cfg.model_copy(update={"poisoning": poisoning}), damage(60, doses=2, harm=2.0)
    cleaned = sanitising_table(cleansings(found, filters=("loss",), gain=1.0), found, cfg)
    html = chapters(
        {"certificate": CERTIFICATE, "sanitising": cleaned, "poisoning": damage_table({"baseline": found}, cfg)}, cfg, tmp_path
    )
    order = ["What poisoned training data do", "Finding and dropping poisoned records", "What no poison can do"]
    assert [heading for _, heading in sorted((html.index(f">{one}</h"), one) for one in order)] == order


def test_nothing_measured_nothing_said(cfg, tmp_path):
    assert chapters({"certificate": CERTIFICATE.iloc[:0]}, cfg, tmp_path) == ""
    assert chapters({}, cfg, tmp_path) == ""


def test_none_is_a_word_in_the_tables_of_the_stages(tmp_path):
    for stage, names in OF_STAGES.items():
        (tmp_path / stage).mkdir()
        for name in names:
            pd.DataFrame({"attack": ["none", "x"], "accuracy": [0.5, None]}).to_csv(tmp_path / stage / f"{name}.csv", index=False)
    tables = read_chapters(tmp_path)
    assert set(tables) == {"frontier", "poisoning", "sanitising", "theft", "theft_api"}
    assert tables["poisoning"]["attack"].tolist() == ["none", "x"]
    assert tables["poisoning"]["accuracy"].isna().tolist() == [False, True]
