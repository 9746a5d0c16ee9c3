"""Architectures of records and of images: each is found by its name, for its own kind of data."""

import pytest
import torch

import scans
import tiny
from pipeline.config import ModelConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Schema
from pipeline.files import BadInput, NotApplicable
from pipeline.models import designs
from pipeline.models.image_networks import ImageNetworks
from pipeline.models.networks import Networks

IMAGES = Schema.of(scans.described())
CNN = ModelConfig(name="cnn", hidden=[5], channels=[4])
MLP = ModelConfig(name="mlp", hidden=[6])


def test_a_model_is_made_for_its_own_kind_of_data():
    assert designs.architecture_of(IMAGES, CNN).image == scans.SHAPE
    assert designs.architecture_of(tiny.SCHEMA, MLP).features == len(tiny.FEATURES)
    with pytest.raises(BadInput, match=r"'mlp' is a network of records, and the data are images"):
        designs.architecture_of(IMAGES, MLP)
    with pytest.raises(BadInput, match=r"'cnn' is a network of images, and the data are records"):
        designs.architecture_of(tiny.SCHEMA, CNN)


def test_every_name_is_of_one_kind():
    assert set(designs.MODELS) == {*designs.OF_RECORDS, *designs.OF_IMAGES}
    assert not set(designs.OF_RECORDS) & set(designs.OF_IMAGES)


@pytest.mark.parametrize(
    ("dataset", "model", "kind"),
    [(tiny.records(12, seed=0), MLP, Networks), (scans.dataset(12, seed=0), CNN, ImageNetworks)],
    ids=["records", "images"],
)
def test_what_the_training_loop_asks_is_what_the_population_answers(dataset, model, kind):
    architecture = designs.architecture_of(dataset.schema, model)
    plan = Plan.random_halves(len(dataset.y), models=2, seed=0)
    parameters = designs.initialised(architecture, plan.seeds)
    for constants in (
        designs.own_constants(architecture, dataset, plan),
        designs.public_constants(architecture, dataset.schema, plan.size),
    ):
        made = designs.population_of(architecture, constants, parameters, plan.labels)
        assert isinstance(made, kind)
        x = dataset.x.expand(2, *dataset.x.shape)
        asked = designs.answers_of(architecture, x, constants, parameters)
        torch.testing.assert_close(made(x), asked)


def test_what_knows_linear_layers_alone_says_so():
    with pytest.raises(NotApplicable, match="not for images"):
        designs.of_records(designs.architecture_of(IMAGES, CNN))
    architecture = designs.architecture_of(tiny.SCHEMA, MLP)
    assert designs.of_records(architecture) is architecture
