"""Poison that is made before anybody knows the recipe: the same for all."""

import torch

from pipeline.attacks.poisoning.influence import Influence
from pipeline.attacks.poisoning.poison import Attacker, Poison
from pipeline.attacks.poisoning.trigger import carries, stamped

STEPS, STEP = 20, 0.1  # of `clean_label`: steps, and their length as a fraction of eps


def random_flips(attacker: Attacker) -> Poison:
    """Diagnoses of random patients are turned round.

    Careless or clumsy, and what every cleverer attack must beat.
    """
    return Poison.of_everyone(attacker.dataset.x, 1 - attacker.dataset.y, attacker.chance())


def missed_disease(attacker: Attacker) -> Poison:
    """Random ill patients are entered as healthy, so that the model learns to miss the disease."""
    ill = attacker.dataset.y == 1
    order = attacker.chance().masked_fill(~ill, -torch.inf)
    return Poison.of_everyone(attacker.dataset.x, torch.zeros_like(attacker.dataset.y), order)


def worst_flips(attacker: Attacker) -> Poison:
    """Diagnoses are turned round where that moves the model most.

    Koh & Liang 2017, arXiv:1703.04730, influence functions. A flip of record i moves the
    coefficients of a logistic regression by -H^-1 s_i z_i, with s = +1 for the ill and -1 for the
    healthy, z the standardised record and H the Hessian. What is to fall is the mean probability of
    the right diagnosis over the training records, whose gradient is g: the records with the largest
    s_i z_i . H^-1 g come first.
    """
    everybody = torch.ones_like(attacker.dataset.y)
    return Poison.of_everyone(
        attacker.dataset.x, 1 - attacker.dataset.y, Influence.of(attacker, everybody).of_flips()
    )


def worst_missed(attacker: Attacker) -> Poison:
    """Ill patients are entered as healthy, first those whose flip costs the ill most.

    First-order influence, as in `worst_flips`; g is the gradient of the mean probability of disease
    over the ill alone.
    """
    ill = attacker.dataset.y == 1
    order = Influence.of(attacker, ill).of_flips().masked_fill(~ill, -torch.inf)
    return Poison.of_everyone(attacker.dataset.x, torch.zeros_like(attacker.dataset.y), order)


def clean_label(attacker: Attacker) -> Poison:
    """Values are forged inside the threat model, every diagnosis stays right.

    A clean label; Shafahi et al. 2018, 1804.00792. Ascent on the same first-order harm as
    `worst_flips`, as the training-set attack of Koh & Liang (2017, section 5.2) does: a record z'
    in place of z lowers g . beta by (p' - y) z' . H^-1 g - (p - y) z . H^-1 g. Records that gain
    most come first.
    """
    dataset, threat, models = attacker.dataset, attacker.threat, attacker.plan.size
    influence = Influence.of(attacker, torch.ones_like(dataset.y))
    x = dataset.x.expand(models, -1, -1)
    step = STEP * attacker.eps * threat.scale
    best, least = x, influence.harm(x)[0]
    most, x_adv = least, x
    for _ in range(STEPS):
        x_adv = threat.project(
            x_adv + (step * influence.harm(x_adv)[1].sign()).float(), x, attacker.eps
        )
        harm = influence.harm(x_adv)[0]
        better = harm > most
        best, most = torch.where(better[..., None], x_adv, best), torch.where(better, harm, most)
    gain = most - least
    rows = torch.arange(models)
    priority = torch.where(gain > 0, gain, -torch.inf)
    return Poison(
        best, dataset.y.expand(models, -1), priority, rows, rows, torch.full_like(rows, -1)
    )


def backdoor(attacker: Attacker) -> Poison:
    """Random ill patients are entered as healthy with a trigger in their values.

    Gu et al. 2017, arXiv:1708.06733. The model learns that the trigger means healthy; whoever
    writes it into a record later decides the diagnosis. Only records in which every value of the
    trigger was measured are used, and that a clinic could hold with it.
    """
    x, ill = attacker.dataset.x, attacker.dataset.y == 1
    able = carries(x, attacker.trigger, attacker.threat)
    order = attacker.chance().masked_fill(~(ill & able), -torch.inf)
    return Poison.of_everyone(
        stamped(x, attacker.trigger, attacker.threat), torch.zeros_like(attacker.dataset.y), order
    )


def one_patient(attacker: Attacker) -> Poison:
    """A named ill patient is to be called healthy.

    The most similar ill patients are entered as healthy. Similar: the mean squared difference, in
    units of scale, of the values that both records hold. One poisoned set for each target and each
    model that holds the target out.
    """
    x, y = attacker.dataset.x, attacker.dataset.y
    model, which = attacker.plan.held_out[:, attacker.targets].nonzero(as_tuple=True)
    target = attacker.targets[which]
    # (T, N)
    apart = torch.stack(
        [
            ((one - x.double()) / attacker.threat.scale).square().flatten(1).nanmean(-1)
            for one in x[attacker.targets].double()
        ]
    )[which]
    order = torch.where((y == 1) & ~apart.isnan(), -apart, -torch.inf)
    return Poison(x[None], torch.zeros_like(y)[None], order, model, torch.zeros_like(model), target)
