"""Images from archives, scikit-learn and folders: what is read, kept apart, and refused."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import scans
import tiny
from pipeline.data.images import split_in_words
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import SPLITS, load_dataset, save_dataset
from pipeline.files import BadInput

# of the official test images and their labels, whatever their order (data/README of the archive)
TEST_OF_PNEUMONIA = "ad56f18c4e0d7e655b399a0bfa31ce2a8d1233fe95a6616c519b223657f45354"


def read(folder, **changes):
    return read_raw(scans.described(**changes), folder)


def refused(folder, **changes):
    with pytest.raises(BadInput) as told:
        read(folder, **changes)
    return str(told.value)


# ---- archives ----


def test_an_archive_is_its_grey_levels_and_its_split(tmp_path):
    scans.archive(tmp_path / "scans.npz")
    dataset, report = read(tmp_path)
    assert dataset.x.shape == (84, *scans.SHAPE)
    assert dataset.split.bincount().tolist() == [40, 20, 24]
    x, y = scans.drawn(20, seed=1)
    tune = dataset.split == SPLITS.index("tune")
    np.testing.assert_array_equal(dataset.x[tune][:, 0].numpy(), x)
    np.testing.assert_array_equal(dataset.y[tune].numpy(), y[:, 0])
    assert report["splits"]["train"] == {"images": 40, "ill": 20}
    assert report["across_splits"] == {}


def test_the_disease_is_class_1_whatever_the_file_says(tmp_path):
    """In BreastMNIST 0 is malignant: a loader that does not turn it swaps both error rates."""
    scans.archive(tmp_path / "scans.npz")
    as_is, _ = read(tmp_path)
    turned, _ = read(tmp_path, outcomes={0: "tumour", 1: "normal"})
    assert torch.equal(turned.y, 1 - as_is.y)
    assert scans.configured("breast_ultrasound").outcomes[0] == "malignant"
    assert scans.configured("breast_ultrasound").classes[1] == "malignant"
    assert scans.configured("pneumonia").outcomes[1] == "pneumonia"


def test_what_is_on_two_sides_is_left_to_the_later_one(tmp_path):
    train, labels = scans.drawn(40, seed=0)
    val, of_val = scans.drawn(20, seed=1)
    test, of_test = scans.drawn(24, seed=2)
    val[3], train[7], train[5] = train[2], test[4], train[2]
    scans.archive(
        tmp_path / "scans.npz",
        **{"train_images": train, "val_images": val, "test_images": test},
        **{"train_labels": labels, "val_labels": of_val, "test_labels": of_test},
    )
    dataset, report = read(tmp_path)
    assert report["across_splits"] == {"train and tune": 1, "train and test": 1}
    nowhere = (dataset.split == len(SPLITS)).nonzero()[:, 0]
    assert nowhere.tolist() == [2, 5, 7]
    plan = Plan.official(dataset.split, seeds=2, seed=0)
    for one in range(2):
        held = {bytes(row) for row in dataset.x[plan.held_out[one]].numpy().astype(np.uint8)}
        learned = dataset.x[plan.train[one] | plan.tune[one]].numpy().astype(np.uint8)
        assert not held & {bytes(row) for row in learned}
    assert "train and tune 1, train and test 1" in split_in_words(report)[1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"val_labels": None}, "holds no array val_labels; the layout of MedMNIST has"),
        ({"test_images": np.zeros((24, 8, 9), np.uint8)}, "test_images: are 8 x 9; data.image"),
        ({"train_images": np.zeros((40, 8, 8))}, "train_images: is float64; grey levels are uint8"),
        ({"val_labels": np.zeros((3, 1))}, "val_labels: 3 labels of 20 images; one label an image"),
        ({"train_labels": np.full((40, 1), 7)}, "label 7: data.outcomes says of 0, 1 which class"),
    ],
    ids=["array", "shape", "levels", "labels", "label"],
)
def test_a_fault_of_an_archive_is_one_line(tmp_path, changes, why):
    scans.archive(tmp_path / "scans.npz", **changes)
    (line,) = refused(tmp_path).splitlines()
    assert line.startswith("scans.npz: ")
    assert why in line


def test_all_faults_of_an_archive_are_told_at_once(tmp_path):
    scans.archive(
        tmp_path / "scans.npz",
        **{"train_images": np.zeros((40, 8, 8)), "val_labels": np.zeros((3, 1))},
    )
    assert len(refused(tmp_path).splitlines()) == 2


def test_no_archive_and_a_damaged_one(tmp_path):
    assert "scans.npz: not found; MedMNIST+ offers it" in refused(tmp_path)
    (tmp_path / "scans.npz").write_bytes(b"PK\3\4 and no more")
    assert "scans.npz: " in refused(tmp_path)
    np.save(tmp_path / "one.npy", np.array([object()], dtype=object), allow_pickle=True)
    (tmp_path / "one.npy").rename(tmp_path / "scans.npz")  # a pickle is never loaded
    assert "scans.npz: " in refused(tmp_path)


def test_grey_levels_outside_the_schema_are_refused(tmp_path):
    scans.archive(tmp_path / "scans.npz")
    dark = {**scans.PIXEL, "upper": 128.0}
    line = refused(tmp_path, features={"pixel": dark})
    assert "outside 0 to 128" in line
    assert "data.features.pixel.lower and upper" in line


def test_images_survive_being_written(tmp_path):
    scans.archive(tmp_path / "scans.npz")
    dataset, _ = read(tmp_path)
    (tmp_path / "out").mkdir()
    save_dataset(dataset, tmp_path / "out")
    again = load_dataset(tmp_path / "out")
    assert again.digest == dataset.digest
    assert torch.equal(again.split, dataset.split)
    assert again.schema == dataset.schema
    written = (tmp_path / "out" / "images.safetensors").stat().st_size
    assert written < dataset.x.numel() + 84 * 8 + 500  # a byte a pixel


# ---- the official split as a plan ----


def test_an_official_plan_differs_by_seed_alone():
    dataset = scans.dataset(40, seed=0, split=True)
    plan = Plan.official(dataset.split, seeds=3, seed=5)
    assert plan.labels == ("seed0", "seed1", "seed2")
    assert plan.repetition.tolist() == [0, 1, 2]
    for table, place in ((plan.train, 0), (plan.tune, 1), (plan.held_out, 2)):
        assert torch.equal(table, (dataset.split == place).expand(3, -1))
    assert len(plan.seeds.unique()) == 3
    assert not torch.equal(plan.seeds, Plan.official(dataset.split, seeds=3, seed=6).seeds)


def test_a_split_without_tests_is_refused():
    with pytest.raises(BadInput, match="no records of test"):
        Plan.official(torch.tensor([0, 0, 1]), seeds=1, seed=0)


def test_a_split_without_tuning_sets_nobody_aside():
    assert Plan.official(torch.tensor([0, 2, 2]), seeds=1, seed=0).tune is None


# ---- scikit-learn's digits ----


def test_digits_are_those_of_scikit_learn():
    dataset, report = read_raw(scans.configured("digits"), tiny.ROOT)
    bundle = load_digits()
    np.testing.assert_array_equal(dataset.x[:, 0].numpy(), bundle.images)
    np.testing.assert_array_equal(dataset.y.numpy() == 1, bundle.target == 8)
    assert dataset.split is None
    assert split_in_words(report) == []


def test_another_name_of_scikit_learn_has_no_images(tmp_path):
    assert "has no images 'iris'; known: digits" in refused(tmp_path, source="sklearn", name="iris")


# ---- folders ----

LINES = ["file,ill,who,part"]


@pytest.fixture
def folder(tmp_path):
    x, y = scans.drawn(6, seed=3)
    lines = [*LINES]
    for place, (image, label) in enumerate(zip(x, y, strict=True)):
        Image.fromarray(image).save(tmp_path / f"{place}.png")
        part = ("train", "validation", "test")[place // 2]
        lines.append(f"{place}.png,{'yes' if label else 'no'},p{place // 2},{part}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


FOLDER = {
    **{"source": "folder", "file": "labels.csv", "group": "who"},
    **{"image": {"shape": [*scans.SHAPE], "column": "file", "split": "part"}},
    "outcomes": {"no": "normal", "yes": "tumour"},
}


def test_a_folder_is_its_pictures_labels_patients_and_split(folder):
    dataset, report = read(folder, **FOLDER)
    x, y = scans.drawn(6, seed=3)
    np.testing.assert_array_equal(dataset.x[:, 0].numpy(), x)
    np.testing.assert_array_equal(dataset.y.numpy(), y[:, 0])
    assert dataset.patient.tolist() == [0, 0, 1, 1, 2, 2]
    assert dataset.split.tolist() == [0, 0, 1, 1, 2, 2]
    assert report["patients"] == 3


def test_faults_of_a_folder_are_told_by_line(folder):
    text = (folder / "labels.csv").read_text().replace("3.png,yes", "gone.png,perhaps")
    (folder / "labels.csv").write_text(text.replace("p2,test", "p2,exam"))
    lines = refused(folder, **FOLDER).splitlines()
    assert any("line 5, column 'ill'" in line and "'perhaps'" in line for line in lines)
    assert any("line 5, column 'file': no such file" in line for line in lines)
    assert any("line 6, 7, column 'part': 'exam' is no part" in line for line in lines)
    assert not any("gone.png" in line for line in lines)


def test_a_column_that_nobody_named_is_told(folder):
    told = refused(folder, **{**FOLDER, "group": None})
    assert "column 'who' is not in the schema" in told


# ---- the configuration ----


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": None}, "source npz holds images: give image.shape"),
        ({"source": "file"}, "images come from an npz, a folder, or sklearn"),
        ({"features": {"pixel": scans.PIXEL, "more": scans.PIXEL}}, "an image has one"),
        ({"features": {"pixel": {**scans.PIXEL, "upper": 300.0}}}, "integers of step 1 between"),
        ({"features": {"pixel": {**scans.PIXEL, "step": 0.5}}}, "integers of step 1 between"),
        ({"bands": {"pixel": [3.0]}}, "images have no relations, derived values, bands"),
    ],
    ids=["shape", "source", "features", "range", "step", "bands"],
)
def test_a_configuration_that_fits_no_image_is_refused(tmp_path, changes, why):
    assert why in refused(tmp_path, **changes)


# ---- the published archives, where they are ----


def test_pneumonia_is_the_published_one():
    cfg = scans.configured("pneumonia")
    if not (tiny.ROOT / cfg.file).exists():
        pytest.skip(f"{cfg.file} is not here")
    dataset, report = read_raw(cfg, tiny.ROOT)
    assert {name: tuple(one.values()) for name, one in report["splits"].items()} == {
        **{"train": (4708, 3494), "tune": (524, 389), "test": (624, 390)}
    }
    assert report["across_splits"] == {"train and tune": 8}
    test = dataset.split == SPLITS.index("test")
    each = sorted(
        hashlib.sha256(one.numpy().astype(np.uint8).tobytes() + bytes([int(y)])).hexdigest()
        for one, y in zip(dataset.x[test], dataset.y[test], strict=True)
    )
    assert hashlib.sha256("".join(each).encode()).hexdigest() == TEST_OF_PNEUMONIA
