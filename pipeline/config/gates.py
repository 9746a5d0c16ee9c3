"""The section `gate`: what must hold before a model goes on. No measurement depends on it."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import BASELINE, Count, Name, NonNegative, Positive, Section
from pipeline.files import BadInput
from pipeline.validation import checked_model, nearest

ANY = "any"  # flag, in `forbid`
CHAMPION = "champion"  # in `against`: the audit that `champion` names
Number = Annotated[float, Field(allow_inf_nan=False)]
LIMITS = ("at_least", "at_most", "within")


class Gate(Section):
    """One gate: a figure and its limit, a figure and whom it may not fall behind, or no figure.

    `figure` is an address, `<risk>/<figure of the page>` or `<table>/<column>`; `threat`, `eps` and
    `where` choose its row, `defense` whose it is (null = that of the section). It is held against
    `at_least`, `at_most` or `within` (its distance from 0) by the unfavourable end of its interval;
    with `bound: point` by its value. Or it is compared `against` the champion or another defense,
    and may be worse by less than `margin`; `good` says which end of a table's column is good, and
    `test: paired` accepts no unpaired difference.
    `forbid` are flags, or any; `require: reviewed` asks that a person signed the threat model.
    `why` is said where the gate is not passed.
    """

    figure: str | None = None
    threat: str | None = None
    eps: NonNegative | None = None
    defense: str | None = None
    where: dict[str, str | float] = Field(default_factory=dict)
    at_least: Number | None = None
    at_most: Number | None = None
    within: NonNegative | None = None
    bound: Literal["interval", "point"] = "interval"
    against: str | None = None
    margin: Positive | None = None
    good: Literal["high", "low", "zero"] | None = None
    test: Literal["any", "paired"] = "any"
    forbid: Literal["any"] | Annotated[list[str], Field(min_length=1)] | None = None
    require: Literal["reviewed"] | None = None
    unclear: Literal["fail", "warn"] | None = None
    why: str = ""

    @model_validator(mode="after")
    def _asks_one_thing(self) -> "Gate":
        if sum(one is not None for one in (self.figure, self.forbid, self.require)) != 1:
            raise ValueError("needs one of figure, forbid, require")
        held = [name for name in (*LIMITS, "against") if getattr(self, name) is not None]
        if self.figure is not None and len(held) != 1:
            raise ValueError(f"needs one of {', '.join(LIMITS)}, against; has {held or 'none'}")
        about = {"figure", "defense", "unclear", "why", "forbid", "require"}
        extra = sorted(self.model_fields_set - about)
        if self.figure is None and extra:
            raise ValueError(f"{', '.join(extra)}: of a figure, and none is named")
        if (self.against is None) != (self.margin is None):
            raise ValueError("against and margin go together")
        if self.against is None and (self.good or self.test != "any"):
            raise ValueError("good and test are of a comparison: against is missing")
        if self.against is not None and self.bound == "point":
            raise ValueError("a comparison has no point: it needs the difference's interval")
        if self.figure is not None and self.figure.count("/") != 1:
            raise ValueError("figure must be <risk>/<figure> or <table>/<column>")
        return self


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("must be a day such as 2027-06-30") from None


class GateConfig(Section):
    """All gates, and what holds for each of them.

    `defense`: whose figures are judged where a gate names nobody. `champion`: the `audit.json`, or
    its folder, of what is in use; `champion_defense`: whose figures are taken from it, null = those
    of the defense that is judged. `unclear`: whether an interval on both sides of a limit fails or
    is a warning. `alias`: what moves to the registered release in MLflow once it is passed, where
    that is asked for. `valid_until`: the last day of the audit, for `medsecure status`. `looks`:
    how many times two audits are compared, by plan, each of which spends an equal part of what the
    confidence leaves, for `medsecure compare`. Neither is in a digest of the gates. `accept`: flags
    that are known and accepted -> the reason, which is printed.
    """

    defense: str = BASELINE
    champion: str | None = None
    champion_defense: str | None = None
    unclear: Literal["fail", "warn"] = "fail"
    alias: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z_-]*$")] | None = None
    looks: Count = 1
    valid_until: Annotated[str, AfterValidator(_day)] | None = None
    accept: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    gates: dict[Name, Gate] = Field(default_factory=dict)


SETTINGS = tuple(name for name in GateConfig.model_fields if name != "gates")


def gates_of(values: Any, origin: str) -> GateConfig:
    """Checks the section, in which gates stand beside what holds for all of them.

    Raises:
        BadInput: a line for each fault, all of them at once.
    """
    if not isinstance(values, Mapping):
        raise BadInput(f"{origin}: gate: must be a mapping")
    gates, faults = {}, []
    settings = {name: one for name, one in values.items() if name in SETTINGS}
    if isinstance(day := settings.get("valid_until"), date):
        settings["valid_until"] = day.isoformat()
    for name, one in values.items():
        if name in SETTINGS or one is None:  # `gate.sensitivity=null` takes a gate out
            continue
        if not isinstance(one, Mapping):
            faults.append(f"{origin}: gate.{name}: unknown key; {nearest(str(name), SETTINGS)}")
            continue
        try:
            gates[name] = checked_model(Gate, _as_floats(one), origin, within=f"gate.{name}")
        except BadInput as error:
            faults.append(str(error))
    try:
        found = checked_model(GateConfig, {**settings, "gates": gates}, origin, within="gate")
    except BadInput as error:
        faults.append(str(error))
    if faults:
        raise BadInput("\n".join(faults))
    return found


def _as_floats(values: Mapping[str, Any]) -> dict[str, Any]:
    """Whole numbers of YAML are numbers: `at_least: 1`."""
    names = (*LIMITS, "eps", "margin")
    return {
        key: float(one) if key in names and isinstance(one, int) and one is not True else one
        for key, one in values.items()
    }
