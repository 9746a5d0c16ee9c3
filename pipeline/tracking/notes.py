"""What MLflow shows in words, as Markdown: of a run, of the experiment, of a registered model.

Only what `pipeline.risks.conclusions` concludes is said to be better or worse.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.config import BASELINE
from pipeline.data.signing import NOT_REVIEWED
from pipeline.presentation.numbers import with_interval
from pipeline.presentation.sector_words import Words, in_words, names_told
from pipeline.risks.conclusions import Front
from pipeline.tracking.artifacts import PROVENANCE, SETTINGS, SHARED
from pipeline.tracking.evaluated import Evaluated
from pipeline.tracking.release import why_not_stored

NOTE = "mlflow.note.content"
LONGEST = 7900  # letters of a run's tag; MLflow takes 8000
USE = (
    "**Intended use**: research on how a clinical model can be attacked and defended. "
    "It is no medical device, and no basis for a decision about a patient."
)


def run_note(evaluated: Evaluated, name: str) -> str:
    """Flags and why, what is concluded, headline figures with intervals, where files lie."""
    found, confidence = evaluated.conclusions, evaluated.context.cfg.audit.confidence
    own = found.headlines[found.headlines["defense"] == name]
    unstored = why_not_stored(evaluated.populations[name])
    parts = [
        *warnings_of(evaluated, name),
        *([f"**Release model**: not stored: {unstored}."] if unstored else []),
        *_verdict(evaluated, name, own),
        f"## Headline figures ({100 * confidence:g} % intervals)",
        _figures(own, found.headlines),
        "## Where to look",
        _places(evaluated),
    ]
    return _cut(in_words("\n\n".join(parts), evaluated.context.cfg.data.spoken))


def _places(evaluated: Evaluated) -> str:
    """Where the page, the tables and the radii are."""
    told, folder = evaluated.context.cfg.tracking, evaluated.folder
    places = [
        f"- Artifacts, `{SHARED}`: the report, without tables of single patients.\n"
        f"- Artifacts, `*.csv`: every table. `{SETTINGS}`: every setting, attacks' among them. "
        f"`{PROVENANCE}`: commit and digests."
        if told.files
        else f"- The page and every table: `{'/'.join(folder.parts[-3:])}` of the project. "
        "In MLflow there is this run alone (`tracking.files`).",
        "- Nested runs: the same defense at each radius of the attacker, `attack_eps`."
        if told.nested
        else "- No nested runs (`tracking.nested`): metrics end with the radius of the attacker.",
    ]
    if names := names_told(evaluated.context.cfg.data.spoken):
        places.append(f"- {names}")
    return "\n".join(places)


def warnings_of(evaluated: Evaluated, name: str) -> list[str]:
    """What speaks against a defense's figures or against the use of its model, one line each."""
    said = [f"**Flag** `{flag}`: {why}." for flag, why in evaluated.judged(name).flags.items()]
    if evaluated.context.cfg.data.unreviewed:
        said.append(f"**Threat model**: {NOT_REVIEWED}.")
    if noise := evaluated.populations[name].facts.get("noise"):
        said.append(f"**Noise**: {noise}.")
    return said


def _verdict(evaluated: Evaluated, name: str, own: pd.DataFrame) -> list[str]:
    """What is concluded of a defense in sentences."""
    found, said = evaluated.conclusions, evaluated.conclusions.of_defense(name)
    if name == BASELINE:
        lines = ["No defense: what the others are compared with."]
    elif not len(own) or set(own["verdict"]) <= {"", "not compared"}:
        lines = ["Measured alone, compared with no other defense."]
    else:
        open_ = own.loc[own["verdict"] == "not told apart", "figure"]
        lines = [
            f"**{verdict.capitalize()} than no defense**: {said[verdict]}."
            for verdict in ("better", "worse")
            if verdict in said
        ]
        lines += [f"**Not told apart from no defense**: {'; '.join(open_)}."] if len(open_) else []
    lines += [f"**Best**: {said['best']}."] if "best" in said else []
    if found.front and "pareto_front" in said:
        lines.append(
            f"**Pareto front** of {'; '.join(found.front.figures)}: {said['pareto_front']}."
        )
    return lines


def _figures(own: pd.DataFrame, headlines: pd.DataFrame) -> str:
    """Figure, this defense, no defense, verdict: as a Markdown table."""
    undefended = headlines[headlines["defense"] == BASELINE].set_index(["risk", "figure"])
    rows = []
    for (_, line), said in zip(
        own.iterrows(), with_interval(own, "value", "low", "high"), strict=True
    ):
        key = (line["risk"], line["figure"])
        known = key in undefended.index
        against = with_interval(undefended.loc[[key]], "value", "low", "high")[0] if known else ""
        rows.append([line["figure"], f"{line['good']} is good", said, against, line["verdict"]])
    return table(["figure", "", "this defense", "no defense", "verdict"], rows)


def experiment_note(
    title: str, evaluated: Evaluated | None = None, *, spoken: Words | None = None
) -> str:
    """What an experiment holds; of an evaluation of several defenses, what is concluded.

    Its first line is all that MLflow shows until somebody unfolds it. `spoken`: the words of the
    cohort's sector.
    """
    parts = []
    if evaluated is not None and len(evaluated.populations) > 1:
        found = evaluated.conclusions
        parts += [
            _front(found.front) or f"**{title}**: what is concluded of its defenses.",
            table(
                ["risk", "figure", "better than no defense", "worse", "conclusion"],
                found.overview[["risk", "figure", "better", "worse", "conclusion"]].values.tolist(),
            ),
        ]
    else:
        parts.append(f"**{title}**: how clinical models break, and what defenses buy and cost.")
    parts.append(
        "One run per defense, in it (but for sweeps of many jobs) a nested run per radius of the "
        "attacker. *Views* (top right) "
        "has a table and charts of the runs. `eps`: the radius that a defense trains against, "
        "0 = against none. `epsilon`: its privacy budget. `attack_eps`: the attacker's radius. "
        "The first part of a curve's name says what its step is. A defense with flags beside its "
        "name is called best in nothing."
    )
    parts += filter(None, [names_told(spoken)])
    return _cut(in_words("\n\n".join(parts), spoken), 19000)


def _front(front: Front | None) -> str:
    if front is None:
        return ""
    on = [name for name, by in front.dominated.items() if not by]
    off = [f"{name} (by {', '.join(by)})" for name, by in front.dominated.items() if by]
    dominated = f" Dominated: {', '.join(off)}." if off else ""
    left = f" Not asked, flagged or not measured: {', '.join(front.left_out)}."
    weighed = f"**On the Pareto front**: {', '.join(on)}.{dominated}{left * bool(front.left_out)}"
    return f"{weighed} Weighed: {'; '.join(front.figures)}."


def model_note(evaluated: Evaluated, name: str) -> str:
    """What a registered model is for, what speaks against it, where it draws the line."""
    cfg, facts = evaluated.context.cfg, evaluated.populations[name].facts
    decision: Mapping[str, Any] = facts.get("decision", {})
    rule = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in decision.items())
    told = "\n\n".join(
        [
            USE,
            f"**Takes** raw records of {cfg.data.title}, in clinical units; **answers** with a "
            "probability of each class and a decision.",
            f"**Threshold**: {rule or 'the larger probability'}.",
            f"**Trained by** `{name}` on {len(evaluated.context.dataset.y)} records; audited by "
            "its siblings from cross-validation, on records that they did not see.",
            *(warnings_of(evaluated, name) or ["**Flags**: none."]),
            "**Limits**: figures hold for this cohort and the threats that were tried; "
            f"see the run's note and `{SHARED}` there.",
        ]
    )
    return in_words(told, cfg.data.spoken)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [list(columns), ["---"] * len(columns), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _cut(text: str, longest: int = LONGEST) -> str:
    """At whole lines, where MLflow would refuse the rest."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 40].rsplit(chr(10), 1)[0]}\n\n(cut here; see `{SHARED}`)"
