"""The entry of evasion in `RISKS`."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from pipeline.config import Config
from pipeline.files import BadInput
from pipeline.risks.evasion.logged import curves, metrics, points, shown
from pipeline.risks.evasion.measure.attackers import all_attackers
from pipeline.risks.evasion.measure.idle import UNSTATED, why_idle
from pipeline.risks.risk import HeadlineFigure, Judgement, Risk, Tables, Trade, curve, nearest_of

if TYPE_CHECKING:
    import pandas as pd


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


def flags() -> Sequence[str]:
    """The names of the rules, and the flag of groups."""
    from pipeline.risks.evasion.flags import FLAGS
    from pipeline.risks.evasion.groups import HARMS

    return [*FLAGS, HARMS]


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """Missed diagnoses first: at the headline radius of the headline threat, then without attack.

    At each model's own cut. Where nobody's record can be changed within that radius, as where every
    value is a yes or a no, under one changed measurement instead, if a threat asks for it.
    """
    if "comparison" not in tables:
        return ()
    from pipeline.risks.evasion.movable import sample_in_words
    from pipeline.risks.evasion.wording import among, leading, threat_in_words

    lines = tables["comparison"][tables["comparison"]["threat"] == cfg.audit.headline]
    eps = nearest_of(lines["eps"], cfg.audit.headline_eps)
    at, clean = lines[lines["eps"] == eps], lines[lines["eps"] == 0]
    robust = ("robust_accuracy", "robust_low", "robust_high")
    attacked, pairs = f"under attack, eps {eps:g}", tables.get("evasion_pairs")
    sample = sample_in_words(lines)

    measurement = leading(cfg.data.features, tables.get("alone"))

    def of(
        figure: str, good: Any, rows: "pd.DataFrame", *rest: str, y: int | None, **more: Any
    ) -> HeadlineFigure:
        named = f"{figure}; {sample}" if sample else figure
        who = rows.iloc[0] if len(rows) and (rows["eps"] > 0).all() else None
        threat = "" if who is None else threat_in_words(who, cfg, measurement)
        told = {"pairs": pairs, "among": among(tables, cfg, y), "threat": threat}
        return HeadlineFigure.of(named, good, rows, *rest, **{**told, **more})

    missed, alarms = "missed_diagnosis_rate", "false_alarm_rate"
    under_attack: tuple[HeadlineFigure, ...] = (
        of(f"missed diagnoses {attacked}", "low", at, missed, y=1, compared=missed, weighed=True),
        of(f"right answers {attacked}", "high", at, *robust, y=None, compared=robust[0]),
    )
    if "movable" in at and (at["movable"] == 0).all():
        one = _one_changed(tables["comparison"])
        changed = "with one measurement changed"
        under_attack = (
            (
                of(f"missed diagnoses {changed}", "low", one, missed, y=1, pairs=None),
                of(f"right answers {changed}", "high", one, *robust, y=None, pairs=None),
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
            y=1,
            compared=f"clean_{missed}",
            weighed=True,
        ),
        of(
            "false alarms without attack",
            "low",
            clean,
            alarms,
            y=0,
            compared=f"clean_{alarms}",
            weighed=True,
        ),
    )


def _one_changed(comparison: "pd.DataFrame") -> "pd.DataFrame":
    """The lines of the first threat that counts measurements, at one of them; else none."""
    counted = comparison[(comparison["norm"] == "l0") & (comparison["eps"] == 1)]
    return counted[counted["threat"] == counted["threat"].iloc[0]] if len(counted) else counted


def plotted(tables: Tables, cfg: Config) -> "Mapping[str, pd.DataFrame]":
    """Missed diagnoses and right answers against the radius of the headline threat."""
    if "comparison" not in tables:
        return {}
    lines = tables["comparison"][tables["comparison"]["threat"] == cfg.audit.headline]
    return {
        "missed_diagnoses": curve(lines, "eps", "missed_diagnosis_rate"),
        "right_answers": curve(lines, "eps", "robust_accuracy", "robust_low", "robust_high"),
    }


def trades(tables: Tables, cfg: Config) -> Sequence[Trade]:
    """AUROC without attack, against what of it no attack can take: at each radius with a proof."""
    if "certified_auc_low" not in tables.get("comparison", ()):
        return ()
    lines = tables["comparison"][tables["comparison"]["threat"] == cfg.audit.headline]
    clean = lines[lines["eps"] == 0]
    kept = HeadlineFigure.of("AUROC without attack", "high", clean, "attacked_auc")
    proved = lines[(lines["eps"] > 0) & lines["certified_auc"].notna()]
    return [
        Trade(kept, HeadlineFigure.of(f"certified AUROC, eps {eps:g}", "high", at, "certified_auc"))
        for eps, at in proved.groupby("eps")
    ]


def summary(tables: Tables, cfg: Config) -> str:
    """Each defense at the headline radius of the headline threat."""
    if "comparison" not in tables:
        return ""
    from pipeline.risks.evasion.proofs import unprovable
    from pipeline.risks.evasion.questions import in_words
    from pipeline.risks.evasion.summary import defenses_by_radius

    threat = cfg.audit.headline
    of_headline = tables["comparison"][tables["comparison"]["threat"] == threat]
    eps = nearest_of(of_headline["eps"], cfg.audit.headline_eps)
    of_headline = of_headline[of_headline["eps"] == eps]
    shown = defenses_by_radius(of_headline, threat, unprovable(tables))
    said = f"{in_words(of_headline)}; exact: proved for every patient"
    return fill(f"Out of fold, threat model: {threat}; {said}", 100) + f"\n\n{shown}"


RISK = Risk(
    name="evasion",
    check=check,
    headline=headline,
    judge=judge,
    flags=flags,
    metrics=metrics,
    plotted=plotted,
    trades=trades,
    shown=shown,
    curves=curves,
    points=points,
    covers=True,
    summary=summary,
    per_patient=frozenset({"patients", "verdicts", "scans", "scan_scores"}),
    private=frozenset({"fragile", "changes"}),
    parts={
        "groups": ("defense", "by"),
        "classification": ("defense", "attack", "eps"),
        "radii": ("defense", "class"),
        "confusion": ("defense", "eps", "actual"),
    },
    glossary={
        "evasion": "measurements are changed after training, so that the model answers otherwise"
    },
)
