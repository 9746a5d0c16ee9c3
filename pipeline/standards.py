"""What others call our attacks: MITRE ATLAS, NIST AI 100-2 and the OWASP ML Top 10.

Ids and names of MITRE ATLAS data v5.6, NIST AI 100-2 E2025 and OWASP Machine Learning Security Top
10 (2023, draft v0.3). An id says which known technique a result is evidence about; it is no claim
of compliance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ATLAS: dict[str, str] = {
    "AML.T0005": "Create Proxy AI Model",
    "AML.T0005.001": "Create Proxy AI Model: Train Proxy via Replication",
    "AML.T0010.002": "AI Supply Chain Compromise: Data",
    "AML.T0010.003": "AI Supply Chain Compromise: Model",
    "AML.T0015": "Evade AI Model",
    "AML.T0018.000": "Manipulate AI Model: Poison AI Model",
    "AML.T0020": "Poison Training Data",
    "AML.T0024": "Exfiltration via AI Inference API",
    "AML.T0024.000": "Exfiltration via AI Inference API: Infer Training Data Membership",
    "AML.T0024.001": "Exfiltration via AI Inference API: Invert AI Model",
    "AML.T0024.002": "Exfiltration via AI Inference API: Extract AI Model",
    "AML.T0029": "Denial of AI Service",
    "AML.T0031": "Erode AI Model Integrity",
    "AML.T0034": "Cost Harvesting",
    "AML.T0040": "AI Model Inference API Access",
    "AML.T0043.000": "Craft Adversarial Data: White-Box Optimization",
    "AML.T0043.001": "Craft Adversarial Data: Black-Box Optimization",
    "AML.T0043.002": "Craft Adversarial Data: Black-Box Transfer",
    "AML.T0043.003": "Craft Adversarial Data: Manual Modification",
    "AML.T0043.004": "Craft Adversarial Data: Insert Backdoor Trigger",
    "AML.T0044": "Full AI Model Access",
    "AML.T0048.004": "External Harms: AI Intellectual Property Theft",
    "AML.T0058": "Publish Poisoned Models",
    "AML.T0059": "Erode Dataset Integrity",
}

NIST: dict[str, str] = {
    "NISTAML.01": "Availability Violations",
    "NISTAML.011": "Model Poisoning (Availability)",
    "NISTAML.012": "Clean-label Poisoning",
    "NISTAML.013": "Data Poisoning",
    "NISTAML.014": "Energy-latency",
    "NISTAML.02": "Integrity Violations",
    "NISTAML.021": "Clean-label Backdoor",
    "NISTAML.022": "Evasion",
    "NISTAML.023": "Backdoor Poisoning",
    "NISTAML.024": "Targeted Poisoning",
    "NISTAML.025": "Black-box Evasion",
    "NISTAML.026": "Model Poisoning (Integrity)",
    "NISTAML.03": "Privacy Compromises",
    "NISTAML.031": "Model Extraction",
    "NISTAML.032": "Reconstruction",
    "NISTAML.033": "Membership Inference",
    "NISTAML.034": "Property Inference",
    "NISTAML.05": "Supply Chain Attacks",
    "NISTAML.051": "Model Poisoning (Supply Chain)",
}

OWASP: dict[str, str] = {
    "ML01:2023": "Input Manipulation Attack",
    "ML02:2023": "Data Poisoning Attack",
    "ML03:2023": "Model Inversion Attack",
    "ML04:2023": "Membership Inference Attack",
    "ML05:2023": "Model Theft",
    "ML06:2023": "AI Supply Chain Attacks",
    "ML07:2023": "Transfer Learning Attack",
    "ML08:2023": "Model Skewing",
    "ML09:2023": "Output Integrity Attack",
    "ML10:2023": "Model Poisoning",
}


@dataclass(frozen=True)
class Standards:
    """Where a risk stands in each catalogue; every field a tuple of ids, empty without an entry.

    Raises:
        ValueError: an id is in no table.
    """

    atlas: tuple[str, ...] = ()
    nist: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses an unknown id."""
        for catalogue, ids, known in (
            ("ATLAS", self.atlas, ATLAS),
            ("NIST", self.nist, NIST),
            ("OWASP", self.owasp, OWASP),
        ):
            if unknown := [one for one in ids if one not in known]:
                raise ValueError(
                    f"no id of {catalogue} in pipeline/standards.py: {', '.join(unknown)}"
                )

    def columns(self) -> dict[str, str]:
        """The ids as columns `atlas, nist, owasp`, joined by a blank; `none` if there is none."""
        return {
            name: " ".join(getattr(self, name)) or "none" for name in ("atlas", "nist", "owasp")
        }


_WHITE_BOX = Standards(
    ("AML.T0043.000", "AML.T0015", "AML.T0044"), ("NISTAML.022",), ("ML01:2023",)
)
_BLACK_BOX = Standards(
    ("AML.T0043.001", "AML.T0040", "AML.T0015"), ("NISTAML.025",), ("ML01:2023",)
)

# What an evasion attack needs of the model it attacks. "exact" is the verifier: a solver that knows
# everything. "none" is random noise, the control: crafted by nobody, it is no technique of any
# catalogue (Manual Modification is a person's purposeful edit).
EVASION_BY_ACCESS: dict[str, Standards] = {
    "gradients": _WHITE_BOX,
    "exact": _WHITE_BOX,
    "scores": _BLACK_BOX,
    "labels": _BLACK_BOX,
    "transfer": Standards(("AML.T0043.002", "AML.T0005"), ("NISTAML.025",), ("ML01:2023",)),
    "none": Standards(),
}

RISKS: dict[str, Standards] = {
    "evasion_white_box": _WHITE_BOX,
    "evasion_black_box": _BLACK_BOX,
    "evasion_transfer": EVASION_BY_ACCESS["transfer"],
    "clinical_edit": Standards(("AML.T0043.003",), ("NISTAML.022",), ("ML01:2023",)),
    "availability_poisoning": Standards(
        ("AML.T0020", "AML.T0059"), ("NISTAML.013", "NISTAML.012"), ("ML02:2023",)
    ),
    "targeted_poisoning": Standards(("AML.T0020",), ("NISTAML.024",), ("ML02:2023",)),
    "backdoor": Standards(
        ("AML.T0018.000", "AML.T0043.004"),
        ("NISTAML.023", "NISTAML.021"),
        ("ML02:2023", "ML10:2023"),
    ),
    "membership": Standards(("AML.T0024.000", "AML.T0024"), ("NISTAML.033",), ("ML04:2023",)),
    "inversion": Standards(("AML.T0024.001",), ("NISTAML.032",), ("ML03:2023",)),
    "property_inference": Standards(("AML.T0024.000",), ("NISTAML.034",), ("ML03:2023",)),
    "extraction": Standards(
        ("AML.T0024.002", "AML.T0005.001", "AML.T0048.004"), ("NISTAML.031",), ("ML05:2023",)
    ),
    "query_flooding": Standards(("AML.T0029", "AML.T0034"), ("NISTAML.014",)),
    "drift": Standards(("AML.T0031",), ("NISTAML.02",), ("ML08:2023",)),
    "supply_chain": Standards(
        ("AML.T0010.002", "AML.T0010.003", "AML.T0058"),
        ("NISTAML.05", "NISTAML.051"),
        ("ML06:2023", "ML07:2023"),
    ),
}

KNOWLEDGE: dict[str, str] = {
    "gradients": "white box",
    "exact": "white box",
    "scores": "black box",
    "labels": "black box",
    # has the training records and an undefended model of its own, not the defended one
    "transfer": "grey box",
    "none": "none",
}
EPS_UNIT: dict[str, str] = {
    "linf": "reference SD, each value",
    "l2": "reference SD, Euclidean",
    "l0": "measurements",
}
PIXEL_UNIT: dict[str, str] = {
    "linf": "grey levels, each pixel",
    "l2": "grey levels, Euclidean",
    "l0": "pixels",
}
ERROR_UNIT: dict[str, str] = {
    "linf": "measurement errors, each value",
    "l2": "measurement errors, Euclidean",
}
GOALS = ("any", "miss", "alarm")

NOTHING = "nothing"  # may be changed
THREAT_COLUMNS = (
    "goal",
    "knowledge",
    "access",
    "norm",
    "eps_unit",
    "mutable",
    "query_budget",
    "atlas",
    "nist",
    "owasp",
)


def describe_threat(
    *,
    norm: str,
    goal: str,
    mutable: Sequence[str],
    access: str,
    query_budget: int | None = None,
    unit: str = "scale",
    image: bool = False,
) -> dict[str, str]:
    """The columns that name a row completely: who attacks, what for, with what, how far.

    As Carlini et al. 2019 (arXiv:1902.06705) ask for.

    Args:
        norm: a key of `EPS_UNIT`.
        goal: one of `GOALS`: any wrong answer, a missed disease, a false alarm.
        mutable: names of the features that may change.
        access: a key of `EVASION_BY_ACCESS`.
        query_budget: questions to the model per record; None = not limited, which only an attacker
            who holds a model can afford.
        unit: of a radius: `scale`, or `error` for standard deviations of a repeated measurement.
        image: whether what may change are the grey levels of an image's pixels.

    Returns:
        a string for each of `THREAT_COLUMNS`, none of them empty; several names or ids are joined
        by a blank, a name that holds one in quotes; `nothing` where no feature may change.

    Raises:
        ValueError: something is missing or unknown.
    """
    units = PIXEL_UNIT if image else ERROR_UNIT if unit == "error" else EPS_UNIT
    for what, value, known in (
        ("norm", norm, units),
        ("goal", goal, GOALS),
        ("access", access, EVASION_BY_ACCESS),
    ):
        if value not in known:
            raise ValueError(f"{what}: {value!r} is not one of {', '.join(known)}")
    if access in ("scores", "labels") and query_budget is None:
        raise ValueError(
            f"query_budget: missing; an attack that has only {access} asks the model: how often?"
        )
    if query_budget is not None and query_budget < 0:
        raise ValueError(f"query_budget: {query_budget} is negative")
    return checked_row(
        {
            "goal": goal,
            "knowledge": KNOWLEDGE[access],
            "access": access,
            "norm": norm,
            "eps_unit": units[norm],
            "mutable": " ".join(map(_quoted, mutable)) or NOTHING,
            "query_budget": "unlimited" if query_budget is None else str(query_budget),
            **EVASION_BY_ACCESS[access].columns(),
        }
    )


def _quoted(name: str) -> str:
    """A name as one word: in quotes where it holds a blank or a quote."""
    plain = name and not any(letter.isspace() or letter == '"' for letter in name)
    return name if plain else '"' + name.replace('"', '""') + '"'


def checked_row(row: Mapping[str, str]) -> dict[str, str]:
    """The threat columns of a row, in their order.

    Raises:
        ValueError: one of `THREAT_COLUMNS` is missing or empty.
    """
    if lacking := [column for column in THREAT_COLUMNS if not row.get(column)]:
        raise ValueError(f"a result must name its threat; missing: {', '.join(lacking)}")
    return {column: row[column] for column in THREAT_COLUMNS}
