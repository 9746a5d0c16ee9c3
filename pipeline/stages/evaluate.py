"""The same audit, adaptive to each defence; the comparison; and MLflow's view of it.

Command:  python -m pipeline.stages.evaluate
Reads:    artifacts/prepare/, artifacts/attack/, artifacts/<every defence>/, artifacts/frontier/, artifacts/poisoning/,
          artifacts/theft/
Writes:   artifacts/evaluate/: report.html, metrics.json, the tables that README.md lists, plots/, leakage/<defense>/,
          rows/<defense>.parquet, verdicts/<defense>.parquet
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.config import BASELINE, Config
from pipeline.files import folder
from pipeline.models.population import Population
from pipeline.report.chapters import read_chapters
from pipeline.report.write import write_evaluation
from pipeline.risks.evasion.measure.examination import Findings
from pipeline.risks.evasion.tables import evaluate_audits
from pipeline.risks.membership.measure.shadows import FOLDER, Leakage
from pipeline.risks.poisoning.measure.certificate import certificate_table
from pipeline.stages import ARTIFACTS, prepared, run
from pipeline.stages._examining import examine
from pipeline.tracking.runs import log_evaluations
from pipeline.tracking.store import open_store

STAGE_OF = {BASELINE: "train_baseline"}  # the other defences are trained by the stage of their own name


def evaluate(cfg: Config) -> None:
    """The stage."""
    open_store(cfg)  # before the work, so that an unreachable server costs no one an hour
    dataset, plan = prepared()
    populations = {name: Population.load(ARTIFACTS / STAGE_OF.get(name, name)) for name in cfg.defenses}
    others, out = [name for name in populations if name != BASELINE], ARTIFACTS / "evaluate"
    beside = {"certificate": certificate_table(populations, dataset, plan, cfg.audit, cfg.seed), **read_chapters(ARTIFACTS)}
    with folder(out) as unfinished, TemporaryDirectory() as scratch:
        leaks, audits = unfinished / FOLDER, Path(scratch)
        shutil.copytree(ARTIFACTS / "attack" / FOLDER, leaks / BASELINE)
        examine(others, dataset, plan, cfg, audits, leaks)
        found = {BASELINE: Findings.load(ARTIFACTS / "attack")} | {name: Findings.load(audits / name) for name in others}
        evaluation = evaluate_audits(found, cfg)
        told = {name: Leakage.load(leaks / name) for name in populations}
        write_evaluation(evaluation, told, dataset, cfg, unfinished, beside)
    log_evaluations(evaluation, populations, dataset.schema, cfg, out)


if __name__ == "__main__":
    run(evaluate)
