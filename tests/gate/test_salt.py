"""A salt is made once, for its owner alone, outside git; one that can be guessed is refused."""

import pytest

from pipeline.files import BadInput
from pipeline.gate.salt import LEAST, PLACE, VARIABLE, salt_of


def test_a_project_has_one_salt_that_git_ignores(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    first = salt_of(tmp_path)
    assert first == salt_of(tmp_path)
    assert len(first) == 2 * LEAST
    assert (tmp_path / PLACE / ".gitignore").read_text() == "*\n"
    assert (tmp_path / PLACE / "salt").stat().st_mode & 0o077 == 0
    (tmp_path / "other").mkdir()
    assert salt_of(tmp_path / "other") != first


def test_the_environment_gives_one_and_none_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "x" * LEAST)
    assert salt_of(tmp_path) == b"x" * LEAST
    assert not (tmp_path / PLACE).exists()
    monkeypatch.setenv(VARIABLE, "x" * (LEAST - 1))
    with pytest.raises(BadInput, match="at least 32"):
        salt_of(tmp_path)
