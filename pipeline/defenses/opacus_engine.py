"""DP-SGD through Opacus: slower, and independent of our own step.

The two are tested against each other.
"""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.noise import SEEDED
from pipeline.defenses.privacy import NoisySteps
from pipeline.defenses.self_measurement import FALSE_ALARM, Witness, held_against_claim, worst_of
from pipeline.files import BadInput
from pipeline.models import cnn, mlp
from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.models.designs import (
    AnyArchitecture,
    Trained,
    initialised,
    population_of,
    public_constants,
)
from pipeline.models.image_networks import ImageNetworks
from pipeline.models.mlp import Parameters
from pipeline.models.networks import Networks
from pipeline.models.training import Batch
from pipeline.seeds import Stream, generator


def fit_through_opacus(
    dataset: Dataset,
    plan: Plan,
    architecture: AnyArchitecture,
    how: NoisySteps,
    *,
    grad_sample_mode: Literal["hooks", "ghost"] = "hooks",
) -> Trained:
    """Trains the members of `plan` one after another with `opacus.PrivacyEngine`.

    Opacus derives its sample rate from the number of batches of a loader, so `1 / sample_rate` must
    be whole. Its expected batch size comes from the size of the cohort, which leaks
    (meta-pytorch/opacus#571, #819): the public one takes its place.

    Each model measures itself as our engine does, one after another: what Opacus hands to Adam less
    the clipped sum that is computed here.

    Returns:
        the population; `facts["measured"]`: of each check the model that is furthest from the
        claim, its p-value for the number of models (Bonferroni).

    Raises:
        BadInput: 1 / sample_rate is not a whole number.
        FailedCheck: a mechanism is not what `how` says.
    """
    from opacus import PrivacyEngine
    from tqdm import tqdm

    batches = round(1 / how.sample_rate)
    if not math.isclose(batches * how.sample_rate, 1):
        raise BadInput(
            "dp_train.sample_rate: the opacus engine needs 1 / sample_rate to be whole; "
            f"{how.sample_rate} is not"
        )
    preprocessing = public_constants(architecture, dataset.schema, plan.size)
    initial = initialised(architecture, plan.seeds)
    claim = how.claimed(float(how.noise))
    trained: list[Trained] = []
    witnesses: list[Witness] = []
    for member in tqdm(range(plan.size), desc="dp_train (opacus)", disable=None, leave=False):
        module = _as_module(architecture, initial, preprocessing, member)
        rows = plan.train[member]
        records = TensorDataset(dataset.x[rows], dataset.y[rows], rows.nonzero()[:, 0])
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
        constants = {name: value[member : member + 1] for name, value in preprocessing.items()}
        witness = Witness(
            claim, torch.tensor([0]), plan.train[member : member + 1], architecture=architecture
        )
        for _, batch in zip(range(how.steps), _batches(private_loader), strict=False):
            before = _parameters(architecture, module)
            optimiser.zero_grad()
            loss(private(batch.x[0]), batch.y[0]).backward()
            optimiser.step()
            witness.see(before, constants, batch, _gradients(architecture, module))
        witnesses.append(witness)
        weights, label = _parameters(architecture, module), plan.labels[member]
        trained.append(population_of(architecture, constants, weights, (label,)))
    population = _joined(trained)
    checks = worst_of([witness.checks() for witness in witnesses])
    measured = held_against_claim("dp_train", [(claim, checks)], FALSE_ALARM)
    population.facts.update(measured=measured, noise=SEEDED)
    return population


def _batches(loader: DataLoader[tuple[Tensor, ...]]) -> Iterator[Batch]:
    """Batches of a population of one, without end."""
    while True:
        for x, y, index in loader:
            yield Batch(x[None], y[None], index[None], torch.ones(1, len(y)))


def _as_module(
    architecture: AnyArchitecture, initial: Parameters, preprocessing: Parameters, member: int
) -> nn.Sequential:
    """One member as an ordinary network."""
    if not isinstance(architecture, ConvolutionalNetwork):
        return mlp.as_module(initial, preprocessing, member)
    weights = {name: value[member] for name, value in initial.items()}
    constants = (preprocessing[name][member] for name in ("center", "scale"))
    return cnn.as_module(architecture, weights, *constants)


def _parameters(architecture: AnyArchitecture, module: nn.Sequential) -> Parameters:
    """The weights of a network, as those of a population of one."""
    if not isinstance(architecture, ConvolutionalNetwork):
        return mlp.parameters_of(module)
    values = [value.detach()[None].clone() for value in module.parameters()]
    return dict(zip(_names(architecture), values, strict=True))


def _gradients(architecture: AnyArchitecture, module: nn.Sequential) -> Parameters:
    """What the optimiser was handed, as gradients of a population of one."""
    found: Parameters = {}
    if isinstance(architecture, ConvolutionalNetwork):
        for name, value in zip(_names(architecture), module.parameters(), strict=True):
            assert value.grad is not None
            found[name] = value.grad[None]
        return found
    for layer, linear in enumerate(part for part in module if isinstance(part, nn.Linear)):
        assert linear.weight.grad is not None
        assert linear.bias.grad is not None
        found[f"weight{layer}"] = linear.weight.grad.T[None]
        found[f"bias{layer}"] = linear.bias.grad[None, None]
    return found


def _names(architecture: ConvolutionalNetwork) -> list[str]:
    """The names of its weights, in the order of a module's parameters."""
    return [f"{layer}.{part}" for layer in architecture.shapes for part in ("weight", "bias")]


def _joined(trained: list[Trained]) -> Trained:
    """Populations of one as one population."""
    first = trained[0]
    if isinstance(first, Networks):
        return Networks.join([one for one in trained if isinstance(one, Networks)])
    constants, weights = (
        {name: torch.cat([getattr(one, part)[name] for one in trained]) for name in values}
        for part, values in (
            ("preprocessing", first.preprocessing),
            ("parameters", first.parameters),
        )
    )
    labels = tuple(label for one in trained for label in one.labels)
    return ImageNetworks(first.architecture, constants, weights, labels)
