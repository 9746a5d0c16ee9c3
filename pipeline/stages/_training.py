"""The stage that every defence shares: train the recipe, store the population, score it out of fold."""

from collections.abc import Callable

from pipeline.config import Config
from pipeline.defenses import train
from pipeline.files import BadInput, folder, write_json
from pipeline.models.answers import clean_metrics
from pipeline.models.out_of_fold import out_of_fold
from pipeline.stages import ARTIFACTS, prepared


def train_stage(name: str, defense: str) -> Callable[[Config], None]:
    """The stage `name`, which trains the recipe `defense` on the prepared plan and stores the population.

    Every training stage is this function: defences differ by their recipe alone.
    """

    def stage(cfg: Config) -> None:
        dataset, plan = prepared()
        if defense not in cfg.defenses:
            raise BadInput(f"params.yaml: {defense}: missing; `make params` writes it from conf/defense/{defense}.yaml")
        population = train(defense, dataset, plan, cfg)
        with folder(ARTIFACTS / name) as out:
            population.save(out)
            margins, y = out_of_fold(population, dataset, plan)
            write_json(out / "metrics.json", clean_metrics(margins.numpy(), y.numpy()))

    return stage
