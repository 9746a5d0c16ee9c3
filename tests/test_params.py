"""`params.yaml` is what `conf/` says, byte for byte, and every mistake in either is one line."""

import shutil
import sys
from functools import cache

import pytest
import yaml
from omegaconf import OmegaConf

from mistakes import complaint, planted
from pipeline import params
from tiny import ROOT

pytestmark = pytest.mark.heavy

CONF = ROOT / "conf"
PRESETS = {path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.glob("*/**/*.yaml")}
BY_DEFAULT = {"data/pima", "model/mlp", "train/default", "audit/default", "decision/specificity"}
BY_DEFAULT |= {"report/default", "gate/default", "serving/default", "tracking/default"}
BY_DEFAULT |= {
    preset for preset in PRESETS if preset.startswith(("threat/", "attack/", "defense/", "risk/"))
}
OTHER_THREATS = ["euclidean", "false_alarm", "forger", "missed_diagnosis"]
BY_DEFAULT -= {f"threat/{name}" for name in OTHER_THREATS} | {"defense/dp_adv_train"}
OF_IMAGES = ["breast_ultrasound", "digits", "pneumonia"]
PIXELS = ["threat=[pixels,pixels_missed]", "audit.headline=pixels", "adv_train.threat=pixels"]
ON_IMAGES = ["data=digits", "model=cnn", "examine=[adv_train]", *PIXELS]
BY_DEFAULT -= {"threat/pixels", "threat/pixels_missed"}
SEDA = ("seda", "seda_whole", "seda_student", "seda_student_hard")
GROWN = ("forest", "extra_trees", "boosting")
FEDERATED = ("federated", "federated_private", "federated_noisy_server")
TREES = (*GROWN, "larger_leaves", "small_boosting", "monotone")
BY_DEFAULT -= {
    f"defense/{name}" for name in ("certified", *FEDERATED, "hardened", "smoothed", *SEDA, *TREES)
}
OTHER_RULES = ["threshold", "sensitivity", "youden", "prevalence"]
EXPERIMENTS_OF_IMAGES = (
    *("breast_ultrasound", "digits", "image_defenses"),
    *("pneumonia", "pneumonia_front", "pneumonia_thorough", "seda"),
)
CHOSEN = {
    **{f"threat/{name}": [f"threat=[clinical,{name}]"] for name in OTHER_THREATS},
    "defense/dp_adv_train": ["defense=[baseline,dp_adv_train]"],
    "defense/certified": ["defense=[baseline,certified]"],
    **{f"defense/{name}": [f"defense=[baseline,{name}]"] for name in FEDERATED},
    **{f"defense/{name}": [f"defense=[baseline,{name}]"] for name in TREES},
    "defense/hardened": ["defense=[baseline,hardened]", "model=boosting", "examine=[]"],
    **{
        f"defense/{name}": [*ON_IMAGES[:3], *PIXELS[:2], f"defense=[baseline,{name}]"]
        for name in (*SEDA, "smoothed")
    },
    **{f"threat/{name}": ON_IMAGES for name in ("pixels", "pixels_missed")},
    **{f"data/{name}": [f"data={name}", *ON_IMAGES[1:]] for name in OF_IMAGES},
    **{
        f"model/{name}": [f"model={name}", *[one for one in ON_IMAGES if one != "model=cnn"]]
        for name in ("cnn", "vit")
    },
    **{
        f"model/{name}": [f"model={name}", "examine=[]"] for name in (*GROWN, "xgboost", "lightgbm")
    },
    "model/estimator": ["model=estimator", "model.factory=a.b:c", "examine=[]"],
    "model/frozen": ["model=frozen", "model.source=a.skops", "examine=[]"],
    "experiment/deployed": ["experiment=deployed", "model.source=a.skops", "defense=[baseline]"],
    "train/images": ["train=images"],
    **{f"experiment/{name}": [f"experiment={name}"] for name in EXPERIMENTS_OF_IMAGES},
    "data/breast_cancer": ["data=breast_cancer"],
    **{f"data/{name}": [f"data={name}"] for name in ("credit", "intrusion", "wine")},
    "experiment/sectors": ["experiment=sectors"],
    "model/linear": ["model=linear"],
    "experiment/breast_cancer": ["experiment=breast_cancer"],
    "experiment/federated": ["experiment=federated"],
    "experiment/hospitals": ["experiment=hospitals"],
    "experiment/large": ["experiment=large"],
    "experiment/million": ["experiment=million"],
    "experiment/models": ["experiment=models"],
    "experiment/models_thorough": ["experiment=models_thorough"],
    **{f"decision/{rule}": [f"decision={rule}"] for rule in OTHER_RULES},
    "experiment/smoke": ["experiment=smoke"],
    "experiment/thorough": ["experiment=thorough"],
}
EXPERIMENTS = [preset for preset in CHOSEN if preset.startswith("experiment/")]
DATA = sorted(preset.split("/")[1] for preset in PRESETS if preset.startswith("data/"))
DEFAULTS = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
STAGED = next(one["defense"] for one in DEFAULTS if "defense" in one)

EVERY_RISK = ",".join(params.SECTIONS)

text_of = cache(lambda *overrides: params.compose(list(overrides), CONF))


def composed(*overrides):
    return yaml.safe_load(text_of(*overrides))


def content(preset):
    return yaml.safe_load((CONF / f"{preset}.yaml").read_text(encoding="utf-8"))


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def at(values, path):
    for key in path.split("."):
        values = values[key]
    return values


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A copy of `conf/` in a repository of its own."""
    shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_the_file_is_written_at_the_root_from_a_folder_below_it(tmp_path, monkeypatch):
    root = tmp_path / "Ärzte und Daten"
    shutil.copytree(CONF, root / "conf")
    (root / "dvc.yaml").touch()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(root / "conf" / "data")
    monkeypatch.setattr(sys, "argv", ["params", "seed=3"])
    params.main()
    assert (root / "params.yaml").read_text(encoding="utf-8") == text_of("seed=3")
    assert not (root / "conf" / "data" / "params.yaml").exists()


# ---- conf/ ----


def test_the_committed_file_is_what_conf_says_byte_for_byte():
    assert (ROOT / "params.yaml").read_bytes() == text_of().encode(), "stale: run `make params`"


def test_the_text_is_the_one_that_dvc_composes(tmp_path):
    from dvc.utils.hydra import compose_and_dump

    compose_and_dump(
        str(tmp_path / "params.yaml"),
        str(CONF),
        None,
        "config",
        str(tmp_path),
        ["experiment=smoke"],
    )
    assert (tmp_path / "params.yaml").read_text(encoding="utf-8") == text_of("experiment=smoke")


def test_the_committed_file_fits():
    assert params.load(ROOT / "params.yaml") == params.parse(composed(), "conf")


def test_every_file_of_conf_is_in_the_default_or_in_the_table():
    of_runs = {preset for preset in PRESETS if not preset.startswith("hydra/")}  # what starts them
    assert BY_DEFAULT | set(CHOSEN) == of_runs


def test_by_default_every_attack_threat_defense_and_risk_is_configured():
    cfg = params.parse(composed(), "conf")
    found = {
        "attack": cfg.attack,
        "threat": cfg.threat,
        "defense": cfg.defenses,
        "risk": cfg.sections,
    }
    for group, names in found.items():
        wanted = {preset.split("/")[1] for preset in BY_DEFAULT if preset.startswith(f"{group}/")}
        assert set(names) == wanted - {"careless"}  # Pima states no relations
    assert (cfg.data.name, cfg.model.name) == ("pima", "mlp")


@pytest.mark.parametrize("preset", CHOSEN)
def test_every_other_file_of_conf_composes_and_fits(preset):
    cfg = params.parse(composed(*CHOSEN[preset]), "conf")
    group, name = preset.split("/")
    assert cfg != params.parse(composed(), "conf")
    named = {"threat": cfg.threat, "defense": cfg.defenses, "decision": [cfg.decision.rule]}
    assert group in ("experiment", "train") or (
        name in named[group] if group in named else getattr(cfg, group).name == name
    )


def of_images(data):
    return data in OF_IMAGES


SAME_KIND = [
    (preset, data)
    for preset in EXPERIMENTS
    for data in DATA
    if of_images(data) == (preset.split("/")[1] in EXPERIMENTS_OF_IMAGES)
]


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "data"), SAME_KIND)
def test_every_experiment_composes_and_fits_with_every_data_set_of_its_kind(preset, data):
    values = composed(*CHOSEN[preset])
    if values["data"]["name"] != data:  # else it is what is chosen already
        values = composed(*CHOSEN[preset], f"data={data}")
    assert params.parse(values, "conf").data.name == data


def test_the_threat_that_keeps_no_relations_is_there_where_there_are_some():
    values = composed()
    assert "careless" in values["threat"]
    assert params.parse(values, "conf").twins == {}
    values["data"]["relations"] = ["[blood_pressure] <= glucose"]
    cfg = params.parse(values, "conf")
    assert cfg.twins == {"clinical": "careless"}
    assert list(cfg.threat) == ["clinical", "careless", "unconstrained", "sparse", "repeat"]


def test_one_attack_threat_and_defense_can_be_chosen():
    chosen = [
        "attack=[fgsm]",
        "threat=[unconstrained]",
        "audit.headline=unconstrained",
        "defense=[distill]",
    ]
    cfg = params.parse(composed(*chosen), "conf")
    assert (list(cfg.attack), list(cfg.threat), list(cfg.defenses)) == (
        ["fgsm"],
        ["unconstrained"],
        ["distill"],
    )


@pytest.mark.parametrize("preset", EXPERIMENTS)
def test_what_an_experiment_says_wins(preset):
    content = yaml.safe_load((CONF / f"{preset}.yaml").read_text())
    content.pop("defaults", None)
    values = composed(*CHOSEN[preset])
    # what it takes over from elsewhere is what stands there
    whole = OmegaConf.create({**values, "said": content})
    said = dict(leaves(OmegaConf.to_container(whole, resolve=True)["said"]))
    assert said
    assert {path: at(values, path) for path in said} == said
    assert values != composed()


def test_an_override_wins_over_an_experiment():
    assert composed("experiment=smoke", "plan.folds=4")["plan"] == {
        "folds": 4,
        "seeds": 2,
        "trained_on": None,
        "tune": 0.0,
    }


# ---- overrides ----


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("train.epoch=3", "train.epochs"),
        ("sed=1", "seed"),
        ("attack.pgd_ce.stepz=3", "attack.pgd_ce.steps"),
        ("experment=smoke", "experiment"),
    ],
)
def test_an_override_that_names_no_key_is_one_line_with_the_nearest_one(override, hint):
    line = complaint(params.compose, [override], CONF)
    assert line.startswith("conf: ")
    assert line.endswith(f"{override.split('=')[0]}: did you mean {hint!r}?")


@pytest.mark.parametrize(
    ("override", "choices"),
    [
        ("data=pimaa", "breast_cancer breast_ultrasound credit digits intrusion pima"),
        ("attack=[fgsm,pgd]", "attack/pgd"),
        ("experiment=smok", "smoke thorough"),
    ],
)
def test_an_override_that_names_no_file_is_one_line(override, choices):
    line = complaint(params.compose, [override], CONF)
    assert line.startswith("conf: ")
    assert choices in line


@pytest.mark.parametrize("override", ["seed", "seed=[1", "~nope", "seed=${nope}"])
def test_an_override_that_cannot_be_read_is_one_line(override):
    assert complaint(params.compose, [override], CONF).startswith("conf: ")


def test_an_override_like_no_key_at_all_does_not_list_them_all():
    assert len(complaint(params.compose, ["nope=1"], CONF)) < 500


def test_a_key_added_by_force_is_refused_when_the_text_is_read():
    values = composed("++train.epoch=3")
    assert (
        complaint(params.parse, values, "conf")
        == "conf: train.epoch: unknown key; did you mean 'epochs'?"
    )


@pytest.mark.parametrize(
    ("chosen", "names"),
    [("defense=distill", ["distill"]), ("defense=[baseline,distill]", ["baseline", "distill"])],
)
def test_a_run_has_the_chosen_defenses_whatever_a_preset_says_of_the_others(chosen, names):
    cfg = params.configured(["experiment=smoke", chosen], CONF)
    assert list(cfg.defenses) == names
    assert cfg.defenses["distill"] == composed("experiment=smoke")["distill"]


def test_a_run_without_a_choice_has_every_defense():
    assert list(params.configured(["experiment=smoke"], CONF).defenses) == STAGED


def test_a_sweep_that_fits_is_let_through(house):
    params.check_command_line(["defense=baseline,distill", "seed=range(0,2)"])


def test_what_a_job_does_not_choose_is_nothing_to_it(house):
    asked = params.configured_jobs(["defense=baseline,distill", "distill.temperature=2.0,3.0"])
    assert [overrides[0] for overrides, _ in asked] == ["defense=baseline"] * 2 + [
        "defense=distill"
    ] * 2
    assert [cfg.defenses.get("distill", {}).get("temperature") for _, cfg in asked] == [
        None,
        None,
        2.0,
        3.0,
    ]


def test_an_option_of_a_defense_that_no_job_chooses_is_a_mistake(house):
    assert "distill.temperature" in complaint(
        params.check_command_line, ["defense=baseline", "distill.temperature=2.0"]
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["train.epochs=1,0"],
            "conf: train.epochs: input should be greater than or equal to 1, not 0",
        ),
        (["defense=baseline,distil"], "conf: In 'config': Could not find 'defense/distil'"),
        (
            ["seed=0", "distill.temperature=choice(1.0,0.0)"],
            "conf: distill.temperature: input should be greater than 0",
        ),
        (["seed=[1"], "command line: "),
    ],
)
def test_a_mistake_in_the_last_job_of_a_sweep_is_found_before_the_first(house, overrides, said):
    assert complaint(params.check_command_line, overrides).startswith(said)


# ---- presets that somebody edits ----


@pytest.mark.parametrize(
    ("preset", "old", "new", "said"),
    [
        (
            "train/default",
            "epochs: 20",
            "epoch: 20",
            "conf: train.epoch: unknown key; did you mean 'epochs'?",
        ),
        (
            "data/pima",
            "lower: 40,",
            "lowr: 40,",
            "conf: data.features.glucose.lowr: unknown key; did you mean 'lower'?",
        ),
        (
            "audit/default",
            "eps: [0.0, 0.05",
            "eps: [0.01, 0.05",
            "conf: audit: eps must start at 0.0 and rise, so that eps = 0 reproduces"
            " clean accuracy",
        ),
    ],
)
def test_a_mistake_in_a_preset_is_one_line(house, preset, old, new, said):
    path = house / "conf" / f"{preset}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert (
        complaint(params.parse, yaml.safe_load(params.compose([], house / "conf")), "conf") == said
    )


def test_a_preset_that_is_not_yaml_is_one_line(house):
    (house / "conf" / "train" / "default.yaml").write_text("epochs: [20")
    assert complaint(params.compose, [], house / "conf").startswith("conf: ")


# ---- parse ----


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("train.epochs", "20", "train.epochs: input should be a valid integer, not '20'"),
        (
            "threat.clinical.mutable_only",
            1,
            "threat.clinical.mutable_only: input should be a valid boolean, not 1",
        ),
        ("attack.pgd_ce.step", 20, "attack.pgd_ce.step: unknown key; did you mean 'steps'?"),
        ("model.name", "mpl", "model.name: 'mpl' is no model; did you mean 'mlp'?"),
        (
            "attack.fgsm.method",
            "fgms",
            "attack.fgsm.method: 'fgms' is no evasion attack; did you mean 'fgsm'?",
        ),
        (
            "attack.fgsm.method",
            3,
            "attack.fgsm.method: 3 is no evasion attack; known: apgd, fab, fgsm, hop_skip_jump, ",
        ),
        (
            "attack.pgd_ce.loss",
            "hinge",
            "attack.pgd_ce.loss: input should be 'cross_entropy' or 'margin', not 'hinge'",
        ),
        (
            "attack.pgd_ce.step_size",
            0,
            "attack.pgd_ce.step_size: input should be greater than 0, not 0",
        ),
        (
            "attack.pgd_ce.restarts",
            0,
            "attack.pgd_ce.restarts: input should be greater than or equal to 1, not 0",
        ),
        (
            "attack.pgd_ce.steps",
            True,
            "attack.pgd_ce.steps: input should be a valid integer, not True",
        ),
        ("attack.noise.draws", "1", "attack.noise.draws: input should be a valid integer, not '1'"),
        ("attack.noise.drawz", 1, "attack.noise.drawz: unknown key; did you mean 'draws'?"),
        (
            "adv_train.threat",
            "clinicl",
            "adv_train.threat: 'clinicl' is no threat model; did you mean 'clinical'?",
        ),
        ("adv_train.ep", 0.1, "adv_train.ep: unknown key; did you mean 'eps'?"),
        ("adv_train.eps", -0.1, "adv_train.eps: input should be greater than 0, not -0.1"),
        ("adv_train.eps", 0.0, "adv_train.eps: input should be greater than 0, not 0.0"),
        ("adv_train.eps", "0.3", "adv_train.eps: input should be a valid number, not '0.3'"),
        (
            "adv_train.clean_share",
            1.1,
            "adv_train.clean_share: input should be less than or equal to 1, not 1.1",
        ),
        ("dp_train.epsilon", 0.0, "dp_train.epsilon: input should be greater than 0, not 0.0"),
        ("dp_train.epsilon", -3.0, "dp_train.epsilon: input should be greater than 0, not -3.0"),
        (
            "dp_train.epsilon",
            float("inf"),
            "dp_train.epsilon: input should be a finite number, not inf",
        ),
        ("dp_train.delta", 0.0, "dp_train.delta: input should be greater than 0, not 0.0"),
        ("dp_train.delta", 1.0, "dp_train.delta: input should be less than 1, not 1.0"),
        ("dp_train.delta", "1e-5", "dp_train.delta: input should be a valid number, not '1e-5'"),
        (
            "dp_train.engine",
            "opcus",
            "dp_train.engine: input should be 'population' or 'opacus', not 'opcus'",
        ),
        ("distill.temperature", 0, "distill.temperature: input should be greater than 0, not 0"),
        (
            "distill.temperature",
            -1.0,
            "distill.temperature: input should be greater than 0, not -1.0",
        ),
        ("distill.epochs", 1.5, "distill.epochs: input should be a valid integer, not 1.5"),
        (
            "distill.temprature",
            20.0,
            "distill.temprature: unknown key; did you mean 'temperature'?",
        ),
        ("adv_train.mixture", [], "adv_train.mixture: list should have at least 1 item"),
        ("distil", {}, "distil: unknown key; did you mean 'distill'?"),
        ("sed", 3, "sed: unknown key; did you mean 'seed'?"),
        ("baseline", {"epochs": 3}, "baseline.epochs: unknown key"),
    ],
)
def test_an_option_that_does_not_fit_is_named_on_load(values, path, value, said):
    line = complaint(params.parse, planted(values, path, value), "params.yaml")
    assert line.startswith(f"params.yaml: {said}")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("method", "pdg", "[0].method: 'pdg' is no evasion attack; did you mean 'pgd'?"),
        ("stpes", 4, "[0].stpes: unknown key; did you mean 'steps'?"),
        ("steps", "7", "[0].steps: input should be a valid integer, not '7'"),
        ("radius", 0, "[0].radius: must be a number above 0 and at most 1, not 0"),
        ("radius", True, "[0].radius: must be a number above 0 and at most 1, not True"),
        ("share", "0.5", "[0].share: must be a number above 0 and at most 1, not '0.5'"),
        ("share", 0.75, ": the shares add up to 1.25, not to 1"),
    ],
)
def test_a_mistake_inside_a_mixture_is_named_with_the_file_that_holds_it(values, path, value, said):
    line = complaint(
        params.parse, planted(values, f"adv_train.mixture.0.{path}", value), "params.yaml"
    )
    assert line == f"params.yaml: adv_train.mixture{said}"


@pytest.mark.parametrize("nothing", [[], 0, False, ""])
def test_a_defense_without_options_is_an_empty_mapping_and_not_some_other_nothing(values, nothing):
    assert complaint(params.parse, {**values, "baseline": nothing}, "conf").startswith(
        "conf: baseline"
    )


def test_a_defense_may_stand_without_options(values):
    assert params.parse({**values, "baseline": None}, "conf").defenses["baseline"] == {}


def test_a_misspelt_method_is_named(values):
    values["attack"]["fgsm"] = {"metod": "fgsm"}
    line = complaint(params.parse, values, "conf")
    assert line.startswith("conf: attack.fgsm")
    assert "metod" in line
    assert "'method'" in line


@pytest.mark.parametrize(
    ("key", "names", "said"),
    [
        ("examine", ["adv_trian"], "'adv_trian' is no defense; did you mean 'adv_train'?"),
        ("extra", ["nobody"], "'nobody' is no defense; known: adv_train, "),
        ("examine", ["baseline"], "baseline has stages of its own; leave it out"),
        ("examine", ["distill", "distill"], "must differ, not distill, distill"),
    ],
)
def test_a_defense_that_no_stage_could_be_made_of_is_named(values, key, names, said):
    line = complaint(params.parse, planted(values, key, names), "params.yaml")
    assert line.startswith(f"params.yaml: {key}: {said}")


@pytest.mark.parametrize("section", params.SECTIONS)
def test_every_section_of_a_risk_is_required_and_checked_by_its_whole_path(values, section):
    key = next(iter(params.SECTIONS[section].model_fields))
    line = complaint(params.parse, planted(values, f"{section}.{key}", {"no": "such"}), "conf")
    assert line.startswith(f"conf: {section}.{key}: ")
    line = complaint(params.parse, planted(values, f"{section}.{key}x", 1), "conf")
    assert line == f"conf: {section}.{key}x: unknown key; did you mean {key!r}?"


@pytest.mark.parametrize("preset", [None, *EXPERIMENTS])
@pytest.mark.parametrize("section", params.SECTIONS)
def test_a_risk_that_is_left_out_is_one_line_whatever_a_preset_adjusts(values, section, preset):
    adjusted = content(preset).get(section) if preset else None
    values.pop(section)
    if adjusted is not None:  # as Hydra composes `risk=[...]` without it
        values[section] = adjusted
    needed = {
        k for k, field in params.SECTIONS[section].model_fields.items() if field.is_required()
    }
    if adjusted is not None and needed <= set(adjusted):
        assert section in params.parse(values, "conf").sections  # the preset says all of it
        return
    line = complaint(params.parse, values, "conf")
    assert line.startswith(f"conf: {section}: {'missing' if adjusted is None else 'lacks'}")
    assert line.endswith(f"no risk can be left out: keep {section} in risk=[{EVERY_RISK}]")


def test_a_misspelt_section_is_what_its_author_hears_of(values):
    section = next(iter(params.SECTIONS))
    values[f"{section}s"] = values.pop(section)
    line = complaint(params.parse, values, "conf")
    assert line == f"conf: {section}s: unknown key; did you mean {section!r}?"


# A number against another, a name against a registry: one line for each risk that checks any.
OF_RISKS = [
    ("frontier.models", {"linaer": []}, "'linaer' is no model; did you mean 'linear'?"),
    ("membership.attacks", ["lirra"], "'lirra' is no membership attack; did you mean 'lira'?"),
    ("inversion.victims", 9, "9 is more than membership.targets 8, of which they are taken"),
    ("poisoning.recipes", ["distill"], "must hold baseline, with which the others are compared"),
    ("theft.budgets", [40, 10], "must rise and hold theft.headline_budget"),
    ("theft.recipes", ["baseline", "dstill"], "'dstill' is no defense; did you mean 'distill'?"),
    ("transport.recipes", ["base"], "'base' is no defense; did you mean 'baseline'?"),
    ("transport.date", "May", "must be a date like 2024-05-31, or a number, not 'May'"),
]


@pytest.mark.parametrize(("path", "value", "said"), OF_RISKS, ids=[one[0] for one in OF_RISKS])
def test_what_the_sections_of_risks_say_fits_the_rest(values, path, value, said):
    line = complaint(params.parse, planted(values, path, value), "params.yaml")
    assert line == f"params.yaml: {path}: {said}"


def test_a_defense_that_is_not_configured_is_not_checked(values):
    for name in STAGED[2:]:
        del values[name]
    assert list(params.parse(values, "conf").defenses) == ["baseline", "logistic"]


# ---- load ----


def test_a_missing_file_says_how_to_write_it(tmp_path):
    line = complaint(params.load, tmp_path / "params.yaml")
    assert (
        line == f"{tmp_path / 'params.yaml'}: not found; run `make params` to write it from conf/"
    )


def test_a_folder_of_that_name_is_one_line(tmp_path):
    assert complaint(params.load, tmp_path).startswith(f"{tmp_path}: cannot be read (")


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\tseed: 0"])
def test_a_file_that_is_not_yaml_is_one_line(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert complaint(params.load, path).startswith(f"{path}: not valid YAML: ")


def test_a_file_in_another_encoding_is_one_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes("title: Diabète".encode("latin-1"))
    assert complaint(params.load, path).startswith(f"{path}: ")


def test_an_empty_file_says_how_to_write_it(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("")
    assert complaint(params.load, path).endswith("run `make params` to write it from conf/")


def test_the_message_names_the_file(tmp_path, smoke_text):
    path = tmp_path / "params.yaml"
    path.write_text(smoke_text.replace("seed: 0", "seed: zero"))
    assert (
        complaint(params.load, path) == f"{path}: seed: input should be a valid integer, not 'zero'"
    )


# ---- the command ----


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["params", *arguments])
    params.main()


def test_the_command_writes_the_file(house, monkeypatch):
    run(monkeypatch, "experiment=smoke", "seed=7")
    assert (house / "params.yaml").read_text() == text_of("experiment=smoke", "seed=7")
    assert params.load(house / "params.yaml").seed == 7
    assert sorted(path.name for path in house.iterdir()) == ["conf", "params.yaml"]


@pytest.mark.parametrize("arguments", [["train.epoch=3"], ["++train.epoch=3"], ["plan.folds=1"]])
def test_the_command_refuses_a_mistake_and_keeps_the_earlier_file(
    house, monkeypatch, capsys, arguments
):
    (house / "params.yaml").write_text("earlier")
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, *arguments)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert err.startswith("error: conf: ")
    assert err.count("\n") == 1
    assert (house / "params.yaml").read_text() == "earlier"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "attacks",
            ["random_flip"],
            "poisoning.attacks: 'random_flip' is no poisoning attack; did you mean 'random_flips'?",
        ),
        ("filters", ["los"], "poisoning.filters: 'los' is no filter; did you mean 'loss'?"),
        ("doses", [0.1, 0.1], "poisoning.doses: must differ, not [0.1, 0.1]"),
        ("repetitions", 9, "poisoning.repetitions: 9 is more than plan.seeds 5"),
        ("doses", [1.0], "poisoning.doses.0: "),
    ],
)
def test_a_poison_that_cannot_be_is_one_line(name, value, said):
    values = planted(composed(), f"poisoning.{name}", value)
    assert complaint(params.parse, values, "conf").startswith(f"conf: {said}")


def test_a_place_where_nobody_may_write_is_one_line(tmp_path, monkeypatch, capsys):
    def refused(path, text):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(params, "write_text", refused)
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, "seed=3")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: params.yaml: cannot write (Permission denied)\n"


def test_what_trains_the_network_of_the_model_asks_that_it_is_one():
    line = complaint(params.configured, ["model=forest"])
    assert line.startswith(
        "conf: examine: adv_train: for networks alone, and `model` names another"
    )
    assert params.configured(["model=forest", "examine=[logistic,extra_trees]"]).model.own["trees"]
    by_name = params.configured(["model=forest", "defense=[baseline]", "risks=all"])
    assert (by_name.examine, by_name.model.network) == ([], False)


def test_a_model_is_told_what_it_asks_and_nothing_else():
    line = complaint(params.configured, ["model=forest", "+model.tres=3"])
    assert line == "conf: model.tres: unknown key; did you mean 'trees'?"
    line = complaint(params.configured, ["+model.hiden=[3]"])
    assert line == "conf: model.hiden: unknown key; did you mean 'hidden'?"
