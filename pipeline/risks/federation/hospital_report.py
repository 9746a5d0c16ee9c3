"""What is said of who gains by federated training, hospital by hospital."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Items, Note, Part, Table
from pipeline.presentation.numbers import interval_text, with_interval
from pipeline.risks.federation.hospitals import (
    ALONE,
    EVERYBODY,
    NOT_ESTIMABLE,
    OTHERS,
    OWN,
    TRAININGS,
)
from pipeline.risks.federation.measure.settings import CENTRAL, FEDERATED, PRIVATE
from pipeline.risks.federation.risk import COSTS
from pipeline.risks.federation.risk import GAINS as NAME
from pipeline.risks.risk import Tables
from pipeline.statistics.patients import LEAST

TITLE = "What hospitals gain by training together"
WORDS = {
    "auroc": "AUROC",
    "accuracy": "right answers",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
ASKED = {OWN: "its own", OTHERS: "all others'", EVERYBODY: "everybody"}
HOW = (
    "central learns from all records in one place, federated as the recipe does, alone is each "
    "hospital by itself: as many passes over records, the same public preprocessing and the same "
    "initial weights. Everybody is asked out of fold, by models that did not learn from him, and "
    "each hospital's model also about the patients of all others. Each training chooses its line "
    "on the records that it learns from: a federation on scores of all hospitals, which they would "
    "have to send. gain is federated less alone on the same patients; verdicts are after Holm over "
    "all hospitals, askings and figures of one number of hospitals: these models on new patients. "
    f"Nothing is estimated of fewer than {LEAST} patients of a class."
)
CLAIMS = (
    "dp_train is central training under differential privacy of records; federated_private trains "
    "so in each hospital (local), federated_noisy_server adds noise to what the server sums "
    "(central privacy, of whole hospitals: not from the server). Each claim is recomputed by a "
    "second accountant and audited by who sees all noise and knows all but one coin: canary "
    "records in noisy gradients, through all rounds, or canary hospitals in noisy sums. A claim "
    "that the audit exceeds, at a confidence that a true one fails once in a million, ends the "
    "stage. cost: less the same training without privacy, same patients; verdicts are after Holm "
    "over all recipes and figures. Private models decide at a public cut."
)
COHORT = (
    "Hospitals cut from one cohort differ by what they are cut by alone. Real ones also measure "
    "and record otherwise, and may gain less, or more."
)


def chapters(tables: Tables) -> Sequence[Chapter]:
    """One chapter, of the number of hospitals that is told first; none where none was measured."""
    if NAME not in tables:
        return ()
    table = tables[NAME]
    first = table[table["hospitals"] == table["hospitals"].iloc[0]]
    whole = [Table(_shown(table, whole=True), "numbers")]
    shown = _shown(first[first["figure"] == "auroc"])
    parts: list[Part] = [
        Table(shown, "numbers", f"AUROC out of fold; rule {first['aggregate'].iloc[0]}"),
        *_privately(tables),
        Items(_told(table)),
        Note(COHORT, small=False),
        Fold("How it was measured", [Note(HOW), *([Note(CLAIMS)] if COSTS in tables else [])]),
        Fold("Every number of hospitals and figure", whole),
    ]
    return (Chapter(TITLE, parts, _result(first)),)


def _privately(tables: Tables) -> list[Part]:
    """What differential privacy claims, what an audit shows of it, and what it costs."""
    if COSTS not in tables:
        return []
    table = tables[COSTS]
    first = table[table["figure"] == "auroc"]
    shown = pd.DataFrame(
        {
            "training": first["recipe"].tolist(),
            "protects": first["protects"].tolist(),
            "epsilon claimed": _epsilons(first, "claimed"),
            "recomputed": _epsilons(first, "recomputed"),
            "audited: at least": _epsilons(first, "lower_bound"),
            "AUROC": with_interval(first, "value"),
            "cost": with_interval(first, "cost"),
            "conclusion": first["cost_verdict"].tolist(),
        }
    )
    caption = f"Differential privacy at delta {first['delta'].iloc[0]:g}, everybody"
    return [
        Table(shown, "numbers", caption),
        Fold("What privacy costs, every figure", [Table(_costs(table), "numbers")]),
    ]


def _epsilons(table: pd.DataFrame, name: str) -> list[str]:
    return [f"{one:.3f}" for one in table[f"epsilon_{name}"]]


def _costs(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "training": table["recipe"].tolist(),
            "figure": table["figure"].map(WORDS).tolist(),
            "private": with_interval(table, "value"),
            "not private": with_interval(table, "plain"),
            "cost": with_interval(table, "cost"),
            "conclusion": table["cost_verdict"].tolist(),
            "would have shown": table["cost_smallest_detectable"].map("{:.3f}".format).tolist(),
        }
    )


def _result(table: pd.DataFrame) -> str:
    """Federated beside central, and what a hospital alone is worth among others' patients."""
    auroc = table[table["figure"] == "auroc"]
    everybody = auroc[auroc["asked"] == EVERYBODY].iloc[0]
    text = (
        f"{everybody['hospitals']} hospitals that keep their records reach AUROC "
        f"{_bounded(everybody, FEDERATED)}, all records in one place "
        f"{_bounded(everybody, CENTRAL)}; paired {_bounded(everybody, 'to_central')}"
    )
    others = auroc[(auroc["asked"] == OTHERS) & auroc[ALONE].notna()]
    if not len(others):
        return f"{text}."
    worst = others.sort_values(ALONE, kind="stable").iloc[0]
    return (
        f"{text}. Alone, {worst['hospital']} reaches {_bounded(worst, ALONE)} among the patients "
        f"of all others, where the federation reaches {_bounded(worst, FEDERATED)}."
    )


def _told(table: pd.DataFrame) -> list[tuple[str, str]]:
    """By number of hospitals: who is told to gain, and who to lose."""
    said = []
    for count, rows in table.groupby("hospitals", sort=False):
        judged = rows[rows["gain_p"].notna()]
        parts = [
            f"told to be {verdict} than alone: {_listed(judged[judged['gain_verdict'] == verdict])}"
            for verdict in ("better", "worse")
            if (judged["gain_verdict"] == verdict).any()
        ]
        silent = int((judged["gain_verdict"] == "not told apart").sum())
        if silent:
            left = judged[judged["gain_verdict"] == "not told apart"]
            least = left["gain_smallest_detectable"].max()
            parts.append(f"{silent} not told apart ({least:.3f} would have shown in all of them)")
        none = rows[rows["gain_verdict"] == NOT_ESTIMABLE]
        for hospital, lines in none.groupby("hospital", sort=False):
            parts.append(f"{NOT_ESTIMABLE}, {hospital}: {lines['why'].iloc[0]}")
        said.append((f"{count} hospitals", f"{'; '.join(parts)}."))
    return said


def _listed(rows: pd.DataFrame) -> str:
    """Each hospital and asking once, with all its figures."""
    return ", ".join(
        f"{hospital} on {ASKED[str(asked)]} patients ("
        + ", ".join(f"{WORDS[row['figure']]} {row['gain']:+.3f}" for row in own.to_dict("records"))
        + ")"
        for (hospital, asked), own in rows.groupby(["hospital", "asked"], sort=False)
    )


def _bounded(line: "pd.Series[Any]", name: str) -> str:
    return interval_text(*(float(line[f"{name}{end}"]) for end in ("", "_low", "_high")))


def _shown(table: pd.DataFrame, *, whole: bool = False) -> pd.DataFrame:
    """A line for each hospital and asking."""
    first = {"hospitals": [f"{count:g}" for count in table["hospitals"]]} if whole else {}
    figure = {"figure": table["figure"].map(WORDS).tolist()} if whole else {}
    private = [name for name in PRIVATE if table[name].notna().any()]
    cells = {name: with_interval(table, name) for name in (*TRAININGS, *private)}
    verdicts = table["gain_verdict"].fillna("").tolist()
    return pd.DataFrame(
        {
            **first,
            "hospital": [name or "all" for name in table["hospital"]],
            "asked about": table["asked"].map(ASKED).tolist(),
            "patients": _counts(table, "patients"),
            "ill": _counts(table, "ill"),
            **figure,
            **cells,
            "gain": with_interval(table, "gain"),
            "conclusion": verdicts,
        }
    )


def _counts(table: pd.DataFrame, name: str) -> list[str]:
    """Of all others there is none: it would tell how many a hospital's own are."""
    hidden = ["" if asked == OTHERS else "not told" for asked in table["asked"]]
    return [
        none if pd.isna(count) else f"{count:g}"
        for none, count in zip(hidden, table[name], strict=True)
    ]
