"""A model that is deployed already: nothing is trained, it is opened and asked."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.config import Config, NonNegative
from pipeline.data.plan import RELEASE, Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.refitting import recalled
from pipeline.files import BadInput, sha256
from pipeline.models.endpoint import Endpoint
from pipeline.models.first_call import acquainted, version_of_answers
from pipeline.models.foreign import Foreign
from pipeline.models.opening import (
    HELD,
    Boosted,
    Differentiable,
    is_native,
    is_xgboost,
    opened,
    read_native,
    read_of,
)
from pipeline.models.population import Population, load_population
from pipeline.models.questions import Ask, Gaps
from pipeline.models.reading import AGREES_ROUNDED, NotReadable, held_against, made_up
from pipeline.models.stacked import DESCRIPTION
from pipeline.statistics import Array

# What `version_of` opened last and what it said, for the audit that follows: taken once, so that
# nobody is answered for by a model that was replaced since.
_MET: dict[tuple[str, str, str], tuple[Ask, Array]] = {}


def frozen(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    source: str,
    named: str = "",
    rate: NonNegative = 0.0,
    gaps: Gaps = "empty",
) -> Population:
    """The model that a team deploys, as it is: see `pipeline.models.opening`.

    Args:
        dataset: the records that it is asked about.
        plan: of one model, `kind: frozen`.
        cfg: the seed.
        source: where it is kept, or answers.
        named: what people call it, where the source is a copy; empty = by its source.
        rate: requests a second at most, of an address; 0 = any.
        gaps: how it is told a missing value: by nothing, or by the file's own `code`.

    Raises:
        BadInput: it cannot be opened, or does not answer as a model does; or the plan is another.
        FailedCheck: what was read of it answers otherwise than it does.
    """
    if plan.size != 1:
        raise BadInput(
            f"model: {source}: is trained already, and is not trained on {plan.size} parts of the "
            "cohort; take plan.kind=frozen"
        )
    if not source:
        raise BadInput("model.source: says of no model where it is kept")
    if (Path(source) / DESCRIPTION).is_file():
        return recalled(_ours(load_population(Path(source)), source), dataset)
    if is_native(source) and gaps == "empty":
        return _native(dataset, cfg, Path(source), named)
    return _asked(dataset, cfg, source, named or source, rate, gaps)


def _native(dataset: Dataset, cfg: Config, path: Path, named: str) -> Population:
    """Read by ourselves; where its library is installed, that has the last word."""
    schema, what = dataset.schema, named or path.name
    try:
        read = replace(read_native(path, schema), labels=(RELEASE,))
    except NotReadable as why:
        raise BadInput(f"model: {what}: {why}") from why
    if find_spec("xgboost" if is_xgboost(path) else "lightgbm") is None:
        return read
    alone = Foreign.met(Boosted(path, schema), dataset, what)
    records = np.concatenate([dataset.x.numpy(), made_up(schema, cfg.seed)])
    held_against(read, alone.chances, records, what=what, tolerance=AGREES_ROUNDED)
    return replace(alone, read=read)


def version_of(source: str, dataset: Dataset, gaps: Gaps = "empty") -> str:
    """What tells this version of a deployed model from another: its bytes, or what it answers.

    Raises:
        BadInput: as `frozen`.
    """
    path = Path(source)
    if path.is_dir():
        return sha256(*sorted(file for file in path.rglob("*") if file.is_file()))
    if path.is_file():
        return sha256(path)
    ask = opened(source, dataset.schema)
    said = acquainted(ask, dataset, source, gaps)
    _MET.clear()
    if source not in HELD:  # a notebook gives every model of its own the same name
        _MET[source, dataset.digest, gaps] = ask, said
    return version_of_answers(said)


def _ours(kept: Population, source: str) -> Population:
    if kept.size > 1 and RELEASE not in kept.labels:
        raise BadInput(f"model: {source}: holds {kept.size} models, and none is the release model")
    return kept.release() if RELEASE in kept.labels else kept


def _asked(
    dataset: Dataset, cfg: Config, source: str, what: str, rate: float, gaps: Gaps
) -> Foreign:
    met = _MET.pop((source, dataset.digest, gaps), None)
    ask, said = met or (opened(source, dataset.schema), None)
    ask = Endpoint(source, rate) if isinstance(ask, Endpoint) else ask
    said = acquainted(ask, dataset, what, gaps) if said is None else said
    alone = Foreign.met(ask, dataset, what, gaps=gaps, said=said)
    if isinstance(ask, Endpoint):
        alone = replace(alone, asked=(Endpoint(source, rate, version=version_of_answers(said)),))
    if isinstance(ask, Differentiable):
        return replace(alone, read=ask.module, unread="it is a module of torch's")
    try:
        return replace(alone, read=read_of(alone, dataset.x.numpy(), cfg.seed))
    except NotReadable as why:
        return replace(alone, unread=str(why))
