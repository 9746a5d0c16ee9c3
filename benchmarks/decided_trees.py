"""How many records are decided of tree ensembles as libraries grow them, at each radius; and work.

Every kind is fitted by its own library with 100 trees of depth 6 for every fold of every repetition
of the cross-validation, and forests as deep as they grow for the folds of the first one; each
patient is asked about by the models that did not train on them. One search for the nearest change
up to the largest radius answers for all.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.decided import loaded
from benchmarks.table import table
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.models.reading import read_estimator
from pipeline.models.trees import Trees
from pipeline.parallel import share_out
from pipeline.verify import verify
from pipeline.verify.cells import Ensemble
from pipeline.verify.nearest import SAME_RADIUS, Nearest

TREES, DEPTH = 100, 6
PROCESSES = (1, 2)  # side by side


def _scikit(name: str, **options: Any) -> Any:
    from sklearn import ensemble

    return getattr(ensemble, name)(random_state=0, **options)


def _imputed(model: Any) -> Any:
    """It takes no missing value itself."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(strategy="median"), model)


def _xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=TREES, max_depth=DEPTH, n_jobs=1)


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=TREES, max_depth=DEPTH, n_jobs=1, verbose=-1)


FIXED = {"n_estimators": TREES, "max_depth": DEPTH}
FULL = {"n_estimators": TREES}
# An unfitted model of each kind, and which share of its records is to be decided at every radius.
KINDS: dict[str, tuple[Callable[[], Any], float]] = {
    "forest": (partial(_scikit, "RandomForestClassifier", **FIXED), 1.0),
    "extra_trees": (partial(_scikit, "ExtraTreesClassifier", **FIXED), 1.0),
    "gradient_boosting": (lambda: _imputed(_scikit("GradientBoostingClassifier", **FIXED)), 1.0),
    "histogram_boosting": (
        partial(
            _scikit,
            "HistGradientBoostingClassifier",
            max_iter=TREES,
            max_depth=DEPTH,
            early_stopping=False,
        ),
        1.0,
    ),
    "xgboost": (_xgboost, 1.0),
    "lightgbm": (_lightgbm, 1.0),
    "full_forest": (partial(_scikit, "RandomForestClassifier", **FULL), 0.0),
    "full_extra_trees": (partial(_scikit, "ExtraTreesClassifier", **FULL), 0.0),
}


def measure_decided_trees(root: Path, kinds: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """One entry per kind: shares decided, robust and broken at each radius, boxes, seconds.

    Args:
        root: of the repository.
        kinds: of `KINDS`; none = all of them.
    """
    cfg, dataset, plan = loaded(root, "pima")
    settings = cfg.threat["clinical"]
    threat, radii = Threat.of(dataset.schema, settings), cfg.radii("clinical")
    entries: list[dict[str, Any]] = []
    for kind in kinds or KINDS:
        make, wanted = KINDS[kind]
        count = cfg.plan.folds * (cfg.plan.seeds if wanted else 1)
        models = [fitted(make(), dataset, rows) for rows in plan.train[:count]]
        jobs = [
            (one, dataset.x[rows], dataset.y[rows], threat, radii[-1], settings.boxes)
            for one, rows in zip(models, plan.held_out[:count], strict=True)
        ]
        seconds, found = timed(jobs)
        leaves = sum(len(Ensemble.of(one, 0).leaves.value) for one in models)
        entries.append(
            {
                "kind": kind,
                "models": len(models),
                "leaves_a_model": round(leaves / len(models)),
                "records": len(found.breaks_at),
                **figures(found, radii),
                "wanted": wanted,
                **{f"s_{count}": took for count, took in zip(PROCESSES, seconds, strict=True)},
            }
        )
        print(decided_trees_table(entries[-1:]), flush=True)
    return entries


def fitted(model: Any, dataset: Dataset, rows: Tensor) -> Trees:
    """A model fitted on some records (N,) bool, and read."""
    model.fit(dataset.x[rows].double().numpy(), dataset.y[rows].numpy())
    read = read_estimator(model, dataset.schema.names, dataset.x.numpy(), {}, set())
    assert isinstance(read, Trees)
    return read


def timed(jobs: list[tuple[Any, ...]]) -> tuple[list[float], Nearest]:
    """Seconds on so many processes each, and what was found, every time the same.

    Raises:
        RuntimeError: it was not.
    """
    threads, seconds, found = torch.get_num_threads(), [], []
    for count in PROCESSES:
        torch.set_num_threads(count)
        begin = time.perf_counter()
        found.append(Nearest.join(share_out(_nearest, jobs)))
        seconds.append(round(time.perf_counter() - begin, 2))
    torch.set_num_threads(threads)
    if not all(torch.equal(one.breaks_at, found[0].breaks_at) for one in found):
        raise RuntimeError("more processes found something else")
    return seconds, found[0]


def _nearest(
    model: Trees, x: Tensor, y: Tensor, threat: Threat, largest: float, budget: int
) -> Nearest:
    return verify(Ensemble.of(model, 0), x, y, threat, largest=largest, budget=budget)


def figures(found: Nearest, radii: list[float]) -> dict[str, Any]:
    """Shares of the records at each radius, and boxes a record."""
    stand = [found.robust_below > radius + SAME_RADIUS for radius in radii]
    fall = [found.breaks_at <= radius + SAME_RADIUS for radius in radii]
    known = [one | other for one, other in zip(stand, fall, strict=True)]

    def shares(of: list[Tensor]) -> dict[str, float]:
        means = [round(float(one.double().mean()), 5) for one in of]
        return {f"{radius:g}": mean for radius, mean in zip(radii, means, strict=True)}

    return {
        "decided": shares(known),
        "robust": shares(stand),
        "broken": shares(fall),
        "inexact": int((found.robust_below < found.breaks_at).sum()),
        "undecided": int((~known[-1]).sum()),
        "boxes_a_record": round(float(found.boxes.double().mean()), 1),
        "most_boxes": int(found.boxes.max()),
    }


def decided_trees_table(entries: list[dict[str, Any]]) -> str:
    """One line per kind."""
    keys = ["kind", "leaves_a_model", "records", "undecided", "inexact", "boxes_a_record"]
    keys += ["most_boxes", *(f"s_{count}" for count in PROCESSES)]
    radii = list(entries[0]["decided"])
    head = ["kind", *(key.replace("_", " ") for key in keys[1:])]
    head += [f"decided at {radius}" for radius in radii]
    lines = [
        [*(str(entry[key]) for key in keys), *(f"{entry['decided'][one]:g}" for one in radii)]
        for entry in entries
    ]
    return table(head, lines, left=1)
