"""The acts of `docs/story.py`: the same for records of patients and for their scans."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from story_guard import BATCH, QUICK, Array, Guard, act, answers, as_json, must, say, share
from story_insider import HEALTHY, Insider

from pipeline.data.schema import Dataset

NEWS = 8  # confirmed diagnoses of one message
WARDS = ("ward 1", "ward 2", "ward 3", "ward 4", "ward 5", "ward 6")
Forged = tuple[Array, Array]


@dataclass(frozen=True)
class Case:
    """Which model is attacked, by whom and how far.

    Attributes:
        title: of this half of the story.
        project: where `medsecure` is called: it holds the audit.
        dataset: the patients whom wards ask about.
        kinds: what is asked about, and what the insider changes in it.
        seen: what the served model knows of these patients.
        r: of the certificates of the undefended model, in units of scale.
        reaches: of the insider who knows of the guard, in multiples of it.
        policy: of the guard, beside the radius.
        defense, candidate: the harder model, and in words.
        harder_r: of its certificates.
        accepted: flags that its gates raise -> the reason for which they are accepted.
        unit: of radii.
    """

    title: str
    project: Path
    dataset: Dataset
    kinds: tuple[str, str]
    seen: str
    r: float
    reaches: tuple[float, float, float]
    policy: tuple[str, ...]
    defense: str
    candidate: str
    harder_r: float
    accepted: Mapping[str, str]
    unit: str = ""

    @property
    def x(self) -> Array:
        """(N, ...) as they were taken."""
        return self.dataset.x.double().numpy()

    @property
    def ladder(self) -> list[float]:
        """Radii of the insider who does not know of the guard."""
        return [self.r / 2 * step for step in range(1, 21)]

    @property
    def count(self) -> int:
        """Of the ill."""
        return int((self.dataset.y != HEALTHY).sum())

    def radius(self, eps: float) -> str:
        """With its unit."""
        return f"{eps:g}{self.unit}"


@dataclass(frozen=True)
class Told:
    """What a ward was told of all patients, in the order of the cohort."""

    said: Sequence[dict[str, str]]
    ill: Array
    healthy_word: str

    @property
    def referred(self) -> Array:
        """Of whom a person decides."""
        return np.array(["referred" in one for one in self.said])

    @property
    def healthy(self) -> Array:
        """Who is answered: no disease."""
        return np.array([one.get("decision") == self.healthy_word for one in self.said])

    @property
    def missed(self) -> str:
        """Of the ill who are answered, who are answered healthy."""
        answered = self.ill & ~self.referred
        return share(int((self.healthy & answered).sum()), int(answered.sum()))


def asked(guard: Guard, ward: str, dataset: Dataset, x: Array, order: Array) -> Told:
    """A ward asks about all patients, in an order."""
    told = answers(guard, ward, dataset.schema, x[order])
    back = np.argsort(order)
    word = dataset.schema.classes[HEALTHY]
    return Told([told[one] for one in back], dataset.y.numpy() != HEALTHY, word)


def served(guard: Guard, case: Case, defense: str, r: float, *more: str, status: int = 0) -> str:
    """`medsecure serve`, up to where the folder stands."""
    words = [f"serving.r={r:g}", *case.policy, f"serving.port={guard.port}", *QUICK, *more]
    if defense != "baseline":
        words.insert(0, f"gate.defense={defense}")
    return guard.command("serve", *words, "--no-start", status=status)


def deploy(guard: Guard, case: Case, place: Path) -> None:
    """Act 1."""
    act(1, "An audited model is served")
    say("An auditor makes a key pair, which alone opens the records of the log. The undefended "
        "model passes its gates, and its release is served.")  # fmt: skip
    guard.command("key", "auditor", str(place / "auditor.key"))
    served(guard, case, "baseline", case.r)
    roles = dict.fromkeys(WARDS, "clinician") | {"monitor": "monitor"}
    roles |= dict.fromkeys(("first administrator", "second administrator"), "administrator")
    for client, role in roles.items():
        said = guard.command("key", "new", client, "--role", role, quiet=True)
        guard.keys[client] = said.split()[0]
    say(f"Keys are issued to {len(WARDS)} wards, a monitor and two administrators.")


def honest(guard: Guard, case: Case, order: Array) -> Told:
    """Act 2."""
    act(2, "Clinicians ask, honestly")
    told = asked(guard, WARDS[0], case.dataset, case.x, order)
    taken = diagnosed(guard, WARDS[0], told, order, BATCH)[0]
    count = len(told.ill)
    say(f"{WARDS[0]} asks about {count} {case.kinds[0]} in random order, {BATCH} a request: "
        f"{share(int(told.referred.sum()), count)} are referred to a person, because it is not "
        f"proved that no admissible change within r = {case.radius(case.r)} turns the answer. "
        f"Later {taken} diagnoses are confirmed. Of the ill who were answered, {told.missed} were "
        "missed.")  # fmt: skip
    found = guard.alarms()
    must(not found, f"honest queries raised alarms: {found}")
    say(f"No alarm. ({case.seen})")
    return told


def diagnosed(guard: Guard, ward: str, told: Told, order: Array, size: int) -> tuple[int, int]:
    """Diagnoses of a ward come in, so many a message, until the guard refers everything.

    Returns:
        how many it took, and how many of these were of ill patients whom it had answered.
    """
    taken, ill = 0, 0
    for first in range(0, len(order), size):
        rows = order[first : first + size]
        body = [{"id": told.said[row]["id"], "ill": bool(told.ill[row])} for row in rows]
        status, said = guard.call(ward, "/v1/diagnoses", {"diagnoses": body})
        must(status == 200, f"/v1/diagnoses: {status} {said}")
        taken += said["taken"]
        ill += int((told.ill[rows] & ~told.referred[rows]).sum())
        if guard.state() != "serving":
            break
    return taken, ill


def attack(guard: Guard, case: Case, order: Array, plain: Told) -> list[Forged]:
    """Act 3; for each reach who passed, (N,), and what was forged of everybody, (N, ...)."""
    act(3, "An insider forges what is asked of ill patients")
    insider = Insider.of(guard.folder, case.dataset, case.r)
    dataset, count = case.dataset, case.count
    say(f"He has the weights, the threat model and the verifier, and changes {case.kinds[1]} of "
        f"the {count} ill so that they look healthy; each time all patients are asked about once "
        "more, by another ward, so that figures compare.")  # fmt: skip
    within, *wide = insider.forged([case.r, *(case.r * one for one in case.reaches)])

    where = insider.turned(within)
    told = asked(guard, WARDS[1], dataset, insider.presented(within, where), order)
    before = len(guard.alarms())
    passed = int((told.healthy & where).sum())
    say(f"{WARDS[1]}, within r: {int(where.sum())} of the {count} ill would be decided healthy. "
        f"Answered so: {passed}; all are referred, as proved.{heard(guard, 0)}")  # fmt: skip
    must(passed == 0 and bool(told.referred[where].all()), "an answer within r was turned")

    nearest, reached = insider.nearest(case.ladder)
    told = asked(guard, WARDS[2], dataset, nearest, order)
    passed, sent = int((told.healthy & reached).sum()), int(reached.sum())
    say(f"{WARDS[2]}, just over the line, as an attacker does who does not know of the guard: of "
        f"{sent} forged {int((told.referred & reached).sum())} are referred, {passed} answered."
        f"{heard(guard, before)}")  # fmt: skip
    must(any(one.startswith("referrals:") for one in guard.alarms()), "referrals were not noticed")

    streams, kept, before = [], [], len(guard.alarms())
    for ward, reach, forged in zip(WARDS[3:], case.reaches, wide, strict=True):
        where = insider.passing(forged)
        told = asked(guard, ward, dataset, insider.presented(forged, where), order)
        passed = int((told.healthy & where).sum())
        must(passed == int(where.sum()), "the guard's verifier said otherwise than the insider's")
        say(f"{ward}, up to {reach:g} r, sending only what will be answered: "
            f"{share(passed, count)} of the ill are turned and answered. Of the ill who were "
            f"answered {told.missed} were missed; without attack {plain.missed}."
            f"{heard(guard, before)}")  # fmt: skip
        before = len(guard.alarms())
        streams.append((ward, told))
        kept.append((where, forged))
    must(bool(kept[-1][0].any()), "nobody passed beyond r")
    noticed(guard, case, order, streams)
    return kept


def heard(guard: Guard, before: int) -> str:
    """The alarms since there were so many, in words."""
    found = guard.alarms()
    new = found[: len(found) - before]
    names = sorted({one.partition(":")[0] for one in new})
    return f" Alarms: {', '.join(names)}." if new else " No alarm."


def noticed(guard: Guard, case: Case, order: Array, streams: Sequence[tuple[str, Told]]) -> None:
    """Act 4: diagnoses come in until the guard refers everything."""
    act(4, "The alarm: false negatives rise")
    say("Beyond r nothing is promised. Weeks later diagnoses are confirmed, "
        f"{NEWS} at a time.")  # fmt: skip
    for ward, told in streams:
        taken, ill = diagnosed(guard, ward, told, order, NEWS)
        if guard.state() != "serving":
            break
        say(f"{ward}: {taken} diagnoses, {ill} of them of ill patients who were answered: no alarm "
            "of labels.")  # fmt: skip
    must(guard.state() == "refer all", f"after all diagnoses the guard is {guard.state()}")
    (last, *_) = (one for one in guard.alarms() if one.startswith("labels"))
    say(f"{ward}: after {taken} diagnoses, {ill} of ill patients who were answered, the alarm: "
        f"{last}. By policy the guard now refers everything to people.")  # fmt: skip
    (one,) = answers(guard, WARDS[0], case.dataset.schema, case.x[:1])
    must("referred" in one, "an answer left while everything is to be referred")


def stopped(guard: Guard, case: Case, place: Path) -> None:
    """Act 5."""
    act(5, "Stop, and look")
    guard.command("stop", "--reason", "missed diagnoses rise")
    body = {"records": as_json(case.dataset.schema, case.x[:1])}
    status, said = guard.call(WARDS[0], "/v1/predict", body)
    say(f"{WARDS[0]} asks: status {status}, {said}")
    must(status == 503, f"a stopped guard said {status}")
    say("The auditor opens what the last ward asked, asks the same model again, and asks which "
        "answers a larger r would have referred.")  # fmt: skip
    out, key = place / "incident", str(place / "auditor.key")
    words = ("--client", WARDS[-1], "--key", key, "--r", f"{case.harder_r:g}", "--out", str(out))
    guard.command("incident", *words)
    found = json.loads((out / "incident.json").read_text(encoding="utf-8"))
    again = found["replayed"]
    must(len(again) == len(case.dataset.y), "not every row was replayed")
    must(all(one["same"] for one in again), "a row was not the same again")
    guard.command("log", "verify")


def hardened(guard: Guard, case: Case, order: Array, kept: Sequence[Forged]) -> None:
    """Act 6, of which the folder is made while nothing is served."""
    act(6, "A harder model, through the gate")
    words = []
    if case.accepted:
        say(f"{case.candidate} is the candidate. Its gates refuse it first: somebody must accept "
            "what it costs.")  # fmt: skip
        said = served(guard, case, case.defense, case.harder_r, status=2)
        for flag, reason in case.accepted.items():
            must(flag in said, "the gate refused for another reason")
            words.append(f'+gate.accept.{flag}="{reason}"')
    else:
        say(f"{case.candidate} is the candidate, and passes its gates.")
    served(guard, case, case.defense, case.harder_r, *words)
    with guard.serving():
        must(guard.state() == "stopped", "a restart ended the stop")
        for who in ("first administrator", "first administrator", "second administrator"):
            must(guard.state() == "stopped", "one administrator started it alone")
            guard.command("start", "--reason", "another model", key=who)
        must(guard.state() == "serving", "two administrators did not start it")
        again(guard, case, order, kept)
    guard.command("log", "verify")


def again(guard: Guard, case: Case, order: Array, kept: Sequence[Forged]) -> None:
    """The same attack on the harder model, and one made for it."""
    x, dataset, limit = case.x, case.dataset, case.harder_r
    plain = asked(guard, WARDS[0], dataset, x, order)
    say(f"Honestly: {share(int(plain.referred.sum()), len(x))} are referred at "
        f"r = {case.radius(limit)}; of the ill who are answered {plain.missed} are "
        "missed.")  # fmt: skip
    insider = Insider.of(guard.folder, dataset, limit)
    anew = insider.forged([case.r * one for one in case.reaches])
    for ward, reach, (before, old), new in zip(WARDS[3:], case.reaches, kept, anew, strict=True):
        eps, sent = reach * case.r, int(before.sum())
        said = answers(guard, ward, dataset.schema, old[before])
        passed = np.array([one.get("decision") == plain.healthy_word for one in said], dtype=bool)
        away = sum("referred" in one for one in said)
        turned = int((passed & insider.called(x[before])).sum())
        where = insider.passing(new)
        own = answers(guard, ward, dataset.schema, new[where])
        got = sum(one.get("decision") == plain.healthy_word for one in own)
        must(got == int(where.sum()), "the guard's verifier said otherwise than the insider's")
        say(f"Forged up to {case.radius(eps)}: of the same {sent}, all of which passed before, "
            f"{share(turned, sent)} are turned and answered now, {away} are referred; "
            f"{int(passed.sum()) - turned} are of ill whom this model misses without attack, too. "
            f"Forged anew for this model: {share(got, case.count)} of the ill are turned and "
            f"answered; before: {share(sent, case.count)}.")  # fmt: skip
        must(turned < sent or not sent, "as many of the same records pass as before")
        must(got < sent or not sent, "as many pass as before")
        must(eps > limit + 1e-9 or turned == got == 0, "an answer within r was turned")
