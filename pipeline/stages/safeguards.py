"""What is left of sanitisers, and of referring the doubtful, under attackers who know of them.

Command:  python -m pipeline.stages.safeguards
Reads:    artifacts/prepare/, artifacts/train_baseline/, artifacts/adv_train/
Writes:   artifacts/safeguards/{sanitised,referred,covered}.safetensors
"""

from pipeline.config import BASELINE, Config
from pipeline.files import folder
from pipeline.models.population import load_population
from pipeline.parallel import share_out
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.stages import ARTIFACTS, STAGE_OF, left_out, prepared, run


def safeguard(cfg: Config) -> str:
    """The stage; what it says at its end."""
    if why := left_out(SafeguardsSettings, cfg, "safeguards"):
        return why
    # here: they take a second to import, sometimes for naught
    from pipeline.risks.safeguards.measure.experiment import PARTS, attack_one

    wanted = cfg.section(SafeguardsSettings)
    dataset, plan = prepared()
    with folder(ARTIFACTS / "safeguards") as out:
        populations = {
            name: load_population(ARTIFACTS / STAGE_OF.get(name, name))
            for name in (BASELINE, *cfg.chosen(wanted.beside))
        }
        jobs = [(part, dataset, plan, populations, cfg, out) for part in PARTS]
        share_out(attack_one, jobs)
    return f"{len(wanted.sanitisers)} sanitisers and referral at {len(wanted.rates)} rates attacked"


if __name__ == "__main__":
    run(safeguard)
