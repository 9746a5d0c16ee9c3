"""What the guard would have told the audited patients, each by models that never saw them.

Alarms are held against it. It is measured by the guard's own code, at the radii of its policy, so
that the honest rates are of the very events that it counts later.
"""

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pipeline.config.serving import ServingConfig
from pipeline.data.plan import PLAN, Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset, load_dataset
from pipeline.data.threat import Threat
from pipeline.defenses.admission import admit
from pipeline.files import BadInput, read_json, repository_root
from pipeline.models.population import Population, deployed, load_population
from pipeline.params import parse
from pipeline.serving.honest import Honest, honest_rates
from pipeline.serving.model import Asked

POPULATION, PARAMS = "population", "params.json"  # of a run of one recipe, `sweeps/<key>/`
QUIET = None  # of a progress bar: none where there is no terminal


def rehearsed_in(
    artifacts: Path, models: Path, digest: str, threat: Threat, policy: ServingConfig
) -> Honest | None:
    """The honest rates of the models that were audited; None = they are not in this project.

    Args:
        artifacts: the folder of the stages.
        models: the folder of the defense's models.
        digest: of the models that were audited.
        threat: of the certificate.
        policy: of the guard.
    """
    try:
        dataset, plan = load_dataset(artifacts / "prepare"), Plan.load(artifacts / "prepare" / PLAN)
        population = load_population(models)
    except BadInput:
        return None
    if population.digest != digest:
        return None
    return rehearsed(population, dataset, plan, threat, policy)


def rehearsed_by(run: Path, digest: str, threat: Threat, policy: ServingConfig) -> Honest | None:
    """The honest rates of a run of one recipe, or of a deployed model; None = this is none.

    Args:
        run: its folder, which holds its models and its configuration; the cohort is read anew.
        digest: of the models that were audited.
        threat: of the certificate.
        policy: of the guard.

    Raises:
        BadInput: the cohort is not what it was.
    """
    if not (run / PARAMS).is_file():
        return None
    population = load_population(run / POPULATION)
    if population.digest != digest:
        return None
    of_stages: dict[str, list[str]] = {"examine": [], "extra": []}  # a run of one recipe has none
    cfg = parse({**read_json(run / PARAMS), **of_stages}, str(run / PARAMS))
    dataset, _ = read_raw(cfg.data, repository_root())
    return rehearsed(population, dataset, admit(dataset, cfg), threat, policy)


def rehearsed(
    population: Population, dataset: Dataset, plan: Plan, threat: Threat, policy: ServingConfig
) -> Honest:
    """The honest rates.

    Args:
        population: of the plan, M models.
        dataset: N records.
        plan: who may be asked about whom.
        threat: of the certificate.
        policy: of the guard.
    """
    reported = plan.held_out.any(0)
    repetitions = sorted({int(one) for one in plan.repetition if one >= 0})
    shape = (len(repetitions), len(dataset.y))
    decision, score = np.zeros(shape, dtype=np.int64), np.zeros(shape)
    referred, alarmed, near = (np.zeros(shape, dtype=bool) for _ in range(3))
    x = dataset.x.double().numpy()
    asked = [one for one in range(population.size) if plan.held_out[one].any()]
    for member in tqdm(asked, desc="honest rates", disable=QUIET, leave=False):
        own = deployed(population.select(torch.tensor([member])))
        model = Asked.of(own, dataset.schema, threat, policy)
        row = repetitions.index(int(plan.repetition[member]))
        rows = plan.held_out[member].nonzero()[:, 0].numpy()
        for place, said in zip(rows, model.said(x[rows]), strict=True):
            decision[row, place], score[row, place] = said.ill, said.probability
            referred[row, place], alarmed[row, place] = bool(said.reason), said.alarming
            near[row, place] = bool(said.near)
    kept = reported.numpy()
    names = () if dataset.schema.image else dataset.schema.names
    return honest_rates(
        y=dataset.y.numpy()[kept],
        decision=decision[:, kept],
        score=score[:, kept],
        referred=referred[:, kept],
        alarmed=alarmed[:, kept],
        near=near[:, kept],
        inputs={name: x[kept, place] for place, name in enumerate(names)},
        whose=np.unique(dataset.patient.numpy()[kept], return_inverse=True)[1],
    )
