"""The server's side: our rules of aggregation, and no sum in the order of arrival."""

import torch
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.aggregators.model_aggregator import ModelAggregator

from pipeline.defenses.federated.aggregate import Exchange, aggregated
from pipeline.defenses.federated.flare.wire import NUMBERS, WEIGHTS


class InOrder(ModelAggregator):
    """Waits for every hospital, then aggregates in the order of their names.

    NVFlare adds up as results arrive, so that the last digits differ from run to run; and it counts
    every hospital once unless each says how many steps it took.
    """

    def __init__(self, rule: str, tolerated: int, hospitals: int) -> None:
        """Arguments as of `aggregated`; `hospitals` is how many there are."""
        super().__init__()
        # NVFlare reads these back by the names of the arguments, to write the job
        self.rule, self.tolerated, self.hospitals = rule, tolerated, hospitals
        self.got: dict[str, FLModel] = {}

    def reset_stats(self) -> None:
        """A round begins."""
        self.got = {}

    def accept_model(self, model: FLModel) -> None:
        """What one hospital sends."""
        self.got[model.meta["client_name"]] = model

    def aggregate_model(self) -> FLModel:
        """The global weights after this round.

        Raises:
            RuntimeError: a hospital did not answer; a round without it would be another result.
        """
        if len(self.got) != self.hospitals:
            raise RuntimeError(f"{len(self.got)} of {self.hospitals} hospitals answered")
        sent = [self.got[name].params for name in sorted(self.got)]
        updates = torch.stack([torch.from_numpy(one[WEIGHTS]) for one in sent])
        records = torch.stack([torch.from_numpy(one[NUMBERS]) for one in sent])
        # A member that no hospital trains comes back as it was sent out, from each of them.
        exchange = Exchange(0, updates[0], updates, records)
        aggregate = aggregated(self.rule, self.tolerated)
        return FLModel(params={WEIGHTS: aggregate(exchange).numpy()})
