"""What one place says, the others know: registries, `conf/`, `dvc.yaml`, stages and tests."""

import ast
import inspect
from functools import cache
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from pipeline.attacks.evasion import ACCESS_LEVELS, EVASION, MUST_BEAT, SET_BY_PROGRAM
from pipeline.config import ModelConfig, ThreatConfig
from pipeline.defenses import DEFENSES, STUDENTS
from pipeline.defenses.kinds import MADE
from pipeline.models.designs import MODELS, OF_IMAGES, OF_RECORDS
from pipeline.risks import RISKS
from pipeline.standards import KNOWLEDGE
from tiny import ROOT

CONF, PACKAGE, TESTS = ROOT / "conf", ROOT / "pipeline", ROOT / "tests"
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
COMPOSED = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
DEFAULTS = {
    group: value
    for entry in yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    if isinstance(entry, dict)
    for group, value in entry.items()
}
# Defenses that would take every `dvc repro` a minute longer, or that are for images first of all:
# `python -m pipeline defense=...` trains and evaluates one, `extra` in an experiment adds it.
FOR_SWEEPS = {"certified", "dp_adv_train", "seda", "seda_whole", "smoothed", *STUDENTS}
FOR_SWEEPS |= {"forest", "extra_trees", "boosting", "larger_leaves", "small_boosting", "monotone"}
FOR_SWEEPS |= {"hardened", "federated", "federated_private", "federated_noisy_server"}
STAGED = [name for name in DEFENSES if name not in FOR_SWEEPS]
# Of these, those that `dvc.yaml` names; the others are trained by the stage `extra`.
NAMED = [name for name in STAGED if name not in COMPOSED["extra"]]
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


def test_every_defense_has_a_file_and_every_file_a_defense():
    assert set(presets("defense")) == set(DEFENSES)


def test_every_model_has_a_file_and_every_file_a_model():
    assert {content(path)["name"] for path in presets("model").values()} == {*MODELS, *MADE}
    assert all(content(path)["name"] == name for name, path in presets("model").items())


def test_every_data_set_is_named_as_its_file():
    assert all(content(path)["name"] == name for name, path in presets("data").items())


@pytest.mark.parametrize(
    ("group", "place"),
    [
        ("risk", "{}"),
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


def test_every_defense_runs_by_default_but_those_for_sweeps():
    assert set(DEFAULTS["defense"]) | FOR_SWEEPS == set(presets("defense"))


def test_five_threats_run_by_default_the_others_are_presets():
    assert DEFAULTS["threat"] == ["clinical", "careless", "unconstrained", "sparse", "repeat"]
    assert set(DEFAULTS["threat"]) <= set(presets("threat"))


def test_every_threat_says_all_of_itself():
    assert all(
        set(content(path)) == set(ThreatConfig.model_fields) for path in presets("threat").values()
    )
    every = {name: content(path) for name, path in presets("threat").items()}
    resolved = OmegaConf.to_container(OmegaConf.create({"threat": every}), resolve=True)
    made = {name: ThreatConfig(**one) for name, one in resolved["threat"].items()}
    assert made["careless"] == made["clinical"].model_copy(update={"consistent": False})


def test_every_access_of_an_attack_has_its_standards_and_its_rank():
    assert set(ACCESS_LEVELS) == set(MUST_BEAT) == set(KNOWLEDGE)
    assert {attack.access for attack in EVASION.values()} <= set(KNOWLEDGE)


def test_defenses_are_run_in_the_order_of_their_registry():
    assert DEFAULTS["defense"] == STAGED


# ---- signatures ----


def parameters(function):
    every = inspect.signature(function).parameters.values()
    keyword_only = {p.name: p for p in every if p.kind is p.KEYWORD_ONLY}
    return [p.name for p in every if p.kind is p.POSITIONAL_OR_KEYWORD], keyword_only, len(every)


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defense_is_a_recipe(name):
    positional, options, count = parameters(DEFENSES[name])
    assert positional == ["dataset", "plan", "cfg"]
    assert count == 3 + len(options)
    assert all(option.annotation is not option.empty for option in options.values())
    assert set(content(presets("defense")[name])) <= set(options)
    assert DEFENSES[name].__doc__


@pytest.mark.parametrize("name", EVASION)
def test_an_attack_takes_records_and_a_threat_and_a_generator(name):
    positional, options, count = parameters(EVASION[name].run)
    assert positional == ["logits_fn", "x", "y", "threat"]
    assert count == 4 + len(options)
    assert next(iter(options)) == "eps"
    assert set(SET_BY_PROGRAM) <= set(options)
    assert options["eps"].default is options["eps"].empty
    assert all(option.annotation is not option.empty for option in options.values())
    assert EVASION[name].run.__name__ == name
    assert EVASION[name].run.__doc__


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_made_for_its_inputs_and_outputs_as_its_file_says(name):
    told = ModelConfig(**content(presets("model")[name]))
    if name in OF_IMAGES:
        assert OF_IMAGES[name]((1, 28, 28), 2, told).name == name
        return
    assert parameters(OF_RECORDS[name])[0] == ["features", "classes", "hidden"]
    assert OF_RECORDS[name](5, 2, told.hidden).name == name


# ---- stages ----


def expanded(name, entry):
    """A stage as DVC runs it; a `foreach` once for each of its items, an empty one for a recipe."""
    if "foreach" not in entry:
        return {name: entry}
    items = COMPOSED[entry["foreach"].strip("${}")] or sorted(FOR_SWEEPS)
    text = yaml.safe_dump(entry["do"])
    return {f"{name}@{item}": yaml.safe_load(text.replace("${item}", item)) for item in items}


STAGES = {
    stage: one
    for name, entry in DVC["stages"].items()
    for stage, one in expanded(name, entry).items()
}
RAW = "${data.file}"  # of params.yaml: the records
TRAINED = {"baseline": "train_baseline"}  # the other defenses have a stage of their own name
EVERY = [f"artifacts/{TRAINED.get(name, name)}" for name in NAMED]
RISKS_WITH_A_STAGE = [f"artifacts/{risk.name}" for risk in RISKS if risk.name in STAGES]


def command_of(stage):
    """The module and the arguments of a stage."""
    python, option, module, *arguments = STAGES[stage]["cmd"].split()
    assert (python, option) == ("python", "-m")
    return module, arguments


def stage_file(stage):
    module, _ = command_of(stage)
    return ROOT / f"{module.replace('.', '/')}.py"


PUBLISHED = "results/${data.name}"  # whose name is one that results/.gitignore lets pass, or none
IN_GIT = {PUBLISHED: {"persist": True, "cache": False}}


def output_of(stage):
    """The one folder that a stage writes; what may lie in git is beside it."""
    out, *in_git = STAGES[stage]["outs"]
    assert in_git == ([IN_GIT] if stage == "evaluate" else [])
    ((path, how),) = out.items()
    assert how == {"persist": True, "push": False}
    return path


def recipe_of(stage):
    """The defense that a stage trains or examines."""
    _, arguments = command_of(stage)
    names = {TRAINED[name]: name for name in TRAINED}
    return names.get(arguments[0], arguments[0]) if arguments else None


# What a stage trains anew; the frontier trains models of its own section.
RETRAINED = {
    "attack": ["baseline"],
    "safeguards": ["baseline"],
    "poisoning": COMPOSED["poisoning"]["recipes"],
    "theft": COMPOSED["theft"]["recipes"],
    "transport": COMPOSED["transport"]["recipes"],
}


def recipes_of(stage):
    return [recipe_of(stage)] if recipe_of(stage) else RETRAINED.get(stage, [])


def test_every_file_of_a_stage_is_run():
    files = {path for path in (PACKAGE / "stages").glob("*.py") if path.stem[0] != "_"}
    assert {stage_file(stage) for stage in STAGES} == files


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_says_what_it_runs_reads_and_writes(stage):
    said = ast.get_docstring(ast.parse(stage_file(stage).read_text(encoding="utf-8")))
    command = said.split("Command:")[1].split("\n")[0].strip()
    module, arguments = command_of(stage)
    assert command.split()[:3] == ["python", "-m", module]
    assert len(command.split()) == 3 + len(arguments)
    reads, writes = said.split("Reads:")[1].split("Writes:")
    for argument in arguments:
        reads, writes = (
            text.replace("<defense>", argument).replace("<stage>", argument)
            for text in (reads, writes)
        )
    assert f"{output_of(stage)}/" in writes
    inputs = {dep for dep in STAGES[stage]["deps"] if not dep.startswith("pipeline/")}
    written = {output_of(other) for other in STAGES} | {"artifacts/examine"}
    assert (RAW in inputs) == (RAW in reads)
    assert inputs <= {RAW, *written}
    for other in written:
        named = f"{other}/" in reads or ("<every defense>" in reads and other in EVERY)
        named |= "<every risk>" in reads and other in RISKS_WITH_A_STAGE
        assert (other in inputs) == named, other


def test_only_prepare_reads_the_raw_file_and_exactly_that():
    assert [stage for stage in STAGES if RAW in STAGES[stage]["deps"]] == ["prepare"]
    for name, path in presets("data").items():
        described = content(path)
        own = path.relative_to(ROOT).as_posix()
        bundled = described["source"] in ("sklearn", "package")
        assert described["file"] == own if bundled else described["file"].startswith("data/"), name


def test_only_the_bundled_data_can_enter_git_or_the_remote_inside_the_repository():
    tracked = content(ROOT / "data.dvc")["outs"]
    places = [(out["path"], out["remote"], out["push"]) for out in tracked]
    assert places == [("data/pima.csv", "repository", False)]
    remote = ROOT / ".dvc" / "remote" / "files" / "md5"
    stored = {
        "".join(path.relative_to(remote).parts) for path in remote.rglob("*") if path.is_file()
    }
    assert stored == {out["md5"] for out in tracked}
    # no default: a plain `dvc push` goes nowhere
    assert "remote =" not in (ROOT / ".dvc" / "config").read_text()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_short(stage):
    assert len(stage_file(stage).read_text(encoding="utf-8").splitlines()) <= 60


def test_every_defense_is_trained_and_examined_by_a_stage_and_evaluated():
    trained = {recipe_of(stage) for stage in STAGES if "train" in command_of(stage)[0]}
    assert set(STAGED) <= trained
    assert COMPOSED["examine"] == [name for name in STAGED if name != "baseline"]
    assert {*EVERY, "artifacts/attack", "artifacts/examine"} <= set(STAGES["evaluate"]["deps"])


def test_every_risk_that_has_a_stage_is_evaluated():
    names = {risk.name for risk in RISKS} & set(STAGES)
    assert names
    assert {f"artifacts/{name}" for name in names} <= set(STAGES["evaluate"]["deps"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_parameters_that_exist(stage):
    for path in STAGES[stage]["params"]:
        one = COMPOSED
        for part in path.split(".") if path not in FOR_SWEEPS else ():
            one = one[part]
    params = {path.partition(".")[0] for path in STAGES[stage]["params"]}
    assert params <= {*COMPOSED, *FOR_SWEEPS}
    assert set(recipes_of(stage)) <= params
    assert not recipes_of(stage) or {"model", "train"} <= params


def test_what_dvc_shows_is_written_by_a_stage():
    curves = [how for plot in DVC["plots"] for how in plot.values()]
    shown = [*DVC["metrics"], *(path for curve in curves for path in curve["y"])]
    assert all(path.startswith(f"{PUBLISHED}/") for path in shown)


def test_the_dag_is_short_enough_to_read():
    assert (
        len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 237
    )  # fifteen stages, and room for the guides


# ---- which code a stage runs ----

# Registries and checks name every attack, model, defense and risk there is; what a stage runs of
# them follows from its own recipe.
NOT_FOLLOWED = {"pipeline.params", "pipeline.defenses", "pipeline.risks"}
# What only draws up, shows and logs.
SHOWING = ("pipeline/report", "pipeline/tracking", "pipeline/presentation", "pipeline/serving")


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in MODULES}


@cache
def tree_of(module):
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@cache
def imports(module):
    """The modules that a module imports anywhere in its file, and the packages above them."""
    names = set()
    for node in ast.walk(tree_of(module)):
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


def says_nothing(module):
    """Whether a module holds a docstring and no code."""
    return [type(node) for node in tree_of(module).body] == [ast.Expr]


def code_of(stage):
    """The files that decide what a stage does, but for those that only list and check."""
    module, _ = command_of(stage)
    waiting = {
        "pipeline.stages",
        module,
        *(DEFENSES[name].__module__ for name in recipes_of(stage)),
    }
    if stage == "evaluate":  # by the names that every risk has
        waiting |= {name for name in FILES if name.startswith("pipeline.risks.")}
    found = set()
    while waiting:
        one = waiting.pop()
        found.add(one)
        if one not in NOT_FOLLOWED:
            waiting |= imports(one) - found
    kept = {one for one in found - NOT_FOLLOWED if not says_nothing(one)}
    return {FILES[one].relative_to(ROOT).as_posix() for one in kept}


def covers(dep, file):
    return file == dep or file.startswith(f"{dep}/")


def code_deps(stage):
    return [dep for dep in STAGES[stage]["deps"] if dep.startswith("pipeline")]


def test_the_package_itself_holds_no_code():
    assert says_nothing("pipeline")


def test_imports_are_found_wherever_they_stand():
    assert "pipeline.defenses.opacus_engine" in imports(
        "pipeline.defenses.privacy"
    )  # in a function
    assert "pipeline.statistics.rates" in imports("pipeline.risks.evasion.comparison")
    assert "pipeline/defenses/opacus_engine.py" in code_of("dp_train")
    assert "pipeline/defenses/opacus_engine.py" not in code_of("distill")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_it_runs(stage):
    lacking = {
        file for file in code_of(stage) if not any(covers(dep, file) for dep in code_deps(stage))
    }
    assert not lacking, f"dvc.yaml: {stage} lacks {', '.join(sorted(lacking))}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_code_that_it_does_not_run(stage):
    deps, code = code_deps(stage), code_of(stage)
    if stage.startswith("extra@"):  # lists what any recipe may run
        code |= {
            FILES[recipe.__module__].relative_to(ROOT).as_posix() for recipe in DEFENSES.values()
        }
        code |= set().union(*(code_of(other) for other in STAGES if recipe_of(other)))
    vain = {dep for dep in deps if not any(covers(dep, file) for file in code)}
    assert not vain, f"dvc.yaml: {stage} lists in vain {', '.join(sorted(vain))}"
    assert len(deps) == len(set(deps))
    assert all((ROOT / dep).exists() for dep in deps)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("evaluate", "gate")])
def test_a_measurement_does_not_depend_on_what_shows_it(stage):
    for dep in code_deps(stage):
        assert not dep.startswith(SHOWING), dep
        assert not dep.startswith("pipeline/risks") or dep.endswith("/measure"), dep


# ---- risks ----


@pytest.mark.parametrize("risk", RISKS, ids=lambda risk: risk.name)
def test_a_risk_has_a_package_of_the_usual_names_and_a_section(risk):
    place = PACKAGE / "risks" / risk.name
    assert {"measure", "tables.py", "report.py", "risk.py"} <= {
        path.name for path in place.iterdir()
    }
    assert (risk.settings is not None) == (risk.name in presets("risk"))
    assert (risk.settings is not None) == (place / "measure" / "settings.py").exists()


def test_every_folder_of_a_risk_is_in_the_registry_and_every_preset_is_of_a_risk():
    folders = {path.parent.name for path in (PACKAGE / "risks").glob("*/risk.py")}
    assert folders == {risk.name for risk in RISKS}
    assert set(presets("risk")) == {risk.name for risk in RISKS if risk.settings is not None}
    assert set(DEFAULTS["risk"]) == set(presets("risk"))


def test_the_house_is_small_enough_to_see_at_once():
    names = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(names) <= 30  # with `api`, `cluster`, `cohort`, `gate` and `project`


# ---- files ----


def test_a_module_is_no_longer_than_one_can_read():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert len(lines) > 300
    assert not [path for path, count in lines.items() if count > 400]


def test_no_function_is_named_as_its_module():
    """`page.page` says once less than it could."""
    for path in MODULES:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        assert path.stem not in functions, path


TOOLS = (
    "contract",
    "docs",
    "guides",
    "kinds",
    "one_fault",
    "one_number",
    "search",
    "site",
    "story",
)
NO_MODULE = ("browser", "dvc")  # pages where they are read, figures where DVC compares them
MIRRORS_NOTHING = {
    *(Path(f"report/test_{name}.py") for name in NO_MODULE),
    *(Path(f"test_{name}.py") for name in TOOLS),
    Path("sweep/test_together.py"),  # whole commands side by side
    *(Path(f"team/test_{name}.py") for name in ("claims_elsewhere", "in_trouble", "remote")),
    Path("team/test_sweep_on_servers.py"),
}


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


def test_a_test_module_mirrors_a_module():
    tests = [path.relative_to(TESTS) for path in sorted(TESTS.rglob("test_*.py"))]
    assert len(tests) > 200
    allowed = {*MIRRORS_NOTHING, Path("test_pipeline.py")}  # that names the package
    for test in tests:
        assert test in allowed or any(path.exists() for path in mirrored(test)), test


def test_no_test_module_is_imported():
    """What two of them share stands beside them, in a module that is no test."""
    for test in sorted(TESTS.rglob("*.py")):
        taken = set()
        for node in ast.walk(ast.parse(test.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                taken |= {node.module or "", *(one.name for one in node.names)}
            elif isinstance(node, ast.Import):
                taken |= {one.name for one in node.names}
        assert not [name for name in taken if name.split(".")[-1].startswith("test_")], test


# What these import, the floors keep below as well.
BELOW_RISKS = {"config", "data", "kernels", "models", "statistics"}


@pytest.mark.parametrize("name", ["conftest.py", "tiny.py"])
def test_what_all_tests_share_waits_for_no_risk(name):
    """A broken risk breaks its own tests, not every test."""
    first = ast.parse((TESTS / name).read_text(encoding="utf-8")).body
    taken = {node.module for node in first if isinstance(node, ast.ImportFrom)}
    taken |= {one.name for node in first if isinstance(node, ast.Import) for one in node.names}
    ours = [module for module in taken if module.split(".")[0] == "pipeline"]
    assert {f"{module}.".split(".")[1] for module in ours} <= BELOW_RISKS
