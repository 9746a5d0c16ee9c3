"""`medsecure gate`: judges the gates of `conf/gate/` and says so to whoever asked.

Exit status: 0 every gate is passed, 1 one is not, 2 a mistake; no gate at all is one.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from pipeline.config.gates import GateConfig, gates_of
from pipeline.files import BadInput, git, in_repository, repository_root, write_text
from pipeline.gate.anchors import Place, places_of
from pipeline.gate.audits import Audit
from pipeline.gate.gates import Judged, judge
from pipeline.gate.keyed import Keyed
from pipeline.gate.written import add_to, annotations, as_json, as_junit, as_lines, as_markdown
from pipeline.project.composition import compose, searched

AUDIT = "artifacts/evaluate"
GROUP = "gate"


def gate(
    overrides: list[str],
    audit: str | None = None,
    champion: str | None = None,
    defense: str | None = None,
    sha256: str | None = None,
    junit: str | None = None,
    json: str | None = None,
    markdown: str | None = None,
    mlflow: bool = False,
    dry_run: bool = False,
) -> int:
    """The command; the files are written whatever the answer is.

    Args:
        overrides: of the section, in Hydra's syntax.
        audit: an `audit.json` or its folder; None = that of the last run.
        champion: the audit of what is in use; None = as configured.
        defense: whose figures are judged; None = as configured.
        sha256: the digest of the model that is to go on.
        junit: a file to write.
        json: likewise.
        markdown: likewise.
        mlflow: whether to mark the registered release; the alias moves only on a pass.
        dry_run: says what would be marked, and marks nothing.

    Raises:
        BadInput: a mistake, in a line for each.
    """
    values = configured(overrides)
    asked = gates_of(values, "conf")
    if defense is not None:
        asked = asked.model_copy(update={"defense": defense})
    places = places_of(values, searched(), _top())
    judged, read = judged_of(asked, audit, champion, sha256, places)
    for path, text in (
        (junit, as_junit(judged, places)),
        (json, as_json(judged)),
        (markdown, as_markdown(judged)),
    ):
        if path is not None:
            _write(Path(path), text)
    print("\n".join(as_lines(judged)))
    if mlflow or dry_run:
        print("\n".join(_mark(judged, read, asked, dry_run)))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print("\n".join(annotations(judged, places)))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        add_to(Path(summary), as_markdown(judged))
    return 0 if judged.state == "passed" else 1


def configured(overrides: list[str]) -> Mapping[str, object]:
    """The section as it is composed, unchecked.

    Raises:
        BadInput: an override is of another section, which would change nothing here.
    """
    refuse_others(overrides, GROUP)
    values = yaml.safe_load(compose(overrides)).get(GROUP) or {}
    if not isinstance(values, Mapping):
        raise BadInput(f"conf: {GROUP}: must be a mapping")
    return values


def refuse_others(overrides: list[str], *groups: str) -> None:
    """Refuses overrides of other sections than these.

    Raises:
        BadInput: there is one.
    """
    known = [f"{group}{sign}" for group in groups for sign in "=."]
    for one in overrides:
        if not one.lstrip("+~").startswith(tuple(known)):
            said = ", ".join(f"{group}=... and {group}.<key>=..." for group in groups)
            raise BadInput(f"command line: {one!r}: only {said} count")


def judged_of(
    asked: GateConfig,
    audit: str | None,
    champion: str | None,
    sha256: str | None,
    places: Mapping[str, Place],
) -> tuple[Judged, Audit]:
    """The gates of an audit, judged, and the audit.

    Raises:
        BadInput: as for `gate`.
    """
    read = Audit.read(in_repository(AUDIT) if audit is None else Path(audit))
    named = champion or (asked.champion and str(repository_root() / asked.champion))
    rival = Audit.read(Path(named)) if named else None

    def anchor(name: str) -> str:
        return (
            f"{places[name].file}:{places[name].line}: {name}" if name in places else f"gate.{name}"
        )

    keyed = (Keyed.beside(rival), Keyed.beside(read)) if rival else (None, None)
    return judge(asked, read, rival, sha256, anchor, keyed), read


def _mark(judged: Judged, audit: Audit, asked: GateConfig, dry_run: bool) -> list[str]:
    """Marks the registered release of the defense that is judged."""
    from pipeline.tracking.gated import STATE, mark_version

    tags = {
        STATE: judged.state,
        "medsecure.gate_digest": judged.gate_sha256,
        "medsecure.audit": judged.audit_sha256,
    }
    defense = asked.defense
    weights = audit.model_sha256(defense)
    return mark_version(audit.cohort, defense, weights, tags, asked.alias, dry_run)


def _top() -> Path:
    """The root of what a CI checks out: git's, or else the project's."""
    return Path(git("rev-parse", "--show-toplevel") or repository_root())


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise BadInput(f"{path}: cannot write ({error.strerror or error})") from error
