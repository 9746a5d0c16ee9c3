"""Trains one defense, and scores it out of fold. Defenses differ by their recipe alone.

Command:  python -m pipeline.stages.train <stage>
Reads:    artifacts/prepare/
Writes:   artifacts/<stage>/: population.safetensors, population.json, metrics.json
"""

import sys

from pipeline.config import BASELINE, Config
from pipeline.defenses import unfit
from pipeline.defenses.trained import train_reported
from pipeline.files import UnfitModel, folder, write_json
from pipeline.models.answers import clean_metrics
from pipeline.models.out_of_fold import cuts_out_of_fold, margins_out_of_fold
from pipeline.stages import ARTIFACTS, STAGE_OF, prepared, run, trained_by
from pipeline.statistics.edges import wilson_of_patients


def train_one(cfg: Config) -> str:
    """The stage: `train_baseline` for the undefended models, else of the name of the defense."""
    stage = sys.argv[1:]
    name = trained_by(cfg, [BASELINE] if stage == [STAGE_OF[BASELINE]] else stage)
    dataset, plan = prepared()
    said = unfit(name, cfg)
    try:
        population = None if said else train_reported(name, dataset, plan, cfg)
    except UnfitModel as why:
        population, said = None, f"not trained: {why}"
    if population is None:  # whoever examines it all the same finds no population
        with folder(ARTIFACTS / name) as out:
            write_json(out / "metrics.json", {})
        return said
    with folder(ARTIFACTS / STAGE_OF.get(name, name)) as out:
        population.save(out)
        margins, y = margins_out_of_fold(population, dataset, plan)
        cuts = cuts_out_of_fold(population, plan)
        figures = clean_metrics(margins.numpy(), y.numpy(), cuts.numpy())
        write_json(out / "metrics.json", figures)
    right, whose = figures["accuracy"], dataset.patient[plan.held_out.any(0)].numpy()
    low, high = wilson_of_patients(right * len(whose), whose)
    return f"{population.size} models, clean accuracy {right:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    run(train_one)
