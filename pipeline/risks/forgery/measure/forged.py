"""Scans that were forged, and what a detector says of each; as data."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.forgery import (
    Boxes,
    Order,
    Range,
    blurred,
    draw_boxes,
    draw_donors,
    forge,
    noisy,
    side_of,
)
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.risks.forgery.measure.detector import Detector, block_of, train_detector
from pipeline.risks.forgery.measure.settings import ForgerySettings
from pipeline.seeds import Stream, generator, of

FILE = "scans.safetensors"
UNTOUCHED = "none"
AS_IS, NOISE, BLUR = "as_is", "noise", "blur"
DISGUISES = (AS_IS, NOISE, BLUR)
ILL = 1


@dataclass(frozen=True)
class ForgedScans:
    """N scans, each forged in F - 1 ways and hidden in D; the first of the F is not forged at all.

    Attributes:
        rows: (N,) int64, of the data set.
        corner: (N, 2) int64, where each was forged.
        source: (N, 2) int64, from where in the scan a part was copied.
        donor: (N,) int64, the row of the data set from whom a part was taken.
        side: of what was forged, in pixels.
        amplitude: of an opacity, as a share of the range.
        forgeries: F names, the first `UNTOUCHED`.
        learned: those that the detector had learned from.
        disguises: D names.
        score: (F, D, N) float64, of the detector that learned nothing from the scan; higher = more
            likely forged.
        provenance: what `prepare` says of the scans' digests.
    """

    rows: Tensor
    corner: Tensor
    source: Tensor
    donor: Tensor
    side: int
    amplitude: float
    forgeries: tuple[str, ...]
    learned: tuple[str, ...]
    disguises: tuple[str, ...]
    score: Tensor
    provenance: dict[str, str | int | list[str]]

    def save(self, folder: Path) -> None:
        """Writes one file of tensors."""
        write_artifact(folder / FILE, self)

    @classmethod
    def load(cls, folder: Path) -> "ForgedScans":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing or damaged.
        """
        advice = "run `dvc repro forgery`"
        return read_artifact(folder / FILE, cls, what="forged scans", advice=advice)

    def order(self, dataset: Dataset, places: Tensor) -> Order:
        """What was forged of the scans at these of the N places."""
        boxes = Boxes(self.corner[places], self.source[places], self.side)
        x, donor = dataset.x[self.rows[places]], dataset.x[self.donor[places]]
        return Order(x, donor, boxes, levels_of(dataset.schema), self.amplitude)

    def scans(self, forgery: str, dataset: Dataset, places: Tensor) -> Tensor:
        """(n, C, H, W) at these places, forged so, or untouched."""
        order = self.order(dataset, places)
        return order.x if forgery == UNTOUCHED else forge(forgery, order)


def levels_of(schema: Schema) -> Range:
    """The grey levels of a data set."""
    (pixel,) = schema.features
    return Range(pixel.lower, pixel.upper)


def forge_scans(
    dataset: Dataset, plan: Plan, cfg: Config, provenance: dict[str, str | int | list[str]]
) -> ForgedScans:
    """Forges every scan that a model of the first repetition holds out, and looks for it.

    Each of these models has a detector beside it, which learns from scans that the model learns
    from, and is asked about those that it holds out; parts are taken from scans of the same side.
    """
    wanted = cfg.section(ForgerySettings)
    asked = plan.sampled(dataset.y, cfg.audit.sample, cfg.seed)
    found = []
    for member in ((plan.repetition == 0) & asked.scored()).nonzero()[:, 0].tolist():
        seed = of(Stream.DETECTOR, cfg.seed, member)
        detector = learn(dataset, plan.train[member], wanted, seed)
        rows = asked.held_out[member].nonzero()[:, 0]
        found.append(_looked_for(detector, dataset, rows, wanted, cfg.seed, member, provenance))
    return _joined(found)


def learn(dataset: Dataset, train: Tensor, wanted: ForgerySettings, seed: int) -> Detector:
    """A detector of one side of a split: train (N,) bool says whose scans it learns from."""
    rows, levels = train.nonzero()[:, 0], levels_of(dataset.schema)
    height, width = dataset.schema.image[1:]
    side = side_of(wanted.box, height, width)

    def draw(drawn: torch.Generator) -> tuple[Tensor, Tensor]:
        some = rows[torch.randint(len(rows), (2 * wanted.batch,), generator=drawn)]
        genuine, own = some.split(wanted.batch)
        donor = draw_donors(own, rows, dataset.y, dataset.together, drawn)
        boxes = draw_boxes(len(own), height, width, side, drawn)
        forged = dataset.x[own]
        for place, name in enumerate(wanted.learned):
            at = torch.arange(place, len(own), len(wanted.learned))
            order = Order(
                forged[at], dataset.x[donor[at]], boxes.select(at), levels, wanted.amplitude
            )
            forged[at] = forge(name, order)
        return dataset.x[genuine], forged

    return train_detector(
        draw,
        dataset.schema.image[0],
        levels,
        steps=wanted.steps,
        learning_rate=wanted.learning_rate,
        seed=seed,
    )


def _looked_for(
    detector: Detector,
    dataset: Dataset,
    rows: Tensor,
    wanted: ForgerySettings,
    seed: int,
    member: int,
    provenance: dict[str, str | int | list[str]],
) -> ForgedScans:
    """What one detector says of the scans `rows` (n,)."""
    drawn = generator(Stream.FORGED_BOXES, seed, member)
    height, width = dataset.schema.image[1:]
    boxes = draw_boxes(len(rows), height, width, side_of(wanted.box, height, width), drawn)
    forgeries = (UNTOUCHED, *wanted.forgeries)
    found = ForgedScans(
        rows=rows,
        corner=boxes.corner,
        source=boxes.source,
        donor=draw_donors(rows, rows, dataset.y, dataset.together, drawn),
        side=boxes.side,
        amplitude=wanted.amplitude,
        forgeries=forgeries,
        learned=tuple(name for name in wanted.forgeries if name in wanted.learned),
        disguises=DISGUISES,
        score=torch.zeros(len(forgeries), len(DISGUISES), len(rows), dtype=torch.float64),
        provenance=provenance,
    )
    for places in torch.arange(len(rows)).split(block_of(dataset.x)):
        for at, name in enumerate(forgeries):
            scans = found.scans(name, dataset, places)
            for how, disguise in enumerate(DISGUISES):
                presented = hidden(disguise, scans, detector.levels, wanted.noise, drawn)
                found.score[at, how, places] = detector(presented)
    return found


def hidden(
    disguise: str, scans: Tensor, levels: Range, noise: int, drawn: torch.Generator
) -> Tensor:
    """Scans (N, C, H, W) as a forger presents them."""
    if disguise == NOISE:
        return noisy(scans, noise, levels, drawn)
    return blurred(scans, levels) if disguise == BLUR else scans


def _joined(parts: list[ForgedScans]) -> ForgedScans:
    """All detectors together, in the order of the data set."""
    rows = torch.cat([one.rows for one in parts])
    order = rows.argsort()
    first = parts[0]
    return ForgedScans(
        rows=rows[order],
        corner=torch.cat([one.corner for one in parts])[order],
        source=torch.cat([one.source for one in parts])[order],
        donor=torch.cat([one.donor for one in parts])[order],
        side=first.side,
        amplitude=first.amplitude,
        forgeries=first.forgeries,
        learned=first.learned,
        disguises=first.disguises,
        score=torch.cat([one.score for one in parts], -1)[..., order].contiguous(),
        provenance=first.provenance,
    )
