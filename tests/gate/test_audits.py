"""What is no audit is refused in one line."""

import json

import pytest

from gate.made_up import content, written
from pipeline.files import BadInput
from pipeline.gate.audits import Audit


def test_an_audit_is_read_from_its_folder_or_its_file(tmp_path):
    audit = written(tmp_path)
    assert Audit.read(tmp_path / "audit.json") == audit
    assert audit.tables == ["comparison", "evasion_pairs"]
    assert audit.flags("flagged") == {"degenerate": "seen"}
    assert audit.model_sha256("unmeasured") == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "of format 2, not 1"),
        ({"figures_version": 1}, "figures of version 1"),
        ({"figures": None}, "no audit"),
    ],
)
def test_another_file_is_refused(tmp_path, change, said):
    values = {key: one for key, one in {**content(), **change}.items() if one is not None}
    (tmp_path / "audit.json").write_text(json.dumps(values))
    with pytest.raises(BadInput, match=said):
        Audit.read(tmp_path)


def test_a_missing_or_damaged_file_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="not found"):
        Audit.read(tmp_path / "audit.json")
    (tmp_path / "audit.json").write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        Audit.read(tmp_path)
