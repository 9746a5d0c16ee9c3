"""Trains what leaves the project: one private model, its noise from the operating system.

Command:  python -m pipeline.release <defense> <folder>
Reads:    artifacts/prepare/, params.yaml
Writes:   <folder>: population.safetensors, population.json, schema.json

On everyone but those whom the plan sets aside, and those whom an official split tests on, with the
numbers of `params.yaml`. Nobody can draw the noise again, so two calls give two models, and each is
a release whose budget adds up with the others'. No stage depends on it.
"""

import inspect
import sys
from dataclasses import replace
from pathlib import Path

from pipeline.kernels import fix_kernels

fix_kernels()  # before torch and NumPy, which look at the processor once

import torch

from pipeline.config import Config
from pipeline.data.plan import RELEASE, Plan
from pipeline.data.schema import Dataset, save_schema
from pipeline.defenses import DEFENSES
from pipeline.defenses.decision import check_decision
from pipeline.files import BadInput, folder
from pipeline.models.population import Population
from pipeline.risks.federation.measure.claims import claim_of
from pipeline.stages import prepared, run, trained_by
from pipeline.validation import check_options

SECRET = "secret"  # the parameter of a recipe that can draw its noise from the operating system


def hand_out(cfg: Config) -> str:
    """The command."""
    if len(sys.argv) != 3:
        raise BadInput(
            f"command line: expected a defense and a new folder, not {sys.argv[1:] or 'nothing'}"
        )
    name, place = trained_by(cfg, sys.argv[1:2]), Path(sys.argv[2])
    if place.exists():
        raise BadInput(f"{place}: is there already; name a new folder")
    dataset, plan = prepared()
    population = train_for_release(name, dataset, plan, cfg)
    with folder(place, keep=True) as out:
        population.save(out)
        save_schema(dataset.schema, out)
    claim = population.facts["guarantee"]
    return f"{place}: {name}, epsilon {claim['epsilon']:.3f} at delta {claim['delta']:g}"


def train_for_release(name: str, dataset: Dataset, plan: Plan, cfg: Config) -> Population:
    """One model of a private recipe, its noise such that nobody can draw it again.

    It trains on whom the plan's release model trains on, or else its first one, which is deployed.

    Its initial weights are public, those of the plan's release model. It measures itself, and its
    claim is recomputed and audited, before it is returned.

    Raises:
        BadInput: the recipe claims no privacy, or its engine has no secret noise.
        FailedCheck: its claim is contradicted.
    """
    recipe = DEFENSES[name]
    if SECRET not in inspect.signature(recipe).parameters:
        raise BadInput(
            f"command line: {name} claims no privacy, so its release model is that of its stage"
        )
    place = plan.labels.index(RELEASE) if RELEASE in plan.labels else 0  # of a split, the first
    alone = replace(plan.select(torch.tensor([place])), labels=(RELEASE,))
    alone = replace(alone, held_out=torch.zeros_like(alone.train), repetition=torch.tensor([-1]))
    options = check_options(recipe, cfg.defenses[name], name, given=[SECRET])
    population = recipe(dataset, alone, cfg, secret=True, **options)
    check_decision(population.facts, name)
    claim_of(name, population.facts, dataset, cfg)
    return population


if __name__ == "__main__":
    run(hand_out)
