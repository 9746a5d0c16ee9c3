"""`audit.json`: what the page says, for machines; its schema lies beside it.

It holds no single patient; where patients are hidden, no count of 1 to 9 of them either.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import pandas as pd

from pipeline.config import configuration_sha256, schema_sha256
from pipeline.presentation import SCHEMA_VERSION
from pipeline.presentation.chapter import Finding
from pipeline.presentation.numbers import without_few
from pipeline.report import AUDIT_SCHEMA
from pipeline.report.audited import USE, scored, spoken_of
from pipeline.report.evidence import Claim
from pipeline.report.inputs import inputs_of
from pipeline.risks import RISKS
from pipeline.risks.conclusions import Conclusions, Front
from pipeline.risks.results import GAPS, Results
from pipeline.risks.risk import Context

FORMAT = 1  # of the file; it grows when a reader of the last one would stumble


def schema_text() -> str:
    """The JSON Schema (draft 2020-12) of `audit.json`."""
    return files("pipeline.report").joinpath(AUDIT_SCHEMA).read_text(encoding="utf-8")


def audit_of(
    results: Results,
    context: Context,
    found: Conclusions,
    claims: Sequence[Claim],
    findings: Sequence[tuple[str, Finding]],
    untested: Sequence[str],
) -> dict[str, Any]:
    """The content of `audit.json`, ready to be written.

    Args:
        results: the tables of every risk.
        context: whose they are.
        found: what is concluded from them.
        claims: the cross-reference.
        findings: the worst of each risk that measured something, with the risk's name.
        untested: what was not tested, a sentence each.
    """
    return {
        "format": FORMAT,
        "figures_version": SCHEMA_VERSION,
        "use": USE,
        "audited": audited(context, list(found.judged)),
        "findings": [
            {"risk": risk, "defense": one.defense, "text": one.whole} for risk, one in findings
        ],
        "figures": figures(found, context.cfg.audit.confidence),
        "overview": _records(found.overview),
        "flags": [
            {"defense": name, "flag": flag, "evidence": why}
            for name, one in found.judged.items()
            for flag, why in one.flags.items()
        ],
        "pareto_front": front(found.front),
        "not_tested": list(untested),
        "not_applicable": _gaps(results),
        "evidence": [asdict(one) for one in claims],
    }


def audited(context: Context, defenses: Sequence[str]) -> dict[str, Any]:
    """Whose models were audited, on whom, with what: digests name data and configuration."""
    dataset, cfg = context.dataset, context.cfg
    records = len(dataset.y)
    ill = dataset.patient[dataset.y == len(dataset.schema.classes) - 1]
    counts = pd.DataFrame(
        {"patients": [context.sampling.patients(records)], "ill": [len(set(ill.tolist()))]}
    )
    told = counts if cfg.report.patients == "shown" else without_few(counts)
    words = spoken_of(cfg, dataset.schema)
    return {
        "cohort": {
            "name": cfg.data.name,
            "title": cfg.data.title,
            "records": records if told["patients"].notna().all() else None,
            **{name: _plain(told[name].iloc[0]) for name in counts},
            "disease": dataset.schema.classes[-1],
            "measurements": list(cfg.data.features),
            "sha256": dataset.digest,
            "schema_sha256": schema_sha256(cfg),
            "inputs": inputs_of(dataset, cfg),
            **({"words": dict(words)} if words else {}),
        },
        "models": {
            "architecture": cfg.model.name,
            "defenses": list(defenses),
            "folds": cfg.plan.folds,
            "seeds": cfg.plan.seeds,
            "scored": scored(context),
            **({"named": named} if (named := cfg.model.own.get("named")) else {}),
            "decision": cfg.decision.model_dump(mode="json"),
            "sha256": dict(context.models),
            "release_sha256": dict(context.releases),
        },
        "threats": {
            "headline": cfg.audit.headline,
            "names": list(cfg.threat),
            "reviewed": not cfg.data.unreviewed,
            "guessed": list(cfg.data.unreviewed),
            "described": cfg.threat[cfg.audit.headline].model_dump(mode="json"),
        },
        "attacks": cfg.tried,
        "confidence": cfg.audit.confidence,
        "patients": cfg.report.patients,
        "configuration_sha256": configuration_sha256(cfg),
    }


def figures(found: Conclusions, confidence: float) -> list[dict[str, Any]]:
    """Each headline figure of each defense: value, interval, of whom, under which threat, verdict.

    Args:
        found: the questions, and what is concluded of each.
        confidence: of the intervals.
    """
    said = {
        (one.risk, one.figure.figure): {"among": one.figure.among, "threat": one.figure.threat}
        for one in found.asked
    }
    return [
        {**line, **said[line["risk"], line["figure"]], "confidence": confidence}
        for line in _records(found.headlines)
    ]


def front(found: Front | None) -> dict[str, Any] | None:
    """Who is on the Pareto front, and who is dominated by whom; None: nothing was weighed."""
    if found is None:
        return None
    return {
        "figures": list(found.figures),
        "dominated": {name: list(by) for name, by in found.dominated.items()},
        "left_out": list(found.left_out),
    }


def _gaps(results: Results) -> list[dict[str, Any]]:
    empty = pd.DataFrame()
    return [
        {"risk": risk.name, **line}
        for risk in RISKS
        for line in _records(results[risk.name].get(f"{risk.name}_{GAPS}", empty))
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): _plain(value) for name, value in line.items()}
        for line in table.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """A cell as JSON holds it: what is missing is null, a whole number has no point."""
    if isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def as_text(audit: Mapping[str, Any]) -> str:
    """The file: the same content is the same bytes."""
    return json.dumps(audit, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
