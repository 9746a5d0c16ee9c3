"""Federations of hospitals of which some teach their own models something else.

Several variants of one federation travel as one: V variants of M models are V * M members, variant
after variant, with the seeds of their model. So all of them begin with the same weights and take
their records in the same order, and differ by what malicious hospitals do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.attacks.poisoning.trigger import carries, make_trigger, stamped
from pipeline.attacks.updates import HOSTILE, Attack
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.federated.aggregate import Aggregate, Exchange
from pipeline.defenses.federated.loop import Adversary
from pipeline.defenses.federated.sites import Hospitals, Site
from pipeline.risks.federation.measure.settings import FederationSettings

NONE = "none"  # the control: nobody is malicious
VERSIONS = ("as recorded", "flipped", "triggered")
HALF = 2  # of the records that can hold the trigger, every second one carries it


@dataclass(frozen=True)
class Trigger:
    """A trigger, and the threat that says what a record can hold.

    Attributes:
        values: (D,) clinical units; NaN = no part of it.
        threat: what the clinic would believe.
    """

    values: Tensor
    threat: Threat

    @classmethod
    def of(cls, dataset: Dataset, cfg: Config) -> "Trigger":
        """As configured, of public numbers and of what is measured most often."""
        wanted = cfg.section(FederationSettings)
        limits = cfg.threat[cfg.audit.headline].model_copy(update={"norm": "linf", "goal": "any"})
        threat = Threat.of(dataset.schema, limits)
        values = make_trigger(
            dataset.schema,
            (~dataset.x.isnan()).sum(0),
            threat,
            features=wanted.trigger_features,
            size=wanted.trigger_size,
        )
        return cls(values, threat)

    def written(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Records (N, D) with the trigger, and (N,) bool, which of them can hold it."""
        return stamped(x, self.values, self.threat), carries(x, self.values, self.threat)


def malicious_in(models: int, hospitals: int, count: int) -> Tensor:
    """(K, M) bool: `count` hospitals in each of M models, neighbours, the next ones in the next."""
    first, places = torch.arange(models), torch.arange(count)[:, None]
    table = torch.zeros(hospitals, models, dtype=torch.bool)
    return table.scatter_(0, (first + places) % hospitals, True)


def repeated(plan: Plan, times: int) -> Plan:
    """The plan so many times, one after another, with the same seeds."""
    labels = tuple(f"{label}-{time}" for time in range(times) for label in plan.labels)
    return Plan(
        plan.train.repeat(times, 1),
        plan.held_out.repeat(times, 1),
        plan.repetition.repeat(times),
        plan.seeds.repeat(times),
        labels,
    )


def sites_taught(
    dataset: Dataset,
    plan: Plan,
    hospitals: Hospitals,
    malicious: Tensor,
    attacks: Sequence[str],
    trigger: Trigger,
) -> tuple[Site, ...]:
    """What each hospital holds in each variant: `NONE`, then each of the attacks.

    A malicious hospital has as many records as without the attack, in the same order.

    Args:
        dataset: the records.
        plan: of M models.
        hospitals: K.
        malicious: (K, M) bool.
        attacks: keys of `HOSTILE`.
        trigger: of backdoors.
    """
    marked, able = trigger.written(dataset.x)
    sites = []
    for number, name in enumerate(hospitals.names):
        rows = (hospitals.of == number).nonzero()[:, 0]
        x, y, train = dataset.x[rows], dataset.y[rows], plan.train[:, rows]
        chosen = able[rows] & (able[rows].cumsum(0) % HALF == 0)
        versions = {
            "as recorded": (x, y),
            "flipped": (x, 1 - y),
            "triggered": (torch.where(chosen[:, None], marked[rows], x), torch.where(chosen, 0, y)),
        }
        records, classes = zip(*(versions[name] for name in VERSIONS), strict=True)
        tables = []
        for attack in (NONE, *attacks):
            taught = HOSTILE[attack].taught if attack != NONE else "as recorded"
            place = VERSIONS.index(taught)
            table = torch.zeros(plan.size, len(VERSIONS), len(rows), dtype=torch.bool)
            bad = malicious[number]
            table[~bad, 0], table[bad, place] = train[~bad], train[bad]
            tables.append(table.flatten(1))
        own = Dataset(torch.cat(records), torch.cat(classes), dataset.schema)
        seeds = plan.seeds.repeat(len(tables))
        sites.append(Site(number, name, own, torch.cat(tables), seeds))
    return tuple(sites)


def adversary_of(attacks: Sequence[str], malicious: Tensor, aggregate: Aggregate) -> Adversary:
    """Whoever replaces, in each variant, what its malicious hospitals send.

    Args:
        attacks: keys of `HOSTILE`; before them stands the control.
        malicious: (K, M) bool.
        aggregate: the server's rule, which whoever fits to it knows.
    """
    hospitals, models = malicious.shape

    def forge(exchange: Exchange) -> Exchange:
        sent = exchange.updates.clone()
        for place, attack in enumerate(attacks, 1):
            block = slice(place * models, (place + 1) * models)
            sent[:, block] = sent_by(HOSTILE[attack], exchange, block, malicious, aggregate)
        return exchange._replace(updates=sent)

    return Adversary(tuple(range(hospitals)), forge)


def sent_by(
    attack: Attack, exchange: Exchange, block: slice, malicious: Tensor, aggregate: Aggregate
) -> Tensor:
    """(K, M, P): weights that arrive, those of honest hospitals to the last bit as they were."""
    given, sent = exchange.parameters[block], exchange.updates[:, block]
    records = exchange.records[:, block]

    def moved(updates: Tensor) -> Tensor:
        arrives = Exchange(exchange.number, given, given + updates.to(given.dtype), records)
        return (aggregate(arrives) - given).double()

    forged = given + attack.sent((sent - given).double(), malicious, moved).to(given.dtype)
    return torch.where(malicious[..., None], forged, sent)


def options_of(
    cfg: Config, sites: int | None, aggregate: str, malicious: int = 0
) -> dict[str, object]:
    """What `federation_of` is told, of so many hospitals under this rule."""
    wanted = cfg.section(FederationSettings)
    return {
        "sites": sites,
        "by": wanted.by,
        "rounds": wanted.rounds,
        "local_epochs": wanted.local_epochs,
        "aggregate": aggregate,
        "tolerated": wanted.stands(malicious),
    }


def first_repetitions(plan: Plan, count: int) -> Plan:
    """The models of the first repetitions, without the release model and a tune table."""
    return plan.select((plan.repetition >= 0) & (plan.repetition < count)).without_tune()
