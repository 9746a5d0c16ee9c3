"""Every table about poisoning, from its stage's measurements and each defense's certificate."""

from pathlib import Path

import pandas as pd

from pipeline.attacks.poisoning import ATTACKS
from pipeline.defenses import trainable
from pipeline.risks.columns import DEFENSE, IDS
from pipeline.risks.pairs import PAIRS
from pipeline.risks.poisoning.certificate_tables import certificate_table
from pipeline.risks.poisoning.filter_tables import filter_table
from pipeline.risks.poisoning.harm_tables import harm_table
from pipeline.risks.poisoning.measure.certificate import CERTIFICATE, Certificate
from pipeline.risks.poisoning.measure.filtering import PREFIX, RECIPE, Filtered
from pipeline.risks.poisoning.measure.recipes import NONE, Harm
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.poisoning.pair_tables import headline_pairs
from pipeline.risks.risk import Context, Sources

_ATTACKER = {
    "goal": "what the attacker wants: availability, a backdoor, one patient (targeted); none",
    "knowledge": "what the attacker knows",
    "access": "what the attacker writes",
    **IDS,
}
_DOSE = {
    "attack": "the poisoning attack; none = the control without poison",
    "dose": "as configured: a number of records, or a share of a training set; of patients, where "
    "somebody has several records",
    "poison_rate": "share of a training set that is poisoned, mean over models",
}
_ANSWERS = {
    "accuracy": "right answers, out of fold",
    "sensitivity": "ill patients who are called ill, out of fold",
    "attack_success_rate": "patients whom the attacker wants called healthy and who are",
}
COLUMNS = {
    "poisoning": {
        **DEFENSE,
        **_DOSE,
        "unit": "what a dose is a number or a share of: records, or patients with all of theirs",
        "poisoned": "poisoned records of a training set, mean over models",
        **_ANSWERS,
        "missed_diagnosis_rate": "ill patients who are called healthy, out of fold",
        "auroc": "chance that an ill patient outscores a healthy one, out of fold",
        "sensitivity_at_clean_false_alarms": "sensitivity where as many of the healthy are called "
        "ill as by the same recipe without poison",
        "share_called_ill": "patients who are called ill, out of fold",
        "proved_accuracy": "right answers proved to stay so within poisoning.eps; a lower "
        "bound; empty of images",
        "control": "attack_success_rate of the same records and patients without poison",
        "targets": "of how many attack_success_rate is a share; empty of a few unnamed ones",
        "patients": "patients who are asked about",
        "ill": "how many of them are ill",
        "warning": "what a clinic would notice; none = nothing",
        **_ATTACKER,
    },
    "poisoning_pairs": PAIRS,
    "filters": {
        "recipe": "the recipe that is trained on what is left",
        "filter": "by which records are dropped",
        **_DOSE,
        "drop_rate": "dropped records; bounds are the range over training sets, here and below",
        "precision": "of the dropped records, the share that was poisoned",
        "recall": "of the poisoned records, the share that was dropped",
        "false_alarm_rate": "of the other records, the share that was dropped",
        **_ANSWERS,
        **_ATTACKER,
    },
    "certificate": {
        **DEFENSE,
        "records": "how many are inserted, removed or relabelled",
        "unit": "how many of what: training records, or patients with all of theirs",
        "changed": "as many whose values are changed: each counts twice",
        "certified_accuracy": "right answers that so many records provably leave right",
        "certified_sensitivity": "ill patients who provably stay called ill",
        **IDS,
    },
}


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """Every table about poisoning.

    `poisoning`, `poisoning_pairs`, `filters`, and the `certificate` of those defenses that have
    one.
    """
    cfg, place = context.cfg, sources.stage("poisoning")
    sampling = context.sampling
    certificates = {
        name: Certificate.load(folder) for name, folder in sources.of(CERTIFICATE).items()
    }
    tables = {"certificate": certificate_table(certificates, sampling)} if certificates else {}
    if place is None:
        return tables
    numbers = cfg.section(PoisoningSettings)
    harms = {
        name: Harm.load(place / f"{name}.safetensors") for name in trainable(numbers.recipes, cfg)
    }
    table = harm_table(harms, cfg, sampling)
    doses = {name: numbers.doses_of(name) for name in ATTACKS}
    pairs = headline_pairs(harms, table, doses, numbers.headline_dose, sampling)
    drawn = {"poisoning": table, "poisoning_pairs": pairs}
    # of the one that filters are tried on
    if RECIPE in harms and (filtered := _filtered(place, harms[RECIPE])):
        drawn["filters"] = filter_table(filtered, harms[RECIPE], cfg, sampling)
    return drawn | tables


def _filtered(place: Path, harm: Harm) -> dict[str, Filtered]:
    """What was filtered, attacks in the order of the harm they do."""
    found = {
        file.stem.removeprefix(PREFIX): Filtered.load(file)
        for file in place.glob(f"{PREFIX}*.safetensors")
    }
    return {attack: found[attack] for attack in (NONE, *harm.poisoned) if attack in found}
