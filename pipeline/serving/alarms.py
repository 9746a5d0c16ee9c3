"""Alarms of the guard: channels that watch the stream of queries, each against its honest rate.

Whatever honest queries do, if every null holds: all channels together raise at most one false alarm
in `run_length` queries on average (`pipeline.statistics.streams`). Each channel may raise a part of
them (`Settings.parts`), shared out evenly among its streams; its threshold is the run length over
that part. A stream hears at most one event a query. Streams of clients divide the queries among
themselves, so their number costs nothing.

After an alarm a stream starts again from nothing, and hears nothing for its next `quiet` events: an
attack that goes on is an alarm every so often, not at every query.

The state is JSON, and a function of the events in their order alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from json import dumps
from typing import Any

import numpy as np

from pipeline.config.serving import CHANNELS, Action
from pipeline.serving.channels import Event, Query, Settings, Watched, streams_of
from pipeline.serving.honest import Honest
from pipeline.statistics import Array
from pipeline.statistics.streams import multiplied, of_streams, start, value


@dataclass(frozen=True)
class Alarm:
    """One alarm.

    Attributes:
        channel: of `CHANNELS`.
        stream: which stream of the channel.
        client: whose, of a channel of clients.
        action: what the policy does.
        value: of the detector.
        threshold: that it reached.
        honest: the rate of the null; None of a spread.
        rate: of the events since the stream began or its last alarm; None of a spread.
        events: so many.
        number: of the stream's alarms, this one included.
    """

    channel: str
    stream: str
    client: str | None
    action: Action
    value: float
    threshold: float
    honest: float | None
    rate: float | None
    events: int
    number: int

    @property
    def said(self) -> str:
        """One line."""
        of = self.stream + (f" of {self.client}" if self.client else "")
        if self.rate is None or self.honest is None:
            return f"{of}: {self.events} events do not spread as in the audit"
        seen, most = f"{self.rate:.3g}", f"{self.honest:.3g}"
        return f"{of}: a rate of {seen} in {self.events} events, honest at most {most}"


@dataclass(frozen=True, eq=False)
class Held:
    """What is remembered of a stream: what its bets hold, and events since it began anew."""

    held: Array
    events: int = 0
    total: float = 0.0
    quiet: int = 0
    alarms: int = 0


class Alarms:
    """All streams of a guard; `seen` moves them on."""

    def __init__(
        self,
        settings: Settings,
        watched: Mapping[str, Watched],
        thresholds: Mapping[str, float],
        silent: Mapping[str, str],
        digest: str,
    ) -> None:
        """Use `of`."""
        self.settings, self.watched, self.thresholds = settings, watched, thresholds
        self.silent = silent  # streams that are not watched, and why
        self.digest = digest
        self._states: dict[tuple[str, str | None], Held] = {}

    @classmethod
    def of(cls, settings: Settings, honest: Honest) -> "Alarms":
        """Streams that have not begun.

        Args:
            settings: the policy.
            honest: what the audit measured.
        """
        watched: dict[str, Watched] = {}
        silent: dict[str, str] = {}
        for name, made in streams_of(settings, honest):
            if isinstance(made, str):
                silent[name] = made
            else:
                watched[name] = made
        measured = dumps([asdict(replace(settings, actions={})), honest.saved()], sort_keys=True)
        digest = sha256(measured.encode()).hexdigest()[:16]
        return cls(settings, watched, _thresholds(settings, watched), silent, digest)

    def seen(self, event: Event) -> list[Alarm]:
        """The alarms that one query raises, or one confirmed diagnosis; in the order of channels.

        Raises:
            ValueError: a score or a rate is out of range.
        """
        raised = []
        for name, watched in self.watched.items():
            heard = watched.hears(event)
            if heard is not None:
                client = event.client if watched.of_clients and isinstance(event, Query) else None
                raised += self._heard(name, client, heard)
        return raised

    def state(self) -> dict[str, Any]:
        """What `resumed` goes on from, as JSON holds it; of each stream its own entry."""
        return {
            "of": self.digest,
            "streams": [
                {"stream": name, "client": client, **asdict(held), "held": held.held.tolist()}
                for (name, client), held in self._states.items()
            ],
        }

    def resumed(self, state: Mapping[str, Any]) -> "Alarms":
        """The same streams, going on from a state; a policy or an audit that changed begins anew.

        Args:
            state: of `state`, which may have been JSON in between.
        """
        again = Alarms(self.settings, self.watched, self.thresholds, self.silent, self.digest)
        if state.get("of") == self.digest:
            for said in state["streams"]:
                rest = {key: each for key, each in said.items() if key not in ("stream", "client")}
                held = Held(**{**rest, "held": np.array(rest["held"], dtype=float)})
                again._states[said["stream"], said["client"]] = held
        return again

    def streams(self) -> list[dict[str, Any]]:
        """For a page: of each stream its name, client, events, rate, honest, value, threshold."""
        return [
            {
                "stream": name,
                "channel": self.watched[name].channel,
                "client": client,
                "source": self.watched[name].source,
                "events": held.events,
                "rate": self._rate(name, held),
                "honest": self.watched[name].honest,
                "value": float(value(self.watched[name].bets, held.held)),
                "threshold": self.thresholds[name],
                "alarms": held.alarms,
            }
            for name, client, held in self._everything()
        ]

    def _everything(self) -> Iterator[tuple[str, str | None, Held]]:
        for name, watched in self.watched.items():
            if not watched.of_clients:
                yield name, None, self._states.get((name, None), Held(start(watched.bets)))
            for (other, client), held in self._states.items():
                if other == name and client is not None:
                    yield name, client, held

    def _heard(self, name: str, client: str | None, heard: float | int) -> list[Alarm]:
        watched = self.watched[name]
        held = self._states.get((name, client)) or Held(start(watched.bets))
        if held.quiet:
            rest = held.quiet - 1
            self._states[name, client] = Held(held.held, held.events, held.total, rest, held.alarms)
            return []
        moved = multiplied(held.held, watched.factors(heard))
        held = Held(moved, held.events + 1, held.total + float(heard), 0, held.alarms)
        now = float(value(watched.bets, held.held))
        if now < self.thresholds[name]:
            self._states[name, client] = held
            return []
        number = held.alarms + 1
        self._states[name, client] = Held(
            start(watched.bets), quiet=self.settings.quiet, alarms=number
        )
        return [
            Alarm(
                channel=watched.channel,
                stream=name,
                client=client,
                action=self.settings.actions.get(watched.channel, "note"),
                value=now,
                threshold=self.thresholds[name],
                honest=watched.honest,
                rate=self._rate(name, held),
                events=held.events,
                number=number,
            )
        ]

    def _rate(self, name: str, held: Held) -> float | None:
        if self.watched[name].honest is None or not held.events:
            return None
        return held.total / held.events


def _thresholds(settings: Settings, watched: Mapping[str, Watched]) -> dict[str, float]:
    """Of each stream; that of a silent channel stays unused."""
    names = {
        one: [name for name, of in watched.items() if of.channel == one] or [f"unused {one}"]
        for one in CHANNELS
    }
    streams = {one: len(own) for one, own in names.items()}
    limits = of_streams(settings.run_length, settings.parts, streams)
    return {name: limits[one] for one, own in names.items() for name in own}
