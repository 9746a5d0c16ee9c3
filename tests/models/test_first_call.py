"""Whatever answers as no model does is one line, before any patient is asked about."""

import numpy as np
import pytest

import tiny
from brought import Wrong, chance
from pipeline.files import BadInput
from pipeline.models.first_call import (
    PROBES,
    SLOW,
    acquainted,
    digest_of,
    frame_of_nobody,
    probes,
    version_of_answers,
)

DATA = tiny.records(40, seed=1)


def lacks(*places):
    dataset = tiny.records(40, seed=2, missing=0.0)
    dataset.x[3, list(places)] = np.nan
    return dataset


def test_a_model_that_takes_no_gap_is_told_of_the_code():
    def strict(frame):
        if frame.isna().to_numpy().any():
            raise ValueError("Input X contains NaN.")
        return chance(frame)

    with pytest.raises(BadInput, match=r"contains NaN.; model.gaps=code tells missing values"):
        acquainted(strict, DATA, "m")


FAULTS = {
    "shape": "answers 8 records with 8 x 3; expected one probability of disease a record",
    "shorter": "answers 8 records with 7; expected one probability",
    "nan": "records with NaN",
    "outside": "expected probabilities, 0 to 1",
    "labels": "answers with labels, 0 or 1; expected probabilities",
    "words": "expected probabilities of disease",
    "twice": "answers the same records differently on two calls, by up to 0.01",
    "sorted": "answers in another order than it is asked in",
    "by index": "answers in another order than it is asked in",
    "together": "or by what else is asked",
    "column": "KeyError: 'haemoglobin'; it is given the columns glucose, bmi,",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_answers_as_no_model_does_is_one_line_at_the_first_call(fault):
    with pytest.raises(BadInput) as caught:
        acquainted(Wrong(fault), DATA, "ward.model")
    line = str(caught.value)
    assert line.startswith("ward.model: ")
    assert FAULTS[fault] in line
    assert "\n" not in line


def test_a_slow_model_is_told_of_before_hours_are_spent(monkeypatch):
    monkeypatch.setattr("pipeline.models.first_call.PROBES", 4)
    with pytest.raises(BadInput, match=f"expected at most {SLOW:g} s: take many records"):
        acquainted(Wrong("slow"), DATA, "ward.model")


def test_who_takes_minutes_is_told_so_after_few_records_and_who_only_opens_slowly_is_not(
    monkeypatch,
):
    """8 records take as long as 256 may."""
    now, asked = [0.0], []
    monkeypatch.setattr("pipeline.models.first_call.time.monotonic", lambda: now[0])

    def takes(seconds):
        def ask(frame):
            asked.append(len(frame))
            now[0] += seconds(len(frame))
            return chance(frame)

        return ask

    with pytest.raises(BadInput, match="takes 2 s a record"):
        acquainted(takes(lambda records: 2 * records), lacks(), "ward.model")
    assert asked == [8, 8]
    asked.clear()
    acquainted(takes(lambda _: 60 * (len(asked) == 1)), lacks(), "ward.model")
    assert asked == [8, 8, 256, 256]


def test_the_digest_is_of_what_it_says():
    def digest(ask):
        return digest_of(acquainted(ask, DATA, "m"))

    assert digest(chance) == digest(lambda frame: chance(frame))
    assert digest(chance) != digest(lambda frame: 0.999 * chance(frame))


def test_it_is_the_same_model_whatever_its_patients_lack():
    """Whoever audits new patients is not told that another model was deployed."""
    said = [acquainted(chance, lacks(*of), "m") for of in ((), (2,), (0, 2, 4))]
    assert [len(one) - PROBES for one in said] == [0, 1, 3]
    assert len({digest_of(one) for one in said}) == 1


def test_what_it_makes_of_gaps_is_another_version_of_its_answers():
    other = [acquainted(lambda x, by=by: chance(x.fillna(by)), lacks(0), "m") for by in (90, 180)]
    assert digest_of(other[0]) == digest_of(other[1])
    assert version_of_answers(other[0]) != version_of_answers(other[1])


def test_records_of_nobody_lie_on_the_grid_and_in_range_and_lack_what_patients_lack():
    x = probes(tiny.SCHEMA, [1, 4])
    for place, one in enumerate(tiny.SCHEMA.features):
        known = x[~np.isnan(x[:, place]), place].astype(np.float64)
        assert ((known >= one.lower - 1e-6) & (known <= one.upper + 1e-6)).all()
        if one.step:
            ticks = known / one.step
            assert np.abs(ticks - np.round(ticks)).max() < 1e-3
    assert not np.isnan(x[:PROBES]).any()
    assert np.isnan(x[PROBES:]).tolist() == [[i == place for i in range(5)] for place in (1, 4)]


def test_what_some_patient_lacks_is_lacking_once_there_too():
    dataset = tiny.records(40, seed=1, missing=0.0)
    assert not frame_of_nobody(dataset).isna().to_numpy().any()
    dataset.x[3, 2] = np.nan
    lacking = frame_of_nobody(dataset).isna().sum()
    assert lacking.to_dict() == {name: int(name == "ratio") for name in tiny.SCHEMA.names}
