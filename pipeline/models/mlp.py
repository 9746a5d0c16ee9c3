"""Networks with a leading member axis: M models of one architecture are one set of stacked tensors.

An architecture is a stack of linear layers with ReLU between them, behind imputation and
standardisation. Its forward and backward passes are written out with batched matrix products,
because for small models the bookkeeping of automatic differentiation costs more than the
arithmetic. `StackedMLP` hands them to autograd, so callers differentiate as usual.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.files import BadInput
from pipeline.models.one_hot import extended
from pipeline.seeds import Stream, generator

Parameters = dict[str, Tensor]
NARROW = 16  # columns below which a batched product is several times slower than its transpose


@dataclass(frozen=True)
class Architecture:
    """The shape of a network.

    Attributes:
        name: a key of `MODELS`.
        features: D, inputs.
        classes: C, outputs.
        hidden: widths of the hidden layers.
    """

    name: str
    features: int
    classes: int
    hidden: tuple[int, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, hidden layers, outputs."""
        return (self.features, *self.hidden, self.classes)


def sources_of_weights(seeds: Tensor) -> list[torch.Generator]:
    """What each member's weights are drawn from, as they are before training; seeds (M,) int64."""
    return [generator(Stream.WEIGHTS, seed) for seed in seeds.tolist()]


def initialise(architecture: Architecture, seeds: Tensor) -> Parameters:
    """He-uniform weights, drawn for each member from its own seed.

    Args:
        architecture: the network.
        seeds: (M,) int64.

    Returns:
        `weight{l}` (M, inputs, outputs) and `bias{l}` (M, 1, outputs) for each layer l, float32.
    """
    members: list[Parameters] = []
    for drawn in sources_of_weights(seeds):
        member: Parameters = {}
        for layer, (inputs, outputs) in enumerate(
            zip(architecture.widths, architecture.widths[1:], strict=False)
        ):
            bound = inputs**-0.5
            member[f"weight{layer}"] = (
                torch.rand(inputs, outputs, generator=drawn) * 2 - 1
            ) * bound
            member[f"bias{layer}"] = (torch.rand(1, outputs, generator=drawn) * 2 - 1) * bound
        members.append(member)
    return {name: torch.stack([member[name] for member in members]) for name in members[0]}


def layers_of(parameters: Parameters) -> list[tuple[Tensor, Tensor]]:
    """(weight, bias) of each layer, first to last."""
    return [(parameters[f"weight{i}"], parameters[f"bias{i}"]) for i in range(len(parameters) // 2)]


def forward(x: Tensor, layers: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """What each layer receives, and last the logits; all (M, B, width)."""
    signals = [x]
    for index, (weight, bias) in enumerate(layers):
        out = torch.baddbmm(bias, signals[-1], weight)
        signals.append(out.relu_() if index < len(layers) - 1 else out)
    return signals


def backward(
    signals: list[Tensor], layers: list[tuple[Tensor, Tensor]], grad_logits: Tensor
) -> list[Tensor]:
    """Gradients at each layer's output before its ReLU, first to last; (M, B, width)."""
    grads = [grad_logits]
    for (weight, _), signal in zip(reversed(layers[1:]), reversed(signals[1:-1]), strict=True):
        grad = torch.bmm(grads[-1], weight.transpose(1, 2))
        # ReLU's own kernel, in place: a product with a Boolean mask would first turn the mask into
        # floats.
        grads.append(torch.ops.aten.threshold_backward.grad_input(grad, signal, 0, grad_input=grad))
    return grads[::-1]


def weight_gradient(signal: Tensor, grad: Tensor) -> Tensor:
    """Gradient (M, inputs, outputs) at a layer's weights, of its input and `grad` at its output."""
    if grad.shape[-1] < NARROW:
        return torch.bmm(grad.transpose(1, 2), signal).transpose(1, 2).contiguous()
    return torch.bmm(signal.transpose(1, 2), grad)


class StackedMLP(torch.autograd.Function):
    """`forward` and `backward` above, as one node of the autograd graph. First derivatives only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *flat: Tensor) -> Tensor:
        """Logits (M, B, C) of standardised records; `flat`: weight0, bias0, weight1, ..."""
        layers = list(zip(flat[::2], flat[1::2], strict=True))
        signals = forward(x, layers)
        ctx.save_for_backward(*signals[:-1], *flat)
        return signals[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logits: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients for x and for each weight and bias; only those that are asked for."""
        depth = len(ctx.saved_tensors) // 3
        signals, flat = list(ctx.saved_tensors[:depth]), ctx.saved_tensors[depth:]
        layers = list(zip(flat[::2], flat[1::2], strict=True))
        grads = backward([*signals, grad_logits], layers, grad_logits)
        grad_x = (
            torch.bmm(grads[0], layers[0][0].transpose(1, 2)) if ctx.needs_input_grad[0] else None
        )
        result: list[Tensor | None] = [grad_x]
        for signal, grad in zip(signals, grads, strict=True):
            trained = ctx.needs_input_grad[1]
            result += (
                [weight_gradient(signal, grad), grad.sum(1, keepdim=True)]
                if trained
                else [None, None]
            )
        return tuple(result)


def logits(x: Tensor, parameters: Parameters) -> Tensor:
    """Logits (M, B, C) of standardised records (M, B, D), differentiable in both."""
    flat = [tensor for layer in layers_of(parameters) for tensor in layer]
    result: Tensor = StackedMLP.apply(x, *flat)
    return result


class Preprocessing(nn.Module):
    """Imputation and standardisation of one model, with constants that no optimiser touches."""

    impute: Tensor
    center: Tensor
    scale: Tensor

    hot: Tensor

    def __init__(
        self, impute: Tensor, center: Tensor, scale: Tensor, hot: Tensor | None = None
    ) -> None:
        """Takes constants (D + H,) in clinical units; (H, 2) feature and level of the last H."""
        super().__init__()
        hot = torch.zeros(0, 2) if hot is None else hot
        for name, value in (("impute", impute), ("center", center), ("scale", scale), ("hot", hot)):
            self.register_buffer(name, value.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Records (B, D) in clinical units, NaN = missing, to standardised records."""
        x = extended(x, self.hot)
        filled = torch.where(x.isnan(), self.impute, x)
        return (filled - self.center) / self.scale


def as_module(
    parameters: Parameters, preprocessing: dict[str, Tensor], member: int
) -> nn.Sequential:
    """One member as an ordinary network of `nn.Linear` layers, a copy, for other libraries."""
    parts: list[nn.Module] = [
        Preprocessing(**{name: value[member] for name, value in preprocessing.items()})
    ]
    for weight, bias in layers_of(parameters):
        linear = nn.Linear(weight.shape[1], weight.shape[2])
        with torch.no_grad():
            linear.weight.copy_(weight[member].T)
            linear.bias.copy_(bias[member, 0])
        parts += [linear, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def parameters_of(module: nn.Sequential) -> Parameters:
    """The parameters of a network made by `as_module`, as a population of one."""
    result: Parameters = {}
    linears = [part for part in module if isinstance(part, nn.Linear)]
    for index, linear in enumerate(linears):
        result[f"weight{index}"] = linear.weight.detach().T[None].clone()
        result[f"bias{index}"] = linear.bias.detach()[None, None].clone()
    return result


def perceptron(features: int, classes: int, hidden: list[int]) -> Architecture:
    """A multilayer perceptron with ReLU."""
    return Architecture("mlp", features, classes, tuple(hidden))


def linear(features: int, classes: int, hidden: list[int]) -> Architecture:
    """Logistic regression: no hidden layer."""
    if hidden:
        raise BadInput(
            f"model.hidden: a linear model has no hidden layers, not {hidden}; set it to []"
        )
    return Architecture("linear", features, classes, ())


MODELS: dict[str, Callable[[int, int, list[int]], Architecture]] = {
    "mlp": perceptron,
    "linear": linear,
}
