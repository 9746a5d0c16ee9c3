"""Adversarial training under differential privacy.

Each record is attacked on its own, inside its own clipped gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.attacks.evasion.gradient import pgd
from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.budget import PrivacyBudget, composed, guarantee_for
from pipeline.defenses.decision import under_guarantee
from pipeline.defenses.image_gradients import trained_privately
from pipeline.defenses.privacy import NoisySteps, Rate, SampleRate, fit_private
from pipeline.defenses.undefended import architecture_for
from pipeline.models.designs import Trained
from pipeline.models.training import Batch


def dp_adv_train(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    epsilon: Positive,
    delta: Rate,
    sample_rate: SampleRate,
    expected_batch: Positive,
    max_grad_norm: Positive,
    steps: Count,
    learning_rate: Positive,
    cut: float,
    eps: Positive,
    threat: str,
    attack_steps: Count,
    attack_step_size: Positive,
    secret: bool = False,
) -> Trained:
    """DP-SGD on attacked records.

    Adversarial training with privacy: Hayes, Balle & Kumar 2022, arXiv:2201.02265. In every step
    each record that was drawn is replaced by one attacked copy, and the copy's gradient is clipped.
    The guarantee is that of `dp_train`, digit for digit, because the sensitivity of a step is the
    same: the copy is a function of the record itself and of the weights as they stand, and these
    are a function of earlier noisy sums, which count as published already (adaptive composition).
    So adding or removing one record adds or removes one clipped gradient of the sum and alters no
    other, and the sum moves by `max_grad_norm` at most. That is why the attack draws nothing,
    starts at the record itself, and hits every record alike: one that takes a part of the batch by
    its place, or random starts from a stream that all records share, as `adv_train` does, makes the
    copies of others depend on who is present, and one record would move many gradients.

    Args:
        dataset: the records.
        plan: who trains.
        cfg: the model and the threat models.
        epsilon: target, met from below.
        delta: must be below 1 / records.
        sample_rate: of the Poisson draw.
        expected_batch: the public denominator.
        max_grad_norm: clipping bound, L2, over all weights of a model.
        steps: noisy steps.
        learning_rate: of Adam.
        cut: log-odds from which on a patient is called ill: a public constant, which costs
            nothing; read unless the configured decision is a constant itself, or the plan sets
            patients aside to choose on.
        eps: radius of the attack, in units of the features' scale.
        threat: name of the threat model whose attacker is trained against.
        attack_steps: gradient steps of the attack on each record.
        attack_step_size: length of one, as a fraction of eps.
        secret: noise and draw come from the operating system; no option of a configuration.

    Returns:
        the population; its facts as those of `dp_train`.

    Raises:
        BadInput: delta is too large for the cohort, or the two accountants contradict each other.
        FailedCheck: the training measured that its mechanism is not what is claimed.
    """
    name = "dp_adv_train"
    budget = PrivacyBudget(epsilon, delta, sample_rate, steps)
    guarantee = guarantee_for(plan, budget, name)
    guarantee |= {
        "max_grad_norm": max_grad_norm,
        "denominator": expected_batch,
        "engine": "population",
        "composition": composed(plan, guarantee, dataset.patient),
    }
    attacker = Threat.of(dataset.schema, cfg.threat[threat])
    how = NoisySteps(
        guarantee["noise_multiplier"],
        sample_rate,
        steps,
        expected_batch,
        max_grad_norm,
        learning_rate,
        secret,
    )
    perturb = attack_each_record(attacker, eps, attack_steps, attack_step_size)
    architecture = trained_privately(architecture_for(dataset, cfg), name)
    population = fit_private(dataset, plan, architecture, how, perturb=perturb, name=name)
    population.facts["guarantee"] = guarantee
    return under_guarantee(population, dataset, plan, cfg.decision, otherwise=cut)


def attack_each_record(
    threat: Threat, eps: float, steps: int, step_size: float
) -> Callable[[Trained, Batch], Tensor]:
    """A `perturb` for `fit_private`: PGD from the record itself.

    A copy depends on its own record and the weights alone.
    """

    def perturb(population: Trained, batch: Batch) -> Tensor:
        unused = torch.Generator()  # one restart draws nothing
        return pgd(
            population,
            batch.x,
            batch.y,
            threat,
            eps=eps,
            steps=steps,
            step_size=step_size,
            generator=unused,
        )

    return perturb
