"""What a GPU makes of populations: speed, agreement with the processor, the same bytes twice.

    python -m benchmarks.gpu                 on a GPU, in minutes; JSON to standard output
    python -m benchmarks.gpu --out gpu.json  into a file
    python -m benchmarks.gpu --cpu           the same code, tiny, on the processor: no figure

`benchmarks/gpu.json` is what one H200 gave (docs/speed.md). Without a GPU it says so in a line,
status 2.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from torch import Tensor

from benchmarks.images import Scans, load_scans, made_up
from benchmarks.problem import Problem, load_problem
from pipeline.attacks.evasion.gradient import pgd
from pipeline.attacks.membership import Signals, lira, recorded_log_odds
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.undefended import fit_as_configured
from pipeline.files import BadInput, write_json
from pipeline.kernels import CPU, CUDA, chosen_device, use_device
from pipeline.models.answers import margin
from pipeline.models.networks import Networks
from pipeline.models.population import Population
from pipeline.models.training import steps_in_pass
from pipeline.statistics.separation import tpr_at_fpr
from pipeline.verify.bounds import margin_bound
from pipeline.verify.network import Network
from pipeline.verify.problem import Boxes
from pipeline.verify.problem import Problem as Question

FPR = 1e-4
EPS, LEVELS = 0.3, 4.0  # radii, in scales of records and in grey levels
# What both devices may differ by: log-odds after a training, and the least margin that PGD finds.
TOLERANCES = {"log_odds": 0.05, "margins": 0.05}


class Size(NamedTuple):
    """How much is done: on a GPU as the figures of others were, or tiny."""

    members: int
    epochs: int
    shadows: int
    shadow_epochs: int
    boxes: int


FULL = Size(64, 12, 4096, 100, 2**20)
TINY = Size(2, 1, 4, 2, 256)


def main(arguments: list[str]) -> None:
    """Measures, and writes what was measured."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cpu", action="store_true", help="tiny, on the processor")
    parser.add_argument("--out", type=Path, help="where to, instead of standard output")
    asked = parser.parse_args(arguments)
    use_device(CPU if asked.cpu else CUDA)
    size = TINY if asked.cpu else FULL
    measured = measure(size, load_problem(), tiny_scans() if asked.cpu else load_scans())
    if asked.out:
        write_json(asked.out, measured)
    else:
        print(json.dumps(measured, indent=1))


def tiny_scans() -> Scans:
    """A few made-up images."""
    scans = load_scans()
    dataset = made_up(Schema.of(scans.cfg.data), seed=scans.cfg.seed)
    rows = torch.arange(0, len(dataset.y), 4)
    assert dataset.split is not None
    dataset = replace(dataset, x=dataset.x[rows], y=dataset.y[rows], split=dataset.split[rows])
    return Scans(scans.cfg, dataset, official(dataset, 2))


def official(dataset: Dataset, members: int) -> Plan:
    """So many seeds on the images' own split."""
    assert dataset.split is not None
    return Plan.official(dataset.split, seeds=members, seed=0)


def measure(size: Size, problem: Problem, scans: Scans) -> dict[str, Any]:
    """Everything; times in seconds unless said otherwise."""
    device = torch.cuda.get_device_name() if chosen_device() == CUDA else "the processor, tiny"
    many = official(scans.dataset, size.members)
    return {
        "device": device,
        "torch": torch.__version__,
        "size": size._asdict(),
        "images": training(scans.dataset, many, scans.cfg, size.epochs),
        "records": training(
            problem.recorded, halves(problem, 2 * size.members), problem.cfg, size.shadow_epochs
        ),
        "shadow_models": shadow_models(problem, size),
        "verifier": boxes_a_second(problem, size.boxes),
        "agreement": {
            "records": agreement(problem.complete, problem.plan, problem.cfg, problem.threat, EPS),
            "images": agreement(scans.dataset, scans.plan, scans.cfg, pixels(scans), LEVELS),
            "tolerances": TOLERANCES,
        },
    }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, all that was launched included, and what came out."""
    wait()
    begin = time.perf_counter()
    result = work()
    wait()
    return round(time.perf_counter() - begin, 6), result


def wait() -> None:
    """Until the device has done what it was told."""
    if chosen_device() == CUDA:
        torch.cuda.synchronize()


def training(dataset: Dataset, plan: Plan, cfg: Config, epochs: int) -> dict[str, Any]:
    """A whole training, draws and transfers included, and the same once more."""
    cfg = with_epochs(cfg, epochs)
    # what a process does once is not the training's
    fit_as_configured(dataset, plan, with_epochs(cfg, 1), "warm")
    seconds, trained = timed(lambda: fit_as_configured(dataset, plan, cfg, "one"))
    again = fit_as_configured(dataset, plan, cfg, "again")
    steps = epochs * steps_in_pass(plan.train, cfg.train)
    return {
        "members": plan.size,
        "steps": steps,
        "s": seconds,
        "us_per_member_and_step": round(seconds / steps / plan.size * 1e6, 3),
        "same_bytes_twice": trained.digest == again.digest,
    }


def with_epochs(cfg: Config, epochs: int) -> Config:
    """The same, trained for so many passes."""
    return cfg.model_copy(update={"train": cfg.train.model_copy(update={"epochs": epochs})})


def halves(problem: Problem, models: int) -> Plan:
    """Each model trains on a random half of the patients."""
    return Plan.random_halves(len(problem.recorded.y), models=models, seed=problem.cfg.seed)


def shadow_models(problem: Problem, size: Size) -> dict[str, Any]:
    """So many models on random halves, and LiRA of each with all the others."""
    plan = halves(problem, size.shadows)
    cfg = with_epochs(problem.cfg, size.shadow_epochs)
    seconds, population = timed(lambda: fit_as_configured(problem.recorded, plan, cfg, "shadows"))

    def scores() -> Tensor:
        odds = recorded_log_odds(population, problem.recorded.x, problem.recorded.y)
        return lira(Signals(odds, odds, odds), plan.train)

    scoring, found = timed(scores)
    member = plan.train
    rate = tpr_at_fpr(found[member].numpy(), found[~member].numpy(), FPR)
    return {
        "models": plan.size,
        "steps": size.shadow_epochs * steps_in_pass(plan.train, cfg.train),
        "training_s": seconds,
        "lira_s": scoring,
        "fpr": FPR,
        "tpr": round(float(rate), 6),
    }


def boxes_a_second(problem: Problem, count: int) -> dict[str, Any]:
    """How many boxes around records the verifier's bound takes in a second, in float64."""
    trained = fit_as_configured(
        problem.complete, problem.plan.select(torch.arange(1)), problem.cfg, "v"
    )
    assert isinstance(trained, Networks)
    network, x, y = Network.of(trained, 0), problem.complete.x, problem.complete.y
    corners = problem.threat.box(x, EPS)
    asked = moved(Question.of(network, x, corners, (y, 1 - y), problem.threat))
    index = (torch.arange(count) % len(y)).to(chosen_device())
    boxes = Boxes(index, asked.x[index], asked.low[index], asked.high[index])
    network = moved(network)
    margin_bound(network, boxes, asked)
    seconds, _ = timed(lambda: [margin_bound(network, boxes, asked) for _ in range(5)])
    return {"boxes": count, "boxes_a_second": round(5 * count / seconds)}


def moved(thing: Any) -> Any:
    """The same on the device: tensors, and what is made of them."""
    if isinstance(thing, Tensor):
        return thing.to(chosen_device())
    if isinstance(thing, list | tuple):
        return type(thing)(moved(one) for one in thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{f.name: moved(getattr(thing, f.name)) for f in fields(thing)})
    return thing


def pixels(scans: Scans) -> Threat:
    """Every pixel by so many grey levels."""
    return Threat.of(scans.dataset.schema, scans.cfg.threat["pixels"])


def agreement(
    dataset: Dataset, plan: Plan, cfg: Config, threat: Threat, eps: float
) -> dict[str, Any]:
    """How far the same training and attack end apart on the device and on the processor.

    The largest difference of log-odds among recorded events after one epoch, and of the least
    margins under PGD-10 of the same networks.
    """
    few = plan.select(torch.arange(2))
    short = with_epochs(cfg, 1)
    x, y = dataset.x[:64], dataset.y[:64]
    each = x.expand(2, *x.shape)

    def both(work: Callable[[], Tensor]) -> float:
        there, device = work(), chosen_device()
        use_device(CPU)
        here = work()
        use_device(device)
        return round(float((there - here).abs().max()), 6)

    def trained() -> Population:
        return fit_as_configured(dataset, few, short, "agreement")

    def log_odds() -> Tensor:
        logits = trained()(each)
        return logits[..., 1] - logits[..., 0]

    networks = trained()

    def margins() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        how = {"eps": eps, "steps": 10, "step_size": 0.25, "restarts": 2, "generator": generator}
        return margin(networks(pgd(networks, each, y, threat, **how)), y)

    found = {"log_odds": both(log_odds), "margins": both(margins)}
    return found | {"within": all(found[name] <= most for name, most in TOLERANCES.items())}


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
