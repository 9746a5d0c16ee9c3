"""What the name of a column suggests. Every suggestion is a guess, and is asked about."""

import re


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


IDENTITIES = _set(
    "id ids uid uuid guid mrn ssn nhs nino subjid subjectid patientid patid ptid pid caseid "
    "usubjid recordid hadmid encounterid surname forename firstname lastname fullname initials dob "
    "birthdate birthday address street phone telephone mobile fax email mail zip zipcode postcode "
    "postal passport barcode"
)
# Alone, or beside each other, they name a person; beside other words they need not.
PERSONS = _set("name names patient subject participant person record case number no nr")
AFTERWARDS = _set(
    "followup death died dead deceased mortality survival discharge discharged outcome endpoint "
    "relapse recurrence readmission readmitted complication complications autopsy los"
)
TIMES = _set("time duration days months")  # from when on, and until when?
# What nobody can forge on the day, or has no reason to measure anew.
FIXED = _set(
    "age sex gender race ethnicity ethnic history family familial hereditary genetic genotype "
    "birth born year education marital married parity gravida pregnancies children siblings height "
    "pedigree blood_group insurance residence occupation smoker smoking smoked"
)
SENSITIVE = _set(
    "hiv aids hepatitis syphilis psychiatric depression suicide suicidal anxiety bipolar "
    "schizophrenia alcohol alcoholism drinking drug drugs opioid cocaine cannabis smoking smoker "
    "smoke pregnancy pregnancies pregnant abortion contraceptives partners sexual income salary "
    "race ethnicity religion orientation genetic genotype brca dementia obesity weight bmi age"
)
ORDERS = (
    ("none", "mild", "moderate", "severe"),
    ("absent", "mild", "moderate", "severe"),
    ("no", "mild", "moderate", "severe"),
    ("mild", "moderate", "severe"),
    ("none", "low", "medium", "high"),
    ("low", "medium", "high"),
    ("low", "mid", "high"),
    ("low", "intermediate", "high"),
    ("low", "normal", "high"),
    ("small", "medium", "large"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("never", "sometimes", "often", "always"),
    ("never", "monthly", "weekly", "daily"),
    ("poor", "fair", "good", "very good", "excellent"),
    ("i", "ii", "iii", "iv", "v"),
)
# (absent, present) of an outcome or of anything with two levels.
PAIRS = (
    ("no", "yes"),
    ("n", "y"),
    ("false", "true"),
    ("f", "t"),
    ("0", "1"),
    ("-1", "1"),
    ("negative", "positive"),
    ("neg", "pos"),
    ("-", "+"),
    ("absent", "present"),
    ("notpresent", "present"),
    ("not present", "present"),
    ("normal", "abnormal"),
    ("healthy", "ill"),
    ("healthy", "sick"),
    ("healthy", "diseased"),
    ("control", "case"),
    ("benign", "malignant"),
    ("b", "m"),
    ("alive", "dead"),
    ("alive", "deceased"),
    ("survived", "died"),
    ("unchecked", "checked"),
    ("1", "2"),
    ("2", "4"),  # the cells of the Wisconsin file: 2 benign, 4 malignant
)
UNITS = {
    "mg_dl": "mg/dL", "mgdl": "mg/dL", "g_dl": "g/dL", "g_l": "g/L", "mg_l": "mg/L",
    "ug_l": "ug/L", "ng_ml": "ng/mL", "pg_ml": "pg/mL", "mmol_l": "mmol/L", "umol_l": "umol/L",
    "nmol_l": "nmol/L", "meq_l": "mEq/L", "u_l": "U/L", "iu_l": "IU/L", "iu_ml": "IU/mL",
    "mmhg": "mmHg", "bpm": "/min", "kg_m2": "kg/m2", "kg": "kg", "cm": "cm", "mm": "mm",
    "years": "years", "yrs": "years", "months": "months", "days": "days", "hours": "h",
    "percent": "%", "pct": "%", "celsius": "Cel", "degc": "Cel",
}  # fmt: skip


def words_in(name: str) -> list[str]:
    """The words of a name in small letters: `PatientID_no` has patient, id, no."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return [word for word in re.split(r"[^0-9a-zà-öø-ÿ]+", parted.lower()) if word]


def names_person(name: str) -> bool:
    """Whether a column's name says that it tells who a patient is."""
    found = words_in(name)
    whole = "".join(found)
    return (
        whole in IDENTITIES
        or any(word in IDENTITIES for word in found)
        or (bool(found) and all(word in PERSONS or word.isdigit() for word in found))
        or bool(re.search(r"(^|\W|_)(date of birth|social security|phone number)", name.lower()))
    )


def known_afterwards(name: str) -> bool:
    """Whether a column's name sounds like something that is only known after the outcome."""
    found = words_in(name)
    together = "".join(found)
    return (
        any(word in AFTERWARDS for word in found)
        or together in TIMES
        or "followup" in together
        or "lengthofstay" in together
    )


def is_fixed(name: str) -> bool:
    """Whether a column's name sounds like something that nobody measures anew."""
    return any(word in FIXED for word in words_in(name))


def is_sensitive(name: str) -> bool:
    """Whether a column's name sounds like something that patients would not want to be known."""
    return any(word in SENSITIVE for word in words_in(name))


def unit_of(name: str) -> str:
    """The unit at the end of a column's name or label: `Glucose (mg/dL)`, `crp_mg_l`; else ""."""
    bracket = re.search(r"[(\[]([^()\[\]]{1,20})[)\]]\s*$", name)
    if bracket and looks_like_unit(bracket[1].strip()):
        return bracket[1].strip()
    key = re.sub(r"[^a-z0-9]+", "_", name.lower())
    for ending in sorted(UNITS, key=len, reverse=True):
        if key.endswith(f"_{ending}"):
            return UNITS[ending]
    return ""


def looks_like_unit(text: str) -> bool:
    """Whether a text can be a unit: short, with a sign or a word that units have."""
    known = {unit.lower() for unit in UNITS.values()} | {
        *("g", "l", "ml", "u", "iu", "s", "ms", "min", "h", "m", "fl", "pg", "%", "°c", "mm/h"),
        *("score", "count", "points", "pack years", "pack-years", "cells/ul", "10^9/l", "x10^9/l"),
    }
    lowered = text.lower().replace("µ", "u").replace("\u03bc", "u")
    return lowered in known or bool(
        re.fullmatch(
            r"[a-z0-9%^*.·²³]{1,8}( ?u)?/[a-z0-9^*.·²³]{1,8}(/[a-z0-9^.²³]{1,8})?", lowered
        )
    )


def ordered(levels: list[str]) -> list[str] | None:
    """The levels in the order that their words have, or None where they have none."""
    lowered = {level.lower(): level for level in levels}
    for order in ORDERS:
        if set(lowered) <= set(order) and len(lowered) > 2:
            return [lowered[word] for word in order if word in lowered]
    if all(level.isdigit() for level in levels):
        return None  # codes
    ranks = {level: _rank(level) for level in levels}
    known = [rank for rank in ranks.values() if rank is not None]
    if len(known) == len(levels) == len(set(known)) > 2:
        return sorted(levels, key=lambda level: ranks[level] or 0.0)
    return None


def _rank(level: str) -> float | None:
    """Of `40-49`, `<30`, `>=3`, `stage 2`, `G3`: the number that orders it."""
    before = r"(?:(?:stage|grade|class|level|degree|nyha|asa|ecog|ckd|g|t|n)[ _-]?)?"
    number = r"([<>≤≥]=?\s*)?([0-9]+(?:\.[0-9]+)?)"
    until = r"(?:\s*(?:-|\u2013|to)\s*[0-9]+(?:\.[0-9]+)?|\+)?"
    found = re.fullmatch(before + number + until, level.lower())
    if not found:
        return None
    shift = {"<": -0.5, "≤": -0.5, ">": 0.5, "≥": 0.5}.get((found[1] or " ")[0], 0.0)
    return float(found[2]) + shift


def pair(cells: list[str]) -> tuple[str, str] | None:
    """Two cells as (absent, present), or None where their words do not say which is which."""
    lowered = {cell.lower(): cell for cell in cells}
    for absent, present in PAIRS:
        if set(lowered) == {absent, present}:
            return lowered[absent], lowered[present]
    if len(lowered) != 2:
        return None
    for prefix in ("no ", "non-", "non ", "not ", "without ", "absence of ", "un"):
        for cell, other in (tuple(lowered), tuple(lowered)[::-1]):
            if cell == prefix + other:
                return lowered[cell], lowered[other]
    return None
