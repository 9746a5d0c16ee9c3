"""The chapters of evasion: planted figures in the right cell, flags beside names."""

import pandas as pd
import pytest

from pipeline.presentation.chapter import Note, Picture, Table
from pipeline.risks.evasion import report
from pipeline.risks.evasion.measure.attackers import TRANSFER
from pipeline.risks.evasion.measure.subject import PROOFS
from pipeline.risks.evasion.report import chapters
from risks.evasion.made_up import DEFENSES, EPS, HEADLINE, LABELS, OTHER

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Pictures have tests of their own, and take a second."""
    monkeypatch.setattr(report, "draw_all", lambda tables, cfg, folder: [])


@pytest.fixture
def written(tables, context, tmp_path):
    """Title to parts."""
    return {one.title: one.parts for one in chapters(tables, context, tmp_path)}


def chapter_of(written, beginning):
    (title,) = [title for title in written if title.startswith(beginning)]
    return [part.table for part in written[title] if isinstance(part, Table)]


def test_a_chapter_for_each_threat_the_headline_first(written):
    titles = list(written)
    assert len(set(titles)) == len(titles)
    assert HEADLINE in titles[0]
    assert OTHER in titles[1]
    for part in ("What each attack leaves", "Who attacks", "Classification", "What one eps means"):
        assert chapter_of(written, part)


def test_of_whom_nothing_was_measured_there_is_no_chapter(context, tmp_path):
    assert chapters({}, context, tmp_path) == ()
    assert chapters({"comparison": pd.DataFrame()}, context, tmp_path) == ()


def test_every_chapter_with_figures_of_a_sample_says_so(tables, context, tmp_path):
    sampled = tables["comparison"].assign(attacked=30, records=90)
    for lines, expected in ((tables["comparison"], False), (sampled, True)):
        for one in chapters({**tables, "comparison": lines}, context, tmp_path):
            notes = [part.text for part in one.parts if isinstance(part, Note)]
            figures = any(part.kind == "numbers" for part in one.parts if isinstance(part, Table))
            said = "Of a stratified sample of 30 of 90 records." in notes
            assert said == (expected and figures)


def test_a_flag_stands_beside_the_name_in_every_table(written):
    seen = 0
    for parts in written.values():
        for part in parts:
            if isinstance(part, Table) and "defense" in part.table:
                assert set(part.table["defense"]) == set(LABELS.values())
                seen += 1
    assert seen >= 4


def test_single_patients_stand_under_the_headline_threat_with_the_flag_beside_the_name(written):
    parts = next(iter(written.values()))
    assert [part.kind for part in parts if isinstance(part, Table)].count("patients") == len(LABELS)
    for label in LABELS.values():
        assert any(isinstance(part, Note) and part.text.startswith(label) for part in parts)


def test_the_pictures_follow_the_first_table(tables, context, tmp_path, monkeypatch):
    picture = Picture(tmp_path / "a.png", "what it shows")
    monkeypatch.setattr(report, "draw_all", lambda tables, cfg, folder: [picture])
    parts = chapters(tables, context, tmp_path)[0].parts
    place = parts.index(picture)
    assert [type(part) for part in parts[: place + 1]] == [Note, Table, Picture]


# ---- the tables of the comparison ----

INTERVALS = {
    "robust accuracy": ("robust_accuracy", "robust_low", "robust_high"),
    "sensitivity": ("sensitivity", "sensitivity_low", "sensitivity_high"),
    "specificity": ("specificity", "specificity_low", "specificity_high"),
    "AUROC": ("attacked_auc", "attacked_auc_low", "attacked_auc_high"),
    "certified AUROC": ("certified_auc", "certified_auc_low", "certified_auc_high"),
}


@pytest.mark.parametrize("title", INTERVALS)
def test_every_figure_stands_in_its_own_column_with_its_interval(
    tables, context, comparison, tmp_path, title
):
    for value, column in zip((0.625, 0.125, 0.875), INTERVALS[title], strict=True):
        comparison[column] = value
    first, other, *_ = chapters({**tables, "comparison": comparison}, context, tmp_path)
    shown = next(part.table for part in first.parts if isinstance(part, Table))
    planted = "0.625 (0.125 to 0.875)"
    assert (shown[title] == planted).all()
    assert not (shown.drop(columns=title) == planted).any().any()
    beside = next(part.table for part in other.parts if isinstance(part, Table))
    assert title not in beside or (beside[title] == planted).all()


def test_where_no_auroc_is_certified_there_is_a_dash(tables, context, comparison, tmp_path):
    names = [name for name in comparison if name.startswith("certified_auc")]
    known = comparison.drop(columns=names)
    (first, *_) = chapters({**tables, "comparison": known}, context, tmp_path)
    shown = next(part.table for part in first.parts if isinstance(part, Table))
    assert (shown["certified AUROC"] == "-").all()


def test_a_figure_without_interval_stands_in_its_own_column(written, comparison):
    shown = next(part.table for part in next(iter(written.values())) if isinstance(part, Table))
    lines = comparison[comparison["threat"] == HEADLINE]
    said = [f"{value:.3f}" for value in lines["balanced_accuracy"]]
    assert shown["balanced accuracy"].tolist() == said
    assert shown["eps"].tolist() == [f"{eps:g}" for eps in lines["eps"]]


def test_the_page_says_what_is_proved_and_what_is_left_undecided(written, comparison):
    headline, other = (
        next(p.table for p in parts if isinstance(p, Table)) for parts in pair(written)
    )
    assert (headline["proved"] == "exact").all()
    lines = comparison[comparison["threat"] == OTHER]
    assert (lines["undecided"] > 0).any()
    for said, line in zip(other["proved"], lines.to_dict("records"), strict=True):
        left = f"{line['verified_accuracy']:.3f}, undecided {line['undecided']:.3f}"
        if line["eps"] > 0.3:
            attacks = {k: v for k, v in line.items() if k.startswith("accuracy_") and v == v}
            name = min(attacks, key=attacks.get).removeprefix("accuracy_")
            assert said == f"not verified beyond 0.3; {name} alone"
        else:
            assert said == (left if line["undecided"] > 0 else "exact")
    assert any(said.startswith("not verified") for said in other["proved"])


def test_of_whom_nothing_can_be_proved_nothing_is_called_exact(tables, context, tmp_path):
    """Not even where nobody is left to be proved of."""
    nobody = tables["comparison"].assign(
        robust_accuracy=0.0, verified_accuracy=0.0, undecided=0.0, verified_to=1.0
    )
    gaps = pd.DataFrame([["adv_train", PROOFS, "why"]], columns=["defense", "what", "why"])
    known = {**tables, "comparison": nobody, "evasion_not_applicable": gaps}
    for parts in pair({one.title: one.parts for one in chapters(known, context, tmp_path)}):
        shown = next(part.table for part in parts if isinstance(part, Table))
        said = shown.groupby("defense", sort=False)["proved"].unique().map(list).to_dict()
        assert said == {
            LABELS["baseline"]: ["exact"],
            LABELS["adv_train"]: ["undecided"],
            LABELS["distill"]: ["exact"],
        }


def pair(written):
    """The parts of the first two chapters."""
    return list(written.values())[:2]


# ---- attacks and attackers ----


def test_attacks_stand_in_their_order_and_radii_as_numbers(tables, context, tmp_path):
    """10 comes after 2."""
    larger = tables["attacks"].replace({"eps": dict(zip(EPS, (0.0, 2.0, 10.0), strict=True))})
    some = chapters({**tables, "attacks": larger}, context, tmp_path)
    (shown,) = chapter_of({one.title: one.parts for one in some}, "What each attack leaves")
    assert list(shown) == ["defense", "attack", "eps 0", "eps 2", "eps 10"]
    attacks = ["fgsm", "pgd_ce", "pgd_margin"]
    assert shown["attack"].tolist() == [*attacks * len(DEFENSES), TRANSFER]


def test_each_attack_leaves_what_its_table_says(written, tables):
    (shown,) = chapter_of(written, "What each attack leaves")
    left = tables["attacks"].set_index(["threat", "defense", "attack", "eps"])["accuracy"]
    names = {label: name for name, label in LABELS.items()}
    for row in shown.to_dict("records"):
        for eps in EPS:
            wanted = left[HEADLINE, names[row["defense"]], row["attack"], eps]
            assert row[f"eps {eps:g}"] == f"{wanted:.3f}"


def test_each_attacker_stands_once_with_all_its_norms(tables, context, tmp_path):
    attacks = tables["attacks"]
    there = (attacks["attack"] == "fgsm") & (attacks["threat"] == OTHER)
    l2 = attacks.assign(norm=attacks["norm"].mask(there, "l2"))
    some = chapters({**tables, "attacks": l2}, context, tmp_path)
    (shown,) = chapter_of({one.title: one.parts for one in some}, "Who attacks")
    of_attack = shown.set_index("attack")
    assert list(of_attack.index) == ["fgsm", "pgd_ce", "pgd_margin", TRANSFER]
    assert of_attack.loc["fgsm", "norm"] == "linf, l2"
    assert of_attack.loc["pgd_ce", "norm"] == "linf"
    assert of_attack.loc[TRANSFER, "knowledge"] == "grey box"


# ---- classification, radii ----


def test_the_classification_is_shown_clean_and_at_the_largest_radius(written, tables):
    (shown,) = chapter_of(written, "Classification")
    assert set(shown["eps"]) == {"0", f"{EPS[-1]:g}"}
    kept = tables["classification"][tables["classification"]["eps"].isin([0.0, EPS[-1]])]
    assert shown["recall"].tolist() == [f"{value:.3f}" for value in kept["recall"]]


def test_the_radii_are_told_in_the_unit_of_each_measurement(written, context):
    (shown,) = chapter_of(written, "What one eps means")
    glucose = shown.set_index("feature").loc["glucose, mg/dL"]
    assert [glucose[f"eps {eps:g}"] for eps in EPS[1:]] == ["3 (3)", "15 (15)"]
    source = context.cfg.data.features["glucose"].error_source
    assert glucose["source of the error"] == source  # nothing shortened
