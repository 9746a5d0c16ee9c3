"""Accuracy and classification report: before attack, under FGSM, under the strongest attack."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Items, NotApplicable, Note, Part, Table
from pipeline.presentation.numbers import as_told, with_interval
from pipeline.risks.evasion.chapters.shared import sample_parts
from pipeline.risks.evasion.classification import ALL, FGSM, NONE, RATES, single_steps
from pipeline.risks.evasion.judged import figure_of
from pipeline.risks.evasion.pictures.answers import confusion_matrices, roc
from pipeline.risks.evasion.pictures.canvas import told
from pipeline.risks.evasion.pictures.panels import before_and_after
from pipeline.risks.evasion.risk import RISK
from pipeline.risks.evasion.set_aside import in_words, transfers
from pipeline.risks.evasion.view import View
from pipeline.risks.risk import Context
from pipeline.risks.sentences import concluded, narrow, said


def chapter(view: View, context: Context, folder: Path) -> Chapter:
    """The figures that the mission asks for, for each defense."""
    table = view.tables["classification"]
    at = table[table["eps"].isin([0.0, view.eps])]
    steps = single_steps(view.cfg)
    parts: list[Part] = [
        *sample_parts(view),
        before_and_after(view, folder),
        Table(
            _accuracy(view, at),
            "numbers",
            f"Accuracy, {view.among()}, before attack and at {view.budget(view.eps)}",
        ),
    ]
    parts += _split(view)
    if not set(steps) & set(at["attack"]):
        parts.append(NotApplicable("FGSM", f"no attack of the configuration has method {FGSM}"))
    parts += [
        Note(
            "Strongest: the worst that any attack, or the verifier, found for each record within "
            "the radius. Every record is scored by the models that did not train on its patient."
        ),
        Fold(
            "Classification report: precision, recall and F1 of each class",
            [Table(_report(view, at), "numbers", "Classification report by defense and attack")],
        ),
        Fold("Confusion matrices", [confusion_matrices(view, folder)]),
        Fold("ROC, without attack", [roc(view, folder)]),
    ]
    return Chapter(
        "Accuracy before attack, under FGSM and under the strongest attack",
        parts,
        _result(view, at, context),
        {"clinician": [_facts(view)]},
    )


def _split(view: View) -> list[Part]:
    """Whether the cut was chosen on records like those that are reported; nothing: on no others."""
    table = view.tables.get("split", pd.DataFrame())
    if not len(table):
        return []
    shown = in_words(table, view.shown)
    rule = said(transfers(table, view.first))
    return [*rule, Fold("Where the cut was chosen", narrow(shown, ["defense", "part"]))]


def _titles(view: View, at: pd.DataFrame) -> dict[str, str]:
    known = set(at["attack"])
    titles = {NONE: "before attack"}
    titles |= {one: f"under {one}" for one in single_steps(view.cfg) if one in known}
    return titles | ({ALL: "under the strongest attack"} if ALL in known else {})


def _accuracy(view: View, at: pd.DataFrame) -> pd.DataFrame:
    lines = at.drop_duplicates(["defense", "attack"])
    shown = pd.DataFrame({"defense": list(view.shown.values())})
    for attack, title in _titles(view, at).items():
        own = lines[lines["attack"] == attack].set_index("defense").reindex(list(view.shown))
        shown[title] = with_interval(own, "accuracy")
    return shown


def _report(view: View, at: pd.DataFrame) -> pd.DataFrame:
    titles = _titles(view, at)
    order = {attack: place for place, attack in enumerate(titles)}
    lines = at[at["attack"].isin(list(titles))]
    places = {name: place for place, name in enumerate(view.shown)}
    lines = lines.iloc[
        sorted(
            range(len(lines)),
            key=lambda row: (places[lines["defense"].iloc[row]], order[lines["attack"].iloc[row]]),
        )
    ]
    return pd.DataFrame(
        {
            "defense": lines["defense"].map(view.shown),
            "when": lines["attack"].map(titles),
            "class": lines["class"],
            **{name: with_interval(lines, name) for name in RATES},
            "support": as_told(lines["support"]),
            "accuracy": with_interval(lines, "accuracy"),
        }
    ).reset_index(drop=True)


def _result(view: View, at: pd.DataFrame, context: Context) -> str:
    own = at[at["defense"] == view.first].drop_duplicates("attack")
    titles = _titles(view, at)
    lines = {str(line["attack"]): line for _, line in own.iterrows()}
    figures = [  # models that give scores alone are not asked for what needs gradients
        f"{told(lines[attack], 'accuracy')} {title}"
        for attack, title in titles.items()
        if attack in lines
    ]
    whom = view.among()
    of = f" of {whom}" if whom else ""
    against = concluded(RISK.name, figure_of(view, "robust_accuracy"), context)
    return (
        f"Accuracy of {view.who}{of} under the {view.threat} threat, at most "
        f"{view.budget(view.eps)}: {'; '.join(figures)}. {against}"
    ).rstrip()


def _facts(view: View) -> Items:
    """Sensitivity and specificity at the threshold, for the page of a clinician."""
    clean = view.line(view.clean)
    rule = view.cfg.decision
    value = f" {rule.value:g}" if rule.value is not None else ""
    return Items(
        [
            (
                "Sensitivity",
                f"{told(clean, 'sensitivity')} of {view.among(1) or 'the ill'}, without attack",
            ),
            (
                "Specificity",
                f"{told(clean, 'specificity')} of {view.among(0) or 'the healthy'}, without attack",
            ),
            ("Threshold", f"by the rule {rule.rule}{value}, chosen on {_chosen_on(view)}"),
        ]
    )


def _chosen_on(view: View) -> str:
    """Who chose it: a split that came with the data sets records aside for that."""
    return "the split's tune records" if "split" in view.tables else "training records"
