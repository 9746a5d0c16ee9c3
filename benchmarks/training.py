"""Training, plain, adversarial and private: a population at once, or one model after another."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.contest import OURS, Contender
from benchmarks.problem import Problem, trainable_network
from pipeline.attacks.evasion import evasion_attack
from pipeline.attacks.evasion.gradient import pgd
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.adversarial import attack_part_of_batch
from pipeline.defenses.budget import PrivacyBudget, calibrate
from pipeline.defenses.opacus_engine import fit_through_opacus
from pipeline.defenses.privacy import NoisySteps, fit_private
from pipeline.defenses.trained import train
from pipeline.defenses.undefended import architecture_for, fit_as_configured
from pipeline.models.answers import margin
from pipeline.models.mlp import initialise
from pipeline.models.population import Population

SCORED = 5  # members whose quality is compared: the folds of the first seed, so all patients once
AT_ONCE = 16
EPS = 0.05  # of each feature's range; about 8 mg/dL of glucose
# What both sides are written for.
SAMPLED = {"sample_rate": 0.1, "steps": 500, "expected_batch": 64, "learning_rate": 2e-3}
TRAINING_ATTACK = {"method": "pgd", "steps": 7, "step_size": 0.25}

LogitsFn = Callable[[Tensor], Tensor]


def plain(problem: Problem) -> dict[str, Contender]:
    """25 undefended models at once, against a DataLoader and Adam for one after another."""
    cfg = problem.cfg

    def ours(_: int) -> Population:
        return train("baseline", problem.recorded, problem.plan, cfg)

    # Records are imputed and standardised before the clock starts: the peer pays for its training
    # loop alone.
    whole = [
        trainable_network(problem, _first_weights(problem), member) for member in range(SCORED)
    ]
    affine, networks = [network[0] for network in whole], [network[1:] for network in whole]
    standardised = [part(problem.unit(problem.complete.x)) for part in affine]
    start = [
        {name: value.clone() for name, value in network.state_dict().items()}
        for network in networks
    ]

    def one_by_one(_: int) -> None:
        for member, network in enumerate(networks):
            network.load_state_dict(start[member])
            rows = problem.plan.train[member]
            records = TensorDataset(standardised[member][rows], problem.complete.y[rows])
            loader = DataLoader(
                records,
                cfg.train.batch_size,
                shuffle=True,
                generator=torch.Generator().manual_seed(member),
            )
            optimiser = torch.optim.Adam(
                network.parameters(),
                lr=cfg.train.learning_rate,
                weight_decay=cfg.train.weight_decay,
            )
            for _ in range(cfg.train.epochs):
                for x, y in loader:
                    optimiser.zero_grad()
                    nn.functional.cross_entropy(network(x), y).backward()
                    optimiser.step()

    def peer_quality(_: list[Any]) -> float:
        return _held_out(
            {m: _on(network, problem) for m, network in enumerate(whole)},
            problem.complete,
            problem.plan,
        )

    return {
        OURS: Contender(
            ours,
            lambda results: _held_out(_members(results[-1]), problem.recorded, problem.plan),
            problem.plan.size,
        ),
        "torch": Contender(one_by_one, peer_quality, SCORED),
    }


def adversarial(problem: Problem) -> dict[str, Contender]:
    """16 models trained against PGD-7 at once, or by the Adversarial Robustness Toolbox."""
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.defences.trainer import AdversarialTrainer

    cfg, threat, plan = problem.cfg, problem.threat, problem.plan.select(torch.arange(AT_ONCE))
    attack = evasion_attack(TRAINING_ATTACK, "benchmarks")
    unit, y = problem.unit(problem.complete.x).numpy(), problem.complete.y.numpy()

    def ours(_: int) -> Population:
        perturb = attack_part_of_batch(
            threat, [(attack, EPS, 1.0)], torch.Generator().manual_seed(cfg.seed)
        )
        return fit_as_configured(problem.complete, plan, cfg, "adv_train", perturb=perturb)

    def toolbox(repeat: int) -> tuple[int, nn.Module]:
        np.random.seed(repeat)  # noqa: NPY002 - the toolbox shuffles with the global generator
        member = repeat % SCORED
        network = trainable_network(problem, _first_weights(problem), member)
        optimiser = torch.optim.Adam(
            network.parameters(), lr=cfg.train.learning_rate, weight_decay=cfg.train.weight_decay
        )
        classifier = art_classifier(network, optimiser)
        attacker = ProjectedGradientDescentPyTorch(
            classifier,
            norm=np.inf,
            eps=EPS,
            eps_step=EPS * TRAINING_ATTACK["step_size"],
            max_iter=TRAINING_ATTACK["steps"],
            batch_size=cfg.train.batch_size,
            verbose=False,
        )
        rows = problem.plan.train[member].numpy()
        trainer = AdversarialTrainer(classifier, attacker, ratio=1.0)
        trainer.fit(
            unit[rows], y[rows], batch_size=cfg.train.batch_size, nb_epochs=cfg.train.epochs
        )
        return member, network

    def robust(of_member: dict[int, LogitsFn]) -> float:
        def attacked(logits_fn: LogitsFn, x: Tensor, y: Tensor) -> Tensor:
            generator = torch.Generator().manual_seed(0)
            return pgd(
                logits_fn,
                x,
                y,
                threat,
                eps=EPS,
                steps=40,
                step_size=0.125,
                restarts=5,
                generator=generator,
            )

        return _held_out(of_member, problem.complete, problem.plan, attacked)

    return {
        OURS: Contender(ours, lambda results: robust(_members(results[-1])), AT_ONCE),
        "adversarial-robustness-toolbox": Contender(
            toolbox,
            lambda results: robust(
                {member: _on(network.eval(), problem) for member, network in results}
            ),
        ),
    }


def private(problem: Problem) -> dict[str, Contender]:
    """16 models by DP-SGD at once, against Opacus' hooks and ghost clipping.

    The noise is calibrated before the clock starts.
    """
    cfg, options = problem.cfg, {**problem.cfg.defenses["dp_train"], **SAMPLED}
    spent = ("epsilon", "delta", "sample_rate", "steps")
    budget = PrivacyBudget(**{name: options[name] for name in spent})
    architecture = architecture_for(problem.recorded, cfg)
    chosen = ("sample_rate", "expected_batch", "max_grad_norm", "steps", "learning_rate")
    numbers = {name: options[name] for name in chosen}
    how = NoisySteps(calibrate(budget)["noise_multiplier"], **numbers)

    def ours(_: int) -> Population:
        return fit_private(
            problem.recorded, problem.plan.select(torch.arange(AT_ONCE)), architecture, how
        )

    def opacus(repeat: int, mode: Literal["hooks", "ghost"]) -> tuple[int, Population]:
        member = repeat % SCORED
        plan = problem.plan.select(torch.tensor([member]))
        return member, fit_through_opacus(
            problem.recorded, plan, architecture, how, grad_sample_mode=mode
        )

    def accuracy(of_member: dict[int, LogitsFn]) -> float:
        return _held_out(of_member, problem.recorded, problem.plan)

    return {
        OURS: Contender(ours, lambda results: accuracy(_members(results[-1])), AT_ONCE),
        "opacus": Contender(partial(opacus, mode="hooks"), lambda results: accuracy(dict(results))),
        "opacus, ghost clipping": Contender(
            partial(opacus, mode="ghost"), lambda results: accuracy(dict(results))
        ),
    }


def art_classifier(network: nn.Module, optimiser: torch.optim.Optimizer | None = None):
    """The toolbox's view of a network on the unit box."""
    from art.estimators.classification import PyTorchClassifier

    layers = [part for part in network if isinstance(part, nn.Linear)]
    return PyTorchClassifier(
        network,
        loss=nn.CrossEntropyLoss(),
        optimizer=optimiser,
        input_shape=(layers[0].in_features,),
        nb_classes=layers[-1].out_features,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


def _first_weights(problem: Problem) -> dict[str, Tensor]:
    return initialise(architecture_for(problem.complete, problem.cfg), problem.plan.seeds)


def _members(population: Population) -> dict[int, LogitsFn]:
    return {member: population.select(torch.tensor([member])) for member in range(SCORED)}


def _on(network: nn.Module, problem: Problem) -> LogitsFn:
    """A network on the unit box as a function of clinical records."""
    return lambda x: network(problem.unit(x))


def _held_out(
    of_member: dict[int, LogitsFn],
    dataset: Dataset,
    plan: Plan,
    attacked: Callable[[LogitsFn, Tensor, Tensor], Tensor] | None = None,
) -> float:
    """The accuracy of members on records that they did not train on, as recorded or attacked."""
    right: list[Tensor] = []
    for member, logits_fn in of_member.items():
        rows = plan.held_out[member]
        x, y = dataset.x[rows][None], dataset.y[rows][None]
        x = attacked(logits_fn, x, y) if attacked else x
        right.append(margin(logits_fn(x), y)[0] > 0)
    return float(torch.cat(right).float().mean())
