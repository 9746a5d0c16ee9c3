"""The same audit, adaptive to each defence; the comparison; and MLflow's view of it.

Command:  python -m pipeline.stages.evaluate
Reads:    artifacts/prepare/, artifacts/attack/, artifacts/<every defence>/, artifacts/frontier/, artifacts/poisoning/,
          artifacts/theft/
Writes:   artifacts/evaluate/{overview,comparison,attacks,classification,confusion,fragile,alone}.csv, patients.parquet,
          {privacy,exposed,subgroups,inversion,typical}.csv, exposure.parquet,
          {frontier,poisoning,certificate,theft,theft_api}.csv, metrics.json, report.html, plots/, leakage/<defense>/,
          rows/<defense>.parquet, verdicts/<defense>.parquet
"""

from pathlib import Path

from pipeline.audit import Findings, audit, load_adversarial
from pipeline.certificates import certificate_table
from pipeline.chapters import read_chapters
from pipeline.compare import evaluate_audits
from pipeline.config import BASELINE, Config
from pipeline.data import Dataset
from pipeline.files import folder
from pipeline.leakage import FOLDER, Leakage, leakage
from pipeline.population import Population
from pipeline.report import write_evaluation
from pipeline.stages import ARTIFACTS, prepared, run
from pipeline.store import open_store
from pipeline.tracking import log_evaluations
from pipeline.workers import share_out

STAGE_OF = {BASELINE: "train_baseline"}  # the other defences are trained by the stage of their own name


def measure(name: str, dataset: Dataset, cfg: Config, place: Path) -> None:
    """What one recipe leaks, by whichever process is free."""
    leakage(name, dataset, cfg).save(place)


def evaluate(cfg: Config) -> None:
    """The stage."""
    open_store(cfg)  # before the work, so that an unreachable server costs no one an hour
    dataset, plan = prepared()
    populations = {name: Population.load(ARTIFACTS / STAGE_OF.get(name, name)) for name in cfg.defenses}
    transfer = load_adversarial(ARTIFACTS / "attack")
    audits: dict[str, Findings] = {BASELINE: Findings.load(ARTIFACTS / "attack")}
    for name, population in populations.items():
        if name != BASELINE:
            audits[name] = audit(population, dataset, plan, cfg, name=name, transfer=transfer).findings
    evaluation, out = evaluate_audits(audits, cfg), ARTIFACTS / "evaluate"
    beside = {"certificate": certificate_table(populations, dataset, plan, cfg.audit, cfg.seed), **read_chapters(ARTIFACTS)}
    with folder(out) as unfinished:
        leaks = {BASELINE: Leakage.load(ARTIFACTS / "attack" / FOLDER)}
        leaks[BASELINE].save(unfinished / FOLDER / BASELINE)
        places = {name: unfinished / FOLDER / name for name in populations if name not in leaks}
        share_out(measure, [(name, dataset, cfg, place) for name, place in places.items()])
        leaks |= {name: Leakage.load(place) for name, place in places.items()}
        write_evaluation(evaluation, leaks, dataset, cfg, unfinished, beside)
    log_evaluations(evaluation, populations, dataset, cfg, out)


if __name__ == "__main__":
    run(evaluate)
