"""The entry of safeguards in `RISKS`."""

from collections.abc import Mapping

from pipeline.config import BASELINE, Config
from pipeline.defenses import DEFENSES
from pipeline.defenses.sanitising import check_sanitisers
from pipeline.risks.risk import HeadlineFigure, Risk, Tables, nearest_in
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.validation import check_names


def check(cfg: Config, origin: str) -> None:
    """Refuses a recipe or a sanitiser that is in no registry."""
    wanted = cfg.section(SafeguardsSettings)
    check_names(wanted.beside, DEFENSES, f"{origin}: safeguards.beside", "defense")
    check_sanitisers(wanted.sanitisers, f"{origin}: safeguards.sanitisers")


def headline(tables: Tables, cfg: Config) -> tuple[HeadlineFigure, ...]:
    """None: a wrapper is no defense that is compared with others."""
    return ()


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """Of the undefended models: behind the best sanitiser, and what referral lets pass."""
    if "sanitised" not in tables:
        return {}
    found: dict[str, float] = {}
    behind = tables["sanitised"]
    behind = behind[(behind["attacker"] == "adaptive") & (behind["safeguard"] != "none")]
    if len(behind):
        eps = nearest_in(behind["eps"], cfg.headline_radius)
        found["robust_accuracy_sanitised"] = float(
            behind.loc[behind["eps"] == eps, "accuracy"].max()
        )
    passed = tables["referred"]
    passed = passed[(passed["attacker"] == "adaptive") & (passed["defense"] == BASELINE)]
    rates = sorted(passed["rate"].unique())
    eps = nearest_in(passed["eps"], cfg.headline_radius)
    own = passed[(passed["eps"] == eps) & (passed["rate"] == rates[len(rates) // 2])]
    found["errors_not_referred"] = float(own.loc[own["rule"] == "margin", "undetected"].iloc[0])
    return {BASELINE: found}


RISK = Risk(
    name="safeguards",
    settings=SafeguardsSettings,
    check=check,
    headline=headline,
    metrics=metrics,
    staged="whole",
    glossary={
        "sanitiser": "what is done to a record before the model sees it: rounded, smoothed, noise",
        "referral": "a model leaves the patients whom it doubts most to a human",
        "adaptive": "an attacker who knows the safeguard and attacks through it",
    },
)
