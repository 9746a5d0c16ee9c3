"""All that is known of a defense when it is judged: outcomes, measurements, access."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.attacks.evasion import Access, Attacker, Steps
from pipeline.risks.evasion.measure.margins import Margins

MEASUREMENTS = {
    "zero_gradient_share": "share of rightly answered records without a gradient",
    "gradient_agreement": "cosine with finite differences",
    "nondeterminism": "largest difference of two answers, in logits",
    "answers_are_probabilities": "share of answers that look like a softmax",
    "convergence_gap": "accuracy that twice the steps take away",
    "unbounded_accuracy": "accuracy left without any limit",
    "violations": "values outside the threat model",
    "attack_beats_proof": "records broken, or pushed further, than was proved possible",
}


Sides = tuple[list[str], list[str]]  # favourites, outsiders


@dataclass(frozen=True)
class Evidence:
    """All that is known of one defense.

    Attributes:
        by_threat: what the attacks did, by threat model.
        attackers: what is known of each attack, by its name there; rules read this, not the name.
        diagnostics: some of `MEASUREMENTS`; what is absent was not measured and raises nothing.
        auroc_ceiling: above it a clean AUROC is taken for a leak; None = nobody set one.
        movable: by threat and radius, where people compare: the share of patients who have at least
            one admitted change.
        repaired: threats whose records are repaired until they keep relations, where the same one
            without them is there too: no attack duels there, as what a repair takes from a gradient
            says nothing of the model.

    Raises:
        ValueError: a measurement is unknown, or nothing is known of an attack: it would silently
            count for nothing.
    """

    by_threat: Mapping[str, Margins]
    attackers: Mapping[str, Attacker]
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    auroc_ceiling: float | None = None
    movable: Mapping[tuple[str, float], float] = field(default_factory=dict)
    repaired: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuses what no rule would read."""
        if unknown := [name for name in self.diagnostics if name not in MEASUREMENTS]:
            raise ValueError(
                f"no rule reads the measurement {', '.join(unknown)}; known: "
                f"{', '.join(MEASUREMENTS)}"
            )
        attacks = dict.fromkeys(
            name for margins in self.by_threat.values() for name in margins.by_attack
        )
        if lacking := [name for name in attacks if name not in self.attackers]:
            raise ValueError(f"nothing is known of the attack {', '.join(lacking)}")

    def attacks(self, margins: Margins, *access: Access, steps: Steps | None = None) -> list[str]:
        """The attacks with one of these kinds of access, and so many steps."""
        known = {name: self.attackers[name] for name in margins.by_attack}
        return [
            name
            for name, one in known.items()
            if one.access in access and steps in (None, one.steps)
        ]

    def must_beat(self, margins: Margins, *access: Access) -> Sides:
        """The attacks that must beat those with such access; and those with it.

        Who recodes does what the others cannot, so nobody must beat him.
        """
        others = [
            name for name in self.attacks(margins, *access) if not self.attackers[name].discrete
        ]
        named = [
            name
            for name in margins.by_attack
            if self.attackers[name].must_beat.intersection(access)
        ]
        return named, others

    @property
    def first(self) -> Margins:
        """Those of any threat: unchanged records are the same under every threat."""
        return next(iter(self.by_threat.values()))


@dataclass(frozen=True)
class Duel:
    """The best of the favourites against the best of the outsiders, at one radius."""

    threat: str
    eps: float
    favourite: str
    outsider: str
    clean: float  # accuracy without any attack
    under_favourite: float
    under_outsider: float
    under_all: float  # per record, and over all smaller radii

    @property
    def gap(self) -> float:
        """By how much accuracy the favourite lost; positive = it lost."""
        return self.under_favourite - self.under_outsider


def duels(evidence: Evidence, sides: Callable[[Margins], Iterable[Sides]]) -> Iterator[Duel]:
    """A duel at every radius of every threat between the sides there are.

    None where a side is empty.
    """
    for threat, margins in evidence.by_threat.items():
        if threat in evidence.repaired:
            continue
        accuracy, suite = margins.accuracy, (margins.worst > 0).mean((1, 2))
        for favourites, outsiders in sides(margins):
            for at, eps in enumerate(margins.eps if favourites and outsiders else ()):
                ours, theirs = (
                    min(names, key=lambda name: accuracy[name][at])
                    for names in (favourites, outsiders)
                )
                clean, mine, other = accuracy[ours][0], accuracy[ours][at], accuracy[theirs][at]
                yield Duel(
                    threat,
                    float(eps),
                    ours,
                    theirs,
                    float(clean),
                    float(mine),
                    float(other),
                    float(suite[at]),
                )
