"""The pictures of evasion: curves are the tables, flags stand beside names, bytes do not vary."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from pipeline.presentation.pictures import save_figure
from pipeline.risks.evasion.pictures import confusion_matrices, draw_all, robustness, roc_curves
from risks.evasion.made_up import CFG, DEFENSES, EPS, HEADLINE, LABELS, OTHER

pytestmark = pytest.mark.heavy

UNPROVED = pd.DataFrame(columns=["defense", "threat", "eps", "proved"])


@pytest.fixture(scope="module")
def pictures(tables, tmp_path_factory):
    return draw_all(tables, CFG, tmp_path_factory.mktemp("plots"))


def matrices(tables, eps=0.3):
    return confusion_matrices(tables["confusion"], tables["comparison"], HEADLINE, eps)


def test_a_picture_for_each_threat_the_roc_and_the_confusion(pictures):
    names = [f"robustness_{HEADLINE}", f"robustness_{OTHER}", "roc", "confusion"]
    assert [one.path.stem for one in pictures] == names
    assert all(
        threat in one.shows for threat, one in zip((HEADLINE, OTHER), pictures, strict=False)
    )
    assert all(one.shows for one in pictures)


def test_a_picture_is_a_png_that_does_not_say_what_drew_it(pictures):
    for one in pictures:
        content = one.path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert b"matplotlib" not in content.lower()


def test_the_same_tables_are_the_same_bytes_and_other_tables_are_not(pictures, tables, tmp_path):
    again = draw_all(tables, CFG, tmp_path)
    for before, after in zip(pictures, again, strict=True):
        assert before.path.read_bytes() == after.path.read_bytes()
    lower = tables["comparison"].assign(robust_accuracy=tables["comparison"]["robust_accuracy"] / 2)
    other = save_figure(robustness(lower, tables["plots/proved"], HEADLINE), tmp_path / "other.png")
    assert other.read_bytes() != pictures[0].path.read_bytes()


def test_every_picture_of_a_sample_says_so_and_no_other_does(tables):
    said = "a stratified sample of 30 of 90 records"
    for sampled in (False, True):
        lines = tables["comparison"]
        lines = lines.assign(attacked=30, records=90) if sampled else lines
        drawn = [
            robustness(lines, UNPROVED, HEADLINE),
            roc_curves(tables["plots/roc"], lines),
            confusion_matrices(tables["confusion"], lines, HEADLINE, 0.3),
        ]
        for figure in drawn:
            assert any(said in text.get_text() for text in figure.findobj(Text)) == sampled


# ---- robustness ----


@pytest.mark.parametrize(
    ("panel", "value"),
    [(0, "robust_accuracy"), (1, "sensitivity")],
    ids=["accuracy", "sensitivity"],
)
def test_the_curves_are_the_comparison(comparison, panel, value):
    axis = robustness(comparison, UNPROVED, HEADLINE).axes[panel]
    for name, curve in zip(DEFENSES, axis.lines, strict=True):
        lines = comparison[(comparison["defense"] == name) & (comparison["threat"] == HEADLINE)]
        np.testing.assert_array_equal(curve.get_xdata(), lines["eps"])
        np.testing.assert_array_equal(curve.get_ydata(), lines[value])


def test_what_is_proved_is_the_curve_and_attacks_are_points_on_a_dotted_line(comparison):
    radii, shares = [0.0, 0.2, 0.4], [0.8, 0.7, 0.0]
    proofs = pd.DataFrame(
        {"defense": DEFENSES[0], "threat": HEADLINE, "eps": radii, "proved": shares}
    )
    both = pd.concat([proofs, proofs.assign(threat=OTHER)])
    axis = robustness(comparison, both, HEADLINE).axes[0]
    dotted = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert len(axis.lines) == len(DEFENSES) + 1
    assert [list(line.get_ydata()) for line in axis.lines[:1]] == [[0.8, 0.7]]
    lines = comparison[(comparison["defense"] == DEFENSES[0]) & (comparison["threat"] == HEADLINE)]
    assert [list(line.get_ydata()) for line in dotted] == [lines["robust_accuracy"].tolist()]
    assert not [text for text in axis.texts if "not verified" in text.get_text()]


def test_the_curve_ends_where_verification_did_and_the_picture_says_so(comparison):
    proofs = pd.DataFrame(
        {"defense": DEFENSES[0], "threat": OTHER, "eps": [0.0, 0.3, 0.4], "proved": [0.8, 0.7, 0.6]}
    )
    for axis in robustness(comparison, proofs, OTHER).axes:
        assert [text.get_text().strip() for text in axis.texts] == ["not verified beyond 0.3"]
    axis = robustness(comparison, proofs, OTHER).axes[0]
    assert list(axis.lines[0].get_ydata()) == [0.8, 0.7]


def test_every_one_of_many_defenses_is_drawn(comparison, tables):
    """More than there are colours."""
    many = [f"defense{number}" for number in range(9)]
    one = comparison[comparison["defense"] == "baseline"]
    table = pd.concat([one.assign(defense=name) for name in many])
    assert len(robustness(table, UNPROVED, HEADLINE).axes[0].lines) == len(many)
    roc = tables["plots/roc"]
    roc = roc[["fpr"]].assign(**dict.fromkeys(many, roc["baseline"]))
    assert len(roc_curves(roc, table).axes[0].lines) == len(many) + 1  # and the diagonal


# ---- ROC, confusion ----


def test_the_roc_is_the_column_of_each_defense_and_its_label_says_the_area(comparison, tables):
    axis = roc_curves(tables["plots/roc"], comparison).axes[0]
    first = comparison.drop_duplicates("defense").set_index("defense")
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    for name, curve, label in zip(DEFENSES, axis.lines, labels, strict=False):
        np.testing.assert_array_equal(curve.get_ydata(), tables["plots/roc"][name])
        assert label.startswith(LABELS[name])
        assert f"{first.loc[name, 'auroc']:.3f} ({first.loc[name, 'auroc_low']:.3f} to" in label


@pytest.mark.parametrize(("eps", "shown"), [(0.3, 0.1), (0.31, 0.5), (0.0, 0.1), (9.0, 0.5)])
def test_the_confusion_is_shown_clean_and_at_the_radius_nearest_to_the_one_wanted(
    tables, eps, shown
):
    """Of 0.1 and 0.5, 0.3 is as near to both: the smaller one."""
    figure = matrices(tables, eps)
    titles = [axis.get_title() for axis in figure.axes]
    wanted = [f"{LABELS[n]}, {at}" for at in ("clean", f"eps {shown:g}") for n in DEFENSES]
    assert titles == wanted
    confusion = tables["confusion"]
    for axis, (radius, name) in zip(
        figure.axes, [(r, n) for r in (0.0, shown) for n in DEFENSES], strict=True
    ):
        cells = confusion[(confusion["defense"] == name) & (confusion["eps"] == radius)]
        written = [text.get_text() for text in axis.texts]
        assert written == [f"{patients:.0f}" for patients in cells["patients"]]


def test_the_confusion_of_an_examination_without_attack_is_the_clean_one(tables):
    clean = tables["confusion"][tables["confusion"]["eps"] == 0]
    figure = confusion_matrices(clean, tables["comparison"], HEADLINE, EPS[1])
    assert [axis.get_title() for axis in figure.axes] == [f"{LABELS[n]}, clean" for n in DEFENSES]


def test_a_flag_stands_beside_the_name_in_every_picture(tables, comparison):
    for figure in (
        robustness(comparison, UNPROVED, HEADLINE),
        roc_curves(tables["plots/roc"], comparison),
        matrices(tables),
    ):
        legends = [axis.get_legend() for axis in figure.axes if axis.get_legend()]
        texts = [axis.get_title() for axis in figure.axes]
        texts += [text.get_text() for legend in legends for text in legend.get_texts()]
        named = [text for text in texts if "distill" in text]
        assert named
        assert all(LABELS["distill"] in text for text in named)
