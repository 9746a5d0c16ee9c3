"""What happened is found again, replayed to the last bit, and what is not the same is named."""

import json
from datetime import timedelta

import pytest

from pipeline.files import BadInput
from pipeline.serving import model
from pipeline.serving.guard import Guard
from pipeline.serving.incident import PAGE, ROWS, SUMMARY, investigate
from pipeline.serving.keys import Client, Role
from pipeline.serving.private_keys import make_opening_key
from serving.made_up import HEALTHY, ILL, NEAR, NOW, served_folder

WARD, OTHER = Client("ward", Role.CLINICIAN), Client("other", Role.CLINICIAN)
LATER = NOW + timedelta(hours=1)
pytestmark = pytest.mark.heavy


@pytest.fixture
def asked(tmp_path):
    """A folder in which a ward asked about three records, and another client about one of them."""
    folder = tmp_path / "guard"
    served_folder(folder)
    guard = Guard.open(folder)
    guard.ask([HEALTHY, NEAR, {**ILL, "potassium": None}, {}], WARD, "/x", NOW)
    guard.ask([HEALTHY], OTHER, "/x", LATER)
    guard.close(LATER)
    return folder


def found(folder, out, key="auditor.key", r=None, client="ward"):
    place = folder.parent / key if key else None
    return investigate(folder, NOW, None, client, place, r, out)


def test_the_same_model_says_the_same_to_the_last_bit(asked, tmp_path):
    said, whole = found(asked, tmp_path / "out")
    assert whole
    assert "replayed: 3, 3 the same to the last bit" in said
    assert "other asked about the same records: 1 rows" in said
    assert "the log is intact, up to its last head" in said
    rows = [json.loads(line) for line in (tmp_path / "out" / ROWS).read_text().splitlines()]
    assert [one["kind"] for one in rows] == ["answered", "referred", "answered", "refused"]
    assert rows[2]["record"]["values"][0] is None
    summary = json.loads((tmp_path / "out" / SUMMARY).read_text())
    assert summary["kinds"] == {"answered": 2, "referred": 1, "refused": 1}
    assert "2.0" not in (tmp_path / "out" / PAGE).read_text()


def test_another_radius_is_asked_of_what_was_answered(asked, tmp_path):
    # log-odds -2, and two values that may change; 1, and one: turned at 1 in either case
    for r, many in ((0.4, 0), (0.9, 0), (1.0, 2)):
        said, _ = found(asked, tmp_path / str(r), r=r)
        assert f"r = {r:g} would have referred {many} of 2 answers" in said


def test_an_answer_that_is_not_the_same_again_is_named(asked, tmp_path, monkeypatch):
    whole = model.Asked.said

    def off(self, values):
        return [
            type(one)(**{**vars(one), "log_odds": one.log_odds + 1e-12})
            for one in whole(self, values)
        ]

    monkeypatch.setattr(model.Asked, "said", off)
    said, same = found(asked, tmp_path / "out")
    assert not same
    assert any("not the same: rows" in line for line in said)


def test_without_the_key_nothing_is_replayed_and_with_another_ones_it_is_refused(asked, tmp_path):
    said, whole = found(asked, tmp_path / "out", key=None)
    assert whole
    assert any("not replayed: 3" in line for line in said)
    make_opening_key(tmp_path / "stranger.key")
    with pytest.raises(BadInput, match="row"):
        found(asked, tmp_path / "other", key="stranger.key")
    assert not (tmp_path / "other").exists()


def test_a_bundle_is_never_written_over_and_no_row_is_a_mistake(asked, tmp_path):
    found(asked, tmp_path / "out")
    with pytest.raises(BadInput, match="is there already"):
        found(asked, tmp_path / "out")
    with pytest.raises(BadInput, match="no row"):
        found(asked, tmp_path / "none", client="nobody")
