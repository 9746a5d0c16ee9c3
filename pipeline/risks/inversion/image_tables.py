"""From images read off networks to what people read, each beside what needs no network."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from pipeline.attacks.reconstruction import correlation
from pipeline.data.schema import Dataset
from pipeline.risks.columns import DEFENSE, IDS
from pipeline.risks.inversion.measure.images import Reconstruction
from pipeline.standards import RISKS
from pipeline.statistics import Array

TYPICAL, UPDATES, REBUILT = "image_typical", "image_updates", "image_rebuilt"
SHOWN = 4  # images in the picture, at most
SIMILAR = ("to_class_mean", "public_to_class_mean", "to_nearest_member", "to_nearest_non_member")
COLUMNS = {
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
