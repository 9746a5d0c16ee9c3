"""Made-up results of evasion: rows of an examination with known answers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
import yaml

from pipeline import params
from pipeline.attacks.evasion import attackers_of
from pipeline.config import AuditConfig, Config
from pipeline.defenses.trained import train
from pipeline.risks.evasion.logged import ATTACKED, CLEAN
from pipeline.risks.evasion.measure.attackers import ADDED, TRANSFER
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.standards import describe_threat
from pipeline.verify.out_of_fold import Proofs
from tiny import plan, records

PGD = {"method": "pgd", "steps": 20, "step_size": 0.2}
APGD = {"method": "apgd", "steps": 20}
CONFIGURED = {
    "noise": {"method": "noise"},
    "fgsm": {"method": "fgsm"},
    "pgd_ce": {**PGD, "loss": "cross_entropy"},
    "pgd_margin": {**PGD, "loss": "margin"},
    "apgd_ce": {**APGD, "loss": "cross_entropy"},
    "apgd_margin": {**APGD, "loss": "margin"},
    "square": {"method": "square", "queries": 100},
    "hop_skip_jump": {"method": "hop_skip_jump", "queries": 100},
    "a": {**PGD, "restarts": 2},
    "b": {**PGD, "restarts": 3},
}
KNOWN = {**attackers_of(CONFIGURED), **ADDED}


def seeing(access, *names):
    """The same attackers, but that these have another access to the model."""
    return KNOWN | {name: replace(KNOWN[name], access=access) for name in names}


def threat_columns(access: str) -> dict[str, str]:
    """What names the threat of a hand-made row, for an attacker with this access to the model."""
    budget = 100 if access in ("scores", "labels") else None
    return describe_threat(
        norm="linf", goal="any", mutable=["glucose", "bmi"], access=access, query_budget=budget
    )


SUITE, BOXES = ("noise", "fgsm", "pgd_margin", "sparse"), 20


def small(cfg: Config) -> Config:
    """The configuration with a few cheap attacks, and little patience for proofs."""
    suite = {name: options for name, options in cfg.attack.items() if name in SUITE}
    threats = {
        name: threat.model_copy(update={"boxes": BOXES})
        for name, threat in cfg.threat.items()
        if threat.unit == "scale"  # the features of `tiny` have no error
    }
    return cfg.model_copy(update={"attack": suite, "threat": threats})


EPS = [0.0, 0.1, 0.5]
CFG = AuditConfig(eps=EPS, headline="clinical", headline_eps=0.3, confidence=0.95, resamples=300)


def rows(margins, y, eps=EPS, threat="clinical", known=KNOWN):
    """The rows of an examination whose margins are {attack: (E, S, N)}."""
    frames = []
    for attack, values in margins.items():
        values = np.asarray(values, dtype=np.float32)
        radii, seeds, patients = np.indices(values.shape).reshape(3, -1)
        frames.append(
            pd.DataFrame(
                {
                    "threat": threat,
                    "attack": attack,
                    **threat_columns(known[attack].access),
                    "eps": np.array(eps)[radii],
                    "repetition": seeds,
                    "patient": patients,
                    "model": "m",
                    "y": np.asarray(y)[patients],
                    "margin": values.ravel(),
                    "broken": values.ravel() <= 0,
                    "changed": 0,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def found(margins, y, *, diagnostics=None, cut=None, **how):
    """An examination with these margins; nothing is proved."""
    return Examination(rows(margins, y, **how), {}, diagnostics or {}, cut)


def model(strength, y, *, seeds=2, seed=0, loss=2.0, attacks=("fgsm", "pgd_ce", "pgd_margin")):
    """Margins of a model that loses `loss` logits at eps 1; under PGD a little more than FGSM."""
    rng = np.random.default_rng(seed)
    clean = strength + rng.normal(0, 1.5, (seeds, len(y)))
    extra = {"fgsm": 0.0, "pgd_ce": 0.2, "pgd_margin": 0.2}
    drop = np.array(EPS)[:, None, None]
    return {attack: clean - drop * (loss + extra[attack]) for attack in attacks}


def proof_of(margins, data, sure=1.0):
    """What is proved where no attack is weaker than the verifier.

    `sure` is how much of each distance is certain.

    A record is known to break at the first radius at which an attack breaks it, by the next glucose
    value."""
    worst = np.minimum.reduce([np.asarray(values) for values in margins.values()])
    breaks_at = torch.from_numpy(np.where(worst <= 0, np.array(EPS)[:, None, None], np.inf).min(0))
    found = data.x.expand(len(breaks_at), -1, -1).clone()
    found[..., 0] += breaks_at.isfinite() & (breaks_at > 0)
    clean, alone = (
        torch.from_numpy(worst[0]).double(),
        torch.where(data.x.isnan(), torch.nan, torch.inf).double(),
    )
    nowhere = torch.full(found.shape, torch.nan, dtype=torch.float64)
    everyone = torch.arange(len(data.y))
    return Proofs(
        everyone,
        data.y,
        clean,
        sure * breaks_at,
        breaks_at,
        found,
        -clean.abs(),
        alone.expand(found.shape).clone(),
        nowhere,
        -clean.abs(),
    )


DEFENSES = ("baseline", "adv_train", "distill")
LABELS = {
    "baseline": "baseline",
    "adv_train": "adv_train",
    "distill": "distill [masked gradients, harms a group]",
}
HEADLINE, OTHER = "clinical", "unconstrained"


def three_defenses(data):
    """Three defenses under two threats, one of them decided; `distill` masks its gradients."""
    y = data.y.numpy()
    margins = {
        name: model(1.2, y, loss=loss, seed=seed)
        for seed, (name, loss) in enumerate(zip(DEFENSES, (2.0, 0.5, 0.2), strict=True))
    }
    sent = np.array([0.0, 2.0, 3.0])[:, None, None]
    margins["distill"][TRANSFER] = margins["distill"]["fgsm"] - sent
    return {name: _under_both(of_defense, data) for name, of_defense in margins.items()}


def _under_both(margins, data):
    table = pd.concat(
        [rows(margins, data.y.numpy(), threat=threat) for threat in (HEADLINE, OTHER)],
        ignore_index=True,
    )
    proofs = {HEADLINE: proof_of(margins, data), OTHER: proof_of(margins, data, sure=0.1)}
    return Examination(table.astype({"threat": pd.CategoricalDtype([HEADLINE, OTHER])}), proofs, {})


MEMBERS, RECORDS = 3, 40


def trained_models(smoke_text):
    """A trained population on the records that each member did not see: models, x, y."""
    cfg = params.parse(yaml.safe_load(smoke_text), "conf")
    schedule = cfg.train.model_copy(update={"epochs": 30, "learning_rate": 3e-3})
    dataset = records(180, seed=0)
    of_whom = plan(dataset, seeds=1)
    models = train("baseline", dataset, of_whom, cfg.model_copy(update={"train": schedule}))
    index, _ = of_whom.held_out_index()
    return models, dataset.x[index], dataset.y[index]


class Liar:
    """A model whose own pullback is not its gradient."""

    def __init__(self, models, lie):
        self.models, self.lie = models, lie

    def __call__(self, x):
        return self.models(x)

    def pullback(self, x):
        logits, pull = self.models.pullback(x)
        return logits, lambda grad: self.lie(pull(grad))


class Still(torch.autograd.Function):
    """Passes records on, and no gradient back."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return torch.zeros_like(grad)


RATED = [
    f"{rate}{end}"
    for rate in ("missed_diagnosis_rate", "false_alarm_rate")
    for end in ("", "_low", "_high")
]
KEYS = dict.fromkeys(
    (
        *CLEAN.values(),
        *ATTACKED.values(),
        *RATED,
        "auroc_low",
        "auroc_high",
        "clean_low",
        "clean_high",
    )
)
RADII = {"clinical": [0.0, 0.3], "unconstrained": [0.0, 0.3], "sparse": [0.0, 1.0]}
UNITS = {"clinical": "SD", "unconstrained": "SD", "sparse": "measurements"}


def planted(defense, flags="", evidence=""):
    """A comparison of one defense in which no two figures are the same."""
    lines = []
    for of_threat, (threat, radii) in enumerate(RADII.items()):
        for at, eps in enumerate(radii):
            figures = {key: of_threat + at / 10 + i / 1000 for i, key in enumerate(KEYS)}
            place = {"defense": defense, "threat": threat, "eps": eps, "eps_unit": UNITS[threat]}
            lines.append(figures | place | {"flags": flags, "evidence": evidence})
    return pd.DataFrame(lines)


def line(tables, defense, threat, eps):
    table = tables["comparison"]
    here = (table["defense"] == defense) & (table["threat"] == threat) & (table["eps"] == eps)
    return table[here].iloc[0]
