"""What private trainings of a federation claim: recomputed, and audited as `dp_train` is.

Of records: by canaries in noisy gradients, through the rounds of a hospital. Of hospitals: by
canary hospitals in what a noisy server makes of them. Each sends a change far beyond the bound in a
weight of its own, or none, by its own coin; the auditor adds up what the global model moves in all
rounds, and looks along that weight. So the mechanism is run as it is, on models of as many weights
as there are canaries: what it adds to one weight is independent of the others.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.federated.aggregate import Aggregate, Exchange
from pipeline.defenses.federated.private import noisy_rounds
from pipeline.defenses.federated.server import HOSPITAL, ServerNoise, noisy_server
from pipeline.defenses.privacy import noisy_fit
from pipeline.risks.membership.measure.claims import audit_claim, recomputed_claim, refute
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.membership.measure.white_box import FAR, shown_by
from pipeline.seeds import Stream, of
from pipeline.statistics.epsilon_bounds import Slots

CANARIES = 64  # hospitals in one run, and weights of the model


def claim_of(name: str, facts: Mapping[str, Any], dataset: Dataset, cfg: Config) -> dict[str, Any]:
    """What a private recipe claims, beside a second accountant's figures and an audit.

    Args:
        name: of the recipe.
        facts: of the population that it trained.
        dataset: whose schema canaries have.
        cfg: the model, and how much is audited.

    Returns:
        as `recomputed_claim`; `neighbouring`, what is added or removed; `against` whom; `audit` as
        `white_box_audit`; `noise`, as the training measured it, over what is claimed.

    Raises:
        FailedCheck: the claim is contradicted.
    """
    guarantee = facts["guarantee"]
    recomputed = recomputed_claim(name, guarantee)
    if guarantee["neighbouring"] == HOSPITAL:
        audit = audit_server(name, cfg, guarantee)
    else:
        train = noisy_rounds(guarantee["rounds"]) if "rounds" in guarantee else noisy_fit
        audit = audit_claim(name, dataset, cfg, guarantee, train)
    return {
        **recomputed,
        "neighbouring": guarantee["neighbouring"],
        "against": guarantee.get("against", "whoever gets the model"),
        "audit": audit,
        "noise": facts["measured"]["checks"][0]["noise"]["measured"],
    }


def audit_server(name: str, cfg: Config, guarantee: Mapping[str, Any]) -> dict[str, Any]:
    """The audit of a noisy server at its own numbers.

    Raises:
        FailedCheck: it proves a larger epsilon than is claimed.
    """
    runs = max(2, cfg.section(MembershipSettings).canaries // CANARIES)
    how = ServerNoise(guarantee["noise_multiplier"], guarantee["max_grad_norm"], CANARIES)
    found = server_slots(how, guarantee["rounds"], runs, cfg.seed)
    delta = float(guarantee["delta"])
    audit = {**shown_by(found, delta, cfg.audit.confidence, gaussian=True), "runs": runs}
    refute(name, float(guarantee["epsilon"]), audit)
    return audit


def server_slots(how: ServerNoise, rounds: int, runs: int, seed: int) -> Slots:
    """What the auditor sees of so many runs, each with `how.hospitals` canaries.

    Args:
        how: the mechanism; of as many hospitals as canaries.
        rounds: of each run.
        runs: R, models of one federation.
        seed: of the coins and the noise.
    """
    count, unit = how.hospitals, how.noise_multiplier or 1.0
    plan = Plan.random_halves(count, models=runs, seed=of(Stream.CANARY_HOSPITALS, seed))
    coins = plan.train
    seen = _look(noisy_server(how, plan.seeds), how, coins, rounds)
    score = seen / (unit * how.clip * rounds**0.5)
    flat = score.flatten().numpy()
    return Slots(flat, coins.flatten().numpy(), flat * 0 + 1, rounds**0.5 / unit)


def _look(server: Aggregate, how: ServerNoise, coins: Tensor, rounds: int) -> Tensor:
    """(R, K) float64: what each canary's own weight moves in all rounds, as a sum of hospitals."""
    runs, count = coins.shape
    still = torch.zeros(runs, count)
    # hospital k moves weight k alone
    sent = torch.diag_embed(coins.float() * FAR * how.clip).transpose(0, 1)
    records = torch.ones(count, runs)
    moved = [server(Exchange(number, still, sent, records)) for number in range(rounds)]
    return torch.stack(moved).double().sum(0) * count
