"""Two attacks on every patient at the headline radius, where the others are of a sample."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.evasion import evasion_suite
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import Population
from pipeline.risks.evasion.measure.subject import Subject, Trial
from pipeline.seeds import Stream, generator

EVERYONE = "everyone.safetensors"
ON_ALL = ("fgsm", "pgd_margin")  # by their names in the configuration


@dataclass(frozen=True)
class Everyone:
    """What these attacks leave: S repetitions x N patients.

    Attributes:
        eps: radius, in units of the headline threat's scale.
        y: (N,) int64, class indices.
        margins: by attack (S, N) float32, of the true class; `none`: of the unchanged record.
    """

    eps: float
    y: Tensor
    margins: dict[str, Tensor]

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Everyone":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro` to make it"
        return read_artifact(path, cls, what="attacks on everyone", advice=advice)


def beside_a_sample(dataset: Dataset, cfg: Config) -> bool:
    """Whether not everybody is attacked by the whole suite."""
    return cfg.audit.sample is not None and cfg.audit.sample < len(dataset.y)


def attack_everyone(
    population: Population, dataset: Dataset, plan: Plan, cfg: Config, block: int | None = None
) -> Everyone | None:
    """Attacks everybody whom the plan holds out; None where the sample is everybody anyway.

    Nothing either of a population without gradients, or under a threat that counts measurements.
    With a `block` these are that one of many, with chances of its own, and asked for.
    """
    trial = Trial.of(cfg.audit.headline, dataset, cfg)
    asked = block is not None or beside_a_sample(dataset, cfg)
    if not asked or not population.gradients or trial.threat.norm == "l0":
        return None
    eps = cfg.headline_radius
    trial = Trial(trial.name, trial.threat, [eps])
    subject = Subject.of(population, dataset, plan)
    folds, radius = OutOfFold(subject.plan, trial.radii), subject.radius(trial)
    left = {"none": subject.scored(folds, subject.x[None], trial.threat)[0][0].float()}
    suite = evasion_suite(cfg.attack, norm=trial.threat.norm)
    own = () if block is None else (block,)
    for number, (name, attack) in enumerate(suite.items()):
        if name not in ON_ALL:
            continue
        choices = generator(Stream.EVASION_OF_EVERYONE, cfg.seed, number, *own)
        proposed = attack(
            subject.population, subject.x, subject.y, trial.threat, eps=radius, generator=choices
        )
        x_adv = trial.threat.project(proposed, subject.x, radius)
        left[name] = subject.scored(folds, x_adv, trial.threat)[0][0].float()
    return Everyone(float(eps), dataset.y[folds.patients], left)
