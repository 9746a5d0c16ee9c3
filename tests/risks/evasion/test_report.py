"""The chapters of evasion: a result, one picture, one short table; flags, figures, no winner."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from pipeline.presentation.chapter import Fold, Items, Note, Picture, Table
from pipeline.risks.evasion.measure.attackers import TRANSFER
from pipeline.risks.evasion.measure.subject import PROOFS
from pipeline.risks.evasion.report import chapters, cover, finding, untested
from pipeline.risks.evasion.risk import judge
from risks.evasion.made_up import DEFENSES, EPS, HEADLINE, LABELS, OTHER

pytestmark = pytest.mark.heavy

TITLES = [
    "What one eps means",
    "Accuracy before attack, under FGSM and under the strongest attack",
    f"Under the {HEADLINE} threat",
    "Which patients, and what it takes",
    "What robustness costs",
    "Whether the probabilities come true",
    "Other threats",
]


@pytest.fixture(scope="module")
def written(tables, context, tmp_path_factory):
    """By title."""
    known = replace(context, judged=judge(tables))
    found = chapters(tables, known, tmp_path_factory.mktemp("plots"))
    return {one.title: one for one in found}


def inside(parts):
    """Every part, those in folds too."""
    for part in parts:
        yield part
        if isinstance(part, Fold):
            yield from inside(part.parts)


def tables_in(parts):
    return [part for part in inside(parts) if isinstance(part, Table)]


def fold_of(chapter, beginning):
    (found,) = [p for p in chapter.parts if isinstance(p, Fold) and p.title.startswith(beginning)]
    return [part.table for part in found.parts if isinstance(part, Table)]


def hidden(context):
    report = context.cfg.report.model_copy(update={"patients": "hidden"})
    return replace(context, cfg=context.cfg.model_copy(update={"report": report}))


def test_every_chapter_has_a_result_and_few_parts_stand_open(written):
    groups = [title for title in written if title not in TITLES]
    assert [title for title in written if title in TITLES] == TITLES
    assert set(groups) <= {"Groups of patients"}
    for one in written.values():
        assert one.result.endswith(".")
        open_tables = [part for part in one.parts if isinstance(part, Table)]
        assert len(open_tables) == 1
        assert len(open_tables[0].table) <= 10
        assert open_tables[0].caption
        drawn = [part for part in one.parts if isinstance(part, Picture)]
        assert len([part for part in drawn if not part.patients]) <= 1


def test_of_whom_nothing_was_measured_nothing_is_said(context, tmp_path):
    for nothing in ({}, {"comparison": pd.DataFrame()}):
        assert chapters(nothing, context, tmp_path) == ()
        assert finding(nothing, context) is None
        assert cover(nothing, context, tmp_path) is None
        assert untested(nothing, context) == ()


def test_a_flag_stands_beside_the_name_everywhere(written):
    seen = 0
    for one in written.values():
        texts = [one.result]
        for part in inside(one.parts):
            if isinstance(part, Table) and "defense" in part.table:
                assert set(part.table["defense"]) <= set(LABELS.values())
                seen += 1
            texts += [part.shows] if isinstance(part, Picture) else []
            texts += [part.title] if isinstance(part, Fold) else []
            texts += [part.text] if isinstance(part, Note) else []
            if isinstance(part, Picture):
                texts.append(part.path.read_text(encoding="utf-8").split("</desc>")[0])
        for text in texts:
            for found in re.finditer(r"\bdistill\b", text):
                assert text[found.start() :].startswith(LABELS["distill"]), text
    assert seen >= 8


def test_the_results_say_figures_with_intervals_and_no_praise(written):
    for one in written.values():
        by_rule = re.sub(r"none is told to be the best\.|best: \w+\.", "", one.result)
        assert not re.search(r"\b(best|robust|safe|secure|low|high|strong)\b", by_rule)
    for title in TITLES[1:3]:
        assert re.search(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", written[title].result)


def test_every_picture_is_small_and_says_more_than_its_title(written):
    drawn = [p for one in written.values() for p in inside(one.parts) if isinstance(p, Picture)]
    assert len({one.path for one in drawn}) == len(drawn) >= 10
    for one in drawn:
        assert one.path.stat().st_size < 80_000
        assert len(one.shows) > len(one.caption.split(".")[0])
        assert re.search(r"\d", one.shows)


@pytest.mark.slow
def test_the_same_tables_are_the_same_chapters_byte_by_byte(written, tables, context, tmp_path):
    again = chapters(tables, replace(context, judged=judge(tables)), tmp_path)
    for before, after in zip(written.values(), again, strict=True):
        assert (before.title, before.result) == (after.title, after.result)
        pairs = zip(inside(before.parts), inside(after.parts), strict=True)
        for a, b in pairs:
            if isinstance(a, Picture):
                assert a.path.read_bytes() == b.path.read_bytes()


# ---- patients ----


def test_where_patients_are_hidden_none_is_shown_or_drawn(tables, context, tmp_path, undrawn):
    for one in chapters(tables, hidden(context), tmp_path):
        for part in inside([*one.parts, *(p for parts in one.brief.values() for p in parts)]):
            assert not of_patients(part)
    assert not (tmp_path / "fragile.svg").exists()


def of_patients(part):
    """Whether a part of a chapter shows single patients."""
    if isinstance(part, Picture):
        return part.patients
    return isinstance(part, Table) and part.kind == "patients"


def test_what_shows_single_patients_is_marked_as_such(written, tables):
    parts = written["Which patients, and what it takes"].parts
    marked = [part for part in inside(parts) if of_patients(part)]
    assert [part.path.stem for part in marked if isinstance(part, Picture)] == ["fragile"]
    with_patients = [part for part in tables_in(parts) if "patient" in part.table]
    assert len(with_patients) == 1 + len(DEFENSES)
    assert all(part.kind == "patients" for part in with_patients)
    names = {str(number) for number in tables["fragile"]["patient"]}
    shown = [p for p in inside(parts) if isinstance(p, Picture) and not p.patients]
    assert shown
    assert names


def test_a_clinician_gets_the_threshold_the_error_and_at_most_three_examples(written):
    brief = [p for one in written.values() for p in one.brief.get("clinician", ())]
    said = {name for part in brief if isinstance(part, Items) for name, _ in part.entries}
    assert {"Sensitivity", "Specificity", "Threshold"} <= said
    examples = [part for part in brief if isinstance(part, Table)]
    assert [part.kind for part in examples] == ["patients"]
    assert len(examples[0].table) <= 3


# ---- the finding, the cover ----


def test_the_finding_counts_patients_of_the_undefended_models(tables, context, view):
    found = finding(tables, context)
    assert found.defense == "baseline"
    at, clean = view.line(view.attacked), view.line(view.clean)
    whole = at["fn"] + at["tp"]
    assert f"miss the disease of {at['fn']:.0f} of {whole:.0f} ill patients" in found.text
    rate = at["missed_diagnosis_rate"]
    low, high = at["missed_diagnosis_rate_low"], at["missed_diagnosis_rate_high"]
    assert f"({rate:.3f}; {low:.3f} to {high:.3f}); {clean['fn']:.0f} of them without" in found.text
    assert "eps 0.1 (3 mg/dL of glucose)" in found.text
    assert "white box" in found.text


def test_the_finding_hides_a_few(tables, context):
    few = tables["comparison"].copy()
    few.loc[few["eps"] == 0, ["fn", "tp"]] = 3.0, 57.0
    few.loc[few["eps"] > 0, ["fn", "tp"]] = 9.0, 51.0
    known = {**tables, "comparison": few}
    assert "9 of 60 ill patients" in finding(known, context).text
    said = finding(known, hidden(context)).text
    assert "fewer than 10 of 60 ill patients" in said
    assert "fewer than 10 of them without" in said


@pytest.mark.slow
def test_it_counts_from_the_share_where_the_cells_are_not_told(tables, context, view, tmp_path):
    open_ = finding(tables, context).text
    first = tables["comparison"]["defense"] == "baseline"
    untold = tables["comparison"].copy()
    untold.loc[first, ["fn", "tp"]] = float("nan")
    assert finding({**tables, "comparison": untold}, context).text == open_
    untold[["fn", "tp"]] = float("nan")
    nobody = {**tables, "comparison": untold}
    assert "miss the disease of some ill patients (0." in finding(nobody, context).text
    said = [one.result for one in chapters(nobody, context, tmp_path) if "Under" in one.title]
    assert "the undefended models miss 0." in said[0]


def test_where_only_the_healthy_are_attacked_it_counts_false_alarms(tables, context):
    threats = dict(context.cfg.threat)
    threats[HEADLINE] = threats[HEADLINE].model_copy(update={"goal": "alarm"})
    alarm = replace(context, cfg=context.cfg.model_copy(update={"threat": threats}))
    said = finding(tables, alarm).text
    assert "call ill" in said
    assert "healthy patients" in said


def test_where_nothing_can_be_changed_the_finding_says_so(tables, context):
    still = {**tables, "comparison": tables["comparison"].assign(movable=0.0)}
    assert "evasion was not tested" in finding(still, context).text


def test_a_sample_is_said_in_every_chapter_with_figures(tables, context, tmp_path, undrawn):
    sampled = {**tables, "comparison": tables["comparison"].assign(attacked=30, records=90)}
    for one in chapters(sampled, context, tmp_path):
        parts = list(inside(one.parts))
        notes = [part.text for part in parts if isinstance(part, Note)]
        if any(isinstance(part, Picture) for part in parts):
            assert "Of a stratified sample of 30 of 90 records." in notes
        for part in parts:
            if isinstance(part, Picture):
                assert "a stratified sample of 30 of 90 records" in part.shows
    assert "a stratified sample of 30 of 90 records" in finding(sampled, context).text


# ---- the tables ----


def test_the_table_of_accuracy_is_the_classification_table(written, tables):
    (open_, *_) = tables_in(written[TITLES[1]].parts)
    table = tables["classification"].set_index(["defense", "attack", "eps"])
    radius = 0.1  # nearest to the headline radius among those examined
    for name, shown in zip(DEFENSES, open_.table.to_dict("records"), strict=True):
        assert shown["defense"] == LABELS[name]
        columns = {
            "before attack": ("none", 0.0),
            "under fgsm": ("fgsm", radius),
            "under the strongest attack": ("strongest", radius),
        }
        for column, (attack, eps) in columns.items():
            line = table.loc[(name, attack, eps)].iloc[0]
            wanted = f"{line['accuracy']:.3f} ({line['accuracy_low']:.3f} to "
            assert shown[column].startswith(wanted)
    (report,) = fold_of(written[TITLES[1]], "Classification report")
    assert len(report) == len(DEFENSES) * 3 * 2


def test_every_radius_stands_in_a_fold_with_its_proofs(written, tables):
    (shown,) = fold_of(written[TITLES[2]], "Every radius")
    lines = tables["comparison"][tables["comparison"]["threat"] == HEADLINE]
    assert shown["eps"].tolist() == [f"{eps:g}" for eps in lines["eps"]]
    assert (shown["proved"] == "exact").all()
    assert "AUROC under attack" in shown
    assert "AUROC" not in shown


def test_beyond_what_was_verified_it_is_said_and_no_zero(written):
    (shown,) = fold_of(written["Other threats"], f"Under the {OTHER}")
    beyond = shown[shown.filter(like="eps").iloc[:, 0] == f"{EPS[-1]:g}"]
    assert beyond["proved"].str.startswith("not verified beyond 0.3").all()


def test_of_whom_nothing_can_be_proved_nothing_is_called_exact(tables, context, tmp_path, undrawn):
    gaps = pd.DataFrame([["adv_train", PROOFS, "why"]], columns=["defense", "what", "why"])
    known = {**tables, "evasion_not_applicable": gaps}
    for one in chapters(known, context, tmp_path):
        for part in tables_in(one.parts):
            if {"proved", "defense"} <= set(part.table):
                own = part.table[part.table["defense"] == "adv_train"]
                assert (own["proved"] == "undecided").all()
    assert any("Of adv_train nothing is proved" in text for text in untested(known, context))


def test_attacks_stand_by_themselves_in_their_order(written, tables):
    (shown,) = fold_of(written[TITLES[2]], "What each attack leaves")
    attacks = ["fgsm", "pgd_ce", "pgd_margin"]
    assert shown["attack"].tolist() == [*attacks * len(DEFENSES), TRANSFER]
    left = tables["attacks"].set_index(["threat", "defense", "attack", "eps"])["accuracy"]
    names = {label: name for name, label in LABELS.items()}
    for row in shown.to_dict("records"):
        for eps in EPS:
            wanted = left[HEADLINE, names[row["defense"]], row["attack"], eps]
            assert row[f"eps {eps:g}"] == f"{wanted:.3f}"


def test_each_attacker_stands_once(written):
    (shown,) = fold_of(written[TITLES[2]], "Who attacks")
    assert shown["attack"].tolist() == ["fgsm", "pgd_ce", "pgd_margin", TRANSFER]
    assert shown.set_index("attack").loc[TRANSFER, "knowledge"] == "grey box"


def test_the_radii_are_told_in_the_unit_of_each_measurement(written, context):
    (shown,) = fold_of(written[TITLES[0]], "Every eps")
    glucose = shown.set_index("feature").loc["glucose, mg/dL"]
    assert [glucose[f"eps {eps:g}"] for eps in EPS[1:]] == ["3 (3)", "15 (15)"]
    source = context.cfg.data.features["glucose"].error_source
    assert glucose["source of the error"] == source  # nothing shortened
    assert "eps 1 is 30 mg/dL of glucose" in written[TITLES[0]].result


@pytest.mark.slow
def test_where_a_split_chose_the_cut_the_chapter_says_whether_it_transfers(
    tables, context, tmp_path
):
    figures = {"prevalence": 0.75, "auroc": 0.9, "sensitivity": 0.8, "specificity": 0.7}
    lines = []
    for part, less in (("train", 0.0), ("tune", 0.0), ("test", 0.1), ("tune less test", 0.0)):
        line = {"defense": "baseline", "part": part, "patients": 50.0, "ill": 30.0}
        for name, value in figures.items():
            shown = 0.1 if part == "tune less test" else value - less
            line |= {name: shown, f"{name}_low": shown - 0.05, f"{name}_high": shown + 0.05}
        lines.append(line)
    known = replace(context, judged=judge(tables))
    split = chapters({**tables, "split": pd.DataFrame(lines)}, known, tmp_path)
    (chapter,) = [one for one in split if one.title == TITLES[1]]
    (rule,) = [p for p in chapter.parts if isinstance(p, Note) and "cut was chosen" in p.text]
    assert not rule.small
    assert "easier (AUROC 0.900 against 0.800) and have more ill" in rule.text
    shown = pd.concat(fold_of(chapter, "Where the cut was chosen"), axis=1)
    assert shown["AUROC"].tolist()[1] == "0.900 (0.850 to 0.950)"
    (facts,) = chapter.brief["clinician"]
    assert dict(facts.entries)["Threshold"].endswith("chosen on the split's tune records")
