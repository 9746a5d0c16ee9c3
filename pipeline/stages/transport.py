"""What models are worth at sites and on days from which they learned nothing.

Command:  python -m pipeline.stages.transport
Reads:    artifacts/prepare/
Writes:   artifacts/transport/{places.safetensors,<defense>.safetensors}
"""

from pathlib import Path

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.files import folder
from pipeline.parallel import share_out
from pipeline.risks.transport.measure.places import PLACES, Places
from pipeline.risks.transport.measure.settings import TransportSettings
from pipeline.stages import ARTIFACTS, left_out, prepared, run


def ask_one(
    name: str, dataset: Dataset, plan: Plan, places: Places, cfg: Config, path: Path
) -> None:
    """One recipe, by whichever process is free."""
    # here: it takes a second to import, mostly for naught
    from pipeline.risks.transport.measure.answers import ask_elsewhere

    ask_elsewhere(name, dataset, plan, places, cfg).save(path)


def ask_everywhere(cfg: Config) -> str:
    """The stage; where the data set names neither sites nor dates it trains nothing."""
    if why := left_out(TransportSettings, cfg, "transport"):
        return why
    dataset, plan = prepared()
    wanted = cfg.section(TransportSettings)
    places = Places.of(dataset, wanted)
    names = cfg.chosen(wanted.recipes) if places.estimable(dataset).any() else []
    with folder(ARTIFACTS / "transport") as out:
        places.save(out / PLACES)
        share_out(
            ask_one,
            [(name, dataset, plan, places, cfg, out / f"{name}.safetensors") for name in names],
        )
    return f"{len(names)} recipes asked about places that they do not know"


if __name__ == "__main__":
    run(ask_everywhere)
