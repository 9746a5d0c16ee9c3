"""Figures of filters: by plain loops over patients, paired with the same sets unfiltered."""

import numpy as np
import pytest

import tiny
from pipeline.attacks.poisoning import POISONS
from pipeline.risks.poisoning.filter_tables import FIGURES, RATES, filter_table
from pipeline.risks.poisoning.harm_tables import harm_table
from pipeline.standards import ATLAS, NIST, OWASP
from risks.poisoning.made_up import made_up_filtered, made_up_harm

pytestmark = pytest.mark.heavy

DOSES, FILTERS = [1, 0.1], ("neighbours", "loss")
CROWD = [attack for attack in POISONS if attack != "one_patient"]


@pytest.fixture
def setting(cfg):
    poisoning = cfg.poisoning.model_copy(
        update={"attacks": list(POISONS), "doses": DOSES, "adaptive_doses": DOSES}
    )
    return cfg.model_copy(update={"poisoning": poisoning})


@pytest.fixture
def harmed():
    return made_up_harm(60, doses=2, harm=2.0)


@pytest.fixture
def filtered(harmed):
    return made_up_filtered(harmed, filters=FILTERS, gain=8.0)


@pytest.fixture
def table(filtered, harmed, setting):
    return filter_table(filtered, harmed, setting, tiny.sampling(setting.audit))


def row(table, attack, dose, name="loss"):
    return table[
        (table["filter"] == name) & (table["attack"] == attack) & (table["dose"] == dose)
    ].iloc[0]


def test_one_row_per_filter_attack_and_dose(table):
    assert len(table) == len(FILTERS) * (1 + 2 * len(CROWD))
    assert not table.duplicated(["filter", "attack", "dose"]).any()
    assert set(table["recipe"]) == {"baseline"}
    assert "defense" not in table


def test_figures_are_those_of_a_plain_loop(table, filtered, harmed):
    line, y = row(table, "worst_flips", 0.1), harmed.y.numpy()
    after, before = (
        filtered["worst_flips"].margins["loss"][1].numpy(),
        harmed.margins["worst_flips"][1].numpy(),
    )
    hits, hits_before = (
        [np.mean([m[n] > 0 for m in margins]) for n in range(60)] for margins in (after, before)
    )
    ill = [n for n in range(60) if y[n] == 1]
    for name, whom in (("accuracy", range(60)), ("sensitivity", ill)):
        assert line[name] == pytest.approx(np.mean([hits[n] for n in whom]))
        assert line[f"{name}_without"] == pytest.approx(np.mean([hits_before[n] for n in whom]))
        assert line[f"{name}_difference"] == pytest.approx(
            np.mean([hits[n] - hits_before[n] for n in whom])
        )
    assert line["accuracy_difference"] > 0.1
    assert line["poison_rate"] == pytest.approx(float(harmed.share["worst_flips"][1]))


def test_not_filtered_is_what_the_table_of_harm_says(table, harmed, setting):
    unfiltered = harm_table({"baseline": harmed}, setting, tiny.sampling(setting.audit)).set_index(
        ["attack", "dose"]
    )
    for _, line in table.iterrows():
        other = unfiltered.loc[(line["attack"], line["dose"])]
        for metric in FIGURES:
            for end in ("", "_low", "_high"):
                assert line[f"{metric}_without{end}"] == pytest.approx(
                    other[f"{metric}{end}"], nan_ok=True
                )


def test_rates_are_means_and_ranges_over_training_sets_that_have_one(filtered, harmed, setting):
    filtered["worst_flips"].precision["loss"][1, 0] = np.nan
    filtered["worst_flips"].precision["loss"][0] = np.nan
    table = filter_table(filtered, harmed, setting, tiny.sampling(setting.audit))
    line = row(table, "worst_flips", 0.1)
    recalls = filtered["worst_flips"].recall["loss"][1].tolist()
    assert line["recall"] == pytest.approx(sum(recalls) / 2)
    assert (line["recall_low"], line["recall_high"]) == (min(recalls), max(recalls))
    only = filtered["worst_flips"].precision["loss"][1, 1].item()
    assert (line["precision"], line["precision_low"], line["precision_high"]) == (only, only, only)
    assert np.isnan(row(table, "worst_flips", 1)["precision"])


def test_the_backdoors_success_is_counted_on_the_same_patients(table, filtered, harmed):
    y, at = harmed.y.numpy(), 1
    after, before = [], []
    for n in range(60):
        known = harmed.margins["none"][0, :, n] > 0
        if y[n] != 1 or bool(harmed.triggered[0, 0, n].isnan()) or not known.any():
            continue
        before.append(float(((harmed.triggered[1 + at, :, n] <= 0) & known).sum() / known.sum()))
        after.append(
            float(
                ((filtered["backdoor"].triggered["loss"][at, :, n] <= 0) & known).sum()
                / known.sum()
            )
        )
    line = row(table, "backdoor", 0.1)
    assert line["attack_success_rate"] == pytest.approx(np.mean(after))
    assert line["attack_success_rate_without"] == pytest.approx(np.mean(before))
    assert line["attack_success_rate_difference"] == pytest.approx(np.mean(after) - np.mean(before))
    assert line["attack_success_rate_difference"] != 0
    assert table.loc[table["attack"] != "backdoor", "attack_success_rate"].isna().all()


def test_nobody_to_win_is_no_figure(filtered, harmed, setting):
    harmed.triggered[:] = np.nan
    assert np.isnan(
        row(filter_table(filtered, harmed, setting, tiny.sampling(setting.audit)), "backdoor", 1)[
            "attack_success_rate"
        ]
    )


def test_what_changed_nothing_differs_by_nothing(harmed, setting):
    table = filter_table(
        made_up_filtered(harmed, filters=FILTERS, gain=0.0),
        harmed,
        setting,
        tiny.sampling(setting.audit),
    )
    for metric in FIGURES:
        found = table.dropna(subset=metric)
        none, low, high = (found[f"{metric}_difference{end}"] for end in ("", "_low", "_high"))
        assert (none == 0).all()
        assert (low == -high).all()
        assert (found[metric] == found[f"{metric}_without"]).all()


def test_every_figure_lies_in_its_interval(table):
    for name in [
        *RATES,
        *(f"{metric}{end}" for metric in FIGURES for end in ("", "_without", "_difference")),
    ]:
        shown = table.dropna(subset=name)
        assert len(shown)
        assert (shown[f"{name}_low"] <= shown[name]).all()
        assert (shown[name] <= shown[f"{name}_high"]).all()


def test_every_row_names_its_attack_by_known_ids(table):
    clean = table["attack"] == "none"
    assert (table.loc[clean, ["goal", "atlas", "nist", "owasp"]] == "none").all(axis=None)
    assert (table.loc[clean, ["dose", "poison_rate"]] == 0).all(axis=None)
    for column, known in (("atlas", ATLAS), ("nist", NIST), ("owasp", OWASP)):
        assert all(one in known for ids in table.loc[~clean, column] for one in ids.split())
