"""What is said of images that are read off networks, and of those behind single updates."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Finding, Fold, Heading, Items, Note, Part, Reader, Table
from pipeline.presentation.numbers import count_told, with_interval
from pipeline.risks.inversion.image_tables import (
    CLASS,
    NO,
    REBUILT,
    SIMILAR,
    TOLD,
    TYPICAL,
    UNSURE,
    UPDATES,
    YES,
)
from pipeline.risks.inversion.pictures import draw_images
from pipeline.risks.inversion.risk import RISK
from pipeline.risks.risk import Context, Tables
from pipeline.risks.sentences import concluded, model_of, narrow, whose

TITLE = "What networks and their updates tell of images"
NAMES = {
    "to_class_mean": "with the mean of the ill trained on",
    "public_to_class_mean": "control: the public mean with it",
    "to_nearest_member": "with the nearest image trained on",
    "to_nearest_non_member": "with the nearest other one",
}
READ_FROM = {
    "plain": "one plain update",
    "private": "one update, clipped and with the noise of dp_train",
    CLASS: "the network alone, as the typical image of the ill",
}
RULE = (
    "By rule: yes, where the whole interval of the difference of the two correlations lies above "
    "0, image by image; no, where none of it does; otherwise not told apart. Intervals: bootstrap "
    "over patients, networks averaged first, not corrected for the number of attackers."
)
OF_CLASS = (
    "Gradient ascent on the score of disease, from mid grey. Correlations over pixels, mean over "
    "networks (the least and the largest of any). The control is the mean of all images that the "
    "network did not learn from; it needs no network. Where the control is nearer to the mean of "
    "the ill, the network tells nothing of the class that is not public; where members are no "
    "nearer than others, it is the picture of nobody. An image of a class is no patient."
)
OF_UPDATES = (
    "Somebody who trains together with others sees the update of one image (federated training, "
    "one image a step), knows the weights, and looks for the image whose gradient points the same "
    "way. Private: the update clipped and with the noise of dp_train, as if that one image were "
    "the whole batch. Mean over images (the least and the largest of any); the control is the "
    "mean of all images not trained on. Larger batches hide more; whoever sees no update, but only "
    "answers, cannot do this."
)


def sentence(tables: Tables, context: Context) -> str:
    """Of the undefended models, how near images behind updates are found."""
    own = {str(line["source"]): line for line in _own(tables).to_dict("records")}
    plain = own["plain"]
    private = (
        f"; with the clipping and noise of dp_train {own['private']['correlation']:.2f}"
        if "private" in own
        else ""
    )
    return (
        f"Whoever sees one update of {model_of(str(plain['defense']), context)} finds the image "
        f"behind it with a correlation of {plain['correlation']:.2f} "
        f"({plain['correlation_low']:.2f} to {plain['correlation_high']:.2f}, "
        f"{count_told(plain['images'])} images) [public mean: {plain['control']:.2f}]{private}."
    )


def conclusion(tables: Tables) -> str:
    """By rule: whether a stranger learns more of a person's image than the public mean tells."""
    own = _own(tables).to_dict("records")
    said = []
    for answer in (YES, NO, UNSURE):
        each = [
            f"from {READ_FROM[str(line['source'])]} ({line['more']:+.2f}, {line['more_low']:.2f} "
            f"to {line['more_high']:.2f})"
            for line in own
            if line["finding"] == answer
        ]
        if each:
            said.append(f"{answer}, {'; '.join(each)}")
    asked = "Whether a stranger learns more of a person's image than the public mean image tells"
    return f"{asked}: {'. '.join(one[0].upper() + one[1:] for one in said)}."


def finding(tables: Tables, context: Context) -> Finding:
    """For the first screen: how near an image is found, and what that says by rule."""
    return Finding(sentence(tables, context), whose(tables[TOLD]), conclusion(tables))


def result(tables: Tables, context: Context) -> str:
    """The chapter in a few sentences: finding, rule, and which defense differs from none."""
    first = RISK.headline(tables, context.cfg)[0]
    said = [sentence(tables, context), conclusion(tables), concluded(RISK.name, first, context)]
    return " ".join(filter(None, said))


def brief(tables: Tables, context: Context) -> Mapping[Reader, Sequence[Part]]:
    """For a data protection officer: what is told of a person's image."""
    entries = [("A person's image", finding(tables, context).whole), ("How to read it", RULE)]
    own = tables[TOLD][tables[TOLD]["defense"] == whose(tables[TOLD])]
    shown = shown_told(own, context).drop(columns="defense")
    return {"privacy": [Heading("Inversion of images"), Items(entries), Table(shown)]}


def image_parts(tables: Tables, context: Context, folder: Path) -> list[Part]:
    """The tables of the chapter, and the picture where images may be shown."""
    told, updates, typical = tables[TOLD], tables[UPDATES], tables[TYPICAL]
    rebuilt = tables.get(REBUILT, pd.DataFrame())
    picture = [draw_images(rebuilt, sentence(tables, context), folder)] if len(rebuilt) else []
    name = whose(told)
    shown = shown_told(told, context)
    own = shown[(told["defense"] == name).to_numpy()].drop(columns="defense")
    caption = (
        f"A person's image, read off {model_of(name, context)}: correlation with it, and interval"
    )
    return [
        *picture,
        Table(own, caption=caption),
        Fold("How it was measured", [Note(RULE)]),
        Fold("Every defense", narrow(shown, ["defense", "read off"])),
        Fold(
            "The image behind one update",
            [Note(OF_UPDATES), *narrow(_shown_updates(updates, context), ["defense", "update"])],
        ),
        Fold(
            "The typical ill image, read off the networks",
            [Table(_shown_typical(typical, context))],
        ),
    ]


def shown_told(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    """A row per defense and attacker, the control and the rule's answer beside what is found."""
    return pd.DataFrame(
        {
            "defense": [context.display(str(name)) for name in table["defense"]],
            "read off": table["source"].map(READ_FROM),
            "images": table["images"].map(count_told),
            "correlation": with_interval(table, "correlation"),
            "control: public mean": with_interval(table, "control"),
            "more than it": with_interval(table, "more"),
            "more is told": table["finding"],
        }
    )


def _own(tables: Tables) -> pd.DataFrame:
    """The rows of the undefended models, where they were asked, in the order of the headline."""
    table = tables[TOLD]
    own = table[table["defense"] == whose(table)]
    return own.sort_values("source", key=lambda of: of.map(list(READ_FROM).index), kind="stable")


def _shown_updates(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "defense": [context.display(str(name)) for name in table["defense"]],
            "update": table["update"],
            "images": table["images"],
            "correlation": with_interval(table, "correlation"),
            "control": with_interval(table, "control"),
            "PSNR, dB": table["psnr"].map("{:.1f}".format),
            "control, dB": table["control_psnr"].map("{:.1f}".format),
            "nearer than the control": table["nearer"].map("{:.2f}".format),
        }
    )


def _shown_typical(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    columns = {NAMES[name]: with_interval(table, name) for name in SIMILAR}
    names = [context.display(str(name)) for name in table["defense"]]
    return pd.DataFrame({"defense": names, **columns})
