"""Every table about evasion: defenses compared, each attack, and single patients."""

from collections.abc import Mapping

import pandas as pd

from pipeline.config import Config
from pipeline.presentation.frames import by_defense
from pipeline.risks.evasion.evaluation import evaluate_all
from pipeline.risks.evasion.everyone import everyone_table
from pipeline.risks.evasion.groups import groups_table, harms
from pipeline.risks.evasion.measure.everyone import EVERYONE, Everyone
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.half_models import HALF_MODELS, HalfModels
from pipeline.risks.evasion.measure.subject import PROOFS
from pipeline.risks.evasion.movable import movable_shares
from pipeline.risks.evasion.pairs import headline_pairs
from pipeline.risks.evasion.patients import clinic_tables, most_fragile
from pipeline.risks.evasion.proofs import verdicts
from pipeline.risks.evasion.recipes import Recipe, recipes_of
from pipeline.risks.evasion.repeats import repeated_shares
from pipeline.risks.risk import Context, Sources
from pipeline.statistics.intervals import Sampling


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """`comparison, attacks, evasion_pairs, fragile, alone, repeats, classification, confusion`.

    Curves for plots; `patients` and `verdicts` of each defense.
    """
    examined = {name: Examination.load(place) for name, place in sources.of("evasion").items()}
    if not examined:
        return {}
    cfg, sampling = context.cfg, _of_records(examined, context)
    groups = groups_table(examined, context.dataset, cfg, sampling)
    recipes = _recipes(examined, sources, context.cfg, sampling)
    movable = movable_shares(examined, context.dataset, cfg)
    evaluation = evaluate_all(examined, cfg, sampling, harms(groups), recipes, movable)
    single = _of_single_values(examined, sources, context)
    clinic = clinic_tables(single, context.dataset, cfg, sampling)
    comparison = evaluation.comparison
    attacked = next(iter(examined.values())).rows["patient"].nunique()
    if attacked < len(context.dataset.y):
        comparison = comparison.assign(attacked=attacked, records=len(context.dataset.y))
    files = {name: place / EVERYONE for name, place in sources.of("evasion").items()}
    on_all = {name: Everyone.load(file) for name, file in files.items() if file.exists()}
    return {
        "comparison": comparison,
        "everyone": everyone_table(on_all, context.sampling),
        "attacks": evaluation.attacks,
        "evasion_pairs": headline_pairs(examined, cfg.audit, sampling, recipes),
        "groups": groups,
        "fragile": by_defense(
            {name: most_fragile(table) for name, table in clinic.patients.items()}
        ),
        "alone": by_defense(clinic.alone),
        "repeats": repeated_shares(_provable(examined, sources), cfg, sampling),
        "classification": evaluation.classification,
        "confusion": evaluation.confusion,
        "plots/roc": evaluation.roc.pivot(
            index="fpr", columns="defense", values="tpr"
        ).reset_index(),
        "plots/proved": evaluation.exact,
        "patients": by_defense(clinic.patients),
        **{f"verdicts/{name}": verdicts(one.proofs) for name, one in examined.items()},
    }


def _recipes(
    examined: Mapping[str, Examination], sources: Sources, cfg: Config, sampling: Sampling
) -> dict[str, Recipe]:
    """The recipes whose half models were asked: none in what was measured before they were."""
    files = {name: sources.examined[name] / HALF_MODELS for name in examined}
    asked = {name: HalfModels.load(file) for name, file in files.items() if file.exists()}
    return recipes_of(examined, asked, cfg.audit.headline, cfg.decision.rule, sampling)


def _of_records(examined: Mapping[str, Examination], context: Context) -> Sampling:
    """How intervals are drawn of the records that were examined, in their order."""
    records = next(iter(examined.values())).rows["patient"].unique()
    return context.sampling.of(records)


def _of_single_values(
    examined: Mapping[str, Examination], sources: Sources, context: Context
) -> dict[str, Examination]:
    """Those of whom the nearest change is known: a change of values, not of pixels, and proved."""
    if context.dataset.schema.image:
        return {}
    return _provable(examined, sources)


def _provable(examined: Mapping[str, Examination], sources: Sources) -> dict[str, Examination]:
    """Those of whom something can be proved."""
    gaps = sources.not_applicable("evasion")
    unproved = {defense for defense, what, _ in gaps if what == PROOFS}
    return {name: one for name, one in examined.items() if name not in unproved}
