"""Jobs of a sweep as jobs of SLURM, or as processes of this machine, by submitit.

Keys are those of hydra-submitit-launcher, which is not needed. Each job starts a process and
imports everything; SLURM's queue costs more.
"""

import os
import time
from collections.abc import Sequence
from typing import Any

from pipeline.files import BadInput, repository_root
from pipeline.project.launchers import GROUP, LOCAL, SLURM, Launcher
from pipeline.sweep.work import Fault, Outcome, Surroundings, Task, do_elsewhere

CLUSTER = {LOCAL: "local", SLURM: "slurm"}
OF_ALL = {  # keys that submitit knows without the name of a cluster before them
    "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name",
    "stderr_to_stdout",
}  # fmt: skip
LOOK_S = 1.0  # between two looks


class _Work:
    """A task that is begun again where SLURM took its machine away; what it finished stays."""

    def __call__(self, task: Task, theirs: Surroundings) -> Outcome:
        return do_elsewhere(task, theirs)

    def checkpoint(self, task: Task, theirs: Surroundings) -> Any:
        """What submitit hands in again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, task, theirs)


class OnSubmitit:
    """A process a job."""

    def __init__(self, launcher: Launcher, threads: int) -> None:
        """Starts nothing yet.

        Args:
            launcher: which cluster, and its keys.
            threads: of the job that computes on most.

        Raises:
            BadInput: submitit is not installed, finds no SLURM, or refuses a setting.
        """
        try:
            import submitit
        except ImportError:
            asked = f"{GROUP}={launcher.kind}"
            raise BadInput(f"{asked}: needs submitit; pip install 'medsecure[slurm]'") from None

        cluster = CLUSTER[launcher.kind]
        given = {key: value for key, value in launcher.settings.items() if value is not None}
        given = {"cpus_per_task": threads, **given}
        place = repository_root() / given.pop("submitit_folder")
        timeouts = given.pop("max_num_timeout", None)
        limits = {} if timeouts is None else {"slurm_max_num_timeout": timeouts}
        named = {key if key in OF_ALL else f"{cluster}_{key}": one for key, one in given.items()}
        try:
            self._executor = submitit.AutoExecutor(folder=place, cluster=cluster, **limits)
            self._executor.update_parameters(**named)
        except (ValueError, TypeError, NameError, RuntimeError) as error:
            raise BadInput(f"{launcher.kind}: {' '.join(str(error).split())[:300]}") from error
        # SLURM keeps the queue; here, submitit would start everything at once
        fit = max((os.cpu_count() or 1) // int(given["cpus_per_task"]), 1)
        self.at_once = 100_000 if launcher.kind == SLURM else fit
        self._surroundings = Surroundings.own()
        self._running: dict[str, tuple[Any, Task]] = {}

    def hand_in(self, tasks: Sequence[Task]) -> None:
        """See `Engine`; what is handed in together is one array."""
        with self._executor.batch():
            jobs = [self._executor.submit(_Work(), task, self._surroundings) for task in tasks]
        for job, task in zip(jobs, tasks, strict=True):
            self._running[job.job_id] = (job, task)

    def take(self) -> tuple[Task, Outcome]:
        """See `Engine`."""
        while True:
            for name, (job, task) in self._running.items():
                if job.done():
                    del self._running[name]
                    return task, self._outcome(job)
            time.sleep(LOOK_S)

    def _outcome(self, job: Any) -> Outcome:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            outcome: Outcome = job.results()[0]
        except UncompletedJobError:
            return Fault(f"worker lost; submitit's job {job.job_id} is {job.state}", "lost")
        except FailedJobError as error:
            return Fault(f"worker: {str(error).strip().splitlines()[-1]}", "bug")
        return outcome

    def close(self) -> None:
        """See `Engine`."""
        for job, _ in self._running.values():
            job.cancel()
