"""The verbs that judge an audit, in the order of their help."""

import argparse

from pipeline.api.verb import Parser, Verb


def _gate(given: argparse.Namespace) -> int:
    from pipeline.gate.command import gate

    return gate(**vars(given))


def _gate_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("overrides", nargs="*", metavar="gate.key=value", help="in Hydra's syntax, for this call")
    add("--audit", metavar="FILE", help="an audit.json; that of the last run, if not given")
    add("--champion", metavar="FILE", help="the audit.json of what is in use")
    add("--defense", metavar="NAME", help="whose figures are judged; gate.defense, if not given")
    add("--sha256", metavar="DIGEST", help="of the model that is to go on: another one is refused")
    add("--junit", metavar="FILE", help="write a test case for each gate")
    add("--json", metavar="FILE", help="write what was found")
    add("--markdown", metavar="FILE", help="write it as a table")
    add("--mlflow", action="store_true", help="tag the release; its alias moves only on a pass")
    add("--dry-run", action="store_true", help="say what --mlflow would do, and do nothing")


def _status(given: argparse.Namespace) -> int:
    from pipeline.gate.status import say_status

    return say_status(**vars(given))


def _status_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("overrides", nargs="*", metavar="key=value", help="as of the run that was audited")
    add("--audit", metavar="FILE", help="an audit.json; that of the last run, if not given")
    add("--sha256", metavar="DIGEST", help="of the model in use; what lies here, if not given")
    add("--defense", metavar="NAME", help="which one that is; gate.defense, if not given")


def _compare(given: argparse.Namespace) -> int:
    from pipeline.gate.compare import say_changes

    return say_changes(**vars(given))


def _compare_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("first", metavar="A", help="an audit.json or its folder")
    add("second", metavar="B", help="a later one, or of another model")
    add("overrides", nargs="*", metavar="gate.key=value", help="in Hydra's syntax, for this call")
    add("--defense", metavar="NAME", help="whose figures; gate.defense, if not given")
    add("--before", metavar="NAME", help="whose in A, if it is another one")
    add("--json", metavar="FILE", help="write what has changed")


def _keep(given: argparse.Namespace) -> int:
    from pipeline.gate.compare import keep_last

    return keep_last(**vars(given))


def _keep_arguments(parser: Parser) -> None:
    parser.add_argument("folder", help="a new one; it is treated as the cohort is")


JUDGING = {
    "gate": Verb(
        _gate,
        "Holds the figures of an audit against the limits in conf/gate/.",
        "medsecure gate --junit gates.xml gate.unclear=warn",
        _gate_arguments,
        "A figure is held by the unfavourable end of its interval: pass, fail or unclear.\n"
        "One that is absent or flagged is not passed. Exit status: 0 all passed, 1 not,\n"
        "2 a mistake; without any gate it is 2.",
        mixed=True,
    ),
    "compare": Verb(
        _compare,
        "Says what has changed from one audit to another, without raw data.",
        "medsecure compare in_use/audit.json artifacts/evaluate",
        _compare_arguments,
        "Paired where both folders have verdicts on the same patients (`medsecure keep`).\n"
        "Exit status: 0 nothing is told to be worse, 1 something is, 2 a mistake.",
        mixed=True,
    ),
    "keep": Verb(
        _keep,
        "Keeps the last audit with verdicts on patients under salted keys, for the team alone.",
        "medsecure keep kept/2026-11",
        _keep_arguments,
        "The salt lies in .medsecure_secret/, made once, outside git, or in MEDSECURE_SALT.",
    ),
    "status": Verb(
        _status,
        "Says whether an audit is stale: expired, another model or schema, newer attacks.",
        "medsecure status --audit in_use/audit.json",
        _status_arguments,
        "Exit status: 0 it is current, 1 stale, 2 a mistake. gate.valid_until is its last day.",
        mixed=True,
    ),
}
