"""Every gate judged: first whether all of them can be asked, then each, comparisons together."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.config.gates import ANY, CHAMPION, Gate, GateConfig
from pipeline.files import BadInput
from pipeline.gate.addresses import Absent, Found, find, paired_se, short
from pipeline.gate.audits import Audit
from pipeline.gate.comparing import paired
from pipeline.gate.judging import (
    Answer,
    Interval,
    Limits,
    NonInferiority,
    compared,
    held,
    times_as_many,
)
from pipeline.gate.keyed import Keyed
from pipeline.presentation.sector_words import in_words
from pipeline.risks import RISKS
from pipeline.validation import nearest

State = Literal["passed", "unclear", "failed"]
UNPAIRED, PAIRED = "unpaired intervals", "paired, on the same patients"
NO_WIDTH = "without an interval"


@dataclass(frozen=True)
class Outcome:
    """What came of one gate.

    Attributes:
        gate: its name.
        group: risk or table of its figure; of a gate without one: `flags` or `threat_model`.
        defense: whose figure; empty: of the whole audit.
        asked: what must hold, in words.
        answer: pass, fail or unclear; absent, flagged: there is no figure to judge.
        said: what was found, in words.
        interval: of the figure, or of the difference; None: there is none.
        p: of a comparison, after Holm.
        patients: that would settle an unclear one, an estimate; None: no estimate.
        warned: it is unclear, and that is no more than a warning.
        why: what its author says of it.
    """

    gate: str
    group: str
    defense: str
    asked: str
    answer: Answer | Literal["absent", "flagged"]
    said: str
    interval: Interval | None = None
    p: float | None = None
    patients: int | None = None
    warned: bool = False
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether it stands in nobody's way."""
        return self.answer == "pass" or (self.answer == "unclear" and self.warned)


@dataclass(frozen=True)
class Judged:
    """All gates.

    Attributes:
        outcomes: in the order of the configuration.
        accepted: flags that were raised and accepted -> whose, and the reason.
        audit_sha256: of the audit that was judged.
        gate_sha256: of the gates, and of the champion that they were held against.
        tests: how many comparisons were corrected together.
    """

    outcomes: tuple[Outcome, ...]
    accepted: Mapping[str, str]
    audit_sha256: str
    gate_sha256: str
    tests: int

    @property
    def state(self) -> State:
        """Of all together."""
        standing = [one for one in self.outcomes if not one.passed]
        if not standing:
            return "passed"
        return "unclear" if all(one.answer == "unclear" for one in standing) else "failed"


@dataclass(frozen=True)
class _Judge:
    """What every gate is held against."""

    cfg: GateConfig
    audit: Audit
    champion: Audit | None
    keyed: tuple[Keyed | None, Keyed | None]

    def whose(self, gate: Gate) -> str:
        return gate.defense or self.cfg.defense

    def against(self, gate: Gate) -> tuple[Audit, str]:
        """Whom a comparison is with: an audit, and a defense in it."""
        if gate.against != CHAMPION:
            return self.audit, str(gate.against)
        if self.champion is None:
            raise BadInput(
                f"against {CHAMPION}: no champion is named; gate.champion=FILE, or --champion FILE"
            )
        return self.champion, self.cfg.champion_defense or self.whose(gate)

    def unaccepted(self, audit: Audit, defense: str) -> dict[str, str]:
        """The flags of a defense that nobody accepted."""
        raised = audit.flags(defense)
        return {flag: why for flag, why in raised.items() if flag not in self.cfg.accept}

    # ---- may it be asked ----

    def check(self, gate: Gate) -> None:
        """Refuses what can never be answered.

        Raises:
            BadInput: a name is unknown, or several rows fit.
        """
        if isinstance(gate.forbid, list):
            _check_flags(gate.forbid, "forbid")
        whose = self.whose(gate)
        if whose not in self.audit.defenses:
            known = self.audit.defenses
            raise BadInput(f"{whose!r} is no defense of the audit; {nearest(whose, known)}")
        if gate.figure is None:
            return
        found = self._asked(self.audit, gate, whose)
        if gate.against is None:
            return
        other = self._asked(*self.against(gate)[:1], gate, self.against(gate)[1])
        if gate.against != CHAMPION and gate.against == whose:
            raise BadInput(f"against {gate.against}: that is itself")
        for one in (found, other):
            good = gate.good or (one.good if one else "high")
            if not good:
                raise BadInput("good: high, low or zero must be said of a table's column")
            if one and one.good and gate.good not in (None, one.good):
                raise BadInput(f"good: {one.title} is good at {one.good}, not {gate.good}")

    def _asked(self, audit: Audit, gate: Gate, defense: str) -> Found | None:
        try:
            return find(audit, gate, defense)
        except Absent:
            return None

    # ---- what is the answer ----

    def outcome(self, name: str, gate: Gate) -> "Outcome | _Waiting":
        """The answer; of a comparison what it is tested by."""
        whose = self.whose(gate)
        blank = Outcome(name, "", whose, _asked(gate), "absent", "", why=gate.why)
        if gate.require is not None:
            said = "a person signed it" if self.audit.reviewed else "nobody signed it"
            answer: Answer = "pass" if self.audit.reviewed else "fail"
            return replace(blank, group="threat_model", defense="", answer=answer, said=said)
        raised = self.unaccepted(self.audit, whose)
        if gate.forbid is not None:
            every = self.audit.flags(whose)  # one that is forbidden by name cannot be accepted
            wrong = (
                raised
                if gate.forbid == ANY
                else {flag: every[flag] for flag in gate.forbid if flag in every}
            )
            said = "; ".join(f"{flag}: {seen}" for flag, seen in wrong.items()) or "none of them"
            return replace(blank, group="flags", answer="fail" if wrong else "pass", said=said)
        blank = replace(blank, group=str(gate.figure).split("/")[0])
        try:
            found = find(self.audit, gate, whose)
        except Absent as error:
            return replace(blank, said=f"{gate.figure} is absent: {error}")
        if raised:
            said = f"flagged {', '.join(raised)}: a flagged figure passes no gate"
            return replace(blank, answer="flagged", said=said, interval=_told(found.interval))
        return (
            self._limit(blank, gate, found)
            if gate.against is None
            else (self._comparison(blank, gate, found))
        )

    def _limit(self, blank: Outcome, gate: Gate, found: Found) -> Outcome:
        value = found.interval.value
        figure, limits = found.interval, _limits(gate)
        if gate.bound == "point":
            figure = Interval(value, value, value)
        elif not figure.low < figure.high:
            return replace(blank, said=f"{found.title}: {value:g}, {NO_WIDTH}")
        answer = held(figure, limits)
        words = f"{found.title}: {_words(figure)}" + (f" ({found.under})" if found.under else "")
        warned = (gate.unclear or self.cfg.unclear) == "warn"
        outcome = replace(blank, answer=answer, said=words, interval=figure, warned=warned)
        if answer != "unclear":
            return outcome
        times = times_as_many(figure, limits, self.audit.confidence)
        return _with_patients(outcome, times, self.audit.patients)

    def _comparison(self, blank: Outcome, gate: Gate, found: Found) -> "Outcome | _Waiting":
        audit, other = self.against(gate)
        try:
            rival = find(audit, gate, other)
        except Absent as error:
            return replace(blank, said=f"{gate.figure} of {gate.against} is absent: {error}")
        if flags := self.unaccepted(audit, other):
            said = f"{gate.against}: flagged {', '.join(flags)}: nothing to be compared with"
            return replace(blank, answer="flagged", said=said)
        if rival.under != found.under:
            said = (
                f"other threats: {found.under or 'none'}; {gate.against}: {rival.under or 'none'}"
            )
            return replace(blank, said=said)
        known = self._paired(gate, found, rival)
        if known is None and gate.test == "paired":
            return replace(blank, said="no paired difference is known, and none other is accepted")
        errors = (found.interval.se(self.audit.confidence), rival.interval.se(audit.confidence))
        ahead, se, how = known or (_better(gate, found, rival), math.hypot(*errors), UNPAIRED)
        if not se > 0:
            return replace(blank, said=f"{found.title}: {NO_WIDTH}")
        test = NonInferiority(ahead, se, float(gate.margin or 0))
        words = f"{found.title}: {_words(found.interval)}; {other}: {_words(rival.interval)}"
        warned = (gate.unclear or self.cfg.unclear) == "warn"
        return _Waiting(replace(blank, said=f"{words}; {how}", warned=warned), test)

    def _paired(self, gate: Gate, found: Found, rival: Found) -> tuple[float, float, str] | None:
        """By how much it is better on the same patients, the error of that, and on whom; or None.

        Of a champion on the patients of both, where verdicts on them were kept (`medsecure keep`).
        """
        (audit, other), whose = self.against(gate), self.whose(gate)
        if audit is self.audit:
            se = paired_se(audit, found, rival, whose, other)
            return None if se is None else (_better(gate, found, rival), se, PAIRED)
        told = paired(self.keyed, other, whose, short(found.title)) if found.line else None
        if told is None:
            return None
        mean, se, count = told
        ahead = mean if (gate.good or found.good) == "high" else -mean
        return ahead, se, f"paired, on the {count} patients of both"


@dataclass(frozen=True)
class _Waiting:
    """A comparison that is judged with all others."""

    outcome: Outcome
    test: NonInferiority


def judge(
    cfg: GateConfig,
    audit: Audit,
    champion: Audit | None = None,
    model_sha256: str | None = None,
    anchor: Callable[[str], str] = lambda name: f"gate.{name}",
    keyed: tuple[Keyed | None, Keyed | None] = (None, None),
) -> Judged:
    """Judges every gate of an audit.

    Args:
        cfg: the gates.
        audit: what is judged.
        champion: what is in use.
        model_sha256: the digest of the model that is to go on; None = nobody said.
        anchor: the place of a gate, for messages.
        keyed: verdicts on patients that lie beside the champion, and beside the audit.

    Raises:
        BadInput: there is no gate, a gate names what nobody knows, or the model is another one than
            was audited; a line for each fault, before anything is judged.
    """
    if not cfg.gates:
        raise BadInput("gate: there is no gate, so nothing would be checked: conf/gate/ holds them")
    judge_of, faults = _Judge(cfg, audit, champion, keyed), []
    for name, gate in cfg.gates.items():
        try:
            judge_of.check(gate)
        except BadInput as error:
            faults.append(f"{anchor(name)}: {error}")
    try:
        _check_flags(list(cfg.accept), "gate.accept")
    except BadInput as error:
        faults.append(str(error))
    if model_sha256 is not None:
        faults += _other_model(audit, cfg.defense, model_sha256)
    if faults:
        raise BadInput("\n".join(faults))
    found = {name: judge_of.outcome(name, gate) for name, gate in cfg.gates.items()}
    tests = {name: one.test for name, one in found.items() if isinstance(one, _Waiting)}
    results = compared(tests, audit.confidence)
    outcomes = []
    for name, one in found.items():
        if isinstance(one, Outcome):
            outcomes.append(one)
            continue
        result = results[name]
        interval = Interval(one.test.difference, result.low, result.high)
        said = f"{one.outcome.said}; ahead by {_words(interval)}, p {result.p:.2g} after Holm"
        told = replace(one.outcome, answer=result.answer, said=said, interval=interval, p=result.p)
        unclear = result.answer == "unclear"
        outcomes.append(_with_patients(told, result.times, audit.patients) if unclear else told)
    whose = dict.fromkeys(judge_of.whose(gate) for gate in cfg.gates.values())
    accepted = {
        f"{defense}: {flag}": cfg.accept[flag]
        for defense in whose
        for flag in audit.flags(defense)
        if flag in cfg.accept
    }
    digest = hashlib.sha256(cfg.model_dump_json(exclude={"valid_until", "looks"}).encode())
    digest.update(champion.sha256.encode() if champion else b"")
    if all(keyed):
        digest.update("".join(one.salt for one in keyed if one).encode())
    outcomes = [replace(one, said=in_words(one.said, audit.words)) for one in outcomes]
    return Judged(tuple(outcomes), accepted, audit.sha256, digest.hexdigest(), len(tests))


def _check_flags(names: list[str], key: str) -> None:
    """Refuses a flag that no risk can raise: forbidding it would forbid nothing."""
    flags = [flag for risk in RISKS for flag in risk.flags()]
    for name in names:
        if name not in flags:
            raise BadInput(f"{key}: {name!r} is no flag; {nearest(name, flags)}")


def _other_model(audit: Audit, defense: str, wanted: str) -> list[str]:
    known = audit.model_sha256(defense)
    if known == wanted:
        return []
    told = f"that of {defense} is {known}" if known else f"it names no digest of {defense}"
    return [f"{audit.path}: not an audit of the model {wanted}: {told}"]


def _limits(gate: Gate) -> Limits:
    if gate.within is not None:
        return Limits(-gate.within, gate.within)
    low = -math.inf if gate.at_least is None else gate.at_least
    return Limits(low, math.inf if gate.at_most is None else gate.at_most)


def _better(gate: Gate, found: Found, rival: Found) -> float:
    """By how much the figure is better than the rival's."""
    good, a, b = gate.good or found.good, found.interval.value, rival.interval.value
    return {"high": a - b, "low": b - a, "zero": abs(b) - abs(a)}[good]


def _with_patients(outcome: Outcome, times: float, patients: int | None) -> Outcome:
    """The outcome with an estimate of how many patients would settle it."""
    if math.isinf(times):
        return replace(outcome, said=f"{outcome.said}; no number of patients would settle it")
    if patients is None:
        return replace(outcome, said=f"{outcome.said}; {times:.2g} times the patients would settle")
    needed = math.ceil(times * patients)
    more = f"about {needed} patients instead of {patients} would settle it (an estimate)"
    return replace(outcome, said=f"{outcome.said}; {more}", patients=needed)


def _told(interval: Interval) -> Interval | None:
    return None if math.isnan(interval.low + interval.high) else interval


def _words(one: Interval) -> str:
    if one.low == one.high or math.isnan(one.low + one.high):
        return f"{one.value:.3g}"
    return f"{one.value:.3g} ({one.low:.3g} to {one.high:.3g})"


def _asked(gate: Gate) -> str:
    """What must hold, in words."""
    if gate.require is not None:
        return "the threat model was reviewed by a person"
    if gate.forbid is not None:
        return "no flag" if gate.forbid == ANY else f"none of {', '.join(gate.forbid)}"
    if gate.against is not None:
        return f"{gate.figure} not worse than {gate.against} by {gate.margin:g} or more"
    kind = next(
        kind for kind in ("at_least", "at_most", "within") if getattr(gate, kind) is not None
    )
    ends = "" if gate.bound == "interval" else ", by its value alone"
    return f"{gate.figure} {kind.replace('_', ' ')} {getattr(gate, kind):g}{ends}"
