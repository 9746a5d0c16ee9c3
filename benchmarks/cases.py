"""The registry: every case by the name that the command line takes."""

from benchmarks import attacks, exact, images, leaks, poisoned, theft, training, trees
from benchmarks.contest import Case

ART, FOOLBOX, TORCHATTACKS, OPACUS, TORCH = (
    "adversarial-robustness-toolbox",
    "foolbox",
    "torchattacks",
    "opacus",
    "torch",
)
GHOST, TIGHT = "opacus, ghost clipping", "torch, tight loop"

CASES: dict[str, Case] = {
    "train": Case(
        title="train 25 models, MLP 8-64-64-2",
        quality="out-of-fold accuracy",
        better="higher",
        targets={TORCH: 12},
        contenders=training.plain,
        models=25,
    ),
    "adversarial_training": Case(
        title="adversarial training against PGD-7, per model, 16 at once",
        quality="out-of-fold accuracy under PGD-40 with 5 restarts",
        better="higher",
        targets={ART: 25},
        contenders=training.adversarial,
    ),
    "private_training": Case(
        title="DP-SGD, per model, 16 at once",
        quality="out-of-fold accuracy",
        better="higher",
        targets={OPACUS: 18, GHOST: 16},
        contenders=training.private,
    ),
    "shadow_models": Case(
        title=f"{leaks.SHADOWS} shadow models on random halves, {leaks.EPOCHS} epochs",
        quality="accuracy on those not trained on",
        better="higher",
        targets={TORCH: 20, TIGHT: 14},
        contenders=leaks.shadow_models,
        models=leaks.SHADOWS,
        repeats=3,
    ),
    "lira_scoring": Case(
        title=f"LiRA scores of {leaks.SHADOWS} targets",
        quality="AUROC of the scores",
        better="higher",
        targets={TORCH: 100},
        contenders=leaks.lira_scoring,
        repeats=3,
    ),
    "poisoning": Case(
        title=f"{poisoned.RETRAININGS} retrainings, {poisoned.FLIPPED:.0%} of the records flipped, "
        "MLP 8-64-64-2",
        quality="accuracy on held-out patients",
        better="higher",
        targets={TORCH: 10},
        contenders=poisoned.retraining,
        models=poisoned.RETRAININGS,
    ),
    "fgsm_grid": Case(
        title="FGSM, 20 radii x 5 models x 768 records",
        quality="mean robust accuracy over the grid",
        better="lower",
        targets={ART: 14, TORCHATTACKS: 4},
        contenders=attacks.fgsm_grid,
        repeats=9,
    ),
    "pgd_grid": Case(
        title="PGD-40, 20 radii x 5 models x 768 records",
        quality="mean robust accuracy over the grid",
        better="lower",
        targets={ART: 25, FOOLBOX: 12, TORCHATTACKS: 8},
        contenders=attacks.pgd_grid,
        repeats=5,
    ),
    "exact_accuracy": Case(
        title="exact robust accuracy of one MLP, 768 records, eps 0.3, measurements only",
        quality="robust accuracy "
        "(ours exact; AutoAttack's attacks for two classes: an upper bound)",
        better="lower",
        targets={TORCHATTACKS: 20},
        contenders=exact.exact_accuracy,
        repeats=3,
    ),
    "trees_within": Case(
        title="whether a forest and a boosted ensemble break within eps 0.3, reals, 100 records",
        quality="robust accuracy (ours with the nearest change, Veritas's yes or no)",
        better="lower",
        targets={"dtai-veritas": 1},
        contenders=trees.within_a_radius,
    ),
    "trees_nearest": Case(
        title="the nearest change of these records up to eps 1",
        quality="its mean distance (ours exact on the grid, Veritas's halved over the reals: "
        "what can be written down is further away)",
        better="higher",
        targets={"dtai-veritas": 1},
        contenders=trees.nearest_change,
    ),
    "theft_probabilities": Case(
        title="copy an MLP from 1000 probabilities, against KnockoffNets, per model, 5 at once",
        quality="fidelity on held-out patients",
        better="higher",
        targets={ART: 1.5},
        contenders=theft.from_probabilities,
    ),
    "theft_labels": Case(
        title="copy an MLP from 1000 labels, against CopycatCNN, per model, 5 at once",
        quality="fidelity on held-out patients",
        better="higher",
        targets={ART: 1.5},
        contenders=theft.from_labels,
    ),
    "image_training": Case(
        title=f"train {images.MODELS} convolutional networks, {images.EPOCHS} epochs",
        quality=f"accuracy on test images ({images.DATA})",
        better="higher",
        targets={TORCH: 3},
        contenders=images.training,
        models=images.MODELS,
    ),
    "image_pgd": Case(
        title=f"PGD-40, {images.ATTACKED} convolutional networks x {images.IMAGES} images",
        quality=f"robust accuracy ({images.DATA})",
        better="lower",
        targets={TORCH: 3, ART: 5, TORCHATTACKS: 5},
        contenders=images.attack,
    ),
}
