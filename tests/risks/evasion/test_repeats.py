"""What repeats could turn: the share of right answers, by group, with its interval."""

from dataclasses import replace

import pytest

import tiny
from pipeline.presentation.chapter import Note, Table
from pipeline.risks.evasion.repeats import repeat_parts, repeated_shares

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def shares(examined, context):
    """The proofs of one defense as if their radii were errors; one patient left open."""
    one = examined["baseline"]
    proofs = one.proofs["clinical"]
    below = proofs.robust_below.clone()
    below[0, int((proofs.breaks_at[0] > 1).nonzero()[0])] = 0.05
    errors = replace(proofs, robust_below=below)
    twin = replace(one, proofs={"clinical": proofs, "repeat": errors})
    threat = context.cfg.threat["repeat"].model_copy(update={"eps": [0, 0.1, 0.5]})
    cfg = context.cfg.model_copy(update={"threat": {**context.cfg.threat, "repeat": threat}})
    return errors, repeated_shares({"baseline": twin}, cfg, tiny.sampling(cfg.audit))


def test_a_line_for_each_number_of_errors_of_threats_that_count_them(shares):
    _, table = shares
    assert set(table["threat"]) == {"repeat"}
    assert table["errors"].tolist() == [0.1, 0.5]
    assert (table["all"].diff().dropna() > 0).all()


def test_the_share_is_of_right_answers_and_lies_in_its_interval(shares):
    proofs, table = shares
    right = (proofs.margin > 0).double()
    for line in table.to_dict("records"):
        turned = (proofs.breaks_at <= line["errors"] + 1e-9) * right
        for group, where in (("all", proofs.y >= 0), ("ill", proofs.y == 1)):
            expected = float(turned[:, where].sum() / right[:, where].sum())
            assert line[group] == pytest.approx(expected)
            assert line[f"{group}_low"] <= line[group] <= line[f"{group}_high"]
        assert line["undecided"] == pytest.approx(1 / float(right.sum()))


def test_the_page_says_it_under_that_threat_alone(shares):
    _, table = shares
    note, shown = repeat_parts(table, "repeat", {"baseline": "baseline"})
    assert isinstance(note, Note)
    assert isinstance(shown, Table)
    first = table.iloc[0]
    said = f"{first['ill']:.3f} ({first['ill_low']:.3f} to {first['ill_high']:.3f})"
    assert shown.table["of diagnoses of disease"][0] == said
    assert repeat_parts(table, "clinical", {"baseline": "baseline"}) == []
