"""Five catalogues that ask for evidence, and how a risk says which of their rows it has some of.

An id says what a result is evidence about; it claims nothing else. Rows for which there is none
are listed like the others.

Sources: Regulation (EU) 2024/1689 of 13 June 2024; NIST AI 100-2 E2025 and the AI RMF 1.0 (NIST AI
100-1); MITRE ATLAS data v5.6; OWASP Machine Learning Security Top 10 (2023, draft v0.3) and AISVS
1.0 (2026), chapter C11; EDPB Opinion 28/2024 of 17 December 2024, its first question. Rows are told
in our words. Those of ATLAS and NIST are the ones that concern models which classify records.

Ids, names and wording were held against public copies of these texts; of the EDPB's against its
executive summary (`extraction`, `queries`) and against quotations by others (paragraphs 55 and 58).
A row of the EDPB that says so was not found with its paragraph.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.standards import ATLAS, NIST, OWASP

HERE: Final = "evidence here"
PARTLY: Final = "partly"
NOT_COVERED: Final = "not covered"


@dataclass(frozen=True)
class Catalogue:
    """A document whose rows ask for evidence.

    Attributes:
        issuer: whose it is.
        document: its name, with version or date; a draft is called one.
        rows: id -> what it asks for.
    """

    issuer: str
    document: str
    rows: Mapping[str, str]


@dataclass(frozen=True)
class Evidence:
    """What a table of a risk says about a row of a catalogue.

    Attributes:
        id: of the row.
        table: of the risk, by its name without ending.
        status: how much of the row it is about.
        what: what is shown; of `partly` also what is not.
    """

    id: str
    table: str
    status: Literal["evidence here", "partly"]
    what: str


_ACT = {
    "Art. 15(1)": "accuracy, robustness and cybersecurity at an appropriate level, consistently",
    "Art. 15(3)": "levels and metrics of accuracy, declared in the instructions of use",
    "Art. 15(4) errors": "resilience to errors, faults and inconsistencies",
    "Art. 15(4) redundancy": "back-up or fail-safe plans",
    "Art. 15(4) feedback": "feedback loops of systems that go on learning",
    "Art. 15(5) data poisoning": "measures against manipulated training data",
    "Art. 15(5) model poisoning": "measures against manipulated pre-trained components",
    "Art. 15(5) model evasion": "measures against inputs made to be answered wrongly",
    "Art. 15(5) confidentiality": "measures against attacks on confidentiality",
    "Art. 15(5) model flaws": "measures against flaws of the model",
    "Annex IV 2(g) data": "procedures of validation and testing, data used, main characteristics",
    "Annex IV 2(g) metrics": "metrics of accuracy and robustness",
    "Annex IV 2(g) groups": "potentially discriminatory impacts",
    "Annex IV 2(g) reports": "test logs and test reports, dated and signed",
    "Annex IV 2(h)": "cybersecurity measures that were put in place",
}
_RMF = {
    "MEASURE 1.1": "risks that are measured, and documentation of those that are not",
    "MEASURE 2.7": "security and resilience, evaluated and documented",
}
_AISVS = {
    "C11.1.1": "training against disallowed content",
    "C11.1.2": "a version-controlled test suite, run on every update",
    "C11.1.3": "evaluation against known attack techniques of the modality",
    "C11.1.4": "hardening against adversarial inputs",
    "C11.1.5": "an evaluator of harmful content that flags regressions",
    "C11.2.1": "inferred sensitive attributes are not in the outputs",
    "C11.2.2": "rate limits sized to the extraction threat model",
    "C11.2.3": "calibrated outputs, against overconfident predictions",
    "C11.2.4": "differentially private training on sensitive data sets",
    "C11.2.5": "membership inference that does not exceed guessing",
    "C11.3.1": "a detector of extraction fed by query patterns",
    "C11.3.2": "raw outputs are not exposed, responses fit the extraction risk",
    "C11.3.3": "watermarks or fingerprints that identify copies",
    "C11.3.4": "a response to suspected extraction",
    "C11.4.1": "anomaly detection of untrusted inputs",
    "C11.4.2": "gating of anomalous inputs",
    "C11.4.3": "poisoning detection and human review in the feedback pipeline",
}
_UNCHECKED = "paragraph not checked against the text"
_EDPB = {
    "extraction": "insignificant likelihood, for each person, that data are taken from the model",
    "queries": "insignificant likelihood, for each person, that queries return personal data",
    "design: sources": f"selection and minimisation of the data for training ({_UNCHECKED})",
    "design: training": f"methods of training that make people less identifiable ({_UNCHECKED})",
    "design: outputs": f"measures on the outputs ({_UNCHECKED})",
    "analysis": f"audits of the measures and of what they change ({_UNCHECKED})",
    "testing: membership inference": "structured tests against it, para. 55(i)",
    "testing: attribute inference": "structured tests against it, para. 55(i)",
    "testing: exfiltration": "structured tests against it, para. 55(ii)",
    "testing: regurgitation": "structured tests against it, of training data, para. 55(iii)",
    "testing: model inversion": "structured tests against it, para. 55(iv)",
    "testing: reconstruction": "structured tests against it, para. 55(v)",
    "documentation": "threat models, measures and residual likelihood, on paper, para. 58",
}

CATALOGUES = (
    Catalogue("European Union", "AI Act, Regulation (EU) 2024/1689, Art. 15 and Annex IV 2", _ACT),
    Catalogue("NIST", "NIST AI 100-2 E2025 (March 2025)", NIST),
    Catalogue("NIST", "NIST AI RMF 1.0 (January 2023), MEASURE", _RMF),
    Catalogue("MITRE", "MITRE ATLAS, data v5.6", ATLAS),
    Catalogue("OWASP", "OWASP Machine Learning Security Top 10 (2023, draft v0.3)", OWASP),
    Catalogue("OWASP", "OWASP AISVS 1.0 (2026), C11", _AISVS),
    Catalogue("EDPB", "EDPB Opinion 28/2024 (17 December 2024), question 1", _EDPB),
)
ROWS: Mapping[str, str] = {row: asks for one in CATALOGUES for row, asks in one.rows.items()}
