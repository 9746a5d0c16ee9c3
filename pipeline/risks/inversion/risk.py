"""The entry of inversion in `RISKS`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.files import BadInput
from pipeline.presentation.numbers import count_told, counted
from pipeline.risks.inversion.measure.settings import InversionSettings
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.risk import HeadlineFigure, Risk, Tables

if TYPE_CHECKING:
    import pandas as pd


def check(cfg: Config, origin: str) -> None:
    """Refuses more victims than there are models of random halves, of which they are taken."""
    victims, targets = (
        cfg.section(InversionSettings).victims,
        cfg.section(MembershipSettings).targets,
    )
    if victims > targets:
        raise BadInput(
            f"{origin}: inversion.victims: {victims} is more than membership.targets {targets}, of "
            "which they are taken"
        )


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """How much more a model tells about those it was trained on than about others.

    Of the measurement that the first defense's models tell most about: the share of a guess's error
    that scores take away, members less others; 0 is best. What both are told alike is information
    in the answer, which an accurate model has to give, and speaks against no defense. Of images
    what is told of a person's beyond the public mean image, by each attacker.
    """
    if len(tables.get("image_told", ())):
        return of_images(tables)
    if not len(tables.get("inversion", ())):
        return ()
    table = tables["inversion"]
    attribute, lines = told_most(table), of_headline(table)
    chosen = lines[(lines["attribute"] == attribute) & (lines["group"] == "difference")]
    first = chosen.iloc[0]
    return (
        HeadlineFigure.of(
            f"error of a guess of {attribute} that scores take away, members less others",
            "zero",
            chosen,
            "share",
            pairs=tables.get("inversion_pairs"),
            compared=attribute,
            among=f"{count_told(first['patients'])} patients",
            threat=f"guess {attribute}; knows {first['knowledge']}, and the diagnosis; one score "
            f"of each patient, {counted(first['victims'], 'model')}",
        ),
    )


# What an image is read off -> the figure, the name of its metric, what the attacker does and knows.
READ_OFF = {
    "sent": (
        "image behind one update as it is sent: its correlation beyond the public mean's",
        "update_inversion_gain",
        "rebuild an image; knows the weights, and the update of that image alone as training "
        "sends it, by dp_train clipped and with its noise",
    ),
    "private": (
        "the same, whoever sends it clipping and adding the noise of dp_train",
        "private_update_inversion_gain",
        "rebuild an image; knows the weights, and the private update of that image alone",
    ),
    "class": (
        "image typical of disease: its correlation with the ill beyond the public mean's",
        "class_inversion_gain",
        "rebuild images of the ill; knows the weights",
    ),
}


def of_images(tables: Tables) -> Sequence[HeadlineFigure]:
    """By attacker, what is told of a person's image beyond what the public mean image tells."""
    table, pairs = tables["image_told"], tables.get("image_told_pairs")
    figures = []
    for source, (figure, _, threat) in READ_OFF.items():
        lines = read_off(table, source)
        if len(lines):
            first = lines.iloc[0]
            figures.append(
                HeadlineFigure.of(
                    figure,
                    "low",
                    lines,
                    "more",
                    pairs=pairs,
                    compared=source,
                    among=f"{count_told(first['images'])} images",
                    threat=f"{threat}; {first['victims']} networks",
                )
            )
    return figures


def read_off(table: "pd.DataFrame", source: str) -> "pd.DataFrame":
    """The rows of `image_told` of a key of `READ_OFF`."""
    from pipeline.risks.inversion.image_tables import SENT, as_sent

    return as_sent(table) if source == SENT else table[table["source"] == source]


def of_headline(table: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of `inversion` of who learns, knows the diagnosis and sees scores."""
    known = (table["attacker"] == "learned") & (table["diagnosis"] == "known")
    return table[known & (table["access"] == "scores")]


def told_most(table: "pd.DataFrame") -> str:
    """The measurement that the first defense's models tell most about."""
    lines = of_headline(table)
    first = lines[(lines["defense"] == lines["defense"].iloc[0]) & (lines["group"] == "members")]
    return str(first.loc[first["share"].fillna(-1).idxmax(), "attribute"])


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """The headline, whatever measurement it is of; of images one of each attacker."""
    if len(tables.get("image_told", ())):
        found: dict[str, dict[str, float]] = {}
        for source, (_, metric, _) in READ_OFF.items():
            lines = read_off(tables["image_told"], source).dropna(subset=["more"])
            for name, more in zip(lines["defense"], lines["more"], strict=True):
                found.setdefault(str(name), {})[metric] = float(more)
        return found
    return {
        str(name): {"attribute_inference_member_gap": float(value)}
        for figure in headline(tables, cfg)
        for name, value in figure.table["value"].dropna().items()
    }


def shown(cfg: Config) -> Sequence[str]:
    """Of images what one update tells, plain and private."""
    if cfg.data.image is None:
        return ()
    return tuple(name for source, (_, name, _) in READ_OFF.items() if source != "class")


RISK = Risk(
    name="inversion",
    settings=InversionSettings,
    check=check,
    headline=headline,
    metrics=metrics,
    shown=shown,
    private=frozenset({"image_rebuilt"}),
    glossary={
        "inversion, attribute inference": "guessing a private measurement of a patient with the "
        "help of the model's answers"
    },
)
