"""What may be done to a record before a model sees it, and models behind it, to be attacked.

A sanitiser is put in front of a population that was trained without it: the answer to a record is
that to what is left of it. Whoever attacks the population alone meets it unprepared. Whoever
attacks through it needs a gradient where rounding has none: a stand-in in the backward pass alone
(Athalye et al. 2018, arXiv:1802.00420, BPDA), or the mean over draws where it is random (EOT).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from pipeline.config import Count, NonNegative, Positive
from pipeline.data.schema import Schema
from pipeline.files import BadInput
from pipeline.models.population import Population
from pipeline.validation import check_options, nearest

SIDE = 8  # of the blocks of JPEG
GREY = 255.0  # the range of grey levels that its table of quantisation is made for
# ITU-T T.81 (1992), table K.1: luminance.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)

Rounding = Callable[[Tensor], Tensor]


def soft_rounding(values: Tensor) -> Tensor:
    """Nearly the nearest whole number, with a slope (Shin & Song 2017): r + (v - r) ** 3."""
    whole = values.detach().round()
    softened: Tensor = whole + (values - whole) ** 3
    return softened


def rounding(
    x: Tensor, schema: Schema, rounded: Rounding = torch.round, *, coarseness: NonNegative = 0.0
) -> Tensor:
    """To the grid on which values are recorded, or a coarser one, and into the plausible range.

    Args:
        x: (..., *event) in clinical units; NaN = missing, and stays so.
        schema: the grid, the range, and what a scale is; categories are left alone.
        rounded: to whole numbers.
        coarseness: of the grid, in units of scale; never finer than what is recorded. 0 = that.
    """
    lower, upper, scale = (schema.column(name) for name in ("lower", "upper", "scale"))
    step = torch.tensor([feature.step or 0.0 for feature in schema.features], dtype=torch.float64)
    step = step.expand(scale.shape) if schema.image else step
    ticks = torch.where(step > 0, (coarseness * scale / step).round().clamp(min=1), 1.0)
    grid = torch.where(step > 0, ticks * step, coarseness * scale)
    numbers = _numbers(schema)
    width = torch.where(grid > 0, grid, 1.0)
    values = torch.where((grid > 0) & numbers, rounded(x.double() / width) * width, x.double())
    inside = values.clamp(lower, upper)
    return torch.where(numbers, inside, x.double()).to(x.dtype)


def bits(
    x: Tensor,
    schema: Schema,
    rounded: Rounding = torch.round,
    *,
    bits: Annotated[int, Field(ge=1, le=8)],
) -> Tensor:
    """So many bits a pixel (Xu et al. 2018, arXiv:1704.01155): 2 ** bits grey levels remain.

    Args:
        x: (..., C, H, W) in grey levels.
        schema: their range.
        rounded: to whole numbers.
        bits: of a pixel.
    """
    lower, upper = _range(schema)
    levels, size = 2**bits - 1, upper - lower
    kept: Tensor = rounded((x - lower) / size * levels)
    cleaned: Tensor = kept / levels * size + lower
    return cleaned


def median(x: Tensor, schema: Schema, rounded: Rounding = torch.round, *, size: Count) -> Tensor:
    """Each pixel becomes the median of a square around it; at the border the edge is repeated.

    Args:
        x: (..., C, H, W) in grey levels.
        schema: unused.
        rounded: unused; a median is a value that is there.
        size: of the square, in pixels; of an even one the right and lower half is the larger.
    """
    before, after = (size - 1) // 2, size // 2
    flat = pad(x.flatten(0, -4), (before, after, before, after), mode="replicate")
    squares = flat.unfold(2, size, 1).unfold(3, size, 1).flatten(-2)
    return squares.median(-1).values.view(x.shape)


def jpeg(
    x: Tensor,
    schema: Schema,
    rounded: Rounding = torch.round,
    *,
    quality: Annotated[int, Field(ge=1, le=100)],
) -> Tensor:
    """What JPEG loses of a grey image: cosines of blocks of 8 x 8 pixels, rounded by its table.

    Args:
        x: (..., C, H, W) in grey levels; channels one by one.
        schema: their range, which is taken for 0 to 255.
        rounded: to whole numbers.
        quality: 1 to 100, as libjpeg scales the table.
    """
    lower, upper = _range(schema)
    height, width = x.shape[-2:]
    down, right = -height % SIDE, -width % SIDE
    grey = (x.flatten(0, -4) - lower) * (GREY / (upper - lower)) - (GREY + 1) / 2
    whole = pad(grey, (0, right, 0, down), mode="replicate")
    blocks = whole.unfold(2, SIDE, SIDE).unfold(3, SIDE, SIDE)
    cosine, table = _cosines().to(x.dtype), quantisation(quality).to(x.dtype)
    kept = rounded(cosine @ blocks @ cosine.T / table) * table
    back = (cosine.T @ kept @ cosine).permute(0, 1, 2, 4, 3, 5).reshape(whole.shape)
    values = back[..., :height, :width] + (GREY + 1) / 2
    levels = rounded(values.clamp(0, GREY)) * ((upper - lower) / GREY) + lower
    shaped: Tensor = levels.view(x.shape)
    return shaped


def jitter(
    x: Tensor,
    schema: Schema,
    rounded: Rounding = torch.round,
    *,
    spread: Positive,
    drawn: torch.Generator,
) -> Tensor:
    """Normal noise on every value, another one for every question; then into the range.

    Args:
        x: (..., *event) in clinical units; NaN stays.
        schema: the range and what a scale is; categories are left alone.
        rounded: unused.
        spread: standard deviation, in units of scale.
        drawn: of the noise.
    """
    lower, upper, scale = (schema.column(name).to(x.dtype) for name in ("lower", "upper", "scale"))
    noise = torch.randn(x.shape, generator=drawn, dtype=torch.float32).to(x.dtype)
    return torch.where(_numbers(schema), (x + spread * scale * noise).clamp(lower, upper), x)


def quantisation(quality: int) -> Tensor:
    """(8, 8) float64: by what JPEG divides cosines at a quality, as libjpeg scales its table."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    table = torch.tensor(LUMINANCE, dtype=torch.float64)
    return ((table * percent + 50) / 100).floor().clamp(1, 255)


def _cosines() -> Tensor:
    """(8, 8) float64, orthonormal: the discrete cosine transform of type II."""
    place = torch.arange(SIDE, dtype=torch.float64)
    wave: Tensor = torch.cos(torch.pi / SIDE * (place + 0.5) * place[:, None]) * (2 / SIDE) ** 0.5
    wave[0] /= 2**0.5
    return wave


def _range(schema: Schema) -> tuple[float, float]:
    (pixel,) = schema.features
    return float(pixel.lower), float(pixel.upper)


def _numbers(schema: Schema) -> Tensor:
    """Which values are numbers, and no categories; of images all of them."""
    if schema.image:
        return torch.ones(schema.image, dtype=torch.bool)
    return torch.tensor([not feature.levels for feature in schema.features])


@dataclass(frozen=True)
class Sanitiser:
    """A way of cleaning records, and what an attacker knows of it before he looks.

    Attributes:
        clean: the function.
        images: whether it serves images.
        records: whether it serves records.
        stand_ins: names of `STAND_INS`: each is one way of attacking through it.
        random: whether it draws noise of its own for every question.
    """

    clean: Callable[..., Tensor]
    images: bool
    records: bool
    stand_ins: tuple[str, ...]
    random: bool = False


# How to differentiate through a sanitiser: as if it were not there, exactly as it is, or with
# rounding that has a slope.
STRAIGHT, OWN, SOFT = "straight", "own", "soft"
STAND_INS = (STRAIGHT, OWN, SOFT)

SANITISERS: dict[str, Sanitiser] = {
    "rounding": Sanitiser(rounding, images=True, records=True, stand_ins=(STRAIGHT,)),
    "bits": Sanitiser(bits, images=True, records=False, stand_ins=(STRAIGHT,)),
    "median": Sanitiser(median, images=True, records=False, stand_ins=(OWN, STRAIGHT)),
    "jpeg": Sanitiser(jpeg, images=True, records=False, stand_ins=(STRAIGHT, SOFT)),
    "jitter": Sanitiser(jitter, images=True, records=True, stand_ins=(OWN,), random=True),
}
GIVEN = ("rounded", "drawn")  # parameters that nobody configures


@dataclass(frozen=True)
class Sanitised:
    """A population behind a sanitiser: what answers, and what an attacker differentiates.

    Attributes:
        population: M models.
        clean: the sanitiser, its options bound: maps records and a way of rounding to records;
            where it is random, also `drawn`.
        stand_in: how a gradient comes through it.
        noise: where it is random: generators, one for each of the draws whose mean is the answer.
    """

    population: Population
    clean: Callable[..., Tensor]
    stand_in: str = STRAIGHT
    noise: Callable[[], list[torch.Generator]] | None = None

    def _cleaned(self, x: Tensor, rounded: Rounding = torch.round) -> Iterator[Tensor]:
        if self.noise is None:
            yield self.clean(x, rounded=rounded)
            return
        for drawn in self.noise():
            yield self.clean(x, rounded=rounded, drawn=drawn)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (..., M, B, C) of records (..., M, B, *event); the mean over draws."""
        answers = [self.population(cleaned) for cleaned in self._cleaned(x)]
        return torch.stack(answers).mean(0) if len(answers) > 1 else answers[0]

    def pullback(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Logits of records, and what turns gradients at them into the stand-in's at x.

        The answers are the real ones, whatever stands in for the gradient.
        """
        own: Any = getattr(self.population, "pullback", None)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            if self.stand_in == STRAIGHT:
                ways = [leaf for _ in self._cleaned(x)]
            else:
                softly = soft_rounding if self.stand_in == SOFT else torch.round
                ways = list(self._cleaned(leaf, softly))
        answers, pulls = [], []
        # of noise the very draws that the gradient goes through
        seen = ways if self.stand_in == OWN else list(self._cleaned(x))
        for cleaned, way in zip(seen, ways, strict=True):
            back = own or partial(_differentiated, self.population)
            logits, pull = back(cleaned.detach())
            answers.append(logits)
            pulls.append((way, pull))

        def pulled(grad_logits: Tensor) -> Tensor:
            parts = []
            for way, pull in pulls:
                grad = pull(grad_logits / len(pulls))
                through = way is not leaf
                parts.append(_through(way, leaf, grad) if through else grad)
            return torch.stack(parts).sum(0).masked_fill(x.isnan(), 0)

        return torch.stack(answers).mean(0), pulled


def _through(way: Tensor, leaf: Tensor, grad: Tensor) -> Tensor:
    return torch.autograd.grad(way, leaf, grad, retain_graph=True)[0].nan_to_num()


def _differentiated(population: Population, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        out = population(leaf)
    return out.detach(), lambda grad: torch.autograd.grad(out, leaf, grad, retain_graph=True)[0]


@dataclass(frozen=True)
class Configured:
    """A sanitiser with its options, for records of one schema.

    Attributes:
        entry: of `SANITISERS`.
        clean: with schema and options bound.
        options: as configured.
    """

    entry: Sanitiser
    clean: Callable[..., Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)


def check_sanitisers(configured: Mapping[str, Mapping[str, Any] | None], key: str) -> None:
    """Refuses a method or an option that is unknown, missing or out of range.

    Raises:
        BadInput: a line that begins with the key at fault.
    """
    for name, options in configured.items():
        if options is not None:
            _options(options, f"{key}.{name}")


def _options(options: Mapping[str, Any], key: str) -> tuple[Sanitiser, dict[str, Any]]:
    method = options.get("method")
    if method not in SANITISERS:
        known = nearest(str(method), SANITISERS)
        raise BadInput(f"{key}.method: {method!r} is no sanitiser; {known}")
    rest = {name: value for name, value in options.items() if name != "method"}
    entry = SANITISERS[str(method)]
    return entry, check_options(entry.clean, rest, key, given=GIVEN)


def sanitisers_for(
    configured: Mapping[str, Mapping[str, Any] | None], schema: Schema, key: str = "sanitisers"
) -> dict[str, Configured]:
    """The configured sanitisers that serve such data, by their names there.

    Raises:
        BadInput: as `check_sanitisers`.
    """
    found = {}
    for name, options in configured.items():
        if options is None:
            continue
        entry, checked = _options(options, f"{key}.{name}")
        if entry.images if schema.image else entry.records:
            clean = partial(entry.clean, schema=schema, **checked)
            found[name] = Configured(entry, clean, checked)
    return found
