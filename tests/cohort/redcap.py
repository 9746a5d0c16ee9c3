"""Pima rewritten as a REDCap export: codes, categories, checkboxes, dates, several visits a woman.

What the rewriting adds is drawn from a seed; no value of Pima changes but by being coded, or by
moving a little from one visit to the next.
"""

import csv
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

# The two names of each column of a dictionary: in REDCap's API, and on its pages.
HEADERS = {
    "field_name": "Variable / Field Name",
    "form_name": "Form Name",
    "section_header": "Section Header",
    "field_type": "Field Type",
    "field_label": "Field Label",
    "select_choices_or_calculations": "Choices, Calculations, OR Slider Labels",
    "field_note": "Field Note",
    "text_validation_type_or_show_slider_number": "Text Validation Type OR Show Slider Number",
    "text_validation_min": "Text Validation Min",
    "text_validation_max": "Text Validation Max",
    "identifier": "Identifier?",
    "branching_logic": "Branching Logic (Show field only if...)",
    "required_field": "Required Field?",
    "custom_alignment": "Custom Alignment",
    "question_number": "Question Number (surveys only)",
    "matrix_group_name": "Matrix Group Name",
    "matrix_ranking": "Matrix Ranking?",
    "field_annotation": "Field Annotation",
}
SHORT = {
    "label": "field_label",
    "choices": "select_choices_or_calculations",
    "note": "field_note",
    "validation": "text_validation_type_or_show_slider_number",
    "low": "text_validation_min",
    "high": "text_validation_max",
    "identifier": "identifier",
    "when": "branching_logic",
}
RELATIVES = ("1", "2", "3")


def field(name, kind="text", form="visit", **given):
    """One row of a dictionary."""
    named = {SHORT[key]: value for key, value in given.items()}
    return {"field_name": name, "form_name": form, "field_type": kind} | named


FIELDS = (
    field("record_id", label="Record ID"),
    field("surname", label="Surname", identifier="y"),
    field("visit_date", label="Date of visit", validation="date_ymd", low="1980-01-01"),
    field("pregnancies", label="Pregnancies", validation="integer", low="0", high="20"),
    field("glucose", label="Glucose, 2 h (mg/dL)", validation="integer", low="40", high="450"),
    field(
        "blood_pressure",
        label="<b>Diastolic</b> pressure",
        note="mmHg",
        validation="number",
        low="20",
        high="[visit_1_arm_1][systolic]",
    ),
    field("skin_thickness", label="Triceps skinfold [mm]", validation="integer"),
    field(
        "insulin",
        label="Insulin",
        note="mu U/mL",
        validation="integer",
        low="2",
        high="900",
        when="[glucose] > 0",
    ),
    field("bmi", "calc", label="Body mass index", choices="round([weight]/([height]/100)^2,1)"),
    field("pedigree", label="Pedigree", validation="number_3dp", low="0", high="3"),
    field("age_group", "dropdown", label="Age", choices="1, 21-30 | 2, 31-45 | 3, 46 and older"),
    field("site", "radio", label="Site", choices="1,North|2,South|3, River, the old one"),
    field("history", "checkbox", label="Diabetes of", choices="1, Mother | 2, Father | 3, Sibling"),
    field("smoker", "yesno", label="Smoker?"),
    field("thanks", "descriptive", label="Thank you"),
    field("comment", "notes", label="Anything else"),
    field("diabetes", "yesno", form="follow_up", label="Diabetes within five years"),
)


@dataclass(frozen=True)
class Export:
    """The files, and what was drawn.

    Attributes:
        records: the export, as REDCap writes raw data.
        dictionary: with the names of REDCap's pages.
        dictionary_of_api: the same with those of its API.
        patient: (N,) which woman each record is of.
    """

    records: bytes
    dictionary: bytes
    dictionary_of_api: bytes
    patient: np.ndarray


def export(pima, *, patients=None, visits=3, seed=0):
    """The export.

    Args:
        pima: Pima as a data frame, zeros for missing.
        patients: how many of its first rows; None = all.
        visits: at most so many a woman; between them age and pedigree stay, measurements move.
        seed: of all that is added.
    """
    drawn = np.random.default_rng(seed)
    rows = pima.head(patients) if patients else pima
    patient = np.repeat(np.arange(len(rows)), drawn.integers(1, visits + 1, len(rows)))
    first = np.r_[True, patient[1:] != patient[:-1]]
    table = rows.iloc[patient].reset_index(drop=True)
    count = len(table)

    def measured(name, spread, digits=0):
        values = table[name].to_numpy(float)
        moved = values + np.where(first, 0, drawn.normal(0, spread, count))
        moved = np.clip(moved, pima[name][pima[name] > 0].min(), pima[name].max())
        texts = [f"{value:.{digits}f}" for value in moved]
        return ["" if old == 0 else text for old, text in zip(values, texts, strict=True)]

    def of_person(least, most):
        return drawn.integers(least, most + 1, len(rows)).astype(str)[patient]

    visit = np.arange(count) - np.flatnonzero(first)[np.cumsum(first) - 1]
    start = pd.Timestamp("1984-03-01") + pd.to_timedelta(drawn.integers(0, 900, len(rows)), "D")
    dates = start[patient] + pd.to_timedelta(180 * visit, "D")
    names = np.array([f"Person{number:04d}" for number in drawn.permutation(len(rows))])
    columns = {
        "record_id": (patient + 1).astype(str),
        "redcap_event_name": [f"visit_{number + 1}_arm_1" for number in visit],
        "surname": names[patient],
        "visit_date": dates.strftime("%Y-%m-%d"),
        "pregnancies": table["pregnancies"].astype(str),
        "glucose": measured("glucose", 8),
        "blood_pressure": measured("blood_pressure", 4),
        "skin_thickness": measured("skin_thickness", 2),
        "insulin": measured("insulin", 20),
        "bmi": measured("bmi", 0.5, 1),
        "pedigree": [f"{value:.3f}" for value in table["diabetes_pedigree"]],
        "age_group": (np.digitize(table["age"], [31, 46]) + 1).astype(str),
        "site": of_person(1, 3),
        **{f"history___{code}": of_person(0, 1) for code in RELATIVES},
        "smoker": of_person(0, 1),
        "comment": np.where(drawn.random(count) < 0.1, 'fasted, "as told"\nand rested', ""),
        "visit_complete": "2",
        "diabetes": table["outcome"].astype(str),
        "follow_up_complete": "2",
    }
    frame = pd.DataFrame({name: np.asarray(values) for name, values in columns.items()})
    records = frame.to_csv(index=False, lineterminator="\r\n").encode()
    return Export(records, dictionary(HEADERS.values()), dictionary(HEADERS), patient)


def dictionary(headers, fields=FIELDS):
    """A dictionary as CSV under the given names of its columns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(headers)
    writer.writerows([[row.get(key, "") for key in HEADERS] for row in fields])
    return ("\ufeff" + out.getvalue()).encode()
