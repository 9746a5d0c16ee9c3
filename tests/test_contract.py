"""What one place says, the others know: registries, `conf/`, `dvc.yaml`, the stages and the tests."""

import ast
import inspect
from functools import cache
from pathlib import Path

import pytest
import yaml

from pipeline.attacks.evasion import ACCESS, EVASION, NORMS, SET_BY_PROGRAM
from pipeline.config import ThreatConfig
from pipeline.defenses import DEFENSES
from pipeline.models.mlp import MODELS
from tiny import ROOT

CONF, PACKAGE, TESTS = ROOT / "conf", ROOT / "pipeline", ROOT / "tests"
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = DVC["stages"]
DEFAULTS = {
    group: value
    for entry in yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    if isinstance(entry, dict)
    for group, value in entry.items()
}
# A defence that would take every `dvc repro` a minute longer: `python -m pipeline defense=...`
# trains and evaluates it.
FOR_SWEEPS = {"dp_adv_train"}
STAGED = [name for name in DEFENSES if name not in FOR_SWEEPS]
MODULES = sorted(PACKAGE.rglob("*.py"))


def presets(group):
    return {path.stem: path for path in sorted((CONF / group).glob("*.yaml"))}


def content(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def package_line(path):
    """Where Hydra puts the file's keys."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("# @package ") if first.startswith("# @package ") else None


# ---- registries and conf/ ----


def test_every_attack_has_a_file_and_every_file_an_attack():
    assert {content(path)["method"] for path in presets("attack").values()} == set(EVASION)


def test_every_defence_has_a_file_and_every_file_a_defence():
    assert set(presets("defense")) == set(DEFENSES)


def test_every_model_has_a_file_and_every_file_a_model():
    assert {content(path)["name"] for path in presets("model").values()} == set(MODELS)
    assert all(content(path)["name"] == name for name, path in presets("model").items())


def test_every_data_set_is_named_as_its_file():
    assert all(content(path)["name"] == name for name, path in presets("data").items())


@pytest.mark.parametrize(
    ("group", "place"),
    [
        ("attack", "attack.{}"),
        ("threat", "threat.{}"),
        ("defense", "{}"),
        ("experiment", "_global_"),
    ],
)
def test_a_file_puts_its_keys_where_its_name_says(group, place):
    for name, path in presets(group).items():
        assert package_line(path) == place.format(name), path.name


def test_every_attack_there_is_runs_by_default():
    assert set(DEFAULTS["attack"]) == set(presets("attack"))


def test_every_defence_runs_by_default_but_those_for_sweeps():
    assert set(DEFAULTS["defense"]) | FOR_SWEEPS == set(presets("defense"))


def test_clinical_unconstrained_and_sparse_run_by_default_the_other_threats_are_presets():
    assert DEFAULTS["threat"] == ["clinical", "unconstrained", "sparse"]
    assert set(DEFAULTS["threat"]) <= set(presets("threat"))


def test_every_threat_says_all_of_itself():
    assert all(
        set(content(path)) == set(ThreatConfig.model_fields) for path in presets("threat").values()
    )
    assert all(ThreatConfig(**content(path)) for path in presets("threat").values())


def test_the_tables_of_attacks_name_the_same_attacks():
    assert list(NORMS) == list(ACCESS) == list(EVASION)


def test_defences_are_run_in_the_order_of_their_registry():
    assert DEFAULTS["defense"] == STAGED


# ---- signatures ----


def parameters(function):
    every = inspect.signature(function).parameters.values()
    keyword_only = {p.name: p for p in every if p.kind is p.KEYWORD_ONLY}
    return [p.name for p in every if p.kind is p.POSITIONAL_OR_KEYWORD], keyword_only, len(every)


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defence_is_a_recipe(name):
    positional, options, count = parameters(DEFENSES[name])
    assert positional == ["dataset", "plan", "cfg"]
    assert count == 3 + len(options)
    assert DEFENSES[name].__name__ == name
    assert all(option.annotation is not option.empty for option in options.values())
    assert set(content(presets("defense")[name])) <= set(options)
    assert DEFENSES[name].__doc__


@pytest.mark.parametrize("name", EVASION)
def test_an_attack_takes_records_and_a_threat_and_a_generator(name):
    positional, options, count = parameters(EVASION[name])
    assert positional == ["logits_fn", "x", "y", "threat"]
    assert count == 4 + len(options)
    assert next(iter(options)) == "eps"
    assert set(SET_BY_PROGRAM) <= set(options)
    assert options["eps"].default is options["eps"].empty
    assert all(option.annotation is not option.empty for option in options.values())
    assert EVASION[name].__name__ == name
    assert EVASION[name].__doc__


@pytest.mark.parametrize("name", MODELS)
def test_a_model_takes_inputs_outputs_and_widths(name):
    assert parameters(MODELS[name])[0] == ["features", "classes", "hidden"]
    assert MODELS[name](5, 2, content(presets("model")[name])["hidden"]).name == name


# ---- stages ----


def stage_file(stage):
    return PACKAGE / "stages" / f"{stage}.py"


def test_every_stage_has_a_file_and_every_file_a_stage():
    assert {
        path.stem for path in (PACKAGE / "stages").glob("*.py") if not path.stem.startswith("_")
    } == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_its_file_and_says_what_it_reads_and_writes(stage):
    assert STAGES[stage]["cmd"] == f"python -m pipeline.stages.{stage}"
    said = ast.get_docstring(ast.parse(stage_file(stage).read_text(encoding="utf-8")))
    assert f"Command:  {STAGES[stage]['cmd']}\n" in said
    reads, writes = said.split("Reads:")[1].split("Writes:")
    assert f"artifacts/{stage}/" in writes
    assert STAGES[stage]["outs"] == [{f"artifacts/{stage}": {"persist": True, "push": False}}]
    inputs = {dep for dep in STAGES[stage]["deps"] if not dep.startswith("pipeline/")}
    for other in {f"artifacts/{name}" for name in STAGES} | {"data"}:
        named = f"{other}/" in reads
        everyone = "<every defence>" in reads and other.removeprefix("artifacts/") in {
            *STAGED,
            "train_baseline",
        }
        assert (other in inputs) == (named or everyone), other


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_short(stage):
    assert len(stage_file(stage).read_text(encoding="utf-8").splitlines()) <= 60


def test_every_defence_is_trained_by_a_stage_and_evaluated():
    stages_of = {f"train_{name}" if name == "baseline" else name for name in STAGED}
    assert stages_of <= set(STAGES)
    assert {f"artifacts/{stage}" for stage in stages_of} <= set(STAGES["evaluate"]["deps"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_parameters_that_exist(stage):
    composed = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert set(STAGES[stage]["params"]) <= set(composed)
    recipes = [recipe_of(stage)] if recipe_of(stage) else RETRAINED.get(stage, [])
    assert set(recipes) <= set(STAGES[stage]["params"])
    assert not recipes or {"model", "train"} <= set(STAGES[stage]["params"])


EXPERIMENTS = {
    "pipeline/risks/membership/measure/shadows.py",
    "pipeline/risks/poisoning/measure/recipes.py",
    "pipeline/risks/theft/measure/copies.py",
}  # train a recipe by its name


def test_who_runs_an_experiment_trains_anew():
    assert set(RETRAINED) == {stage for stage in STAGES if EXPERIMENTS & code_of(stage)}


def test_what_dvc_shows_is_written_by_a_stage():
    curves = [value for plot in DVC["plots"] if isinstance(plot, dict) for value in plot.values()]
    pictures = [plot for plot in DVC["plots"] if isinstance(plot, str)]
    shown = [*DVC["metrics"], *(path for curve in curves for path in curve["y"]), *pictures]
    assert all(columns == STAGED for curve in curves for columns in curve["y"].values())
    assert all(any(path.startswith(f"artifacts/{stage}/") for stage in STAGES) for path in shown)


# ---- which code a stage runs ----

# Registries and checks name every attack, model and defence there is; what a stage runs of them
# follows from its own recipe.
NOT_FOLLOWED = {"pipeline.params", "pipeline.defenses", "pipeline.sweep", "pipeline.__main__"}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in MODULES}


@cache
def imports(module):
    """The modules of the package that a module imports anywhere in its file, the packages above them included."""
    names = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    names |= {
        ".".join(name.split(".")[:depth])
        for name in names
        for depth in range(1, name.count(".") + 1)
    }
    return names & set(FILES)


def recipe_of(stage):
    """The defence that a training stage names."""
    for node in ast.walk(ast.parse(stage_file(stage).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "train_stage":
            return next(
                keyword.value.value for keyword in node.keywords if keyword.arg == "defense"
            )
    return None


# What a stage trains anew, beside what other stages have trained; the frontier trains models of its
# own section.
RETRAINED = {
    "attack": ["baseline"],
    "frontier": [],
    "poisoning": STAGED,
    "theft": STAGED,
    "evaluate": STAGED,
}


def code_of(stage):
    """The files that decide what a stage does, but for those that only list and check."""
    recipe = recipe_of(stage)
    recipes = [recipe] if recipe else RETRAINED.get(stage, [])
    waiting = {
        "pipeline.stages",
        f"pipeline.stages.{stage}",
        *(DEFENSES[name].__module__ for name in recipes),
    }
    found = set()
    while waiting:
        module = waiting.pop()
        found.add(module)
        if module not in NOT_FOLLOWED:
            waiting |= imports(module) - found
    return {
        FILES[module].relative_to(ROOT).as_posix() for module in found - NOT_FOLLOWED - {"pipeline"}
    }


def covers(dep, file):
    return file == dep or file.startswith(f"{dep}/")


def test_the_package_itself_holds_no_code():
    assert [type(node) for node in ast.parse(FILES["pipeline"].read_text()).body] == [ast.Expr]


def test_imports_are_found_wherever_they_stand():
    assert {
        "pipeline.attacks.evasion",
        "pipeline.models.answers",
        "pipeline.data.threat",
    } <= imports("pipeline.risks.evasion.measure.examination")
    assert "pipeline.defenses.opacus_engine" in imports(
        "pipeline.defenses.privacy"
    )  # inside a function
    assert "pipeline.statistics.rates" in imports(
        "pipeline.risks.evasion.tables"
    )  # from pipeline.statistics import rates
    assert "pipeline/defenses/opacus_engine.py" in code_of("dp_train")
    assert "pipeline/defenses/opacus_engine.py" not in code_of("distill")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_it_runs(stage):
    lacking = {
        file
        for file in code_of(stage)
        if not any(covers(dep, file) for dep in STAGES[stage]["deps"])
    }
    assert not lacking, f"dvc.yaml: {stage} lacks {', '.join(sorted(lacking))}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_code_that_it_does_not_run(stage):
    deps = [dep for dep in STAGES[stage]["deps"] if dep.startswith("pipeline")]
    vain = {dep for dep in deps if not any(covers(dep, file) for file in code_of(stage))}
    assert not vain, f"dvc.yaml: {stage} lists in vain {', '.join(sorted(vain))}"
    assert len(deps) == len(set(deps))
    assert all((ROOT / dep).exists() for dep in deps)


# ---- files ----


@pytest.mark.parametrize("path", MODULES, ids=FILES)
def test_a_module_is_no_longer_than_one_can_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


MIRRORS_NOTHING = {Path("test_contract.py")}


def mirrored(test):
    """The module or package that a test module is about."""
    place = (
        (ROOT if test.parts[0] == "benchmarks" else PACKAGE)
        / test.parent
        / test.stem.removeprefix("test_")
    )
    return [
        place.with_suffix(".py"),
        place / "__init__.py",
        place.with_name(f"__{place.name}__.py"),
    ]


@pytest.mark.parametrize(
    "test",
    [path.relative_to(TESTS) for path in sorted(TESTS.rglob("test_*.py"))],
    ids=lambda path: path.as_posix(),
)
def test_a_test_module_mirrors_a_module(test):
    names_the_package = test == Path("test_pipeline.py")
    assert (
        test in MIRRORS_NOTHING
        or names_the_package
        or any(path.exists() for path in mirrored(test))
    )
