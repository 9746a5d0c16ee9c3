"""Files of private keys: made once, readable by their owner, refused otherwise."""

import pytest

from pipeline.files import BadInput
from pipeline.serving import private_keys

PAIRS = [
    (private_keys.make_signing_key, private_keys.signing_key),
    (private_keys.make_opening_key, private_keys.opening_key),
]


@pytest.mark.parametrize(("make", "read"), PAIRS)
def test_a_key_is_made_once_and_read_again(tmp_path, make, read):
    made = make(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert read(tmp_path / "key").private_bytes_raw() == made.private_bytes_raw()
    with pytest.raises(BadInput, match="key: cannot be read or written"):
        make(tmp_path / "key")
    assert read(tmp_path / "key").private_bytes_raw() == made.private_bytes_raw()


def test_a_key_of_the_other_kind_is_refused(tmp_path):
    private_keys.make_signing_key(tmp_path / "signing")
    private_keys.make_opening_key(tmp_path / "opening")
    with pytest.raises(BadInput, match="no X25519 key"):
        private_keys.opening_key(tmp_path / "signing")
    with pytest.raises(BadInput, match="no Ed25519 key"):
        private_keys.signing_key(tmp_path / "opening")


def test_a_secret_is_made_and_read(tmp_path):
    secret = private_keys.shared_secret(tmp_path / "secret", make=True)
    assert len(secret) == 32
    assert private_keys.shared_secret(tmp_path / "secret") == secret
    with pytest.raises(BadInput):
        private_keys.shared_secret(tmp_path / "secret", make=True)
    (tmp_path / "secret").write_text("ab")
    with pytest.raises(BadInput, match="holds no secret of 64 hexadecimal digits"):
        private_keys.shared_secret(tmp_path / "secret")


@pytest.mark.parametrize(
    "read", [private_keys.signing_key, private_keys.opening_key, private_keys.shared_secret]
)
def test_what_others_may_read_or_nobody_can_is_refused(tmp_path, read):
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "none")
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o640)
    with pytest.raises(BadInput, match="chmod 600"):
        read(tmp_path / "open")
