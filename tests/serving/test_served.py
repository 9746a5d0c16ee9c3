"""Only the audited model is served; the serving process loads no attack."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

import tiny
from pipeline.files import BadInput, read_json
from pipeline.serving.served import FILE, RELEASE, Served, digest_of, opened
from serving.made_up import network, served_folder

pytestmark = pytest.mark.heavy


@pytest.fixture
def folder(tmp_path):
    served_folder(tmp_path / "guard")
    return tmp_path / "guard"


def test_what_is_saved_is_what_is_opened(folder):
    served, population, schema, threat = opened(folder)
    assert served == Served.load(folder)
    assert served.release_sha256 == population.digest
    assert schema.names == ("potassium", "pulse", "age")
    assert threat.mutable.tolist() == [True, True, False]


def test_another_model_in_its_place_is_not_served(folder):
    network(weight=2.0).save(folder / RELEASE)
    with pytest.raises(BadInput, match="is not the audited model"):
        opened(folder)


def test_a_folder_that_holds_nothing_or_something_else_is_one_line(folder, tmp_path):
    with pytest.raises(BadInput, match="not found"):
        Served.load(tmp_path)
    said = json.loads((folder / FILE).read_text())
    for key in ("policy", "threat", "format", "cohort"):
        (folder / FILE).write_text(json.dumps({k: v for k, v in said.items() if k != key}))
        with pytest.raises(BadInput) as error:
            Served.load(folder)
        assert len(str(error.value).splitlines()) == 1
    said["policy"]["r"] = -1
    (folder / FILE).write_text(json.dumps(said))
    with pytest.raises(BadInput, match=r"policy\.r"):
        Served.load(folder)


def test_its_digest_is_of_the_policy_too(folder):
    before = digest_of(folder)
    said = json.loads((folder / FILE).read_text())
    said["policy"]["r"] = 0.2
    (folder / FILE).write_text(json.dumps(said))
    assert digest_of(folder) != before


@pytest.mark.slow
def test_the_serving_process_loads_no_attack_no_training_and_no_pickle_reader(folder):
    program = """
import sys
from pathlib import Path
from pipeline.serving.app import application
from pipeline.serving.guard import Guard
application(Guard.open(Path(sys.argv[1])))
print(*sorted(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=tiny.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = done.stdout.split()
    for room in ("attacks", "defenses", "risks", "stages", "tracking", "report"):
        assert not [one for one in loaded if one.startswith(f"pipeline.{room}")], room
    for library in ("mlflow", "opacus", "joblib", "dvc", "hydra", "matplotlib"):
        assert library not in loaded, library


def test_the_words_of_a_sector_are_kept_and_of_a_clinic_nothing_is_written(tmp_path):
    served_folder(tmp_path / "clinic")
    assert "words" not in read_json(tmp_path / "clinic" / FILE)
    told = replace(Served.load(tmp_path / "clinic"), words={"patients": "lots"})
    told.save(tmp_path / "clinic")
    assert Served.load(tmp_path / "clinic") == told
