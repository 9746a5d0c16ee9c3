"""The section `serving`: what a served model answers, to whom, and when it stops."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import Count, NonNegative, Positive, Section, Share

Role = Literal["clinician", "researcher", "monitor", "auditor", "administrator"]
ROLES: tuple[Role, ...] = get_args(Role)
ASKING = ("clinician", "researcher")  # the roles that may ask about records
CHANNELS = ("referrals", "near", "admission", "scores", "inputs", "clients", "labels")

Answers = Literal["decision", "rounded", "probability"]
Action = Literal["note", "refer_all", "stop"]


class RoleConfig(Section):
    """What a role that asks about records is told, and how often it may ask.

    `answers`: the decision alone, with the probability rounded to tenths, or as it is.
    `per_minute`, `per_day` and `lifetime` count records, of one client; null = no limit.
    """

    answers: Answers
    per_minute: Count | None = None
    per_day: Count | None = None
    lifetime: Count | None = None


class JournalConfig(Section):
    """What is kept of a record, for how long, and how often the chain is signed.

    `records`: encrypted for auditors, or a keyed hash alone, with which nothing can be replayed.
    `retention_days`: after which a record cannot be decrypted any more. `head_every`: rows between
    two signed heads.
    """

    records: Literal["encrypted", "hashes"]
    retention_days: Count
    head_every: Count


class WatchConfig(Section):
    """How careful alarms are.

    `run_length`: honest queries for one false alarm of all channels, on average, at least.
    `confidence`: of each upper limit of an honest rate. `quiet`: events that a stream does not hear
    after its alarm. `case_mix`: by how much the rates of one client may exceed everybody's.
    `admission`, `kin`, `hasty`: the declared shares of honest records that are refused, are copies
    or steps of earlier ones of their client, and come sooner than people ask.
    """

    run_length: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    quiet: Annotated[int, Field(ge=0)]
    case_mix: Share
    admission: Annotated[float, Field(gt=0, lt=1)]
    kin: Annotated[float, Field(gt=0, lt=1)]
    hasty: Annotated[float, Field(gt=0, lt=1)]


class LimitsConfig(Section):
    """What one client may demand of the server.

    `body_bytes` and `records` of one request, `seconds` until all of it has arrived, `connections`
    at once.
    """

    body_bytes: Count
    records: Count
    seconds: Positive
    connections: Count


class ServingConfig(Section):
    """The service.

    `defense`: whose release is served; null = that of the gates. `r`: the radius of the
    certificate, in units of scale: a record is answered only where no admissible record within `r`
    has another answer. `alarm_r`: the radius of the referrals that alarms count, at most `r`.
    `near`: an answered record is near where so many times `r` is not proved at a glance. `boxes`:
    of one search; when they are spent the record is referred; null = as the kind of model affords.
    `uncertified`: what happens to
    records of models that nothing can be proved of. `folder`: where release, log and keys lie.
    `manifest`: of scans, the file in which their source signed them, and `manifest_key` the public
    key of that source; a scan that is not in it is refused. null = nobody vouches for scans.
    `second_minutes`: within which a second administrator must confirm a start. `alarms`: what each
    channel does when it is raised.
    """

    defense: str | None = None
    r: Positive
    alarm_r: NonNegative
    near: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    boxes: Count | None
    uncertified: Literal["refer", "answer"]
    host: str
    port: Annotated[int, Field(ge=1, lt=65536)]
    workers: Count
    folder: str
    second_minutes: Count
    limits: LimitsConfig
    journal: JournalConfig
    manifest: str | None
    manifest_key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    roles: dict[str, RoleConfig]
    alarms: dict[str, Action]
    watch: WatchConfig

    @model_validator(mode="after")
    def _within(self) -> "ServingConfig":
        if self.alarm_r > self.r:
            raise ValueError(f"alarm_r: {self.alarm_r:g} is beyond r, {self.r:g}")
        if (self.manifest is None) != (self.manifest_key is None):
            raise ValueError("manifest and manifest_key go together")
        return self

    @field_validator("roles")
    @classmethod
    def _of_those_who_ask(cls, roles: dict[str, RoleConfig]) -> dict[str, RoleConfig]:
        if set(roles) != set(ASKING):
            raise ValueError(f"must be of {', '.join(ASKING)}, not {', '.join(roles) or 'nobody'}")
        return roles

    @field_validator("alarms")
    @classmethod
    def _of_channels(cls, alarms: dict[str, Action]) -> dict[str, Action]:
        if set(alarms) != set(CHANNELS):
            raise ValueError(f"must be of {', '.join(CHANNELS)}, not {', '.join(alarms)}")
        return alarms
