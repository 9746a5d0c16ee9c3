"""What is sealed is opened by an auditor, by nobody else, and only as it was sealed."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from journals import AUDITOR, AUDITORS
from pipeline.files import BadInput
from pipeline.serving.journal.sealing import Auditors, Hashes, digest_of, opened

OTHER = X25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
RECORD = b'{"glucose":148.0}'


def flipped(value, place):
    return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]


def test_each_auditor_opens_a_record():
    both = Auditors((*AUDITORS.publics, OTHER.public_key().public_bytes_raw()))
    block = both.block("2026-03-01")
    sealed = block.seal(RECORD)
    assert RECORD not in sealed
    assert sealed != block.seal(RECORD)
    for key in (AUDITOR, OTHER):
        assert opened(sealed, block.id, block.wrapped, key) == RECORD
    assert block.key not in b"".join(block.wrapped.values())


def test_nobody_else_opens_it():
    block = AUDITORS.block("2026-03-01")
    with pytest.raises(BadInput, match="sealed for others"):
        opened(block.seal(RECORD), block.id, block.wrapped, OTHER)
    (wrapped,) = block.wrapped.values()
    named = {OTHER.public_key().public_bytes_raw().hex()[:16]: wrapped}
    with pytest.raises(BadInput, match="not as it was sealed"):
        opened(block.seal(RECORD), block.id, named, OTHER)


def test_nothing_changed_is_opened():
    block = AUDITORS.block("2026-03-01")
    sealed = block.seal(RECORD)
    ((name, wrapped),) = block.wrapped.items()
    bad = [(flipped(sealed, place), wrapped) for place in range(len(sealed))]
    bad += [(sealed, flipped(wrapped, place)) for place in range(len(wrapped))]
    bad += [(b"", wrapped), (sealed[:-1], wrapped), (sealed, wrapped[:40])]
    for one, other in bad:
        with pytest.raises(BadInput, match="not as it was sealed"):
            opened(one, block.id, {name: other}, AUDITOR)
    with pytest.raises(BadInput, match="not as it was sealed"):
        opened(sealed, "0" * 32, block.wrapped, AUDITOR)


def test_auditors_are_named_by_their_public_keys():
    assert Auditors.of([AUDITORS.publics[0].hex()]) == AUDITORS
    for digits in ([], ["ab"], ["zz" * 32]):
        with pytest.raises(BadInput, match="at least one public key"):
            Auditors.of(digits)
    with pytest.raises(BadInput, match="no public key of a person"):
        Auditors((bytes(32),)).block("2026-03-01")


def test_a_hash_knows_its_record_and_shows_no_two_alike():
    hashes = Hashes(bytes(32))
    one, two = hashes.seal(RECORD), hashes.seal(RECORD)
    assert one != two
    assert hashes.matches(one, RECORD)
    assert hashes.matches(two, RECORD)
    assert not hashes.matches(one, RECORD + b" ")
    assert not Hashes(bytes(31) + b"x").matches(one, RECORD)


def test_the_digest_of_wrapped_keys_tells_whose_they_are():
    wrapped = {"a": b"1", "b": b"2"}
    assert digest_of(wrapped) == digest_of({"b": b"2", "a": b"1"})
    others = [{"a": b"2", "b": b"1"}, {"a": b"1"}, {"a": b"1", "c": b"2"}]
    assert len({digest_of(one) for one in (wrapped, *others)}) == 4
