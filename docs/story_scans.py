"""The scans of `docs/story.py`: handwritten digits as 8-bit images, and an audit of their own.

They ship with scikit-learn, so that nobody needs a file or a network; a three or an eight is the
disease. The audit is a small one, of the undefended CNN and of adversarial training, on a split
that is drawn here.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from story_acts import Case
from story_guard import Array, medsecure, say

from pipeline.data.plan import PLAN, Plan
from pipeline.data.schema import Dataset, load_dataset
from pipeline.project.founding import start

NAME, EXPERIMENT, LEVELS, DARKEST, SEED = "digit_scans", "story", 255, 16, 0
DISEASE = (3, 8)
PARTS = {"train": (150, 750), "val": (45, 225), "test": (160, 240)}  # ill and healthy of each
SCHEMA = f"""\
# Handwritten digits, as bundled with scikit-learn, stretched to 8 bits. No clinical meaning.
name: {NAME}
title: Handwritten digits as scans (a three or an eight is the disease)
source: npz
file: {NAME}.npz
image: {{shape: [1, 8, 8]}}
target: digit
classes: [other, diseased]
outcomes: {{0: other, 1: diseased}}
patients: shown
auroc_ceiling: 1.0
bands: {{}}
features:
  pixel: {{unit: grey level, kind: integer, lower: 0, upper: {LEVELS}, step: 1.0, mutable: true,
    private: false, center: 127.5, scale: 1.0, source: 8-bit images, error: null,
    error_source: null}}
"""
SETTINGS = """\
# @package _global_
# Two recipes and one risk, in a minute: what a guard needs of an audit.
defaults:
  - override /model: cnn
  - override /train: images
  - override /decision: youden
  - override /threat: [pixels]
  - override /attack: [noise, fgsm, pgd_margin, apgd_margin]
threads: 1  # such networks are too small for two
plan: {kind: official, seeds: 1}
model: {channels: [8, 16], hidden: [16]}
train: {epochs: 20, batch_size: 32, shift: 0}
examine: [adv_train]
adv_train:
  eps: 16.0
  threat: pixels
  mixture: [{method: pgd, radius: 1.0, share: 1.0, steps: 3, step_size: 0.4}]
audit: {eps: [0.0, 4.0, 8.0, 16.0], headline: pixels, headline_eps: 8.0, resamples: 500}
distill: {epochs: 1}  # the DAG trains it; nobody asks it
dp_train: {sample_rate: 0.25, expected_batch: 220, steps: 1}
membership: {recipes: []}
poisoning: {recipes: []}
theft: {recipes: []}
frontier: {epsilons: []}
forgery: {recipes: []}
safeguards: {enabled: false}
"""


def scans(place: Path) -> Case:
    """The CNN: a project is founded, and audited as anybody would; its test images are asked about.

    Args:
        place: a folder, in which the project is made.
    """
    project = founded(place / "scans")
    say("A project of scans is made of handwritten digits (a three or an eight is the disease) and "
        "audited, which takes a minute or two.")  # fmt: skip
    medsecure("run", project=project, shown=0)
    prepared = project / "artifacts" / "prepare"
    tested = Plan.load(prepared / PLAN).held_out.any(0)
    every = load_dataset(prepared)
    asked = Dataset(every.x[tested], every.y[tested], every.schema, every.patient[tested])
    return case_of(project, asked)


def founded(project: Path) -> Path:
    """A project of the scans, as `medsecure init` founds one of a table; the folder is made."""
    project.mkdir()
    np.savez(project / f"{NAME}.npz", **archive())
    start(project, SCHEMA, NAME, {f"conf/experiment/{EXPERIMENT}.yaml": SETTINGS})
    config = project / "conf" / "config.yaml"  # what holds for `run` and `serve` alike
    text = config.read_text(encoding="utf-8")
    config.write_text(
        text.replace("- experiment: null", f"- experiment: {EXPERIMENT}"), encoding="utf-8"
    )
    return project


def case_of(project: Path, asked: Dataset) -> Case:
    """What is attacked, of a project with its audit, and who is asked about."""
    r = 4.0
    return Case(
        title="Scans: the undefended CNN",
        project=project,
        dataset=asked,
        kinds=("scans", "pixels in the scans"),
        seen="No model was trained on these scans; what alarms are held against was measured of "
        "the same.",
        r=r,
        reaches=(2.0, 4.0, 8.0),
        policy=(f"serving.alarm_r={r:g}", "serving.near=2"),
        defense="adv_train",
        candidate="Adversarial training",
        harder_r=2 * r,
        accepted={},
        unit=" grey levels",
    )


def archive() -> dict[str, Array]:
    """Images (N, 8, 8) uint8 and labels (N, 1) of each part, in the layout of MedMNIST."""
    images, digits = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 8, 8) * LEVELS / DARKEST).astype(np.uint8)
    is_ill = np.isin(digits, DISEASE)
    draws, parts = np.random.default_rng(SEED), dict[str, Array]()
    ill, healthy = (draws.permutation(np.flatnonzero(one)) for one in
                    (is_ill, ~is_ill))  # fmt: skip
    for part, (some, others) in PARTS.items():
        rows = np.concatenate([ill[:some], healthy[:others]])
        ill, healthy = ill[some:], healthy[others:]
        parts[f"{part}_images"] = pixels[rows]
        parts[f"{part}_labels"] = is_ill[rows].astype(np.uint8)[:, None]
    return parts
