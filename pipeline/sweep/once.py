"""Runs that are done once: a recipe end to end, kept under the digest of all that decides it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import BASELINE, Config
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset, save_schema
from pipeline.defenses.admission import admit, remarks_on_size
from pipeline.defenses.trained import train_reported
from pipeline.files import folder, read_json, repository_root, write_json
from pipeline.kernels import use_device
from pipeline.models.population import deployed, load_population
from pipeline.parallel import use_backend
from pipeline.presentation.numbers import with_interval
from pipeline.project.package import package_digest
from pipeline.report import DEFENSES as JUDGED
from pipeline.report import HEADLINE, METRICS
from pipeline.report.write import write_evaluation
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Context, Sources
from pipeline.stages._examining import Examinee, examine
from pipeline.sweep.claims import attempt, boards, wait_for
from pipeline.sweep.keys import only, run_key, staged_key, undefended
from pipeline.sweep.staged import measure_staged
from pipeline.tracking.runs import Evaluated, log_evaluation
from pipeline.tracking.store import logged_job, open_store, shared

POPULATION, MEASURED, STAGES, EVALUATION = "population", "measured", "stages", "evaluation"
DRAWN_BY = "drawn_by.txt"
SHOWN = ("clean_accuracy", "auroc", "sensitivity")
ELSEWHERE = (
    "done by another worker, whose folder is not seen here; its figures are in MLflow, and one "
    "page of all jobs needs one folder `sweeps/`"
)


class DoneElsewhere(Exception):
    """A job that was logged to its end, and whose measurements are not in this folder."""


@dataclass(frozen=True)
class Run:
    """A recipe that was measured to the end, by this process or an earlier one.

    Attributes:
        defense: the recipe.
        cfg: its configuration, as `only` leaves it.
        dataset: the records.
        key: what decided it.
        done_before: nothing was measured now.
    """

    defense: str
    cfg: Config
    dataset: Dataset
    key: str
    done_before: bool

    @property
    def place(self) -> Path:
        """Its folder."""
        return place_of(self.key)

    @property
    def examined(self) -> Path:
        """Where the measurements of its models lie."""
        return self.place / MEASURED / self.defense

    @property
    def staged(self) -> Path | None:
        """The folder of the risks with a stage of their own; None = they were not asked for."""
        key = staged_key(self.cfg)
        return self.place / STAGES / key[:16] if key else None

    @property
    def evaluation(self) -> Path:
        """The folder of its page and tables: those of other settings of such risks stay."""
        return (self.staged or self.place) / EVALUATION

    @property
    def context(self) -> Context:
        """Whose records were examined, and as what was configured."""
        return Context(self.dataset, self.cfg)


def run_recipes(cfg: Config, overrides: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Runs every defense that `cfg` holds; a finished one is not run again.

    Returns:
        a line of figures for each.

    Raises:
        BadInput: as `admit`, before anything is trained.
    """
    open_store(cfg)
    dataset, _ = read_raw(cfg.data, repository_root())
    for remark in remarks_on_size(admit(dataset, cfg), cfg):
        print(remark, flush=True)
    apart = [override for override in overrides if not override.startswith("defense=")]
    lines = []
    for name in cfg.defenses:
        run = measured(only(cfg, name), name, dataset)
        evaluation, _ = drawn_and_logged(run, apart)
        lines.append(
            {
                "defense": name,
                "key": run.key[:16],
                "done_before": run.done_before,
                **_figures(evaluation, name),
            }
        )
    return lines


def place_of(key: str) -> Path:
    """The folder of a run, or of a sweep."""
    return repository_root() / "sweeps" / key[:16]


def finished(
    cfg: Config, name: str, dataset: Dataset, overrides: Sequence[str] = (), parent: str = ""
) -> tuple[Run, Path, Evaluated] | None:
    """Does one job to its end, as far as that was not done before, by whichever worker.

    Args:
        cfg: as `only` leaves it.
        name: of the recipe.
        dataset: the records.
        overrides: as for `drawn_and_logged`.
        parent: likewise.

    Returns:
        the run, and as `drawn_and_logged`; None: another worker is at it, and it can be asked for
        again later.

    Raises:
        DoneElsewhere: another worker did it, in a folder that is not seen here.
    """
    key = run_key(cfg, dataset)
    claim = attempt(key, boards())
    if claim is None:
        return None
    with claim:
        if parent and shared() and not place_of(key).exists() and logged_job(cfg, key, parent):
            raise DoneElsewhere(ELSEWHERE)
        run = measured(cfg, name, dataset)
        return run, *drawn_and_logged(run, overrides, parent)


def measured(cfg: Config, name: str, dataset: Dataset) -> Run:
    """Trains and measures one recipe, where that was not done before; not while another one does.

    Args:
        cfg: as `only` leaves it.
        name: of the recipe.
        dataset: the records.
    """
    run = _examined(cfg, name, dataset)
    if run.staged is not None and not run.staged.exists():
        with wait_for(run.key):
            if not run.staged.exists():
                with folder(run.staged, keep=True) as unfinished:
                    measure_staged(name, dataset, cfg, unfinished)
                run = replace(run, done_before=False)
    return run


def _examined(cfg: Config, name: str, dataset: Dataset) -> Run:
    """Trains and examines one recipe, as `examine` does, where that was not done before.

    What transfers are the records made against the undefended models of the same configuration;
    they are a run of their own, which is made where it is missing.
    """
    import torch

    torch.set_num_threads(cfg.threads)
    use_device(cfg.device)
    use_backend(cfg.parallel.backend, cfg.parallel.address)
    key = run_key(cfg, dataset)
    run = Run(name, cfg, dataset, key, place_of(key).exists())
    if run.done_before:
        return run
    plan, transfer = admit(dataset, cfg), None
    if name != BASELINE:
        transfer = _examined(undefended(cfg), BASELINE, dataset).examined
    with wait_for(key):
        if run.place.exists():
            return replace(run, done_before=True)
        population = train_reported(name, dataset, plan, cfg)
        with folder(run.place, keep=True) as unfinished:
            (unfinished / MEASURED / name).mkdir(parents=True)
            examinee = Examinee(name, population, dataset, plan, cfg)
            examine(examinee, unfinished / MEASURED / name, transfer)
            (unfinished / POPULATION).mkdir()
            population.save(unfinished / POPULATION)
            save_schema(dataset.schema, unfinished / POPULATION)
            write_json(unfinished / "params.json", cfg.model_dump())
    return run


def drawn_and_logged(
    run: Run, overrides: Sequence[str] = (), parent: str = ""
) -> tuple[Path, Evaluated]:
    """Draws up, writes and logs a run, as far as that was not done before.

    Args:
        run: the run.
        overrides: what sets it apart from others of its defense.
        parent: the run of MLflow below which it is logged; empty = it stands alone.

    Returns:
        the folder of its evaluation, and what was logged.
    """
    name, examined = run.defense, {run.defense: run.examined}
    models = load_population(run.place / POPULATION)
    context = replace(
        run.context, models={name: models.digest}, releases={name: deployed(models).digest}
    )
    results = draw_up_all(Sources(examined, run.staged), context)
    evaluation, digest = run.evaluation, package_digest()
    if not evaluation.exists() or (evaluation / DRAWN_BY).read_text(encoding="utf-8") != digest:
        with folder(evaluation) as out:
            write_evaluation(results, context, out)
            (out / DRAWN_BY).write_text(digest, encoding="utf-8")
    evaluated = Evaluated(
        results, context, evaluation, examined, {name: models}, overrides, parent, run.key
    )
    with wait_for(run.key, boards()):
        log_evaluation(evaluated, name)
    return evaluation, evaluated


def _figures(evaluation: Path, name: str) -> dict[str, Any]:
    """A line of the common table: clean figures, what each risk says first, and the flags."""
    metrics = read_json(evaluation / METRICS).get(name, {})
    headline = pd.read_csv(evaluation / HEADLINE)
    flags = pd.read_csv(evaluation / JUDGED, keep_default_na=False).set_index("defense")["flags"]
    return {
        **{key: f"{metrics[key]:.3f}" for key in SHOWN if key in metrics},
        **dict(
            zip(headline["figure"], with_interval(headline, "value", "low", "high"), strict=True)
        ),
        "flags": flags.get(name, ""),
    }
