"""Scans forged by hand: whether a detector finds them, and what models answer.

Command:  python -m pipeline.stages.forgery
Reads:    artifacts/prepare/, artifacts/train_baseline/, artifacts/adv_train/, artifacts/distill/,
          artifacts/dp_train/
Writes:   artifacts/forgery/{scans.safetensors,<defense>.safetensors}; of records nothing
"""

from pipeline.config import Config
from pipeline.data.provenance import PROVENANCE
from pipeline.files import folder, read_json
from pipeline.models.population import load_population
from pipeline.risks.forgery.measure.settings import ForgerySettings
from pipeline.stages import ARTIFACTS, STAGE_OF, left_out, prepared, run


def forge_and_look(cfg: Config) -> str:
    """The stage."""
    if why := left_out(ForgerySettings, cfg, "forgery"):
        return why
    dataset, plan = prepared()
    # here: who has records need not wait for it
    from pipeline.risks.forgery.measure.answers import answers_to
    from pipeline.risks.forgery.measure.forged import forge_scans

    provenance = read_json(ARTIFACTS / "prepare" / "report.json")[PROVENANCE]
    found = forge_scans(dataset, plan, cfg, provenance)
    names = cfg.chosen(cfg.section(ForgerySettings).recipes)
    with folder(ARTIFACTS / "forgery") as out:
        found.save(out)
        for name in names:
            population = load_population(ARTIFACTS / STAGE_OF.get(name, name))
            answers_to(found, population, dataset, plan).save(out / f"{name}.safetensors")
    return f"{len(found.rows)} scans forged in {len(found.forgeries) - 1} ways"


if __name__ == "__main__":
    run(forge_and_look)
