"""What a reader could take for tested, and was not: sentences that the configuration decides."""

from pipeline.presentation.numbers import SMALL
from pipeline.risks.evasion.view import View
from pipeline.risks.risk import Context

NAMES = {"linf": "L-infinity", "l2": "L2", "l0": "L0"}
MISSING = (
    "A forger who makes a measurement missing: no threat of this audit lets a value be withheld."
)
EACH_A_PATIENT = (
    "Whose images they are is not known: each counts as a patient, and intervals are too narrow "
    "where one has several."
)
OF_IMAGES = (
    "Forged scans: patches pasted, painted over, or made by a generator; and turned, shifted or "
    "cropped images.",
    "Who holds the scanner, or the reader's eye: every forged image was shown to models alone.",
)
ALWAYS = (
    "Different budgets for missed disease and false alarm in one threat.",
    "Attacks on several records of a patient, or over time; several models at once.",
)


def untested(view: View, context: Context) -> list[str]:
    """True sentences, the gravest first."""
    cfg = view.cfg
    asked = [cfg.threat[name] for name in view.comparison["threat"].unique() if name in cfg.threat]
    said = [f"Attacks and proofs are of {view.sample}, not of all."] if view.sample else []
    said += _verified(view)
    if view.beyond_proof:
        names = ", ".join(name for key, name in view.shown.items() if key in view.beyond_proof)
        said.append(f"Of {names} nothing is proved: no verifier knows such models.")
    kept = [name for name, one in cfg.data.features.items() if not one.mutable]
    limits = cfg.threat.get(view.threat)
    if kept and limits is not None and limits.mutable_only:
        said.append(f"Under the {view.threat} threat nobody forges {', '.join(kept)}.")
    said += _lacking(view, context)
    norms = {one.norm for one in asked}
    other = [NAMES[norm] for norm in ("linf", "l2", "l0") if norm not in norms]
    said.append(f"Evasion in {', '.join(['L1', *other])}.")
    if cfg.data.image:
        whose = [] if cfg.data.group else [EACH_A_PATIENT]
        return [*said, *whose, *OF_IMAGES, *ALWAYS]
    if all(one.withhold is None for one in asked):
        said.append(MISSING)
    if not cfg.data.relations and not cfg.data.derived:
        said.append("Relations between values: none is stated, so each is forged on its own.")
    return [*said, *ALWAYS]


def _verified(view: View) -> list[str]:
    if "verified_to" not in view.comparison:
        return []
    said = []
    for threat, lines in view.comparison.groupby("threat", sort=False):
        reached, largest = float(lines["verified_to"].min()), float(lines["eps"].max())
        if reached < largest:
            said.append(
                f"Under the {threat} threat nothing is verified beyond eps {reached:g}: figures up "
                f"to {largest:g} are what attacks leave."
            )
    return said


def _lacking(view: View, context: Context) -> list[str]:
    """Values that were not measured cannot be forged, so there is less to attack."""
    x, schema = context.dataset.x, context.dataset.schema
    if schema.image or x.dim() != 2:
        return []
    mutable = [one.mutable for one in schema.features]
    lacks = x.isnan().any(1) if not any(mutable) else x[:, mutable].isnan().any(1)
    count, whole = int(lacks.sum()), len(x)
    if not count:
        return []
    few = view.hidden and (count < SMALL or whole - count < SMALL)
    told = "Some" if few else f"{count} of {whole}"
    return [
        f"{told} records lack a measurement that may be forged: a missing value is not attacked, "
        "and these records are not told apart from complete ones."
    ]
