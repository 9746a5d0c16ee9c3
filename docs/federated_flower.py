"""Our federation on Flower's engine, in an environment of its own (docs/federated.md).

    PYTHONPATH=. flower/bin/python docs/federated_flower.py

Four hospitals, two models, three rounds under the median, of the cohort that `params.yaml` names;
then the same by our own loop.
"""

import time

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation
from torch import Tensor

from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.defenses.federated.aggregate import Exchange
from pipeline.defenses.federated.loop import federate, packed, unpacked
from pipeline.defenses.federated.recipe import federation_of
from pipeline.files import repository_root
from pipeline.params import load

ROUNDS = 3
cfg = load(repository_root() / "params.yaml")
dataset, _ = read_raw(cfg.data, repository_root())
plan = Plan.of(dataset, cfg.plan, cfg.seed).select(torch.arange(2))
options = {"sites": 4, "by": "age", "local_epochs": 1, "aggregate": "median", "tolerated": 1}
parts = federation_of(dataset, plan, cfg, rounds=ROUNDS, **options)
client, server = ClientApp(), ServerApp()


def packet(array: Tensor) -> ArrayRecord:
    """An array as Flower sends it."""
    return ArrayRecord([array.numpy()])


def array_of(record: ArrayRecord) -> Tensor:
    """What `packet` packed."""
    return torch.from_numpy(np.array(record.to_numpy_ndarrays()[0]))


@client.train()
def train(message: Message, context: Context) -> Message:
    """A round of one hospital. Here each process reads the cohort; a real one holds its own."""
    site = parts.sites[context.node_config["partition-id"]]
    number = int(message.content["round"]["number"])
    start = unpacked(array_of(message.content["weights"]), parts.start)
    update, records = parts.local(start, site, number)
    who = MetricRecord({"number": site.number})
    reply = {"weights": packet(update), "records": packet(records), "site": who}
    return Message(RecordDict(reply), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """All rounds; hospitals in their own order, whichever answers first."""
    weights = packed(parts.start)
    while len(nodes := list(grid.get_node_ids())) < len(parts.sites):
        time.sleep(0.1)
    for number in range(ROUNDS):
        content = {"weights": packet(weights), "round": MetricRecord({"number": number})}
        asked = [Message(RecordDict(content), node, "train") for node in nodes]
        came = sorted(grid.send_and_receive(asked), key=lambda one: one.content["site"]["number"])
        updates, records = (
            torch.stack([array_of(one.content[name]) for one in came])
            for name in ("weights", "records")
        )
        weights = parts.aggregate(Exchange(number, weights, updates, records))
    ours = packed(federate(parts.sites, parts.start, ROUNDS, parts.local, parts.aggregate))
    print(f"Flower and our loop differ by {float((weights - ours).abs().max()):g} at most")


if __name__ == "__main__":
    run_simulation(server, client, num_supernodes=len(parts.sites))
