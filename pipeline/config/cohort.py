"""A data set, its columns, and what a clinic and a forger make of each."""

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, PlainValidator, model_validator

from pipeline.config.base import Positive, Section, Share
from pipeline.config.formulas import Formula, Relation
from pipeline.config.sector import PackagedConfig, WordsConfig
from pipeline.validation import nearest

Kind = Literal["integer", "real", "binary", "ordinal", "categorical"]
NUMBERS = ("integer", "real")
Origin = Literal["dictionary", "data", "guess", "you"]
# What only a person can know of a feature: proposed by a program, it stops an audit.
JUDGED = ("lower", "upper", "step", "mutable", "scale")
PROPOSED = ("data", "guess")
# Likewise, but only where it was guessed: what the data show of it, a "?" or a blank, is plain.
GUESSED = ("missing",)


def _check_code(cell: Any) -> Any:
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise ValueError("must be a number or a text; put quotes around yes, no, on, off")
    return cell


Code = Annotated[str | int | float, PlainValidator(_check_code)]  # a cell, as YAML reads it

# a number without a zero in front, of no more digits than a float tells apart
PLAIN = r"[+-]?(?=\.?\d)(0|[1-9]\d*)?(\.\d+)?([eE][+-]?\d{1,3})?"
DIGITS = 15


def same_cell(code: Code) -> str:
    """A cell as it is compared: numbers by value (`3.0` is `3`), texts as they are.

    A number with a leading zero is a code, and stays a text.
    """
    text = str(code).strip()
    if len(text) <= DIGITS and re.fullmatch(PLAIN, text):
        number = float(text)
        return (
            str(int(number)) if number.is_integer() and abs(number) < 10**DIGITS else repr(number)
        )
    return text


def _check_source(source: Any) -> Any:
    if not isinstance(source, str | dict):
        raise ValueError("must be a text, or say of each field where it comes from")
    for field, origin in source.items() if isinstance(source, dict) else ():
        if origin not in get_args(Origin):
            raise ValueError(f"{field}: must be {', '.join(get_args(Origin))}, not {origin!r}")
        if field not in FeatureConfig.model_fields:
            raise ValueError(nearest(str(field), FeatureConfig.model_fields))
    return source


class FeatureConfig(Section):
    """One column: its kind, its range, how it is recorded, who may forge it, how sure it is.

    `kind`: a number, `integer` or `real`, or one of `levels`: `binary` (two), `ordinal` (they rise)
    or `categorical`. `levels` maps what the file says to a label, in order; a record then holds the
    place of its level, from 0, so that levels are a grid of step 1, one level is the scale, and
    range, step, centre and scale need not be given. Of a category `recodes` says which cells may be
    forged into which (`{3: [6, 7]}`, none by default), and `cost` what one recode counts in eps, as
    of a binary value, which may be either where it is mutable.

    `missing` are the cells that mean "not measured", numbers or texts, beside the empty one.

    `private` = an attacker may want to learn it of a patient, and an audit tries.

    `source` says where the line comes from: a text, whose author is a person, or the origin of each
    field: a dictionary, the data, a guess, or you. What a program proposed (`data`, `guess`) of
    `JUDGED` stops an audit until somebody has looked at it, and so does a guess which cells mean
    "not measured": a number taken for a code (999, 0), a limit (`<0.2`), a text.

    `error` is one standard deviation of a repeated measurement, in `unit`: of the same specimen in
    one laboratory, or of the same person on the same day. Null where nobody says how well.
    """

    unit: str = ""
    kind: Kind
    levels: dict[Code, str] = Field(default_factory=dict)
    recodes: dict[Code, list[Code]] = Field(default_factory=dict)
    cost: Positive = 1.0
    lower: float
    upper: float
    step: Positive | None
    missing: list[Code] = Field(default_factory=list)
    mutable: bool
    private: bool
    center: float
    scale: Positive
    source: Annotated[str | dict[str, Origin], PlainValidator(_check_source)]
    error: Positive | None
    error_source: str | None

    @model_validator(mode="before")
    @classmethod
    def _of_levels(cls, given: Any) -> Any:
        """Levels are their own range, grid and unit of change."""
        if not isinstance(given, dict) or given.get("kind") in (*NUMBERS, None):
            return given
        last = max(len(given.get("levels") or ()) - 1, 1)
        numbers = {
            "lower": 0.0,
            "upper": float(last),
            "step": 1.0,
            "center": float(last // 2),
            "scale": 1.0,
        }
        cost = given.get("cost")
        if given["kind"] == "binary" and isinstance(cost, int | float) and cost > 0:
            numbers["scale"] = 1 / cost
        return {"error": None, "error_source": None, **numbers} | {
            name: value for name, value in given.items() if value is not None
        }

    @model_validator(mode="after")
    def _ordered(self) -> "FeatureConfig":
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower} must be below upper {self.upper}")
        return self

    @model_validator(mode="after")
    def _levelled(self) -> "FeatureConfig":
        if self.recodes and self.kind != "categorical":
            raise ValueError(f"recodes are for categorical, not {self.kind}")
        if self.kind in NUMBERS:
            if self.levels:
                raise ValueError(f"levels are for binary, ordinal and categorical, not {self.kind}")
            return self
        least = 3 if self.kind == "categorical" else 2
        if len(self.levels) < least or (self.kind == "binary" and len(self.levels) != least):
            wanted = "two levels" if self.kind == "binary" else f"at least {least} levels"
            raise ValueError(f"kind {self.kind} needs {wanted}, not {len(self.levels)}")
        cells = [same_cell(cell) for cell in self.levels]
        labels = list(self.levels.values())
        for what, values in (("cells", cells), ("labels", labels)):
            if len(set(values)) < len(values):
                raise ValueError(f"levels: the {what} must differ: {', '.join(values)}")
        if (self.lower, self.upper, self.step) != (0, len(self.levels) - 1, 1):
            raise ValueError("levels are their own range and grid: leave lower, upper, step out")
        for cell, others in self.recodes.items():
            for code in (cell, *others):
                if same_cell(code) not in cells:
                    raise ValueError(f"recodes.{cell}: {nearest(same_cell(code), cells)}")
        if self.recodes and not self.mutable:
            raise ValueError("recodes: nothing may be forged where mutable is false: drop one")
        both = set(cells) & {same_cell(code) for code in self.missing}
        if both:
            raise ValueError(f"{sorted(both)[0]!r} is a level and means missing: keep one")
        return self

    @model_validator(mode="after")
    def _sourced(self) -> "FeatureConfig":
        if (self.error is None) != (not self.error_source):
            raise ValueError("error and error_source go together: give both, or null for both")
        return self

    @property
    def columns(self) -> int:
        """How many inputs of a model it becomes: one, or one for each level of a category."""
        return len(self.levels) if self.kind == "categorical" else 1

    @property
    def costs(self) -> list[list[float]]:
        """(K, K) what it costs to forge each level of a category into each; inf = cannot be."""
        places = {same_cell(cell): place for place, cell in enumerate(self.levels)}
        table = [[0.0 if one == other else math.inf for other in places] for one in places]
        for cell, others in self.recodes.items():
            for other in others:
                one, to = places[same_cell(cell)], places[same_cell(other)]
                table[one][to] = 0.0 if one == to else self.cost
        return table

    @property
    def proposed(self) -> dict[str, str]:
        """Of what only a person can know, the origin of what a program proposed."""
        origins = self.source if isinstance(self.source, dict) else {}
        judged = [name for name in JUDGED if origins.get(name) in PROPOSED]
        guessed = [name for name in GUESSED if origins.get(name) == "guess"]
        return {name: origins[name] for name in (*judged, *guessed)}


Read = TypeVar("Read", Formula, Relation)


def _read(key: str, read: Callable[[str], Read], text: str) -> Read:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _whole(parts: float) -> bool:
    return abs(parts - round(parts)) < 1e-6 and round(parts) > 0


class ReadingConfig(Section):
    """How a file of records is read; null = as the file itself shows.

    `names` are those of the columns, of a file without a line that names them.
    """

    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    names: list[str] | None = None


class ImageConfig(Section):
    """Images instead of records: the one feature is that of every pixel, a grey level a step.

    `shape` is (channels, height, width). Of a folder of images `column` of the file of labels names
    each image's file, and `split` the column that says `train`, `tune` or `test`.

    `manifest` is the file in which the source signed the digests of the images, and `key` its
    public key, 64 hexadecimal digits or a file that holds them; null for both = nobody vouches.
    """

    shape: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=3, max_length=3)]
    column: str = "image"
    split: str | None = None
    manifest: str | None = None
    key: str | None = None

    @model_validator(mode="after")
    def _vouched(self) -> "ImageConfig":
        if (self.manifest is None) != (self.key is None):
            raise ValueError("manifest and key go together: give both, or neither")
        return self


class DataConfig(Section):
    """A data set: where it lies and what its columns mean. Class 1 is always *disease present*.

    `file`: the records; where they come with scikit-learn, by the loader `name`, the file of
    `conf/` that describes them. Of images (`image`) it is an archive in the layout of MedMNIST
    (`npz`), or the labels of a `folder` of pictures, a CSV beside them. `packaged`: the file of a
    Python `package`. `words` stand in place of a clinic's. `outcomes` maps cells of the target to
    classes; empty = 0, 1, and the classes' names. `ignore` are columns that are read by nobody.

    `group`, `site`, `time` are columns that are no features: whose record it is, where it was made
    and when. All records of one patient stay on one side of every split.

    `relations` are what the numbers of a record keep (`diastolic + 5 <= systolic`), `derived` which
    of them follow from others, and how (`bmi: round(weight / (height / 100) ** 2, 1)`): a forger of
    the others changes them too, as a form would. Records that break a relation themselves may break
    it as far as they do.

    `bands` cuts a measurement into groups of patients, each cut the least value of the group above
    it. `patients`: whether tables of single patients may reach the page and MLflow.
    `accept_guesses` lets an audit run on what a program proposed; every page says so then.
    """

    name: str
    title: str
    source: Literal["file", "sklearn", "package", "npz", "folder"]
    file: str
    packaged: PackagedConfig | None = None
    words: WordsConfig | None = None
    image: ImageConfig | None = None
    reading: ReadingConfig = ReadingConfig()
    target: str
    classes: list[str] = Field(min_length=2, max_length=2)
    outcomes: dict[Code, str] = Field(default_factory=dict)
    ignore: list[str] = Field(default_factory=list)
    group: str | None = None
    site: str | None = None
    time: str | None = None
    patients: Literal["hidden", "shown"] = "hidden"
    accept_guesses: bool = False
    auroc_ceiling: Share | None
    relations: list[str] = Field(default_factory=list)
    derived: dict[str, str] = Field(default_factory=dict)
    bands: dict[str, Annotated[list[float], Field(min_length=1)]]
    features: dict[str, FeatureConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> "DataConfig":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must differ: {', '.join(self.classes)}")
        for cell, label in self.outcomes.items():
            if label not in self.classes:
                raise ValueError(f"outcomes.{cell}: {label!r}: {nearest(label, self.classes)}")
        if self.outcomes and set(self.outcomes.values()) != set(self.classes):
            raise ValueError(f"outcomes: both classes need a cell: {', '.join(self.classes)}")
        for name, cuts in self.bands.items():
            if name not in self.features:
                raise ValueError(f"bands: {name!r} is no feature; {nearest(name, self.features)}")
            if sorted(set(cuts)) != cuts:
                raise ValueError(f"bands.{name}: the cuts must rise, not {cuts}")
        return self

    @model_validator(mode="after")
    def _shipped(self) -> "DataConfig":
        if (self.source == "package") != (self.packaged is not None):
            raise ValueError("source package and packaged go together: give both, or neither")
        return self

    @model_validator(mode="after")
    def _pictured(self) -> "DataConfig":
        """An image has one feature, whose grey levels fit a byte, and an image's sources."""
        if self.image is None:
            if self.source in ("npz", "folder"):
                raise ValueError(f"source {self.source} holds images: give image.shape")
            return self
        if self.source in ("file", "package"):
            raise ValueError("image: images come from an npz, a folder, or sklearn")
        if len(self.features) != 1:
            raise ValueError("features: an image has one, that of every pixel")
        ((name, pixel),) = self.features.items()
        whole = pixel.kind == "integer" and pixel.step == 1
        if not whole or not 0 <= pixel.lower < pixel.upper <= 255:
            raise ValueError(
                f"features.{name}: grey levels are integers of step 1 between 0 and 255"
            )
        if self.relations or self.derived or self.bands or pixel.missing or pixel.error:
            raise ValueError("images have no relations, derived values, bands, gaps or errors")
        return self

    @model_validator(mode="after")
    def _related(self) -> "DataConfig":
        """Relations are of numbers among the features; what follows has a formula of the others."""
        formulas = {
            name: _read(f"derived.{name}", Formula.of, x) for name, x in self.derived.items()
        }
        mentioned = {
            f"relations.{place}": tuple(_read(f"relations.{place}", Relation.of, text).weights)
            for place, text in enumerate(self.relations)
        }
        mentioned |= {f"derived.{name}": (name, *one.names) for name, one in formulas.items()}
        for key, names in mentioned.items():
            for name in names:
                if name not in self.features:
                    raise ValueError(
                        f"{key}: {name!r} is no feature; {nearest(name, self.features)}"
                    )
                if (kind := self.features[name].kind) not in NUMBERS:
                    raise ValueError(f"{key}: {name} is {kind}; relations are of numbers")
        for name, formula in formulas.items():
            if circular := set(formula.names) & set(self.derived):
                raise ValueError(
                    f"derived.{name}: {sorted(circular)[0]} is derived itself; write it out"
                )
            step = self.features[name].step
            if step and formula.decimals is not None and not _whole(10.0**-formula.decimals / step):
                raise ValueError(
                    f"derived.{name}: rounds to {formula.decimals} decimals, off the step {step:g}"
                )
        return self

    @model_validator(mode="after")
    def _parts(self) -> "DataConfig":
        """Each column of the file has one part to play."""
        parts = dict.fromkeys(self.features, "a feature")
        others = {"target": self.target, "group": self.group, "site": self.site, "time": self.time}
        others |= {f"ignore.{place}": name for place, name in enumerate(self.ignore)}
        for key, name in others.items():
            if name is None:
                continue
            if name in parts and not ({parts[name], key} <= {"group", "site", "time"}):
                raise ValueError(f"{key}: {name!r} is {parts[name]} already; give it one part")
            parts.setdefault(name, key)
        return self

    @property
    def spoken(self) -> dict[str, str]:
        """A clinic's words -> those of the data set's own sector; its own names -> themselves."""
        own = [self.title, *self.classes, *self.columns, *self.ignore]
        own += [one for its in self.features.values() for one in (its.unit, *its.levels.values())]
        return {} if self.words is None else self.words.spoken_beside(own)

    @property
    def columns(self) -> list[str]:
        """The columns that the file must have: features, target, group, site and time.

        Of a folder of images the column of their files instead of features, and that of the split.
        """
        named = [self.target, self.group, self.site, self.time]
        if self.image is not None:
            split = [] if self.image.split is None else [self.image.split]
            return [self.image.column, *dict.fromkeys([*filter(None, named), *split])]
        return [*self.features, *dict.fromkeys(name for name in named if name is not None)]

    @property
    def unreviewed(self) -> list[str]:
        """One line a feature that a program proposed and nobody has looked at."""
        proposed = {name: feature.proposed for name, feature in self.features.items()}
        return [
            f"{name}: {', '.join(f'{key} ({origin})' for key, origin in found.items())}"
            for name, found in proposed.items()
            if found
        ]
