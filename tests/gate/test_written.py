"""The same outcomes in four forms; whatever stands in them, each stays what it is."""

import json
from xml.etree import ElementTree

import pytest

from gate.made_up import RIGHT_ANSWERS, gates, written
from pipeline.gate.anchors import Place
from pipeline.gate.gates import judge
from pipeline.gate.written import NO_FIGURE, annotations, as_json, as_junit, as_lines, as_markdown

PLACES = {"failing": Place("conf/gate/a,b: c.yaml", 7), "passing": Place("conf/gate/d.yaml", 3)}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    audit = written(tmp_path_factory.mktemp("audit"))
    figure = {"figure": RIGHT_ANSWERS}
    asked = gates(
        passing={**figure, "at_least": 0.5},
        failing={**figure, "at_least": 0.9, "why": "<b>|\n100% &"},
        warning={**figure, "at_least": 0.8, "unclear": "warn"},
        gone={**figure, "at_least": 0.1, "defense": "unmeasured"},
    )
    return judge(asked, audit)


def test_junit_has_a_case_for_each_gate_and_a_failure_for_each_that_is_not_passed(judged):
    root = ElementTree.fromstring(as_junit(judged, PLACES))
    cases = {one.get("name"): one for one in root.iter("testcase")}
    assert set(cases) == {"passing", "failing", "warning", "gone"}
    failures = {name: one.find("failure") for name, one in cases.items()}
    assert {name for name, one in failures.items() if one is not None} == {"failing", "gone"}
    assert failures["gone"].get("type") == "absent"
    assert failures["failing"].get("message").startswith("conf/gate/a,b: c.yaml:7: ")
    assert cases["failing"].get("classname") == "gate.evasion"
    for place in (root, root[0]):
        assert (place.get("tests"), place.get("failures")) == ("4", "2")


# of junit-10.xsd, of Jenkins' xUnit plugin: what may be in what, and with which attributes
SCHEMA = {
    "testsuites": ({"testsuite"}, {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
        {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp"},
    ),
    "properties": ({"property"}, set()),
    "property": (set(), {"name", "value"}),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name", "time", "classname", "group"},
    ),
    "failure": (set(), {"type", "message"}),
    "system-out": (set(), set()),
}


def test_junit_holds_what_its_schema_allows(judged):
    for one in ElementTree.fromstring(as_junit(judged, PLACES)).iter():
        inside, attributes = SCHEMA[one.tag]
        assert {each.tag for each in one} <= inside
        assert set(one.attrib) <= attributes


def test_json_is_read_back_and_is_the_same_bytes(judged):
    told = json.loads(as_json(judged))
    assert told["state"] == "failed"
    assert [one["passed"] for one in told["gates"]] == [True, False, True, False]
    assert as_json(judged) == as_json(judged)


def test_a_row_of_markdown_is_one_line(judged):
    lines = as_markdown(judged).splitlines()
    rows = [line for line in lines if line.startswith("| ") and "`" in line]
    assert len(rows) == 4
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    assert lines[0] == "## medsecure gate: failed: 2 of 4 gates passed, 1 of them with a warning"


def test_a_line_is_marked_for_each_gate_that_is_not_passed_and_escaped(judged):
    lines = annotations(judged, PLACES)
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::error"]
    assert lines[0].startswith("::error file=conf/gate/a%2Cb%3A c.yaml,line=7,title=")
    assert all("\n" not in line for line in lines)


def test_the_terminal_says_each_and_all(judged):
    lines = as_lines(judged)
    assert lines[-1].startswith("failed: 2 of 4")
    assert NO_FIGURE not in lines
    assert any(line.startswith("absent  gone") for line in lines)


def test_gates_without_a_figure_say_so(tmp_path):
    judged = judge(gates(one={"forbid": "any"}), written(tmp_path))
    assert NO_FIGURE in as_lines(judged)
