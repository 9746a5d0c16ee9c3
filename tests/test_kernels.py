"""What computes is chosen here, before torch and NumPy look, whatever the environment says."""

import ast
import contextlib
import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import tiny
from pipeline import kernels
from pipeline.kernels import KERNELS, features, fix_kernels

HOSTILE = {
    "MKL_CBWR": "COMPATIBLE",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Sandybridge",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
}
# Runs of their own: they compute no figure.
COMPUTE_NOTHING = {"pipeline/params.py", "pipeline/report/__main__.py"}

TRAINS = """
import hashlib, sys
import {first}
import numpy as np, torch
sys.path.append("tests")
import tiny
from pipeline.config import TrainConfig
from pipeline.data.plan import Plan
from pipeline.models.mlp import Architecture
from pipeline.models.training import fit, mean_gradient, shuffled

torch.set_num_threads(1)
data = tiny.records(120, seed=0)
how = TrainConfig(epochs=3, batch_size=32, learning_rate=1e-2, weight_decay=0.0)
halves = torch.arange(120) % 2 == torch.arange(2)[:, None]
plan = Plan(halves, ~halves, torch.tensor([0, 0]), torch.arange(2), ("odd", "even"))
mlp = Architecture("mlp", 5, 2, (32, 32))
models = fit(data, plan, mlp, draw=shuffled(how),
             gradient=mean_gradient(mlp), learning_rate=how.learning_rate)
z = data.x.nan_to_num().double().numpy()
numbers = {{
    "torch": [value.numpy() for value in models.parameters.values()],
    "numpy": [z.T @ z, np.linalg.solve(z.T @ z, z.T)],
    "loops": [np.tanh(z / 100), np.sin(z)],
}}
for name, arrays in numbers.items():
    joined = b"".join(np.ascontiguousarray(one).tobytes() for one in arrays)
    print(name, hashlib.sha256(joined).hexdigest())
"""


def digests(first: str, environment: dict[str, str]) -> dict[str, str]:
    """What a tiny training computes where `first` is imported before all else."""
    clean = {key: value for key, value in os.environ.items() if key not in KERNELS}
    done = subprocess.run(
        [sys.executable, "-c", TRAINS.format(first=first)],
        env={**clean, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tiny.ROOT), **environment},
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Says what a processor has, and catches what the environment becomes."""
    environment = {"MKL_CBWR": "COMPATIBLE"}
    monkeypatch.setattr(kernels, "os", SimpleNamespace(environ=environment))
    monkeypatch.setattr(kernels.platform, "machine", lambda: "x86_64")

    def has(flags):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: fma\n")
        monkeypatch.setattr(kernels, "CPU_INFO", tmp_path / "cpuinfo")
        return environment

    return has


def test_the_choice_overrules_the_environment(processor, capsys):
    environment = processor("sse2 fma avx avx2 avx512f")
    fix_kernels()
    assert environment == KERNELS
    assert capsys.readouterr() == ("", "")


def test_a_processor_without_avx2_is_left_alone_and_that_is_said(processor, capsys):
    environment = processor("sse2 avx")
    fix_kernels()
    assert environment == {"MKL_CBWR": "COMPATIBLE"}
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "this processor lacks avx2 and fma" in said.err


@pytest.mark.parametrize("machine", ["arm64", "aarch64"])
def test_other_processors_are_left_alone(processor, monkeypatch, capsys, machine):
    environment = processor("sse2")
    monkeypatch.setattr(kernels.platform, "machine", lambda: machine)
    fix_kernels()
    assert environment == {"MKL_CBWR": "COMPATIBLE"}
    assert capsys.readouterr() == ("", "")


def test_a_system_that_does_not_tell_is_left_alone(processor, monkeypatch, tmp_path):
    environment = processor("sse2")
    monkeypatch.setattr(kernels, "CPU_INFO", tmp_path / "none")
    fix_kernels()
    assert environment == {"MKL_CBWR": "COMPATIBLE"}


def test_features_are_those_of_the_first_processor(tmp_path):
    place = tmp_path / "cpuinfo"
    place.write_text("vendor : X\nflags : a b\n\nflags : c\n")
    assert features(place) == {"a", "b"}
    place.write_text("Features : neon\n")
    assert features(place) == set()


# ---- on the processor that is here ----

here = pytest.mark.skipif(
    not kernels.CPU_INFO.exists() or kernels.NEEDED - features(kernels.CPU_INFO) != set(),
    reason="this processor has no AVX2, or does not say so",
)


@here
def test_torch_computes_in_these_tests_as_in_a_run():
    import torch
    from threadpoolctl import threadpool_info

    assert {name: os.environ[name] for name in KERNELS} == KERNELS
    assert torch.backends.cpu.get_cpu_capability() == "AVX2"
    blas = [one for one in threadpool_info() if one["internal_api"] == "openblas"]
    assert {one["architecture"] for one in blas} == {"Haswell"}


@here
@pytest.mark.heavy
def test_a_hostile_environment_changes_no_byte():
    """What these tests compute, for which the choice was made, is what any command does."""
    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(TRAINS.format(first="pipeline.stages"), {})
    chosen = dict(line.split() for line in here.getvalue().splitlines())
    assert digests("pipeline.stages", HOSTILE) == chosen
    without = digests("pipeline", HOSTILE)
    assert all(without[name] != chosen[name] for name in chosen)  # or nothing is shown


@pytest.mark.heavy
@pytest.mark.parametrize("module", ["pipeline.stages", "pipeline.__main__"])
def test_torch_and_numpy_are_not_loaded_before_the_choice(module):
    watched = "lambda: sys.exit(str(sorted({'torch', 'numpy'} & set(sys.modules))))"
    script = f"import sys, pipeline.kernels as k; k.fix_kernels = {watched}; import {module}"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tiny.ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "[]\n")  # it got there, and ended there


def chooses(tree: ast.Module) -> bool:
    """Whether a module calls `fix_kernels` itself."""
    calls = [node.value for node in tree.body if isinstance(node, ast.Expr)]
    return any(
        isinstance(call, ast.Call) and ast.unparse(call.func) == "fix_kernels" for call in calls
    )


def test_every_command_that_computes_makes_the_choice():
    """A package's `__init__` runs before the modules in it."""
    lacking = set()
    for path in sorted((tiny.ROOT / "pipeline").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if '__name__ == "__main__"' in text:
            package = path.with_name("__init__.py").read_text(encoding="utf-8")
            if not chooses(ast.parse(text)) and not chooses(ast.parse(package)):
                lacking.add(path.relative_to(tiny.ROOT).as_posix())
    assert lacking == COMPUTE_NOTHING
