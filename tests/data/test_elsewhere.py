"""Models that are asked about other sites, and later days, than they learned from."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.data.elsewhere import by_site, by_time
from pipeline.files import BadInput


@pytest.fixture
def ward():
    """60 patients of two visits each, at three sites, on 120 days; every tenth moves."""
    data = tiny.records(120, seed=5)
    patient = torch.arange(120) % 60
    site = patient % 3
    site[60:][patient[60:] % 10 == 0] = 2
    return replace(
        data,
        schema=replace(data.schema, sites=("north", "south", "west")),
        patient=patient,
        together=patient,
        site=site,
        time=torch.arange(120).double(),
    )


def test_each_site_is_asked_about_by_a_model_that_knows_none_of_its_patients(ward):
    plan = by_site(ward, seed=0)
    assert plan.labels == ("north", "south", "west")
    assert (plan.held_out.sum(0) == 1).all()
    for row in range(3):
        assert torch.equal(plan.held_out[row], ward.site == row)
        known = torch.isin(ward.patient, ward.patient[plan.held_out[row]])
        assert torch.equal(plan.train[row], ~known)
    moved = (ward.site != row) & known
    assert moved.any()  # a visit elsewhere of who came here, too
    assert len(set(plan.seeds.tolist())) == 3
    assert torch.equal(by_site(ward, seed=0).seeds, plan.seeds)


def test_the_last_records_are_asked_about_by_a_model_of_those_before(ward):
    for share, first in ((0.25, 90), (0.001, 119)):
        plan = by_time(ward, share, seed=0)
        assert torch.equal(plan.held_out[0], ward.time >= first)
        assert not torch.isin(ward.patient[plan.train[0]], ward.patient[plan.held_out[0]]).any()
    at_once = replace(ward, time=torch.arange(120).double() // 30)
    assert by_time(at_once, 0.1, seed=0).held_out.sum() == 30  # a day is not divided


def test_a_site_that_leaves_no_record_of_a_class_has_no_model(ward):
    y = ((ward.site == 1) & (torch.arange(120) % 2 == 0)).long()
    assert by_site(replace(ward, y=y), seed=0).labels == ("north", "west")
    with pytest.raises(BadInput, match="too few records elsewhere"):
        by_site(replace(ward, site=torch.zeros_like(ward.site)), seed=0)
    with pytest.raises(BadInput, match=r"data\.site: no column"):
        by_site(replace(ward, site=None), seed=0)
    with pytest.raises(BadInput, match=r"data\.time: no column"):
        by_time(replace(ward, time=None), 0.3, seed=0)
