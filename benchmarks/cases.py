"""The registry: every case by the name that the command line takes."""

from benchmarks import attacks, training
from benchmarks.contest import Case

ART, TORCHATTACKS, OPACUS, TORCH = "adversarial-robustness-toolbox", "torchattacks", "opacus", "torch"

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
        targets={OPACUS: 15},
        contenders=training.private,
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
        targets={ART: 15, TORCHATTACKS: 5},
        contenders=attacks.pgd_grid,
        repeats=5,
    ),
}
