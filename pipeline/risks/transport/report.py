"""What is said of a model elsewhere and later."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Finding, Fold, Items, Note, Part, Table
from pipeline.presentation.numbers import interval_text, with_interval
from pipeline.risks.risk import Context, Tables
from pipeline.risks.sentences import model_of, narrow, whose
from pipeline.risks.transport.pictures import DRAWN, draw
from pipeline.risks.transport.tables import CROSS, LATER, NOT_ESTIMABLE, SITE
from pipeline.statistics.patients import LEAST

TITLE = "Elsewhere and later"
WORDS = {
    "auroc": "AUROC",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "proved_accuracy": "proved",
}
LACKS = {
    SITE: "whether the model works at another site than those it learned from",
    LATER: "whether it works later than it learned",
}
OPEN_COLUMNS = ("asked about", "patients", "ill", "AUROC", "sensitivity", "specificity")
RULE = (
    "Worse, better or not told apart: from the difference to what cross-validation says of those "
    "learned from, who are other patients; after Holm over all places and figures of a defense. "
    "It says nothing of why: a site may measure otherwise, treat other patients, or call others "
    "ill. The paired difference sets the same patients against models of the cross-validation "
    "that learned from their site or days: about 0 there means that learning there would not help. "
    "Intervals and verdicts are those of these models on new patients."
)
BEYOND = (
    "Sites and days beyond those of this cohort, and models that are trained again as "
    "time goes on. Sites of one cohort share its inclusion criteria and its protocol; a hospital "
    "outside may differ more."
)
NOT_TESTED = f"Not tested: {BEYOND}"


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: cross-validation, each site, their spread, and later days; or why not."""
    parts: list[Part] = []
    table = tables.get("transport", pd.DataFrame())
    if len(table):
        parts = _tried(table, tables.get("transport_spread", pd.DataFrame()), context, folder)
    gaps = _gaps(tables)
    parts += [Note(f"{text} External validity was not asked.") for text in gaps]
    found = finding(tables, context)
    result = found.text if found else " ".join(gaps)
    return (Chapter(TITLE, parts, result),) if parts else ()


def finding(tables: Tables, context: Context) -> Finding | None:
    """Where the undefended model is worth least, and whether that is told; None: no such place."""
    table = tables.get("transport", pd.DataFrame())
    if not len(table):
        return None
    name = whose(table)
    own = table[table["defense"] == name]
    elsewhere = own[(own["tried"] != CROSS) & (own["figure"] == DRAWN) & own["value"].notna()]
    if not len(elsewhere):
        return None
    line = elsewhere.sort_values("value", kind="stable").iloc[0]
    there = interval_text(line["value"], line["value_low"], line["value_high"])
    text = (
        f"Of {elsewhere['place'].nunique()} places and times that it did not learn from, "
        f"{model_of(name, context)} ranks patients worst at {line['place']}: AUROC {there} of "
        f"{_count(line['patients'])} patients, {_count(line['ill'])} of them ill; nobody attacks"
    )
    cross = own[(own["tried"] == CROSS) & (own["figure"] == DRAWN) & own["value"].notna()]
    if len(cross):
        at_home = cross.iloc[0]
        home = interval_text(at_home["value"], at_home["value_low"], at_home["value_high"])
        text += f". Cross-validation says {home}"
    return Finding(f"{text}. By rule: {conclusion(own)}.", name)


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if not any(len(tables.get(name, ())) for name in ("transport", "transport_not_tested")):
        return ("Other sites and later days: nothing was measured.",)
    return (*_gaps(tables), BEYOND)


def _gaps(tables: Tables) -> list[str]:
    """What the data set does not allow to try, a sentence each."""
    return [
        f"Not tested: {LACKS[line['tried']]}; {line['why']}."
        for line in tables.get("transport_not_tested", pd.DataFrame()).to_dict("records")
    ]


def _tried(table: pd.DataFrame, spread: pd.DataFrame, context: Context, folder: Path) -> list[Part]:
    conclusions = [
        (context.display(str(defense)), conclusion(lines))
        for defense, lines in table.groupby("defense", sort=False)
    ]
    parts: list[Part] = []
    if (table["figure"].eq(DRAWN) & table["value"].notna()).any():
        called = {str(place): str(place) or CROSS for place in table["place"].unique()}
        found = finding({"transport": table}, context)
        parts.append(draw(table, called, found.text if found else TITLE, context, folder))
    whole = _places(table, spread, context)
    own = whole[whole["defense"] == context.display(whose(table))]
    parts += [
        Table(own[[name for name in OPEN_COLUMNS if name in own]].head(10)),
        Items(conclusions),
        Fold("How it was measured", [Note(_how(table, context)), Note(RULE)]),
        Fold("Every defense and figure", narrow(whole, ["defense", "asked about"])),
    ]
    compared = table[table["difference"].notna()]
    if len(compared):
        shown = narrow(_differences(compared, context), ["defense", "asked about", "figure"])
        parts.append(Fold("Differences to the cross-validation", shown))
    return [*parts, Note(NOT_TESTED)]


def _how(table: pd.DataFrame, context: Context) -> str:
    """What was done, and how many records nobody is asked about or learns from."""
    radius, threat = context.cfg.headline_radius, context.cfg.audit.headline
    tried = set(table["tried"])
    done = [
        "Each site in turn is left out of training, and asked about." * (SITE in tried),
        "A model of the earlier records is asked about the later ones; whoever was seen before is "
        "not asked about." * (LATER in tried),
        "All records of a patient stay on one side, and so do equal records; what must stay with "
        'some of both sides is on neither ("left out").',
        "Cuts are chosen on folds of the training records, as in the cross-validation beside.",
        f"proved: right answers that no record within eps {radius:g} of the threat model {threat} "
        "changes, as far as the verifier came: at least so many.",
        f"Counts below {LEAST}, or that tell of such, are not told, and nothing is estimated of "
        f"fewer than {LEAST} patients of a class.",
    ]
    return " ".join(text for text in done if text)


def conclusion(lines: pd.DataFrame) -> str:
    """What may be said of one defense, by rule."""
    said, told = [], set()
    for verdict in ("worse", "better"):
        own = lines[lines["verdict"] == verdict]
        for place, rows in own.groupby("place", sort=False):
            sizes = zip(rows["figure"], rows["difference"], strict=True)
            figures = ", ".join(f"{WORDS[figure]} {value:+.3f}" for figure, value in sizes)
            said.append(f"{verdict} than cross-validation says, {place}: {figures}")
            told.add(place)
    asked = lines.loc[lines["difference"].notna(), "place"].unique()
    silent = [str(place) for place in asked if place not in told]
    if silent:
        said.append(f"not told apart from it: {', '.join(silent)}")
    gaps = lines[(lines["verdict"] == NOT_ESTIMABLE) & ~lines["place"].isin(asked)]
    for place, rows in gaps.groupby("place", sort=False):
        said.append(f"{NOT_ESTIMABLE}, {place}: {rows['why'].iloc[0]}")
    return "; ".join(said)


def _places(table: pd.DataFrame, spread: pd.DataFrame, context: Context) -> pd.DataFrame:
    """A row for each place of each defense, and two for what sites say together."""
    lines = []
    for (defense, tried, place), own in table.groupby(["defense", "tried", "place"], sort=False):
        head = own.iloc[0]
        counts = {name: _count(head[name]) for name in ("patients", "ill", "learned", "left_out")}
        cells = dict(zip(own["figure"], _cells(own), strict=True))
        shown_as = context.display(str(defense))
        named = {"defense": shown_as, "asked about": place or CROSS}
        lines.append(named | counts | cells)
        if tried == SITE and _is_last_site(table, defense, place):
            lines += [{"defense": shown_as, **line} for line in _together(spread, str(defense))]
    shown = pd.DataFrame(lines).rename(
        columns={**WORDS, "left_out": "left out", "learned": "learned from"}
    )
    return shown.fillna("")


def _is_last_site(table: pd.DataFrame, defense: object, place: object) -> bool:
    own = table[(table["defense"] == defense) & (table["tried"] == SITE)]
    return bool(own["place"].iloc[-1] == place)


def _together(spread: pd.DataFrame, defense: str) -> list[dict[str, str]]:
    """What sites say together, figure by figure."""
    own = spread[spread["defense"] == defense] if len(spread) else spread
    if not len(own):
        return []
    ranges = zip(own["further_low"], own["further_high"], strict=True)
    rows = {
        "mean over sites": with_interval(own, "mean"),
        "spread between sites": with_interval(own, "between"),
        "a further site": [f"{low:.3f} to {high:.3f}" for low, high in ranges],
    }
    return [
        {"asked about": name, **dict(zip(own["figure"], cells, strict=True))}
        for name, cells in rows.items()
    ]


def _count(value: float) -> str:
    return "not told" if pd.isna(value) else f"{value:g}"


def _cells(lines: pd.DataFrame) -> list[str]:
    """Each figure with its interval, or that there is none."""
    cells = with_interval(lines, "value")
    nothing = lines["verdict"] == NOT_ESTIMABLE
    return [NOT_ESTIMABLE if none else cell for none, cell in zip(nothing, cells, strict=True)]


def _differences(lines: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Of each place and figure: the difference to others, its verdict, the paired difference."""
    return pd.DataFrame(
        {
            "defense": [context.display(name) for name in lines["defense"]],
            "asked about": lines["place"],
            "figure": lines["figure"].map(WORDS),
            "less cross-validation": with_interval(lines, "difference"),
            "p": [f"{p:.3f}" for p in lines["p"]],
            "conclusion": [
                f"{verdict} ({least:.3f} would have shown)"
                if verdict == "not told apart"
                else verdict
                for verdict, least in zip(
                    lines["verdict"], lines["smallest_detectable"], strict=True
                )
            ],
            "paired": with_interval(lines, "paired"),
        }
    )
