"""What recalibration does to probabilities, to decisions, to attacks, and to what leaks.

    python -m benchmarks.recalibration [override ...]

Each line: a defense, before (`none`) and after (`platt`), out of fold. Slope, intercept, Brier
score and expected calibration error; sensitivity and specificity at each model's own cut; AUROC;
what is left at the headline radius of the headline threat by PGD on the margin, and the share
proved; what cross-entropy attacks leave beyond PGD on the margin without limits at eps 1, and where
they have no gradient: the signs of masking. With `plan.tune=0.2` those who are set aside choose.

    python -m benchmarks.recalibration --membership distill [override ...]

The AUROC of membership attacks on one recipe, before and after.
"""

import sys
from typing import Any

import pandas as pd
import torch

from pipeline.attacks.evasion import evasion_suite
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset
from pipeline.defenses.trained import train_reported
from pipeline.files import repository_root
from pipeline.models.answers import clean_metrics, margin
from pipeline.models.out_of_fold import OutOfFold, cuts_out_of_fold, margins_out_of_fold
from pipeline.models.population import Population, networks_of
from pipeline.parallel import Inline
from pipeline.params import configured
from pipeline.risks.evasion.measure.diagnostics import zero_gradient_share
from pipeline.risks.evasion.measure.subject import Trial
from pipeline.risks.membership.measure.shadows import infer_members, train_halves
from pipeline.seeds import Stream, generator
from pipeline.statistics import calibration, rates
from pipeline.statistics.operating_point import logistic
from pipeline.verify.least import least_out_of_fold

MASKED = ("fgsm", "pgd_ce", "pgd_margin")  # whose figures show masked gradients
FREE = "unconstrained"


def recalibrated(cfg: Config) -> list[Config]:
    """The configuration without and with recalibration."""
    methods = ("none", "platt")
    decisions = [cfg.decision.model_copy(update={"recalibrate": method}) for method in methods]
    return [cfg.model_copy(update={"decision": decision}) for decision in decisions]


def figures(population: Population, dataset: Dataset, plan: Plan, cfg: Config) -> dict[str, Any]:
    """The line of one population."""
    margins, y = (one.numpy() for one in margins_out_of_fold(population, dataset, plan))
    cut = cuts_out_of_fold(population, plan).numpy()
    score = (2 * y - 1) * margins[0] + cut
    line = calibration.slope_and_intercept(score, y, cfg.audit.confidence)
    said = logistic(score)
    error, _ = calibration.expected_calibration_error(said, y, torch.ones(1, len(y)).numpy())
    clean = clean_metrics(margins, y, cut)
    kept = ("brier", "sensitivity", "specificity", "auroc")
    shown = {name: clean[name] for name in kept}
    shown |= {"slope": line["calibration_slope"], "intercept": line["calibration_intercept"]}
    scored = plan.scored()
    models, own = population.select(scored), plan.select(scored)
    headline = Trial.of(cfg.audit.headline, dataset, cfg)
    eps = min(headline.radii, key=lambda radius: abs(radius - cfg.audit.headline_eps))
    left = {name: _left(models, dataset, own, headline, name, eps, cfg) for name in MASKED}
    least = least_out_of_fold(Inline(), networks_of(models), dataset, own, headline.threat, eps)()
    free = Trial.of(FREE, dataset, cfg)
    far = {name: _left(models, dataset, own, free, name, 1.0, cfg) for name in MASKED}
    index, _ = own.held_out_index()
    return shown | {
        "ece": error,
        "robust": left["pgd_margin"],
        "proved": float((least.margins > 0).double().mean()),
        "certified_auc": rates.auroc((2 * y - 1) * least.margins.numpy() + cut, y),
        "fgsm_beyond": far["fgsm"] - far["pgd_margin"],
        "pgd_ce_beyond": far["pgd_ce"] - far["pgd_margin"],
        "no_gradient": zero_gradient_share(models, dataset.x[index], dataset.y[index]),
    }


def _left(
    models: Population,
    dataset: Dataset,
    plan: Plan,
    trial: Trial,
    attack: str,
    eps: float,
    cfg: Config,
) -> float:
    """The accuracy that an attack leaves out of fold."""
    index, valid = plan.held_out_index()
    x, y = dataset.x[index], dataset.y[index]
    found = evasion_suite(cfg.attack, norm=trial.threat.norm)[attack](
        models, x, y, trial.threat, eps=eps, generator=generator(Stream.EVASION, cfg.seed)
    )
    margins = margin(models.double()(found.double()), y)
    right = OutOfFold(plan, [eps]).scatter((margins > 0)[None], index, valid)
    return float(right.double().mean())


def leaks(name: str, dataset: Dataset, cfg: Config) -> dict[str, float]:
    """AUROC of each membership attack, pooled over targets."""
    found = infer_members(name, train_halves(name, dataset, cfg), dataset, cfg)
    member = found.member.flatten().long().numpy()
    return {
        attack: rates.auroc(scores.flatten().numpy(), member)
        for attack, scores in found.scores.items()
    }


def main() -> None:
    """The command."""
    arguments, whose = sys.argv[1:], None
    if arguments[:1] == ["--membership"]:
        whose, arguments = arguments[1], arguments[2:]
    cfg = configured(arguments)
    torch.set_num_threads(cfg.threads)
    dataset, _ = read_raw(cfg.data, repository_root())
    lines = []
    if whose is not None:
        for one in recalibrated(cfg):
            found = leaks(whose, dataset, one)
            lines.append({"recalibrate": one.decision.recalibrate} | found)
    else:
        plan = Plan.of(dataset, cfg.plan, cfg.seed)
        for name in cfg.chosen(["baseline", *cfg.examine]):
            for one in recalibrated(cfg):
                models = train_reported(name, dataset, plan, one)
                key = {"defense": name, "recalibrate": one.decision.recalibrate}
                lines.append(key | figures(models, dataset, plan, one))
                print(pd.DataFrame(lines[-1:]).round(4).to_string(index=False), flush=True)
    print(pd.DataFrame(lines).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
