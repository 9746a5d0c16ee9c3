"""The cross-reference: each row of the catalogues, where its evidence stands, how much it covers.

What is not measured in an evaluation is no evidence in it, whatever the risk could say.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Note, Part, Table
from pipeline.report import AUDIT, CARD, HEADLINE
from pipeline.risks import RISKS
from pipeline.risks.catalogues import CATALOGUES, HERE, NOT_COVERED, PARTLY
from pipeline.risks.results import Results
from pipeline.risks.risk import Risk

TITLE = "Evidence for five catalogues"
ALL_RISKS = "All risks"  # the section where no single risk speaks
# What no risk says alone: (id, artefact, status, what).
COMMON = (
    ("Annex IV 2(g) metrics", HEADLINE, HERE, "the headline figures of all risks"),
    ("Annex IV 2(g) reports", AUDIT, PARTLY, "dated by `--export`; the signature line is empty"),
    ("MEASURE 1.1", AUDIT, HERE, "what was measured, and what was not"),
    ("MEASURE 2.7", HEADLINE, PARTLY, "the model, not the service around it"),
    ("C11.1.2", "dvc.yaml", PARTLY, "one versioned suite of attacks; who runs it decides when"),
    ("documentation", CARD, PARTLY, "measures and what is left; no impact assessment"),
)
ORDER = (HERE, PARTLY, NOT_COVERED)


@dataclass(frozen=True)
class Claim:
    """A line of the cross-reference.

    Attributes:
        document: the catalogue.
        id: the row.
        asks: what it asks for.
        section: of the report; empty: none.
        artefact: the file; empty: none.
        status: of `ORDER`.
        what: what is shown, and what is not.
    """

    document: str
    id: str
    asks: str
    section: str = ""
    artefact: str = ""
    status: str = NOT_COVERED
    what: str = ""


def file_of(risk: Risk, table: str) -> str:
    """The file that holds a table of a risk."""
    return f"{table}{'.parquet' if risk.is_per_patient(table) else '.csv'}"


def cross_reference(results: Results, sections: Mapping[str, str]) -> list[Claim]:
    """Every row of every catalogue at least once, in their order.

    Args:
        results: what was measured.
        sections: by risk, the title of its first chapter; one without a chapter has no evidence.
    """
    found: dict[str, list[tuple[str, str, str, str]]] = {}
    for row, artefact, status, what in COMMON:
        found.setdefault(row, []).append((ALL_RISKS, artefact, status, what))
    for risk in RISKS:
        if risk.name not in sections:
            continue
        for one in risk.evidence():
            if one.table in results[risk.name]:
                line = (sections[risk.name], file_of(risk, one.table), one.status, one.what)
                found.setdefault(one.id, []).append(line)
    return [
        Claim(catalogue.document, row, asks, *line)
        for catalogue in CATALOGUES
        for row, asks in catalogue.rows.items()
        for line in found.get(row, [("", "", NOT_COVERED, "")])
    ]


def status_of(claims: Sequence[Claim]) -> dict[tuple[str, str], str]:
    """(document, id) -> the most that any line says of it."""
    best: dict[tuple[str, str], str] = {}
    for one in claims:
        key = (one.document, one.id)
        best[key] = min(best.get(key, NOT_COVERED), one.status, key=ORDER.index)
    return best


def counted(claims: Sequence[Claim]) -> pd.DataFrame:
    """By document, how many of its rows have each status."""
    best = status_of(claims)
    documents = dict.fromkeys(document for document, _ in best)
    return pd.DataFrame(
        [
            {"catalogue": document}
            | {
                status: sum(of == document and one == status for (of, _), one in best.items())
                for status in ORDER
            }
            for document in documents
        ]
    )


def evidence_chapter(claims: Sequence[Claim]) -> Chapter:
    """How many rows of each catalogue have evidence; folded, each row."""
    table = counted(claims)
    rows = int(table[list(ORDER)].to_numpy().sum())
    covered = {status: int(table[status].sum()) for status in ORDER}
    result = (
        f"Of {rows} rows of {len(table)} documents {covered[HERE]} have evidence here, "
        f"{covered[PARTLY]} partly, {covered[NOT_COVERED]} are not covered."
    )
    parts: list[Part] = [
        Note("Evidence, no verdict: whether it is enough is for whoever answers for the system."),
        Table(table, "numbers", "Rows of each document by what this report says of them."),
        Fold(
            "Every row of each document",
            [
                Fold(str(document), [Table(_lines(claims, document), "text", str(document))])
                for document in table["catalogue"]
            ],
        ),
    ]
    return Chapter(TITLE, parts, result)


def _lines(claims: Sequence[Claim], document: str) -> pd.DataFrame:
    names = {"artefact": "file", "what": "what is shown"}
    lines = [asdict(one) for one in claims if one.document == document]
    return pd.DataFrame(lines).drop(columns="document").rename(columns=names).replace("", None)


def sections_of(chapters: Mapping[str, Collection[Chapter]]) -> dict[str, str]:
    """By risk, the title of its first chapter; risks without one are left out."""
    return {risk: next(iter(own)).title for risk, own in chapters.items() if own}
