"""A tiny clinic, examined and evaluated as `dvc repro` does it, in seconds.

What takes minutes (the stages of single risks) is made up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from parts import undrawn
from pipeline import params
from pipeline.attacks.poisoning import ATTACKS
from pipeline.config import BASELINE, Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.trained import train
from pipeline.models.population import Population
from pipeline.report.write import write_evaluation
from pipeline.risks.guard.measure.experiment import PASSED, TAKEN
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.poisoning.measure.filtering import PREFIX, RECIPE
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.results import Results, draw_up_all
from pipeline.risks.risk import Context, Sources
from pipeline.risks.safeguards.measure.experiment import FILES
from pipeline.risks.transport.measure.places import PLACES, Places
from pipeline.risks.transport.measure.settings import TransportSettings
from pipeline.stages._examining import Examinee, examine
from risks.frontier.made_up import made_up as trace_made_up
from risks.guard.made_up import passed, taken
from risks.poisoning.made_up import made_up_filtered, made_up_harm
from risks.safeguards.made_up import margins, referrals, sets
from risks.theft.made_up import made_up as made_up_copies
from tiny import FEATURES, SCHEMA, plan, records

DEFENSES = ("baseline", "adv_train", "partition")
SUITE, BOXES = ("noise", "fgsm", "pgd_margin", "sparse"), 20


def configuration(values, defenses=DEFENSES) -> Config:
    """The composed values, for the tiny features: few cheap attacks, little patience for proofs."""
    data = {
        **values["data"],
        "name": "tiny",
        "target": SCHEMA.target,
        "classes": list(SCHEMA.classes),
        "bands": {},
        "features": {name: feature.model_dump() for name, feature in FEATURES.items()},
    }
    small = {
        "data": data,
        "train": {**values["train"], "epochs": 3},
        "audit": {**values["audit"], "resamples": 100},
        "threads": 1,
        "model": {**values["model"], **({"hidden": [8]} if values["model"].get("hidden") else {})},
        "membership": {**values["membership"], "attacks": ["loss"], "targets": 4},
        "attack": {name: values["attack"][name] for name in SUITE},
        "threat": {name: {**one, "boxes": BOXES} for name, one in values["threat"].items()},
        "examine": [name for name in defenses if name != BASELINE],
        "partition": {**values["partition"], "parts": 5},
        "poisoning": {**values["poisoning"], "attacks": list(ATTACKS)},
        "theft": {
            **values["theft"],
            "headline": "public",
            "budgets": [100],
            "headline_budget": 100,
        },
    }
    kept = {name for name in values if name not in params.DEFENSES or name in defenses}
    return params.parse(
        {name: small.get(name, values[name]) for name in values if name in kept}, "conf"
    )


@dataclass(frozen=True)
class Clinic:
    """What an evaluation starts from and leaves.

    Attributes:
        examined: for each defense the folder of what was measured of it.
        folder: where the report was written.
    """

    cfg: Config
    dataset: Dataset
    plan: Plan
    populations: Mapping[str, Population]
    examined: Mapping[str, Path]
    results: Results
    folder: Path

    @property
    def context(self) -> Context:
        return Context(self.dataset, self.cfg)


def stages(cfg: Config, dataset: Dataset, place: Path) -> Path:
    """What the stages of single risks would have measured, made up."""
    places = Places.of(dataset, cfg.section(TransportSettings))  # none
    places.save(_made(place / "transport") / PLACES)
    numbers = cfg.section(PoisoningSettings)
    trace_made_up().save(_made(place / "frontier"))
    guards = _made(place / "safeguards")
    for name, made in (("sanitised", margins), ("referred", referrals), ("covered", sets)):
        made(len(dataset.y)).save(guards / FILES[name])
    for name in cfg.chosen(cfg.section(GuardSettings).recipes):
        guarded = _made(place / "guard" / name)
        passed(len(dataset.y)).save(guarded / PASSED)
        taken(len(dataset.y)).save(guarded / TAKEN)
    harms = {
        name: made_up_harm(
            60, doses={one: len(numbers.doses_of(one)) for one in ATTACKS}, harm=1.0, seed=seed
        )
        for seed, name in enumerate(cfg.defenses)
    }
    for name, harm in harms.items():
        made_up_copies(0.9).save(place / "theft" / name)
        harm.save(_made(place / "poisoning") / f"{name}.safetensors")
    filtered = made_up_filtered(harms[RECIPE], filters=tuple(numbers.filters), gain=1.0)
    for attack, one in filtered.items():
        one.save(place / "poisoning" / f"{PREFIX}{attack}.safetensors")
    return place


def _made(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return place


def evaluated(values, root: Path) -> Clinic:
    """Trains, examines and reports on three defenses of 90 patients, in folders below `root`."""
    cfg, dataset = configuration(values), records(90, seed=3)
    of_whom = plan(dataset, seeds=1, release=True)
    populations = {name: train(name, dataset, of_whom, cfg) for name in cfg.defenses}
    examined = {name: root / "examined" / name for name in populations}
    for name, population in populations.items():
        examined[name].mkdir(parents=True)
        transfer = None if name == BASELINE else examined[BASELINE]
        examine(Examinee(name, population, dataset, of_whom, cfg), examined[name], transfer)
    models = {name: one.digest for name, one in populations.items()}
    context, folder = Context(dataset, cfg, models=models), root / "evaluate"
    results = draw_up_all(Sources(examined, stages(cfg, dataset, root / "stages")), context)
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        write_evaluation(results, context, folder)
    return Clinic(cfg, dataset, of_whom, populations, examined, results, folder)
