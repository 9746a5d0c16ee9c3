"""The sections of the configuration, and the whole."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.config.auditing import AuditConfig, Radii, check_radii
from pipeline.config.base import Count, Goal, Name, NonNegative, Norm, Positive, Section, Unit
from pipeline.config.cohort import DataConfig, FeatureConfig
from pipeline.config.gates import GateConfig, gates_of
from pipeline.config.logged import TrackingConfig
from pipeline.config.serving import ServingConfig
from pipeline.files import BadInput, writes_params
from pipeline.validation import STRICT, checked_model


class PlanConfig(Section):
    """Cross-validation: every patient is held out once per seed; or the split of the data set.

    `kind: official` trains on the records that the data set gives for it, chooses each cut on those
    that it sets aside (its validation), and tests on the rest; `folds` counts for nothing then.
    `tune`: the share of each model's training records that is set aside to choose its cut and its
    recalibration on; 0 = inner folds choose. `kind: frozen` is of one model that was trained
    elsewhere, on the records of the CSV file `trained_on`; null = on nobody of this cohort.
    """

    kind: Literal["folds", "official", "frozen"] = "folds"
    trained_on: str | None = None
    folds: Annotated[int, Field(ge=2)]
    seeds: Count
    tune: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def frozen(self) -> bool:
        """Whether the one model was trained elsewhere: it is asked, and none is trained."""
        return self.kind == "frozen"

    @property
    def each(self) -> int:
        """How many models score each patient."""
        return 1 if self.frozen else self.seeds


Whole = Annotated[int, Field(ge=0)]


class ModelConfig(Section):
    """What the undefended model is: a network, or something that is `own` of another kind.

    Of a network `name` is one of `pipeline.models.designs.MODELS`, and `hidden` are the widths of
    its hidden layers. `channels` are those of the convolutions of a network of images. A vision
    transformer cuts an image into squares of `patch` pixels, each a token of `width` numbers, and
    has so many `blocks`, each with so many `heads`; 0 = the network has none. What else is said are
    options of a name of `pipeline.defenses.kinds.MADE`, each of which has some.
    """

    model_config = ConfigDict(**{**STRICT, "extra": "allow"})

    name: str
    hidden: list[Count] = Field(default_factory=list)
    channels: list[Count] = Field(default_factory=list)
    patch: Whole = 0
    width: Whole = 0
    heads: Whole = 0
    blocks: Whole = 0

    @property
    def own(self) -> dict[str, Any]:
        """The options of a model that is no network."""
        return dict(self.model_extra or {})

    @property
    def network(self) -> bool:
        """Whether it is one: all others have options of their own."""
        return not self.own


class TrainConfig(Section):
    """The one training loop. Epochs are passes over the training rows.

    `schedule`: the learning rate is the same in every step, or rises to it and falls (`one_cycle`).
    `shift`: each image is moved by up to so many pixels whenever it is learned from.
    `members`: so many models are trained together, each such block by one process; null = all. With
    other blocks the last digits are others.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative
    schedule: Literal["constant", "one_cycle"] = "constant"
    shift: Annotated[int, Field(ge=0)] = 0
    members: Count | None = None


Rule = Literal["threshold", "sensitivity", "specificity", "youden", "prevalence"]
Recalibration = Literal["none", "platt"]
WITHOUT_VALUE = ("youden", "prevalence")


class DecisionConfig(Section):
    """From which probability on a patient is called ill: a rule of `operating_point.RULES`.

    `value` is the probability or the share that the rule asks for; null where it asks for none.
    `recalibrate` says how the probabilities are put right beforehand, on the same scores.
    """

    rule: Rule
    value: Annotated[float, Field(gt=0, lt=1)] | None
    recalibrate: Recalibration = "none"

    @model_validator(mode="after")
    def _fits(self) -> "DecisionConfig":
        if (self.rule in WITHOUT_VALUE) != (self.value is None):
            asked = "takes no value: give null" if self.value else "needs a value, above 0, below 1"
            raise ValueError(f"rule {self.rule} {asked}")
        return self


class ThreatConfig(Section):
    """Which limits of the schema bind the attacker, how changes add up, which errors are wanted.

    `eps` are the radii of this threat model; null = those of the audit. Under l0 a radius is a
    number of measurements. `unit: error` counts in standard deviations of a repeated measurement
    instead of scales; what has no known error does not move then. Under l0, `within` narrows what a
    value may become to so many scales around the center of its feature, and around what was
    recorded (null = anything in its range). The verifier looks up to radius `exact_to` (null = the
    largest), and may spend `boxes` of branch and bound on one record before it counts as undecided.
    `consistent`: a forged record keeps the relations of its data set, and what is derived follows;
    otherwise every value is forged by itself. Of a data set without relations, a threat that
    differs from another one by that alone is left out.
    `withhold`: what it costs, in eps, to leave out a value that was measured and may be changed;
    null = nobody may. Under l0 it counts as a change, as a recode does.
    """

    mutable_only: bool
    plausible_range: bool
    recorded_grid: bool
    consistent: bool
    norm: Norm
    within: Positive | None
    withhold: Positive | None
    unit: Unit
    goal: Goal
    eps: Radii | None
    exact_to: Positive | None
    boxes: Count

    @model_validator(mode="after")
    def _grid(self) -> "ThreatConfig":
        if self.eps is not None:
            check_radii(self.eps)
        if self.norm == "l0" and not self.plausible_range:
            raise ValueError(
                "norm l0 lets a value become anything in its range: plausible_range must be true"
            )
        if self.norm == "l0" and (self.eps is None or any(radius % 1 for radius in self.eps)):
            raise ValueError("norm l0 counts measurements: eps must be a list of whole numbers")
        if self.norm == "l0" and self.unit != "scale":
            raise ValueError("norm l0 counts measurements, not their errors: unit must be scale")
        if self.within is not None and self.norm != "l0":
            raise ValueError(
                "within is for norm l0: under the others eps says how far a value moves"
            )
        return self

    def moves(self, feature: FeatureConfig) -> bool:
        """Whether this threat lets a feature move in steps, as numbers and ordered levels do."""
        known = self.unit == "scale" or feature.error is not None
        ordered = feature.kind != "categorical"  # what has no order has no step to take
        return known and ordered and (feature.mutable or not self.mutable_only)

    def forges(self, feature: FeatureConfig) -> bool:
        """Whether this threat lets a category be recoded, or left out."""
        asked = bool(feature.recodes) or self.withhold is not None
        category = feature.kind == "categorical" and feature.mutable
        return category and asked and self.unit == "scale"


class ParallelConfig(Section):
    """Who works beside a stage: `threads` forked processes, or tasks of Ray.

    `address` is that of a running cluster of Ray; null = one of this machine, for as long as the
    stage runs. No figure depends on it.
    """

    backend: Literal["processes", "ray"] = "processes"
    address: str | None = None


class ReportConfig(Section):
    """What others may see: `patients`, whether tables of single patients are shown, to whom ever.

    Hidden, they stay in `artifacts/`: the page shows none, and MLflow gets no row of a record.
    `metrics` are the names of the figures that `dvc metrics show` sets side by side.
    """

    metrics: list[str]
    patients: Literal["hidden", "shown"]


Kind = TypeVar("Kind", bound=Section)


class Config(BaseModel):
    """The whole configuration.

    What it does not name itself is the section of a risk (a `Section`) or the options of a defense.
    `examine` are the defenses that are attacked, beside the undefended models; `extra` are recipes
    that are trained in the stage of that name, beside those that have a stage of their own. `risks`
    is what a run of one recipe measures: what `examine` does, or what other stages do as well.
    `gate`, `serving` and `tracking` are about what was measured, `parallel` about who measures:
    they are in no digest of it.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Count
    device: Literal["auto", "cpu", "cuda"] = "auto"
    data: DataConfig
    plan: PlanConfig
    model: ModelConfig
    train: TrainConfig
    decision: DecisionConfig
    threat: dict[Name, ThreatConfig] = Field(min_length=1)
    attack: dict[Name, dict[str, Any]] = Field(min_length=1)
    audit: AuditConfig
    report: ReportConfig
    examine: list[str]
    extra: list[str]
    risks: Literal["examined", "all"] = "examined"
    gate: GateConfig = Field(default_factory=GateConfig, exclude=True)
    serving: ServingConfig | None = Field(default=None, exclude=True)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig, exclude=True)
    parallel: ParallelConfig = Field(default_factory=ParallelConfig, exclude=True)

    @model_validator(mode="after")
    def _headline(self) -> "Config":
        if self.audit.headline not in self.threat:
            raise ValueError(
                f"audit.headline: {self.audit.headline!r} is not one of {', '.join(self.threat)}"
            )
        return self

    def radii(self, threat: str) -> list[float]:
        """The radii at which a threat is tried."""
        own = self.threat[threat].eps
        return self.audit.eps if own is None else own

    @property
    def headline_radius(self) -> float:
        """The radius of the headline threat at which defenses are compared first."""
        wanted = self.audit.headline_eps
        return min(self.radii(self.audit.headline), key=lambda radius: abs(radius - wanted))

    @property
    def twins(self) -> dict[str, str]:
        """Of threats that keep relations, the one that is the same but for that."""
        found = {}
        for name, threat in self.threat.items():
            wanted = threat.model_copy(update={"consistent": False})
            others = (other for other, one in self.threat.items() if one == wanted)
            if threat.consistent and (twin := next(others, None)):
                found[name] = twin
        return found

    def without_twins(self) -> "Config":
        """The same without threats that relations alone tell apart, where there are none."""
        if self.data.relations or self.data.derived:
            return self
        kept = {
            name: threat
            for name, threat in self.threat.items()
            if threat.consistent
            or name == self.audit.headline
            or threat.model_copy(update={"consistent": True}) not in self.threat.values()
        }
        return self.model_copy(update={"threat": kept})

    @property
    def sections(self) -> dict[str, Section]:
        """The sections of risks, by name."""
        return {
            name: one for name, one in (self.model_extra or {}).items() if isinstance(one, Section)
        }

    def section(self, kind: type[Kind]) -> Kind:
        """The one section of this kind, of whichever risk.

        Raises:
            KeyError: there is none.
        """
        for section in self.sections.values():
            if isinstance(section, kind):
                return section
        raise KeyError(kind.__name__)

    @property
    def tried(self) -> dict[str, list[str]]:
        """The attacks on records by name, and those of each risk that lists its own."""
        risks = {
            name: one
            for name, one in self.sections.items()
            if one.tried and not one.unasked and (self.data.image or one.for_records)
        }
        return {"attack": list(self.attack)} | {
            name: list(getattr(one, one.tried)) for name, one in risks.items()
        }

    @property
    def defenses(self) -> dict[str, dict[str, Any]]:
        """The options of each configured defense, by name."""
        others = (self.model_extra or {}).items()
        return {
            name: {} if options is None else options
            for name, options in others
            if not isinstance(options, Section)
        }

    def chosen(self, recipes: list[str]) -> list[str]:
        """Those of the recipes that are configured as defenses."""
        return [name for name in recipes if name in self.defenses]


SCHEMA = ("target", "classes", "outcomes", "image", "relations", "derived", "features")


def schema_sha256(cfg: Config) -> str:
    """The digest of what the columns mean, wherever the records lie."""
    said = cfg.data.model_dump(mode="json", include=set(SCHEMA))
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def configuration_sha256(cfg: Config) -> str:
    """The digest by which runs and pages name a whole configuration."""
    return hashlib.sha256(canonical(cfg)).hexdigest()


def canonical(cfg: Config) -> bytes:
    """The configuration as bytes that are the same for the same values, for digests."""
    return json.dumps(cfg.model_dump(), sort_keys=True).encode()


def check(
    values: Any, sections: Mapping[str, type[Section]], origin: str = "params.yaml"
) -> Config:
    """Checks a composed configuration.

    Args:
        values: the composed mapping.
        sections: what the sections of risks must look like, by name.
        origin: where the values stand, for the message.

    Raises:
        BadInput: a key is unknown, missing, ill-typed or out of its range; the message names it and
            the nearest valid one.
    """
    if not isinstance(values, dict):
        raise BadInput(
            f"{origin}: empty or not a mapping; run {writes_params()} to write it from conf/"
        )
    for name, kind in sections.items():
        if lacks := _left_out(kind, values.get(name, {})):
            raise BadInput(
                f"{origin}: {name}: {lacks}; conf/risk/{name}.yaml says it, and no risk can be "
                f"left out: keep {name} in risk=[{','.join(sections)}]"
            )
        values = {**values, name: checked_model(kind, values[name], origin, within=name)}
    values = {**values, "gate": gates_of(values.get("gate") or {}, origin)}
    return checked_model(Config, values, origin).without_twins()


def _left_out(kind: type[Section], given: Any) -> str:
    """What a section lacks whose file was not composed, though a preset may adjust it; or ""."""
    if not isinstance(given, dict) or not kind.model_fields.keys() >= given.keys():
        return ""  # a misspelt key is what its author wants to hear of
    needed = [name for name, field in kind.model_fields.items() if field.is_required()]
    lacking = [name for name in needed if name not in given]
    return "missing" if not given else f"lacks {', '.join(lacking)}" if lacking else ""
