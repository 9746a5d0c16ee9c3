"""Every record belongs to one hospital, whatever parts them."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.defenses.federated.sites import hospitals_of, sites_of
from pipeline.files import BadInput


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_hospitals_share_nobody_and_leave_nobody_out(dataset, count):
    plan, hospitals = tiny.plan(dataset), hospitals_of(dataset, count, "age")
    sites = sites_of(dataset, plan, hospitals)
    assert [site.name for site in sites] == list(hospitals.names)
    assert len(sites) == count == len(set(hospitals.names))
    assert sum(len(site.dataset.y) for site in sites) == len(dataset.y)
    assert torch.equal(sum(site.records for site in sites), plan.train.sum(1).float())
    for site in sites:
        own = hospitals.of == site.number
        assert tiny.same_bits(site.dataset.x, dataset.x[own])
        assert torch.equal(site.train, plan.train[:, own])


def test_a_band_holds_the_values_that_its_name_says(dataset):
    hospitals, age = hospitals_of(dataset, 4, "age"), dataset.x[:, 4]
    assert hospitals.names[0].startswith("age below ")
    assert hospitals.names[3].endswith(" and above")
    for number in range(3):
        below = float(hospitals.names[number].split()[-1])
        assert (age[hospitals.of <= number].nan_to_num(0) < below).all()
        assert (age[hospitals.of > number].nan_to_num(torch.inf) >= below).all()
    assert (hospitals.of[age.isnan()] == 3).all()
    assert torch.bincount(hospitals.of).float().std() < len(age) / 10  # a year of age is not parted


def test_what_stays_together_lies_in_one_hospital(dataset):
    twice = replace(dataset, together=torch.arange(len(dataset.y)) // 2)
    place = hospitals_of(twice, 4, "age").of
    assert torch.equal(place[::2], place[1::2])
    assert not torch.equal(*(hospitals_of(dataset, 4, "age").of[start::2] for start in (0, 1)))


def test_the_sites_of_the_data_set_are_the_hospitals_if_they_have_records(dataset):
    site = torch.arange(len(dataset.y)) % 2 * 2
    hospitals = hospitals_of(tiny.at_sites(dataset, site, ("a", "empty", "c")), None, None)
    assert hospitals.names == ("a", "c")
    assert torch.equal(hospitals.of, site // 2)


@pytest.mark.parametrize(
    ("sites", "by", "words"),
    [
        (None, "age", "data.site"),
        (4, "aeg", "did you mean 'age'"),
        (4, None, "is no feature"),
        (99, "age", "take at most"),
    ],
)
def test_hospitals_that_cannot_be_made_are_one_clear_line(dataset, sites, by, words):
    with pytest.raises(BadInput, match=words) as refused:
        hospitals_of(dataset, sites, by)
    assert "\n" not in str(refused.value)


def test_each_place_and_round_draws_from_a_seed_of_its_own(dataset):
    sites = sites_of(dataset, tiny.plan(dataset), hospitals_of(dataset, 3, "age"))
    members = torch.tensor([0, 2])
    seeds = torch.cat([site.plan(number, members).seeds for site in sites for number in range(4)])
    assert len(seeds.unique()) == 3 * 4 * 2
