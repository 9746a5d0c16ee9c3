"""Everything that one evaluation reports: the tables beside the comparison, from known answers."""

import numpy as np
import pandas as pd
import pytest

import tiny
from pipeline.attacks.evasion import attackers_of
from pipeline.models.answers import disease_probability
from pipeline.risks.evasion.comparison import compare
from pipeline.risks.evasion.evaluation import attacks_table, evaluate_all
from pipeline.risks.evasion.measure.attackers import EXACT, TRANSFER, all_attackers
from pipeline.standards import THREAT_COLUMNS
from pipeline.statistics import intervals, rates
from pipeline.statistics.edges import wilson
from risks.evasion.made_up import CFG, CONFIGURED, EPS, KNOWN, found, model, threat_columns
from tiny import records

PATIENTS, HEADLINE = 200, "clinical"


@pytest.fixture(scope="module")
def y():
    return records(PATIENTS, seed=0).y.numpy()


@pytest.fixture(scope="module")
def examined(y):
    """Two defenses, one of them attacked by four who know different things."""
    margins = model(1.0, y, attacks=("fgsm",))["fgsm"]
    four = {
        name: margins - shift * np.sign(EPS)[:, None, None]
        for shift, name in enumerate(("noise", "square", TRANSFER, EXACT))
    }
    return {"baseline": found(model(1.2, y), y), "known": found(four, y)}


@pytest.fixture
def cfg(cfg):
    return cfg.model_copy(update={"audit": CFG, "seed": 3, "attack": CONFIGURED})


# ---- attacks ----


def test_every_attack_has_a_line_with_its_interval_and_its_threat_in_full(examined, y):
    table = attacks_table(examined, tiny.sampling(CFG, 3))
    keys = [
        (defense, HEADLINE, attack, eps)
        for defense, one in examined.items()
        for attack in one.margins[HEADLINE].by_attack
        for eps in EPS
    ]
    got = table[["defense", "threat", "attack", "eps"]]
    assert list(got.itertuples(index=False, name=None)) == keys
    assert not table.isna().any().any()
    weights = intervals.bootstrap_weights(len(y), CFG.resamples, 3)
    for row in table.itertuples():
        own = examined[row.defense].margins[HEADLINE].by_attack[row.attack]
        right = own[EPS.index(row.eps)] > 0
        assert row.accuracy == pytest.approx(right.mean())
        assert row.missed_diagnosis_rate == pytest.approx(1 - right[:, y == 1].mean())
        low, high = np.quantile(intervals.bootstrap_mean(right.mean(0), weights), [0.025, 0.975])
        share, n = right.mean(), len(y)
        if min(share, 1 - share) < 3 * intervals.bootstrap_mean(right.mean(0), weights).std():
            least, most = wilson(share * n, n)
            low, high = min(low, least), max(high, most)
        np.testing.assert_allclose([row.accuracy_low, row.accuracy_high], [low, high], atol=1e-6)
    for attack, of_attack in table.groupby("attack"):
        wanted = threat_columns(KNOWN[attack].access)
        assert all(line == wanted for line in of_attack[list(THREAT_COLUMNS)].to_dict("records"))


def test_the_configuration_says_who_is_who(y, cfg):
    """Cross-entropy loses to the margin, whatever the two are called."""
    pgd = {"method": "pgd", "steps": 5, "step_size": 0.2}
    suite = {"my_pgd": {**pgd, "loss": "cross_entropy"}, "zeta": {**pgd, "loss": "margin"}}
    unmoved = np.full((3, 2, len(y)), 1.0)
    margins = {"my_pgd": unmoved, "zeta": np.where(np.array(EPS)[:, None, None] > 0, -1.0, unmoved)}
    examined = {"baseline": found(margins, y, known=attackers_of(suite))}
    flags = [
        evaluate_all(
            examined, cfg.model_copy(update={"attack": attack}), tiny.sampling(CFG, 3)
        ).comparison["flags"][0]
        for attack in (suite, {**suite, "zeta": {**suite["zeta"], "restarts": 9}})
    ]
    assert ["masked_gradients" in of_one.split() for of_one in flags] == [True, False]


# ---- the tables beside the comparison ----


@pytest.fixture
def evaluation(examined, cfg):
    return evaluate_all(examined, cfg, tiny.sampling(CFG, 3))


def test_the_comparison_is_that_of_the_configuration(evaluation, examined, cfg):
    numbers = {
        "decision": cfg.decision,
        "sampling": tiny.sampling(CFG, cfg.seed),
        "auroc_ceiling": cfg.data.auroc_ceiling,
    }
    assert evaluation.comparison.groupby("threat")["verified_to"].first()["clinical"] == 0.5
    pd.testing.assert_frame_equal(
        evaluation.comparison.drop(columns="verified_to"),
        compare(examined, CFG, all_attackers(cfg), **numbers),
    )
    pd.testing.assert_frame_equal(
        evaluation.attacks, attacks_table(examined, tiny.sampling(CFG, cfg.seed))
    )


def under_attack(table, defense="known", eps=0.5):
    return table[(table["defense"] == defense) & (table["eps"] == eps)]


def test_confusion_and_classification_are_those_of_the_comparison(evaluation):
    confusion, report = evaluation.confusion, evaluation.classification
    assert confusion.groupby(["defense", "eps"])["patients"].sum().eq(PATIENTS).all()
    (attacked,) = under_attack(evaluation.comparison).to_dict("records")
    cells = under_attack(confusion)["patients"].tolist()
    assert cells == [attacked[cell] for cell in ("tn", "fp", "fn", "tp")]
    of_class = under_attack(report).set_index("class")
    assert of_class.loc["diabetes", "recall"] == pytest.approx(attacked["sensitivity"])
    assert of_class.loc["diabetes", "precision"] == pytest.approx(attacked["precision"])
    assert of_class.loc["no diabetes", "recall"] == pytest.approx(attacked["specificity"])
    for table in (confusion, report):
        keys = table[["defense", "threat", "eps"]].drop_duplicates()
        wanted = [(d, HEADLINE, eps) for d in ("baseline", "known") for eps in EPS]
        assert list(keys.itertuples(index=False, name=None)) == wanted


def test_the_roc_is_that_of_the_unchanged_records(evaluation, examined, y):
    for name, one in examined.items():
        score = disease_probability(one.margins[HEADLINE].worst[0], y)
        fpr, tpr = rates.roc_curve(score, y, 101)
        mine = evaluation.roc[evaluation.roc["defense"] == name]
        np.testing.assert_array_equal(mine[["fpr", "tpr"]], np.stack([fpr, tpr], 1))
