"""The story of two deployed models: attack, alarm, stop, investigation, and a harder model.

Command:  python docs/story.py            (after `dvc repro`; minutes on one core; `make story`)
          python docs/story.py records    only the model of Pima, of the last run
          python docs/story.py scans      only the CNN, which needs no run: `make story-scans`

A guard serves the audited release on a free port of this machine, from a temporary folder. Every
step is a public command or a request that anybody could send; the insider's searches alone use the
attacks of this project, as the insider would. All figures are counted here from what came back, and
no record is printed. Exit status: 0 if every step came out as it should, 1 and which did not, or 2
without a run.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from story_acts import Case, attack, deploy, hardened, honest, stopped
from story_guard import HERE, Guard, Otherwise, free_port, say
from story_scans import scans

from pipeline.data.schema import load_dataset
from pipeline.files import BadInput

SEED = 0


def records(place: Path) -> Case:
    """The model of Pima, as the last run audited it; nothing is made in the place."""
    return Case(
        title="Records: the undefended model of Pima",
        project=HERE,
        dataset=load_dataset(Path("artifacts/prepare")),
        kinds=("patients of the cohort", "laboratory values and measurements"),
        seen="The release was trained on these patients; what alarms are held against was measured "
        "of models that were not.",
        r=0.1,
        reaches=(2.0, 3.0, 5.0),
        policy=(),
        defense="adv_train",
        candidate="Adversarial training",
        harder_r=0.3,
        accepted={"harms_a_group": "those below 30 get a second test; agreed for this exercise"},
    )


CASES: dict[str, Callable[[Path], Case]] = {"records": records, "scans": scans}


def story(name: str) -> None:
    """All acts of one half, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="medsecure ") as root:
        place = Path(root)
        case = CASES[name](place)
        print(f"\n{case.title}\n{'=' * len(case.title)}", flush=True)
        order = np.random.default_rng(SEED).permutation(len(case.dataset.y))
        guard = Guard(place / "guard", free_port(), case.project)
        deploy(guard, case, place)
        with guard.serving():
            plain = honest(guard, case, order)
            kept = attack(guard, case, order, plain)
            stopped(guard, case, place)
        hardened(guard, case, order, kept)


def main(asked: list[str]) -> int:
    """The exit status."""
    torch.set_num_threads(1)
    before = time.monotonic()
    try:
        if strange := [name for name in asked if name not in CASES]:
            raise BadInput(f"{strange[0]!r} is no half of the story; {' or '.join(CASES)}")
        for name in asked or CASES:
            story(name)
    except Otherwise as error:
        print(f"\nNOT as it should be: {error}", file=sys.stderr)
        return 1
    except BadInput as error:  # there is no run, or not a whole one
        print(f"error: {error}", file=sys.stderr)
        return 2
    print()
    say(f"Every step came out as it should, in {time.monotonic() - before:.0f} seconds.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
