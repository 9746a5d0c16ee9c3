"""The story of a deployed model: attack, alarm, stop, investigation, and a harder model.

Command:  python docs/story.py        (after `dvc repro`; a minute on one core; `make story`)

A guard serves the audited release on a free port of this machine, from a temporary folder. Every
step is a public command or a request that anybody could send; the insider's searches alone use the
attacks of this project, as the insider would. All figures are counted here from what came back, and
no record is printed. Exit status: 0 if every step came out as it should, 1 and which did not, or 2
without a run.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from story_guard import (
    BATCH,
    QUICK,
    Array,
    Guard,
    Otherwise,
    act,
    answers,
    as_json,
    free_port,
    must,
    say,
    share,
)

from pipeline.attacks.evasion.gradient import apgd
from pipeline.data.schema import Dataset, load_dataset
from pipeline.data.threat import Threat
from pipeline.files import BadInput
from pipeline.models.population import Population, load_population
from pipeline.serving.certificate import Certifier
from pipeline.serving.served import RELEASE, Served

R, HARDER_R = 0.1, 0.3  # of the certificates of the two models, in units of scale
REACHES = (2.0, 3.0, 5.0)  # of the insider who knows of the guard, in multiples of R
LADDER = [R / 2 * step for step in range(1, 21)]  # of the one who does not
NEWS = 8  # confirmed diagnoses of one message
STEPS, SEED = 50, 0
WARDS = ("ward 1", "ward 2", "ward 3", "ward 4", "ward 5", "ward 6")
HEALTHY = 0
Forged = tuple[Array, Array]


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


# ---- the insider, who has the weights ----


@dataclass(frozen=True)
class Insider:
    """Whoever holds a copy of the release, the threat model and the same verifier."""

    model: Population
    certifier: Certifier
    x: torch.Tensor
    ill: Array

    @classmethod
    def of(cls, folder: Path, dataset: Dataset, r: float) -> "Insider":
        """Of a guard's folder, copied."""
        population = load_population(folder / RELEASE)
        threat = Threat.of(dataset.schema, Served.load(folder).threat)
        found = Certifier.of(population, dataset.schema, threat, r=r)
        return cls(population, found, dataset.x, dataset.y.numpy() != HEALTHY)

    def forged(self, eps: Sequence[float]) -> Array:
        """(E, N, D): of every patient the record within each eps where `healthy` leads most."""
        x = self.x[None]
        found = apgd(
            self.model,
            x,
            torch.ones(x.shape[:-1], dtype=torch.int64),
            self.certifier.threat,
            eps=torch.tensor(list(eps)).view(-1, 1, 1, 1),
            steps=STEPS,
            restarts=2,
            generator=torch.Generator().manual_seed(SEED),
        )
        return found[:, 0].numpy().astype(np.float64)

    def called(self, x: Array) -> Array:
        """(N,) whether the model decides: ill."""
        return np.array(self.certifier.answers(x, certify=False).decision != HEALTHY)

    def turned(self, x: Array) -> Array:
        """(N,) who is ill, is found, and is not in these records."""
        return self.ill & self.called(self.x.numpy()) & ~self.called(x)

    def passing(self, x: Array) -> Array:
        """(N,) likewise, and answered: he asks the verifier at home."""
        turned = self.turned(x)
        passing = np.zeros(len(x), dtype=bool)
        passing[turned] = self.certifier.answers(x[turned]).certified
        return passing


# ---- the acts ----


def served(guard: Guard, defense: str, r: float, *more: str, status: int = 0) -> str:
    """`medsecure serve`, up to where the folder stands."""
    words = [f"serving.r={r:g}", f"serving.port={guard.port}", *QUICK, *more]
    if defense != "baseline":
        words.insert(0, f"gate.defense={defense}")
    return guard.command("serve", *words, "--no-start", status=status)


def deploy(guard: Guard, place: Path) -> None:
    """Act 1."""
    act(1, "An audited model is served")
    say("An auditor makes a key pair, which alone opens the records of the log. The undefended "
        "model passes its gates, and its release is served.")  # fmt: skip
    guard.command("key", "auditor", str(place / "auditor.key"))
    served(guard, "baseline", R)
    roles = dict.fromkeys(WARDS, "clinician") | {"monitor": "monitor"}
    roles |= dict.fromkeys(("first administrator", "second administrator"), "administrator")
    for client, role in roles.items():
        said = guard.command("key", "new", client, "--role", role, quiet=True)
        guard.keys[client] = said.split()[0]
    say(f"Keys are issued to {len(WARDS)} wards, a monitor and two administrators.")


def honest(guard: Guard, dataset: Dataset, order: Array) -> Told:
    """Act 2."""
    act(2, "Clinicians ask, honestly")
    told = asked(guard, WARDS[0], dataset, dataset.x.double().numpy(), order)
    taken = diagnosed(guard, WARDS[0], told, order, BATCH)[0]
    count = len(told.ill)
    say(f"{WARDS[0]} asks about {count} patients of the cohort in random order, {BATCH} a request: "
        f"{share(int(told.referred.sum()), count)} are referred to a person, because an admissible "
        f"change within r = {R:g} could turn the answer. Later {taken} diagnoses are confirmed. Of "
        f"the ill who were answered, {told.missed} were missed.")  # fmt: skip
    found = guard.alarms()
    must(not found, f"honest queries raised alarms: {found}")
    say("No alarm. (The release was trained on these patients; what alarms are held against was "
        "measured of models that were not.)")  # fmt: skip
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


def attack(guard: Guard, dataset: Dataset, order: Array, plain: Told) -> list[Forged]:
    """Act 3; for each reach who passed, (N,), and all forged records, (N, D)."""
    act(3, "An insider forges the records of ill patients")
    insider = Insider.of(guard.folder, dataset, R)
    x, count = dataset.x.double().numpy(), int(insider.ill.sum())
    say(f"He has the weights, the threat model and the verifier, and changes laboratory values and "
        f"measurements of the {count} ill so that they look healthy; each time all patients of the "
        "cohort are asked about once more, by another ward, so that figures compare.")  # fmt: skip
    within, *wide = insider.forged([R, *(R * one for one in REACHES)])

    where = insider.turned(within)
    told = asked(guard, WARDS[1], dataset, np.where(where[:, None], within, x), order)
    before = len(guard.alarms())
    passed = int((told.healthy & where).sum())
    say(f"{WARDS[1]}, within r: {int(where.sum())} of the {count} ill would be decided healthy. "
        f"Answered so: {passed}; all are referred, as proved.{heard(guard, 0)}")  # fmt: skip
    must(passed == 0 and bool(told.referred[where].all()), "an answer within r was turned")

    nearest, reached = x.copy(), np.zeros(len(x), dtype=bool)
    for each in insider.forged(LADDER):
        new = insider.turned(each) & ~reached
        nearest[new], reached = each[new], reached | new
    told = asked(guard, WARDS[2], dataset, nearest, order)
    passed, sent = int((told.healthy & reached).sum()), int(reached.sum())
    say(f"{WARDS[2]}, just over the line, as an attacker does who does not know of the guard: of "
        f"{sent} forged records {int((told.referred & reached).sum())} are referred, {passed} "
        f"answered.{heard(guard, before)}")  # fmt: skip
    must(any(one.startswith("referrals:") for one in guard.alarms()), "referrals were not noticed")

    streams, kept, before = [], [], len(guard.alarms())
    for ward, reach, forged in zip(WARDS[3:], REACHES, wide, strict=True):
        where = insider.passing(forged)
        told = asked(guard, ward, dataset, np.where(where[:, None], forged, x), order)
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
    noticed(guard, dataset, order, streams)
    return kept


def heard(guard: Guard, before: int) -> str:
    """The alarms since there were so many, in words."""
    found = guard.alarms()
    new = found[: len(found) - before]
    names = sorted({one.partition(":")[0] for one in new})
    return f" Alarms: {', '.join(names)}." if new else " No alarm."


def noticed(
    guard: Guard, dataset: Dataset, order: Array, streams: Sequence[tuple[str, Told]]
) -> None:
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
    (one,) = answers(guard, WARDS[0], dataset.schema, dataset.x.double().numpy()[:1])
    must("referred" in one, "an answer left while everything is to be referred")


def stopped(guard: Guard, dataset: Dataset, place: Path) -> None:
    """Act 5."""
    act(5, "Stop, and look")
    guard.command("stop", "--reason", "missed diagnoses rise")
    body = {"records": as_json(dataset.schema, dataset.x.double().numpy()[:1])}
    status, said = guard.call(WARDS[0], "/v1/predict", body)
    say(f"{WARDS[0]} asks: status {status}, {said}")
    must(status == 503, f"a stopped guard said {status}")
    say("The auditor opens what the last ward asked, asks the same model again, and asks which "
        "answers a larger r would have referred.")  # fmt: skip
    out, key = place / "incident", str(place / "auditor.key")
    words = ("--client", WARDS[-1], "--key", key, "--r", f"{HARDER_R:g}", "--out", str(out))
    guard.command("incident", *words)
    found = json.loads((out / "incident.json").read_text(encoding="utf-8"))
    again = found["replayed"]
    must(len(again) == len(dataset.y), "not every row was replayed")
    must(all(one["same"] for one in again), "a row was not the same again")
    guard.command("log", "verify")


def hardened(guard: Guard, dataset: Dataset, order: Array, kept: Sequence[Forged]) -> None:
    """Act 6, of which the folder is made while nothing is served."""
    act(6, "A harder model, through the gate")
    say("Adversarial training is the candidate. Its gates refuse it first: somebody must accept "
        "what it costs.")  # fmt: skip
    said = served(guard, "adv_train", HARDER_R, status=2)
    must("harms_a_group" in said, "the gate refused for another reason")
    reason = "those below 30 get a second test; agreed for this exercise"
    served(guard, "adv_train", HARDER_R, f'+gate.accept.harms_a_group="{reason}"')
    with guard.serving():
        must(guard.state() == "stopped", "a restart ended the stop")
        for who in ("first administrator", "first administrator", "second administrator"):
            must(guard.state() == "stopped", "one administrator started it alone")
            guard.command("start", "--reason", "another model", key=who)
        must(guard.state() == "serving", "two administrators did not start it")
        again(guard, dataset, order, kept)
    guard.command("log", "verify")


def again(guard: Guard, dataset: Dataset, order: Array, kept: Sequence[Forged]) -> None:
    """The same attack on the harder model, and one made for it."""
    x = dataset.x.double().numpy()
    plain = asked(guard, WARDS[0], dataset, x, order)
    say(f"Honestly: {share(int(plain.referred.sum()), len(x))} are referred at r = {HARDER_R:g}; "
        f"of the ill who are answered {plain.missed} are missed.")  # fmt: skip
    insider = Insider.of(guard.folder, dataset, HARDER_R)
    count = int(insider.ill.sum())
    anew = insider.forged([R * one for one in REACHES])
    for ward, reach, (before, old), new in zip(WARDS[3:], REACHES, kept, anew, strict=True):
        said = answers(guard, ward, dataset.schema, old[before])
        passed = np.array([one.get("decision") == plain.healthy_word for one in said])
        away, sent = sum("referred" in one for one in said), int(before.sum())
        turned = int((passed & insider.called(x[before])).sum())
        where = insider.passing(new)
        own = answers(guard, ward, dataset.schema, new[where])
        got = sum(one.get("decision") == plain.healthy_word for one in own)
        must(got == int(where.sum()), "the guard's verifier said otherwise than the insider's")
        say(f"Forged up to {reach * R:g}: of the same {sent} records, all of which passed before, "
            f"{share(turned, sent)} are turned and answered now, {away} are referred; "
            f"{int(passed.sum()) - turned} are of ill whom this model misses without attack, too. "
            f"Forged anew for this model: {share(got, count)} of the ill are turned and answered; "
            f"before: {share(sent, count)}.")  # fmt: skip
        must(turned < sent or not sent, "as many of the same records pass as before")
        must(got < sent or not sent, "as many pass as before")
        must(reach * R > HARDER_R + 1e-9 or turned == got == 0, "an answer within r was turned")


def story() -> None:
    """All acts, in a temporary folder."""
    dataset = load_dataset(Path("artifacts/prepare"))
    order = np.random.default_rng(SEED).permutation(len(dataset.y))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        guard = Guard(place / "guard", free_port())
        deploy(guard, place)
        with guard.serving():
            plain = honest(guard, dataset, order)
            kept = attack(guard, dataset, order, plain)
            stopped(guard, dataset, place)
        hardened(guard, dataset, order, kept)


def main() -> int:
    """The exit status."""
    torch.set_num_threads(1)
    before = time.monotonic()
    try:
        story()
    except Otherwise as error:
        print(f"\nNOT as it should be: {error}", file=sys.stderr)
        return 1
    except BadInput as error:  # there is no run, or not a whole one
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\nEvery step came out as it should, in {time.monotonic() - before:.0f} seconds.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
