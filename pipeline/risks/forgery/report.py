"""What is said of forged scans, of a detector that looks for them, and of what holds instead."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline.attacks.forgery import FORGERIES
from pipeline.data.provenance import CHECKED
from pipeline.presentation.chapter import Chapter, Finding, Fold, Note, Part, Table
from pipeline.presentation.numbers import interval_text, with_interval
from pipeline.risks.forgery.measure.forged import AS_IS, BLUR, UNTOUCHED
from pipeline.risks.forgery.pictures import draw
from pipeline.risks.forgery.tables import ANSWERED, FOUND, PROVENANCE, SHOWN
from pipeline.risks.risk import Context, Tables
from pipeline.risks.sentences import model_of, narrow, whose

TITLE = "Forged scans"
NAMES = {UNTOUCHED: "not forged"} | {name: one.says for name, one in FORGERIES.items()}
HIDDEN = {
    "as_is": "as forged",
    "noise": "noise on the whole scan",
    "blur": "the whole scan blurred",
}
RULE = (
    "By rule the detector finds a forgery where the interval of the AUROC lies above 0.5 and that "
    "of the share found above one half. Scans that are not forged and blurred all the same show "
    "what a blur alone does to its scores."
)
HOW = (
    "A box is forged in every scan, at a place drawn by chance; a part comes from the same scan, "
    "or from one of the other class. The detector sees what four high-pass filters leave of a "
    "scan, learned from forged training scans alone, and is asked about others, genuine and "
    "forged. Intervals are over patients. The forger asks no model and uses no gradient."
)
BEYOND = (
    "Scans made or changed by generative models; forgers who know the detector, beyond noise and a "
    "blur; whether a reader would see the change."
)


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter; none where records are no images."""
    if FOUND not in tables:
        return ()
    table = tables[FOUND]
    parts: list[Part] = []
    if len(tables.get(SHOWN, ())):
        parts.append(replace(draw(tables[SHOWN], NAMES, folder), patients=True))
    parts += [
        Table(_found(table), caption="What the detector finds"),
        Note(f"{worth(table)} {vouched(tables)}", small=False),
    ]
    if len(tables.get(ANSWERED, ())):
        shown = narrow(_answers(tables[ANSWERED], context), ["defense", "forgery"])
        parts += [
            Note(effect(tables[ANSWERED], context), small=False),
            Fold("What models answer to forged scans", shown),
        ]
    parts += [
        Fold("How it was measured", [Note(HOW), Note(RULE)]),
        Fold("Every forgery and disguise", narrow(_every(table), ["forgery", "hidden by"])),
        Note(f"Not tested: {BEYOND}"),
    ]
    return (Chapter(TITLE, parts, worth(table)),)


def finding(tables: Tables, context: Context) -> Finding | None:
    """What the detector is worth once the forger blurs, and whether provenance was checked."""
    if FOUND not in tables:
        return None
    return Finding(worth(tables[FOUND]), more=vouched(tables))


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    return (BEYOND,) if FOUND in tables else ()


def worth(table: pd.DataFrame) -> str:
    """What the detector is worth, by rule."""
    as_is, blurred = (_forged(table, disguise) for disguise in (AS_IS, BLUR))
    first = table.iloc[0]
    best = blurred.sort_values("auroc", kind="stable").iloc[-1]
    said = (
        f"Of scans of {first['height']:g} pixels with a forged box of {first['side']:g}, the "
        f"detector finds {_named(as_is)} as forged, {_named(blurred)} once the scan is blurred "
        f"(the best of them: {NAMES[str(best['forgery'])]}, AUROC {_interval(best, 'auroc')}, "
        f"found {_interval(best, 'found')} at {best['false_alarms']:.0%} false alarms)"
    )
    return f"{said}: {_verdict(as_is, blurred)}."


def _verdict(as_is: pd.DataFrame, blurred: pd.DataFrame) -> str:
    held = int(blurred["finds"].sum())
    if not held:
        before = "against a forger who blurs" if as_is["finds"].any() else "against any forger here"
        return f"no defense {before}, at this size"
    if held < len(blurred):
        return "a defense against a forger who blurs in these alone"
    return "none of these forgers hides by a blur; nothing is said of others"


def _named(lines: pd.DataFrame) -> str:
    names = [NAMES[str(name)] for name in lines.loc[lines["finds"], "forgery"]]
    if not names:
        return f"none of {len(lines)} forgeries"
    return f"{len(names)} of {len(lines)} forgeries ({', '.join(names)})"


def _forged(table: pd.DataFrame, disguise: str) -> pd.DataFrame:
    return table[(table["disguise"] == disguise) & (table["forgery"] != UNTOUCHED)]


def _interval(line: "pd.Series[float]", name: str) -> str:
    return interval_text(*(line[f"{name}{end}"] for end in ("", "_low", "_high")))


def vouched(tables: Tables) -> str:
    """What vouches for the scans of this run."""
    (line,) = tables[PROVENANCE].to_dict("records")
    if line["state"] != CHECKED:
        return (
            "What holds is provenance, the digest of each scan, signed where it was taken; here "
            f"nobody vouches for the scans: provenance: {line['state']}."
        )
    return (
        f"What holds is provenance: the digests of {line['scans']} scans ({line['covers']}) were "
        f"held against the manifest that the key {line['key']}... signed, before anything was "
        "learned; a scan that was changed after it was signed would have been refused."
    )


def effect(table: pd.DataFrame, context: Context) -> str:
    """What forging does to the diagnosis of the undefended model; verdicts after Holm."""
    name = whose(table)
    own = table[(table["defense"] == name) & (table["forgery"] != UNTOUCHED)]
    clean = table[(table["defense"] == name) & (table["forgery"] == UNTOUCHED)].iloc[0]
    said = []
    for error, who in (("called_ill", "healthy"), ("called_healthy", "ill")):
        told = own[own[f"{error}_verdict"] == "worse"]
        among = told if len(told) else own
        worst = among.sort_values(f"{error}_difference", kind="stable").iloc[-1]
        said.append(
            f"{error.replace('_', ' ')} of the {who} {_interval(clean, error)}, "
            f"{NAMES[str(worst['forgery'])]} {_interval(worst, error)}: "
            f"{worst[f'{error}_verdict']}"
        )
    return f"By {model_of(name, context)}: {'; '.join(said)}."


def _found(table: pd.DataFrame) -> pd.DataFrame:
    """A line for each forgery: as forged, and blurred."""
    lines = []
    for name in dict.fromkeys(table["forgery"]):
        line = {"forgery": NAMES[str(name)]}
        for disguise in (AS_IS, BLUR):
            own = table[(table["forgery"] == name) & (table["disguise"] == disguise)]
            cells = [f"{_interval(one, 'auroc')}, {one['found']:.0%}" for _, one in own.iterrows()]
            line[f"AUROC, found: {HIDDEN[disguise]}"] = cells[0] if cells else "-"
        lines.append(line)
    return pd.DataFrame(lines)


def _every(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "forgery": table["forgery"].map(NAMES),
            "hidden by": table["disguise"].map(HIDDEN),
            "learned from": table["learned"].map({True: "yes", False: "no"}),
            "AUROC": with_interval(table, "auroc"),
            "found": with_interval(table, "found"),
            "by rule": table["finds"].map({True: "found", False: "not found"}),
        }
    )


def _answers(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "defense": [context.display(str(name)) for name in table["defense"]],
            "forgery": table["forgery"].map(NAMES),
            "healthy called ill": with_interval(table, "called_ill"),
            "more than untouched": with_interval(table, "called_ill_difference"),
            "ill called healthy": with_interval(table, "called_healthy"),
            "more of these": with_interval(table, "called_healthy_difference"),
        }
    )
