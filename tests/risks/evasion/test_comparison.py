"""From rows to the comparison: hand-made rows with known answers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import tiny
from pipeline.config import DecisionConfig
from pipeline.files import BadInput
from pipeline.models.answers import clean_metrics, disease_probability, predicted
from pipeline.risks.evasion.comparison import compare as compare_with
from pipeline.risks.evasion.comparison import proof_columns
from pipeline.risks.evasion.comparison import threat_columns as columns_of
from pipeline.risks.evasion.evaluation import proved_curves
from pipeline.risks.evasion.measure.attackers import EXACT, TRANSFER
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.margins import margins_by_threat
from pipeline.standards import THREAT_COLUMNS
from pipeline.statistics import intervals, rates
from pipeline.verify.least import Least
from pipeline.verify.out_of_fold import Proofs
from risks.evasion.made_up import CFG, EPS, KNOWN, found, model, rows, seeing, threat_columns
from tiny import records

AT_HALF = DecisionConfig(rule="threshold", value=0.5)
COLUMNS = [
    "defense",
    "threat",
    "eps",
    "clean_accuracy",
    "clean_low",
    "clean_high",
    "auroc",
    "auroc_low",
    "auroc_high",
    "robust_accuracy",
    "robust_low",
    "robust_high",
    "sensitivity",
    "sensitivity_low",
    "sensitivity_high",
    "specificity",
    "specificity_low",
    "specificity_high",
    "balanced_accuracy",
    "missed_diagnosis_rate",
    "missed_diagnosis_rate_low",
    "missed_diagnosis_rate_high",
    "brier",
    "flags",
    "evidence",
]
BOUNDED = [
    "clean_accuracy",
    "auroc",
    "robust_accuracy",
    "sensitivity",
    "specificity",
    "missed_diagnosis_rate",
    "false_alarm_rate",
]
PREFIX = {"clean_accuracy": "clean", "robust_accuracy": "robust"}


def compare(examined, cfg=CFG, *, seed=0, auroc_ceiling=None, known=KNOWN):
    numbers = {
        "decision": AT_HALF,
        "sampling": tiny.sampling(cfg, seed),
        "auroc_ceiling": auroc_ceiling,
    }
    return compare_with(examined, cfg, known, **numbers)


@pytest.fixture(scope="module")
def y():
    return records(200, seed=0).y.numpy()


@pytest.fixture(scope="module")
def three(y):
    return {
        "baseline": found(model(1.2, y), y),
        "sturdy": found(model(1.0, y, loss=0.5), y),
        "weak": found(model(0.9, y, loss=4.0, seed=1), y),
    }


@pytest.fixture(scope="module")
def table(three):
    return compare(three, seed=3)


def line(table, defense, eps=0.0, threat="clinical"):
    found = table[
        (table["defense"] == defense) & (table["threat"] == threat) & (table["eps"] == eps)
    ]
    assert len(found) == 1
    return found.iloc[0]


# ---- the table ----


def test_the_comparison_of_those_three_patients():
    a = [[[3, 3, 3, 3]], [[-1, 3, 3, 3]], [[2, 3, 1, 3]]]
    b = [[[3, 3, 3, 3]], [[3, 2, 3, 3]], [[3, -2, 3, 3]]]
    table = compare({"baseline": found({"a": a, "b": b}, [0, 1, 1, 1])})
    assert table["robust_accuracy"].tolist() == [1, 0.75, 0.5]
    assert table["clean_accuracy"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(table["sensitivity"], [1, 1, 2 / 3])
    np.testing.assert_allclose(table["missed_diagnosis_rate"], [0, 0, 1 / 3])
    assert table["specificity"].tolist() == [1, 0, 0]
    assert table["accuracy_a"].tolist() == [1, 0.75, 1]
    assert table["accuracy_b"].tolist() == [1, 1, 0.75]
    assert table[["tn", "fp", "fn", "tp"]].to_numpy().tolist() == [
        [1, 0, 0, 3],
        [0, 1, 0, 3],
        [0, 1, 1, 2],
    ]


def test_one_line_for_each_defense_threat_and_radius_with_the_columns_that_people_read(table):
    assert set(COLUMNS) <= set(table)
    assert table[["defense", "eps"]].to_numpy().tolist() == [
        [d, e] for d in ("baseline", "sturdy", "weak") for e in EPS
    ]
    assert not table[COLUMNS].isna().any().any()


def test_robust_accuracy_never_rises_and_starts_at_clean_accuracy(y):
    noisy = {
        name: np.random.default_rng(i).normal(1, 2, (3, 2, len(y)))
        for i, name in enumerate(("a", "b"))
    }
    for values in noisy.values():
        values[0] = noisy["a"][0]
    table = compare({"baseline": found(noisy, y)})
    assert (table["robust_accuracy"].diff().dropna() <= 0).all()
    assert (table["sensitivity"].diff().dropna() <= 0).all()
    assert table["robust_accuracy"].iloc[0] == table["clean_accuracy"].iloc[0]
    assert table["attacked_auc"].iloc[0] == table["auroc"].iloc[0]
    for name in ("a", "b"):
        assert (table["robust_accuracy"] <= table[f"accuracy_{name}"]).all()


def test_certified_auroc_is_that_of_the_bounds_at_their_radius_alone(y):
    cut = np.array([[0.5], [-0.5]])  # of two repetitions
    one = found(model(1.2, y), y, cut=torch.from_numpy(cut).expand(-1, len(y)))
    bounds = margins_by_threat(one.rows)["clinical"].worst[1] - 0.7
    one = replace(one, least=Least(EPS[1], torch.from_numpy(bounds)))
    table = compare({"baseline": one}).set_index("eps")
    score = np.where(y == 1, bounds, -bounds) + cut
    assert table.loc[EPS[1], "certified_auc"] == pytest.approx(rates.auroc(score, y))
    for name in ("certified_auc", "certified_auc_low", "certified_auc_high"):
        clean = name.replace("certified_auc", "auroc")
        assert table.loc[0.0, name] == table.loc[0.0, clean]
        assert np.isnan(table.loc[EPS[2], name])
    low, high = (table.loc[EPS[1], f"certified_auc_{side}"] for side in ("low", "high"))
    assert low < table.loc[EPS[1], "certified_auc"] < high
    assert table.loc[EPS[1], "certified_auc"] < table.loc[EPS[1], "attacked_auc"]


def test_certified_auroc_of_images_is_there_at_every_radius(y):
    """Their bounds come with the proofs; a bound of -inf is a rank like any other."""
    one = found(model(1.2, y), y)
    bounds = margins_by_threat(one.rows)["clinical"].worst - 0.7
    bounds[-1, :, 0] = -np.inf
    nothing = torch.zeros(bounds.shape[1:], dtype=torch.float64)
    with_bounds = replace(proof(y, nothing, nothing + torch.inf), least=torch.from_numpy(bounds))
    table = compare({"baseline": replace(one, proofs={"clinical": with_bounds})}).set_index("eps")
    for eps, least in zip(EPS[1:], bounds[1:], strict=True):
        value = rates.auroc(np.where(y == 1, least, -least), y)
        assert table.loc[eps, "certified_auc"] == pytest.approx(value)
        assert table.loc[eps, "certified_auc_low"] <= value <= table.loc[eps, "certified_auc_high"]
        assert value < table.loc[eps, "attacked_auc"]


def test_curves_of_images_know_whom_attacks_broke(y):
    """The verifier finds no image there; nothing proved is called broken, radius by radius."""
    one = found(model(1.2, y), y)
    worst = margins_by_threat(one.rows)["clinical"].worst
    nothing = torch.zeros(worst.shape[1:], dtype=torch.float64)
    bounds = replace(proof(y, nothing, nothing + torch.inf), least=torch.from_numpy(worst))
    curve = proved_curves({"box": replace(one, proofs={"clinical": bounds})}).set_index("eps")
    missed = (worst[-1] <= 0)[:, y == 1].mean()
    assert curve["missed"].iloc[-1] == pytest.approx(missed)
    assert curve["missed"].iloc[0] == pytest.approx((worst[0] <= 0)[:, y == 1].mean())
    assert missed > curve["missed"].iloc[0]
    of_records = replace(bounds, least=None)
    plain = proved_curves({"box": replace(one, proofs={"clinical": of_records})})
    assert (plain["missed"] == 0).all()


def test_figures_are_those_of_metrics(three, table):
    margins = margins_by_threat(three["weak"].rows)["clinical"]
    got = line(table, "weak", 0.5)
    answer, score = (
        predicted(margins.worst[2], margins.y),
        disease_probability(margins.worst[2], margins.y),
    )
    for name, value in rates.classification(answer, margins.y).items():
        assert got["robust_accuracy" if name == "accuracy" else name] == pytest.approx(value)
    assert got["attacked_auc"] == pytest.approx(rates.auroc(score, margins.y))
    clean = disease_probability(margins.by_attack["fgsm"][0], margins.y)
    assert got["brier"] == pytest.approx(rates.brier(clean, margins.y))
    assert got["auroc"] == pytest.approx(rates.auroc(clean, margins.y))


@pytest.mark.parametrize("name", BOUNDED)
def test_every_interval_contains_its_estimate_and_stays_inside(table, name):
    low, high = (table[f"{PREFIX.get(name, name)}_{side}"] for side in ("low", "high"))
    assert (low <= table[name]).all()
    assert (table[name] <= high).all()
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert (high - low > 0.02).any()


def test_intervals_are_those_of_a_bootstrap_over_patients_seeds_averaged(three, table, y):
    correct = (margins_by_threat(three["baseline"].rows)["clinical"].worst[1] > 0).mean(0)
    weights = intervals.bootstrap_weights(len(y), 300, seed=3)
    low, high = np.quantile(intervals.bootstrap_mean(correct, weights), [0.025, 0.975])
    got = line(table, "baseline", 0.1)
    np.testing.assert_allclose([got["robust_low"], got["robust_high"]], [low, high], atol=1e-6)
    ill = np.quantile(intervals.bootstrap_mean(correct[y == 1], weights[:, y == 1]), [0.025, 0.975])
    np.testing.assert_allclose([got["sensitivity_low"], got["sensitivity_high"]], ill, atol=1e-6)
    np.testing.assert_allclose(
        [got["missed_diagnosis_rate_low"], got["missed_diagnosis_rate_high"]],
        1 - ill[::-1],
        atol=1e-6,
    )


def test_a_repeated_seed_does_not_narrow_an_interval(y):
    one = model(1.0, y, seeds=1)
    five = {attack: np.repeat(values, 5, axis=1) for attack, values in one.items()}
    single, many = (compare({"baseline": found(m, y)}) for m in (one, five))
    pd.testing.assert_frame_equal(single, many)


def test_the_same_rows_and_seed_give_the_same_table(three, table):
    pd.testing.assert_frame_equal(compare(three, seed=3), table)
    other = compare(three, seed=4)
    assert (other["robust_low"] != table["robust_low"]).any()
    np.testing.assert_array_equal(other["robust_accuracy"], table["robust_accuracy"])


# ---- what is proved ----


def proof(y, robust_below, breaks_at):
    """What is proved of patients, radii (S, N) given; the rest is of no concern here."""
    robust_below, breaks_at = torch.as_tensor(robust_below), torch.as_tensor(breaks_at)
    nothing = torch.full((*breaks_at.shape, 1), torch.nan)
    return Proofs(
        torch.arange(len(y)),
        torch.as_tensor(y),
        breaks_at,
        robust_below,
        breaks_at,
        nothing,
        breaks_at,
        nothing,
        nothing,
        breaks_at,
    )


@pytest.fixture(scope="module")
def verified(y):
    """A third of the patients is decided exactly, a third somewhere below, a third never broken."""
    generator = torch.Generator().manual_seed(0)
    breaks_at = 0.7 * torch.rand(2, len(y), generator=generator, dtype=torch.float64)
    robust_below = breaks_at.clone()
    robust_below[:, 1::3] *= torch.rand(2, len(y), generator=generator, dtype=torch.float64)[
        :, 1::3
    ]
    robust_below[:, ::3] = breaks_at[:, ::3] = torch.inf
    robust_below[:, ::9] = breaks_at[:, ::9] = 0.0  # wrong from the start
    margins = {EXACT: np.where(breaks_at.numpy() > np.array(EPS)[:, None, None], 1.0, -1.0)}
    return Examination(rows(margins, y), {"clinical": proof(y, robust_below, breaks_at)}, {})


def test_verified_accuracy_is_the_share_proved_and_what_is_not_known_is_the_difference(verified):
    table = compare({"baseline": verified})
    proof_of = verified.proofs["clinical"]
    for at, eps in enumerate(EPS):
        assert table["verified_accuracy"][at] == pytest.approx(
            (proof_of.robust_below > eps).double().mean().item()
        )
        assert table["robust_accuracy"][at] == pytest.approx(
            (proof_of.breaks_at > eps).double().mean().item()
        )
    np.testing.assert_allclose(
        table["undecided"], table["robust_accuracy"] - table["verified_accuracy"], atol=1e-12
    )
    assert (table["verified_accuracy"] <= table["robust_accuracy"]).all()
    assert (table["undecided"][1:] > 0.02).all()


def test_the_interval_of_verified_accuracy_is_that_of_a_bootstrap_over_patients(verified, y):
    weights = intervals.bootstrap_weights(len(y), 300, seed=0)
    margins = margins_by_threat(verified.rows)["clinical"]
    for line, eps in zip(
        proof_columns(verified.proofs["clinical"], margins, weights, 0.9), EPS, strict=True
    ):
        share = (verified.proofs["clinical"].robust_below > eps).double().mean(0).numpy()
        low, high = np.quantile(intervals.bootstrap_mean(share, weights), [0.05, 0.95])
        np.testing.assert_allclose(
            [line["verified_low"], line["verified_high"]], [low, high], atol=1e-6
        )
        assert line["verified_low"] < line["verified_accuracy"] < line["verified_high"]


def test_of_whom_nothing_is_proved_nothing_is_said(three, table):
    margins = margins_by_threat(three["weak"].rows)["clinical"]
    assert proof_columns(None, margins, np.ones((1, 1)), 0.95) == [{}, {}, {}]
    assert not [
        column for column in table if column.startswith("verified") or column == "undecided"
    ]


def test_where_nothing_can_be_proved_all_that_is_left_is_undecided(y):
    margins = model(1.0, y, attacks=("fgsm", "pgd_ce"))
    clean = margins["fgsm"][0]
    nothing = proof(y, np.zeros_like(clean), np.where(clean > 0, np.inf, 0.0))
    table = compare({"baseline": Examination(rows(margins, y), {"clinical": nothing}, {})})
    assert (table["verified_accuracy"] == 0).all()
    np.testing.assert_array_equal(table["undecided"], table["robust_accuracy"])
    assert set(table["access"]) == {"gradients"}  # nobody claims to know all


# ---- who attacks ----


@pytest.fixture(scope="module")
def knowing(y):
    """A defense attacked by four who know different things, the verifier last."""
    margins, attacked = model(1.0, y, attacks=("fgsm",))["fgsm"], np.sign(EPS)[:, None, None]
    return found(
        {
            name: margins - shift * attacked
            for shift, name in enumerate(("noise", "square", TRANSFER, EXACT))
        },
        y,
    )


def test_a_line_of_the_comparison_names_its_threat_as_the_strongest_attacker_does(knowing):
    wanted = threat_columns("exact")
    assert columns_of(knowing.rows, "clinical") == wanted
    table = compare({"baseline": knowing})
    assert set(THREAT_COLUMNS) <= set(table)
    for _, row in table.iterrows():
        assert row[list(THREAT_COLUMNS)].to_dict() == wanted


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_does_not_decide_who_is_strongest(knowing, seed):
    assert columns_of(knowing.rows.sample(frac=1, random_state=seed), "clinical") == threat_columns(
        "exact"
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_the_order_of_attacks_changes_no_figure(knowing, reverse):
    by_name = knowing.rows.sort_values("attack", kind="stable", ascending=not reverse)
    before, after = (
        compare({"baseline": replace(knowing, rows=rows)}) for rows in (knowing.rows, by_name)
    )
    pd.testing.assert_frame_equal(after[list(before)], before)


def test_of_those_who_see_most_the_one_who_leaves_least_is_strongest(y):
    """The weaker one comes first by name and last by row; access counts before what is left."""
    margins = model(1.0, y, attacks=("fgsm",))["fgsm"]
    three = {"square": margins, "hop_skip_jump": margins - 2, "a": margins - 1}
    known = seeing("labels", "a")
    table = rows(three, y, known=known)
    table.loc[table["attack"] == "a", "query_budget"] = "7"
    table.loc[table["attack"] == "hop_skip_jump", "query_budget"] = "8"
    by_labels = table[table["attack"] != "square"]
    assert columns_of(by_labels, "clinical")["query_budget"] == "8"
    assert columns_of(table, "clinical")["access"] == "scores"


def test_an_attack_that_is_no_longer_configured_is_one_line(three):
    with pytest.raises(BadInput, match=r"attack\.fgsm: missing.*dvc repro"):
        compare(three, known={name: one for name, one in KNOWN.items() if name != "fgsm"})


@pytest.fixture(scope="module")
def renamed(y):
    """Two defenses that hide their gradients from cross-entropy, one attacked under other names."""
    masked = {"fgsm": np.full((3, 2, len(y)), 1.0), "pgd_ce": np.full((3, 2, len(y)), 1.0)}
    masked["pgd_margin"] = np.where(np.array(EPS)[:, None, None] > 0, -1.0, masked["pgd_ce"])
    names = {"fgsm": "quick", "pgd_ce": "my_pgd", "pgd_margin": "zeta"}
    return masked, {names[name]: margins for name, margins in masked.items()}, names


def test_a_name_raises_no_flag_and_hides_none(renamed, y):
    usual, strange, names = renamed
    known = {names.get(name, name): one for name, one in KNOWN.items()}
    before = compare({"baseline": found(usual, y)})
    after = compare({"baseline": found(strange, y, known=known)}, known=known)
    assert "masked_gradients" in before["flags"][0].split()
    assert set(before["flags"]) == set(after["flags"])
    said = before["evidence"][0]
    for usual_name, other in names.items():
        said = said.replace(f"under {usual_name}", f"under {other}")
    assert set(after["evidence"]) == {said}


# ---- paired with the baseline ----


def test_the_difference_is_paired_with_the_baseline_on_the_same_patients(three, table, y):
    mine, theirs = (
        (margins_by_threat(three[name].rows)["clinical"].worst[2] > 0).mean(0)
        for name in ("sturdy", "baseline")
    )
    each = mine - theirs
    got = line(table, "sturdy", 0.5)
    assert got["difference"] == pytest.approx(each.mean())
    assert got["difference"] == pytest.approx(
        got["robust_accuracy"] - line(table, "baseline", 0.5)["robust_accuracy"]
    )
    se = each.std() / len(y) ** 0.5
    np.testing.assert_allclose(
        [got["difference_low"], got["difference_high"]],
        each.mean() + 1.96 * se * np.array([-1, 1]),
        atol=0.5 * se,
    )
    assert got["smallest_detectable"] == pytest.approx(2.8016 * se, rel=0.15)
    assert got["difference_low"] <= got["difference"] <= got["difference_high"]


def test_the_baseline_has_no_difference_and_its_twin_has_none_either(three):
    table = compare({"twin": three["baseline"], "baseline": three["baseline"]})
    columns = ["difference", "difference_low", "difference_high", "smallest_detectable"]
    assert table.loc[table["defense"] == "baseline", columns].isna().all().all()
    twin = table.loc[table["defense"] == "twin", columns]
    assert (twin["difference"] == 0).all()
    assert (twin["difference_low"] < 0).all()  # so few patients do not prove that none would differ
    assert (twin["difference_high"] == -twin["difference_low"]).all()


def test_without_a_baseline_there_is_nothing_to_compare_with(three):
    table = compare({"sturdy": three["sturdy"]})
    assert not [column for column in table if column.startswith("difference")]


# ---- flags ----


@pytest.mark.parametrize("flag", ["degenerate", "masked_gradients", "suspected_leak"])
def test_a_suspect_defense_is_flagged_however_robust(three, y, flag):
    suspect = {
        "degenerate": {"fgsm": np.broadcast_to(np.where(y == 0, 9.0, -9.0), (3, 2, len(y)))},
        "masked_gradients": {
            **model(4.0, y, loss=0.0),
            TRANSFER: np.stack([model(4.0, y)["fgsm"][0], *[np.full((2, len(y)), -1.0)] * 2]),
        },
        "suspected_leak": {"fgsm": np.full((3, 2, len(y)), 9.0)},
    }[flag]
    table = compare({**three, "suspect": found(suspect, y)}, auroc_ceiling=0.9999)
    judged = line(table, "suspect")
    assert flag in judged["flags"].split()
    assert judged["evidence"].count("; ") == len(judged["flags"].split()) - 1
    assert (table.loc[table["defense"] != "suspect", ["flags", "evidence"]] == "").all().all()


def test_measurements_of_a_defense_flag_that_defense_alone(three):
    measured = {**three, "weak": replace(three["weak"], diagnostics={"violations": 3})}
    table = compare(measured)
    assert table.drop_duplicates("defense").set_index("defense")["flags"].to_dict() == {
        "baseline": "",
        "sturdy": "",
        "weak": "violations",
    }
    assert "3 adversarial values" in line(table, "weak", 0.5)["evidence"]


def test_what_the_attacks_know_decides_how_they_are_compared(y):
    known = seeing("labels", "fgsm", "pgd_ce", "pgd_margin")
    table = compare({"baseline": found(model(1.2, y), y, known=known)}, known=known)
    assert set(table["flags"]) == {"not_adaptive"}


# ---- its figures elsewhere ----


def test_clean_metrics_of_a_training_stage_are_those_of_the_comparison(three, table, y):
    margins = margins_by_threat(three["weak"].rows)["clinical"].by_attack["fgsm"][:1]
    figures = clean_metrics(margins, y)
    got = line(table, "weak")
    expected = {
        name: got[name]
        for name in ("balanced_accuracy", "sensitivity", "specificity", "auroc", "brier")
    }
    assert figures == {
        name: round(value, 4)
        for name, value in {"accuracy": got["clean_accuracy"], **expected}.items()
    }


# ---- several records of a patient ----


def test_copied_visits_leave_every_figure_and_interval_as_it_is(three, table, y):
    visits = np.arange(len(y)).repeat(3)
    models = {
        "baseline": model(1.2, y),
        "sturdy": model(1.0, y, loss=0.5),
        "weak": model(0.9, y, loss=4.0, seed=1),
    }
    often = {
        name: found({attack: one[..., visits] for attack, one in margins.items()}, y[visits])
        for name, margins in models.items()
    }
    numbers = {"decision": AT_HALF, "auroc_ceiling": None}
    again, unaware = (
        compare_with(often, CFG, KNOWN, **numbers, sampling=tiny.sampling(CFG, 3, whose))
        for whose in (visits, None)
    )
    counts, one_each = ["tn", "fp", "fn", "tp"], ["ece", "ece_low", "ece_high"]
    pd.testing.assert_frame_equal(
        again.drop(columns=counts + one_each), table.drop(columns=counts + one_each), rtol=1e-4
    )
    for figure in ("sensitivity", "attacked_auc", "calibration_slope"):
        assert (unaware[f"{figure}_high"] < again[f"{figure}_high"]).any()
