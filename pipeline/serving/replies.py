"""What a client is told of a record, as fine as its role needs it, and what is kept of it."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.config.serving import Answers
from pipeline.statistics import Array

REASONS = {
    "near": "an admissible change within r = {r:g} would turn the answer",
    "undecided": "whether a change within r = {r:g} would turn the answer was not settled",
    "no proof": "nothing can be proved of this kind of model",
}
TENTHS = 1


def as_fine(probability: float, fineness: Answers) -> dict[str, float]:
    """The probability of the disease as a role is told it; nothing beside the decision alone."""
    if fineness == "decision":
        return {}
    return {"probability": round(probability, TENTHS) if fineness == "rounded" else probability}


def referral(reason: str, r: float) -> str:
    """Why a person decides: a line. The radius at which the answer turns never leaves."""
    return REASONS[reason].format(r=r)


def withheld(said: Mapping[str, Any], why: str) -> dict[str, Any]:
    """What is told where everything is referred: of an answer its id alone."""
    return dict(said) if "refused" in said else {"id": said["id"], "referred": why}


def as_kept(values: Array, image: bool) -> Any:
    """Values as JSON that gives them back bit for bit: missing is null, an image its bytes."""
    if image:
        return base64.b64encode(values.astype(np.uint8).tobytes()).decode()
    return [None if np.isnan(value) else float(value) for value in values]


def as_given(kept: Any, shape: tuple[int, ...]) -> Array:
    """What `as_kept` kept: (D,), or an image of a shape."""
    if isinstance(kept, str):
        grey = np.frombuffer(base64.b64decode(kept), np.uint8)
        return grey.reshape(shape).astype(np.float64)
    return np.array([np.nan if value is None else value for value in kept], dtype=np.float64)
