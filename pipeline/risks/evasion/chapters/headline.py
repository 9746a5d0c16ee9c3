"""Evasion under the headline threat: what holds at every radius, who attacks, attack by attack."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Note, Part, Table
from pipeline.presentation.numbers import with_interval
from pipeline.risks.evasion.chapters.shared import empty_parts, headline_table
from pipeline.risks.evasion.everyone import in_words as everyone_in_words
from pipeline.risks.evasion.judged import figure_of
from pipeline.risks.evasion.kept import kept_parts
from pipeline.risks.evasion.pictures.canvas import told
from pipeline.risks.evasion.pictures.curves import against_radius
from pipeline.risks.evasion.pictures.panels import counted
from pipeline.risks.evasion.proofs import proofs_in_words
from pipeline.risks.evasion.questions import in_words
from pipeline.risks.evasion.risk import RISK
from pipeline.risks.evasion.view import View
from pipeline.risks.evasion.wording import part_of, records_of, wrong_of
from pipeline.risks.risk import Context
from pipeline.risks.sentences import concluded


def chapter(view: View, context: Context, folder: Path) -> Chapter:
    """The headline threat at its headline radius; every radius and each attack in folds."""
    limits = view.cfg.threat.get(view.threat)
    draw = counted if limits is not None and limits.norm == "l0" else against_radius
    parts: list[Part] = [
        *empty_parts(view, view.headline),
        draw(view, view.threat, folder),
        Table(_at_headline(view), "numbers", f"At {view.budget(view.eps)}, {view.threat} threat"),
        _read(view),
        Fold("Every radius", [*_every_radius(view), *_on_everyone(view)]),
        *_kept(view),
        Fold("What each attack leaves by itself", _alone(view)),
        Fold("Who attacks", _who(view)),
    ]
    return Chapter(f"Under the {view.threat} threat", parts, _result(view, context))


def _read(view: View) -> Fold:
    """What its figures are."""
    return Fold(
        "How to read it",
        [
            Note(
                f"Confidence {view.cfg.audit.confidence:.0%}; {in_words(view.headline)}. "
                "Robust accuracy counts the patients for whom no record within the radius is known "
                "that changes the right answer: neither an attack nor the verifier found one. "
                '"exact": for each of them it is proved that there is none; "undecided": it is not.'
            )
        ],
    )


def _at_headline(view: View) -> pd.DataFrame:
    clean, at = view.clean, view.attacked
    return pd.DataFrame(
        {
            "defense": at["defense"].map(view.shown).tolist(),
            "missed, no attack": with_interval(clean, "missed_diagnosis_rate"),
            "missed under attack": with_interval(at, "missed_diagnosis_rate"),
            "robust accuracy": with_interval(at, "robust_accuracy", "robust_low", "robust_high"),
            "proved": proofs_in_words(at, view.beyond_proof),
            "AUROC under attack": with_interval(at, "attacked_auc"),
        }
    )


def _every_radius(view: View) -> list[Part]:
    said = Note(
        "Can be changed: the share of the patients whose record has at least one admitted "
        "change within the radius; of the others nothing is tested. AUROC under attack ranks "
        "patients by scores that attacks moved, certified AUROC by proved bounds of how far any "
        "record can move them: the worst case lies between."
    )
    table = headline_table(view.headline, view.shown, view.beyond_proof)
    return [said, Table(table, "numbers", f"Every radius of the {view.threat} threat")]


def _kept(view: View) -> list[Part]:
    parts = kept_parts(view.comparison, dict(view.shown), view.cfg)
    return [Fold("With and without the relations between values", parts)] if parts else []


def _on_everyone(view: View) -> list[Part]:
    """Two attacks on all, where the others are of a sample."""
    table = view.tables.get("everyone", pd.DataFrame())
    if not len(table):
        return []
    said = "On every patient, two attacks alone, without proofs: upper bounds of robust accuracy."
    return [Note(said, small=False), Table(everyone_in_words(table, view.shown), "numbers", said)]


def _alone(view: View) -> list[Part]:
    """Defense x attack: the accuracy left at each radius."""
    lines = view.tables["attacks"]
    lines = lines[lines["threat"] == view.threat]
    wide = lines.pivot(index=["defense", "attack"], columns="eps", values="accuracy")
    table = wide.loc[list(dict.fromkeys(zip(lines["defense"], lines["attack"], strict=True)))]
    table = table.map("{:.3f}".format).rename(columns="eps {:g}".format).reset_index()
    table = table.assign(defense=table["defense"].map(view.shown)).rename_axis(columns=None)
    said = Note(
        "Accuracy under each attack alone. Where all is decided none leaves less than "
        '"exact"; one that leaves much more is weak, or misled. Intervals: attacks.csv.'
    )
    return [said, Table(table, "numbers", f"Accuracy under each attack, {view.threat} threat")]


def _who(view: View) -> list[Part]:
    """Each attack once: what it knows, and what the standards call it."""
    columns = ["attack", "norm", "knowledge", "access", "query_budget", "atlas", "nist", "owasp"]
    rest = [column for column in columns if column != "norm"]
    attacks = view.tables["attacks"]
    table = attacks[columns].groupby(rest, sort=False)["norm"].unique().reset_index()
    table["norm"] = table["norm"].map(", ".join)
    said = Note(
        "What each attack sees of the model, how many queries it may spend on a record, and its "
        "ids in MITRE ATLAS, NIST AI 100-2 E2025 and the OWASP Machine Learning Security Top 10."
    )
    return [said, Table(table[columns].rename(columns={"query_budget": "queries"}), "text")]


def _result(view: View, context: Context) -> str:
    clean, at = view.line(view.clean), view.line(view.attacked)
    if view.empty:
        return (
            f"Within {view.budget(view.eps)} no record can be changed, so that nothing is tested."
        )
    counts = ""
    whole = records_of(view.comparison, 1)
    if whole > 0:
        wrong = wrong_of(at, 1, "missed_diagnosis_rate", whole)
        count = part_of(wrong, whole, view.hidden)
        counts = f"{count} ill patients, "
    return (
        f"Within {view.budget(view.eps)} {view.who} {view.does('miss', 'misses')} {counts}"
        f"{told(at, 'missed_diagnosis_rate')}; without attack "
        f"{told(clean, 'missed_diagnosis_rate')}. {_decided(view)} "
        f"{concluded(RISK.name, figure_of(view, 'missed_diagnosis_rate'), context)}"
    ).rstrip()


def _decided(view: View) -> str:
    """Whether the verifier decided every patient at the headline radius."""
    if view.first in view.beyond_proof or "undecided" not in view.attacked:
        return "Nothing is proved of these models: figures are those of attacks."
    line = view.line(view.attacked)
    (said,) = proofs_in_words(view.attacked[view.attacked["defense"] == view.first], ())
    if said == "exact":
        return "Exact: the verifier decided every patient."
    if said.startswith("not verified"):
        return f"{said.capitalize()}."
    return f"The verifier left {line['undecided']:.3f} of all patients undecided."
