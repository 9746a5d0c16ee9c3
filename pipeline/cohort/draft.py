"""A proposal as the schema that somebody is to sign. It has to name every level and code."""

import re
from collections.abc import Iterable

from pipeline.cohort.proposal import Proposal, fields_of, suspects
from pipeline.cohort.proposed import Column
from pipeline.cohort.sector import lines_of
from pipeline.cohort.yaml_text import code, key, literal, number, scalar
from pipeline.config.cohort import GUESSED, JUDGED
from pipeline.presentation.sector_words import in_words

# The lines of a feature in the schema.
VALUES = ("kind", "levels", "unit", "lower", "upper", "step", "center", "scale")

JUDGEMENTS = ("missing", "mutable", "private", "error", "error_source")


def schema_text(proposal: Proposal) -> str:
    """`conf/data/<name>.yaml`."""
    wishes, outcome = proposal.wishes, proposal.outcome
    pages = f"docs/data/{wishes.name}"
    lines = [
        f"# Proposed by `medsecure init`; its questions stand in {pages}-questions.md.",
        "# source: where each field comes from: a dictionary, the data, a guess. What data or",
        f"#   guess say of {', '.join(JUDGED)}, and a guess of {', '.join(GUESSED)},",
        "#   stops an audit: look at the line, correct it, and sign it with `source: you`",
        "#   (or with who says so, and where).",
        "# lower, upper: what one would believe         step: how it is written down",
        "# scale: what eps = 1 lets a forger change     mutable: whether one can change it at all",
        "# missing: cells that mean 'not measured'      private: what somebody would rather keep",
        f"name: {scalar(wishes.name)}",
        f"title: {scalar(title(wishes.name))}",
        "source: file",
        f"file: {scalar(wishes.file)}",
    ]
    reading = {}
    if proposal.names is not None:
        reading["names"] = f"[{', '.join(scalar(name) for name in proposal.names)}]"
    if proposal.decimal != ".":
        reading["decimal"] = scalar(proposal.decimal)
    if reading:
        lines += ["reading:", *(f"  {name}: {value}" for name, value in reading.items())]
    healthy_ill = in_words("# healthy, ill", wishes.words.spoken if wishes.words else None)
    lines += [
        *lines_of(wishes.words),
        f"target: {scalar(wishes.target)}",
        f"classes: [{', '.join(scalar(name) for name in outcome.classes)}]  {healthy_ill}",
        f"outcomes: {_mapping((code(cell), scalar(c)) for cell, c in outcome.outcomes.items())}",
    ]
    if proposal.ignored:
        lines.append("ignore:")
        lines += [f"  - {scalar(name)}  # {why}" for name, why in proposal.ignored.items()]
    for part in ("group", "site", "time"):
        column = getattr(wishes, part)
        lines.append(f"{part}: {'null' if column is None else scalar(column)}")
    lines += [
        "patients: hidden  # no table of single records on the page or in MLflow",
        "accept_guesses: false",
        "auroc_ceiling: null",
        "bands: {}  # groups, such as {age: [45, 65]}: below 45, below 65, from 65 on",
        "features:",
    ]
    warned = suspects(proposal)
    for column in proposal.features:
        lines += _feature(column, warned.get(column.name, ""))
    return "\n".join(lines) + "\n"


def _feature(column: Column, warning: str) -> list[str]:
    said = [f"  # {one_line(column.label)}"] if column.label else []
    if warning:
        said.append(f"  # SUSPECTED LEAK: {warning}; is it known when the model is asked?")
    fields = fields_of(column)
    source = fields.pop("source")
    assert isinstance(source, dict)
    parts = {name: _value(value) for name, value in fields.items()}
    rows = [
        ", ".join(f"{name}: {parts[name]}" for name in names if name in parts)
        for names in (VALUES, JUDGEMENTS)
    ]
    origin = ", ".join(f"{name}: {value}" for name, value in source.items())
    return [
        *said,
        f"  {key(column.name)}: {{",
        *(f"    {row}," for row in rows),
        f"    source: {{{origin}}}}}",
    ]


def _value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return f"[{', '.join(code(literal(str(one))) for one in value)}]"
    if isinstance(value, dict):
        return _mapping((code(cell), scalar(label)) for cell, label in value.items())
    return scalar(str(value))


def _mapping(pairs: Iterable[tuple[str, str]]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in pairs)}}}"


def one_line(text: str) -> str:
    """A text for a comment or a page: without line ends, and not longer than a line."""
    return "".join(sign if sign.isprintable() else " " for sign in text)[:120]


def title(name: str) -> str:
    """The name of a data set as people write it."""
    words = re.sub(r"[_.-]+", " ", name).strip() or name
    return words[0].upper() + words[1:]
