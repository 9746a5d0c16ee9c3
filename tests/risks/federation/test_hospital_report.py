"""What is said of gains follows from the table."""

import pytest

from pipeline.presentation.chapter import Items, Table
from pipeline.risks.federation.hospital_report import ASKED, NAME, TITLE, chapters
from pipeline.risks.federation.hospitals import hospitals_table, private_table
from pipeline.risks.federation.risk import COSTS, gains
from pipeline.statistics.intervals import Sampling
from risks.federation.hospital_answers import answers, classes


def tables(**changes):
    given = answers(**changes), classes(), Sampling(300, 0.95, 0)
    return {NAME: hospitals_table(*given), COSTS: private_table(*given)}


@pytest.fixture(scope="module")
def planted():
    return tables(bad=0)


def said(found):
    (chapter,) = chapters(found)
    (items,) = [part for part in chapter.parts if isinstance(part, Items)]
    return chapter, dict(items.entries)


def test_who_gains_is_named_with_the_figure(planted):
    chapter, entries = said(planted)
    assert chapter.title == TITLE
    assert (
        "told to be better than alone: north on its own patients (AUROC +" in entries["3 hospitals"]
    )
    assert "worse than alone" not in entries["3 hospitals"]
    assert "Alone, north reaches" in chapter.result


def test_a_hospital_is_named_once_with_all_that_it_gains(planted):
    better = planted[NAME][planted[NAME]["gain_verdict"] == "better"]
    _, entries = said(planted)
    for (hospital, asked), own in better.groupby(["hospital", "asked"]):
        assert entries["3 hospitals"].count(f"{hospital} on {ASKED[asked]} patients") == 1
        assert all(f"{gain:+.3f}" in entries["3 hospitals"] for gain in own["gain"])
    assert better.duplicated(["hospital", "asked"]).any()


def test_where_nothing_is_told_apart_that_is_said():
    _, entries = said(tables(bad=None))
    assert entries["3 hospitals"].startswith("24 not told apart (")


def test_what_is_not_estimable_is_said_with_the_reason():
    _, entries = said(tables(few=2))
    assert "not estimable, west: fewer than 10 patients of a class" in entries["3 hospitals"]


def test_claims_audits_and_costs_stand_in_one_table(planted):
    (chapter,) = chapters(planted)
    gained, claimed = [one.table for one in chapter.parts if isinstance(one, Table)]
    assert {"central", "federated", "alone", "dp_train", "federated_noisy_server"} <= set(gained)
    assert "federated_private" not in gained  # it was not trained
    assert claimed["protects"].tolist() == ["one record", "one hospital"]
    assert claimed["epsilon claimed"].tolist() == ["3.000"] * 2
    assert claimed["audited: at least"].tolist() == ["2.800"] * 2
    assert claimed["conclusion"].tolist() == ["not told apart", "worse"]


def test_without_private_recipes_nothing_is_said_of_privacy(planted):
    (chapter,) = chapters({NAME: planted[NAME]})
    assert len([one for one in chapter.parts if isinstance(one, Table)]) == 1


def test_metrics_are_figures_of_the_table(planted):
    found, table = gains(planted), planted[NAME]
    auroc = table[table["figure"] == "auroc"]
    assert found["federated_auroc"] == auroc["federated"].iloc[0]
    assert found["dp_train_auroc"] == auroc["dp_train"].iloc[0]
    assert found["alone_auroc_elsewhere"] == auroc.loc[auroc["asked"] == "others", "alone"].min()


def test_without_a_measurement_nothing_is_said():
    assert chapters({}) == ()
    assert gains({}) == {}
