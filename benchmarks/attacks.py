"""Robustness grids: 20 radii x 5 models x every record, all in one call or cell by cell."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.bisection import smallest_breaking_radius
from benchmarks.contest import OURS, Contender
from benchmarks.problem import Problem, attackable_network
from benchmarks.training import art_classifier
from pipeline.attacks.evasion.gradient import fgsm, pgd
from pipeline.defenses.trained import train
from pipeline.models.answers import margin

MODELS = 5
RADII = [round(0.01 * step, 2) for step in range(1, 21)]  # of each feature's range
STEPS, STEP_SIZE = 40, 0.125  # every contender starts at the record itself: none is luckier

Cell = Callable[[int, float], float]  # model, radius -> robust accuracy


def fgsm_grid(problem: Problem) -> dict[str, Contender]:
    """FGSM: all radii share one gradient."""
    from art.attacks.evasion import FastGradientMethod
    from torchattacks import FGSM

    population = _victims(problem)
    x, y = problem.complete.x.expand(MODELS, -1, -1), problem.complete.y
    eps = torch.tensor(RADII)[:, None, None, None]

    def ours(_: int) -> float:
        x_adv = fgsm(population, x, y, problem.threat, eps=eps)
        return float((margin(population(x_adv), y) > 0).float().mean())

    def toolbox(classifier: Any, radius: float) -> Any:
        return FastGradientMethod(classifier, norm=np.inf, eps=radius, batch_size=len(y))

    return {OURS: Contender(ours, _last)} | _peers(problem, toolbox, FGSM)


def pgd_grid(problem: Problem) -> dict[str, Contender]:
    """PGD-40: broken at one radius is broken at every larger one, so bisection needs few attacks.

    FGSM, tried first, spares half of these.
    """
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from torchattacks import PGD

    population = _victims(problem)
    x, y = problem.complete.x.expand(MODELS, -1, -1), problem.complete.y
    attack = partial(pgd, steps=STEPS, step_size=STEP_SIZE)

    def ours(_: int) -> float:
        generator = torch.Generator().manual_seed(problem.cfg.seed)
        first, _ = smallest_breaking_radius(
            [fgsm, attack],
            population,
            x,
            y,
            problem.threat,
            eps=torch.tensor(RADII),
            generator=generator,
        )
        # A record counts at every radius below the one that breaks it.
        return float(first.float().mean()) / len(RADII)

    def toolbox(classifier: Any, radius: float) -> Any:
        return ProjectedGradientDescentPyTorch(
            classifier,
            norm=np.inf,
            eps=radius,
            eps_step=radius * STEP_SIZE,
            max_iter=STEPS,
            batch_size=len(y),
            verbose=False,
        )

    def one_start(network: torch.nn.Module, eps: float) -> Any:
        return PGD(network, eps=eps, alpha=eps * STEP_SIZE, steps=STEPS, random_start=False)

    return (
        {OURS: Contender(ours, _last)}
        | _peers(problem, toolbox, one_start)
        | {"foolbox": Contender(_foolbox(problem), _last)}
    )


def _foolbox(problem: Problem) -> Callable[[int], float]:
    """The same grid with foolbox, which takes a list of radii."""
    import foolbox

    population = _victims(problem)
    unit, y = problem.unit(problem.complete.x), problem.complete.y
    networks = [attackable_network(population, member, problem.threat) for member in range(MODELS)]
    models = [foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu") for network in networks]
    attack = foolbox.attacks.LinfPGD(rel_stepsize=STEP_SIZE, steps=STEPS, random_start=False)

    def run(_: int) -> float:
        broken = [attack(model, unit, y, epsilons=list(RADII))[2] for model in models]
        return 1 - float(torch.stack(broken).float().mean())

    return run


def _victims(problem: Problem) -> Any:
    """The undefended models of the first five folds, trained on complete records."""
    return train(
        "baseline", problem.complete, problem.plan.select(torch.arange(MODELS)), problem.cfg
    )


def _peers(
    problem: Problem,
    toolbox: Callable[[Any, float], Any],
    torchattack: Callable[[torch.nn.Module, float], Any],
) -> dict[str, Contender]:
    """Both peers on the same networks and points of the unit box; each scores what it made."""
    population = _victims(problem)
    networks = [attackable_network(population, member, problem.threat) for member in range(MODELS)]
    classifiers = [art_classifier(network) for network in networks]
    unit, y = problem.unit(problem.complete.x), problem.complete.y
    unit_array, y_array = unit.numpy(), y.numpy()

    def art_cell(model: int, radius: float) -> float:
        x_adv = toolbox(classifiers[model], radius).generate(unit_array, y_array)
        return float(
            (classifiers[model].predict(x_adv, batch_size=len(y)).argmax(1) == y_array).mean()
        )

    def torchattacks_cell(model: int, radius: float) -> float:
        x_adv: Tensor = torchattack(networks[model], radius)(unit, y)
        with torch.no_grad():
            return float((networks[model](x_adv).argmax(1) == y).float().mean())

    return {
        "adversarial-robustness-toolbox": Contender(lambda _: _grid(art_cell), _last),
        "torchattacks": Contender(lambda _: _grid(torchattacks_cell), _last),
    }


def _grid(cell: Cell) -> float:
    return float(np.mean([cell(model, radius) for radius in RADII for model in range(MODELS)]))


def _last(results: list[float]) -> float:
    return results[-1]
