"""A vote under attack: what is claimed of it beside what is left, and what was read of the claim.

One sentence, one picture, one table; the detector and the published evaluation are folded.
"""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Items, Note, Part, Table
from pipeline.presentation.numbers import with_interval
from pipeline.risks.evasion.chapters.shared import ROWS, sample_parts
from pipeline.risks.evasion.pictures.canvas import told
from pipeline.risks.evasion.pictures.votes import grey_and_adaptive
from pipeline.risks.evasion.view import View
from pipeline.risks.risk import nearest_of

KNOWN = (
    "Grey box: images made against the transformer alone, by FGSM and APGD. Adaptive: images made "
    "against all voters, by APGD on the sum of their log-probabilities, on a softened count of "
    "votes and on the vote in the middle; of all images one that turns the vote, and the one that "
    "the detector is least likely to report. Both attackers present images of whole grey levels, "
    "and both are counted by the real vote."
)
READ = (
    "The method: arXiv:2308.07874 (SEDA), after arXiv:2208.02851 (SEViT). What follows was read in "
    "the released code (Razaimam45/SEDA at commit 587d75e, faresmalik/SEViT at ab891fa); that code "
    "was not run, and other code may have made the published figures. What is measured here is "
    "a small network of the same architecture, on other images, with each of these mended."
)
FINDINGS = (
    (
        "The attacker",
        "In the released code, generate_attacks.py attacks the transformer alone; the images are "
        "stored once and shown to every defense. The vote is not differentiated.",
    ),
    (
        "The adversarial training set",
        "In the released code, attacks are made of the test images (utils.py), and a cell of "
        "adversarial_training.ipynb copies them into the training folder; the printed counts, "
        "6360 = 5670 + 690 images, agree with that. Here they are made of training images, and "
        "digests are compared.",
    ),
    (
        "Two computations",
        "In the released code, classifiers are trained on blocks that see class token and position "
        "embedding, and majority_voting.py feeds them blocks that see neither. Here both see both.",
    ),
    (
        "The layout of tokens",
        "In the released code, ReVIT/CNN.py reshapes (tokens, channels) to (channels, rows, "
        "columns) without a transpose, which mixes channels and places. Here tokens lie as their "
        "patches do.",
    ),
    (
        "Distillation",
        "In the released code, the student learns the class that the ensemble ranks first, without "
        "a temperature, and is shown images made for the transformer: a figure of transfer.",
    ),
)


def chapter(view: View, folder: Path) -> Chapter | None:
    """Of the defenses that vote; None where none does."""
    table = view.tables.get("ensemble", pd.DataFrame())
    if not len(table):
        return None
    eps = nearest_of(table.loc[table["eps"] > 0, "eps"], view.eps)
    parts: list[Part] = [
        *sample_parts(view),
        grey_and_adaptive(view, folder),
        Table(_shown(view, table, eps), "numbers", f"The vote, {view.threat} threat"),
        Note(KNOWN),
        Fold("The detector of disagreement", _detector(view, table)),
        Fold("What the published evaluation did otherwise", [Note(READ), Items(FINDINGS)]),
    ]
    return Chapter("A vote of several voters", parts, _result(view, table, eps))


def _shown(view: View, table: pd.DataFrame, eps: float) -> pd.DataFrame:
    """A row a defense and radius: without attack, grey box, adaptive."""
    attacked = table[table["eps"] > 0]
    if len(attacked) > 2 * ROWS:
        attacked = attacked[attacked["eps"].isin([eps, attacked["eps"].max()])]
    grey, adaptive = (attacked[attacked["attacker"] == name] for name in ("grey", "adaptive"))
    clean = table[table["attacker"] == "none"].set_index("defense").loc[grey["defense"]]
    return pd.DataFrame(
        {
            "defense": grey["defense"].map(view.shown).tolist(),
            "eps": grey["eps"].map("{:g}".format).tolist(),
            "right, no attack": with_interval(clean, "accuracy"),
            "right, grey box": with_interval(grey, "accuracy"),
            "right, adaptive": with_interval(adaptive, "accuracy"),
            "missed, grey box": with_interval(grey, "missed_diagnosis_rate"),
            "missed, adaptive": with_interval(adaptive, "missed_diagnosis_rate"),
        }
    )


def _detector(view: View, table: pd.DataFrame) -> list[Part]:
    shown = pd.DataFrame(
        {
            "defense": table["defense"].map(view.shown),
            "attacker": table["attacker"],
            "eps": table["eps"].map("{:g}".format),
            "AUROC": with_interval(table, "detector_auroc"),
            "reported": with_interval(table, "reported"),
            "wrong and not reported": with_interval(table, "unreported_error"),
        }
    )
    said = (
        "It reports images on which the voters disagree more than on 95 of 100 of those that were "
        "set aside to choose on (the norm of all pairwise Kullback-Leibler divergences). Without "
        "attack, what is reported is a false alarm."
    )
    return [Note(said), Table(shown, "numbers", "The detector, at each radius")]


def _result(view: View, table: pd.DataFrame, eps: float) -> str:
    said = []
    at = table[table["eps"].isin([0, eps])]
    for name, own in at.groupby("defense", sort=False):
        clean, grey, adaptive = (
            own[own["attacker"] == who].iloc[0] for who in ("none", "grey", "adaptive")
        )
        said.append(
            f"the vote of {view.shown[str(name)]} is right of {told(grey, 'accuracy')} where the "
            f"attacker knows one voter, and of {told(adaptive, 'accuracy')} where he knows all "
            f"(without attack {told(clean, 'accuracy')})"
        )
    return f"At {view.budget(eps)}, {'; '.join(said)}: the gap is what the claim leaves out."
