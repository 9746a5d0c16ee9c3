"""The section `serving`: what a served model answers, to whom, and when it stops."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import Count, NonNegative, Positive, Section

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
    roles: dict[str, RoleConfig]
    alarms: dict[str, Action]

    @model_validator(mode="after")
    def _within(self) -> "ServingConfig":
        if self.alarm_r > self.r:
            raise ValueError(f"alarm_r: {self.alarm_r:g} is beyond r, {self.r:g}")
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
