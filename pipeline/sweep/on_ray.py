"""Jobs of a sweep on workers of Ray, which import everything once and then do job after job.

Keys are those of hydra-ray-launcher. The plugin is not needed: it would start `main` anew for each
job, and asks for a cloudpickle that MLflow's other packages here have left behind.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.cluster import connected
from pipeline.files import BadInput
from pipeline.project.launchers import GROUP, RAY
from pipeline.sweep.work import Fault, Outcome, Surroundings, Task, do_elsewhere

BY_RAY = f"{GROUP}={RAY}"
LITTLE = {"object_store_memory": 78_643_200}  # bytes, the least: a line of figures is shared
LOOK_S = 1.0  # between two chances to be interrupted


class OnRay:
    """Warm workers of a Ray of our own, on this machine, or of a cluster that runs already."""

    at_once = 100_000  # Ray keeps the queue

    def __init__(self, settings: Mapping[str, Any], threads: int) -> None:
        """Starts Ray, or connects to one.

        Args:
            settings: `ray.init` and `ray.remote` as on the command line.
            threads: of the job that computes on most.

        Raises:
            BadInput: Ray is not installed, does not start, or has no machine that is large enough.
        """
        init = dict(settings["ray"]["init"])
        address = init.pop("address", None) or os.environ.get("RAY_ADDRESS")
        self._ray = ray = connected(BY_RAY, address, init, LITTLE)
        remote = {"num_cpus": threads, "max_retries": 0, **settings["ray"]["remote"]}
        if remote.get("num_gpus"):
            remote.setdefault("max_calls", 0)  # or each job would have a new worker
        self._require(float(remote["num_cpus"]), threads)
        try:
            self._work = ray.remote(**remote)(do_elsewhere)
        except (ValueError, TypeError) as error:
            raise BadInput(f"hydra.launcher.ray.remote: {error}") from error
        self._surroundings = Surroundings.own()
        self._running: dict[Any, Task] = {}

    def _require(self, processors: float, threads: int) -> None:
        """Refuses what Ray would wait for in vain."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        largest = max((node["Resources"].get("CPU", 0.0) for node in nodes), default=0.0)
        if largest < processors:
            self.close()
            raise BadInput(
                f"{BY_RAY}: a job takes {processors:g} processors, and no machine has more than "
                f"{largest:g}; threads={threads}: give the jobs fewer, or num_cpus more"
            )

    def hand_in(self, tasks: Sequence[Task]) -> None:
        """See `Engine`."""
        for task in tasks:
            self._running[self._work.remote(task, self._surroundings)] = task

    def take(self) -> tuple[Task, Outcome]:
        """See `Engine`."""
        ended: list[Any] = []
        while not ended:
            ended, _ = self._ray.wait(list(self._running), timeout=LOOK_S)
        (one,) = ended
        task = self._running.pop(one)
        try:
            outcome: Outcome = self._ray.get(one)
        except self._ray.exceptions.RayTaskError as error:  # before our own code could answer
            outcome = Fault(f"worker: {str(error).strip().splitlines()[-1]}", "bug")
        except self._ray.exceptions.RayError as error:
            outcome = Fault(f"worker lost ({type(error).__name__})", "lost")
        return task, outcome

    def close(self) -> None:
        """See `Engine`."""
        self._ray.shutdown()
