"""The experiment in its parts, each for whichever process is free."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.config import BASELINE, Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.referring import (
    Rule,
    close_to_the_line,
    disagreement_of_members,
    mean_of_members,
    no_single_class,
    unsure_last_layer,
)
from pipeline.defenses.sanitising import sanitisers_for
from pipeline.models.last_layer import laplace
from pipeline.models.population import Population, trained_of
from pipeline.risks.safeguards.measure.cohort import Cohort, rows_of
from pipeline.risks.safeguards.measure.covered import attack_sets, calibrated_on
from pipeline.risks.safeguards.measure.models import companions, with_some_set_aside
from pipeline.risks.safeguards.measure.referred import CONTROL, attack_referral
from pipeline.risks.safeguards.measure.sanitised import attack_sanitised
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings

REFERRED, SANITISED = "referred", "sanitised"
PARTS = (REFERRED, SANITISED)  # the longest first
FILES = {name: f"{name}.safetensors" for name in (*PARTS, "covered")}


def attack_one(
    part: str,
    dataset: Dataset,
    plan: Plan,
    populations: Mapping[str, Population],
    cfg: Config,
    out: Path,
) -> None:
    """Measures one of `PARTS`.

    Args:
        part: which.
        dataset: the records.
        plan: of the populations.
        populations: the undefended models first, then those beside.
        cfg: section `safeguards`, the headline threat and the undefended recipe.
        out: the folder of the results.
    """
    wanted = cfg.section(SafeguardsSettings)
    rows = rows_of(plan, wanted.repetitions)
    cohort = Cohort.of(dataset, plan, cfg)
    models = {name: population.select(rows) for name, population in populations.items()}
    undefended = models.pop(BASELINE)
    if part == SANITISED:
        sanitisers = sanitisers_for(wanted.sanitisers, dataset.schema)
        attack_sanitised(cohort, undefended, sanitisers, models).save(out / FILES[SANITISED])
        return
    trained = plan.select(rows)  # with all of whom nobody is asked, where a sample is attacked
    calibrated, own = with_some_set_aside(undefended, dataset, trained, cfg, wanted.tune)
    aside = calibrated_on(calibrated, dataset, own)
    members = [undefended, *companions(dataset, trained, cfg, wanted.members - 1)]
    posterior = laplace(trained_of(undefended), dataset, trained, wanted.prior_precision)
    plain = close_to_the_line(undefended)
    own_line = plain if calibrated is undefended else close_to_the_line(calibrated)
    rules: dict[str, Rule] = {
        CONTROL: plain,
        "ensemble": mean_of_members(members),
        "disagreement": disagreement_of_members(members),
        "Laplace": unsure_last_layer(undefended, posterior),
        "conformal": no_single_class(own_line, aside),
    }
    asked = cohort.at(sorted(wanted.at))
    prefixed = {"": undefended, **{f"{name}: ": one for name, one in models.items()}}
    attack_referral(asked, prefixed, rules, wanted.boxes).save(out / FILES[REFERRED])
    attack_sets(asked, calibrated, aside).save(out / FILES["covered"])
