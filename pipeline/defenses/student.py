"""SEDA's distillation: a small network that learns what the vote of a self-ensemble says.

What such a student is worth is asked of images made against it. Images made against the transformer
that its teacher reads, which the published evaluation shows it, are a figure of transfer.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softmax

from pipeline.config import Config, Count, ModelConfig, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.self_ensembling import Widths, on_frozen
from pipeline.defenses.undefended import fit_as_configured
from pipeline.models.designs import Trained
from pipeline.models.ensemble import voters
from pipeline.models.image_networks import ImageNetworks
from pipeline.models.training import Batch, Loss

Labels = Literal["soft", "hard"]


def seda_student(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    read: Count,
    channels: Widths,
    hidden: list[Count],
    epochs: Count,
    labels: Labels,
    temperature: Positive,
    student_channels: Widths,
    student_hidden: list[Count],
    student_epochs: Count,
) -> Trained:
    """Defensive distillation of a self-ensemble into one convolutional network (arXiv:2308.07874).

    The teacher is `seda` without adversarial images, trained on the plan; the student, on the same
    plan, learns its answers alone.

    Args:
        dataset: the images.
        plan: who trains; a student learns only from images that its teacher trained on.
        cfg: model (a vision transformer, the teacher's), and training numbers of both.
        read: of the teacher, as the following three: as in `seda`.
        channels: likewise.
        hidden: likewise.
        epochs: likewise.
        labels: `soft`, the mean of the voters' answers at `temperature`, which the student learns
            at the same one and is used at 1 (Papernot et al. 2016, arXiv:1511.04508); `hard`, the
            class that is ahead in the teacher's answer, as the released code has it.
        temperature: divides log-probabilities; only of `soft`.
        student_channels: of the student's convolutions.
        student_hidden: widths of its linear layers before the last one.
        student_epochs: its passes over the training images.

    Raises:
        BadInput: the model is no vision transformer.
    """
    teacher = on_frozen(dataset, plan, cfg, read, channels, hidden, epochs)
    own = {
        "model": ModelConfig(name="cnn", channels=student_channels, hidden=student_hidden),
        "train": cfg.train.model_copy(update={"epochs": student_epochs}),
    }
    taught = (
        to_match(softened(teacher, dataset.x, temperature), temperature)
        if labels == "soft"
        else to_repeat(hardened(teacher, dataset.x))
    )
    student = fit_as_configured(dataset, plan, cfg.model_copy(update=own), "student", loss=taught)
    student.facts["student"] = {
        "of": f"{1 + read} voters",
        "labels": labels,
        "temperature": temperature if labels == "soft" else None,
    }
    return student


# ---- what the teacher says ----


@torch.no_grad()
def softened(teacher: ImageNetworks, x: Tensor, temperature: float) -> Tensor:
    """(M, N, K): the mean of the voters' probabilities at a temperature, of images (N, *image)."""
    said = voters(teacher, x.expand(teacher.size, *x.shape))
    return softmax(said / temperature, -1).mean(0)


@torch.no_grad()
def hardened(teacher: ImageNetworks, x: Tensor) -> Tensor:
    """(M, N) int64: the class with the largest mean log-probability, of images (N, *image)."""
    return teacher(x.expand(teacher.size, *x.shape)).argmax(-1)


# ---- what the student is taught by it ----


def to_match(soft: Tensor, temperature: float) -> Loss:
    """The loss against probabilities (M, N, K), at a temperature; its gradient does not shrink."""

    def loss(out: Tensor, batch: Batch) -> Tensor:
        target = soft.gather(1, batch.index[..., None].expand(-1, -1, soft.shape[-1]))
        return -temperature * (target * log_softmax(out / temperature, -1)).sum(-1)

    return loss


def to_repeat(hard: Tensor) -> Loss:
    """The loss against classes (M, N)."""

    def loss(out: Tensor, batch: Batch) -> Tensor:
        target = hard.gather(1, batch.index)
        each = cross_entropy(out.flatten(0, 1), target.flatten(), reduction="none")
        return each.view(target.shape)

    return loss
