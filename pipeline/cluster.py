"""A Ray of our own on this machine, or the one that the settings name: of sweeps and of stages.

It is imported where somebody asks for Ray, and nowhere else.
"""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from pipeline.files import BadInput

OWN = "local"  # Ray's word for one that is started now, whichever others run beside
LOOPBACK = "127.0.0.1"
# Ray tells its makers of each start, and makes its workers wait for everybody else's processes.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
# On Linux it would listen on the machine's own address, whatever it is told. It reads this once,
# when it is imported, and keeps it there.
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
KEPT, AS = "ray._private.ray_constants", "ENABLE_RAY_CLUSTER"
OF_OUR_OWN = {"_node_ip_address": LOOPBACK, "include_dashboard": False}
TALK = {"log_to_driver": False, "logging_level": "ERROR"}
CHOOSE_PYTHON = {"py_executable", "pip", "uv", "conda", "container", "image_uri"}


def ray_for(asked: str, address: str | None) -> Any:
    """The package; no Ray is started or joined yet.

    Args:
        asked: the setting that asks for Ray, as people write it.
        address: as for `connected`.

    Raises:
        BadInput: it is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if _ours(address):
        os.environ.update(ALONE)
    try:
        return import_module("ray")
    except ImportError:
        raise BadInput(f"{asked}: needs ray; pip install 'medsecure[ray]'") from None


def connected(
    asked: str, address: str | None, init: Mapping[str, Any], ours: Mapping[str, Any]
) -> Any:
    """Starts a Ray of our own, which ends with this process, or joins one that runs.

    Args:
        asked: the setting that asks for it, as people write it.
        address: of the one that runs, `auto` or host:port; None, empty or `local` = our own, on the
            loopback address alone.
        init: of `ray.init`, for both.
        ours: of `ray.init`, for our own, where `init` says nothing else.

    Returns:
        the package.

    Raises:
        BadInput: it is not installed, does not start, there is none at the address, or our own
            cannot be kept to the loopback address.
    """
    ray, own = ray_for(asked, address), _ours(address)
    told = {**TALK, **init, "address": address}
    if own:
        told = {**OF_OUR_OWN, **ours, **told, "address": OWN}
        if KEPT in sys.modules:  # a notebook may have imported it before us
            setattr(sys.modules[KEPT], AS, False)
        if environment := _python_quoted(told.get("runtime_env") or {}):
            told["runtime_env"] = environment
    with _signals_kept():
        try:
            ray.init(**told)
        except (ValueError, TypeError, ConnectionError, RuntimeError, OSError) as error:
            raise BadInput(f"{asked}: {' '.join(str(error).split())[:300]}") from error
    alone = own and told["_node_ip_address"] == LOOPBACK
    if alone and {node["NodeManagerAddress"] for node in ray.nodes()} != {LOOPBACK}:
        ray.shutdown()
        raise BadInput(
            f"{asked}: a Ray of our own would listen on more than {LOOPBACK}; "
            "take one that medsecure is tested with"
        )
    return ray


def _ours(address: str | None) -> bool:
    return address in (None, "", OWN)


def _python_quoted(environment: Mapping[str, Any]) -> dict[str, Any]:
    """An environment of workers, with this Python as a shell reads it.

    Ray has a shell start its workers and does not quote the path of Python: in one with a blank
    none would start, and whoever waits for it would wait for ever.
    """
    quoted = shlex.quote(sys.executable)
    if quoted == sys.executable or CHOOSE_PYTHON & environment.keys():
        return dict(environment)
    return {"py_executable": quoted, **environment}


@contextmanager
def _signals_kept() -> Iterator[None]:
    """What TERM does here stays as it is: Ray would have it end this process without a word."""
    was = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, was)
