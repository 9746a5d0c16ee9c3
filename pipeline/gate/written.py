"""What came of the gates, for people and for whatever runs them: text, Markdown, JSON, JUnit."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pipeline.gate.anchors import Place
from pipeline.gate.gates import Judged, Outcome

FORMAT = 1
NO_FIGURE = "No gate holds a figure: conf/gate/ is where limits are set."


def as_data(judged: Judged) -> dict[str, Any]:
    """All of it as JSON holds it: the same gates and audit are the same bytes."""
    return {
        "format": FORMAT,
        "state": judged.state,
        "audit_sha256": judged.audit_sha256,
        "gate_sha256": judged.gate_sha256,
        "comparisons": judged.tests,
        "accepted_flags": dict(judged.accepted),
        "gates": [{**asdict(one), "passed": one.passed} for one in judged.outcomes],
    }


def refused(faults: str) -> dict[str, Any]:
    """What stands where gates could not be judged: a line for each fault."""
    return {"format": FORMAT, "state": "refused", "faults": faults.splitlines()}


def as_json(judged: Judged) -> str:
    """The file of `--json`."""
    return json.dumps(as_data(judged), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def as_lines(judged: Judged) -> list[str]:
    """The text of a terminal."""
    lines = []
    for one in judged.outcomes:
        lines.append(f"{_mark(one):8}{one.gate}: {one.asked}")
        lines.append(f"{'':8}{_of(one)}{one.said}")
        if one.why and not one.passed:
            lines.append(f"{'':8}{one.why}")
    lines += [f"accepted {flag}: {reason}" for flag, reason in judged.accepted.items()]
    if judged.tests > 1:
        lines.append(f"{judged.tests} comparisons, corrected together (Holm).")
    if all(
        one.interval is None and one.group in ("flags", "threat_model") for one in judged.outcomes
    ):
        lines.append(NO_FIGURE)
    return [*lines, headline(judged)]


def headline(judged: Judged) -> str:
    """All gates in a line."""
    passed = sum(one.passed for one in judged.outcomes)
    warned = sum(one.passed and one.answer == "unclear" for one in judged.outcomes)
    also = f", {warned} of them with a warning" if warned else ""
    return f"{judged.state}: {passed} of {len(judged.outcomes)} gates passed{also}"


def as_markdown(judged: Judged) -> str:
    """A table for a pull request or a summary."""
    rows = [
        f"| {_mark(one)} | `{one.gate}` | {_cell(one.asked)} | {_cell(_of(one) + one.said)} |"
        for one in judged.outcomes
    ]
    notes = [f"- accepted {_cell(flag)}: {_cell(why)}" for flag, why in judged.accepted.items()]
    if judged.tests > 1:
        notes.append(f"- {judged.tests} comparisons, corrected together (Holm)")
    digests = f"Audit `{judged.audit_sha256[:12]}`, gates `{judged.gate_sha256[:12]}`."
    head = ["| | gate | asks | found |", "| --- | --- | --- | --- |"]
    parts = [f"## medsecure gate: {headline(judged)}", "\n".join([*head, *rows])]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else []), digests]) + "\n"


def as_junit(judged: Judged, places: Mapping[str, Place]) -> str:
    """A test case for each gate; one that is not passed is a failure, a warning is said.

    Valid by the schema of Jenkins' xUnit plugin (junit-10.xsd), whose cases have no file and line:
    the place of a limit stands in the text.
    """
    failed = sum(not one.passed for one in judged.outcomes)
    count = {"tests": str(len(judged.outcomes)), "failures": str(failed), "errors": "0"}
    suites = ElementTree.Element("testsuites", count)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "medsecure gate", **count})
    known = ElementTree.SubElement(suite, "properties")
    for name in ("audit_sha256", "gate_sha256"):
        value = str(getattr(judged, name))
        ElementTree.SubElement(known, "property", {"name": name, "value": value})
    for one in judged.outcomes:
        about = {"name": one.gate, "classname": f"gate.{one.group}"}
        case = ElementTree.SubElement(suite, "testcase", about)
        place = places.get(one.gate)
        where = f"{place.file}:{place.line}: " if place else ""
        said = _plain(f"{where}{one.asked}: {_of(one)}{one.said}")
        if not one.passed:
            failure = {"type": one.answer, "message": said}
            ElementTree.SubElement(case, "failure", failure).text = _plain(one.why) or said
        else:
            ElementTree.SubElement(case, "system-out").text = said
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, "unicode")}\n'


def annotations(judged: Judged, places: Mapping[str, Place]) -> list[str]:
    """GitHub's commands that mark the line of each gate that is not passed, or only just."""
    lines = []
    for one in judged.outcomes:
        if one.answer == "pass":
            continue
        kind, about = "warning" if one.passed else "error", {}
        if place := places.get(one.gate):
            about = {"file": place.file, "line": str(place.line)}
        about["title"] = f"medsecure gate {one.gate}: {one.answer}"
        told = ",".join(f"{key}={_property(value)}" for key, value in about.items())
        lines.append(f"::{kind} {told}::{_message(f'{one.asked}: {_of(one)}{one.said}')}")
    return lines


def add_to(path: Path, text: str) -> None:
    """Adds to a file that others write to, too, such as GitHub's summary of a step."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def _mark(one: Outcome) -> str:
    return "warning" if one.passed and one.answer == "unclear" else one.answer


def _of(one: Outcome) -> str:
    return f"{one.defense}: " if one.defense else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _plain(text: str) -> str:
    """What XML can hold."""
    return "".join(letter for letter in text if letter >= " " or letter in "\t\n")


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
