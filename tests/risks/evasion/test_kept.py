"""The page says what relations protect from, where there are some."""

import pandas as pd

from pipeline.presentation.chapter import Note, Table
from pipeline.risks.evasion.kept import kept_parts


def lines(threat, robust, proved):
    return pd.DataFrame(
        {
            "threat": threat,
            "defense": ["baseline", "baseline", "adv_train"],
            "eps": [0.0, 0.3, 0.3],
            "robust_accuracy": robust,
            "robust_low": [0.0] * 3,
            "robust_high": [1.0] * 3,
            "verified_accuracy": proved,
        }
    )


SHOWN = {"baseline": "baseline (a flag)", "adv_train": "adv_train"}
BOTH = pd.concat(
    [
        lines("clinical", [0.8, 0.64, 0.7], [0.8, 0.63, 0.69]),
        lines("careless", [0.8, 0.61, 0.7], [0.8, 0.6, 0.68]).iloc[::-1],
    ]
)


def related(context):
    """The same configuration, of a data set that states a relation and a formula."""
    cfg = context.cfg
    data = cfg.data.model_copy(
        update={"relations": ["bmi <= glucose"], "derived": {"insulin": "glucose / 2"}}
    )
    careless = cfg.threat[cfg.audit.headline].model_copy(update={"consistent": False})
    threats = {**cfg.threat, "careless": careless}
    return cfg.model_copy(update={"data": data, "threat": threats})


def test_both_figures_stand_side_by_side(context):
    note, table = kept_parts(BOTH, SHOWN, related(context))
    assert isinstance(note, Note)
    assert isinstance(table, Table)
    assert "bmi <= glucose; insulin = glucose / 2" in note.text
    assert list(table.table["defense"]) == ["baseline (a flag)"] * 2 + ["adv_train"]
    assert list(table.table["proved, kept"]) == ["0.800", "0.630", "0.690"]
    assert list(table.table["proved, without"]) == ["0.800", "0.600", "0.680"]
    assert table.table["robust accuracy, kept"][1].startswith("0.640")
    assert table.table["without"][1].startswith("0.610")


def test_nothing_is_said_where_no_relation_is_stated(context):
    assert kept_parts(BOTH, SHOWN, context.cfg) == []
    alone = BOTH[BOTH["threat"] == "clinical"]
    assert kept_parts(alone, SHOWN, related(context)) == []
