"""Sums of a cohort, and what of them nobody is told where patients are hidden."""

from dataclasses import replace

import pytest
import torch

from pipeline.report.inputs import inputs_of


@pytest.fixture
def told(cfg, dataset):
    def lines(patients, of=dataset):
        report = cfg.report.model_copy(update={"patients": patients})
        found = inputs_of(of, cfg.model_copy(update={"report": report}))
        return {one["measurement"]: one for one in found}

    return lines


def test_the_sums_are_those_of_the_records(told, dataset):
    for place, line in enumerate(told("shown").values()):
        column = dataset.x[:, place].double()
        known = column[~column.isnan()]
        assert line["known"] == len(known)
        assert line["missing"] == pytest.approx(1 - len(known) / len(column), rel=1e-5)
        if dataset.schema.features[place].kind != "categorical":
            assert line["mean"] == pytest.approx(float(known.mean()), rel=1e-5)
            assert line["sd"] == pytest.approx(float(known.std()), rel=1e-5)


@pytest.mark.parametrize("count", [1, 9, 10])
def test_a_few_missing_values_are_told_to_nobody_where_patients_are_hidden(told, dataset, count):
    x = dataset.x.clone()
    x[:, 0] = 100.0
    x[:count, 0] = torch.nan
    first = next(iter(told("hidden", replace(dataset, x=x)).values()))
    hidden = count < 10
    assert (first["missing"] is None) == (first["known"] is None) == hidden
    assert next(iter(told("shown", replace(dataset, x=x)).values()))["known"] == len(x) - count


def test_two_audits_that_differ_by_one_patient_do_not_tell_its_value(told, dataset):
    """Whatever its value in the range, the rounded sums fit it and its opposite alike."""
    scale = float(dataset.schema.features[0].scale)
    for extreme in (-5.0, 5.0):
        x = dataset.x.nan_to_num(50.0)
        x[0, 0] = x[1:, 0].mean() + extreme * scale
        line = next(iter(told("hidden", replace(dataset, x=x)).values()))
        exact = float(x[:, 0].double().mean())
        assert abs(line["mean"] - exact) <= line["step"] * 0.51
        # by a step the sum moves by more than the whole way from one end to the other
        assert line["step"] * len(x) > 2 * abs(extreme) * scale


def test_the_mean_of_a_few_is_told_to_nobody_where_patients_are_hidden(told, dataset):
    x = dataset.x.clone()
    x[9:, 0] = torch.nan
    assert "mean" not in next(iter(told("hidden", replace(dataset, x=x)).values()))
    assert "mean" in next(iter(told("shown", replace(dataset, x=x)).values()))
