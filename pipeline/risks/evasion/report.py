"""What is said of evasion: who attacks, what it does to which patients, what eps means."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Finding, Note, Part, Picture, Table
from pipeline.presentation.numbers import with_interval
from pipeline.presentation.pictures import display_name
from pipeline.risks.evasion.clinic import eps_table, patient_parts
from pipeline.risks.evasion.everyone import in_words as everyone_in_words
from pipeline.risks.evasion.kept import kept_parts
from pipeline.risks.evasion.movable import empty_radii, sample_in_words
from pipeline.risks.evasion.movable import in_words as movable_in_words
from pipeline.risks.evasion.pictures import draw_all
from pipeline.risks.evasion.proofs import proofs_in_words, unprovable
from pipeline.risks.evasion.questions import in_words
from pipeline.risks.evasion.repeats import repeat_parts
from pipeline.risks.risk import Context, Tables

CERTIFIED = ["certified_auc", "certified_auc_low", "certified_auc_high"]  # where it is proved


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """The headline threat, the others, each attack, who attacks, classification, what eps means."""
    if not len(tables.get("comparison", ())):
        return ()
    cfg, comparison = context.cfg, tables["comparison"]
    headline, beyond_proof = cfg.audit.headline, unprovable(tables)
    first = comparison.drop_duplicates("defense")
    shown = dict(
        zip(first["defense"], map(display_name, first["defense"], first["flags"]), strict=True)
    )
    of_headline = comparison[comparison["threat"] == headline]
    parts: list[Part] = [
        Note(
            f"Confidence {cfg.audit.confidence:.0%}; {in_words(of_headline)}. "
            "Robust accuracy counts the patients for whom no record within the radius is known "
            "that changes the right answer: neither an attack nor the verifier found one. "
            '"exact": for each of them it is proved that there is none; "undecided": it is not. '
            "Can be changed: the share of the patients whose record has at least one admitted "
            "change within the radius; of the others nothing is tested. "
            "AUROC ranks patients by scores that attacks moved, certified AUROC by proved bounds "
            "of how far any record can move them: the worst case lies between. "
            "eps is in reference standard deviations of each feature."
        ),
        *_empty(of_headline),
        Table(_headline(of_headline, shown, beyond_proof), "numbers"),
        *kept_parts(comparison, shown, cfg),
        *_on_everyone(tables, shown),
        *draw_all(tables, cfg.audit, folder),
        *_patients(tables, shown, context),
    ]
    left = Note(
        "Accuracy under each attack alone. Where all is decided none leaves less than "
        '"exact"; one that leaves much more is weak, or misled.'
    )
    who = Note(
        "What each attack sees of the model, how many answers it may ask for per record, and its "
        "ids in MITRE ATLAS, NIST AI 100-2 E2025 and the OWASP Machine Learning Security Top 10."
    )
    means = Note(
        "The change that each eps allows; in brackets, what is left of it on the clinic's grid. "
        "The usual error is one standard deviation of a repeated measurement; the eps beside it "
        "is what it amounts to."
    )
    title = f"Classification report, clean and at eps {cfg.audit.eps[-1]:g}"
    report = tables["classification"][
        tables["classification"]["eps"].isin([0.0, cfg.audit.eps[-1]])
    ]
    repeats = tables.get("repeats", pd.DataFrame(columns=["threat"]))
    others = comparison[comparison["threat"] != headline].groupby("threat", sort=False)
    return (
        Chapter(f"Under the {headline} threat", parts),
        *(
            Chapter(
                f"Under the {threat} threat",
                [
                    *repeat_parts(repeats, str(threat), shown),
                    *_empty(lines),
                    Table(_other(lines, shown, beyond_proof), "numbers"),
                ],
            )
            for threat, lines in others
        ),
        Chapter(
            f"What each attack leaves, under the {headline} threat",
            [
                left,
                *_sample(of_headline),
                Table(_attacks(tables["attacks"], headline, shown), "numbers"),
            ],
        ),
        Chapter("Who attacks", [who, Table(_attackers(tables["attacks"]))]),
        Chapter(title, [*_sample(of_headline), Table(_classification(report, shown), "numbers")]),
        Chapter("What one eps means", [means, Table(eps_table(cfg.data.features, cfg.audit.eps))]),
    )


def finding(tables: Tables, context: Context) -> Finding | None:
    """The worst that was found, in one sentence; None: nothing was measured."""
    return None


def cover(tables: Tables, context: Context, folder: Path) -> Picture | None:
    """Its picture for the first screen; None: it has none."""
    return None


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    return ()


def _on_everyone(tables: Tables, shown: Mapping[str, str]) -> list[Part]:
    """Two attacks on all, where the others are of a sample."""
    table = tables.get("everyone", pd.DataFrame())
    if not len(table):
        return []
    said = "On every patient, two attacks alone, without proofs: upper bounds of robust accuracy."
    return [Note(said, small=False), Table(everyone_in_words(table, shown), "numbers")]


def _sample(lines: pd.DataFrame) -> list[Part]:
    """Whom the figures are of, where that is not everybody."""
    sample = sample_in_words(lines)
    return [Note(f"Of {sample}.", small=False)] if sample else []


def _empty(lines: pd.DataFrame) -> list[Part]:
    said = empty_radii(lines)
    return [*_sample(lines), *([Note(said, small=False)] if said else [])]


def _patients(tables: Tables, shown: Mapping[str, str], context: Context) -> list[Part]:
    """What is said of single patients; nothing where records are images."""
    nobody = pd.DataFrame(columns=["defense"])
    whose = context.sampling.whose(len(context.dataset.y))
    single, alone = (tables.get(name, nobody) for name in ("patients", "alone"))
    hidden = context.cfg.report.patients == "hidden"
    return patient_parts(single, alone, shown, whose, hidden)


def _headline(
    lines: pd.DataFrame, shown: Mapping[str, str], beyond_proof: Collection[str]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "defense": lines["defense"].map(shown),
            "eps": lines["eps"].map("{:g}".format),
            "robust accuracy": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
            "can be changed": movable_in_words(lines),
            "proved": proofs_in_words(lines, beyond_proof),
            "sensitivity": with_interval(lines, "sensitivity"),
            "specificity": with_interval(lines, "specificity"),
            "balanced accuracy": lines["balanced_accuracy"].map("{:.3f}".format),
            "AUROC": with_interval(lines, "attacked_auc"),
            "certified AUROC": with_interval(
                lines.reindex(columns=lines.columns.union(CERTIFIED)), CERTIFIED[0]
            ),
            "net benefit": with_interval(lines, "net_benefit"),
        }
    )


def _other(
    lines: pd.DataFrame, shown: Mapping[str, str], beyond_proof: Collection[str]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "defense": lines["defense"].map(shown),
            f"eps ({lines['eps_unit'].iloc[0]})": lines["eps"].map("{:g}".format),
            "robust accuracy": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
            "can be changed": movable_in_words(lines),
            "proved": proofs_in_words(lines, beyond_proof),
            "sensitivity": with_interval(lines, "sensitivity"),
        }
    )


def _attacks(attacks: pd.DataFrame, headline: str, shown: Mapping[str, str]) -> pd.DataFrame:
    """Defense x attack: the accuracy left at each radius."""
    lines = attacks[attacks["threat"] == headline]
    wide = lines.pivot(index=["defense", "attack"], columns="eps", values="accuracy")
    table = wide.loc[list(dict.fromkeys(zip(lines["defense"], lines["attack"], strict=True)))]
    table = table.map("{:.3f}".format).rename(columns="eps {:g}".format).reset_index()
    return table.assign(defense=table["defense"].map(shown)).rename_axis(columns=None)


def _attackers(attacks: pd.DataFrame) -> pd.DataFrame:
    """Each attack once: what it knows, and what the standards call it."""
    columns = ["attack", "norm", "knowledge", "access", "query_budget", "atlas", "nist", "owasp"]
    rest = [column for column in columns if column != "norm"]
    table = attacks[columns].groupby(rest, sort=False)["norm"].unique().reset_index()
    table["norm"] = table["norm"].map(", ".join)
    return table[columns].rename(columns={"query_budget": "questions"})


def _classification(report: pd.DataFrame, shown: Mapping[str, str]) -> pd.DataFrame:
    rates = {name: report[name].map("{:.3f}".format) for name in ("precision", "recall", "f1")}
    return report.assign(
        defense=report["defense"].map(shown), eps=report["eps"].map("{:g}".format), **rates
    )
