"""Audits of clinical models from a notebook, by a few names; all others are private.

    import medsecure

    cfg = medsecure.configure("data=ward", "defense=[baseline]")
    dataset = medsecure.read_cohort(cfg)
    plan = medsecure.Plan.cross_validation(dataset.y, folds=5, seeds=1, seed=cfg.seed)
    models = medsecure.train("baseline", dataset, plan, cfg)
    threat = medsecure.Threat.of(dataset.schema, cfg.threat["clinical"])
    x, y = dataset.x[:10], dataset.y[:10]
    forged = medsecure.attack(models, x, y, threat, cfg.attack["pgd_margin"], eps=0.3)
    nearest = medsecure.verify(models, x, y, threat, largest=1.0)

A model that is there already, or an estimator that is not fitted yet, takes one call:

    medsecure.audit(my_pipeline, X, y, schema="ward")

`medsecure.run(cfg)` does all of it and more, keeps the results and logs them. The command of the
same name starts projects and runs their stages.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api.notebook import attack as attack
    from pipeline.api.notebook import configure as configure
    from pipeline.api.notebook import read_cohort as read_cohort
    from pipeline.api.notebook import report_tables as report_tables
    from pipeline.api.notebook import run as run
    from pipeline.api.notebook import verify as verify
    from pipeline.api.own_model import audit as audit
    from pipeline.api.own_model import membership as membership
    from pipeline.data.plan import Plan as Plan
    from pipeline.data.threat import Threat as Threat
    from pipeline.defenses.trained import train as train
    from pipeline.files import BadInput as BadInput
    from pipeline.models.population import load_population as load_population

    __version__: str

# Where each name lives; it is imported when somebody asks for it.
HOMES = {
    "BadInput": "pipeline.files",
    "Plan": "pipeline.data.plan",
    "Threat": "pipeline.data.threat",
    "attack": "pipeline.api.notebook",
    "audit": "pipeline.api.own_model",
    "configure": "pipeline.api.notebook",
    "load_population": "pipeline.models.population",
    "membership": "pipeline.api.own_model",
    "read_cohort": "pipeline.api.notebook",
    "report_tables": "pipeline.api.notebook",
    "run": "pipeline.api.notebook",
    "train": "pipeline.defenses.trained",
    "verify": "pipeline.api.notebook",
}
__all__ = ["__version__", *HOMES]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"medsecure has no {name!r}; it has {', '.join(__all__)}")
    if said := importlib.import_module(f"{__name__}.command").foreign():
        raise ImportError(said)
    if name == "__version__":
        from pipeline.project.package import package_version

        return package_version()
    from pipeline.kernels import fix_kernels

    fix_kernels()  # before torch and NumPy, where nobody has imported them yet
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
