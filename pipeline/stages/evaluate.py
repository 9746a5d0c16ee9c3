"""The same audit, adaptive to each defence; the comparison; and MLflow's view of it.

Command:  python -m pipeline.stages.evaluate
Reads:    artifacts/prepare/, artifacts/attack/, artifacts/<every defence>/
Writes:   artifacts/evaluate/{comparison,classification,confusion}.csv, metrics.json, report.html, plots/,
          rows/<defense>.parquet
"""

from pathlib import Path

import pandas as pd

from pipeline.audit import audit, load_adversarial, load_rows
from pipeline.compare import BASELINE, Evaluation, evaluate_audits
from pipeline.config import Config
from pipeline.files import folder
from pipeline.population import Population
from pipeline.report import write_evaluation
from pipeline.stages import ARTIFACTS, prepared, run
from pipeline.store import open_store
from pipeline.tracking import log_evaluations

STAGE_OF = {BASELINE: "train_baseline"}  # the other defences are trained by the stage of their own name


def evaluate(cfg: Config) -> None:
    """The stage."""
    open_store(cfg)  # before the work, so that an unreachable server costs no one an hour
    dataset, plan = prepared()
    populations = {name: Population.load(ARTIFACTS / STAGE_OF.get(name, name)) for name in cfg.defenses}
    transfer = load_adversarial(ARTIFACTS / "attack")
    audits: dict[str, pd.DataFrame] = {BASELINE: load_rows(ARTIFACTS / "attack")}
    for name, population in populations.items():
        if name != BASELINE:
            audits[name] = audit(population, dataset, plan, cfg, name=name, transfer=transfer).rows
    evaluation: Evaluation = evaluate_audits(audits, cfg)
    out: Path = ARTIFACTS / "evaluate"
    with folder(out) as unfinished:
        write_evaluation(evaluation, cfg, unfinished)
    log_evaluations(evaluation, populations, dataset, cfg, out)


if __name__ == "__main__":
    run(evaluate)
