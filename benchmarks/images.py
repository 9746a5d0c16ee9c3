"""Populations of convolutional networks on images of 28 x 28 pixels, trained and attacked.

PneumoniaMNIST where its archive lies in `data/`, otherwise made-up images of the same shape.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.contest import OURS, Contender
from benchmarks.problem import Problem
from pipeline.attacks.evasion.gradient import pgd
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.undefended import architecture_for, fit_as_configured
from pipeline.files import repository_root
from pipeline.models.answers import margin
from pipeline.models.cnn import as_module
from pipeline.models.designs import initialised
from pipeline.models.image_networks import ImageNetworks, range_constants
from pipeline.params import configured

FILE = repository_root() / "data/pneumoniamnist.npz"
DATA = "PneumoniaMNIST" if FILE.exists() else "made-up images"
MODELS, EPOCHS = 4, 2
ATTACKED, IMAGES = 2, 256  # models, and test images of each
LEVELS, STEPS, STEP_SIZE = 4.0, 40, 0.125  # grey levels of 255; a step in radii
MADE_UP = {"train": 1024, "test": IMAGES}


class Scans(NamedTuple):
    """What all contenders get: the same images, members, and first weights."""

    cfg: Config
    dataset: Dataset
    plan: Plan


@cache
def load_scans() -> Scans:
    """The images, and `MODELS` seeds on their official split."""
    fixed = ["train.schedule=constant", "train.shift=0", f"train.epochs={EPOCHS}"]
    cfg = configured(["experiment=pneumonia", *fixed])
    if FILE.exists():
        dataset, _ = read_raw(cfg.data, repository_root())
    else:
        dataset = made_up(Schema.of(cfg.data), seed=cfg.seed)
    assert dataset.split is not None
    return Scans(cfg, dataset, Plan.official(dataset.split, seeds=MODELS, seed=cfg.seed))


def made_up(schema: Schema, *, seed: int) -> Dataset:
    """Noise, and in the upper left corner of the ill a shade that is somewhat brighter."""
    drawn = torch.Generator().manual_seed(seed)
    count = sum(MADE_UP.values())
    y = torch.randint(0, 2, (count,), generator=drawn)
    x = torch.randint(60, 160, (count, *schema.image), generator=drawn).float()
    x[y == 1, :, :12, :12] += 12
    return Dataset(x, y, schema, split=2 * (torch.arange(count) >= MADE_UP["train"]).long())


def training(_: Problem) -> dict[str, Contender]:
    """`MODELS` networks as one population, against a DataLoader and Adam for one after another."""
    cfg, dataset, plan = load_scans()
    networks = _modules(_untrained())
    start = [{k: v.clone() for k, v in one.state_dict().items()} for one in networks]
    # Standardised before the clock starts: the peer pays for its training loop alone.
    rows = plan.train[0]
    records = TensorDataset(networks[0][0](dataset.x[rows] / 255).detach(), dataset.y[rows])

    def one_by_one(_: int) -> None:
        for member, network in enumerate(networks):
            network.load_state_dict(start[member])
            drawn = torch.Generator().manual_seed(member)
            loader = DataLoader(records, cfg.train.batch_size, shuffle=True, generator=drawn)
            optimiser = torch.optim.Adam(network.parameters(), lr=cfg.train.learning_rate)
            for _ in range(cfg.train.epochs):
                for x, y in loader:
                    optimiser.zero_grad()
                    nn.functional.cross_entropy(network[1:](x), y).backward()
                    optimiser.step()

    tested = plan.held_out[0]
    x, y = dataset.x[tested], dataset.y[tested]

    def accuracy(logits: Tensor) -> float:
        return float((margin(logits, y) > 0).float().mean())

    def of_peer(_: list[Any]) -> float:
        with torch.no_grad():
            return accuracy(torch.stack([network(x / 255) for network in networks]))

    return {
        OURS: Contender(
            lambda _: fit_as_configured(dataset, plan, cfg, "baseline"),
            lambda results: accuracy(results[-1](x.expand(MODELS, *x.shape))),
            MODELS,
        ),
        "torch": Contender(one_by_one, of_peer, MODELS),
    }


def attack(_: Problem) -> dict[str, Contender]:
    """PGD-40 on `ATTACKED` trained networks at once, or on one after another."""
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier
    from torchattacks import PGD

    cfg, dataset, plan = load_scans()
    population = fit_as_configured(dataset, plan.select(torch.arange(ATTACKED)), cfg, "baseline")
    assert isinstance(population, ImageNetworks)
    networks = [one.eval().requires_grad_(False) for one in _modules(population)]
    tested = torch.nonzero(plan.held_out[0])[:IMAGES, 0]
    x, y = dataset.x[tested], dataset.y[tested]
    unit, eps = x / 255, LEVELS / 255
    threat = whole_range(dataset)

    def ours(_: int) -> float:
        x_adv = pgd(
            population,
            x.expand(ATTACKED, *x.shape),
            y,
            threat,
            eps=eps,
            steps=STEPS,
            step_size=STEP_SIZE,
            generator=torch.Generator().manual_seed(0),
        )
        return float((margin(population(x_adv), y) > 0).float().mean())

    def each(one: Callable[[nn.Sequential], Tensor]) -> Callable[[int], float]:
        def run(_: int) -> float:
            right = []
            for network in networks:
                x_adv = one(network)
                with torch.no_grad():
                    right.append(float((network(x_adv).argmax(1) == y).float().mean()))
            return sum(right) / len(right)

        return run

    def plain(network: nn.Sequential) -> Tensor:
        x_adv = unit.clone()
        for _ in range(STEPS):
            x_adv.requires_grad_()
            loss = nn.functional.cross_entropy(network(x_adv), y)
            (grad,) = torch.autograd.grad(loss, x_adv)
            moved = x_adv.detach() + STEP_SIZE * eps * grad.sign()
            x_adv = (unit + (moved - unit).clamp(-eps, eps)).clamp(0, 1)
        return x_adv

    def torchattack(network: nn.Sequential) -> Tensor:
        attack = PGD(network, eps=eps, alpha=STEP_SIZE * eps, steps=STEPS, random_start=False)
        x_adv: Tensor = attack(unit, y)
        return x_adv

    classifiers = {
        network: PyTorchClassifier(
            network,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(x.shape[1:]),
            nb_classes=2,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        for network in networks
    }

    def toolbox(network: nn.Sequential) -> Tensor:
        attack = ProjectedGradientDescentPyTorch(
            classifiers[network],
            norm=np.inf,
            eps=eps,
            eps_step=STEP_SIZE * eps,
            max_iter=STEPS,
            batch_size=len(y),
            verbose=False,
        )
        return torch.from_numpy(attack.generate(unit.numpy(), y.numpy()))

    peers = {"torch": plain, "adversarial-robustness-toolbox": toolbox, "torchattacks": torchattack}
    return {OURS: Contender(ours, lambda results: results[-1])} | {
        name: Contender(each(one), lambda results: results[-1]) for name, one in peers.items()
    }


def whole_range(dataset: Dataset) -> Threat:
    """Any picture of the range, whole levels or not, as every peer has it; eps = 1 is the range."""
    shape = dataset.schema.image
    lower = torch.zeros(shape, dtype=torch.float64)
    top = torch.full_like(lower, 255.0)
    return Threat(
        mutable=torch.ones(shape, dtype=torch.bool),
        lower=lower,
        upper=top,
        step=torch.zeros_like(lower),
        scale=top,
    )


def _untrained() -> ImageNetworks:
    cfg, dataset, plan = load_scans()
    architecture = architecture_for(dataset, cfg)
    return ImageNetworks(
        architecture,  # type: ignore[arg-type]
        range_constants(dataset.schema, plan.size),
        initialised(architecture, plan.seeds),
        plan.labels,
    )


def _modules(population: ImageNetworks) -> list[nn.Sequential]:
    """Each member as an ordinary network of images whose levels are shares of the range."""
    constants = {name: value / 255 for name, value in population.preprocessing.items()}
    return [
        as_module(
            population.architecture,  # type: ignore[arg-type]
            population.member(number),
            constants["center"][number],
            constants["scale"][number],
        )
        for number in range(population.size)
    ]
