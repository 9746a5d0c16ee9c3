"""What is proved, as the table of every patient."""

import numpy as np

from pipeline.risks.evasion.proofs import verdicts
from risks.evasion.made_up_patients import one, proofs_of


def test_verdicts_are_one_row_per_threat_repetition_and_patient():
    person = [one(margin=2.0, breaks_at=0.3), one(margin=-1.0, robust_below=0.0, breaks_at=0.0)]
    proofs, _ = proofs_of(person, [one(y=0, margin=3.0), one(y=0)], [one(), one()])
    table = verdicts({"clinical": proofs, "sparse": proofs})
    assert list(table) == [
        "threat",
        "repetition",
        "patient",
        "y",
        "margin",
        "robust_below",
        "breaks_at",
    ]
    assert table["threat"].tolist() == ["clinical"] * 6 + ["sparse"] * 6
    assert table["repetition"].tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert table["patient"].tolist() == [10, 11, 12] * 4
    assert table["y"].tolist() == [1, 0, 1] * 4
    assert table["margin"].tolist() == [2.0, 3.0, 2.0, -1.0, 2.0, 2.0] * 2
    for name in ("margin", "robust_below", "breaks_at"):
        np.testing.assert_array_equal(table[name], getattr(proofs, name).flatten().repeat(2))
    assert verdicts({}).empty
