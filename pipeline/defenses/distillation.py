"""Defensive distillation: known to mask gradients rather than to defend.

Kept because people still deploy it.
"""

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.undefended import fit_as_configured
from pipeline.kernels import chosen_device
from pipeline.models.designs import Trained
from pipeline.models.training import Batch, supervised


def distill(
    dataset: Dataset, plan: Plan, cfg: Config, *, temperature: Positive, epochs: Count
) -> Trained:
    """Defensive distillation (Papernot et al. 2016, arXiv:1511.04508).

    The teacher is trained at `temperature` on the plan; the student, on the same plan, learns the
    teacher's softened answers at the same temperature and is used at temperature 1. Carlini and
    Wagner (2016, arXiv:1607.04311) show that this defends nothing: it saturates the softmax, so
    cross-entropy attacks lose their gradient while margin attacks do not.

    Args:
        dataset: the records.
        plan: who trains; a student learns only from records that its teacher trained on.
        cfg: model and training numbers.
        temperature: divides the logits in training.
        epochs: of teacher and student; more than ordinary training needs, because the logits must
            grow with the temperature.
    """
    cfg = cfg.model_copy(update={"train": cfg.train.model_copy(update={"epochs": epochs})})

    def hot(out: Tensor, batch: Batch) -> Tensor:
        # Times the temperature, or the gradient would shrink with it and weight decay would take
        # over.
        return temperature * supervised(out / temperature, batch)

    teacher = fit_as_configured(dataset, plan, cfg, "teacher", loss=hot)
    everyone = dataset.x.expand(plan.size, *dataset.x.shape)
    with torch.no_grad():
        soft = torch.softmax(teacher(everyone) / temperature, -1).to(chosen_device())  # (M, N, C)

    def match_teacher(out: Tensor, batch: Batch) -> Tensor:
        target = soft.gather(1, batch.index[..., None].expand(-1, -1, soft.shape[-1]))
        return -temperature * (target * log_softmax(out / temperature, -1)).sum(-1)

    return fit_as_configured(dataset, plan, cfg, "student", loss=match_teacher)
