"""What each attack does to the undefended models.

Command:  python -m pipeline.stages.attack
Reads:    artifacts/prepare/, artifacts/train_baseline/
Writes:   artifacts/attack/{rows.parquet,adversarial.safetensors,diagnostics.json,metrics.json}, verified/, leakage/
"""

from pipeline.config import BASELINE, Config
from pipeline.files import folder, write_json
from pipeline.models.population import Population
from pipeline.risks.evasion.measure.examination import audit
from pipeline.risks.evasion.tables import compare, headline_metrics
from pipeline.risks.membership.measure.shadows import FOLDER, leakage
from pipeline.stages import ARTIFACTS, prepared, run


def attack(cfg: Config) -> None:
    """The stage."""
    dataset, plan = prepared()
    population = Population.load(ARTIFACTS / "train_baseline")
    result = audit(population, dataset, plan, cfg, name=BASELINE)
    table = compare({BASELINE: result.findings}, cfg.audit, cfg.seed, cfg.data.auroc_ceiling)
    leak = leakage(BASELINE, dataset, cfg)
    with folder(ARTIFACTS / "attack") as out:
        result.save(out)
        leak.save(out / FOLDER)
        write_json(out / "metrics.json", headline_metrics(table, cfg.audit.headline))


if __name__ == "__main__":
    run(attack)
