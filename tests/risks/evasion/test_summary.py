"""What a run ends with on the terminal: each defense, its flags, figures with intervals."""

from pipeline.presentation.numbers import interval_text
from pipeline.risks.evasion.summary import defenses_by_radius
from risks.evasion.made_up import DEFENSES, EPS, HEADLINE, LABELS, OTHER


def rows_of(text):
    """The title, and the lines with figures: those of defenses are names alone."""
    title, *lines = text.splitlines()
    return title, [line for line in lines if line[:1].isdigit()]


def test_every_defense_stands_once_with_its_flag_beside_its_name(comparison):
    text = defenses_by_radius(comparison, HEADLINE)
    for label in LABELS.values():
        assert text.splitlines().count(label) == 1
    assert len(text.splitlines()) == 1 + len(DEFENSES) * (1 + len(EPS))
    assert max(map(len, text.splitlines())) <= 100


def test_the_headline_threat_is_printed_and_no_other(comparison):
    comparison.loc[comparison["threat"] == OTHER, "robust_accuracy"] = 7.777
    text = defenses_by_radius(comparison, HEADLINE)
    assert "7.777" not in text
    assert "7.777" in defenses_by_radius(comparison, OTHER)


def test_every_figure_carries_its_interval_in_the_order_of_the_titles(comparison):
    title, lines = rows_of(defenses_by_radius(comparison, HEADLINE))
    headline = comparison[comparison["threat"] == HEADLINE]
    for text, row in zip(lines, headline.to_dict("records"), strict=True):
        for name, prefix, value in (
            ("robust accuracy", "robust", "robust_accuracy"),
            ("sensitivity", "sensitivity", "sensitivity"),
        ):
            wanted = interval_text(row[value], row[f"{prefix}_low"], row[f"{prefix}_high"])
            assert text[title.index(name) :].startswith(wanted)
        at, end = title.index("vs baseline"), title.index("sensitivity")
        difference = text[at:end].strip()
        if row["defense"] == "baseline":
            assert difference == ""
        else:
            low, high = row["difference_low"], row["difference_high"]
            assert difference == f"{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})"


def test_without_a_baseline_there_is_nothing_to_compare_with(comparison):
    alone = comparison[comparison["defense"] == "distill"]
    alone = alone[[column for column in alone if not column.startswith("difference")]]
    title, lines = rows_of(defenses_by_radius(alone, HEADLINE))
    assert len(lines) == len(EPS)
    at, end = title.index("vs baseline"), title.index("sensitivity")
    assert not any(line[at:end].strip() for line in lines)
