"""One job of a sweep as it travels: what a worker is told, what it does, what it answers.

A worker may be a process on another machine. What goes to it and comes back is pickled, between
processes of our own: settings and figures. Records and models never travel: a worker reads and
writes them in the folder of the project, which it must see as whoever started the sweep does.
"""

from pipeline.kernels import fix_kernels

fix_kernels()  # a worker imports this first, and torch and NumPy look at the processor once

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits

from pipeline.config import Config
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset
from pipeline.files import BadInput, FailedCheck, repository_root
from pipeline.project.package import package_digest
from pipeline.risks.conclusions import questions
from pipeline.sweep.once import DoneElsewhere, finished
from pipeline.sweep.shown import Key, figures_of, most_important
from pipeline.tracking.runs import run_key
from pipeline.tracking.store import shown, tracking_uri


@dataclass(frozen=True)
class Task:
    """What a worker is told.

    Attributes:
        at: of which job, by its place in the sweep.
        defense: the recipe.
        cfg: its configuration, as `only` leaves it.
        overrides: what sets the job apart.
        parent: the run of MLflow below which it is logged.
    """

    at: int
    defense: str
    cfg: Config
    overrides: Sequence[str]
    parent: str


@dataclass(frozen=True)
class Done:
    """What is said of a job that ended well; all else lies in its folder.

    Attributes:
        key: of its `Run`.
        done_before: nothing was measured now.
        logged: the `run_key` of its run in MLflow.
        figures: names of figures, with the most important first.
        cells: figures with their intervals, as text.
        flagged: whether it has a flag already without the others.
    """

    key: str
    done_before: bool
    logged: str
    figures: Sequence[Key]
    cells: dict[Key, str]
    flagged: bool


@dataclass(frozen=True)
class Fault:
    """Why a job has no result.

    Attributes:
        said: one line.
        kind: `mistake` of whoever asked, failed `check`, `bug`, `lost`: its worker died, `busy`:
            another one is at it, or `elsewhere`: one did it in a folder that is not seen here.
    """

    said: str
    kind: str


Outcome = Done | Fault


@dataclass(frozen=True)
class Surroundings:
    """Of a process, what must be alike in all that work on one sweep.

    Attributes:
        root: the root of the repository.
        here: the folder that it works in.
        named: `DVC_ROOT`, where it is set.
        code: the digest of the package.
        store: the digest of MLflow's address, without a password.
        blas: threads of NumPy's products.
    """

    root: Path
    here: Path
    named: str | None
    code: str
    store: str
    blas: int

    @classmethod
    def own(cls) -> "Surroundings":
        """Those of this process."""
        return cls(
            repository_root(),
            Path.cwd(),
            os.environ.get("DVC_ROOT"),
            package_digest(),
            hashlib.sha256(shown(tracking_uri()).encode()).hexdigest(),
            max((one["num_threads"] for one in _blas()), default=1),
        )

    def take(self) -> None:
        """Makes those of this process alike, as far as that can be done from inside.

        Raises:
            BadInput: in what they still differ.
        """
        if not self.here.is_dir():
            raise BadInput(f"{self.here}: not seen by the worker on {_machine()}; {SHARED}")
        os.chdir(self.here)
        if self.named is None:
            os.environ.pop("DVC_ROOT", None)
        else:
            os.environ["DVC_ROOT"] = self.named
        threadpool_limits(self.blas, user_api="blas")
        own = Surroundings.own()
        if own.root != self.root:
            raise BadInput(f"{own.root}: where the worker on {_machine()} works, not {self.root}")
        if own.code != self.code:
            raise BadInput(f"medsecure on {_machine()} is other code than here; install the same")
        if own.store != self.store:
            raise BadInput(
                f"MLFLOW_TRACKING_URI of the worker on {_machine()} is not the one here; "
                "set it where the worker is started"
            )


SHARED = "the folder of the project must lie on a file system that all machines share"


def do_task(task: Task, read: Callable[[], Dataset]) -> Outcome:
    """Does one job to its end, as far as that was not done before.

    Args:
        task: which.
        read: reads its records.
    """
    try:
        ended = finished(task.cfg, task.defense, read(), task.overrides, task.parent)
        if ended is None:
            return Fault("another worker is at it", "busy")
        run, _, evaluated = ended
        asked = questions(evaluated.results, evaluated.context.cfg)
        flags = evaluated.conclusions.judged[task.defense].flags
        logged, cells = run_key(evaluated, task.defense), figures_of(asked, task.defense)
        return Done(run.key, run.done_before, logged, most_important(asked), cells, bool(flags))
    except DoneElsewhere as error:
        return Fault(str(error), "elsewhere")
    except BadInput as error:
        return Fault(str(error), "mistake")
    except FailedCheck as error:
        return Fault(str(error), "check")
    except Exception as error:  # seen whole where the job is run alone
        return Fault(f"{type(error).__name__}: {error}", "bug")


def do_elsewhere(task: Task, theirs: Surroundings) -> Outcome:
    """Does one job, in a process that may have done others before.

    Args:
        task: which.
        theirs: of the process that started the sweep.
    """
    try:
        theirs.take()
    except BadInput as error:
        return Fault(str(error), "mistake")
    return do_task(task, lambda: read_raw(task.cfg.data, repository_root())[0])


def _blas() -> list[dict[str, int]]:
    return [one for one in threadpool_info() if one["user_api"] == "blas"]


def _machine() -> str:
    return os.uname().nodename
