"""A case: several contenders at one task, what it took them, and how good the result was."""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from benchmarks.problem import THREADS, Problem
from benchmarks.timing import Timing, interleaved
from pipeline.files import BadInput

OURS = "medsecure"


@dataclass(frozen=True)
class Contender:
    """One way to do the task.

    Attributes:
        run: does it; takes the number of the round, so that a peer that trains one model can train
            another each round.
        quality: of what the rounds returned.
        models: how many models one run trains, where the task is to train models.
    """

    run: Callable[[int], Any]
    quality: Callable[[list[Any]], float]
    models: int = 1


@dataclass(frozen=True)
class Case:
    """A task.

    Attributes:
        title: what is timed, for people.
        quality: what the quality is, for people.
        better: which quality is better: an attack is better when it leaves less accuracy.
        targets: for each peer, by its name on the package index, how many times faster we mean to
            be.
        contenders: builds them, `OURS` first.
        models: seconds are given for this many models, however many a contender trains in one run.
        repeats: counted rounds.
    """

    title: str
    quality: str
    better: Literal["higher", "lower"]
    targets: dict[str, float]
    contenders: Callable[[Problem], dict[str, Contender]]
    models: int = 1
    repeats: int = 5


# The module that each peer is imported as; torch is its own peer.
MODULES = {
    "adversarial-robustness-toolbox": "art.estimators.classification",
    "dtai-veritas": "veritas",
    "foolbox": "foolbox",
    "opacus": "opacus",
    "opacus, ghost clipping": "opacus",
    "tabularbench": "tabularbench.attacks",
    "torch, tight loop": "torch",
    "torchattacks": "torchattacks",
}
# Those that ask for more than they need, or for another Python: the Makefile installs them alone.
APART = ("torchattacks", "tabularbench", "pymoo", "autograd")


def require_peers(peers: Iterable[str]) -> None:
    """Imports every peer, before anything is measured.

    Raises:
        BadInput: one is not installed.
    """
    for peer in peers:
        try:
            importlib.import_module(MODULES.get(peer, peer))
        except ImportError as error:
            how = (
                f"pip install --no-deps --ignore-requires-python {peer}"
                if peer in APART
                else "pip install -e '.[bench]'"
            )
            raise BadInput(
                f"benchmarks: {peer} cannot be imported ({error}); `make bench`, or {how}"
            ) from error


def measure(name: str, case: Case, problem: Problem) -> list[dict[str, Any]]:
    """Runs a case; one entry per peer."""
    contenders = case.contenders(problem)
    timings = interleaved(
        {key: contender.run for key, contender in contenders.items()}, case.repeats
    )

    def seconds(key: str, of: Callable[[Timing], float]) -> float:
        return of(timings[key]) * case.models / contenders[key].models

    def figures(key: str, prefix: str) -> dict[str, float]:
        statistics: dict[str, Callable[[Timing], float]] = {
            "s": lambda t: t.median,
            "min": lambda t: min(t.seconds),
            "max": lambda t: max(t.seconds),
        }
        return {
            f"{prefix}_{suffix}": round(seconds(key, of), 6) for suffix, of in statistics.items()
        }

    def entry(peer: str) -> dict[str, Any]:
        ours, theirs = figures(OURS, "ours"), figures(peer, "peer")
        result = {
            "case": name,
            "peer": peer,
            "peer_version": version_of(peer.partition(",")[0]),
            **ours,
            **theirs,
            "ratio": round(theirs["peer_s"] / ours["ours_s"], 2),
            "target": case.targets[peer],
            "quality": case.quality,
            "better": case.better,
            "quality_ours": round(contenders[OURS].quality(timings[OURS].results), 5),
            "quality_peer": round(contenders[peer].quality(timings[peer].results), 5),
            "repeats": case.repeats,
            "threads": THREADS,
        }
        if contenders[peer].models != case.models:
            result["scaled_from"] = contenders[peer].models
        if contenders[OURS].models != case.models:
            result["ours_models_at_once"] = contenders[OURS].models
        return result

    return [entry(peer) for peer in case.targets]


def version_of(package: str) -> str:
    """The installed version of a package."""
    try:
        return version(package).split("+")[0]
    except PackageNotFoundError:
        return "unknown"
