"""From answers to gains: a planted one is named and no other, and few patients give no figure."""

import numpy as np
import pytest
import torch

from pipeline.risks.federation.hospitals import (
    COLUMNS,
    EVERYBODY,
    NOT_ESTIMABLE,
    OTHERS,
    OWN,
    hospitals_table,
    private_table,
)
from pipeline.statistics import rates
from pipeline.statistics.intervals import Sampling
from risks.federation.hospital_answers import answers, classes


def table(trained, resamples=300):
    return hospitals_table(trained, classes(), Sampling(resamples, 0.95, 0))


@pytest.fixture(scope="module")
def planted():
    return table(answers(bad=0))


def test_who_is_worth_nothing_alone_gains_and_nobody_else(planted):
    assert set(planted.loc[planted["gain_verdict"] == "better", "hospital"]) == {"north"}
    assert not (planted["gain_verdict"] == "worse").any()
    own = planted[(planted["hospital"] == "north") & (planted["figure"] == "auroc")]
    assert (own["alone_low"] < 0.5).all()
    assert (own["gain_low"] > 0.1).all()


@pytest.mark.slow
def test_where_all_say_the_same_nobody_is_told_to_gain():
    """Of 12 made-up federations 0.6 are named by chance, at most; more than 3 has 0.2 %."""
    found = [table(answers(bad=None, seed=seed), 100)["gain_verdict"] for seed in range(12)]
    assert sum(one.isin(["better", "worse"]).any() for one in found) <= 3


def test_figures_are_what_their_names_say(planted):
    trained, y = answers(bad=0), classes().numpy()
    lead = np.where(y == 1, 1, -1) * trained.margin.numpy()
    place = trained.place.numpy()
    lines = planted.set_index(["hospital", "asked", "figure"])
    everybody = lines.loc[("", EVERYBODY, "auroc")]
    assert everybody["central"] == pytest.approx(rates.auroc(lead[0], y))
    assert everybody["to_central"] == pytest.approx(
        rates.auroc(lead[1], y) - rates.auroc(lead[0], y)
    )
    assert np.isnan(everybody["gain"])
    for asked, where in ((OWN, place == 1), (OTHERS, place != 1)):
        line = lines.loc[("south", asked, "accuracy")]
        right = (trained.margin[:, :, torch.from_numpy(where)] > 0).double().mean((1, 2))
        assert line["federated"] == pytest.approx(float(right[1]))
        assert line["alone"] == pytest.approx(float(right[3]))
        assert line["gain"] == pytest.approx(float(right[1] - right[3]))
        assert line["gain_low"] <= line["gain"] <= line["gain_high"]


def test_patients_are_counted_but_where_the_count_would_tell_of_the_hospitals_own(planted):
    place, y = answers().place, classes()
    lines = planted[planted["figure"] == "auroc"].set_index(["hospital", "asked"])
    for number, name in enumerate(("north", "south", "west")):
        own = lines.loc[(name, OWN)]
        assert own["patients"] == int((place == number).sum())
        assert own["ill"] == int(((place == number) & (y == 1)).sum())
        assert np.isnan(lines.loc[(name, OTHERS), "patients"])
    assert lines.loc[("", EVERYBODY), "patients"] == len(y)


def test_of_few_patients_nothing_is_estimated():
    found = table(answers(few=2))
    few = found[(found["hospital"] == "west") & (found["asked"] == OWN)]
    assert (few["gain_verdict"] == NOT_ESTIMABLE).all()
    assert few["federated"].isna().all()
    assert few["why"].str.startswith("fewer than 10 patients").all()


def test_a_hospital_without_a_model_of_its_own_says_why():
    trained = answers()
    trained.margin[2] = torch.nan
    own = table(trained)
    own = own[own["hospital"] == "north"]
    assert (own["why"] == "a model would train on one class alone").all()


def test_every_column_is_explained(planted):
    costs = private_table(answers(), classes(), Sampling(100, 0.95, 0))
    for name, found in (("federation_hospitals", planted), ("federation_private", costs)):
        plain = {column.removesuffix("_low").removesuffix("_high") for column in found}
        assert plain == set(COLUMNS[name])


def test_what_privacy_costs_is_told_of_who_is_worth_nothing_and_of_nobody_else(planted):
    trained, y = answers(bad=None), classes()
    found = private_table(trained, y, Sampling(300, 0.95, 0)).set_index(["recipe", "figure"])
    assert set(found.loc["federated_noisy_server", "cost_verdict"]) == {"worse"}
    assert set(found.loc["dp_train", "cost_verdict"]) == {"not told apart"}
    lead = torch.where(y == 1, 1.0, -1.0) * trained.margin
    for recipe, beside, at, plain in (
        ("dp_train", "central", 5, 0),
        ("federated_noisy_server", "federated", 6, 1),
    ):
        line = found.loc[(recipe, "auroc")]
        value, other = (rates.auroc(lead[one].numpy(), y.numpy()) for one in (at, plain))
        assert line["beside"] == beside
        assert line["value"] == pytest.approx(value)
        assert line["cost"] == pytest.approx(value - other)
    assert found["protects"].unique().tolist() == ["one record", "one hospital"]
    assert (found["epsilon_lower_bound"] == 2.8).all()


def test_private_recipes_stand_beside_the_others_at_every_hospital(planted):
    place, trained = answers().place.numpy(), answers(bad=0)
    own = planted[(planted["asked"] == OWN) & (planted["figure"] == "accuracy")]
    for number, line in enumerate(own.itertuples()):
        right = (trained.margin[5][:, torch.from_numpy(place == number)] > 0).double().mean()
        assert line.dp_train == pytest.approx(float(right))
        assert line.dp_train_low <= line.dp_train <= line.dp_train_high
    assert planted["federated_private"].isna().all()
