"""What somebody inside a federation does: hostile hospitals, a curious server, participants.

Command:  python -m pipeline.stages.federation
Reads:    artifacts/prepare/
Writes:   artifacts/federation/federated/: {hospitals-<hospitals>,harm_<hospitals>_<rule>,seen,
          members}.safetensors
"""

from collections.abc import Mapping
from pathlib import Path

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import NOT_APPLICABLE, folder, write_json
from pipeline.parallel import share_out
from pipeline.risks.federation.measure.settings import RECIPE, FederationSettings
from pipeline.stages import ARTIFACTS, left_out, prepared, run


def look_inside(cfg: Config) -> str:
    """The stage; what it says at its end."""
    if why := left_out(FederationSettings, cfg, "federation"):
        return why
    dataset, plan = prepared()
    with folder(ARTIFACTS / "federation") as out:
        (out / RECIPE).mkdir()
        if whys := federate_all(dataset, plan, cfg, out / RECIPE):
            write_json(out / NOT_APPLICABLE, {"federation": whys})
    return "a federation with somebody inside who does not keep to it"


def federate_all(dataset: Dataset, plan: Plan, cfg: Config, place: Path) -> Mapping[str, str]:
    """Measures into an existing folder; says what could not be asked, and why."""
    # here: it takes a second to import, sometimes for naught
    from pipeline.risks.federation.measure.experiment import jobs_of, run_job

    jobs, whys = jobs_of(dataset, plan, cfg, place)
    share_out(run_job, jobs)
    return whys


if __name__ == "__main__":
    run(look_inside)
