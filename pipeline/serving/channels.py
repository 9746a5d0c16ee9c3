"""What the guard watches: the events of queries and of confirmed diagnoses, and their nulls.

The null of a stream is a rate that the audit measured, as large as its exact upper limit allows, or
one that the policy declares.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan

from pipeline.config.serving import Action
from pipeline.serving.honest import Bins, Honest, Share
from pipeline.statistics import Array
from pipeline.statistics.streams import Bets, factors, moves, rises


@dataclass(frozen=True)
class Query:
    """What the guard saw of one record; None = not known, and the stream hears nothing.

    Attributes:
        client: whose key asked.
        admitted: whether the record could be one; of one that could not nothing else is known.
        referred: whether it is referred at the radius that alarms count.
        near: of an answered one, whether its radius is near that of the certificate.
        score: in 0 to 1.
        inputs: measurements by column, NaN or None = not measured.
        kin: whether the client asked about this record before, or about one that differs from it in
            a single column: a copy, or a step of a grid.
        hasty: whether it came sooner after the client's last one than people ask.
    """

    client: str
    admitted: bool
    referred: bool | None = None
    near: bool | None = None
    score: float | None = None
    inputs: Mapping[str, float | None] = field(default_factory=dict)
    kin: bool | None = None
    hasty: bool | None = None


@dataclass(frozen=True)
class Confirmed:
    """A diagnosis that was confirmed of a patient whom the guard answered; late, in any order.

    Attributes:
        ill: as confirmed.
        answered_ill: as answered.
    """

    ill: bool
    answered_ill: bool


Event = Query | Confirmed


@dataclass(frozen=True)
class Settings:
    """The policy of alarms.

    Attributes:
        run_length: queries for one false alarm of the whole guard, on average, at least.
        confidence: of each upper limit of an honest rate, one-sided, in 0 to 1.
        quiet: events that a stream does not hear after its alarm.
        case_mix: by how much the rates of one client may exceed those of everybody: patients of one
            ward are referred more often.
        admission: the declared share of honest records that are refused: slips of the keyboard.
        kin: the declared share of an honest client's queries that are kin of earlier ones.
        hasty: the declared share of them that are hasty.
        actions: what an alarm does, by channel; one that is not named is noted.
        parts: of the false alarms that each channel may raise.
    """

    run_length: float = 10_000
    confidence: float = 0.95
    quiet: int = 50
    case_mix: float = 0.1
    admission: float = 0.05
    kin: float = 0.1
    hasty: float = 0.05
    actions: Mapping[str, Action] = field(default_factory=dict)
    parts: Mapping[str, float] = field(
        default_factory=lambda: {
            "referrals": 0.70,
            "near": 0.05,
            "admission": 0.04,
            "scores": 0.04,
            "inputs": 0.05,
            "clients": 0.06,
            "labels": 0.06,
        }
    )


@dataclass(frozen=True, eq=False)
class Watched:
    """One stream, or one of each client: what it hears, and what it is held against.

    Attributes:
        channel: of `CHANNELS`.
        stream: its name, unique.
        source: where the null is from, for people.
        honest: the rate of the null; None of a spread.
        bets: against the null.
        hears: the event of a query or a diagnosis; None = none.
        of_clients: whether each client has one.
    """

    channel: str
    stream: str
    source: str
    honest: float | None
    bets: Bets
    hears: Callable[[Event], float | int | None]
    of_clients: bool = False
    _factors: dict[float | int, Array] = field(default_factory=dict, init=False, repr=False)

    def factors(self, heard: float | int) -> Array:
        """(B,): by what an event multiplies each bet. Events are few: 0, 1, or a bin."""
        known = self._factors.get(heard)
        if known is None:
            known = self._factors[heard] = factors(self.bets, heard)
        return known


def streams_of(settings: Settings, honest: Honest) -> Iterator[tuple[str, Watched | str]]:
    """Each stream, or why there is none."""
    measured: list[tuple[str, str, Share | None, Callable[[Event], float | None], float, bool]] = [
        ("referrals", "referrals", honest.referred, _of_query("referred"), 0.0, False),
        ("near", "near", honest.near, _of_query("near"), 0.0, False),
        ("clients", "clients/referrals", honest.referred, _of_query("referred"), 1.0, True),
        ("clients", "clients/near", honest.near, _of_query("near"), 1.0, True),
        ("labels", "labels/missed", honest.missed, _missed, 0.0, False),
        ("labels", "labels/wrong", honest.wrong, _wrong, 0.0, False),
    ]
    for channel, name, share, hears, mixed, clients in measured:
        if share is None:
            yield name, "the audit asked fewer than 10 patients"
            continue
        limit = share.most(settings.confidence) + mixed * settings.case_mix
        source = f"audit: {share.count:g} of {share.of:g} patients at most"
        if mixed:
            source += f", and {settings.case_mix:g} for the mix of cases"
        yield name, _rising(channel, name, source, limit, hears, clients)
    for channel, name, limit, reads, clients in (
        ("admission", "admission", settings.admission, _refused, False),
        ("clients", "clients/kin", settings.kin, _of_query("kin"), True),
        ("clients", "clients/hasty", settings.hasty, _of_query("hasty"), True),
    ):
        yield name, _rising(channel, name, "declared by the policy", limit, reads, clients)
    spreads = {"scores": ("scores", honest.scores, _score)} | {
        f"inputs/{column}": ("inputs", bins, _input(column))
        for column, bins in honest.inputs.items()
    }
    for name, (channel, bins, reads_value) in spreads.items():
        yield name, _spread(channel, name, bins, reads_value, settings.confidence)


def _rising(
    channel: str,
    name: str,
    source: str,
    limit: float,
    hears: Callable[[Event], float | None],
    of_clients: bool,
) -> Watched | str:
    if not 0 < limit < 1:
        return "no rate exceeds the honest one"
    return Watched(channel, name, source, limit, rises(limit), hears, of_clients)


def _spread(
    channel: str,
    name: str,
    bins: Bins | None,
    reads: Callable[[Event], float | None],
    confidence: float,
) -> Watched | str:
    if bins is None:
        return "the audit has no spread of it"

    def hears(event: Event) -> int | None:
        number = reads(event)
        return None if number is None or isnan(number) else bins.place(number)

    try:
        bets = moves(bins.counts, bins.of, confidence=confidence)
    except ValueError as error:
        return str(error)
    source = f"audit: {len(bins.counts)} bins of {bins.of:g} patients"
    return Watched(channel, name, source, None, bets, hears)


def _of_query(name: str) -> Callable[[Event], float | None]:
    def read(event: Event) -> float | None:
        said = getattr(event, name) if isinstance(event, Query) else None
        return None if said is None else float(said)

    return read


def _refused(event: Event) -> float | None:
    return float(not event.admitted) if isinstance(event, Query) else None


def _score(event: Event) -> float | None:
    return event.score if isinstance(event, Query) else None


def _input(column: str) -> Callable[[Event], float | None]:
    return lambda event: event.inputs.get(column) if isinstance(event, Query) else None


def _missed(event: Event) -> float | None:
    """Of the ill alone."""
    wanted = isinstance(event, Confirmed) and event.ill
    return float(not event.answered_ill) if wanted and isinstance(event, Confirmed) else None


def _wrong(event: Event) -> float | None:
    return float(event.ill != event.answered_ill) if isinstance(event, Confirmed) else None
