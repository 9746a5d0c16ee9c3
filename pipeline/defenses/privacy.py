"""Differential privacy: DP-SGD for a whole population at once, or through Opacus, one by one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot, softmax

from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.defenses.budget import PrivacyBudget, composed, guarantee_for
from pipeline.defenses.decision import under_guarantee
from pipeline.defenses.image_gradients import clipped_sum_of_images, trained_privately
from pipeline.defenses.noise import SECRET, SEEDED, normals, uniforms
from pipeline.defenses.self_measurement import Mechanism, SelfMeasurement
from pipeline.defenses.undefended import architecture_for
from pipeline.files import BadInput
from pipeline.kernels import CPU
from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.models.designs import AnyArchitecture, Trained, public_constants
from pipeline.models.mlp import Parameters, backward, forward, layers_of, weight_gradient
from pipeline.models.networks import standardise
from pipeline.models.training import Batch, Draw, Gradient, Perturb, Preprocessing, Watch, fit
from pipeline.seeds import Stream

Rate = Annotated[float, Field(gt=0, lt=1)]
SampleRate = Annotated[float, Field(gt=0, le=1)]  # 1 = every record in every step
# records, of all members together, whose gradients are computed at once: what fits the cache
BLOCK = 5000


@dataclass(frozen=True)
class NoisySteps:
    """How DP-SGD trains.

    Attributes:
        noise: multiplier, standard deviation over the clipping norm: one for all members, or (M,).
        sample_rate: of the Poisson draw.
        steps: noisy steps.
        expected_batch: the public denominator.
        max_grad_norm: clipping bound, L2, over all weights of a model.
        learning_rate: of Adam.
        secret: noise and draw come from the operating system instead of the plan's seeds.
    """

    noise: float | Tensor
    sample_rate: float
    steps: int
    expected_batch: float
    max_grad_norm: float
    learning_rate: float
    secret: bool = False

    def claimed(self, noise: float) -> Mechanism:
        """What is claimed of a step of the models with this noise multiplier."""
        return Mechanism(noise, self.max_grad_norm, self.expected_batch, self.sample_rate)


def dp_train(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    epsilon: Positive,
    delta: Rate,
    sample_rate: SampleRate,
    expected_batch: Positive,
    max_grad_norm: Positive,
    steps: Count,
    learning_rate: Positive,
    cut: float,
    engine: Literal["population", "opacus"] = "population",
    secret: bool = False,
) -> Trained:
    """DP-SGD to a target epsilon, with Adam on the noisy gradients.

    Abadi et al. 2016, arXiv:1607.00133. Each step draws every record with probability `sample_rate`
    (Poisson), clips each record's gradient to `max_grad_norm`, sums, adds Gaussian noise of
    standard deviation `noise_multiplier * max_grad_norm`, and divides by `expected_batch`: a public
    constant, because a denominator computed from the cohort's size would itself leak one record's
    presence. Imputation and standardisation use the schema's public constants. An image is learned
    from as it is, never moved: each has one gradient in a step. The claim covers one model's
    weights under adding or removing one record; it does not cover hyper-parameters, thresholds or
    the report.

    Args:
        dataset: the records.
        plan: who trains.
        cfg: the model.
        epsilon: target, met from below.
        delta: must be below 1 / records.
        sample_rate: of the Poisson draw.
        expected_batch: the public denominator.
        max_grad_norm: clipping bound, L2, over all weights of a model.
        steps: noisy steps.
        learning_rate: of Adam.
        cut: log-odds from which on a patient is called ill: a public constant, which costs
            nothing; read unless the configured decision is a constant itself, or the plan sets
            patients aside to choose on.
        engine: `population` trains all members at once; `opacus` trains each through
            `opacus.PrivacyEngine`.
        secret: noise and draw come from the operating system; no option of a configuration.

    Returns:
        the population; `facts["guarantee"]` holds what is claimed and everything needed to
        recompute it, `facts["measured"]` what the training measured of itself, `facts["noise"]`
        where it came from.

    Raises:
        BadInput: delta is too large for the cohort, the two accountants contradict each other, the
            engine has no secret noise, or the network is of images and no cnn.
        FailedCheck: the training measured that its mechanism is not what is claimed.
    """
    budget = PrivacyBudget(epsilon, delta, sample_rate, steps)
    guarantee = guarantee_for(plan, budget, "dp_train")
    guarantee |= {
        "max_grad_norm": max_grad_norm,
        "denominator": expected_batch,
        "engine": engine,
        "composition": composed(plan, guarantee, dataset.patient),
    }
    architecture = trained_privately(architecture_for(dataset, cfg), "dp_train")
    trainer: Callable[..., Trained] = fit_private
    if engine == "opacus":
        from pipeline.defenses.opacus_engine import fit_through_opacus

        if secret:
            raise BadInput(
                "dp_train.engine: opacus draws from a seeded generator, so it makes no model for "
                "release; take population"
            )
        trainer = fit_through_opacus
    how = NoisySteps(
        guarantee["noise_multiplier"],
        sample_rate,
        steps,
        expected_batch,
        max_grad_norm,
        learning_rate,
        secret,
    )
    population = trainer(dataset, plan, architecture, how)
    population.facts["guarantee"] = guarantee
    return under_guarantee(population, dataset, plan, cfg.decision, otherwise=cut)


def fit_private(
    dataset: Dataset,
    plan: Plan,
    architecture: AnyArchitecture,
    how: NoisySteps,
    *,
    perturb: Perturb | None = None,
    name: str = "dp_train",
) -> Trained:
    """DP-SGD with a given noise, on public preprocessing, that measures its own mechanism.

    What `dp_train` does once its noise is known.

    Args:
        dataset: the records.
        plan: who trains, M members.
        architecture: of every member.
        how: noise, draw, clipping and steps.
        perturb: as in `noisy_fit`.
        name: shown beside the progress bar, and the beginning of an error.

    Returns:
        the population; `facts["measured"]` as `SelfMeasurement.measured`, `facts["noise"]`.

    Raises:
        FailedCheck: the mechanism is not what `how` says.
    """
    own = SelfMeasurement(plan, how.noise, how.claimed, architecture)
    population = noisy_fit(
        dataset, plan, architecture, how, perturb=perturb, watch=own.see, name=name
    )
    population.facts["measured"] = own.measured(name)
    population.facts["noise"] = SECRET if how.secret else SEEDED
    return population


def noisy_fit(
    dataset: Dataset,
    plan: Plan,
    architecture: AnyArchitecture,
    how: NoisySteps,
    *,
    watch: Watch,
    perturb: Perturb | None = None,
    start: Parameters | None = None,
    name: str = "dp_train",
) -> Trained:
    """DP-SGD under the eyes of `watch`.

    Args:
        dataset: the records.
        plan: who trains, M members.
        architecture: of every member.
        how: noise, draw, clipping and steps.
        watch: sees each step before it is taken: weights, constants, batch and noisy gradient.
        perturb: replaces the records of a batch before the gradient. What it makes of a record may
            depend on that record and on the weights as they stand, and on nothing else, or one
            record would move more than one clipped gradient.
        start: weights to begin with; None = drawn from the plan's seeds.
        name: shown beside the progress bar.
    """
    return fit(
        dataset,
        plan,
        architecture,
        draw=poisson(how.sample_rate, how.steps, how.secret),
        gradient=private_gradient(
            how.max_grad_norm, how.noise, how.expected_batch, plan.seeds, how.secret, architecture
        ),
        learning_rate=how.learning_rate,
        preprocessing=public_constants(architecture, dataset.schema, plan.size),
        perturb=perturb,
        watch=watch,
        start=start,
        name=name,
        device=CPU,  # where noise is drawn, and who watches counts
    )


def poisson(sample_rate: float, steps: int, secret: bool = False) -> Draw:
    """Each record joins each step's batch independently, with probability `sample_rate`.

    A batch may be empty. Where it is `secret`, chance comes from the operating system.
    """

    def draw(train: Tensor, seeds: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        if sample_rate == 1:
            index, weight = rectangle(train)
            yield from [(index, weight.float())] * steps
            return
        sources = uniforms(seeds, Stream.POISSON_DRAW, secret)
        for _ in range(steps):
            chance = torch.stack([source(train.shape[1]) for source in sources])
            index, weight = rectangle(train & (chance < sample_rate))
            yield index, weight.float()

    return draw


def clipped_sum(
    parameters: Parameters,
    preprocessing: Preprocessing,
    batch: Batch,
    max_grad_norm: float,
    architecture: AnyArchitecture | None = None,
) -> dict[str, Tensor]:
    """Each member's sum of its records' cross-entropy gradients, each clipped in L2.

    For a linear layer the gradient of one record is the outer product of what the layer received
    and of the gradient at its output, so the record's norm follows from two vector norms and no
    per-record gradient is ever formed (Goodfellow 2015, arXiv:1510.01799). Of an `architecture` of
    images: `clipped_sum_of_images`; None = a stack of linear layers.
    """
    if isinstance(architecture, ConvolutionalNetwork):
        return clipped_sum_of_images(architecture, parameters, preprocessing, batch, max_grad_norm)
    members = batch.y.shape[0]
    at_once = max(1, BLOCK // max(1, batch.y.shape[1]))
    if members > at_once:
        # One block after another: a block's hidden layers fit the cache, and members do not share
        # weights.
        blocks = [slice(start, start + at_once) for start in range(0, members, at_once)]
        sums = [
            clipped_sum(
                {name: value[block] for name, value in parameters.items()},
                {name: value[block] for name, value in preprocessing.items()},
                Batch(batch.x[block], batch.y[block], batch.index[block], batch.weight[block]),
                max_grad_norm,
            )
            for block in blocks
        ]
        return {name: torch.cat([part[name] for part in sums]) for name in sums[0]}
    if batch.y.shape[1] > BLOCK:
        total = [
            clipped_sum(parameters, preprocessing, part, max_grad_norm)
            for part in batch.split(BLOCK)
        ]
        return {name: torch.stack([part[name] for part in total]).sum(0) for name in total[0]}
    layers = layers_of(parameters)
    signals = forward(standardise(batch.x, preprocessing), layers)
    grad_logits = softmax(signals[-1], -1) - one_hot(batch.y, signals[-1].shape[-1])
    grads = backward(signals, layers, grad_logits)
    squares = [
        g.square().sum(-1) * (s.square().sum(-1) + 1) for s, g in zip(signals, grads, strict=False)
    ]
    norm = torch.stack(squares).sum(0).sqrt()
    factor = batch.weight * (max_grad_norm / norm.clamp(min=1e-12)).clamp(max=1)
    result: dict[str, Tensor] = {}
    for layer, (signal, grad) in enumerate(zip(signals, grads, strict=False)):
        clipped = grad * factor[..., None]
        result[f"weight{layer}"] = weight_gradient(signal, clipped)
        result[f"bias{layer}"] = clipped.sum(1, keepdim=True)
    return result


def private_gradient(
    max_grad_norm: float,
    noise_multiplier: float | Tensor,
    denominator: float,
    seeds: Tensor,
    secret: bool = False,
    architecture: AnyArchitecture | None = None,
) -> Gradient:
    """The Gaussian mechanism on `clipped_sum`; each member draws its own noise from its own seed.

    Args:
        max_grad_norm: clipping bound.
        noise_multiplier: one for all members, or (M,) one for each.
        denominator: public constant.
        seeds: (M,) of the noise. Members of one seed draw the same noise, each in its own size.
        secret: the noise comes from the operating system instead.
        architecture: of every member; None = a stack of linear layers.
    """
    deviation = (
        (torch.as_tensor(noise_multiplier, dtype=torch.float64) * max_grad_norm)
        .float()
        .reshape(-1, 1)
    )
    sources = normals(seeds, Stream.DP_NOISE, secret)

    @torch.no_grad()
    def gradient(
        parameters: Parameters, preprocessing: Preprocessing, batch: Batch
    ) -> dict[str, Tensor]:
        sums = clipped_sum(parameters, preprocessing, batch, max_grad_norm, architecture)
        sizes = [tensor[0].numel() for tensor in sums.values()]
        drawn = torch.stack([source(sum(sizes)) for source in sources])
        noise = (drawn * deviation).split(sizes, 1)
        return {
            name: (tensor + part.view_as(tensor)) / denominator
            for (name, tensor), part in zip(sums.items(), noise, strict=True)
        }

    return gradient
