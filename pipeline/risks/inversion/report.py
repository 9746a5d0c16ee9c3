"""What is said of inversion.

How much nearer a model brings the guess of a private measurement, and a typical patient.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.presentation.chapter import Chapter, Finding, Heading, Note, Part, Picture, Table
from pipeline.presentation.numbers import as_told, interval_text
from pipeline.risks.inversion.tables import beside_measurements
from pipeline.risks.risk import Context, Tables

DISTANCES = {
    "to_class_mean": "to the mean of the ill",
    "center_to_class_mean": "from the public centre to that mean",
    "to_nearest_member": "to the nearest patient trained on",
    "to_nearest_non_member": "to the nearest other patient",
    "between_people": "between a patient and the nearest other one",
}


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: guesses of measurements, and the typical patient.

    Empty where nothing is private and nobody was asked.
    """
    guesses, typical = (tables.get(name, pd.DataFrame()) for name in ("inversion", "typical"))
    parts: list[Part] = []
    if len(guesses):
        parts += [
            Note(
                "The attacker knows all other measurements and the diagnosis, and guesses the one "
                "that is missing: first without a model, by a regression learned from other "
                "patients, then with the model's answer to the true record. The figure about "
                "privacy is how much more the guess gains for patients that the model was trained "
                "on than for others, paired by patient, in clinical units. What it gains for both "
                "is information in the answer: any accurate model gives it, and it speaks against "
                "no defense. In brackets: intervals, bootstrap over patients. "
                '"no uplift": 0 lies in the interval; "more", "less": it does not. '
                f"{guesses['victims'].iloc[0]} models of each recipe are asked, each trained on "
                "its own random half of the patients. Other attackers, and those who do not know "
                "the diagnosis: inversion.csv."
            ),
            Table(shown_guesses(guesses)),
        ]
    if len(typical):
        parts += [
            Heading("The typical ill patient, read off the models"),
            Note(
                "The record that a model finds most typical of disease under a public prior, mean "
                f"over {typical['victims'].iloc[0]} models. Distances: root mean square over the "
                "measurements, in units of scale (the least and the largest of any model). A "
                "record much nearer to somebody trained on than patients are to each other would "
                "be that person."
            ),
            Table(shown_typical(typical)),
        ]
    return (Chapter("What a model tells about a measurement of a patient", parts),) if parts else ()


def shown_guesses(table: pd.DataFrame) -> pd.DataFrame:
    """Of the attacker who learns and knows the diagnosis.

    A row per measurement and access, two columns per defense.
    """
    lines = table[(table["attacker"] == "learned") & (table["diagnosis"] == "known")]
    shown = pd.DataFrame(
        {
            "measurement": lines["attribute"] + ", " + lines["unit"],
            "attacker sees": lines["access"],
            "defense": lines["defense"],
            "group": lines["group"],
            "without a model": lines["error_alone"].map("{:.3g}".format),
            "patients": as_told(lines["patients"]),
            "uplift": [_uplift(line) for _, line in lines.iterrows()],
        }
    )
    place = ["measurement", "attacker sees"]
    first = shown[(shown["defense"] == shown["defense"].iloc[0]) & (shown["group"] == "members")]
    wide = (
        first[[*place, "patients", "without a model"]]
        .rename(columns={"without a model": "error without a model"})
        .set_index(place)
    )
    for defense in dict.fromkeys(shown["defense"]):
        for group, title in (
            ("difference", "more than for others"),
            ("members", "information in the answer"),
        ):
            chosen = shown[(shown["defense"] == defense) & (shown["group"] == group)]
            wide[f"{defense}: {title}"] = chosen.set_index(place)["uplift"]
    result: pd.DataFrame = wide.reset_index()
    return result


def finding(tables: Tables, context: Context) -> Finding | None:
    """The worst that was found, in one sentence; None: nothing was measured."""
    return None


def cover(tables: Tables, context: Context, folder: Path) -> Picture | None:
    """Its picture for the first screen; None: it has none."""
    return None


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    return ()


def _uplift(line: pd.Series) -> str:
    """How much nearer the guess comes; of members also which share of its error that is."""
    if np.isnan(line["uplift"]):
        return "-"
    figures = f"{line['uplift']:.2g} ({line['uplift_low']:.2g} to {line['uplift_high']:.2g})"
    if line["finding"] not in ("uplift", "no difference"):
        figures = f"{figures}, {line['finding']}"
    if line["group"] == "difference":
        return figures
    share = interval_text(line["share"], line["share_low"], line["share_high"])
    return f"{figures}; of the error {share}"


def shown_typical(table: pd.DataFrame) -> pd.DataFrame:
    """A row per measurement and distance, a column per defense."""
    beside = set(beside_measurements())
    values = [name for name in table.columns if name not in beside]
    columns = {}
    for _, line in table.iterrows():
        distances = [
            f"{line[name]:.2f} ({line[f'{name}_low']:.2f} to {line[f'{name}_high']:.2f})"
            for name in DISTANCES
        ]
        columns[str(line["defense"])] = [f"{line[name]:.3g}" for name in values] + distances
    return pd.DataFrame(
        {"": [*values, *(f"distance {title}" for title in DISTANCES.values())], **columns}
    )
