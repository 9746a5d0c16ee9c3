"""An audit of a model that a notebook holds, fitted or not, in one call."""

import html
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.config import BASELINE, Config
from pipeline.data.in_memory import read_frame
from pipeline.data.known import HELD as KNOWN
from pipeline.data.schema import Dataset
from pipeline.defenses.admission import admit
from pipeline.defenses.trained import train_reported
from pipeline.files import BadInput
from pipeline.kernels import use_device
from pipeline.models.opening import HELD
from pipeline.parallel import use_backend
from pipeline.params import configured
from pipeline.presentation.numbers import with_interval
from pipeline.report import HEADLINE, REPORT
from pipeline.report.write import write_evaluation
from pipeline.risks.membership.tables import score_figures
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Context, Sources
from pipeline.stages._examining import Examinee, examine
from pipeline.statistics.intervals import Sampling

SOURCE, ROWS = "notebook:model", "notebook:rows"
DEPLOYED = ("experiment=deployed", f"model.source={SOURCE}")
RECIPE = ("model=estimator", f"model.factory={SOURCE}", "plan.seeds=1", "threat=[clinical]")
SPARING = ("attack=[noise,pgd_margin,square]", "attack.square.queries=100")
FOLDER, MEASURED = "medsecure-", "measured"


@dataclass(frozen=True)
class Audit:
    """What was found of a model; shows itself in a notebook.

    Attributes:
        level: what could be asked: of a `frozen model` as it is, or of a `recipe`, fitted anew.
        folder: where tables, page and `audit.json` lie, as long as this object lives.
        tables: by name, as `report_tables` has them.
        not_asked: what could not be asked, and why.
    """

    level: str
    folder: Path
    tables: Mapping[str, pd.DataFrame]
    not_asked: Sequence[str]
    _kept: Any  # the temporary folder

    @property
    def headlines(self) -> pd.DataFrame:
        """A line for each risk: `figure`, `value`, `low`, `high`."""
        return self.tables[Path(HEADLINE).stem]

    def table(self, name: str) -> pd.DataFrame:
        """One of the tables.

        Raises:
            BadInput: there is none of this name.
        """
        if name not in self.tables:
            raise BadInput(f"{name!r}: no table; there are {', '.join(sorted(self.tables))}")
        return self.tables[name]

    def report(self, path: Path | str) -> Path:
        """Copies the page, one file, to a path that is free.

        Raises:
            BadInput: something is there already.
        """
        place = Path(path)
        if place.exists():
            raise BadInput(f"{place}: is there already; name another file")
        copyfile(self.folder / REPORT, place)
        return place

    def __repr__(self) -> str:
        """The figures, one a line."""
        table = self.headlines
        lines = zip(table["figure"], with_interval(table, "value", "low", "high"), strict=True)
        return "\n".join(
            [f"audit of a {self.level}", *(f"  {what}: {said}" for what, said in lines)]
        )

    def _repr_html_(self) -> str:
        """The same as a table, and what could not be asked."""
        table = self.headlines
        rows = "".join(
            f"<tr><td>{html.escape(what)}</td><td>{html.escape(said)}</td></tr>"
            for what, said in zip(
                table["figure"], with_interval(table, "value", "low", "high"), strict=True
            )
        )
        gaps = "".join(f"<li>{html.escape(one)}</li>" for one in self.not_asked)
        more = f"<details><summary>not asked</summary><ul>{gaps}</ul></details>" if gaps else ""
        head = f"<p>Audit of a {html.escape(self.level)}. Figures with 95 % intervals.</p>"
        return f"{head}<table>{rows}</table>{more}"


def audit(
    model: Any,
    X: pd.DataFrame,
    y: Any,
    *,
    schema: str,
    groups: Any = None,
    trained_on: Any = None,
    threshold: float = 0.5,
    overrides: Sequence[str] = (),
    conf: Path | str | None = None,
) -> Audit:
    """Audits a model that is there already, or the recipe that makes it.

    What is fitted is asked as it is. What is not is fitted anew, on folds and on random halves, and
    can be asked more: out of fold, and who of its patients it gives away. Nothing of a record stays
    behind; MLflow is not told.

    Args:
        model: an estimator of scikit-learn's kind, fitted or not, or a function of a data frame.
        X: N records, a column for each feature of the schema, in clinical units.
        y: (N,) diagnoses, as the schema has them: 0 and 1, or the cells of its `outcomes`.
        schema: the name of a data set in `conf/data/`.
        groups: (N,) whose record each is; None = each is somebody's own.
        trained_on: (N,) bool, on whom a fitted model was trained; None = on nobody of these.
        threshold: the probability from which on a fitted model calls ill.
        overrides: in Hydra's syntax, `"audit.sample=200"`.
        conf: as of `configure`.

    Returns:
        the figures; empty where nothing could be asked.

    Raises:
        BadInput: a record does not fit the schema, or the model does not answer as one does.
        FailedCheck: what was read of the model answers otherwise than it does.
    """
    fitted = is_fitted(model)
    chosen = [*DEPLOYED, f"decision.value={threshold}"] if fitted else [*RECIPE, *SPARING]
    known = [] if trained_on is None else [f"plan.trained_on={ROWS}"]
    asked = [f"data={schema}", "defense=[baseline]", *chosen, *known, *overrides]
    cfg = configured(asked, None if conf is None else Path(conf))
    dataset = _dataset(X, y, cfg, groups)
    if trained_on is not None and len(trained_on) != len(dataset.y):
        raise BadInput(f"trained_on: {len(trained_on)} values, of {len(dataset.y)} records")
    with _held(model, trained_on, fitted=fitted), _threads(cfg):
        return _measured(cfg, dataset, "frozen model" if fitted else "recipe")


def is_fitted(model: Any) -> bool:
    """Whether a model is there already, or can be fitted and is not."""
    if not hasattr(model, "fit"):
        return True
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True


def _dataset(X: pd.DataFrame, y: Any, cfg: Config, groups: Any) -> Dataset:
    frame = pd.DataFrame(X).reset_index(drop=True)
    told = {cfg.data.target: y} | ({} if groups is None else {cfg.data.group or "group": groups})
    for name, values in told.items():
        if len(values) != len(frame):
            raise BadInput(f"{name}: {len(values)} values, and there are {len(frame)} records")
        frame[name] = np.asarray(values)
    data = cfg.data
    if groups is not None and data.group is None:
        data = data.model_copy(update={"group": "group"})
    if groups is None and data.group is not None and data.group not in frame:
        data = data.model_copy(update={"group": None})
    return read_frame(frame, data)


@contextmanager
def _threads(cfg: Config) -> Iterator[None]:
    """As many as are configured; then the notebook has its own again."""
    before = torch.get_num_threads()
    torch.set_num_threads(cfg.threads)
    use_device(cfg.device)
    use_backend(cfg.parallel.backend, cfg.parallel.address)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _held(model: Any, trained_on: Any, *, fitted: bool) -> Iterator[None]:
    """The model and the rows behind what the configuration names."""
    HELD[SOURCE] = model if fitted else lambda: model
    if trained_on is not None:
        KNOWN[ROWS] = torch.from_numpy(np.array(trained_on, dtype=bool))
    try:
        yield
    finally:
        del HELD[SOURCE]
        KNOWN.pop(ROWS, None)


def _measured(cfg: Config, dataset: Dataset, level: str) -> Audit:
    plan = admit(dataset, cfg)
    kept = tempfile.TemporaryDirectory(prefix=FOLDER)
    place = Path(kept.name) / MEASURED / BASELINE
    place.mkdir(parents=True)
    population = train_reported(BASELINE, dataset, plan, cfg)
    examine(Examinee(BASELINE, population, dataset, plan, cfg), place)
    sources, context = Sources({BASELINE: place}), Context(dataset, cfg)
    folder = Path(kept.name) / "evaluation"
    folder.mkdir()
    write_evaluation(draw_up_all(sources, context), context, folder)
    tables = {path.stem: pd.read_csv(path) for path in sorted(folder.glob("*.csv"))}
    gaps = [
        f"{what or risk}: {why}"
        for risk in ("evasion", "membership", "inversion")
        for _, what, why in sources.not_applicable(risk)
    ]
    return Audit(level, folder, tables, gaps, kept)


def membership(scores: Any, member: Any, *, seed: int = 0, resamples: int = 1000) -> pd.Series:
    """How well scores that somebody has tell who was trained on, with intervals over patients.

    Args:
        scores: (N,) of one model or (T, N) of T, HIGHER = MORE LIKELY A MEMBER: of a loss, its
            negative.
        member: of the same shape, whether the model was trained on the patient.
        seed: of the bootstrap.
        resamples: of it, at least 100.

    Returns:
        `auroc` (0.5 is guessing), `tpr_at_1pct`, `tpr_at_01pct` (empty where there are too few
        others to show it), each with `_low` and `_high`; `advantage`, empty of one model.

    Raises:
        BadInput: the shapes differ, a score is no number, or one side is empty.

    >>> import numpy as np
    >>> member = np.arange(800) % 2 == 0
    >>> told = membership(np.where(member, 1.0, 0.0), member)
    >>> float(told["auroc"]), float(told["tpr_at_1pct"])
    (1.0, 1.0)
    """
    told, inside = np.atleast_2d(np.asarray(scores, float)), np.atleast_2d(np.asarray(member, bool))
    if told.shape != inside.shape or told.ndim != 2:
        raise BadInput(f"scores of shape {told.shape}, members of {inside.shape}; both (T, N)")
    if not np.isfinite(told).all():
        raise BadInput(f"scores: {int((~np.isfinite(told)).sum())} are no finite numbers")
    if inside.all() or not inside.any():
        raise BadInput("member: one side is empty; give patients of both")
    weights = Sampling(resamples, 0.95, seed, np.arange(told.shape[1])).weights(told.shape[1])
    return pd.Series(score_figures(told, inside, weights, 0.95))
