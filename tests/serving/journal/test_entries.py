"""Bytes that are the same for the same value, and a hash that covers every field."""

import math
import struct
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journals import NOW
from pipeline.files import BadInput
from pipeline.serving.journal.entries import FIELDS, Entry, Kind, Row, canonical, moment, stamp

ROW = Row(
    7, stamp(NOW), "ward", "clinician", "k", "/predict", "answered", "m", "p", '{"a":1}', "{}", "b",
    b"sealed", b"\x01" * 32,
)  # fmt: skip


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_bit_for_bit(value):
    import json

    assert struct.pack("d", json.loads(canonical([value]))[0]) == struct.pack("d", value)


def test_the_order_of_keys_counts_for_nothing():
    assert canonical({"a": 1, "b": {"c": 2, "d": 3}}) == canonical({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, b"bytes", {1, 2}])
def test_what_json_does_not_know_is_refused(value):
    with pytest.raises(BadInput):
        canonical({"value": value})


def test_stamps_sort_as_times_do_and_come_back():
    zone = timezone(timedelta(hours=5))
    steps = (0, 1, 999_999, 1_000_000, 10**9, 10**11)
    times = [NOW + timedelta(microseconds=step) for step in steps]
    assert sorted(map(stamp, times)) == [stamp(time.astimezone(zone)) for time in times]
    assert [moment(stamp(time)) for time in times] == times
    with pytest.raises(BadInput, match="zone"):
        stamp(datetime(2026, 3, 1))


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "own"])
def test_the_hash_covers_every_field(name):
    value = getattr(ROW, name)
    others = [None, 7.0, "7", b"7", value * 2]
    hashes = {replace(ROW, **{name: one}).hashed for one in (value, *others)}
    assert len(hashes) == 1 + len(others)


def test_no_two_rows_run_together():
    assert replace(ROW, client="a", role="bc").hashed != replace(ROW, client="ab", role="c").hashed
    text = replace(ROW, sealed=b"sealed".hex())
    assert text.hashed != ROW.hashed


def test_without_its_answer_an_entry_says_why():
    entry = Entry(Kind.ANSWERED, answer={"diagnosis": 1}, facts={"r": 0.1}, record=b"x")
    left = entry.without_answer("stormy")
    assert (left.kind, left.answer, left.record) == (Kind.REFERRED, None, b"x")
    assert left.facts == {"r": 0.1, "withheld": "stormy"}
