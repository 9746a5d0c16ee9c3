"""The chapter on poison: harm, filters, certificates; the right rows, never a bare number."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import parts
import tiny
from pipeline.attacks.poisoning import ATTACKS, POISON_FACTS, POISONS
from pipeline.presentation.chapter import NotApplicable, Note, Picture
from pipeline.presentation.numbers import interval_text
from pipeline.risks.poisoning import pictures, report
from pipeline.risks.poisoning.filter_tables import filter_table
from pipeline.risks.poisoning.harm_tables import harm_table
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN
from pipeline.risks.poisoning.risk import RISK
from pipeline.risks.poisoning.shown import (
    SHOWN_FIGURES,
    WORST,
    called_otherwise,
    headline_dose,
    worst_attacks,
)
from pipeline.risks.risk import Context, Judgement
from risks.poisoning.made_up import CERTIFICATE, made_up_filtered, made_up_harm

pytestmark = pytest.mark.heavy

FILTERS = ("neighbours", "majority", "loss")
HARMS = {  # what an attack is after, where it is not everybody's right answer
    "backdoor": "attack_success_rate",
    "missed_disease": "sensitivity",
    "worst_missed": "sensitivity",
}
DOSE = 0.1


@pytest.fixture(scope="module")
def change(cfg):
    def changed(doses):
        numbers = {"attacks": list(ATTACKS), "doses": doses, "adaptive_doses": doses}
        numbers |= {"headline_dose": DOSE}
        poisoning = cfg.poisoning.model_copy(update=numbers)
        return cfg.model_copy(update={"poisoning": poisoning})

    return changed


@pytest.fixture(scope="module")
def measured(change):
    harms = {
        name: made_up_harm(80, doses=4, harm=harm)
        for name, harm in (("baseline", 3.0), ("dp_train", 1.0))
    }
    return harm_table(harms, (setting := change([1, 0.05, 0.1, 0.2])), tiny.sampling(setting.audit))


@pytest.fixture
def table(measured):
    """The test's own copy."""
    return measured.copy()


@pytest.fixture(scope="module")
def sifted(change):
    harmed = made_up_harm(60, doses=3, harm=2.0)
    found = made_up_filtered(harmed, filters=FILTERS, gain=1.5)
    return filter_table(
        found, harmed, (setting := change([1, 0.1, 0.2])), tiny.sampling(setting.audit)
    )


@pytest.fixture
def filtered(sifted):
    """The test's own copy."""
    return sifted.copy()


@pytest.fixture
def not_even_begun(monkeypatch):
    """Pictures take most of the time; tests of tables go without."""
    nothing = Picture(Path("none.svg"), "")
    for name in ("draw", "draw_each", "draw_certificate"):
        monkeypatch.setattr(report, name, lambda *_: nothing)


@pytest.fixture
def context(cfg, dataset):
    poisoning = cfg.poisoning.model_copy(update={"headline_dose": DOSE})
    return Context(dataset, cfg.model_copy(update={"poisoning": poisoning}))


@pytest.fixture
def write(context, tmp_path):
    """Maps tables to their chapter."""

    def chapter(**tables):
        (one,) = RISK.chapters(tables, context, tmp_path)
        return one

    return chapter


def said(line, name):
    return interval_text(*(line[f"{name}{end}"] for end in ("", "_low", "_high")))


def test_sections_stand_in_order_with_their_pictures(write, table, filtered):
    chapter = write(certificate=CERTIFICATE, filters=filtered, poisoning=table)
    assert chapter.title == "What poisoned training data do"
    assert list(parts.folds(chapter)) == [
        "How it was measured",
        "Every attack",
        "Finding and dropping poisoned records",
        "What no poison can do (proved)",
    ]
    names = ["poisoning", "poisoning_sensitivity", "poisoning_auroc", "poisoning_operating_point"]
    names += ["poison_success", "certificate"]
    assert [path.name for path in parts.pictures(chapter)] == [f"{one}.svg" for one in names]
    for path in parts.pictures(chapter):
        assert path.stat().st_size < 80_000
    assert parts.is_short(chapter)


def test_a_section_for_what_is_there(write):
    chapter = write(certificate=CERTIFICATE)
    assert list(parts.folds(chapter)) == ["What no poison can do (proved)"]
    assert [path.name for path in parts.pictures(chapter)] == ["certificate.svg"]
    assert chapter.result.startswith("Proved to be answered rightly whoever inserts")
    assert chapter.brief == {}


def test_nothing_measured_nothing_said(cfg, dataset, tmp_path):
    for tables in ({}, {"certificate": CERTIFICATE.iloc[:0]}):
        assert RISK.chapters(tables, Context(dataset, cfg), tmp_path) == ()


def test_the_headline_is_the_share_nearest_to_the_one_wanted(table):
    assert headline_dose(table, 0.1) == 0.1
    assert headline_dose(table[table["dose"] != 0.1], 0.1) == 0.05
    assert headline_dose(table[table["dose"].isin([0, 1])], 0.1) == 1


def test_each_defense_meets_its_own_worst_attack_with_its_control(table, context):
    worst = worst_attacks(table, DOSE, context).set_index("defense")
    assert list(worst) == [*WORST, "backdoor: success", "targeted: success"]
    assert list(worst.index) == ["baseline", "dp_train"]
    for figure in WORST:
        measure = SHOWN_FIGURES["availability"][figure]
        for defense in worst.index:
            own = table[table["defense"] == defense]
            crowd = own[(own["dose"] == DOSE) & (own["goal"] == "availability")]
            least = min(crowd.to_dict("records"), key=lambda line: line[measure])
            clean = own[own["attack"] == "none"].iloc[0]
            assert worst.loc[defense, figure] == (
                f"{said(least, measure)} by {least['attack']} [without: {clean[measure]:.3f}]"
            )


def test_named_patients_are_counted_beside_their_control(table, context):
    worst = worst_attacks(table, DOSE, context).set_index("defense")
    (line,) = table[
        (table["attack"] == "one_patient")
        & (table["dose"] == DOSE)
        & (table["defense"] == "dp_train")
    ].to_dict("records")
    assert line["targets"] == 4
    assert worst.loc["dp_train", "targeted: success"] == (
        f"{said(line, 'attack_success_rate')} of 4 [without: {line['control']:.3f}]"
    )


def test_without_an_attack_on_everybody_there_is_no_worst(table, context):
    worst = worst_attacks(table[table["goal"] != "availability"], DOSE, context)
    assert list(worst) == ["defense", "backdoor: success", "targeted: success"]


def test_the_finding_counts_the_ill_under_the_worst_attack(table, context):
    found = RISK.finding({"poisoning": table}, context)
    own = table[table["defense"] == "baseline"]
    crowd = own[(own["dose"] == DOSE) & (own["goal"] == "availability")]
    line = min(crowd.to_dict("records"), key=lambda one: one[AT_CLEAN])
    clean = own[own["attack"] == "none"].iloc[0]
    size = line["poisoned"] / line["poison_rate"]
    assert f"of {line['poisoned']:.0f} of about {size:.0f} training records (10 %;" in found.text
    assert f"{line['attack']}, knows {line['knowledge']}" in found.text
    for one in (line, clean):
        count = f"{one[AT_CLEAN] * line['ill']:.1f}".removesuffix(".0")
        assert f"{count} of {line['ill']:.0f}" in found.text
    (headline, *_) = RISK.headline({"poisoning": table}, context.cfg)
    assert headline.table.loc["baseline", "value"] == line[AT_CLEAN]
    aimed = table[table["goal"] != "availability"]
    assert "backdoor (10 %" in RISK.finding({"poisoning": aimed}, context).text
    assert RISK.finding({}, context) is None


def test_where_patients_are_hidden_no_few_are_counted(table, context):
    report_ = context.cfg.report.model_copy(update={"patients": "hidden"})
    hidden = replace(context, cfg=context.cfg.model_copy(update={"report": report_}))
    few = table.assign(**{AT_CLEAN: 0.1})
    assert "fewer than 10 of 27 ill" in RISK.finding({"poisoning": few}, hidden).text
    unsaid = table.assign(ill=np.nan, patients=np.nan)
    assert "of nan" not in RISK.finding({"poisoning": unsaid}, hidden).text


def test_flags_stand_beside_names(table, filtered, context, tmp_path):
    flagged = replace(context, judged={"dp_train": Judgement({"harms_a_group": "why"})})
    tables = {"poisoning": table, "filters": filtered}
    (chapter,) = RISK.chapters(tables, flagged, tmp_path)
    for shown in parts.tables(chapter):
        assert "dp_train" not in [*parts.cells(shown), *shown]
    for path in parts.pictures(chapter):
        assert "[harms a group]" in path.read_text()


def test_a_share_called_ill_that_moved_is_a_warning(write, table, not_even_begun, context):
    quiet = table.assign(warning="none")
    assert called_otherwise(quiet, DOSE, context) == ""
    assert "Warning" not in parts.notes(write(poisoning=quiet))
    at = (quiet["defense"] == "dp_train") & (quiet["attack"] == "worst_missed")
    loud = quiet.assign(warning=quiet["warning"].mask(at & (quiet["dose"] == DOSE), "it fell"))
    assert called_otherwise(loud, DOSE, context) == "dp_train under worst_missed: it fell"
    attacks = quiet.loc[quiet["dose"] == DOSE, "attack"]
    assert f"dp_train under 1 of {attacks.nunique()} attacks" in parts.notes(write(poisoning=loud))
    assert "worst_missed: it fell" in parts.notes(write(poisoning=loud))


def test_an_attack_at_some_doses_is_drawn_at_these(table, context, tmp_path, monkeypatch, undrawn):
    figures = parts.drawn(monkeypatch, pictures)
    some = table[(table["attack"] != "adaptive_missed") | (table["dose"] == DOSE)]
    crowd = some[some["goal"].isin(["availability", "none"])]
    pictures.draw_each(crowd, "auroc", "a", context, tmp_path)
    panel = [axis.get_title() for axis in figures[0].axes].index("adaptive_missed")
    places = [place for place, _ in parts.curve(figures[0], panel, "dp_train")]
    assert places == [0, 3]


def test_every_attack_is_shown_at_the_headline_dose_and_no_number_is_bare(
    write, table, not_even_begun
):
    _, shown, *_ = parts.tables(write(poisoning=table))
    assert list(dict.fromkeys(shown["attack"])) == list(ATTACKS)
    assert list(shown)[2:] == ["baseline", "dp_train"]
    assert parts.bare_numbers(shown) == []
    lines = shown.set_index(["attack", "figure"])
    for attack, facts in POISON_FACTS.items():
        (row,) = table[
            (table["attack"] == attack) & (table["dose"] == DOSE) & (table["defense"] == "dp_train")
        ].to_dict("records")
        if facts.goal == "availability":
            clean = table[(table["attack"] == "none") & (table["defense"] == "dp_train")].iloc[0]
            for name, measure in SHOWN_FIGURES["availability"].items():
                cell = lines.loc[(attack, name), "dp_train"]
                assert cell == f"{said(row, measure)} [without: {clean[measure]:.3f}]"
        else:
            cell = lines.loc[(attack, "success"), "dp_train"]
            assert cell.startswith(said(row, "attack_success_rate"))
            assert f"{row['control']:.3f}" in cell


def test_what_was_not_run_is_neither_shown_nor_drawn(write, table, undrawn):
    flips = table[table["attack"].isin(["none", "random_flips"])]
    assert not np.isnan(flips["accuracy"]).any()
    chapter = write(poisoning=flips)
    drawn = {path.name for path in parts.pictures(chapter)}
    assert "poisoning.svg" in drawn
    assert "poison_success.svg" not in drawn
    assert set(parts.tables(chapter)[1]["attack"]) == {"random_flips"}


def test_a_curve_runs_from_no_poison_over_the_doses(table, context, tmp_path, monkeypatch, undrawn):
    figures = parts.drawn(monkeypatch, pictures)
    crowd = table[table["goal"].isin(["availability", "none"])]
    aimed = table[table["goal"].isin(["backdoor", "targeted"])]
    for measure in ("auroc", AT_CLEAN, "sensitivity"):
        pictures.draw_each(crowd, measure, measure, context, tmp_path)
    pictures.draw_each(aimed, "attack_success_rate", "won", context, tmp_path)
    panels = [axis.get_title() for axis in figures[0].axes]
    own = table[table["defense"] == "dp_train"].set_index(["attack", "dose"])
    doses = [1, 0.05, 0.1, 0.2]
    for drawn, measure in zip(figures, ("auroc", AT_CLEAN, "sensitivity"), strict=False):
        after = [own.loc[("worst_flips", dose), measure] for dose in doses]
        expected = [own.loc[("none", 0), measure], *after]
        panel = panels.index("worst_flips")
        assert parts.curve(drawn, panel, "dp_train") == list(enumerate(expected))
    success = [own.loc[("backdoor", dose), "attack_success_rate"] for dose in doses]
    expected = [own.loc[("backdoor", 1), "control"], *success]
    assert parts.curve(figures[3], 0, "dp_train") == list(enumerate(expected))


def test_the_open_picture_is_what_the_worst_attack_leaves(table, context, tmp_path, monkeypatch):
    figures = parts.drawn(monkeypatch, pictures)
    first = pictures.draw(table, DOSE, "what it says", context, tmp_path).path.read_bytes()
    own = table[(table["defense"] == "dp_train") & (table["goal"] == "availability")]
    expected = [table[(table["defense"] == "dp_train")].iloc[0][AT_CLEAN]]
    expected += [own[own["dose"] == dose][AT_CLEAN].min() for dose in (1, 0.05, 0.1, 0.2)]
    assert parts.curve(figures[0], 0, "dp_train") == list(enumerate(expected))
    assert pictures.draw(table, DOSE, "what it says", context, tmp_path).path.read_bytes() == first
    assert b"what it says" in first


def test_every_filter_and_attack_at_the_headline_dose(write, filtered):
    shown, found, _ = parts.tables(write(filters=filtered))
    shown = pd.concat([shown, found.iloc[:, 2:]], axis=1)
    at = filtered[filtered["dose"] == DOSE]
    assert len(shown) == len(at) == len(FILTERS) * (len(POISONS) - 1)
    for line, cells in zip(at.to_dict("records"), shown.to_dict("records"), strict=True):
        measure = HARMS.get(line["attack"], "accuracy")
        assert cells == {
            "attack": line["attack"],
            "filter": line["filter"],
            "poison found": said(line, "recall"),
            "false alarms": said(line, "false_alarm_rate"),
            "figure": "success" if line["attack"] == "backdoor" else measure,
            "not filtered": said(line, f"{measure}_without"),
            "after filtering": said(line, measure),
            "change": said(line, f"{measure}_difference"),
        }
    assert parts.bare_numbers(shown) == []


def test_what_filtering_costs_without_poison(write, filtered):
    *_, shown = parts.tables(write(filters=filtered))
    clean = filtered[filtered["attack"] == "none"]
    assert shown["filter"].tolist() == list(FILTERS)
    assert "poison found" not in shown
    for line, cells in zip(clean.to_dict("records"), shown.to_dict("records"), strict=True):
        assert cells["false alarms"] == said(line, "false_alarm_rate")
        assert cells["figure"] == "accuracy"
        assert cells["not filtered"] == said(line, "accuracy_without")
        assert cells["after filtering"] == said(line, "accuracy")
        assert cells["change"] == said(line, "accuracy_difference")
    assert parts.bare_numbers(shown) == []


def test_filters_that_were_not_run_are_not_shown(write, filtered):
    clean = filtered["attack"] == "none"
    first, second = parts.tables(write(filters=filtered[~clean]))
    assert "poison found" in [*first, *second]


def test_a_certificate_is_shown_with_intervals(write):
    (shown,) = parts.tables(write(certificate=CERTIFICATE))
    assert shown["defense"].tolist() == ["partition"] * 3
    assert shown["records poisoned"].tolist() == [0, 1, 2]
    assert shown["certified accuracy"][0] == "0.750 (0.700 to 0.800)"
    assert shown["certified sensitivity"][1] == "0.300 (0.200 to 0.400)"


def test_the_curve_of_a_certificate_is_its_column(context, tmp_path, monkeypatch):
    figures = parts.drawn(monkeypatch, pictures)
    pictures.draw_certificate(CERTIFICATE, "records", "", context, tmp_path)
    assert parts.curve(figures[0], 0, "partition") == [(0, 0.75), (1, 0.5), (2, 0.0)]


def test_tables_read_back_give_the_same_chapter(write, table, filtered, not_even_begun, tmp_path):
    tables = {"poisoning": table, "filters": filtered, "certificate": CERTIFICATE}
    again = {}
    for name, one in tables.items():
        one.to_csv(tmp_path / f"{name}.csv", index=False)
        path = tmp_path / f"{name}.csv"
        again[name] = pd.read_csv(path, keep_default_na=False, na_values=[""])
    pairs = zip(parts.tables(write(**tables)), parts.tables(write(**again)), strict=True)
    for first, second in pairs:
        assert first.astype(str).equals(second.astype(str))


def test_what_has_no_victims_is_said(change, cfg, tmp_path, not_even_begun):
    harm = made_up_harm(80, doses=2, harm=1.0)
    unable = -harm.margins["none"].abs()
    kept = {name: value for name, value in harm.poisoned.items() if name != "one_patient"}
    nobody = replace(
        harm,
        margins={**harm.margins, "none": unable},
        targets=harm.targets[:0],
        target_margins=harm.target_margins[..., :0],
        poisoned=kept,
        share={name: harm.share[name] for name in kept},
    )
    numbers = change([0.1, 0.2])
    table = harm_table({"baseline": nobody}, numbers, tiny.sampling(numbers.audit))
    (chapter,) = report.chapters({"poisoning": table}, Context(None, numbers), tmp_path)
    said = {part.what: part.why for part in chapter.parts if isinstance(part, NotApplicable)}
    nobody = f"not estimable: 0 of {int((harm.y == 1).sum())} ill patients are called ill"
    assert said == {
        "one_patient": f"{nobody} by undefended models",
        "backdoor, baseline": f"{nobody} without poison",
    }
    whole = harm_table({"baseline": harm}, numbers, tiny.sampling(numbers.audit))
    (chapter,) = report.chapters({"poisoning": whole}, Context(None, numbers), tmp_path)
    assert not any(isinstance(part, NotApplicable) for part in chapter.parts)


def test_where_patients_have_several_records_a_dose_is_of_patients(
    write, table, filtered, not_even_begun
):
    said = " ".join(
        str(part.text)
        for part in parts.unfolded(
            write(
                poisoning=table.assign(unit="patients"),
                filters=filtered,
                certificate=CERTIFICATE.assign(unit="patients"),
            ).parts
        )
        if isinstance(part, Note)
    )
    assert "10 % of a model's training patients, with all their records, poisoned" in said
    assert "so many patients with all their training records" in said
    assert "training records poisoned" not in said
