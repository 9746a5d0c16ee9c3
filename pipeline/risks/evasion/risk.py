"""The entry of evasion in `RISKS`."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from pipeline.config import Config
from pipeline.files import BadInput
from pipeline.risks.evasion.measure.attackers import all_attackers
from pipeline.risks.evasion.measure.idle import UNSTATED, why_idle
from pipeline.risks.risk import (
    Figure,
    HeadlineFigure,
    Judgement,
    Point,
    Risk,
    Tables,
    curve,
    nearest_of,
    own,
)

if TYPE_CHECKING:
    import pandas as pd

CURVES = (
    "robust_accuracy",
    "verified_accuracy",
    "undecided",
    "balanced_accuracy",
    "missed_diagnosis_rate",
    "sensitivity",
    "robust_low",
    "robust_high",
)
CLEAN = ("clean_accuracy", "clean_low", "clean_high", "auroc", "auroc_low", "auroc_high")
AT_RADII = ("robust_accuracy", "verified_accuracy", "undecided", "missed_diagnosis_rate")


def check(cfg: Config, origin: str) -> None:
    """Refuses attacks in no registry, options that do not fit them, a headline that is idle."""
    all_attackers(cfg, origin)
    name = cfg.audit.headline
    if why_idle(cfg.threat[name], cfg.data.features.values()) == UNSTATED:
        raise BadInput(
            f"{origin}: audit.headline: under {name!r} no value of these records can change, "
            "because none that is mutable states its error; choose another threat"
        )


def judge(tables: Tables) -> Mapping[str, Judgement]:
    """The flags of each defense."""
    if "comparison" not in tables:
        return {}
    first = tables["comparison"].drop_duplicates("defense").set_index("defense")
    judged = {}
    for name, line in first.iterrows():
        flags = (
            dict(zip(str(line["flags"]).split(), str(line["evidence"]).split("; "), strict=True))
            if line["flags"]
            else {}
        )
        judged[str(name)] = Judgement(flags)
    return judged


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """Missed diagnoses first: at the headline radius of the headline threat, then without attack.

    At each model's own cut. Where nobody's record can be changed within that radius, as where every
    value is a yes or a no, under one changed measurement instead, if a threat asks for it.
    """
    if "comparison" not in tables:
        return ()
    from pipeline.risks.evasion.movable import sample_in_words

    lines = tables["comparison"][tables["comparison"]["threat"] == cfg.audit.headline]
    eps = nearest_of(lines["eps"], cfg.audit.headline_eps)
    at, clean = lines[lines["eps"] == eps], lines[lines["eps"] == 0]
    robust = ("robust_accuracy", "robust_low", "robust_high")
    attacked, pairs = f"under attack, eps {eps:g}", tables.get("evasion_pairs")
    sample = sample_in_words(lines)

    def of(figure: str, *rest: Any, **more: Any) -> HeadlineFigure:
        named = f"{figure}; {sample}" if sample else figure
        return HeadlineFigure.of(named, *rest, **{"pairs": pairs, **more})

    missed, alarms = "missed_diagnosis_rate", "false_alarm_rate"
    under_attack: tuple[HeadlineFigure, ...] = (
        of(f"missed diagnoses {attacked}", "low", at, missed, compared=missed, weighed=True),
        of(f"right answers {attacked}", "high", at, *robust, compared=robust[0]),
    )
    if "movable" in at and (at["movable"] == 0).all():
        one = _one_changed(tables["comparison"])
        changed = "with one measurement changed"
        under_attack = (
            (
                of(f"missed diagnoses {changed}", "low", one, missed, pairs=None),
                of(f"right answers {changed}", "high", one, *robust, pairs=None),
            )
            if len(one)
            else ()
        )
    return (
        *under_attack,
        of(
            "missed diagnoses without attack",
            "low",
            clean,
            missed,
            compared=f"clean_{missed}",
            weighed=True,
        ),
        of(
            "false alarms without attack",
            "low",
            clean,
            alarms,
            compared=f"clean_{alarms}",
            weighed=True,
        ),
    )


def _one_changed(comparison: "pd.DataFrame") -> "pd.DataFrame":
    """The lines of the first threat that counts measurements, at one of them; else none."""
    counted = comparison[(comparison["norm"] == "l0") & (comparison["eps"] == 1)]
    return counted[counted["threat"] == counted["threat"].iloc[0]] if len(counted) else counted


def figures(tables: Tables, name: str, cfg: Config) -> Iterator[Figure]:
    """Clean figures and robust accuracy at each radius; then each figure against the radius.

    `clinical/robust_accuracy` at step 100 is the value at eps 0.1. Under a threat whose radius
    counts measurements, step 1000 is one measurement.
    """
    if "comparison" not in tables:
        return
    table = own(tables, "comparison", name)
    lines = table[table["threat"] == cfg.audit.headline]
    first = lines.iloc[0]
    yield from (Figure(key, first[key]) for key in CLEAN)
    yield from (
        Figure(f"clean_{key}", first[key])
        for key in ("sensitivity", "specificity", "balanced_accuracy", "brier")
    )
    for _, line in lines[lines["eps"] > 0].iterrows():
        yield from (Figure(f"{key}_at_{line['eps']:g}", line[key]) for key in AT_RADII)
    for _, line in table[(table["eps_unit"] != first["eps_unit"]) & (table["eps"] > 0)].iterrows():
        yield Figure(
            f"{line['threat']}/robust_accuracy_at_{line['eps']:g}", line["robust_accuracy"]
        )
    yield from (Figure(f"flag/{flag}", 1.0) for flag in judge({"comparison": table})[name].flags)
    for _, line in table.iterrows():
        yield from (
            Figure(f"{line['threat']}/{key}", line[key], round(line["eps"] * 1000))
            for key in CURVES
        )


def points(tables: Tables, name: str, cfg: Config) -> Sequence[Point]:
    """A nested run per radius of the headline threat, with all threats of the same unit."""
    if "comparison" not in tables:
        return ()
    table = own(tables, "comparison", name)
    headline = table[table["threat"] == cfg.audit.headline]
    comparable = table[table["eps_unit"] == headline["eps_unit"].iloc[0]]
    radii = headline["eps"]
    return [
        Point(
            {"eps": f"{eps:g}"},
            _at_radius(comparable[comparable["eps"] == eps], cfg.audit.headline),
        )
        for eps in radii
    ]


def _at_radius(lines: "pd.DataFrame", threat: str) -> list[Figure]:
    """Every figure at one radius; those of threats beside the headline carry their name."""
    values: dict[str, float] = {}
    for _, line in lines.sort_values("threat", key=lambda threats: threats != threat).iterrows():
        prefix = "" if line["threat"] == threat else f"{line['threat']}/"
        numbers = {
            str(key): float(value) for key, value in line.items() if isinstance(value, int | float)
        }
        values |= {
            f"{prefix}{key}": value for key, value in numbers.items() if not prefix or key != "eps"
        }
    return [
        Figure(name, value)
        for name, value in {"robust_accuracy": values["robust_accuracy"], **values}.items()
    ]


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """See `comparison.headline_metrics`."""
    if "comparison" not in tables:
        return {}
    from pipeline.risks.evasion.comparison import headline_metrics

    return headline_metrics(tables["comparison"], cfg.audit.headline)


def curves(tables: Tables, cfg: Config) -> "Mapping[str, pd.DataFrame]":
    """Missed diagnoses and right answers against the radius of the headline threat."""
    if "comparison" not in tables:
        return {}
    lines = tables["comparison"][tables["comparison"]["threat"] == cfg.audit.headline]
    return {
        "missed_diagnoses": curve(lines, "eps", "missed_diagnosis_rate"),
        "right_answers": curve(lines, "eps", "robust_accuracy", "robust_low", "robust_high"),
    }


def summary(tables: Tables, cfg: Config) -> str:
    """Defense x eps under the headline threat."""
    if "comparison" not in tables:
        return ""
    from pipeline.risks.evasion.proofs import unprovable
    from pipeline.risks.evasion.questions import in_words
    from pipeline.risks.evasion.summary import defenses_by_radius

    threat = cfg.audit.headline
    shown = defenses_by_radius(tables["comparison"], threat, unprovable(tables))
    of_headline = tables["comparison"][tables["comparison"]["threat"] == threat]
    said = f"{in_words(of_headline)}; exact: proved for every patient"
    return fill(f"Out of fold, threat model: {threat}; {said}", 100) + f"\n\n{shown}"


RISK = Risk(
    name="evasion",
    check=check,
    headline=headline,
    figures=figures,
    judge=judge,
    points=points,
    metrics=metrics,
    curves=curves,
    summary=summary,
    per_patient=frozenset({"patients", "verdicts"}),
    private=frozenset({"fragile"}),
    parts={
        "groups": ("defense", "by"),
        "classification": ("defense", "eps"),
        "confusion": ("defense", "eps", "actual"),
    },
    steps={"the name of a threat": "eps in thousandths of the unit of that threat"},
)
