"""Jobs of a sweep on workers of Ray, which import everything once and then do job after job.

Keys are those of hydra-ray-launcher. The plugin is not needed: it would start `main` anew for each
job, and asks for a cloudpickle that MLflow's other packages here have left behind.
"""

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.files import BadInput
from pipeline.project.launchers import RAY
from pipeline.sweep.engines import absent
from pipeline.sweep.work import Fault, Outcome, Surroundings, Task, do_elsewhere

# Ray tells its makers of each start, and makes its workers wait for everybody else's processes.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
# On Linux it would listen on the machine's own address, whatever it is told; this leaves loopback.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# Of a Ray of our own; nothing that is shared is larger than a line of figures.
OWN = {
    "_node_ip_address": "127.0.0.1",
    "include_dashboard": False,
    "object_store_memory": 78_643_200,  # bytes, the least that it takes
}
TALK = {"log_to_driver": False, "logging_level": "ERROR"}
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
            BadInput: Ray is not installed, does not start (not at all where Python lies in a path
                with a blank), or has no machine that is large enough.
        """
        init = dict(settings["ray"]["init"])
        address = init.pop("address", None) or os.environ.get("RAY_ADDRESS") or "local"
        if address == "local" and " " in sys.executable:  # its workers would never start
            raise BadInput(
                f"ray: {sys.executable}: Ray starts no worker where this path holds a blank; "
                "take an environment elsewhere"
            )
        for name, value in (QUIET | (LOOPBACK if address == "local" else {})).items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise absent("ray", RAY, "ray") from None

        self._ray = ray
        own = OWN if address == "local" else {}
        with _signals_kept():
            try:
                ray.init(**{**own, **TALK, **init, "address": address})
            except (ValueError, TypeError, ConnectionError, RuntimeError, OSError) as error:
                raise BadInput(f"ray: {' '.join(str(error).split())[:300]}") from error
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
                f"ray: a job takes {processors:g} processors, and no machine has more than "
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


class _signals_kept:
    """What TERM does here stays as it is: Ray would have it end this process without a word."""

    def __enter__(self) -> None:
        self._was = signal.getsignal(signal.SIGTERM)

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._was)
