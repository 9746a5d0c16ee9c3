"""Made-up proofs about patients, with known answers."""

import math

import torch

import tiny
from pipeline.data.schema import Schema
from pipeline.risks.evasion.patients import patients_table
from pipeline.verify.out_of_fold import Proofs

INF, NAN = math.inf, math.nan
ERRORS = {"glucose": 3.0, "bmi": 0.2, "ratio": None, "pedigree": None, "age": None}
UNITS = {"glucose": "mg/dL", "bmi": "kg/m2", "ratio": "1", "pedigree": "score", "age": "years"}
FEATURES = {
    name: feature.model_copy(
        update={
            "error": ERRORS[name],
            "unit": UNITS[name],
            "error_source": ERRORS[name] and "made up",
        }
    )
    for name, feature in tiny.FEATURES.items()
}
SCHEMA = Schema(tuple(FEATURES), tuple(FEATURES.values()), "outcome", ("healthy", "ill"))
RECORD = [148.0, 33.6, 5.0, 0.5, 50.0]  # glucose, bmi, ratio, pedigree, age
NOTHING = [NAN] * 5
ALONE_NONE = [INF, INF, INF, NAN, NAN]


def one(**changes):
    """One patient in one repetition: ill, found, missed at eps 0.3 when glucose and BMI fall."""
    usual = {
        "record": RECORD,
        "y": 1,
        "margin": 2.0,
        "robust_below": 0.3,
        "breaks_at": 0.3,
        "found": [141.0, 33.1, 5.0, 0.5, 50.0],
        "counter_margin": -0.5,
        "alone": ALONE_NONE,
        "alone_value": NOTHING,
        "typical_margin": -0.5,
    }
    return usual | changes


def proofs_of(*people):
    """People, each a list of repetitions or a single one, as results; their records beside."""
    people = [person if isinstance(person, list) else [person] for person in people]

    def stack(key, dtype=torch.float64):
        return torch.tensor(
            [[person[s][key] for person in people] for s in range(len(people[0]))], dtype=dtype
        )

    proved = Proofs(
        patients=torch.arange(len(people)) + 10,
        y=torch.tensor([person[0]["y"] for person in people]),
        margin=stack("margin"),
        robust_below=stack("robust_below"),
        breaks_at=stack("breaks_at"),
        counterexample=stack("found", torch.float32),
        counter_margin=stack("counter_margin"),
        alone=stack("alone"),
        alone_value=stack("alone_value"),
        typical_margin=stack("typical_margin"),
    )
    return proved, torch.tensor([person[0]["record"] for person in people])


def table(*people):
    return patients_table(*proofs_of(*people), SCHEMA)


def row(*repetitions):
    return table(list(repetitions)).iloc[0]


UNCHANGED = {"breaks_at": INF, "robust_below": 1.0, "found": RECORD, "counter_margin": 2.0}
WRONG = {
    "margin": -1.0,
    "robust_below": 0.0,
    "breaks_at": 0.0,
    "found": RECORD,
    "counter_margin": -1.0,
}
BY_GLUCOSE = [0.3, INF, INF, NAN, NAN]
