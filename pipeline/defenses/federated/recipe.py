"""The recipe of federated training, and its parts for whoever runs them otherwise."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pipeline.config import Config, Count
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.federated.aggregate import AGGREGATES, Aggregate, aggregated, check_enough
from pipeline.defenses.federated.flare.engine import federate_through
from pipeline.defenses.federated.local import Training, ordinary
from pipeline.defenses.federated.loop import Local, federate
from pipeline.defenses.federated.sites import Hospitals, Site, hospitals_of, sites_of
from pipeline.defenses.undefended import architecture_for
from pipeline.models.designs import Trained, initialised, population_of, public_constants
from pipeline.models.mlp import Parameters
from pipeline.validation import check_names


def _known(name: str) -> str:
    check_names([name], AGGREGATES, "aggregate", "rule of aggregation")
    return name


Rule = Annotated[str, AfterValidator(_known)]
Tolerated = Annotated[int, Field(ge=0)]
Engine = Literal["loop", "nvflare", "nvflare_processes"]
# where somebody else than one hospital looks at scores of records
CUT = "on scores of all hospitals together, which each would have to send"


@dataclass(frozen=True)
class Federation:
    """All that a federated run is made of.

    Attributes:
        hospitals: who they are.
        sites: what each holds.
        start: weights of M members, as central training draws them.
        training: what every hospital is told.
        local: what a hospital does.
        aggregate: what the server does.
    """

    hospitals: Hospitals
    sites: tuple[Site, ...]
    start: Parameters
    training: Training
    local: Local
    aggregate: Aggregate

    def population(self, parameters: Parameters, dataset: Dataset, plan: Plan) -> Trained:
        """The models with these weights."""
        constants = public_constants(self.training.architecture, dataset.schema, plan.size)
        parts = (constants, parameters, plan.labels)
        return population_of(self.training.architecture, *parts)


def federation_of(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    sites: int | None,
    by: str | None,
    rounds: int,
    local_epochs: int,
    aggregate: str,
    tolerated: int,
    section: str = "federated",
) -> Federation:
    """The parts of `train_federated`; arguments and errors as there, which name the section."""
    hospitals = hospitals_of(dataset, sites, by, section)
    check_enough(aggregate, tolerated, len(hospitals.names), section)
    training = Training(architecture_for(dataset, cfg), cfg.train, rounds, local_epochs)
    return Federation(
        hospitals,
        sites_of(dataset, plan, hospitals),
        initialised(training.architecture, plan.seeds),
        training,
        ordinary(training),
        aggregated(aggregate, tolerated),
    )


def train_federated(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    sites: Count | None,
    by: str | None,
    rounds: Count,
    local_epochs: Count,
    aggregate: Rule,
    tolerated: Tolerated,
    engine: Engine,
) -> Trained:
    """FedAvg among hospitals that keep their records, or a robust rule in its place.

    McMahan et al. 2017, arXiv:1602.05629. Preprocessing uses the schema's public constants. The
    server sees every hospital's weights of every round, and nothing is encrypted from it: this
    keeps records where they are, and promises no privacy (docs/federated.md).

    Args:
        dataset: the records.
        plan: who trains.
        cfg: the model, and the numbers of `train` but for its epochs.
        sites: how many hospitals the cohort is cut into; None = those that the data set names.
        by: the feature that tells made-up hospitals apart.
        rounds: of local training and aggregation.
        local_epochs: passes over a hospital's records in each round.
        aggregate: a key of `AGGREGATES`.
        tolerated: how many hospitals may be malicious; the mean stands none.
        engine: `loop` is our own; `nvflare` simulates hospitals, each a process;
            `nvflare_processes` provisions a server and hospitals that speak mutual TLS on this
            machine. All three give the same bytes.

    Returns:
        the population; `facts["federated"]` says who the hospitals are and what is shared.

    Raises:
        BadInput: there are no such hospitals, or too few of them for the rule; NVFlare is needed
            and not installed.
        FailedCheck: NVFlare failed.
    """
    federation = federation_of(
        dataset,
        plan,
        cfg,
        sites=sites,
        by=by,
        rounds=rounds,
        local_epochs=local_epochs,
        aggregate=aggregate,
        tolerated=tolerated,
    )
    parties = federation.sites, federation.start
    if engine == "loop":
        parameters = federate(*parties, rounds, federation.local, federation.aggregate)
    else:
        parameters = federate_through(
            engine,
            *parties,
            cfg,
            rounds=rounds,
            local_epochs=local_epochs,
            aggregate=aggregate,
            tolerated=tolerated,
        ).parameters
    population = federation.population(parameters, dataset, plan)
    population.facts["federated"] = said_of(federation, aggregate, tolerated) | {
        "local_epochs": local_epochs,
        "engine": engine,
        "server_sees": "each hospital's weights in each round, and its number of records",
        "cut_is_chosen": CUT,
        "not_promised": "privacy of records against the server or other hospitals",
    }
    return population


def said_of(federation: Federation, aggregate: str, tolerated: int) -> dict[str, Any]:
    """What a recipe says of its federation, JSON-able; no count of records."""
    return {
        "hospitals": len(federation.sites),
        "parted_by": federation.hospitals.rule,
        "rounds": federation.training.rounds,
        "aggregate": aggregate,
        "tolerated": tolerated,
        "preprocessing": "public constants",
        "hospital_sees": "the global weights of each round",
    }
