"""Two folders of results are told apart: which file differs, where, and by how much."""

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from benchmarks import same
from benchmarks.same import compare, difference

SCORES = {"defense": ["baseline", "distill"], "accuracy": [0.75, 0.5], "flag": ["", "masked"]}
TENSORS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(2, np.float32)}
METRICS = {"baseline": {"accuracy": 0.75, "curve": [1.0, 0.5]}, "note": "made up"}


def write(folder, *, scores=SCORES, margins=SCORES, tensors=TENSORS, metrics=METRICS):
    """A file of each kind that holds figures, and a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
    pd.DataFrame(margins).to_parquet(folder / "margins.parquet")
    save_file(tensors, folder / "population.safetensors")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "curve.png").write_bytes(b"a picture")
    (folder / "page.html").write_text("<style>a {}</style><p>three <b>words</b> here</p>")


@pytest.fixture
def places(tmp_path):
    """The results of two versions, the same file for file."""
    old, new = tmp_path / "old", tmp_path / "new"
    for place in (old, new):
        write(place / "evaluate")
    return old, new


def only(places):
    """The one line that is said."""
    (line,) = compare(*places)
    return line


def ended(monkeypatch, places, *arguments):
    """The exit status, without running anything."""
    monkeypatch.setattr(sys, "argv", ["same", *arguments])
    monkeypatch.setattr(same, "_git", lambda *_: "0" * 40)
    monkeypatch.setattr(same, "run_commit", lambda *_: places[0])
    monkeypatch.setattr(same, "run_tree", lambda *_: places[1])
    with pytest.raises(SystemExit) as end:
        same.main()
    return end.value.code


def changed(values, **changes):
    return {**values, **changes}


def test_nothing_is_said_of_identical_trees(places):
    assert list(compare(*places)) == []


def test_a_folder_without_results_does_not_pass_for_the_same(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    assert list(compare(tmp_path / "old", tmp_path / "new")) == [
        f"{tmp_path / 'old'}: holds no result"
    ]


HALVED = {"accuracy": [0.75, 0.25]}
PLANTED = {
    "scores.csv": {"scores": changed(SCORES, **HALVED)},
    "margins.parquet": {"margins": changed(SCORES, **HALVED)},
    "population.safetensors": {"tensors": changed(TENSORS, bias=np.array([1, 0.5], np.float32))},
    "metrics.json": {
        "metrics": {"baseline": {"accuracy": 0.75, "curve": [1.0, 0.25]}, "note": "made up"}
    },
}
NAMED = {
    "scores.csv": "1 of 3 parts; most in accuracy, by 0.5",
    "margins.parquet": "1 of 3 parts; most in accuracy, by 0.5",
    "population.safetensors": "1 of 2 parts; most in bias, by 0.5",
    "metrics.json": "1 of 4 parts; most in .baseline.curve.1, by 0.5",
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_changed_figure_is_found_named_and_measured(places, name):
    """By half, relative to the larger of the two figures."""
    write(places[1] / "evaluate", **PLANTED[name])
    assert list(compare(*places)) == [f"differs  evaluate/{name}: {NAMED[name]}"]


@pytest.mark.parametrize("wrong", ["other", 1.5, None], ids=str)
def test_text_in_place_of_a_figure_differs_without_measure(places, wrong):
    metrics = changed(METRICS, note=wrong)
    write(places[1] / "evaluate", metrics=metrics)
    found = list(compare(*places))
    assert found == ["differs  evaluate/metrics.json: 1 of 4 parts; most in .note, by inf"]


def test_a_figure_that_becomes_nan_or_changes_its_sign_is_no_small_difference(places):
    write(places[1] / "evaluate", tensors=changed(TENSORS, bias=np.array([1, np.nan], np.float32)))
    assert only(places).endswith("1 of 2 parts; most in bias, by inf")
    write(places[1] / "evaluate", tensors=changed(TENSORS, bias=-TENSORS["bias"]))
    assert only(places).endswith("1 of 2 parts; most in bias, by 2")


def test_fewer_rows_are_a_difference(places):
    shorter = {name: values[:1] for name, values in SCORES.items()}
    write(places[1] / "evaluate", scores=shorter)
    assert only(places).endswith("3 of 3 parts; most in defense, by inf")


def test_equal_figures_in_other_bytes_are_told_from_new_figures(places):
    old, new = (place / "evaluate" for place in places)
    (new / "scores.csv").write_text((old / "scores.csv").read_text().replace("0.75", "0.750"))
    (new / "metrics.json").write_text(json.dumps(METRICS, indent=2))
    pd.DataFrame(SCORES).to_parquet(new / "margins.parquet", compression="gzip")
    save_file(TENSORS, new / "population.safetensors", {"made": "elsewhere"})
    page = (old / "page.html").read_text()
    (new / "page.html").write_text(page.replace("a {}", "b {}").replace("<b>", "<i>"))
    assert list(compare(*places)) == [
        f"differs  evaluate/{name}: equal figures, other bytes"
        for name in (
            "margins.parquet",
            "metrics.json",
            "page.html",
            "population.safetensors",
            "scores.csv",
        )
    ]


def test_missing_values_that_stay_missing_are_equal(places):
    gap = changed(SCORES, accuracy=[0.75, np.nan])
    for place in places:
        write(place / "evaluate", scores=gap)
    path = places[1] / "evaluate" / "scores.csv"
    path.write_text(path.read_text().replace("0.75", "0.750"))
    assert list(compare(*places)) == ["differs  evaluate/scores.csv: equal figures, other bytes"]


def test_another_order_of_columns_is_said(places):
    write(places[1] / "evaluate", scores=dict(reversed(SCORES.items())))
    said = "equal figures, other bytes (another order)"
    assert list(compare(*places)) == [f"differs  evaluate/scores.csv: {said}"]


def test_an_added_and_a_lost_column_are_named(places):
    old, new = places
    write(new / "evaluate", scores=changed(SCORES, rank=[1, 2]))
    assert list(compare(old, new)) == ["differs  evaluate/scores.csv: now also rank"]
    assert list(compare(new, old)) == ["differs  evaluate/scores.csv: no more rank"]


def test_a_picture_and_a_page_differ_by_their_bytes_and_words(places):
    new = places[1] / "evaluate"
    (new / "curve.png").write_bytes(b"another")
    (new / "page.html").write_text("<p>three other words here</p>")
    assert list(compare(*places)) == [
        "differs  evaluate/curve.png: bytes",
        "differs  evaluate/page.html: 1 of 1 parts; most in words, by inf",
    ]


def test_a_file_that_lies_elsewhere_is_moved_not_lost(places):
    old, new = places
    (new / "report").mkdir()
    shutil.move(new / "evaluate" / "curve.png", new / "report" / "robustness.png")
    assert list(compare(old, new)) == ["moved    evaluate/curve.png -> report/robustness.png"]


def test_a_file_that_is_moved_and_changed_is_gone_and_new(places):
    old, new = places
    (new / "evaluate" / "curve.png").rename(new / "evaluate" / "robustness.png")
    (new / "evaluate" / "robustness.png").write_bytes(b"another")
    assert list(compare(old, new)) == [
        "gone     evaluate/curve.png",
        "new      evaluate/robustness.png",
    ]


def test_of_two_equal_files_one_cannot_stand_for_both(places):
    """Both copies are gone, one such file is there: one was moved, the other is missing."""
    old, new = places
    shutil.copy(old / "evaluate" / "curve.png", old / "evaluate" / "again.png")
    (new / "evaluate" / "curve.png").rename(new / "evaluate" / "robustness.png")
    assert list(compare(old, new)) == [
        "moved    evaluate/again.png -> evaluate/robustness.png",
        "gone     evaluate/curve.png",
    ]


def test_a_missing_and_an_added_file_are_named(places):
    old, new = places
    (new / "evaluate" / "metrics.json").unlink()
    assert list(compare(old, new)) == ["gone     evaluate/metrics.json"]
    assert list(compare(new, old)) == ["new      evaluate/metrics.json"]


def test_a_file_of_no_known_kind_says_bytes_alone(tmp_path):
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_text("1")
    other.write_text("2")
    assert difference(one, other) == (float("inf"), "bytes")


@pytest.mark.parametrize(
    ("done", "status"), [("nothing", 0), ("move", 0), ("new digits", 1), ("lose", 1)]
)
def test_the_exit_status_is_0_only_where_every_file_is_the_same_bytes(
    places, monkeypatch, capsys, done, status
):
    old, new = (place / same.RESULTS for place in places)
    for place in (old, new):
        write(place)
    match done:
        case "move":
            (new / "curve.png").rename(new / "robustness.png")
        case "new digits":
            (new / "metrics.json").write_text(json.dumps(METRICS, indent=2))
        case "lose":
            (new / "curve.png").unlink()
    assert ended(monkeypatch, places, "a commit") == status
    assert ("the same: every file" in capsys.readouterr().out) == (done == "nothing")


def test_a_base_that_is_no_commit_is_one_clear_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["same", "no-such-commit"])
    with pytest.raises(SystemExit) as end:
        same.main()
    assert end.value.code == 2
    assert capsys.readouterr().out == (
        "error: BASE: 'no-such-commit' is no commit here and no folder; give one, as in "
        "`make same BASE=HEAD`\n"
    )


# ---- by a tolerance ----

APART = {
    "scores": changed(SCORES, accuracy=[0.75, 0.5004]),
    "margins": changed(SCORES, flag=["", "masked"], accuracy=[0.7503, 0.5]),
    "tensors": changed(TENSORS, weight=TENSORS["weight"] * np.float32(1 + 3e-4)),
    "metrics": changed(METRICS, baseline={"accuracy": 0.7502, "curve": [1.0, 0.5]}),
}
SAID = {
    "margins.parquet": "1 of 3 parts; most in accuracy, by 0.0003",
    "metrics.json": "1 of 4 parts; most in .baseline.accuracy, by 0.0002",
    "population.safetensors": "1 of 2 parts; most in weight, by 0.0003",
    "scores.csv": "1 of 3 parts; most in accuracy, by 0.0004",
}


@pytest.mark.parametrize(
    ("tolerance", "within"), [(1e-3, 4), (3.5e-4, 3), (2.5e-4, 1), (1e-6, 0), (0.0, 0)]
)
def test_files_pass_whose_figures_differ_by_no_more_and_are_measured(places, tolerance, within):
    write(places[1] / "evaluate", **APART)
    lines = list(compare(*places, tolerance))
    assert [line.split(": ", 1)[1] for line in lines] == list(SAID.values())
    assert sum(line.startswith("within ") for line in lines) == within
    assert sum(line.startswith("differs ") for line in lines) == 4 - within


def test_small_figures_differ_absolutely_and_large_ones_relatively(places):
    """Twice a weight of 1e-9 is nothing; 1000 for 1001 is a thousandth."""
    for place, small, large in zip(places, (1e-9, 2e-9), (1000.0, 1001.0), strict=True):
        write(place / "evaluate", tensors={"small": np.array([small]), "large": np.array([large])})
    assert next(iter(compare(*places, 1e-3))).startswith("within ")
    assert only(places).endswith("2 of 2 parts; most in small, by 0.5")
    (line,) = compare(*places, 1e-4)
    assert line.startswith("differs ")
    assert "most in large" in line


def test_numbers_in_words_are_figures_and_words_are_not(places):
    old, new = (place / "evaluate" / "page.html" for place in places)
    old.write_text("<p>found 0.593 (0.584 to 0.602), 141 mg/dL</p>")
    new.write_text("<p>found 0.594 (0.584 to 0.602), 141 mg/dL</p>")
    assert list(compare(*places, 2e-3)) == [
        "within   evaluate/page.html: 1 of 1 parts; most in words, by 0.001"
    ]
    assert next(iter(compare(*places, 5e-4))).startswith("differs ")
    new.write_text("<p>found 0.593 (0.584 to 0.602), 141 mg/dl</p>")
    assert next(iter(compare(*places, 1e9))).startswith("differs ")


def test_what_is_missing_or_no_number_passes_no_tolerance(places):
    _old, new = (place / "evaluate" for place in places)
    write(new, tensors=changed(TENSORS, bias=np.array([1, np.nan], np.float32)))
    assert next(iter(compare(*places, 1e9))).startswith("differs ")
    write(new, scores=changed(SCORES, flag=["", "other"]))
    assert next(iter(compare(*places, 1e9))).startswith("differs ")
    write(new)
    (new / "metrics.json").unlink()
    assert list(compare(*places, 1e9)) == ["gone     evaluate/metrics.json"]


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 1), (["--tolerance=1e-6"], 1), (["--tolerance=1e-3"], 0)]
)
def test_the_switch_decides_and_pictures_pass_with_it(
    places, monkeypatch, capsys, arguments, status
):
    for place in places:
        write(place / same.RESULTS)
    write(places[1] / same.RESULTS, **APART)
    (places[1] / same.RESULTS / "curve.png").write_bytes(b"another")
    assert ended(monkeypatch, places, "a commit", *arguments) == status
    said = capsys.readouterr().out
    assert ("drawn    curve.png: bytes" in said) == bool(arguments)
    assert ("within   scores.csv" in said) == (status == 0)


def test_a_folder_of_another_machine_is_a_base(places, monkeypatch, capsys):
    for place in places:
        write(place / same.RESULTS)
    monkeypatch.setattr(same, "run_commit", lambda *_: pytest.fail("nothing is to be run"))
    monkeypatch.setattr(sys, "argv", ["same", str(places[0] / same.RESULTS)])
    monkeypatch.setattr(same, "run_tree", lambda *_: places[1])
    with pytest.raises(SystemExit) as end:
        same.main()
    assert end.value.code == 0
    assert "byte for byte" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["", "much", "-1", "nan", "inf"])
def test_a_tolerance_that_is_no_number_is_one_clear_line(places, monkeypatch, capsys, wrong):
    assert ended(monkeypatch, places, "a commit", f"--tolerance={wrong}") == 2
    assert capsys.readouterr().out == (
        f"error: TOLERANCE: {wrong!r} is no number of at least 0, such as 1e-6\n"
    )
