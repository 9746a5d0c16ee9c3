"""What privacy costs: private models at several epsilons, side by side.

Command:  python -m pipeline.stages.frontier
Reads:    artifacts/prepare/
Writes:   artifacts/frontier/{frontier.safetensors,frontier.json,frontier.csv}
"""

from pipeline.config import Config
from pipeline.files import folder
from pipeline.risks.frontier.measure.epsilons import frontier
from pipeline.risks.frontier.tables import frontier_table
from pipeline.stages import ARTIFACTS, prepared, run


def measure(cfg: Config) -> None:
    """The stage."""
    dataset, plan = prepared()
    found = frontier(dataset, plan, cfg)
    with folder(ARTIFACTS / "frontier") as out:
        found.save(out)
        frontier_table(found, cfg.audit, cfg.seed).to_csv(out / "frontier.csv", index=False)


if __name__ == "__main__":
    run(measure)
