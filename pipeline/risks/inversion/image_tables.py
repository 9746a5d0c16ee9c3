"""From images read off networks to what people read, each beside what needs no network."""

from collections.abc import Container, Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.attacks.reconstruction import correlation
from pipeline.data.schema import Dataset
from pipeline.risks.columns import DEFENSE, IDS, KNOWLEDGE
from pipeline.risks.inversion.measure.images import ILL, PRIVATE, Reconstruction
from pipeline.risks.pairs import PAIRS, Drawn, pairs_table
from pipeline.standards import RISKS
from pipeline.statistics import Array, intervals
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import averaged

TOLD, TOLD_PAIRS = "image_told", "image_told_pairs"
TYPICAL, UPDATES, REBUILT = "image_typical", "image_updates", "image_rebuilt"
SHOWN = 4  # images in the picture, at most
SENT = "sent"  # in pairs: the update that a defense sends, whichever that is
CLASS = "class"  # the attacker who sees no update: asked beside those of `Reconstruction.rebuilt`
KNOWS = {CLASS: "white box", "plain": "white box, an update of one image"}
KNOWS["private"] = f"{KNOWS['plain']}, clipped and with noise"
# whether more is told than the public mean tells: the whole interval is above 0, or none of it is
YES, NO, UNSURE = "yes", "no", "not told apart"
SIMILAR = ("to_class_mean", "public_to_class_mean", "to_nearest_member", "to_nearest_non_member")
COLUMNS = {
    TOLD: {
        **DEFENSE,
        "source": "what the image is read off: class, the network alone; plain or private, an "
        "update of one image",
        "victims": "networks that are asked",
        "images": "people's images that it is compared with: the ill trained on, or those whose "
        "updates are seen",
        "correlation": "of the image found with such an image, mean",
        "control": "correlation of the mean of all not trained on with it: nothing is read off",
        "more": "the former less the latter, image by image, and their mean",
        "finding": "whether a stranger learns more of a person's image than the public mean image "
        "tells: yes, no or not told apart, by the interval of `more`",
        **KNOWLEDGE,
        **IDS,
    },
    TOLD_PAIRS: PAIRS,
    TYPICAL: {
        **DEFENSE,
        "victims": "networks that are asked; bounds are the least and the largest of any",
        "to_class_mean": "correlation of the image typical of disease with the mean of the ill "
        "trained on",
        "public_to_class_mean": "correlation of the mean of all not trained on with it: the "
        "control, without a network",
        "to_nearest_member": "correlation with the most similar image trained on",
        "to_nearest_non_member": "correlation with the most similar one of equally many others",
        **IDS,
    },
    UPDATES: {
        **DEFENSE,
        "update": "plain, or private: clipped and with the noise of dp_train",
        "victims": "networks whose updates are seen",
        "images": "images of which one update each is seen, of all networks together",
        "noise_multiplier": "of the private update",
        "max_grad_norm": "of the private update",
        "correlation": "of the image found with the one behind the update; bounds are the least "
        "and the largest of any, here and below",
        "control": "correlation of the mean of all not trained on with it: no update is seen",
        "psnr": "peak signal-to-noise ratio of the image found, in decibels",
        "control_psnr": "the same of the control",
        "nearer": "share of the images to which the one found is nearer than the control",
        **IDS,
    },
    REBUILT: {
        **DEFENSE,
        "kind": "the original, what was found by its plain or private update, or the control",
        "place": "which of the images that are shown, from 0",
        "height": "of the image, in pixels",
        "pixels": "its first channel row by row, two hexadecimal digits each, of 256 levels",
    },
}


def told_tables(
    found: Mapping[str, Reconstruction], dataset: Dataset, sampling: Sampling
) -> dict[str, pd.DataFrame]:
    """What a stranger learns of a person's image, beside what the public mean image tells.

    Args:
        found: of each defense.
        dataset: the images.
        sampling: of the intervals: patients are drawn, networks averaged first.

    Returns:
        `image_told`: one row per defense and what the image is read off; `correlation`, `control`
        and `more`, their difference, each with its interval; `finding`, by the interval of `more`.
        `image_told_pairs`: `more` of the defenses compared, by what it is read off; `sent`: off the
        update that each of them sends.
    """
    whose = sampling.whose(len(dataset.y))
    each_alone = sampling.each_alone()
    lines, drawn = [], dict[str, dict[str, Drawn]]()
    for defense, one in found.items():
        for source, own, control in _each_image(one, dataset):
            sides = {"correlation": own, "control": control, "more": own - control}
            asked = int((~np.isnan(own)).any(0).sum())
            line = {"defense": defense, "source": source, "victims": len(one.typical)}
            line["images"] = asked
            figures: dict[str, float] = {}
            for name, values in sides.items():
                mean, samples = _drawn(values, whose, each_alone)
                figures |= intervals.bounded(name, mean, samples, sampling.confidence)
            drawn.setdefault(source, {})[defense] = Drawn(mean, samples)
            finding = {"finding": told_more(figures["more_low"], figures["more_high"])}
            known = {"knowledge": KNOWS[source], **RISKS["inversion"].columns()}
            lines.append(line | figures | finding | known)
    if "plain" in drawn:
        drawn[SENT] = {name: drawn[sent_by(name, one.rebuilt)][name] for name, one in found.items()}
    patients = int(whose.max()) + 1
    return {TOLD: pd.DataFrame(lines), TOLD_PAIRS: pairs_table(drawn, patients)}


def sent_by(defense: str, sources: Container[str]) -> str:
    """Which update the training of a defense sends: the private recipe's is clipped and noisy."""
    return "private" if defense == PRIVATE and "private" in sources else "plain"


def as_sent(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `image_told` of the update that each defense sends."""
    sources = set(table["source"])
    chosen = [sent_by(str(name), sources) for name in table["defense"]]
    return table[table["source"] == chosen]


def told_more(low: float, high: float) -> str:
    """Whether more is told than by the control, from the interval of the difference."""
    return YES if low > 0 else NO if high <= 0 else UNSURE


def _each_image(one: Reconstruction, dataset: Dataset) -> Iterator[tuple[str, Array, Array]]:
    """By source, correlations (V, N) of what was found and of the control; NaN = not asked."""
    index = one.index
    for source, images in one.rebuilt.items():
        truth = dataset.x[index]
        found, control = (
            _placed(correlation(shown, truth), index, len(dataset.y))
            for shown in (images, one.public[:, None])
        )
        yield source, found, control
    ill = [own & (dataset.y == ILL) for own in one.member]
    sides = []
    for images in (one.typical, one.public):
        each = np.full(one.member.shape, np.nan)
        for victim, (image, rows) in enumerate(zip(images, ill, strict=True)):
            each[victim, rows.numpy()] = correlation(image, dataset.x[rows]).numpy()
        sides.append(each)
    yield CLASS, sides[0], sides[1]


def _placed(values: Tensor, index: Tensor, records: int) -> Array:
    """Values (V, T) of images `index` (V, T) as (V, N); NaN elsewhere."""
    placed = torch.full((len(index), records), torch.nan, dtype=torch.float64)
    return placed.scatter(1, index, values.double()).numpy()


def _drawn(values: Array, whose: Array, sampling: Sampling) -> tuple[float, Array]:
    """The mean over patients of correlations (V, N), networks averaged first, and its resamples."""
    asked = ~np.isnan(values).all(0)
    each = np.full(values.shape[1], np.nan)
    each[asked] = np.nanmean(values[:, asked], 0)
    each = averaged(each, whose)
    known = ~np.isnan(each)
    weights = sampling.weights(len(each))
    return intervals.mean_of(each[known]), intervals.bootstrap_mean(each, weights, known)


def typical_images(found: Mapping[str, Reconstruction]) -> pd.DataFrame:
    """One row per defense: what its networks find typical of disease, and whom it resembles.

    Correlations, mean over networks; `_low` and `_high` are the least and the largest of any.
    """
    lines = []
    for defense, one in found.items():
        line = {"defense": defense, "victims": len(one.typical)}
        for name in SIMILAR:
            line |= _ranged(name, one.similar[name].numpy())
        lines.append(line | RISKS["inversion"].columns())
    return pd.DataFrame(lines)


def updates_table(found: Mapping[str, Reconstruction], dataset: Dataset) -> pd.DataFrame:
    """One row per defense and kind of update: how near the image behind it is found.

    Mean over images and networks; `_low` and `_high` are the least and the largest of any.
    """
    (pixel,) = dataset.schema.features
    reach = pixel.upper - pixel.lower
    lines = []
    for defense, one in found.items():
        truth, public = dataset.x[one.index], one.public[:, None]
        for kind, images in one.rebuilt.items():
            noise = one.noise.tolist() if kind == "private" else [np.nan, np.nan]
            own, control = correlation(images, truth), correlation(public, truth)
            line: dict[str, object] = {
                "defense": defense,
                "update": kind,
                "victims": len(one.typical),
                "images": one.index.numel(),
                "noise_multiplier": noise[0],
                "max_grad_norm": noise[1],
                **_ranged("correlation", own.numpy()),
                **_ranged("control", control.numpy()),
            }
            for name, shown in (("psnr", images), ("control_psnr", public)):
                error = (shown.double() - truth.double()).square().mean((-3, -2, -1))
                decibels = 10 * (reach**2 / error.clamp(min=1e-12)).log10()
                line |= _ranged(name, decibels.numpy())
            line["nearer"] = float((own > control).double().mean())
            lines.append(line | RISKS["inversion"].columns())
    return pd.DataFrame(lines)


def rebuilt_images(found: Mapping[str, Reconstruction], dataset: Dataset) -> pd.DataFrame:
    """Of the first defense and network the first images, the control, and what was found of them.

    It shows patients: only where they may be shown.
    """
    (pixel,) = dataset.schema.features
    name, one = next(iter(found.items()))
    truth = dataset.x[one.index[0, :SHOWN]]
    kinds = {"original": truth, "control": one.public[:1].expand_as(truth)}
    kinds |= {kind: images[0, :SHOWN] for kind, images in one.rebuilt.items()}
    lines = []
    for kind, images in kinds.items():
        shares = (images[:, 0].double() - pixel.lower) / (pixel.upper - pixel.lower)
        levels = (255 * shares).round().clamp(0, 255).to(torch.uint8)
        for place, image in enumerate(levels):
            pixels = bytes(image.flatten().tolist()).hex()
            line = {"defense": name, "kind": kind, "place": place, "height": len(image)}
            lines.append({**line, "pixels": pixels})
    return pd.DataFrame(lines)


def _ranged(name: str, values: Array) -> dict[str, float]:
    return {
        name: float(values.mean()),
        f"{name}_low": float(values.min()),
        f"{name}_high": float(values.max()),
    }
