"""What is said of images that are read off networks, and of those behind single updates."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Fold, Note, Part, Table
from pipeline.presentation.numbers import with_interval
from pipeline.risks.inversion.image_tables import REBUILT, SIMILAR, TYPICAL, UPDATES
from pipeline.risks.inversion.pictures import draw_images
from pipeline.risks.risk import Context, Tables
from pipeline.risks.sentences import model_of

TITLE = "What networks and their updates tell of images"
NAMES = {
    "to_class_mean": "with the mean of the ill trained on",
    "public_to_class_mean": "control: the public mean with it",
    "to_nearest_member": "with the nearest image trained on",
    "to_nearest_non_member": "with the nearest other one",
}
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
    """The chapter in a sentence: of the first defense, how near images behind updates are found."""
    table = tables[UPDATES]
    own = table[table["defense"] == table["defense"].iloc[0]].set_index("update")
    plain = own.loc["plain"]
    private = (
        f"; with the clipping and noise of dp_train {own.loc['private', 'correlation']:.2f}"
        if "private" in own.index
        else ""
    )
    return (
        f"Whoever sees one update of {model_of(str(plain['defense']), context)} finds the image "
        f"behind it with a correlation of {plain['correlation']:.2f} "
        f"({plain['correlation_low']:.2f} to {plain['correlation_high']:.2f}, {plain['images']} "
        f"images) [public mean: {plain['control']:.2f}]{private}."
    )


def image_parts(tables: Tables, context: Context, folder: Path) -> list[Part]:
    """The tables of the chapter, and the picture where images may be shown."""
    updates, typical = tables[UPDATES], tables[TYPICAL]
    rebuilt = tables.get(REBUILT, pd.DataFrame())
    picture = [draw_images(rebuilt, sentence(tables, context), folder)] if len(rebuilt) else []
    return [
        *picture,
        Table(_shown_updates(updates, context), caption="The image behind one update"),
        Fold("How it was measured", [Note(OF_UPDATES)]),
        Fold(
            "The typical ill image, read off the networks",
            [Note(OF_CLASS), Table(_shown_typical(typical, context))],
        ),
    ]


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
