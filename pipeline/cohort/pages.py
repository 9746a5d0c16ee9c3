"""A proposal for people: a data card, and the questions behind the schema.

No record of the cohort lands in either: counts below 10 are not told, and a level is named only
where enough records have it or a dictionary does.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline.cohort.draft import one_line, title
from pipeline.cohort.proposal import Proposal, positives
from pipeline.cohort.proposed import Column
from pipeline.cohort.yaml_text import number
from pipeline.config.cohort import GUESSED, JUDGED, PROPOSED
from pipeline.presentation.numbers import few


@dataclass(frozen=True)
class Topic:
    """A kind of question.

    Attributes:
        question: what is asked.
        changes: what the answer changes, and where it is written.
    """

    question: str
    changes: str


# In the order in which they are asked.
TOPICS = {
    "outcome": Topic(
        "Is this the disease, and the right way round?",
        "Every figure: turned round, missed diagnoses and false alarms swap. `outcomes`, or "
        "`--positive`.",
    ),
    "group": Topic(
        "Has a patient several records?",
        "Records of one patient in training and in test at once make every figure too good. Start "
        "again with `--group COLUMN`; without such a column, say so in the card.",
    ),
    "equal": Topic(
        "Are equal records different people?",
        "They are kept, and stay on one side of every split. Were one patient recorded twice, take "
        "the second record out.",
    ),
    "site": Topic(
        "Does this column say where a record was made?",
        "Whether the model works where it was not trained. Start again with `--site COLUMN`.",
    ),
    "leak": Topic(
        "Is this the outcome in other words?",
        "A model that knows the answer beforehand looks perfect and robust. If it is not known "
        "when the model is asked, put the column under `ignore`; if it is, sign its line.",
    ),
    "afterwards": Topic(
        "Is this known when the model is asked?",
        "What is only known afterwards makes every figure too good. Put the column under `ignore`, "
        "or sign its line.",
    ),
    "codes for missing": Topic(
        "Does this number stand for 'not measured'?",
        "As a value it would lie far off all others. `missing`.",
    ),
    "zeros": Topic(
        "Does 0 stand for 'not measured'?", "As a value nobody with it could be alive. `missing`."
    ),
    "words for missing": Topic(
        "Does this stand for 'not measured'?", "Whether it is a level of its own. `missing`."
    ),
    "censored": Topic(
        "What is a value beyond the limits of the assay?",
        "It is proposed as 'not measured', which loses that it was low or high. Better: write the "
        "limit itself into the file.",
    ),
    "strays": Topic(
        "What are these texts in a column of numbers?",
        "They are proposed as 'not measured'. If they are values, correct the file.",
    ),
    "far": Topic(
        "Is this a typing error?",
        "The range was widened to hold it. Correct the file, or set the range back: then "
        "`medsecure check` names the line.",
    ),
    "codes": Topic(
        "Are these codes of a category, steps of a scale, or a count?",
        "A forger moves along a scale, but swaps categories. `kind: categorical`, `ordinal`, or "
        "`integer` with a range.",
    ),
    "levels": Topic(
        "What are these levels?",
        "They are added to those of the dictionary. `levels`, or `missing`.",
    ),
    "outside": Topic(
        "Are these values typing errors?",
        "The range was widened to hold them. Set it back, and `medsecure check` names each line.",
    ),
    "contradiction": Topic(
        "Who is right, the dictionary or the file?", "The file was followed. `kind`, `step`."
    ),
    "step": Topic(
        "How is this recorded?",
        "Without a step a forger may write any decimals, and the proofs speak of all of them. "
        "`step`.",
    ),
    "unit": Topic("In which unit?", "Only what people read. `unit`."),
    "ignored": Topic(
        "Is it right that this is no feature?", "What the model knows. `ignore`, or a feature."
    ),
    "formula": Topic(
        "Is this still computed like this?",
        "A forger who changes its parts changes it, too; without a line in `derived` it is treated "
        "as a value of its own.",
    ),
    "condition": Topic(
        "Is this missing where it was not asked?",
        "Then its absence says something, and nobody can forge it alone.",
    ),
    "relation": Topic(
        "Must this hold in every record?",
        "A forger who breaks it is found out, so attacks keep it. Nothing is kept unless the line "
        "is written into the schema.",
    ),
    "sum": Topic(
        "Is this computed from the others?",
        "A forger who changes a part changes the sum, too. It is treated as a value of its own "
        "unless the line is written into the schema.",
    ),
    "recodes": Topic(
        "Could a forger swap levels of this category?",
        "Nothing may be swapped unless its line says so: `mutable: true`, which level may become "
        "which, and what one swap costs in eps.",
    ),
    "undescribed": Topic("Why does the dictionary not know this column?", "Whether it belongs."),
}


def card_text(proposal: Proposal) -> str:
    """`docs/data/<name>.md`: what is known of the cohort, and what somebody has to write."""
    wishes, outcome = proposal.wishes, proposal.outcome
    rows = [
        ("Records", f"{few(proposal.records)}" + ("" if wishes.group is None else ", by patient")),
        ("Who", "**?** whose records, from when, where; who was left out"),
        ("Outcome", f"`{wishes.target}`: {outcome.classes[1]} ({positives(outcome.ill)}), or not"),
        ("Features", str(len(proposal.features))),
        ("Owner", "**?**"),
        ("Why collected", "**?**"),
        ("May be used for", "**?** consent, ethics vote, data protection officer"),
    ]
    lines = [
        f"# Data card: {title(wishes.name)}",
        "",
        f"Used with `data={wishes.name}`.",
        f"Schema: `conf/data/{wishes.name}.yaml`.",
        "A draft by `medsecure init`; every **?** is for somebody who knows the cohort.",
        "Counts below 10 are not told.",
        "",
        *_table(("", ""), rows),
        "",
        "## What the columns hold",
        "",
        *_table(
            ("column", "what it is", "kind", "unit", "range", "step", "mutable", "missing"),
            [_of_card(column, proposal) for column in proposal.features],
        ),
        "",
    ]
    if proposal.ignored:
        lines += [
            "Left out:",
            "",
            *(f"- {_inline(name)}: {why}" for name, why in proposal.ignored.items()),
            "",
        ]
    lines += [
        "## Limits",
        "",
        "**?** whom these records do not stand for; what was measured how; what has changed since.",
        "",
        "## Not for",
        "",
        "**?**",
    ]
    return "\n".join(lines) + "\n"


def _of_card(column: Column, proposal: Proposal) -> tuple[str, ...]:
    missing = proposal.records - column.measured
    return (
        _inline(column.name),
        _cell(column.label) or "**?**",
        column.kind or "",
        "" if column.levels else _cell(column.unit) or "**?**",
        f"{len(column.levels)} levels"
        if column.levels
        else f"{number(column.lower)} to {number(column.upper)}",
        "" if column.levels or column.step is None else number(column.step),
        "yes" if column.mutable else "no",
        few(missing),
    )


def questions_text(proposal: Proposal) -> str:
    """`docs/data/<name>-questions.md`: numbered, each with what its answer changes."""
    wishes = proposal.wishes
    lines = [
        f"# Questions about {title(wishes.name)}",
        "",
        f"What `medsecure init` could not know when it proposed `conf/data/{wishes.name}.yaml`.",
        "Counts below 10 are not told.",
        "",
    ]
    order = list(TOPICS)
    asked = sorted(proposal.asked, key=lambda one: order.index(one[0]))
    numbered = 0
    for topic, found in groupby(asked, key=lambda one: one[0]):
        numbered += 1
        lines += _question(numbered, TOPICS[topic], [(name, seen) for _, name, seen in found])
    lines += _judgements(numbered + 1, proposal)
    return "\n".join(lines) + "\n"


def _question(numbered: int, topic: Topic, seen: list[tuple[str, str]]) -> list[str]:
    said = [
        "- " + ": ".join(filter(None, (_inline(name) if name else "", _cell(text), _line(line))))
        for name, text, line in ((name, *text.partition("\n")[::2]) for name, text in seen)
    ]
    return [f"## {numbered}. {topic.question}", "", *said, "", f"*Changes:* {topic.changes}", ""]


def _judgements(numbered: int, proposal: Proposal) -> list[str]:
    """What stops an audit until it is signed, in one table."""
    rows = []
    for column in proposal.features:
        judged = {key: column.source.get(key, "") for key in JUDGED}
        guessed = column.source.get("missing") == "guess"
        if not guessed and not any(origin in PROPOSED for origin in judged.values()):
            continue
        values = [
            "" if column.levels else number(column.lower),
            "" if column.levels else number(column.upper),
            "" if column.levels or column.step is None else number(column.step),
            "yes" if column.mutable else "no",
            "" if column.levels else number(column.scale),
        ]
        told = [
            f"{value} ({judged[key]})" if judged[key] in PROPOSED else value
            for key, value in zip(JUDGED, values, strict=True)
        ]
        cells = f"{len(column.missing)} cells" if column.missing else ""  # and not which
        told.append(f"{cells} (guess)" if guessed else cells)
        rows.append((_inline(column.name), _cell(column.unit), *told))
    if not rows:
        return []
    return [
        f"## {numbered}. What may a forger change, and how far?",
        "",
        *_table(("column", "unit", *JUDGED, *GUESSED), rows),
        "",
        "*Changes:* The threat model, and with it every figure of evasion.",
        "What is marked stops the audit until its line is signed: `source: you`, or who says so.",
        "`accept_guesses: true` lets it run, and every page says that nobody has reviewed the "
        "threat model.",
    ]


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        f"|{' --- |' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _inline(name: str) -> str:
    """A name as code, whatever signs it has."""
    name = one_line(name).replace("|", "\\|")
    return f"`` {name} ``" if "`" in name else f"`{name}`"


def _line(text: str) -> str:
    """A line of the schema, where it can be shown whole."""
    return _inline(text) if text and one_line(text) == text else ""


def _cell(text: str) -> str:
    """A text of the dictionary or the file that cannot become mark-up."""
    return re.sub(r"([\\`*_<>\[\]|#])", r"\\\1", one_line(text))
