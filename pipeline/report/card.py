"""`card.md`: a model card in the Markdown of Hugging Face, made of `audit.json` and nothing else.

In brackets stand the fields of Model Facts (Sendak et al. 2020, npj Digital Medicine 3, 41) and of
CHAI's Applied Model Card v0.2 (2025) that a section fills; who deploys a model fills the others.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from pipeline.presentation.numbers import counted, interval_text
from pipeline.presentation.pictures import display_name
from pipeline.presentation.sector_words import Words, in_words
from pipeline.report.audited import USE

Line = Mapping[str, Any]
FIELD = ("clinical",)  # of models that no other sector has words for
OPEN = (
    "Who developed and who answers for the model; where and when the cohort was collected",
    "Intended users, time of prediction, how an answer reaches them",
    "Benefits shown in clinical use; monitoring; when to stop using it",
    "Who signs the test report",
)


def card_of(audit: Mapping[str, Any], private: Collection[str] = ()) -> str:
    """The card of all models of an audit, side by side.

    Args:
        audit: as `audit.audit_of` returns it.
        private: the risks whose figures belong under Privacy.
    """
    figures = audit["figures"]
    unattacked = [one for one in figures if not one["threat"]]
    attacked = [one for one in figures if one["threat"] and one["risk"] not in private]
    exposed = [one for one in figures if one["threat"] and one["risk"] in private]
    sections = [
        ("Intended use [Model Facts: Uses; CHAI: Uses and directions]", _use(audit)),
        ("Cohort [Model Facts: Mechanism; CHAI: Trust ingredients]", _cohort(audit)),
        (
            "Performance [Model Facts: Validation and performance; CHAI: Key metrics]",
            _figures(unattacked, audit),
        ),
        (
            "Robustness [Model Facts: Warnings; CHAI: Security]",
            _findings(audit, private, inside=False) + _figures(attacked, audit),
        ),
        (
            "Privacy [CHAI: Security]",
            _findings(audit, private, inside=True) + _figures(exposed, audit),
        ),
        ("Limits [Model Facts: Warnings; CHAI: Warnings]", _limits(audit)),
        ("Not tested", _untested(audit)),
        ("Left open", [f"- {text}." for text in OPEN]),
    ]
    body = "\n\n".join(
        "\n".join([f"## {title}", "", *(lines or ["Nothing was measured."])])
        for title, lines in sections
    )
    title = f"# {audit['audited']['cohort']['title']}: models of an audit"
    return f"---\n{_head(audit)}---\n\n{title}\n\n{body}\n"


def _head(audit: Mapping[str, Any]) -> str:
    cohort = audit["audited"]["cohort"]
    words = cohort.get("words")
    named = {
        "license": "other",
        "library_name": "medsecure",
        "pipeline_tag": "tabular-classification",
        "tags": [*FIELD * (not words), "adversarial-robustness", "privacy", "research-only"],
        "model-index": [
            {
                "name": f"{cohort['name']}-{defense}",
                "results": [
                    {
                        "task": {"type": "tabular-classification"},
                        "dataset": {"name": cohort["title"], "type": cohort["name"]},
                        "metrics": [_metric(one, words) for one in own],
                    }
                ],
            }
            for defense in audit["audited"]["models"]["defenses"]
            if (own := [one for one in audit["figures"] if _is_of(one, defense)])
        ],
    }
    return yaml.safe_dump(named, sort_keys=False, allow_unicode=True, width=10_000)


def _is_of(line: Line, defense: str) -> bool:
    return bool(line["defense"] == defense and line["value"] is not None)


def _metric(line: Line, words: Words | None) -> dict[str, Any]:
    kind = re.sub(r"[^a-z0-9]+", "_", line["figure"].lower()).strip("_")
    said = in_words(f"{line['risk']}: {line['figure']}", words)
    return {"type": kind, "name": said, "value": line["value"]}


def _use(audit: Mapping[str, Any]) -> list[str]:
    cohort = audit["audited"]["cohort"]
    return [
        f'{USE} Each model answers whether a record is of class "{cohort["disease"]}", from '
        f"{', '.join(cohort['measurements'])}."
    ]


def _cohort(audit: Mapping[str, Any]) -> list[str]:
    audited = audit["audited"]
    cohort, models = audited["cohort"], audited["models"]
    patients, ill = (told(cohort[name]) for name in ("patients", "ill"))
    return [
        f"- {cohort['title']}: {patients} patients, {ill} of them ill; SHA-256 of the records "
        f"`{cohort['sha256']}`.",
        f"- Scored: {models.get('scored') or _folds(models)}; {_architecture(models)}.",
        f"- Decision threshold: {_said(models['decision'])}.",
    ]


def _folds(models: Mapping[str, Any]) -> str:
    """As audits of an earlier version tell it."""
    times = f"{counted(models['folds'], 'fold')} x {counted(models['seeds'], 'seed')}"
    return f"each patient by models that did not train on them, {times}"


def _architecture(models: Mapping[str, Any]) -> str:
    named = f" ({models['named']})" if "named" in models else ""
    return f"architecture {models['architecture']}{named}"


def told(count: int | None) -> str:
    """A count of patients; where it is hidden, that it is not told."""
    return "not told how many" if count is None else str(count)


def _said(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _findings(audit: Mapping[str, Any], private: Collection[str], inside: bool) -> list[str]:
    said = [f"- {one['text']}" for one in audit["findings"] if (one["risk"] in private) == inside]
    return [*said, ""] if said else []


def _figures(lines: Sequence[Line], audit: Mapping[str, Any]) -> list[str]:
    """A table: a row per figure and defense, with interval, of whom, under which threat."""
    flags = {
        name: " ".join(one["flag"] for one in audit["flags"] if one["defense"] == name)
        for name in audit["audited"]["models"]["defenses"]
    }
    if not lines:
        return []
    head = [
        f"| figure | defense | value ({audit['audited']['confidence']:.0%} interval) "
        "| among | threat | against no defense |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return head + [
        "| "
        + " | ".join(
            _cell(text)
            for text in (
                f"{one['risk']}: {one['figure']}",
                display_name(one["defense"], flags.get(one["defense"], "")),
                interval_text(*(_number(one[key]) for key in ("value", "low", "high"))),
                one["among"] or "-",
                one["threat"] or "none",
                one["verdict"] or "-",
            )
        )
        + " |"
        for one in lines
    ]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _limits(audit: Mapping[str, Any]) -> list[str]:
    audited = audit["audited"]
    said = [f"- {one['defense']}: {one['flag']}: {one['evidence']}" for one in audit["flags"]]
    if not audited["threats"]["reviewed"]:
        guessed = len(audited["threats"]["guessed"])
        said.append(f"- Threat model not reviewed: {guessed} measurements are a program's guess.")
    hidden = audited["patients"] == "hidden"
    return [
        "- Intervals are those of a cohort of this size; they cover no other hospital.",
        "- No attack that succeeded is no proof; what is proved is called proved.",
        *(["- Patients are hidden: counts of 1 to 9 of them are not told."] if hidden else []),
        *said,
    ]


def _untested(audit: Mapping[str, Any]) -> list[str]:
    said = [f"- {text}" for text in audit["not_tested"]]
    return said + [
        f"- {one['risk']}, {one['defense']}{', ' if one['what'] else ''}{one['what'] or ''}: "
        f"not applicable: {one['why']}"
        for one in audit["not_applicable"]
    ]
