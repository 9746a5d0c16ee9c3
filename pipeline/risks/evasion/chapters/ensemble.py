"""A vote under attack: what is claimed of it beside what is left, and what was read of the claim.

One sentence, one picture, one table; each attack alone, the detector and the published evaluation
are folded. Whoever learned from a vote stands beside it.
"""

from pathlib import Path

import pandas as pd

from pipeline.defenses import STUDENTS
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
    "and both are counted by the real vote, which has no threshold: who calls many ill misses few."
)
TAUGHT = (
    "A student is one small network that learned what a vote says: as soft labels at a "
    "temperature, or (hard) as the class that is ahead. Grey box: of the images that "
    "harm the bare transformer the worst. Adaptive: the worst of all attacks on the student itself."
)
RULE = (
    "What counts is the adaptive figure, by rule: of what an attacker may know the most is assumed "
    "of him. It is never above the other one, whose images it counts, too. Claims too much: the "
    "difference on the same patients is told from 0, after Holm over all defenses and radii."
)
ALONE = {"sum": "summed log-probabilities alone", "count": "softened count of votes alone"}
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
        "adversarial_training.ipynb, commented out as released, copies them into the training "
        "folder; the counts that the notebook shows, 6360 = 5670 + 690 images, agree with that. "
        "Here they are made of training images, and digests are compared.",
    ),
    (
        "Two computations",
        "In the released code, tmux_cls_mlp_chest.ipynb trains a classifier of each block on "
        "tokens that carry class token and position embedding (ReVIT/train.ipynb on tokens that "
        "carry neither), majority_voting.py feeds them tokens that carry neither, and the attacked "
        "transformer has both. Here all three have both.",
    ),
    (
        "The layout of tokens",
        "In the released code, ReVIT/CNN.py reshapes (tokens, channels) to (channels, rows, "
        "columns) without a transpose, which mixes channels and places. Here tokens lie as their "
        "patches do.",
    ),
    (
        "Distillation",
        "In the released code, Extraction_Distillation.ipynb teaches the student the class that "
        "the mean of all outputs ranks first, without a temperature, and shows it the images made "
        "for the transformer: a figure of transfer. Here that is the hard student; the other one "
        "learns soft labels, and both are attacked themselves.",
    ),
)


def chapter(view: View, folder: Path) -> Chapter | None:
    """Of the defenses that vote; None where none does."""
    table = view.tables.get("ensemble", pd.DataFrame())
    if not len(table):
        return None
    eps = nearest_of(table.loc[table["eps"] > 0, "eps"], view.eps)
    students = [TAUGHT] if STUDENTS & {*table["defense"]} else []
    parts: list[Part] = [
        *sample_parts(view),
        grey_and_adaptive(view, folder),
        Table(_shown(view, table, eps), "numbers", f"What is right, {view.threat} threat"),
        *map(Note, [RULE, KNOWN, *students]),
        Fold("Each attack alone, and what is proved", [Table(_each(view, table), "numbers")]),
        Fold("The detector of disagreement", _detector(view, table)),
        Fold("What the published evaluation did otherwise", [Note(READ), Items(FINDINGS)]),
    ]
    return Chapter("A vote of several voters", parts, _result(view, table, eps))


def _shown(view: View, table: pd.DataFrame, eps: float) -> pd.DataFrame:
    """A row a defense and radius: without attack, grey box, adaptive, and how far these differ."""
    attacked = table[(table["eps"] > 0) & table["attacker"].isin(["grey", "adaptive"])]
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
            "right, adaptive (counts)": with_interval(adaptive, "accuracy"),
            "grey box less adaptive": with_interval(adaptive, "excess"),
            "conclusion": adaptive["excess_verdict"].tolist(),
            "missed, adaptive (counts)": with_interval(adaptive, "missed_diagnosis_rate"),
            "false alarms, adaptive (counts)": with_interval(adaptive, "false_alarm_rate"),
        }
    )


def _each(view: View, table: pd.DataFrame) -> pd.DataFrame:
    """A row a defense and radius: what single steps of the adaptive attack leave, and a proof."""
    key = ["defense", "eps"]
    adaptive = table[table["attacker"] == "adaptive"]
    others = {
        name: table[table["attacker"] == attacker].set_index(key)
        for attacker, name in ALONE.items()
    }
    proofs = view.headline.set_index(key)
    shown: dict[str, list[str]] = {
        "defense": adaptive["defense"].map(view.shown).tolist(),
        "eps": adaptive["eps"].map("{:g}".format).tolist(),
    }
    places = list(adaptive[key].itertuples(index=False, name=None))
    for name, own in others.items():
        shown[name] = [told(own.loc[at], "accuracy") if at in own.index else "-" for at in places]
    shown["all of them"] = with_interval(adaptive, "accuracy")
    shown["proved right"] = [
        told(proofs.loc[at], "verified_accuracy", "verified_low", "verified_high")
        if at in proofs.index and at[0] not in view.beyond_proof
        else "-"
        for at in places
    ]
    return pd.DataFrame(shown)


def _detector(view: View, table: pd.DataFrame) -> list[Part]:
    table = table[table["attacker"].isin(["none", "grey", "adaptive"]) & table["reported"].notna()]
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
    """Of each defense what is left instead of what is promised; then who promises too much."""
    at = table[table["eps"] == eps]
    adaptive, grey = (at[at["attacker"] == who] for who in ("adaptive", "grey"))
    each = [
        f"{view.shown[name]} {told(view.line(adaptive, name), 'accuracy')} instead of "
        f"{told(view.line(grey, name), 'accuracy')}"
        for name in adaptive["defense"].astype(str)
    ]
    verdicts = adaptive["excess_verdict"].astype(str)
    said = "; ".join(
        f"{verdict}: {', '.join(adaptive['defense'][verdicts == verdict].map(view.shown))}"
        for verdict in dict.fromkeys(verdicts)
    )
    return (
        f"Right answers at {view.budget(eps)} against who knows what is deployed, instead of those "
        f"that images made for the transformer alone promise: {'; '.join(each)}. By rule, {said}."
    )
