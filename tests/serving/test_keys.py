"""API keys: who is recognised, when, and what of a token is stored."""

import hashlib
from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from journals import NOW, after
from pipeline.files import BadInput
from pipeline.serving import keys
from pipeline.serving.bodies import NewKey
from pipeline.serving.keys import Client, Role, Why, issue, recognised, revoke, rotate

YEAR = after(days=365)


def issued(client="ward", role=Role.CLINICIAN, now=NOW, expires=YEAR):
    return issue(client, role, now=now, expires=expires)


def who(token, *stored, now=NOW):
    return recognised(token, {key.id: key for key in stored}.get, now)


def test_a_token_is_recognised_and_only_its_digest_is_stored():
    key, token = issued()
    assert who(token, key) == Client("ward", Role.CLINICIAN, key.id)
    secret = token.split("_")[2]
    assert len(bytes.fromhex(secret)) == 32
    assert key.digest == hashlib.sha256(bytes.fromhex(secret)).digest()
    assert secret not in repr(key)


def test_no_two_tokens_are_alike():
    made = [issued() for _ in range(200)]
    assert len({key.id for key, _ in made}) == len({token for _, token in made}) == 200


@pytest.mark.parametrize("digit", range(64))
def test_every_digit_of_the_secret_counts(digit):
    key, token = issued()
    place = len(token) - 64 + digit
    other = "0" if token[place] != "0" else "1"
    assert who(token[:place] + other + token[place + 1 :], key) is Why.WRONG


def test_the_secret_of_another_key_does_not_open_this_one():
    (one, first), (two, second) = issued(), issued("lab", Role.RESEARCHER)
    mixed = "_".join([*first.split("_")[:2], second.split("_")[2]])
    assert who(mixed, one, two) is Why.WRONG
    assert who(first, two) is Why.UNKNOWN


@pytest.mark.parametrize("change", ["", "x", "{} ", " {}", "{}\n", "{}0", "MSK{}", "{}é"])
def test_what_is_no_token_is_nobody(change):
    key, token = issued()
    assert who(change.format(token), key) is Why.MALFORMED


def test_a_key_is_valid_until_it_expires_or_is_revoked():
    key, token = issued(expires=after(days=2))
    assert isinstance(who(token, key, now=after(days=2) - timedelta.resolution), Client)
    assert who(token, key, now=after(days=2)) is Why.EXPIRED
    gone = revoke(key, now=after(days=1))
    assert isinstance(who(token, gone, now=after(days=1) - timedelta.resolution), Client)
    assert who(token, gone, now=after(days=1)) is Why.REVOKED
    assert revoke(gone, now=after(days=3)) == gone


def test_who_does_not_know_the_secret_is_not_told_that_a_key_has_lapsed():
    key, token = issued(expires=after(days=2))
    wrong = token[:-64] + "0" * 64
    assert who(wrong, revoke(key, now=NOW), now=after(days=9)) is Why.WRONG


def test_old_and_new_are_valid_until_the_overlap_ends():
    old, first = issued(expires=after(days=30))
    kept, new, second = rotate(old, now=after(days=1), expires=YEAR, overlap=after(days=8))
    within, later = after(days=8) - timedelta.resolution, after(days=8)
    assert who(first, kept, new, now=within).name == who(second, kept, new, now=within).name
    assert who(first, kept, new, now=later) is Why.EXPIRED
    assert who(second, kept, new, now=later) == Client("ward", Role.CLINICIAN, new.id)


def test_rotating_lengthens_no_life_and_wakes_no_dead_key():
    old, _ = issued(expires=after(days=3))
    kept, _, _ = rotate(old, now=NOW, expires=YEAR, overlap=after(days=8))
    assert kept.expires == after(days=3)
    for dead in (revoke(old, now=NOW), issued(expires=after(days=1))[0]):
        with pytest.raises(BadInput, match="is not valid any more"):
            rotate(dead, now=after(days=1), expires=YEAR, overlap=after(days=8))


def test_a_comparison_is_made_whether_or_not_the_key_is_known(monkeypatch):
    compared = []

    def counting(one, other):
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(keys.hmac, "compare_digest", counting)
    key, token = issued()
    for text in (token, token[:-64] + "0" * 64, "nonsense"):
        for stored in ([key], []):
            who(text, *stored)
    assert compared == [(32, 32)] * 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"client": ""},
        {"client": "a\nb"},
        {"client": " a"},
        {"client": "a" * 65},
        {"client": "a; b"},
        {"client": "a\n"},
        {"client": "guard"},
        {"role": Role.GUARD},
        {"expires": NOW},
        {"now": datetime(2026, 3, 1)},
    ],
)
def test_what_cannot_be_a_key_is_refused(wrong):
    with pytest.raises(BadInput):
        issued(**wrong)


@pytest.mark.parametrize(
    "name", ["a", "ward 3", "Ünal-9@ward.org", "a" * 64, "a ", "a\n", "a/b", ""]
)
def test_one_rule_of_names_here_and_over_http(name):
    body = {"client": name, "role": "clinician", "days": 1}
    try:
        issued(name)
    except BadInput:
        with pytest.raises(ValidationError):
            NewKey(**body)
    else:
        assert NewKey(**body).client == name
