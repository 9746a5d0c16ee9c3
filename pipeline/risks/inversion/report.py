"""What is said of inversion.

How much nearer a model brings the guess of a private measurement, and a typical patient.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.presentation.chapter import (
    Chapter,
    Finding,
    Fold,
    Heading,
    Items,
    Note,
    Part,
    Reader,
    Table,
)
from pipeline.presentation.numbers import as_told, count_told, counted, interval_text, with_interval
from pipeline.risks.inversion import image_report as of_images
from pipeline.risks.inversion.image_tables import TOLD
from pipeline.risks.inversion.measure.settings import InversionSettings
from pipeline.risks.inversion.pictures import draw
from pipeline.risks.inversion.risk import RISK, of_headline, told_most
from pipeline.risks.inversion.tables import GROUPS, beside_measurements
from pipeline.risks.risk import Context, Tables
from pipeline.risks.sentences import concluded, model_of, models_of_each, narrow, whose

TITLE = "What a model tells about a measurement of a patient"
DISTANCES = {
    "to_class_mean": "to the mean of the ill",
    "center_to_class_mean": "from the public centre to that mean",
    "to_nearest_member": "to the nearest patient trained on",
    "to_nearest_non_member": "to the nearest other patient",
    "between_people": "between a patient and the nearest other one",
}
INFORMATION = (
    "What the model tells of both alike is information in its answer: any accurate model gives it, "
    "and it speaks against no defense. What members are told more is what the model remembers."
)

# of one model: nobody is both a member and none
UNPAIRED = "members and others are other patients, so their difference is not paired"


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: guesses of measurements, and the typical patient.

    Empty where nothing is private and nobody was asked.
    """
    if len(tables.get(TOLD, ())):
        parts = of_images.image_parts(tables, context, folder)
        said, brief = of_images.result(tables, context), of_images.brief(tables, context)
        return (Chapter(of_images.TITLE, parts, said, brief),)
    guesses, typical = (tables.get(name, pd.DataFrame()) for name in ("inversion", "typical"))
    parts = []
    result, brief = "", {}
    if len(guesses):
        result, brief = _result(tables, context), _brief(guesses, context)
        parts += _guesses(guesses, context, folder)
    if len(typical):
        note = (
            "The record that a model finds most typical of disease under a public prior, mean "
            f"over {counted(typical['victims'].iloc[0], 'model')}. Distances: root mean square "
            "over the measurements, in units of scale (the least and the largest of any model). A "
            "record much nearer to somebody trained on than patients are to each other would "
            "be that person."
        )
        tables_of = narrow(shown_typical(typical, context), [""])
        parts.append(Fold("The typical ill patient, read off the models", [Note(note), *tables_of]))
    return (Chapter(TITLE, parts, result, brief),) if parts else ()


def finding(tables: Tables, context: Context) -> Finding | None:
    """What a score adds to the guess that it helps most, of members and of others.

    Of images what one update tells.
    """
    if len(tables.get(TOLD, ())):
        return of_images.finding(tables, context)
    guesses = tables.get("inversion", pd.DataFrame())
    if not len(guesses):
        return None
    return _guessed(guesses, context)


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if len(tables.get(TOLD, ())):
        return (
            "Updates of several images together, of several steps; a prior learned from images of "
            "the same kind, which would find more.",
        )
    if not len(tables.get("inversion", ())):
        return ("Attribute inference: nothing was measured, or nothing is private.",)
    victims = context.cfg.section(InversionSettings).victims
    return (
        "Attribute inference of several missing measurements at once: one was guessed at a time, "
        "the others known exactly.",
        "Reconstruction of whole records from weights or gradients: attackers saw answers.",
        "Attribute inference by other seeds of the attacker."
        if context.cfg.plan.frozen
        else f"Attribute inference from more than {models_of_each(victims, context)}: the luck of "
        "other trainings is in no interval.",
    )


def _sentence(guesses: pd.DataFrame, context: Context) -> str:
    return _guessed(guesses, context).whole


def _guessed(guesses: pd.DataFrame, context: Context) -> Finding:
    """The headline's measurement, with whom its figure is of and what it is told more."""
    name = whose(guesses)
    attribute = told_most(guesses)
    own = of_headline(guesses)
    own = own[own["defense"] == name]
    members, others, more = _by_group(own[own["attribute"] == attribute])
    text = (
        "An attacker who knows all other measurements, the diagnosis and the score of "
        f"{model_of(name, context)} guesses {attribute} with {_percent(members)} less error for "
        f"{count_told(members['patients'])} patients of its training sets, and with "
        f"{_percent(others)} less for others, as any accurate model lets him."
    )
    alone = f"{members['error_alone']:.3g} {members['unit']}".rstrip()  # levels have no unit
    rest = (
        f"Off by {members['error_aided']:.3g} instead of {alone}; "
        f"{_apart(more, 'members less others')}"
    )
    told = own[(own["group"] == "difference") & (own["finding"] == "more")]
    if len(told):
        rest += f"; members are told more of {_listed(told)}"
        count = own["attribute"].nunique()
        rest += f" (intervals not corrected for {count} measurements)" if count > 1 else ""
    else:
        rest += "; of no measurement are members told more"
    return Finding(text, name, f"{rest}.")


def _by_group(lines: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """The rows of one question: of members, of others, and of the difference."""
    members, others, more = (lines[lines["group"] == group].iloc[0] for group in GROUPS)
    return members, others, more


def _percent(line: pd.Series) -> str:
    share, low, high = (100 * line[f"share{end}"] for end in ("", "_low", "_high"))
    return f"{share:.1f} % ({low:.1f} to {high:.1f})"


def _points(line: pd.Series) -> str:
    share, low, high = (100 * line[f"share{end}"] for end in ("", "_low", "_high"))
    return f"{share:.2f} ({low:.2f} to {high:.2f})"


def _apart(line: pd.Series, opening: str) -> str:
    return UNPAIRED if pd.isna(line["share"]) else f"{opening} {_points(line)} points of 100"


def _listed(lines: pd.DataFrame) -> str:
    return ", ".join(
        f"{line['attribute']}: {line['uplift']:.2g} ({line['uplift_low']:.2g} to "
        f"{line['uplift_high']:.2g}) {line['unit']}"
        for line in lines.to_dict("records")
    )


def _result(tables: Tables, context: Context) -> str:
    guesses = tables["inversion"]
    name, attribute = whose(guesses), told_most(guesses)
    own = of_headline(guesses)
    members, others, more = _by_group(
        own[(own["attribute"] == attribute) & (own["defense"] == name)]
    )
    apart = _apart(more, "the difference is")
    first = (
        f"A score takes {_percent(members)} of the error out of a guess of {attribute} "
        f"of members and {_percent(others)} of others; {apart} ({model_of(name, context)})."
    )
    figure = next(iter(RISK.headline(tables, context.cfg)), None)
    verdict = concluded(RISK.name, figure, context) if figure else ""
    return f"{first} {verdict}".strip()


def _guesses(guesses: pd.DataFrame, context: Context, folder: Path) -> list[Part]:
    lines = of_headline(guesses)
    name = whose(guesses)
    shows = _sentence(guesses, context)
    keys = ["measurement", "attacker sees"]
    return [
        draw(lines[lines["group"] == "difference"], shows, context, folder),
        Table(
            shown_of(lines[lines["defense"] == name]),
            caption=f"The attacker who learns, knows the diagnosis and sees a score: "
            f"{model_of(name, context)}, absolute error and its interval over patients",
        ),
        Fold("How it was measured", [Note(_how(guesses, context))]),
        Fold("Every defense", narrow(shown_guesses(guesses, context), keys)),
    ]


def _how(guesses: pd.DataFrame, context: Context) -> str:
    halves = "each trained on its own random half of the patients"
    if context.cfg.plan.frozen:
        halves = "which was trained on some of the patients"
    asked = models_of_each(guesses["victims"].iloc[0], context)
    asked = f"{asked[0].upper()}{asked[1:]} {'is' if context.cfg.plan.frozen else 'are'} asked"
    return (
        "The attacker knows all other measurements and the diagnosis, and guesses the one "
        "that is missing: first without a model, by a regression learned from other "
        "patients, then with the model's answer to the true record. The figure about "
        "privacy is how much more the guess gains for patients that the model was trained "
        f"on than for others, paired by patient, in clinical units. {INFORMATION} In brackets: "
        'intervals, bootstrap over patients. "no uplift": 0 lies in the interval; "more", "less": '
        f"it does not. {asked}, {halves}. Other attackers, and those who do not know the "
        "diagnosis: inversion.csv."
    )


def shown_of(lines: pd.DataFrame) -> pd.DataFrame:
    """Of one defense and attacker: a row per measurement, members beside what they are told more.

    Args:
        lines: of `inversion`, all three groups of each measurement.
    """
    by = {group: own.reset_index(drop=True) for group, own in lines.groupby("group", sort=False)}
    members, more = by["members"], by["difference"]
    return pd.DataFrame(
        {
            "measurement": members["attribute"] + ", " + members["unit"],
            "patients": as_told(members["patients"]),
            "error without a model": members["error_alone"].map("{:.3g}".format),
            "with a score": members["error_aided"].map("{:.3g}".format),
            "of it taken away": with_interval(members, "share"),
            "more than for others": [_uplift(line) for _, line in more.iterrows()],
        }
    )


def _brief(guesses: pd.DataFrame, context: Context) -> Mapping[Reader, Sequence[Part]]:
    """For a data protection officer: what a score adds to a guess of a private value."""
    lines = of_headline(guesses)
    own = lines[lines["defense"] == whose(guesses)]
    entries = [("A private value", _sentence(guesses, context)), ("How to read it", INFORMATION)]
    return {
        "privacy": [
            Heading("Attribute inference"),
            Items(entries),
            Table(shown_of(own).drop(columns=["error without a model", "with a score"])),
        ]
    }


def shown_guesses(table: pd.DataFrame, context: Context) -> pd.DataFrame:
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
            wide[f"{context.display(str(defense))}: {title}"] = chosen.set_index(place)["uplift"]
    result: pd.DataFrame = wide.reset_index()
    return result


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


def shown_typical(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    """A row per measurement and distance, a column per defense."""
    beside = set(beside_measurements())
    values = [name for name in table.columns if name not in beside]
    columns = {}
    for _, line in table.iterrows():
        distances = [
            f"{line[name]:.2f} ({line[f'{name}_low']:.2f} to {line[f'{name}_high']:.2f})"
            for name in DISTANCES
        ]
        columns[context.display(str(line["defense"]))] = [
            f"{line[name]:.3g}" for name in values
        ] + distances
    return pd.DataFrame(
        {"": [*values, *(f"distance {title}" for title in DISTANCES.values())], **columns}
    )
