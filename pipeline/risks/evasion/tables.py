"""Every table about evasion: defenses compared, each attack, and single patients."""

from collections.abc import Mapping

import pandas as pd

from pipeline.config import Config
from pipeline.data.halves import reported_on
from pipeline.presentation.frames import by_defense
from pipeline.risks.columns import DEFENSE
from pipeline.risks.evasion.calibrated import decision_table, reliability_table
from pipeline.risks.evasion.ensemble import ensemble_table, of_students
from pipeline.risks.evasion.evaluation import evaluate_all
from pipeline.risks.evasion.everyone import everyone_table
from pipeline.risks.evasion.fragility import clinic_tables
from pipeline.risks.evasion.groups import groups_table, harms
from pipeline.risks.evasion.measure.blocks import load_examination
from pipeline.risks.evasion.measure.ensemble import ENSEMBLE, Ensemble
from pipeline.risks.evasion.measure.everyone import EVERYONE, Everyone
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.half_models import HALF_MODELS, HalfModels
from pipeline.risks.evasion.measure.set_aside import SET_ASIDE, SetAside
from pipeline.risks.evasion.measure.smoothing import SMOOTHING, Smoothing
from pipeline.risks.evasion.measure.subject import PROOFS
from pipeline.risks.evasion.movable import movable_shares
from pipeline.risks.evasion.pairs import headline_pairs
from pipeline.risks.evasion.patients import most_fragile
from pipeline.risks.evasion.proofs import verdicts
from pipeline.risks.evasion.recipes import Recipe, recipes_of
from pipeline.risks.evasion.repeats import repeated_shares
from pipeline.risks.evasion.scans import COLUMNS as OF_SCANS
from pipeline.risks.evasion.scans import scan_tables
from pipeline.risks.evasion.set_aside import COLUMNS as OF_SPLIT
from pipeline.risks.evasion.set_aside import split_table
from pipeline.risks.evasion.smoothing import smoothing_table
from pipeline.risks.risk import Context, Sources
from pipeline.statistics.intervals import Sampling

THREAT = {"threat": "the threat model: a name of `conf/threat/`"}
# Of the tables that are read by themselves; `docs/threats.md` has those of `comparison`.
COLUMNS = {
    "classification": {
        **DEFENSE,
        **THREAT,
        "attack": "none (eps 0), strongest (the worst of all for each record), or an FGSM",
        "eps": "the radius",
        "class": "whose precision, recall and F1 these are",
        "precision": "share of those called so who are; seeds averaged",
        "recall": "share of those who are so who are called so; seeds averaged",
        "f1": "harmonic mean of both",
        "support": "how many are of this class",
        "accuracy": "share of right answers, both classes together",
    },
    "reliability": {
        **DEFENSE,
        "bin": "of equally many answers, from the lowest probabilities up",
        "patients": "how many are in it; mean over seeds",
        "predicted": "the mean probability of disease that was said, without attack",
        "observed": "the share of the ill",
    },
    "decision": {
        **DEFENSE,
        "threshold": "whoever is at least so probable to be ill is called so, without attack",
        "net_benefit": "found ill patients per patient, less false alarms at the odds of that",
        "everybody": "the net benefit of calling everybody ill; that of nobody is 0",
    },
    "radii": {
        **DEFENSE,
        "class": "whose right answers these are",
        "over": "the end of the bin that is left out, as a radius of the headline threat",
        "up_to": "its other end; inf = beyond what was verified",
        "patients": "of how many it is proved that no record nearer than one in it turns them",
    },
    "changes": {
        **DEFENSE,
        "patient": "row of the data set",
        "probability": "of disease, before the change",
        "probability_after": "and after it",
        "cut": "above which the model calls ill",
        "feature": "a measurement that the change moves",
        "before": "its value",
        "after": "the value it takes",
        "errors": "the change in usual measurement errors; empty = no error is known",
    },
    **OF_SCANS,
    **OF_SPLIT,
    "ensemble": {
        **DEFENSE,
        "attacker": "none, grey (knows one voter alone), adaptive (knows what is deployed), and "
        "alone two of its steps: sum (of log-probabilities), count (of votes, softened)",
        "eps": "the radius of the headline threat",
        "patients": "whom each model holds out, and is attacked on",
        "ill": "of these",
        "accuracy": "share of right answers of the vote, or of who learned from it; seeds averaged",
        "missed_diagnosis_rate": "share of the ill whom the vote calls healthy",
        "false_alarm_rate": "share of the healthy whom the vote calls ill",
        "reported": "share of images on which the detector says that voters disagree",
        "unreported_error": "share of images that the vote answers wrongly, and nobody reports",
        "detector_auroc": "how well disagreement tells attacked images from the same, unchanged",
        "excess": "accuracy under grey less that under adaptive, on the same patients",
        "excess_p": "of it, after Holm over all radii and defenses",
        "excess_verdict": "claims too much: told from 0; or not told apart",
    },
    "smoothing": {
        **DEFENSE,
        "radius": "Euclidean distance over all pixels, in grey levels",
        "of_range": "the same in parts of the range of grey levels",
        "every_pixel": "by how many grey levels every pixel may change within it",
        "certified_accuracy": "share whose right vote nothing nearer turns, each with 1 - alpha",
        "missed_diagnosis_rate": "share of the ill of whom that is not shown: at most these",
        "abstained": "share of images of which no majority is shown",
        "together": "certified accuracy where all of a model hold at once with 1 - alpha",
        "patients": "whom each model holds out",
        "ill": "of these",
        "sigma": "standard deviation of the noise, in grey levels",
        "draws": "copies that estimate a share",
        "alpha": "the probability that a radius does not hold, of each image",
        "reach": "the largest radius that a unanimous vote of so many copies shows",
        "degenerate": "whether the vote says nearly the same of everybody, ill or not",
    },
    "plots/proved": {
        **DEFENSE,
        **THREAT,
        "eps": "the radius; a row wherever a figure changes",
        "proved": "share of patients whose right answer is proved to hold within eps",
        "missed": "share of the ill with a known record within eps that is answered wrongly",
        "missed_at_most": "share of the ill of whom it is not proved that there is none",
        "alarms": "share of the healthy with a known record within eps that is answered wrongly",
        "alarms_at_most": "share of the healthy of whom it is not proved that there is none",
    },
}


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """Every table of evasion; `COLUMNS` says what the columns are of those that are explained."""
    examined = {name: load_examination(place) for name, place in sources.of("evasion").items()}
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
    attacked = len(next(iter(examined.values())).told.patients)
    tested = int(reported_on(context.dataset, cfg.plan).sum())
    if attacked < tested:
        comparison = comparison.assign(attacked=attacked, records=tested)
    files = {name: place / EVERYONE for name, place in sources.of("evasion").items()}
    on_all = {name: Everyone.load(file) for name, file in files.items() if file.exists()}
    votes = {name: place / ENSEMBLE for name, place in sources.of("evasion").items()}
    on_votes = {name: Ensemble.load(file) for name, file in votes.items() if file.exists()}
    answers = {name: place / SET_ASIDE for name, place in sources.of("evasion").items()}
    chosen_on = {name: SetAside.load(file) for name, file in answers.items() if file.exists()}
    split = {"split": split_table(chosen_on, context.sampling)} if chosen_on else {}
    on_votes |= of_students(examined, cfg.audit.headline)
    counted = {name: place / SMOOTHING for name, place in sources.of("evasion").items()}
    on_noise = {name: Smoothing.load(file) for name, file in counted.items() if file.exists()}
    return {
        "comparison": comparison,
        "everyone": everyone_table(on_all, context.sampling),
        "ensemble": ensemble_table(on_votes, sampling),
        "smoothing": smoothing_table(on_noise, *_radii_of(context), sampling),
        "attacks": evaluation.attacks,
        "evasion_pairs": headline_pairs(examined, cfg.audit, sampling, recipes),
        "groups": groups,
        "fragile": by_defense(
            {name: most_fragile(table) for name, table in clinic.patients.items()}
        ),
        "changes": by_defense(clinic.changes),
        "alone": by_defense(clinic.alone),
        "radii": by_defense(clinic.radii),
        "reliability": reliability_table(examined, cfg, sampling),
        "decision": decision_table(examined, cfg, sampling),
        "repeats": repeated_shares(_provable(examined, sources), cfg, sampling),
        "classification": evaluation.classification,
        "confusion": evaluation.confusion,
        "plots/roc": evaluation.roc.pivot(
            index="fpr", columns="defense", values="tpr"
        ).reset_index(),
        "plots/proved": evaluation.exact,
        "patients": by_defense(clinic.patients),
        **scan_tables(examined, sources, context),
        **split,
        **{f"verdicts/{name}": verdicts(one.proofs) for name, one in examined.items()},
    }


def _radii_of(context: Context) -> tuple[list[float], float]:
    """Radii of the threat to every pixel, in grey levels, and the range of these."""
    pixel = context.dataset.schema.features[0]
    radii = context.cfg.radii(context.cfg.audit.headline)
    return [eps * pixel.scale for eps in radii], pixel.upper - pixel.lower


def _recipes(
    examined: Mapping[str, Examination], sources: Sources, cfg: Config, sampling: Sampling
) -> dict[str, Recipe]:
    """The recipes whose half models were asked: none in what was measured before they were."""
    files = {name: sources.examined[name] / HALF_MODELS for name in examined}
    asked = {name: HalfModels.load(file) for name, file in files.items() if file.exists()}
    return recipes_of(examined, asked, cfg.audit.headline, cfg.decision.rule, sampling)


def _of_records(examined: Mapping[str, Examination], context: Context) -> Sampling:
    """How intervals are drawn of the records that were examined, in their order."""
    return context.sampling.of(next(iter(examined.values())).told.patients)


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
