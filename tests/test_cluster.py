"""A Ray of our own joins nobody, nobody joins it, and who does not ask for it never meets it."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from pipeline import cluster
from pipeline.cluster import ALONE, connected, ray_for
from pipeline.files import BadInput
from pipeline.parallel import BY_RAY, RAY, Tasks, use_backend
from pipeline.sweep.on_ray import OnRay

HERS, OURS = "10.0.0.1:6379", "127.0.0.1"


class Ray:
    """What is asked of Ray.

    Attributes:
        asked: of `init`.
        at: the addresses of its nodes.
        refuses: `init`, with this.
        ended: whether it was shut down.
    """

    def __init__(self, at=(OURS,), refuses=None):
        self.asked, self.at, self.refuses, self.ended = {}, at, refuses, False

    def is_initialized(self):
        return False

    def init(self, **asked):
        self.asked |= asked
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.refuses is not None:
            raise self.refuses

    def nodes(self):
        return [{"NodeManagerAddress": one} for one in self.at]

    def shutdown(self):
        self.ended = True


@pytest.fixture
def installed(monkeypatch):
    """Puts a Ray in place of the package, and notes the variables with which it is imported."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    for name in (*ALONE, *cluster.QUIET):  # so that they are gone afterwards
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def install(ray):
        def imported(name):
            assert name == "ray"
            ray.environment = dict(os.environ)
            return ray

        monkeypatch.setattr(cluster, "import_module", imported)
        return ray

    return install


def _not_there(name):
    raise ImportError(name)


@pytest.mark.heavy
def test_who_does_not_ask_for_ray_never_meets_it():
    program = (
        "import sys, pipeline.__main__, pipeline.stages, pipeline.sweep.group, pipeline.parallel\n"
        "pipeline.parallel.use_backend('processes')\n"
        "print({'ray', 'pipeline.cluster', 'pipeline.sweep.on_ray'} & {*sys.modules})"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout == "set()\n", said.stderr


def test_without_ray_one_line_says_what_to_install(installed, monkeypatch):
    installed(Ray())
    monkeypatch.setattr(cluster, "import_module", _not_there)
    with pytest.raises(BadInput, match=r"^parallel\.backend=ray: needs ray; pip install 'med"):
        use_backend(RAY)
    with pytest.raises(BadInput, match=r"^hydra/launcher=ray: needs ray; pip install 'med"):
        OnRay({"ray": {"init": {}, "remote": {}}}, 1)


@pytest.mark.parametrize(("given", "address"), [("", "local"), (HERS, HERS)])
def test_blocks_on_a_ray_of_our_own_join_nobody_elses(installed, monkeypatch, given, address):
    ray = installed(Ray(refuses=ConnectionError("nobody\nanswers")))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    with pytest.raises(BadInput, match=rf"^{BY_RAY}: nobody answers$"):
        Tasks(2, given)
    assert ray.asked["address"] == address
    assert ("num_cpus" in ray.asked) == (not given)  # a cluster that runs has its own


@pytest.mark.parametrize(
    ("init", "variable", "address"),
    [
        ({}, None, "local"),
        ({}, HERS, HERS),
        ({"address": "auto"}, HERS, "auto"),
        ({"address": "local"}, HERS, "local"),
    ],
)
def test_a_sweep_joins_the_ray_that_its_settings_name(
    installed, monkeypatch, init, variable, address
):
    ray = installed(Ray(refuses=ValueError("no")))
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    with pytest.raises(BadInput, match=r"^hydra/launcher=ray: no$"):
        OnRay({"ray": {"init": init, "remote": {}}}, 1)
    assert ray.asked["address"] == address
    assert ("object_store_memory" in ray.asked) == (address == "local")


@pytest.mark.parametrize("address", [None, "", "local"])
def test_our_own_is_kept_to_the_loopback_before_it_is_imported(installed, monkeypatch, address):
    ray = installed(Ray())
    monkeypatch.setenv("RAY_worker_niceness", "5")
    monkeypatch.setenv(*ALONE, "1")
    connected("asked", address, {}, {})
    assert ray.asked["_node_ip_address"] == OURS
    assert not ray.asked["include_dashboard"]
    assert {name: ray.environment[name] for name in ALONE} == ALONE
    assert ray.environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert ray.environment["RAY_worker_niceness"] == "5"  # who sets it is heard


def test_a_ray_that_was_imported_before_is_kept_to_the_loopback_too(installed, monkeypatch):
    installed(Ray())
    constants = SimpleNamespace(ENABLE_RAY_CLUSTER=True)
    monkeypatch.setitem(sys.modules, "ray._private.ray_constants", constants)
    connected("asked", HERS, {}, {})
    assert constants.ENABLE_RAY_CLUSTER
    connected("asked", None, {}, {})
    assert not constants.ENABLE_RAY_CLUSTER


def test_one_that_runs_is_left_as_it_is(installed, monkeypatch):
    ray = installed(Ray(at=["10.0.0.1", "10.0.0.2"]))
    monkeypatch.setattr(cluster.sys, "executable", "/home/a b/bin/python")
    connected("asked", HERS, {}, {"num_cpus": 2})
    assert set(ray.asked) == {"address", "log_to_driver", "logging_level"}
    assert not ALONE.keys() & ray.environment.keys()


def test_what_the_settings_say_goes_before_what_we_would(installed):
    ray = installed(Ray(at=["10.0.0.9"]))
    init = {"_node_ip_address": "10.0.0.9", "num_cpus": 3, "logging_level": "INFO"}
    connected("asked", None, init, {"num_cpus": 2})
    assert ray.asked.items() >= init.items()
    assert not ray.ended


def test_one_that_strangers_could_reach_is_ended(installed):
    ray = installed(Ray(at=["192.0.2.2"]))
    with pytest.raises(BadInput, match=r"^asked: a Ray of our own would listen on more"):
        connected("asked", None, {}, {})
    assert ray.ended


@pytest.mark.parametrize(
    ("executable", "given", "told"),
    [
        ("/opt/x/bin/python", None, None),
        ("/opt/x/bin/python", {"env_vars": {}}, {"env_vars": {}}),
        ("/a b/python", None, {"py_executable": "'/a b/python'"}),
        (
            "/it's/python",
            {"env_vars": {}},
            {"py_executable": "'/it'\"'\"'s/python'", "env_vars": {}},
        ),
        ("/a b/python", {"pip": ["x"]}, {"pip": ["x"]}),
        ("/a b/python", {"py_executable": "nice python"}, {"py_executable": "nice python"}),
    ],
)
def test_a_shell_starts_this_python_whatever_its_path(
    installed, monkeypatch, executable, given, told
):
    ray = installed(Ray())
    monkeypatch.setattr(cluster.sys, "executable", executable)
    connected("asked", None, {} if given is None else {"runtime_env": given}, {})
    assert ray.asked.get("runtime_env") == told


@pytest.mark.parametrize("refuses", [None, RuntimeError("no")])
def test_what_term_does_here_stays_as_it_is(installed, refuses):
    installed(Ray(refuses=refuses))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        connected("asked", None, {}, {})
    except BadInput:
        assert refuses is not None
    finally:
        now = signal.signal(signal.SIGTERM, before)
    assert now is signal.default_int_handler


def test_to_look_for_ray_starts_none(installed):
    ray = installed(Ray())
    assert ray_for("asked", None) is ray
    assert ray.asked == {}
