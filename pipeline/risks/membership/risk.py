"""The entry of membership in `RISKS`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.attacks.membership import MEMBERSHIP
from pipeline.config import Config
from pipeline.defenses import DEFENSES
from pipeline.presentation.numbers import NOT_TOLD, count_told, from_to
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.risk import HeadlineFigure, Risk, Tables, by_defense
from pipeline.validation import check_names

if TYPE_CHECKING:
    import pandas as pd

FOUND = "mia_tpr_at_1pct_fpr"


def check(cfg: Config, origin: str) -> None:
    """Refuses an attack that is in no registry, and a recipe that is not configured."""
    numbers = cfg.section(MembershipSettings)
    check_names(numbers.attacks, MEMBERSHIP, f"{origin}: membership.attacks", "membership attack")
    check_names(numbers.recipes or (), DEFENSES, f"{origin}: membership.recipes", "defense")


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """The strongest attack on each defense, and the patients whom it exposes most."""
    if not len(tables.get("membership", ())):
        return ()
    from pipeline.risks.membership.patients import MOST
    from pipeline.risks.membership.tables import STRONGEST

    attacks, groups = tables["membership"], tables["subgroups"]
    strongest = attacks[attacks["attack"] == STRONGEST].dropna(subset="auroc")
    exposed = groups[groups["group"] == MOST]
    pairs = tables.get("membership_pairs")
    first = attacks.iloc[0]
    asked = f"{count_told(attacks['patients'].max())} patients"
    threat = (
        f"tell members from others; {first['knowledge']}, sees {first['access']}; "
        f"{first['shadows']:.0f} shadow models"
    )
    of_most = f"{range_of(exposed['patients'])} patients" if len(exposed) else ""
    return (
        HeadlineFigure.of(
            "AUROC of the strongest attack (0.5: guessing)",
            "low",
            strongest,
            "auroc",
            pairs=pairs,
            compared="auroc",
            weighed=True,
            among=asked,
            threat=threat,
        ),
        HeadlineFigure.of(
            f"AUROC, patients {MOST}",
            "low",
            exposed,
            "exposure",
            pairs=pairs,
            compared="exposure",
            among=of_most,
            threat=threat,
        ),
    )


def range_of(counts: "pd.Series") -> str:
    """`55 to 71`, `55`; `not told` where one of them is not."""
    if counts.isna().any() or (counts == NOT_TOLD).any():
        return NOT_TOLD
    return from_to(counts.astype(float))


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """Of the strongest membership inference attack."""
    if not len(tables.get("membership", ())):
        return {}
    from pipeline.risks.membership.tables import STRONGEST

    table = tables["membership"]
    return by_defense(
        table[table["attack"] == STRONGEST],
        mia_auroc="auroc",
        **{f"{FOUND}{end}": f"tpr_at_1pct{end}" for end in ("", "_low", "_high")},
    )


def shown(cfg: Config) -> Sequence[str]:
    """Members found at 1 % false accusations."""
    return (FOUND,)


RISK = Risk(
    name="membership",
    settings=MembershipSettings,
    check=check,
    headline=headline,
    metrics=metrics,
    shown=shown,
    per_patient=frozenset({"exposure"}),
    private=frozenset({"exposed"}),
    parts={"subgroups": ("defense", "by")},
    glossary={
        "membership inference": "telling from the model's answers whether a patient's record was "
        "in its training set",
        "TPR at 1 % FPR": "of the patients who were in the training set, the share that an "
        "attacker finds who wrongly accuses 1 % of the others",
    },
)
