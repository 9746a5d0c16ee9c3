"""The entry of membership in `RISKS`."""

from collections.abc import Mapping, Sequence

from pipeline.attacks.membership import MEMBERSHIP
from pipeline.config import Config
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.risks.risk import HeadlineFigure, Risk, Tables, by_defense
from pipeline.validation import check_names

FOUND = "mia_tpr_at_1pct_fpr"


def check(cfg: Config, origin: str) -> None:
    """Refuses an attack that is in no registry."""
    check_names(
        cfg.section(MembershipSettings).attacks,
        MEMBERSHIP,
        f"{origin}: membership.attacks",
        "membership attack",
    )


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
    return (
        HeadlineFigure.of(
            "AUROC of the strongest attack (0.5: guessing)",
            "low",
            strongest,
            "auroc",
            pairs=pairs,
            compared="auroc",
            weighed=True,
        ),
        HeadlineFigure.of(
            f"AUROC, patients {MOST}", "low", exposed, "exposure", pairs=pairs, compared="exposure"
        ),
    )


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
)
