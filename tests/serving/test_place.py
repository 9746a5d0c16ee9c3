"""The folder of a guard: for its owner alone, made once, and nothing of it in git."""

import stat

import pytest

from pipeline.files import BadInput
from pipeline.serving.journal import Auditors, Hashes
from pipeline.serving.place import (
    AUDITORS,
    LOG,
    SIGNER,
    auditors,
    founded,
    journal_of,
    name_auditors,
    note_served,
    sealing,
)
from serving.made_up import NOW, policy

KEY = "ab" * 32


def test_it_is_made_once_and_for_its_owner_alone(tmp_path):
    folder = tmp_path / "guard"
    assert len(founded(folder, NOW)) == 1
    assert founded(folder, NOW) == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / SIGNER).stat().st_mode) == 0o600
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_log_that_was_taken_away_is_not_made_anew(tmp_path):
    founded(tmp_path, NOW)
    (tmp_path / LOG).unlink()
    with pytest.raises(BadInput, match="taken away"):
        founded(tmp_path, NOW)
    with pytest.raises(BadInput, match="not found"):
        journal_of(tmp_path)


def test_records_are_sealed_for_somebody_or_hashed(tmp_path):
    founded(tmp_path, NOW)
    with pytest.raises(BadInput, match="names nobody who may open records"):
        sealing(tmp_path, policy())
    name_auditors(tmp_path, [KEY])
    name_auditors(tmp_path, [KEY])
    assert auditors(tmp_path) == [KEY]
    assert isinstance(sealing(tmp_path, policy()), Auditors)
    hashes = policy(journal={"records": "hashes", "retention_days": 1, "head_every": 10})
    first = sealing(tmp_path, hashes)
    assert isinstance(first, Hashes)
    assert sealing(tmp_path, hashes) == first


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '"x"'])
def test_a_list_of_auditors_that_is_none_is_one_line(tmp_path, text):
    (tmp_path / AUDITORS).write_text(text)
    with pytest.raises(BadInput, match=AUDITORS):
        auditors(tmp_path)


def test_what_is_served_from_now_on_has_its_row(tmp_path):
    from pipeline.serving.journal import facts_of
    from pipeline.serving.served import Served
    from serving.made_up import served_folder

    served_folder(tmp_path / "guard")
    served = Served.load(tmp_path / "guard")
    note_served(tmp_path / "guard", served, "d" * 64, NOW)
    with journal_of(tmp_path / "guard") as journal:
        row = list(journal.rows())[-1]
    assert (row.kind, row.model, row.policy) == ("note", served.release_sha256, "d" * 64)
    assert facts_of(row)["audit_sha256"] == served.audit_sha256
