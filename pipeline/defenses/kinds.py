"""What everything else is compared with: a network, trees, or what a team brings."""

from collections.abc import Callable

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.estimating import estimator, lightgbm, xgboost
from pipeline.defenses.growing import boosting, forest
from pipeline.defenses.keeping import frozen
from pipeline.defenses.undefended import fit_as_configured
from pipeline.models.population import Population
from pipeline.validation import check_options

# Models that are no networks, each by its recipe, whose options stand in `model`.
MADE: dict[str, Callable[..., Population]] = {
    "forest": forest,
    "extra_trees": forest,
    "boosting": boosting,
    "xgboost": xgboost,
    "lightgbm": lightgbm,
    "estimator": estimator,
    "frozen": frozen,
}


def baseline(dataset: Dataset, plan: Plan, cfg: Config) -> Population:
    """Ordinary training: of a network with cross-entropy, else what `model` names in `MADE`."""
    if cfg.model.name not in MADE:
        return fit_as_configured(dataset, plan, cfg, "baseline")
    make = MADE[cfg.model.name]
    return make(dataset, plan, cfg, **check_options(make, cfg.model.own, "model"))
