"""What privacy costs: private models at several epsilons, side by side.

Command:  python -m pipeline.stages.frontier
Reads:    artifacts/prepare/
Writes:   artifacts/frontier/{frontier.safetensors,frontier.json}
"""

from pipeline.config import Config
from pipeline.files import folder
from pipeline.risks.frontier.measure.epsilons import trace_frontier
from pipeline.risks.frontier.measure.settings import FrontierSettings
from pipeline.stages import ARTIFACTS, left_out, prepared, run


def vary_epsilon(cfg: Config) -> str:
    """The stage."""
    if why := left_out(FrontierSettings, cfg, "frontier"):
        return why
    dataset, plan = prepared()
    found = trace_frontier(dataset, plan, cfg)
    with folder(ARTIFACTS / "frontier") as out:
        found.save(out)
    return f"{len(found.models)} kinds of model at {len(found.epsilons)} epsilons"


if __name__ == "__main__":
    run(vary_epsilon)
