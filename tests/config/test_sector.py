"""The words of a sector: all of them or none, and no clinic's among them; the file of a package."""

import pytest
import yaml
from pydantic import ValidationError

import tiny
from pipeline.config import DataConfig
from pipeline.config.sector import MEDICAL, PackagedConfig, WordsConfig


def described(name="credit"):
    return yaml.safe_load((tiny.ROOT / f"conf/data/{name}.yaml").read_text())


def test_a_sector_that_leaves_a_word_out_is_refused():
    words = described()["words"]
    for name in words:
        with pytest.raises(ValidationError, match=f"{name}\n  Field required"):
            WordsConfig(**{key: put for key, put in words.items() if key != name})


def test_a_sector_that_speaks_of_patients_is_refused():
    words = described()["words"]
    for name, put in [("ill", "ill-paying"), ("clinic", "hospital"), ("patients", "Patient files")]:
        with pytest.raises(ValidationError, match="is a clinic's word itself"):
            WordsConfig(**words | {name: put})


def test_what_a_clinic_alone_says_is_in_the_vocabulary():
    assert set(WordsConfig.model_fields) >= MEDICAL


def test_a_clinic_has_no_words_of_its_own():
    assert DataConfig(**described("pima")).spoken == {}
    assert DataConfig(**described()).spoken["missed disease"] == "missed default"


@pytest.mark.parametrize(
    "change", [{"packaged": None}, {"source": "file"}, {"source": "sklearn"}, {"image": {}}]
)
def test_a_package_and_its_file_go_together(change):
    with pytest.raises(ValidationError):
        DataConfig(**described() | change)


@pytest.mark.parametrize("digest", ["", "b21f", "B" * 64, "g" * 64])
def test_a_digest_is_64_small_hexadecimal_digits(digest):
    with pytest.raises(ValidationError, match="sha256"):
        PackagedConfig(**described()["packaged"] | {"sha256": digest})


def test_what_the_data_calls_its_own_keeps_its_name():
    """A column, a level, a class, a unit and a title that hold words of a clinic."""
    told = described()
    told |= {"title": "Loans to patients", "classes": ["healthy loan", "default"]}
    told["outcomes"] = {1: "healthy loan", 2: "default"}
    features = told["features"]
    features["patient"] = features.pop("age") | {"unit": "years ill"}
    told["bands"] = {}
    features["purpose"]["levels"]["A46"] = "ill relative"
    spoken = DataConfig(**told).spoken
    own = {name for name, put in spoken.items() if name == put}
    assert own == {"Loans to patients", "healthy loan", "patient", "years ill", "ill relative"}
    assert spoken["patients"] == "applicants"
    assert {name for name, put in DataConfig(**described()).spoken.items() if name == put} == set()
