"""Heads hold for one log and one key; a file of them is whole or says where it is not."""

import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from journals import NOW, SIGNER, TRUSTED
from pipeline.serving.journal.entries import stamp
from pipeline.serving.journal.errors import Damaged, Unavailable
from pipeline.serving.journal.heads import Head, append_heads, read_heads

LOG = b"\x07" * 32
HEADS = [Head(n, 10 * n, bytes([n]) * 32, stamp(NOW)).signed(LOG, SIGNER) for n in range(1, 40)]


def later(*heads):
    return lambda number: [head for head in heads if head.number > number]


def test_a_head_holds_as_it_was_signed():
    head = HEADS[0]
    other = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32).public_key()
    assert head.holds(LOG, TRUSTED)
    assert head.holds(LOG, [other, *TRUSTED])
    assert not head.holds(LOG, [other])
    assert not head.holds(LOG, [])
    assert not head.holds(b"\x08" * 32, TRUSTED)
    changes = {"number": 2, "sequence": 11, "own": b"\x02" * 32, "time": "now", "signature": None}
    for name, value in changes.items():
        assert not replace(head, **{name: value}).holds(LOG, TRUSTED), name


def test_a_file_gets_what_it_lacks_and_nothing_twice(tmp_path):
    path = tmp_path / "heads"
    for upto in (1, 3, 3, 39):
        append_heads(path, later(*HEADS[:upto]))
        assert read_heads(path) == HEADS[:upto]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_line_that_a_dead_writer_left_unfinished_is_written_anew(tmp_path, cut):
    path = tmp_path / "heads"
    append_heads(path, later(*HEADS[:30]))
    os.truncate(path, path.stat().st_size - cut)
    with path.open("a") as file:
        file.write("x" * 1000 * (cut == 200))
    assert read_heads(path) == HEADS[:29]
    append_heads(path, later(*HEADS[:31]))
    assert path.read_text() == "".join(head.line for head in HEADS[:31])


def test_what_is_no_head_is_named(tmp_path):
    path = tmp_path / "heads"
    append_heads(path, later(*HEADS[:2]))
    whole = path.read_text()
    path.write_text(whole + "[1, 2]\n")
    with pytest.raises(Damaged, match="line 3 is no head"):
        read_heads(path)
    with pytest.raises(Damaged, match="the last line is no head"):
        append_heads(path, later(*HEADS))
    assert path.read_text() == whole + "[1, 2]\n"


def test_where_nothing_can_be_read_or_written_it_is_said(tmp_path):
    with pytest.raises(Unavailable, match="heads cannot be read"):
        read_heads(tmp_path / "none")
    with pytest.raises(Unavailable, match="heads cannot be written"):
        append_heads(tmp_path / "no" / "folder", later(*HEADS))
