"""`medsecure init` and `medsecure check`: what their options do."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.cohort.check import faults_of
from pipeline.cohort.dictionary import read_dictionary
from pipeline.cohort.draft import schema_text
from pipeline.cohort.pages import card_text, questions_text
from pipeline.cohort.proposal import Proposal, Wishes, positives, propose, suspects
from pipeline.cohort.sector import words_like
from pipeline.config import DataConfig, ReadingConfig
from pipeline.config.base import NAME
from pipeline.data.cells import Cells, read_cells
from pipeline.data.checking import checked
from pipeline.files import BadInput, repository_root
from pipeline.presentation.sector_words import in_words
from pipeline.project.founding import all_or_nothing, start
from pipeline.project.package import shipped
from pipeline.project.place import found
from pipeline.validation import checked_model, nearest

GROUP = "conf/data"  # of the schemas of a project


def init(
    file: str,
    target: str,
    *,
    positive: Sequence[str] = (),
    group: str | None = None,
    site: str | None = None,
    time: str | None = None,
    dictionary: str | None = None,
    name: str | None = None,
    words: str | None = None,
    folder: Path | None = None,
) -> int:
    """Proposes a schema, a data card and a page of questions for a file of records.

    Args:
        file: the records, as they are reached from here.
        target: the column of the outcome.
        positive: cells or labels of it that mean ill; empty = found out where the words say so.
        group: the column that tells whose record it is.
        site: the column that tells where it was made.
        time: the column that tells when.
        dictionary: a dictionary of REDCap or a code book, as it is reached from here.
        name: of the data set; None = that of the file.
        words: the data set of another sector whose words are taken over; None = a clinic's.
        folder: of the project; None = the project or checkout that this folder belongs to, and
            where there is none, this folder becomes a project.

    Returns:
        the exit status: 0 once all files are written.

    Raises:
        BadInput: something cannot be read or proposed, or one of the files exists; nothing is
            written then.
    """
    known = folder or found()
    root = known or Path.cwd()
    name = _named(name, file)
    schema, *pages = places = [
        root / GROUP / f"{name}.yaml",
        root / "docs" / "data" / f"{name}.md",
        root / "docs" / "data" / f"{name}-questions.md",
    ]
    sector = words and words_like(words, [root / GROUP, shipped(GROUP)])
    for place in places:
        if place.exists():
            raise BadInput(f"{_shown(place)}: exists; take another --name, or remove it")
    path = Path(file)
    cells = read_cells(path, file, ReadingConfig(), number_columns=True)
    entries = {} if dictionary is None else read_dictionary(Path(dictionary), dictionary)
    stored = _stored(path, root)
    wishes = Wishes(name, stored, target, tuple(positive), group, site, time, sector or None)
    proposal = propose(cells, wishes, entries)
    texts = {schema: schema_text(proposal)}
    data = _schema(texts[schema], f"{name}.yaml")
    for page, written in zip(pages, (card_text, questions_text), strict=True):
        texts[page] = in_words(written(proposal), data.spoken)
    seen = checked([cells], data)
    if known is None:
        _start(root, name, texts)
    else:
        with all_or_nothing() as new:
            for place, text in texts.items():
                new(place, text)
    print(in_words("\n".join(_summary(proposal, cells, file)), data.spoken))
    if seen.faults:
        print("the file itself is to be mended before it can be audited:")
        print(seen.told(file))
    if may_enter_git(path):
        print(f"{file}: git may take it; move it to data/local/, or name it in .gitignore")
    print("wrote " + ", ".join(_shown(place) for place in places))
    if known is None:
        print("this folder is a project now: what is in it, docs/command.md of medsecure says")
    count = len(data.unreviewed)
    print(f"{count} of {len(data.features)} lines wait for your signature: {_shown(places[2])}")
    print(f"next: answer the questions, sign the lines, then medsecure run data={name}")
    print(f"to look around before: medsecure run data={name} --accept-guesses")
    return 0


def check(file: str, *, data: str | None = None, folder: Path | None = None) -> int:
    """Holds a later file against a schema.

    Args:
        file: the records, as they are reached from here.
        data: the name of the schema in `conf/data/`; None = that of `params.yaml`.
        folder: of the project; None = the repository that this folder belongs to.

    Returns:
        the exit status: 0 where the file fits, 2 where it does not; every fault is printed.

    Raises:
        BadInput: the schema or the file cannot be read.
    """
    schema = schema_of(data, folder or repository_root())
    faults = faults_of(Path(file), file, schema)
    print("\n".join(faults) if faults else f"{file}: fits {schema.name}, every cell of it")
    return 2 if faults else 0


def schema_of(data: str | None, root: Path) -> DataConfig:
    """The schema of this name, or that of `params.yaml`.

    Raises:
        BadInput: there is none, or it does not fit its type.
    """
    if data is None:
        return _composed(root / "params.yaml")
    places = [root / GROUP, shipped("conf") / "data"]
    for place in places:
        if (place / f"{data}.yaml").is_file():
            path = place / f"{data}.yaml"
            return _schema(path.read_text(encoding="utf-8"), _shown(path))
    known = {path.stem for place in places for path in place.glob("*.yaml")}
    raise BadInput(f"data={data}: no such schema in {GROUP}/; {nearest(data, known)}")


def _composed(path: Path) -> DataConfig:
    """The schema in `params.yaml`, also one that nobody has signed yet."""
    from yaml import YAMLError, safe_load

    try:
        values = safe_load(path.read_text(encoding="utf-8"))["data"]
    except (OSError, UnicodeDecodeError, YAMLError, KeyError, TypeError):
        raise BadInput(f"{_shown(path)}: names no schema; say which with --data") from None
    return checked_model(DataConfig, values, f"{_shown(path)}: data")


def _schema(text: str, origin: str) -> DataConfig:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        values: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
    except (OmegaConfBaseException, YAMLError) as error:
        raise BadInput(f"{origin}: not valid YAML: {' '.join(str(error).split())}") from error
    return checked_model(DataConfig, values, origin)


def _named(name: str | None, file: str) -> str:
    """The name of the data set: letters, digits, `_`, `.` or `-`."""
    if name is None:
        stem = re.sub(r"(\.(csv|tsv|txt|dat|data|parquet|xlsx|gz))+$", "", Path(file).name.lower())
        name = re.sub(r"[^a-z0-9_.-]+", "_", stem).strip("_.-") or "cohort"
    if not NAME.fullmatch(name):
        raise BadInput(f"--name: {name!r}: must be letters, digits, `_`, `.` or `-`")
    return name


def _stored(path: Path, root: Path) -> str:
    """The file as the schema names it: from the project's root where it lies below, else whole."""
    absolute = path.resolve()
    inside = absolute.is_relative_to(root.resolve())
    return (absolute.relative_to(root.resolve()) if inside else absolute).as_posix()


def _shown(place: Path) -> str:
    return os.path.relpath(place)


def _start(root: Path, name: str, texts: dict[Path, str]) -> None:
    """Makes the folder a project with these files."""
    beside = {place.relative_to(root).as_posix(): text for place, text in texts.items()}
    start(root, beside.pop(f"{GROUP}/{name}.yaml"), name, beside)


def may_enter_git(path: Path) -> bool:
    """Whether the file lies in a working tree of git that does not ignore it."""
    try:
        asked = subprocess.run(
            ["git", "check-ignore", "--quiet", path.name],
            cwd=path.resolve().parent,
            capture_output=True,
            check=False,
        )
    except OSError:  # no git
        return False
    return asked.returncode == 1  # 0 = ignored, 128 = no working tree


def _summary(proposal: Proposal, cells: Cells, file: str) -> list[str]:
    """What was seen, in a few lines; counts below 10 are not told."""
    wishes, outcome = proposal.wishes, proposal.outcome
    kinds = Counter(str(column.kind) for column in proposal.features)
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    found = f" ({'; '.join(proposal.found)})" if proposal.found else ""
    lines = [
        f"{file}: {proposal.records} records, {len(cells.header)} columns{found}",
        f"outcome {wishes.target}: {positives(outcome.ill)} {outcome.classes[1]}",
        f"features: {len(proposal.features)} ({named})",
    ]
    if proposal.ignored:
        left = ", ".join(f"{name} ({why})" for name, why in [*proposal.ignored.items()][:8])
        more = len(proposal.ignored) - 8
        lines.append(f"left out: {left}{f' and {more} more' if more > 0 else ''}")
    if wishes.group is not None:
        lines.append(f"all records of one {wishes.group} stay on one side of every split")
    for column, seen in suspects(proposal).items():
        lines.append(f"suspected leak: {column} ({seen}): is it known when the model is asked?")
    for topic, column, seen in proposal.asked:
        if topic == "group":
            lines.append(f"several records a patient? {seen}{column and ': try --group ' + column}")
    return lines
