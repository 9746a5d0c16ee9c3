"""What computes is chosen here, before torch and NumPy look, whatever the environment says.

Without a GPU torch's `meta` device stands in for it: it computes nothing, but a tensor lies there
or on the processor, and `Apart` refuses every operation on both.
"""

import ast
import contextlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import scans
import tiny
from pipeline import kernels, stages
from pipeline.attacks.evasion import evasion_attack
from pipeline.data.plan import Plan
from pipeline.data.threat import Threat
from pipeline.defenses import DEFENSES
from pipeline.defenses.undefended import architecture_for
from pipeline.files import BadInput
from pipeline.kernels import KERNELS, features, fix_kernels
from pipeline.models.answers import margin
from pipeline.models.designs import initialised, own_constants, population_of
from pipeline.parallel import Inline, workers
from pipeline.params import configured

CPU, META = torch.device("cpu"), "meta"
COPY = "aten._to_copy.default"
RECIPES = ["baseline", "adv_train", "distill", "certified"]
ANYWHERE = ["fgsm", "pgd_margin", "apgd_ce", "noise"]
ALL = "defense=[baseline,logistic,adv_train,distill,certified,dp_train,partition]"
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


@pytest.mark.slow
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


# ---- the device ----


class Apart(TorchDispatchMode):
    """Counts operations elsewhere, and refuses those on tensors here and there; numbers may mix.

    What comes home from there are zeros.
    """

    def __init__(self):
        super().__init__()
        self.elsewhere = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        where = {one.device.type for one in tensors if one.dim()}
        assert len(where) < 2, f"{func}: {sorted(where)}"
        self.elsewhere += where == {"meta"}
        if str(func) == COPY and where == {"meta"} and kwargs.get("device") == CPU:
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def chosen(monkeypatch):
    """A process that has chosen nothing, and forgets what a test chooses."""
    monkeypatch.setattr(kernels, "_chosen", ["cpu"])


@pytest.fixture
def elsewhere(monkeypatch):
    """Networks are trained and attacked on `meta`."""
    monkeypatch.setattr(kernels, "_chosen", [META])
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *given, fused, **how: adam(*given, **how))
    # what a tensor holds is not known there
    monkeypatch.setattr(Threat, "recorded", property(lambda _: True))
    with Apart() as watched:
        yield watched


def test_nobody_chose(chosen):
    assert kernels.chosen_device() == "cpu"


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [("auto", False, "cpu"), ("auto", True, "cuda"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_the_device_that_is_there_is_taken(chosen, monkeypatch, wanted, found, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    kernels.use_device(wanted)
    assert kernels.chosen_device() == expected


def test_a_gpu_that_is_not_there_is_refused_in_one_line(chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r"^device: cuda, but [^\n]+; take auto or cpu$"):
        kernels.use_device("cuda")
    assert kernels.chosen_device() == "cpu"


def test_a_stage_without_its_gpu_ends_before_it_begins(chosen, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(stages, "load", lambda: configured(["device=cuda", "threads=1"]))
    monkeypatch.setattr(sys, "argv", ["stage"])
    begun = []

    def stage(cfg):
        begun.append(cfg)
        return ""

    with pytest.raises(SystemExit) as ended:
        stages.run(stage)
    said = capsys.readouterr().err
    assert (ended.value.code, begun, said.count("\n")) == (2, [], 1)
    assert said.startswith("error: device: cuda, but ")


def test_no_process_is_forked_beside_a_gpu(chosen, monkeypatch, two_threads):
    monkeypatch.setattr(kernels, "_chosen", ["cuda"])
    with workers() as pool:
        assert isinstance(pool, Inline)


@pytest.fixture(params=["records", "images"])
def clinic(request):
    """A small configuration, a data set, a plan, and the names of two threats."""
    few = ["train.epochs=1", "distill.epochs=1"]
    if request.param == "images":
        cfg = configured(["experiment=digits", *few, "certified.threat=pixels", ALL])
        dataset = scans.dataset(60, seed=0)
        halves = (torch.arange(60) >= 30).long() * 2
        return dataset, Plan.official(halves, seeds=2, seed=0), cfg
    dataset = tiny.records(60, seed=0)
    return dataset, tiny.plan(dataset), configured([*few, ALL])


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.heavy
def test_recipes_train_elsewhere_and_come_home(elsewhere, clinic, name):
    dataset, plan, cfg = clinic
    trained = DEFENSES[name](dataset, plan, cfg, **cfg.defenses[name])
    assert elsewhere.elsewhere > 100
    assert trained.device == trained.cut.device == CPU
    assert {one.device for one in trained.preprocessing.values()} == {CPU}


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ANYWHERE)
@pytest.mark.heavy
@pytest.mark.slow
def test_attacks_go_where_networks_are_trained_and_come_home(elsewhere, clinic, name, norm):
    dataset, plan, cfg = clinic
    networks = population_of(architecture_for(dataset, cfg), *untrained(dataset, plan, cfg))
    threat = replace(Threat.of(dataset.schema, next(iter(cfg.threat.values()))), norm=norm)
    attack = evasion_attack(cfg.attack[name], "attack")
    x = dataset.x.expand(plan.size, *dataset.x.shape)
    for eps in (0.5, torch.full((2, *[1] * x.dim()), 0.5)):
        before = elsewhere.elsewhere
        x_adv = attack(networks, x, dataset.y, threat, eps=eps, generator=torch.Generator())
        assert x_adv.device == CPU
        assert elsewhere.elsewhere > before + 5


@pytest.mark.parametrize("name", ["fab", "square", "hop_skip_jump"])
@pytest.mark.heavy
def test_other_attacks_stay(elsewhere, clinic, name):
    dataset, plan, cfg = clinic
    if name not in cfg.attack:
        pytest.skip("not configured for images")
    networks = population_of(architecture_for(dataset, cfg), *untrained(dataset, plan, cfg))
    threat = Threat.of(dataset.schema, next(iter(cfg.threat.values())))
    x = dataset.x[:4].expand(plan.size, 4, *dataset.x.shape[1:])
    run = evasion_attack(cfg.attack[name], "attack")
    run(networks, x, dataset.y[:4], threat, eps=0.5, generator=torch.Generator())
    assert elsewhere.elsewhere == 0


def test_a_tensor_that_is_left_behind_is_noticed(elsewhere):
    with pytest.raises(AssertionError, match=r"aten\.add"):
        torch.ones(2, device=META) + torch.ones(2)


# ---- on a GPU, where there is one ----

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
APART = 0.02  # log-odds after a training of few steps; and the least margin of an attack


@gpu
@pytest.mark.parametrize("name", RECIPES)
def test_recipes_train_on_a_gpu_as_here(chosen, clinic, name):
    """More steps than are taken one by one before they are recorded."""
    dataset, plan, cfg = clinic
    longer = {"train": cfg.train.model_copy(update={"batch_size": 10, "epochs": 4})}
    cfg = cfg.model_copy(update=longer)

    def trained(device):
        kernels.use_device(device)
        return DEFENSES[name](dataset, plan, cfg, **cfg.defenses[name])

    here, there, again = trained("cpu"), trained("cuda"), trained("cuda")
    assert there.digest == again.digest
    kernels.use_device("cpu")
    x = dataset.x.expand(plan.size, *dataset.x.shape)
    assert (here(x).diff(dim=-1) - there(x).diff(dim=-1)).abs().max() < APART


@gpu
@pytest.mark.parametrize("name", ANYWHERE)
def test_attacks_do_on_a_gpu_what_they_do_here(chosen, clinic, name):
    dataset, plan, cfg = clinic
    networks = population_of(architecture_for(dataset, cfg), *untrained(dataset, plan, cfg))
    threat = Threat.of(dataset.schema, next(iter(cfg.threat.values())))
    x = dataset.x.expand(plan.size, *dataset.x.shape)
    run = evasion_attack(cfg.attack[name], "attack")

    def least(device):
        kernels.use_device(device)
        drawn = torch.Generator().manual_seed(0)
        return margin(
            networks(run(networks, x, dataset.y, threat, eps=0.5, generator=drawn)), dataset.y
        )

    here, there = least("cpu"), least("cuda")
    kernels.use_device("cpu")
    assert (here - there).abs().mean() < APART


def untrained(dataset, plan, cfg):
    """Constants, weights and labels of networks as they are before training."""
    architecture = architecture_for(dataset, cfg)
    constants = own_constants(architecture, dataset, plan)
    return constants, initialised(architecture, plan.seeds), plan.labels
