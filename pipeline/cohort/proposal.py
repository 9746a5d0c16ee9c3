"""The whole proposal: parts of the columns, features, outcome, and what only a person can know."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.cohort.columns import column_of
from pipeline.cohort.dictionary import Entry
from pipeline.cohort.outcome import Outcome, outcome_of
from pipeline.cohort.proposed import Column
from pipeline.cohort.relations import derived_line, never_above, sums
from pipeline.cohort.suspects import LEAK, Values, lookalikes, separation
from pipeline.cohort.words import known_afterwards, names_person
from pipeline.cohort.yaml_text import code
from pipeline.config import FeatureConfig, same_cell
from pipeline.config.cohort import NUMBERS
from pipeline.config.sector import WordsConfig
from pipeline.data.cells import Cells
from pipeline.data.values import is_missing, values_of
from pipeline.files import BadInput
from pipeline.presentation.numbers import SMALL, few
from pipeline.validation import nearest

SITE = "redcap_data_access_group"


@dataclass(frozen=True)
class Wishes:
    """What the command line says.

    Attributes:
        name: of the data set, and of its files.
        file: of the records, as the schema will name it.
        target: the column of the outcome.
        positive: cells or labels of it that mean ill; empty = not said.
        group, site, time: columns, None = not said.
        words: of the cohort's sector; None = a clinic's.
    """

    name: str
    file: str
    target: str
    positive: tuple[str, ...] = ()
    group: str | None = None
    site: str | None = None
    time: str | None = None
    words: WordsConfig | None = None


@dataclass(frozen=True)
class Proposal:
    """A schema that nobody has signed yet.

    Attributes:
        wishes: what was asked for; `group` is filled in where a dictionary names the patients.
        records: N.
        outcome: which cells mean ill.
        features: in the order of the file.
        ignored: column -> why it is none.
        names: of the columns, where the file gives none.
        decimal: the decimal sign of the file.
        found: what was found out about the file.
        asked: (topic, column, what was seen) of every question; "" = of the whole file.
        notes: (column, text) from the dictionary: formulas and conditions.
    """

    wishes: Wishes
    records: int
    outcome: Outcome
    features: tuple[Column, ...]
    ignored: dict[str, str]
    names: tuple[str, ...] | None
    decimal: str
    found: tuple[str, ...]
    asked: tuple[tuple[str, str, str], ...]
    labels: dict[str, str] = field(default_factory=dict)


def propose(cells: Cells, wishes: Wishes, dictionary: Mapping[str, Entry]) -> Proposal:
    """Looks at every column of a file.

    Args:
        cells: the file.
        wishes: what the command line says.
        dictionary: what is known of the columns; empty = nothing.

    Raises:
        BadInput: a column that was named is not in the file, no column is left to be a feature, or
            nobody can say which cells of the target mean ill.
    """
    wishes = _with_group(cells, wishes, dictionary)
    parts = {"--group": wishes.group, "--site": wishes.site, "--time": wishes.time}
    for option, name in {"--target": wishes.target, **parts}.items():
        if name is not None and name not in cells.columns:
            raise BadInput(
                f"{wishes.file}: {option}: {name!r} is no column of it; "
                f"{nearest(name, cells.header)}"
            )
        if name == wishes.target and option != "--target":
            raise BadInput(f"{option}: {name!r} is the target already; give it one part")
    outcome = outcome_of(
        cells.columns[wishes.target],
        wishes.target,
        wishes.positive,
        dictionary.get(wishes.target, Entry(wishes.target)),
        wishes.file,
    )
    taken = {wishes.target, *filter(None, parts.values())}
    columns = [
        column_of(name, cells.columns[name], cells.decimal, dictionary.get(name))
        for name in cells.header
        if name not in taken
    ]
    columns = [
        replace(column, kind=None, ignored="it has no name in the file")
        if column.name in cells.unnamed
        else column
        for column in columns
    ]
    features = tuple(column for column in columns if not column.ignored)
    if not features:
        reasons = "; ".join(f"{column.name}: {column.ignored}" for column in columns[:5])
        raise BadInput(f"{wishes.file}: no column is left to be a feature ({reasons})")
    values = np.stack(
        [
            values_of(cells.columns[one.name], one.name, feature_of(one), cells.decimal)[0]
            for one in features
        ],
        1,
    )
    asked = [
        *_of_outcome(cells, wishes, outcome),
        *_of_patients(cells, wishes, dictionary, columns, values, outcome),
        *_of_leaks(features, values, outcome),
        *((topic, column.name, seen) for column in columns for topic, seen in column.asked),
        *(("ignored", column.name, column.ignored) for column in columns if column.ignored),
        *_of_dictionary(features, dictionary, cells),
        *_of_forgers(features, values, cells),
    ]
    return Proposal(
        wishes,
        len(cells.lines),
        outcome,
        features,
        {column.name: column.ignored for column in columns if column.ignored},
        None if "no header: columns are numbered" not in cells.found else cells.header,
        cells.decimal,
        cells.found,
        tuple(asked),
        {name: entry.label for name, entry in dictionary.items() if entry.label},
    )


def feature_of(column: Column) -> FeatureConfig:
    """A proposed column as the schema will hold it."""
    return FeatureConfig.model_validate(fields_of(column))


def fields_of(column: Column) -> dict[str, object]:
    """The fields of a proposed column, in the order in which people read them."""
    fields: dict[str, object] = {"kind": column.kind}
    if column.levels:
        fields["levels"] = dict(column.levels)
    else:
        fields |= {
            "unit": column.unit,
            "lower": column.lower,
            "upper": column.upper,
            "step": column.step,
            "center": column.center,
            "scale": column.scale,
        }
    if column.missing:
        fields["missing"] = list(column.missing)
    fields |= {"mutable": column.mutable, "private": column.private}
    if not column.levels:
        fields |= {"error": None, "error_source": None}
    fields["source"] = {key: column.source[key] for key in fields if key in column.source}
    return fields


def _with_group(cells: Cells, wishes: Wishes, dictionary: Mapping[str, Entry]) -> Wishes:
    """A REDCap project numbers its patients in its first field: their records belong together."""
    first = next((name for name, entry in dictionary.items() if entry.first), None)
    if wishes.group is not None or first not in cells.columns or first == wishes.target:
        return wishes
    numbers = cells.columns[first].tolist()
    if not all(numbers) or len(set(numbers)) == len(numbers):
        return wishes
    return replace(wishes, group=first)


def _of_outcome(cells: Cells, wishes: Wishes, outcome: Outcome) -> list[tuple[str, str, str]]:
    healthy, ill = outcome.classes
    counts = Counter(same_cell(cell) for cell in cells.columns[wishes.target].tolist())
    named = {
        label: ", ".join(
            cell if counts[cell] >= SMALL else "a rare cell"
            for cell, read in outcome.outcomes.items()
            if read == label
        )
        for label in outcome.classes
    }
    seen = f"{named[ill]} is read as {ill!r}, the disease; {named[healthy]} as {healthy!r}"
    return [("outcome", wishes.target, f"{seen}{' (guessed)' if outcome.guessed else ''}")]


def _of_patients(
    cells: Cells,
    wishes: Wishes,
    dictionary: Mapping[str, Entry],
    columns: Sequence[Column],
    values: Values,
    outcome: Outcome,
) -> list[tuple[str, str, str]]:
    """Whose records these are: ids that repeat, and records that look like one patient's."""
    asked = []
    if wishes.group is None:
        for column in columns:
            numbers = cells.columns[column.name]
            counts = Counter(numbers[~is_missing(numbers)].tolist())
            if names_person(column.name) and max(counts.values(), default=0) > 1:
                again = few(sum(count for count in counts.values() if count > 1))
                asked.append(("group", column.name, f"{again} records share their {column.name}"))
    found = lookalikes(values, outcome.ill)
    if found.equal:
        seen = f"{few(found.equal)} records have the values of another one"
        if found.contradictory:
            seen += f", {few(found.contradictory)} of them with both outcomes"
        asked.append(("equal", "", seen))
    if found.suspect and wishes.group is None:
        seen = f"{few(found.near)} records differ from another one in a single value"
        asked.append(("group", "", f"{seen}; unrelated people would not"))
    if wishes.site is None and SITE in cells.columns and SITE in dictionary:
        asked.append(("site", SITE, "where REDCap keeps who may see a record"))
    return asked


def _of_leaks(
    features: Sequence[Column], values: Values, outcome: Outcome
) -> list[tuple[str, str, str]]:
    """Columns that tell the outcome by themselves, or sound as if they were known only after it."""
    asked = []
    for column, numbers in zip(features, values.T, strict=True):
        area = separation(numbers, outcome.ill, categories=column.kind == "categorical")
        if area > LEAK:
            asked.append(("leak", column.name, f"AUROC {area:.3f} all by itself"))
        elif known_afterwards(column.name):
            asked.append(("afterwards", column.name, "by its name"))
    return asked


def _of_dictionary(
    features: Sequence[Column], dictionary: Mapping[str, Entry], cells: Cells
) -> list[tuple[str, str, str]]:
    asked = []
    for column in features:
        entry = dictionary.get(column.name, Entry(column.name))
        if entry.formula:
            line = derived_line(column.name, entry.formula, [one.name for one in features])
            asked.append(("formula", column.name, f"{entry.formula}\n{line}"))
        if entry.condition:
            asked.append(("condition", column.name, entry.condition))
    if dictionary:
        unknown = [column.name for column in features if column.name not in dictionary]
        asked += [("undescribed", name, "not in the dictionary") for name in unknown]
    return asked


def _of_forgers(
    features: Sequence[Column], values: Values, cells: Cells
) -> list[tuple[str, str, str]]:
    """What would bind a forger, or let one do more, if somebody wrote it into the schema."""
    numbers = [place for place, one in enumerate(features) if one.kind in NUMBERS]
    named = [features[place] for place in numbers]
    measured = values[:, numbers]
    asked = [("relation", "", seen) for seen in never_above(named, measured)]
    asked += [("sum", "", seen) for seen in sums(named, measured)]
    for column in features:
        if column.kind != "categorical":
            continue
        counts = Counter(cells.columns[column.name].tolist())
        told = column.source.get("levels") == "dictionary"
        first = [cell for cell in column.levels if told or counts[cell] >= SMALL][:2]
        if len(first) == 2:
            one, other = map(code, first)
            line = f"mutable: true, recodes: {{{one}: [{other}], {other}: [{one}]}}, cost: 1"
            asked.append(("recodes", column.name, f"as in\n{line}"))
    return asked


def suspects(proposal: Proposal) -> dict[str, str]:
    """Features that may be the outcome in other words, and why."""
    return {
        column: seen for topic, column, seen in proposal.asked if topic in ("leak", "afterwards")
    }


def positives(ill: NDArray[np.bool_]) -> str:
    """How many are ill, as others may see it; few healthy people are not told either."""
    count = int(ill.sum())
    healthy = len(ill) - count
    return few(count) if healthy >= 10 or not healthy else f"all but {few(healthy)}"
