"""Stopping the guard, and starting it again: one stops, two start.

What the guard does is read off the rows of the journal, in the transaction that writes an answer:
no answer has its row, and so leaves, after a stop has its own; no restart forgets one.
"""

from datetime import datetime, timedelta

from pipeline.files import BadInput
from pipeline.serving.journal.entries import Entry, Kind
from pipeline.serving.journal.states import OF_MODE, STRICTNESS, Mode, State
from pipeline.serving.journal.writing import Journal
from pipeline.serving.keys import Client, Role

WITHIN = timedelta(minutes=30)  # in which a second administrator confirms


class NotAllowed(BadInput):
    """What somebody may not switch, or not now: one line."""


def _stricter(one: Mode, than: Mode) -> bool:
    return STRICTNESS.index(one) > STRICTNESS.index(than)


def _reasoned(reason: str) -> str:
    if not reason.strip():
        raise NotAllowed("say why: the reason stands in the log")
    return reason.strip()


def stop(journal: Journal, *, by: Client, reason: str, now: datetime) -> State:
    """Stops all answers, in every process, until two administrators start again.

    Args:
        journal: open for writing.
        by: whoever the policy lets stop; the guard itself, too, on an alarm.
        reason: in words.
        now: with a zone.

    Returns:
        the new state; a second stop stands in the log, too, and drops any proposal.

    Raises:
        NotAllowed: no reason.
        Unavailable: it cannot be written. Nothing is answered then, either.
    """
    facts = {"reason": _reasoned(reason)}
    return journal.decide(lambda state: Entry(Kind.STOPPED, facts=facts), client=by, now=now)


def refer_all(journal: Journal, *, by: Client, reason: str, now: datetime) -> State:
    """Leaves every record to a person from now on; arguments as of `stop`.

    Raises:
        NotAllowed: no reason, or the guard is stopped: that would start it again.
        Unavailable: it cannot be written.
    """
    facts = {"reason": _reasoned(reason)}

    def choose(state: State) -> Entry:
        if _stricter(state.mode, Mode.REFER_ALL):
            raise NotAllowed("stopped: two administrators start again, `propose` and `confirm`")
        return Entry(Kind.REFER_ALL, facts=facts)

    return journal.decide(choose, client=by, now=now)


def propose(
    journal: Journal, *, by: Client, reason: str, now: datetime, to: Mode = Mode.SERVING
) -> State:
    """Proposes to answer again; another administrator confirms.

    Args:
        journal: open for writing.
        by: an administrator.
        reason: in words.
        now: with a zone.
        to: serving, or from a stop to referring everything.

    Raises:
        NotAllowed: no reason, no administrator, or nothing that needs two.
        Unavailable: it cannot be written.
    """
    _administrator(by)
    facts = {"reason": _reasoned(reason), "to": to.value}

    def choose(state: State) -> Entry:
        if not _stricter(state.mode, to):
            raise NotAllowed(f"the guard is {state.mode}: {to} needs no second administrator")
        return Entry(Kind.PROPOSED, facts=facts)

    return journal.decide(choose, client=by, now=now)


def confirm(journal: Journal, *, by: Client, now: datetime, within: timedelta = WITHIN) -> State:
    """Starts again as another administrator proposed.

    Args:
        journal: open for writing.
        by: an administrator, with another name than the one who proposed.
        now: with a zone.
        within: how old the proposal may be.

    Raises:
        NotAllowed: no administrator, no proposal, one's own, or one that is too old.
        Unavailable: it cannot be written.
    """
    _administrator(by)

    def choose(state: State) -> Entry:
        proposal = state.proposal
        if proposal is None:
            raise NotAllowed("nobody has proposed to start again since the guard was switched")
        if proposal.by == by.name:
            raise NotAllowed(f"{by.name} proposed it; another administrator confirms")
        if not timedelta(0) <= now - proposal.time <= within:
            raise NotAllowed(f"the proposal is older than {within}; propose again")
        facts = {"reason": proposal.reason, "proposal": proposal.row, "proposed_by": proposal.by}
        return Entry(OF_MODE[proposal.to], facts=facts)

    return journal.decide(choose, client=by, now=now)


def _administrator(by: Client) -> None:
    if by.role is not Role.ADMINISTRATOR:
        raise NotAllowed(f"{by.name} is no administrator")
