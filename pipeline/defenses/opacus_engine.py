"""DP-SGD through Opacus: slower, and independent of our own step.

The two are tested against each other.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.privacy import NoisySteps
from pipeline.files import BadInput
from pipeline.models.mlp import Architecture, as_module, initialise, parameters_of
from pipeline.models.networks import Networks, public_preprocessing
from pipeline.seeds import Stream, generator


def fit_through_opacus(
    dataset: Dataset,
    plan: Plan,
    architecture: Architecture,
    how: NoisySteps,
    *,
    grad_sample_mode: Literal["hooks", "ghost"] = "hooks",
) -> Networks:
    """Trains the members of `plan` one after another with `opacus.PrivacyEngine`.

    Opacus derives its sample rate from the number of batches of a loader, so `1 / sample_rate` must
    be whole. Its expected batch size comes from the size of the cohort, which leaks
    (meta-pytorch/opacus#571, #819): the public one takes its place.

    Raises:
        BadInput: 1 / sample_rate is not a whole number.
    """
    from opacus import PrivacyEngine
    from tqdm import tqdm

    batches = round(1 / how.sample_rate)
    if not math.isclose(batches * how.sample_rate, 1):
        raise BadInput(
            "dp_train.sample_rate: the opacus engine needs 1 / sample_rate to be whole; "
            f"{how.sample_rate} is not"
        )
    center, scale = dataset.schema.column("center"), dataset.schema.column("scale")
    preprocessing = public_preprocessing(center, scale, plan.size)
    initial = initialise(architecture, plan.seeds)
    trained: list[Networks] = []
    for member in tqdm(range(plan.size), desc="dp_train (opacus)", disable=None, leave=False):
        module = as_module(initial, preprocessing, member)
        rows = plan.train[member]
        records = TensorDataset(dataset.x[rows], dataset.y[rows])
        seed = int(plan.seeds[member])
        loader = DataLoader(
            records,
            batch_size=-(-len(records) // batches),
            generator=generator(Stream.POISSON_DRAW, seed),
        )
        private, optimiser, *criterion, private_loader = PrivacyEngine().make_private(
            module=module,
            optimizer=torch.optim.Adam(module.parameters(), lr=how.learning_rate),
            data_loader=loader,
            noise_multiplier=float(how.noise),
            max_grad_norm=how.max_grad_norm,
            noise_generator=generator(Stream.DP_NOISE, seed),
            grad_sample_mode=grad_sample_mode,
        )
        if not math.isclose(private_loader.sample_rate, how.sample_rate):
            raise BadInput(
                f"dp_train.sample_rate: opacus would draw with {private_loader.sample_rate}, not "
                f"{how.sample_rate}"
            )
        optimiser.expected_batch_size = how.expected_batch
        # ghost clipping brings a loss of its own
        loss = criterion[0] if criterion else nn.functional.cross_entropy
        _steps(private, loss, optimiser, private_loader, how.steps)
        constants = {name: value[member : member + 1] for name, value in preprocessing.items()}
        weights, label = parameters_of(module), plan.labels[member]
        trained.append(Networks(architecture, constants, weights, (label,)))
    return Networks.join(trained)


def _steps(
    module: nn.Module,
    loss: Callable[[Tensor, Tensor], Any],
    optimiser: torch.optim.Optimizer,
    loader: DataLoader[tuple[Tensor, ...]],
    steps: int,
) -> None:
    done = 0
    while done < steps:
        for x, y in loader:
            optimiser.zero_grad()
            loss(module(x), y).backward()
            optimiser.step()
            done += 1
            if done == steps:
                break
