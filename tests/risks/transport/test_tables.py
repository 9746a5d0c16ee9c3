"""From answers to figures: a planted fault is named, chance is not, small counts are not told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import parts
import tiny
from pipeline.presentation.numbers import without_few
from pipeline.risks.risk import Context, Sources
from pipeline.risks.transport.measure.places import PLACES, Places
from pipeline.risks.transport.risk import RISK
from pipeline.risks.transport.tables import (
    CROSS,
    LATER,
    NOT_ESTIMABLE,
    SITE,
    Tried,
    names_of,
    not_tested_table,
    spread_table,
    transport_table,
)
from pipeline.risks.transport.worth import MEASURES
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import LEAST
from risks.transport.made_up import SITES, answers, settings, ward


def drawn_up(data, *, bad=-1, seed=0, resamples=200):
    places = Places.of(data, settings())
    tried = Tried(places, names_of(places, data, settings()), data)
    sampling = Sampling(resamples, 0.95, seed, data.patient.numpy())
    return transport_table({"baseline": answers(data, places, bad=bad, seed=seed)}, tried, sampling)


def told(table):
    """As others may see it."""
    return without_few(table, RISK.parts["transport"])


@pytest.fixture(scope="module")
def table():
    return drawn_up(ward(), bad=1)


def of(table, place, figure):
    (line,) = table[(table["place"] == place) & (table["figure"] == figure)].to_dict("records")
    return line


def worse(table):
    return sorted(set(table.loc[table["verdict"] == "worse", "place"]))


def test_a_site_where_scores_say_nothing_is_named_and_no_other(table):
    assert worse(table) == ["site south"]
    assert not (table["verdict"] == "better").any()
    line = of(table, "site south", "auroc")
    assert line["value_low"] < 0.5 < line["value_high"]
    assert line["difference_high"] < 0
    assert line["p"] < 0.001
    for place in ("site north", "site west", "from 225 on"):
        assert of(table, place, "auroc")["verdict"] == "not told apart"


@pytest.fixture(scope="module")
def by_chance():
    """20 cohorts whose sites and days mean nothing."""
    return [drawn_up(ward(seed=seed), seed=seed) for seed in range(20)]


@pytest.mark.slow
def test_sites_drawn_at_random_are_named_at_the_nominal_rate(by_chance):
    """Of 20 cohorts one is named by chance, at most; more than 4 has a chance of 0.3 %."""
    named = [table["verdict"].isin(["worse", "better"]).any() for table in by_chance]
    assert sum(named) <= 4


@pytest.mark.parametrize("figure", ["auroc", "accuracy", "sensitivity", "specificity"])
def test_one_comparison_alone_is_wrong_as_often_as_it_says(by_chance, figure):
    """|difference| above 1.96 standard errors, in 20 cohorts of 4 places: 4 of 80.

    4 standard deviations are 7.8; none at all has a chance of 1.7 %.
    """
    own = [table[(table["figure"] == figure) & table["se"].notna()] for table in by_chance]
    z = np.concatenate([(one["difference"] / one["se"]).to_numpy() for one in own])
    assert len(z) == 80
    assert (np.abs(z) > 1.96).sum() <= 4 + 7.8
    assert 0.7 < z.std() < 1.3  # 4 standard errors of 1 / sqrt(160)


def test_the_first_lines_are_those_of_the_cross_validation(table):
    first = table.iloc[: len(MEASURES)]
    assert (first["tried"] == CROSS).all()
    assert first["patients"].tolist() == [300] * 5
    assert first["difference"].isna().all()
    assert table["tried"].drop_duplicates().tolist() == [CROSS, SITE, LATER]
    assert table["figure"].tolist() == list(MEASURES) * 5


def test_differences_are_those_of_the_figures_that_are_shown(table):
    data = ward()
    places, told = Places.of(data, settings()), answers(data, Places.of(data, settings()), bad=1)
    right = (told.margin > 0).double().mean(1)
    for place, name in enumerate((*(f"site {one}" for one in SITES), "from 225 on")):
        line = of(table, name, "accuracy")
        asked, train = places.asked[place], places.train[place]
        own, others, same = (
            right[1 + place][asked].mean(),
            right[0][train].mean(),
            right[0][asked].mean(),
        )
        assert line["value"] == pytest.approx(float(own))
        assert line["difference"] == pytest.approx(float(own - others))
        assert line["paired"] == pytest.approx(float(own - same))
        assert line["value_low"] <= line["value"] <= line["value_high"]
        assert line["patients"] == asked.sum()
        assert line["learned"] == train.sum()


def test_models_of_the_cross_validation_have_no_paired_difference_to_themselves():
    data = ward()
    places = Places.of(data, settings())
    told = answers(data, places)
    asked = places.asked[told.place][:, None]
    crossed = {
        name: torch.cat([one[:1], one[:1].expand_as(one[1:]).masked_fill(~asked, torch.nan)])
        for name, one in (("margin", told.margin), ("score", told.score))
    }
    proved = torch.cat([told.proved[:1], told.proved[:1] & asked[:, 0]])
    tried = Tried(places, names_of(places, data, settings()), data)
    same = replace(told, proved=proved, **crossed)
    table = transport_table({"baseline": same}, tried, tiny.sampling(_audit()))
    own = table[table["paired"].notna()]
    assert len(own) == 20
    assert (own["paired"] == 0).all()
    assert (own["paired_high"] == -own["paired_low"]).all()
    assert (own["paired_high"] > 0).sum() == 16  # of shares: others might differ


def _audit():
    class Audit:
        resamples, confidence = 100, 0.95

    return Audit


def test_luck_of_seeds_widens_what_is_told(table):
    data = ward()
    places = Places.of(data, settings())
    told = answers(data, places, bad=1)
    shaken = told.score + torch.tensor([0.8, -0.8]).view(1, 2, 1)
    lucky = replace(told, score=shaken, margin=shaken * (2 * data.y - 1))
    steady = replace(told, score=told.score[:, [0, 0]], margin=told.margin[:, [0, 0]])
    tried = Tried(places, names_of(places, data, settings()), data)
    se = [
        of(
            transport_table({"b": one}, tried, tiny.sampling(_audit())), "site north", "sensitivity"
        )["se"]
        for one in (steady, lucky)
    ]
    assert se[1] > 1.2 * se[0]


def test_a_small_site_has_no_figures_no_name_and_no_count():
    data = ward()
    few = torch.arange(300) < LEAST - 1
    data = replace(data, site=torch.where(few, 1, 2 * (data.site > 0).long()))
    table = told(drawn_up(data))
    assert "site south" not in table["place"].tolist()
    lines = table[table["place"] == "other sites (1)"]
    assert (lines["verdict"] == NOT_ESTIMABLE).all()
    assert lines[["patients", "ill", "value", "difference"]].isna().all(None)
    assert (
        lines["why"].iloc[0] == f"fewer than {LEAST} patients of class 'healthy' to be asked about"
    )
    assert of(table, "site north", "auroc")["verdict"] == "not told apart"


def test_a_count_below_ten_does_not_follow_from_those_that_are_told():
    """All patients, less those at the other sites, are those at the small one."""
    data = ward()
    few = torch.arange(300) < LEAST - 1
    data = replace(data, site=torch.where(few, 1, 2 * (data.site > 0).long()), time=None)
    table = told(drawn_up(data)).drop_duplicates("place").set_index("place")
    counts = ["patients", "learned"]
    sizes = {name: int((data.site == place).sum()) for name, place in (("north", 0), ("west", 2))}
    smaller, larger = sorted(sizes, key=sizes.get)
    for place in ("other sites (1)", f"site {smaller}"):
        assert table.loc[place, counts].isna().all()
    assert table.loc[f"site {larger}", "patients"] == sizes[larger]
    assert table.loc[f"site {smaller}", "value"] > 0
    assert np.isnan(table.loc["other sites (1)", "ill"])
    for seed in range(5):
        assert not told(drawn_up(ward(seed=seed)))[counts].isna().to_numpy().any()


def test_a_site_with_few_ill_tells_how_many_patients_and_not_how_many_are_ill():
    data = ward()
    there = (data.site == 0) & (data.y == 1)
    kept = there & (there.cumsum(0) <= 3)
    data = replace(data, site=torch.where(there & ~kept, 1, data.site))
    table = told(drawn_up(data))
    line = of(table, "site north", "sensitivity")
    assert line["verdict"] == NOT_ESTIMABLE
    assert line["patients"] == int((data.site == 0).sum())
    assert np.isnan(line["ill"])
    assert "'ill'" in line["why"]
    first = table.drop_duplicates("place").set_index("place")
    assert first.loc[["site south", "site west"], "ill"].isna().sum() == 1  # else 3 would follow
    assert first["patients"].notna().all()


def test_where_no_place_is_large_enough_every_recipe_says_so():
    data = ward(n=24)
    places = Places.of(data, settings())
    tried = Tried(places, names_of(places, data, settings()), data)
    table = transport_table({"baseline": None, "adv_train": None}, tried, tiny.sampling(_audit()))
    assert set(table["defense"]) == {"baseline", "adv_train"}
    assert (table["verdict"] == NOT_ESTIMABLE).all()
    assert spread_table(table, 0.95).empty


def test_sites_are_summed_up_and_groups_of_sites_are_not(table):
    found = spread_table(table, 0.95)
    assert found["figure"].tolist() == list(MEASURES)
    assert (found["sites"] == 3).all()
    auroc = found.iloc[0]
    assert auroc["between"] > 0.1
    values = table.loc[(table["tried"] == SITE) & (table["figure"] == "auroc"), "value"]
    assert values.min() < auroc["mean"] < values.max()
    assert 0 <= auroc["further_low"] <= auroc["mean_low"]
    grouped = table.assign(sites=table["sites"].where(table["place"] != "site west", 4))
    assert (spread_table(grouped, 0.95)["sites"] == 2).all()


def test_nothing_is_proved_of_what_cannot_be_proved():
    data = ward()
    places = Places.of(data, settings())
    tried = Tried(places, names_of(places, data, settings()), data)
    told = answers(data, places)
    nobody = replace(told, tried=torch.zeros_like(told.tried), proved=torch.zeros_like(told.proved))
    table = transport_table({"baseline": nobody}, tried, tiny.sampling(_audit()))
    lines = table[(table["figure"] == "proved_accuracy") & (table["tried"] != CROSS)]
    assert (lines["verdict"] == NOT_ESTIMABLE).all()
    assert lines["value"].isna().all()
    assert of(table, "site north", "auroc")["verdict"] == "not told apart"


def test_days_are_shown_as_dates_where_they_may_be_some():
    data = ward()
    for shift, name in ((0, "from 225 on"), (19_723, "from day 19948 (2024-08-13) on")):
        moved = replace(data, time=data.time + shift)
        assert names_of(Places.of(moved, settings()), moved, settings())[-1] == name
    given = settings(date="1970-05-31")
    assert names_of(Places.of(data, given), data, given)[-1] == "from 1970-05-31 on"


def test_what_the_data_set_does_not_say_was_not_tested():
    data = ward()
    for site, time, gaps in (
        (None, None, [SITE, LATER]),
        (data.site, None, [LATER]),
        (None, data.time, [SITE]),
    ):
        some = replace(data, site=site, time=time)
        found = not_tested_table(some, Places.of(some, settings()))
        assert found["tried"].tolist() == gaps
        assert found["why"].str.startswith("no column says").all()
    one = replace(data, site=torch.zeros_like(data.site), time=torch.zeros_like(data.time))
    found = not_tested_table(one, Places.of(one, settings()))
    assert found["why"].tolist() == [
        "all records are of one site",
        "all records are of one side of the date",
    ]
    assert not_tested_table(data, Places.of(data, settings())).empty


@pytest.fixture
def stages(tmp_path):
    def written(data, made):
        folder = tmp_path / "transport"
        folder.mkdir(exist_ok=True)
        places = Places.of(data, settings())
        places.save(folder / PLACES)
        for name in made:
            answers(data, places).save(folder / f"{name}.safetensors")
        return Sources({}, tmp_path)

    return written


def test_every_column_is_explained_and_none_that_is_not_there(cfg, stages):
    data = replace(ward(), time=None)
    tables = RISK.tables(stages(data, ["baseline", "adv_train"]), Context(data, cfg))
    assert parts.unlike_its_explanation(RISK, tables, ()) == {}
    assert tables["transport"]["defense"].unique().tolist() == ["baseline", "adv_train"]


def test_a_cohort_without_sites_and_dates_has_one_table_of_why(cfg, stages, dataset):
    tables = RISK.tables(stages(dataset, []), Context(dataset, cfg))
    assert list(tables) == ["transport_not_tested"]
    assert RISK.tables(Sources({}), Context(dataset, cfg)) == {}
