"""What MLflow and `dvc metrics` get of evasion: few figures, two curves, a nested run a radius."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.risks.risk import Figure, Point, Tables, nearest_in, own

if TYPE_CHECKING:
    import pandas as pd

BOUNDED = ("", "_low", "_high")
CLEAN = {
    "clean_accuracy": "clean_accuracy",
    **{f"sensitivity{end}": f"sensitivity{end}" for end in BOUNDED},
    "specificity": "specificity",
    "auroc": "auroc",
    "brier": "brier",
}
# What a figure under attack is called, and its column.
ATTACKED = {
    **{f"robust_sensitivity{end}": f"sensitivity{end}" for end in BOUNDED},
    "robust_accuracy": "robust_accuracy",
    "robust_accuracy_low": "robust_low",
    "robust_accuracy_high": "robust_high",
    "robust_specificity": "specificity",
    "missed_diagnosis_rate": "missed_diagnosis_rate",
    "false_alarm_rate": "false_alarm_rate",
    "attacked_auroc": "attacked_auc",
    "certified_auroc": "certified_auc",
    "net_benefit": "net_benefit",
    "verified_accuracy": "verified_accuracy",
    "undecided": "undecided",
}
COMPARED = ("robust_accuracy", "robust_sensitivity")
RANKED = ("attacked_auroc", "certified_auroc")  # of images, whose accuracy is one of the threshold
PREFIX = "by_eps_in_thousandths"  # of a curve: so the axis of a chart, "Step", is explained


def radii(eps: Sequence[float], headline: float) -> list[float]:
    """Of examined radii the few that are compared: a third of the headline's, it, the largest.

    The examined ones nearest to these, but for 0; one where these are the same.
    """
    attacked = [radius for radius in eps if radius > 0]
    wanted = (headline / 3, headline, max(attacked, default=0.0))
    return sorted({nearest_in(attacked, radius) for radius in wanted}) if attacked else []


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """Without attack, and at three radii of the headline threat; what is undecided at the most."""
    if "comparison" not in tables:
        return {}
    table = tables["comparison"]
    found = {}
    for defense, lines in table[table["threat"] == cfg.audit.headline].groupby(
        "defense", sort=False
    ):
        few = radii(list(lines["eps"]), cfg.audit.headline_eps)
        figures: dict[str, float] = {}
        if few:  # first, because MLflow's page that compares runs opens with the first metric
            at = lines[lines["eps"] == nearest_in(few, cfg.audit.headline_eps)].iloc[0]
            named = f"robust_sensitivity_at_{at['eps']:g}"
            figures |= _named(at, {f"{named}{end}": f"sensitivity{end}" for end in BOUNDED})
        figures |= _named(lines.iloc[0], CLEAN)
        for _, line in lines[lines["eps"].isin(few)].iterrows():
            of_radius, place = _named(line, ATTACKED), f"at_{line['eps']:g}"
            kept = (*COMPARED, *RANKED) if cfg.data.image else COMPARED
            figures |= {f"{key}_{place}": of_radius[key] for key in kept if key in of_radius}
        if "undecided" in lines:
            figures["undecided_at_most"] = float(lines["undecided"].max())
        found[str(defense)] = figures
    return found


def shown(cfg: Config) -> Sequence[str]:
    """Sensitivity, the same under attack with its interval, and calibration."""
    eps = cfg.threat[cfg.audit.headline].eps or cfg.audit.eps
    few = radii(eps, cfg.audit.headline_eps)
    if not few:
        return ("sensitivity", "brier")
    named = f"robust_sensitivity_at_{nearest_in(few, cfg.audit.headline_eps):g}"
    return ("sensitivity", *(f"{named}{end}" for end in BOUNDED), "brier")


def curves(tables: Tables, name: str, cfg: Config) -> Iterator[Figure]:
    """Accuracy and sensitivity against the radius of the headline threat.

    Step 100 is the value at eps 0.1.
    """
    if "comparison" not in tables:
        return
    table = own(tables, "comparison", name)
    for _, line in table[table["threat"] == cfg.audit.headline].iterrows():
        step, figures = round(line["eps"] * 1000), _named(line, ATTACKED)
        yield from (
            Figure(f"{PREFIX}/{key}", figures[key], step) for key in COMPARED if key in figures
        )


def points(tables: Tables, name: str, cfg: Config) -> Sequence[Point]:
    """A nested run per radius of the headline threat, with all threats of the same unit."""
    if "comparison" not in tables:
        return ()
    table = own(tables, "comparison", name)
    headline = table[table["threat"] == cfg.audit.headline]
    comparable = table[table["eps_unit"] == headline["eps_unit"].iloc[0]]
    return [
        Point(
            {"attack_eps": f"{eps:g}"},
            _at_radius(comparable[comparable["eps"] == eps], cfg.audit.headline),
        )
        for eps in headline["eps"]
    ]


def _at_radius(lines: "pd.DataFrame", threat: str) -> list[Figure]:
    """Every figure at one radius; those of threats beside the headline carry their name."""
    values: dict[str, float] = {}
    for _, line in lines.sort_values("threat", key=lambda threats: threats != threat).iterrows():
        prefix = "" if line["threat"] == threat else f"{line['threat']}/"
        values |= {f"{prefix}{key}": value for key, value in _named(line, ATTACKED).items()}
    values["attack_eps"] = float(lines["eps"].iloc[0])
    return [Figure(*one) for one in values.items()]


def _named(line: "pd.Series[float]", names: Mapping[str, str]) -> dict[str, float]:
    """Name -> value of a column, if it is there and holds one."""
    return {
        name: float(line[column])
        for name, column in names.items()
        if column in line and line[column] == line[column]
    }
