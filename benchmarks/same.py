"""Whether two versions give the same results on this machine: `make same BASE=<commit>`.

Bytes differ between makers of processors, so a committed list of digests would not do: the old
commit and the work tree are both run here, each as a clone with a DVC cache of its own, and every
result file of one is held against that of the other. A clone of a commit that ran to its end stays
under `.same/` and is not run again. BASE may also be a folder of results, such as `artifacts` of
another machine.

    python -m benchmarks.same BASE [--tolerance=NUMBER] [override ...]

Exit status 0 where every file is the same bytes, here or under another name; 1 where any differs or
is missing, 2 where a run fails. A file whose bytes differ is opened: tables, tensors and JSON say
where and by how much their figures differ, so that new digits, columns or metadata are told from
new results. With a tolerance files pass whose figures differ by no more, absolutely below 1 and
relative to the larger above, and the words around them not at all; pictures, which are drawn from
tables, are named and pass.
"""

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".same"
DONE = ".ran-to-its-end"
RESULTS = "artifacts"
TOLERANCE = "--tolerance="
PASSES = ("moved", "within", "drawn")
PICTURES = (".png", ".svg")
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def main() -> None:
    base, *overrides = [one for one in sys.argv[1:] if not one.startswith(TOLERANCE)] or [""]
    tolerance = _tolerance(sys.argv[1:])
    sha = _git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
    if base and Path(base).is_dir():
        old, name = Path(base), base
    elif base and sha:
        old, name = run_commit(sha, overrides) / RESULTS, sha[:10]
    else:
        print(
            f"error: BASE: {base!r} is no commit here and no folder; give one, as in "
            "`make same BASE=HEAD`"
        )
        raise SystemExit(2)
    report = list(compare(old, run_tree(overrides) / RESULTS, tolerance))
    print("\n".join(report) or f"the same: every file of {RESULTS}/ as at {name}, byte for byte")
    raise SystemExit(0 if all(line.startswith(PASSES) for line in report) else 1)


def _tolerance(arguments: list[str]) -> float | None:
    """By how much figures may differ; None = not at all."""
    given = [one.removeprefix(TOLERANCE) for one in arguments if one.startswith(TOLERANCE)]
    if not given:
        return None
    try:
        tolerance = float(given[-1])
    except ValueError:
        tolerance = math.nan
    if not 0 <= tolerance < math.inf:
        print(f"error: TOLERANCE: {given[-1]!r} is no number of at least 0, such as 1e-6")
        raise SystemExit(2)
    return tolerance


def run_commit(sha: str, overrides: list[str]) -> Path:
    """A clone of a commit, run to its end; an earlier one is used again."""
    place = PLACE / f"{sha[:12]}-{hashlib.sha256(' '.join(overrides).encode()).hexdigest()[:8]}"
    if not (place / DONE).exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run(
            ["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(place)], check=True
        )
        subprocess.run(["git", "checkout", "--quiet", sha], cwd=place, check=True)
        run(place, overrides)
        (place / DONE).touch()
    return place


def run_tree(overrides: list[str]) -> Path:
    """A copy of the files that git tracks or would track, as they are now, run to its end."""
    place = PLACE / "work-tree"
    shutil.rmtree(place, ignore_errors=True)
    for name in filter(
        None, _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    ):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    subprocess.run(["git", "init", "--quiet"], cwd=place, check=True)
    run(place, overrides)
    return place


def run(place: Path, overrides: list[str]) -> None:
    """The whole pipeline in a clone, with nothing of this checkout but the interpreter."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "MLFLOW_"))
    }
    environment |= {
        "PYTHONPATH": str(place),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment |= {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    for command in (
        ["dvc", "pull", "--quiet", "data.dvc"],
        ["python", "-m", "pipeline.params", *overrides],
        ["dvc", "repro", "--quiet"],
    ):
        print(f"{place.name}: {' '.join(command)}", file=sys.stderr)
        if subprocess.run(command, cwd=place, env=environment, check=False).returncode:
            print(f"error: {place}: `{' '.join(command)}` failed")
            raise SystemExit(2)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


def compare(old: Path, new: Path, tolerance: float | None = None) -> Iterator[str]:
    """A line for each file that is missing on one side, or differs: then with what differs.

    Args:
        old: folder of results.
        new: likewise.
        tolerance: figures that differ by no more are `within` it; None = bytes decide.
    """
    before, after = (
        {path.relative_to(side).as_posix() for path in side.rglob("*") if path.is_file()}
        for side in (old, new)
    )
    if not before:
        yield f"{old}: holds no result"
    gone, added = sorted(before - after), sorted(after - before)
    moved = _moved(
        {name: _digest(old / name) for name in gone}, {name: _digest(new / name) for name in added}
    )
    yield from (f"moved    {name} -> {place}" for name, place in moved.items())
    yield from (f"gone     {name}" for name in gone if name not in moved)
    yield from (f"new      {name}" for name in added if name not in moved.values())
    for name in sorted(before & after):
        if (old / name).read_bytes() != (new / name).read_bytes():
            largest, said = difference(old / name, new / name, floor=tolerance is not None)
            verdict = "differs"
            if tolerance is not None:
                verdict = "within " if largest <= tolerance else verdict
                verdict = "drawn  " if name.endswith(PICTURES) else verdict
            yield f"{verdict}  {name}: {said}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _moved(gone: dict[str, str], added: dict[str, str]) -> dict[str, str]:
    """Which file that is gone lies elsewhere now, the same byte for byte."""
    places: dict[str, list[str]] = {}
    for name, digest in added.items():
        places.setdefault(digest, []).append(name)
    return {name: places[digest].pop(0) for name, digest in gone.items() if places.get(digest)}


def difference(old: Path, new: Path, *, floor: bool = False) -> tuple[float, str]:
    """By how much figures of two files of one name differ at most, and what differs, in one line.

    With `floor` a figure below 1 differs absolutely.
    """
    reader = READERS.get(old.suffix)
    if reader is None:
        return math.inf, "bytes"
    one, other = reader(old), reader(new)
    if gone := [key for key in one if key not in other]:
        return math.inf, f"no more {', '.join(gone[:5])}"
    if added := [key for key in other if key not in one]:
        return math.inf, f"now also {', '.join(added[:5])}"
    least = 1.0 if floor else 1e-300
    apart = {key: _distance(one[key], other[key], least) for key in one}
    largest = max(apart, key=lambda key: apart[key], default="")
    if not largest or apart[largest] == 0:
        order = "" if list(one) == list(other) else " (another order)"
        return 0.0, f"equal figures, other bytes{order}"
    count = sum(distance > 0 for distance in apart.values())
    said = f"{count} of {len(apart)} parts; most in {largest}, by {apart[largest]:.3g}"
    return apart[largest], said


def _distance(one: Any, other: Any, least: float) -> float:
    """The largest difference relative to the larger figure, or to `least` where that is larger.

    Infinite where something else than a number differs. Text is compared with the numbers in it.
    """
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape:
        return math.inf
    if one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
        texts = ["\n".join(map(str, side.ravel())) for side in (one, other)]
        if texts[0] == texts[1]:
            return 0.0
        if NUMBER.sub("#", texts[0]) != NUMBER.sub("#", texts[1]):
            return math.inf
        one, other = (np.array([float(found) for found in NUMBER.findall(text)]) for text in texts)
    one, other = one.astype(float), other.astype(float)
    equal = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        largest = np.maximum(np.maximum(np.abs(one), np.abs(other)), least)
        relative = np.nan_to_num(np.abs(one - other) / largest, nan=math.inf, posinf=math.inf)
    return float(np.where(equal, 0.0, relative).max(initial=0.0))


def _table(path: Path) -> dict[str, Any]:
    return {
        str(name): column.to_numpy()
        for name, column in pd.read_csv(path, keep_default_na=False, na_values=[""]).items()
    }


def _parquet(path: Path) -> dict[str, Any]:
    return {str(name): column.to_numpy() for name, column in pd.read_parquet(path).items()}


def _tensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _json(path: Path) -> dict[str, Any]:
    def flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
        inner = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        if isinstance(value, dict | list) and value:
            for name, one in inner:
                yield from flat(one, f"{key}.{name}")
        else:
            yield key, value

    return dict(flat(json.loads(path.read_text()), ""))


def _page(path: Path) -> dict[str, Any]:
    """The words of a page, without its pictures, its style, and the digests of what made it."""
    unsaid = r"<(style|script|svg)\b.*?</\1>|<code class=\"digest\">.*?</code>|<[^>]*>"
    text = re.sub(unsaid, " ", path.read_text(), flags=re.DOTALL)
    return {"words": text.split()}


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".csv": _table,
    ".parquet": _parquet,
    ".safetensors": _tensors,
    ".json": _json,
    ".html": _page,
}

if __name__ == "__main__":
    main()
