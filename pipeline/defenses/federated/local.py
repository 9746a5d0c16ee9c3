"""What a hospital does in a round: ordinary training on its own records, from the global weights.

It keeps nothing between rounds: the optimiser begins anew, so that a round is a pure function.
"""

from dataclasses import dataclass

from pipeline.config import TrainConfig
from pipeline.defenses.federated.loop import Local, Sent, packed, unpacked
from pipeline.defenses.federated.sites import Site
from pipeline.models.designs import AnyArchitecture, public_constants
from pipeline.models.mlp import Parameters
from pipeline.models.training import fit, mean_gradient, rates, shuffled, steps_in_pass


@dataclass(frozen=True)
class Training:
    """Numbers that every hospital is told.

    Attributes:
        architecture: of every member.
        train: batch size, learning rate, its schedule over all rounds, weight decay; `epochs` is
            not read.
        rounds: of the federation.
        local_epochs: passes over a hospital's records in each round.
    """

    architecture: AnyArchitecture
    train: TrainConfig
    rounds: int
    local_epochs: int


def ordinary(training: Training) -> Local:
    """Training as `undefended` does it, on public preprocessing: nothing of a record is shared.

    One hospital that trains in one round does what central training does on the same seeds.
    """
    own = training.train.model_copy(update={"epochs": training.local_epochs})
    whole = own.model_copy(update={"epochs": training.rounds * training.local_epochs})
    architecture = training.architecture

    def local(parameters: Parameters, site: Site, number: int) -> Sent:
        array, members = packed(parameters), site.train.any(1).nonzero()[:, 0]
        if not len(members):
            return Sent(array, site.records)
        plan = site.plan(number, members)
        steps = own.epochs * steps_in_pass(plan.train, own)
        trained = fit(
            site.dataset,
            plan,
            architecture,
            draw=shuffled(own),
            gradient=mean_gradient(architecture),
            learning_rate=rates(plan.train, whole)[number * steps : (number + 1) * steps],
            weight_decay=own.weight_decay,
            preprocessing=public_constants(architecture, site.dataset.schema, plan.size),
            start=unpacked(array[members], parameters),
            steady=True,
            name=site.name,
        )
        return Sent(array.index_copy(0, members, packed(trained.parameters)), site.records)

    return local
