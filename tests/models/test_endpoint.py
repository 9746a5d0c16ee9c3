"""A real server on loopback: batches, what is remembered, what is refused, and how often."""

import time

import numpy as np
import pytest

import tiny
from brought import plain, served
from pipeline.files import BadInput
from pipeline.models import endpoint
from pipeline.models.endpoint import Endpoint, asked_about
from pipeline.models.questions import framed

FRAME = framed(tiny.records(30, seed=2).x.numpy(), tiny.SCHEMA)
SAID = [float(one) / 1000 for one in np.nan_to_num(FRAME["glucose"].to_numpy())]


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(endpoint, "PAUSE", 0.001)


def test_records_go_as_objects_in_batches_and_gaps_as_null(monkeypatch):
    monkeypatch.setattr(endpoint, "AT_ONCE", 12)
    with served() as (address, sent):
        said = Endpoint(address)(FRAME)
    np.testing.assert_allclose(said, SAID, atol=1e-12)
    assert [len(one) for one in sent] == [12, 12, 6]
    assert list(sent[0][0]) == list(tiny.SCHEMA.names)
    gaps = FRAME.isna().to_numpy()[:12]
    assert [[one is None for one in record.values()] for record in sent[0]] == gaps.tolist()


def test_what_was_asked_is_not_asked_again_also_after_a_stop(monkeypatch):
    monkeypatch.setattr(endpoint, "AT_ONCE", 10)
    with served(status=(200, 200, 400)) as (address, sent):
        one = Endpoint(address, version="1")
        with pytest.raises(BadInput, match="answers 400: no"):
            one(FRAME)
        assert asked_about(one) == 20
    with served() as (other, sent):
        again = Endpoint(other, version="1")
        assert again(FRAME).tolist() == again(FRAME).tolist()
        assert sum(map(len, sent)) == 30
        assert Endpoint(other, version="2")(FRAME[:5]).tolist() == SAID[:5]
        assert sum(map(len, sent)) == 35


def test_no_record_is_kept(tmp_path):
    with served() as (address, _):
        Endpoint(address, version="1")(FRAME)
    (kept,) = (tmp_path / "sweeps" / "answers").glob("*.sqlite")
    stored = kept.read_bytes()
    assert b"glucose" not in stored
    assert not any(str(value).encode() in stored for value in FRAME["bmi"].dropna())


def test_a_server_that_stumbles_is_asked_once_more():
    with served(status=(503, 429, 200)) as (address, sent):
        np.testing.assert_allclose(Endpoint(address)(FRAME), SAID, atol=1e-12)
    assert len(sent) == 3


def test_mlflow_s_servers_are_asked_by_the_name_that_they_want():
    def as_mlflow(body):
        return {"predictions": [[1 - one, one] for one in plain(body["dataframe_records"])]}

    with served(as_mlflow) as (address, _):
        said = Endpoint(address.replace("/predict", "/invocations"))(FRAME)
    np.testing.assert_allclose(said, SAID, atol=1e-12)


@pytest.mark.parametrize("answer", [lambda _: [0.5], lambda _: {"error": "x"}, lambda _: "words"])
def test_an_answer_that_is_none_is_one_line(answer):
    none = pytest.raises(BadInput, match="something else than 30 numbers")
    with served(answer) as (address, _), none as caught:
        Endpoint(address)(FRAME)
    assert "\n" not in str(caught.value)


def test_nobody_there_is_one_line():
    with pytest.raises(BadInput, match=r"http://127\.0\.0\.1:1/x: does not answer"):
        Endpoint("http://127.0.0.1:1/x")(FRAME)


def test_requests_stay_as_far_apart_as_they_must(monkeypatch):
    monkeypatch.setattr(endpoint, "AT_ONCE", 10)
    with served() as (address, sent):
        began = time.monotonic()
        Endpoint(address, rate=20.0)(FRAME)
        took = time.monotonic() - began
    assert len(sent) == 3
    assert took >= 2 / 20 * 0.9
