"""What poisoned training data do to every recipe, and what filters do for the undefended one.

Command:  python -m pipeline.stages.poisoning
Reads:    artifacts/prepare/
Writes:   artifacts/poisoning/<defense>.safetensors, filtered_<attack>.safetensors
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses import trainable
from pipeline.files import NOT_APPLICABLE, folder, write_json
from pipeline.parallel import share_out
from pipeline.risks.poisoning.measure import filtering
from pipeline.risks.poisoning.measure.recipes import CraftedPoison, Harm, craft_poison, measure_harm
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.stages import ARTIFACTS, left_out, prepared, run

Experiment = Callable[[str, CraftedPoison, Config], Harm | filtering.Filtered]


def run_one(how: Experiment, name: str, poison: CraftedPoison, cfg: Config, path: Path) -> None:
    """One recipe, or one attack that is filtered, by whichever process is free."""
    how(name, poison, cfg).save(path)


def poison_recipes(
    recipes: Sequence[str], dataset: Dataset, plan: Plan, cfg: Config, out: Path
) -> str:
    """Poisons each of these recipes; filters what poisons the one that filters are tried on."""
    # nobody promises that whom a model is tuned on is clean
    poison = craft_poison(dataset, plan.without_tune(), cfg)
    filtered = filtering.filtered_attacks(poison, cfg) if filtering.RECIPE in recipes else []
    jobs: list[tuple[Experiment, str, str]] = [(measure_harm, name, name) for name in recipes]
    jobs += [(filtering.filter_poison, one, f"{filtering.PREFIX}{one}") for one in filtered]
    work = [(job, one, poison, cfg, out / f"{file}.safetensors") for job, one, file in jobs]
    share_out(run_one, work)
    return f"{len(recipes)} recipes under {len(poison.sets)} attacks, {len(filtered)} filtered"


def harm_and_filter(cfg: Config) -> str:
    """The stage."""
    if why := left_out(PoisoningSettings, cfg, "poisoning"):
        return why
    dataset, plan = prepared()
    recipes = trainable(cfg.section(PoisoningSettings).recipes, cfg)
    with folder(ARTIFACTS / "poisoning") as out:
        if unfit := filtering.not_tried(cfg):
            write_json(out / NOT_APPLICABLE, {"poisoning": unfit})
        return poison_recipes(recipes, dataset, plan, cfg, out)


if __name__ == "__main__":
    run(harm_and_filter)
