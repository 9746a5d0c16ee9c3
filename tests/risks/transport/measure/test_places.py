"""Sites and days that models did not learn from: who is asked, who is learned from, who neither."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.risks.transport.measure.places import Places, beside, first_later_day, lacking
from pipeline.statistics.patients import LEAST
from risks.transport.made_up import SITES, settings


@pytest.fixture
def ward():
    """180 patients at three sites on 240 days; 60 of them come twice, every tenth elsewhere."""
    data = tiny.records(240, seed=5)
    patient = torch.arange(240)
    patient[120:180] -= 120
    site = patient % 3
    site[120:180][patient[120:180] % 10 == 0] = 2
    return replace(
        data,
        schema=replace(data.schema, sites=SITES),
        patient=patient,
        together=patient,
        site=site,
        time=torch.arange(240).double(),
    )


def test_nobody_is_on_two_sides_whoever_he_is(ward):
    equal = replace(ward, together=ward.patient % 60)  # some have equal records
    for data in (ward, equal):
        places = Places.of(data, settings())
        assert places.asked.any(1).tolist() == [True, True, True, data is ward]
        assert len(places.asked) == 4
        for asked, train in zip(places.asked, places.train, strict=True):
            for number in (data.patient, data.together):
                assert not torch.isin(number[train], number[asked]).any()


def test_everybody_of_a_site_is_asked_about_by_who_knows_none_of_its_patients(ward):
    places = Places.of(ward, settings())
    assert torch.equal(places.sites[:3], torch.eye(3, dtype=torch.bool))
    for place in range(3):
        there = ward.site == place
        known = torch.isin(ward.patient, ward.patient[there])
        assert torch.equal(places.asked[place], there)
        assert torch.equal(places.train[place], ~known)
        assert torch.equal(places.left_out[place], known & ~there)
    assert (places.asked[:3].sum(0) == 1).all()
    assert places.left_out[2].any()  # visits elsewhere of who moved to the third


def test_who_comes_back_is_not_asked_about_and_nobody_of_before_is_spared(ward):
    first = replace(ward, patient=torch.arange(240).clamp(max=200) % 200)
    first = replace(first, together=first.patient)
    places = Places.of(first, settings())
    before = first.time < places.first_day
    assert torch.equal(places.train[-1], before)
    assert torch.equal(places.asked[-1], ~torch.isin(first.patient, first.patient[before]))
    back = places.left_out[-1]
    assert back.any()
    assert (first.time[back] >= places.first_day).all()


def test_the_later_days_are_the_share_that_is_asked_for_or_those_from_a_date_on(ward):
    assert first_later_day(ward, settings(later=0.25)) == 180
    assert first_later_day(ward, settings(later=0.001)) == 239
    at_once = replace(ward, time=(torch.arange(240) // 60).double())
    assert first_later_day(at_once, settings(later=0.1)) == 3  # a day is not divided
    assert first_later_day(ward, settings(date=17)) == 17
    days = replace(ward, time=ward.time + 19_723)
    assert first_later_day(days, settings(date="2024-02-01")) == 19_723 + 31
    for nothing in ("1999-12-31", "2999-12-31"):
        assert first_later_day(days, settings(date=nothing)) is None
    assert first_later_day(replace(ward, time=torch.ones(240)), settings()) is None


def test_small_sites_and_those_beyond_the_largest_are_left_out_together(ward):
    site = ward.site.clone()
    few = torch.isin(ward.patient, torch.arange(LEAST - 1))
    site[:] = torch.where(few, 0, 1 + ward.patient % 2)
    data = replace(ward, site=site, time=None)
    places = Places.of(data, settings())
    assert places.sites.tolist() == [
        [False, True, False],
        [False, False, True],
        [True, False, False],
    ]
    assert torch.equal(places.asked[2], few)
    largest = Places.of(data, settings(sites=1))
    assert largest.sites.sum(1).tolist() == [1, 2]
    assert (largest.asked.sum(0) == 1).all()


def test_without_sites_and_dates_nothing_is_asked(ward, tmp_path):
    nothing = Places.of(replace(ward, site=None, time=None), settings())
    assert nothing.asked.shape == nothing.train.shape == (0, 240)
    assert nothing.first_day is None
    assert not nothing.estimable(ward).any()
    nothing.save(tmp_path / "places.safetensors")
    again = Places.load(tmp_path / "places.safetensors")
    assert again.asked.shape == (0, 240)
    one = Places.of(replace(ward, site=torch.zeros_like(ward.site), time=None), settings())
    assert not len(one.asked)


def test_a_place_needs_patients_of_both_classes_on_both_sides(ward):
    y = torch.ones_like(ward.y)
    y[ward.site == 0] = 0  # nobody healthy elsewhere
    data = replace(ward, y=y)
    places = Places.of(data, settings())
    assert places.estimable(data).tolist()[:3] == [False] * 3
    said = lacking(places.asked[1], places.train[1], data)
    assert said == "no patients of class 'healthy' to be asked about"
    y[(ward.site == 1) & (ward.patient < LEAST)] = 0
    few = lacking(places.asked[1], places.train[1], replace(data, y=y))
    assert few == f"fewer than {LEAST} patients of class 'healthy' to be asked about"
    said = lacking(places.asked[0], places.train[0], data)
    assert said == "no patients of class 'ill' to be asked about"
    enough = Places.of(ward, settings())
    assert enough.estimable(ward).all()


def test_ten_visits_of_one_patient_are_no_ten_patients(ward):
    y = (torch.arange(240) % 2 == 0).long()
    data = replace(ward, y=y, patient=torch.where(y == 1, 0, ward.patient))
    rows = torch.arange(240) < 120
    assert lacking(rows, ~rows, data).startswith(f"fewer than {LEAST} patients of class 'ill'")


def test_rows_differ_by_their_seeds_alone(ward):
    places = Places.of(ward, settings())
    plan = beside(places, ward, 3, seed=0)
    assert plan.size == 12
    assert plan.repetition.tolist() == [0, 1, 2] * 4
    assert len(set(plan.seeds.tolist())) == 12
    for row in range(12):
        assert torch.equal(plan.train[row], places.train[row // 3])
        assert torch.equal(plan.held_out[row], places.asked[row // 3])
    fewer = beside(Places.of(replace(ward, time=None), settings()), ward, 3, seed=0)
    assert torch.equal(fewer.seeds, plan.seeds[:9])
    assert not torch.equal(beside(places, ward, 3, seed=1).seeds, plan.seeds)
