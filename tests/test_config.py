"""Whatever does not fit is refused on load, in one line that names the key."""

import math

import pytest

from mistakes import complaint, planted
from pipeline.config import Config, Count, Section, canonical, check
from pipeline.params import SECTIONS

NAN, INF = math.nan, math.inf
ONE_FEATURE = {
    "unit": "mg/dL",
    "kind": "integer",
    "lower": 40,
    "upper": 450,
    "step": 1.0,
    "missing": [0],
    "mutable": True,
    "private": False,
    "center": 120.0,
    "scale": 30.0,
    "source": "made up",
    "error": 3.0,
    "error_source": "made up",
}


class Rumour(Section):
    """The section of a made-up risk."""

    ears: Count
    tongues: list[Count]


def fits(values, origin="params.yaml"):
    """Checks values, with the sections that the risks have."""
    return check(values, SECTIONS, origin)


def test_the_composed_configuration_fits(values):
    cfg = fits(values)
    assert isinstance(cfg, Config)
    assert cfg.audit.eps == values["audit"]["eps"]
    assert cfg.data.features["glucose"].unit == "mg/dL"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("train.epoch", "epochs"),
        ("train.learning-rate", "learning_rate"),
        ("plan.fold", "folds"),
        ("audit.headlin", "headline"),
        ("audit.resample", "resamples"),
        ("data.feature", "features"),
        ("data.features.glucose.lowr", "lower"),
        ("data.features.bmi.stepp", "step"),
        ("threat.clinical.mutable_onl", "mutable_only"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_valid_one(values, path, hint):
    line = complaint(fits, planted(values, path, 1), "params.yaml")
    assert line == f"params.yaml: {path}: unknown key; did you mean {hint!r}?"


def test_a_misspelt_key_is_what_its_author_hears_of_not_that_the_right_one_is_missing(values):
    values["train"]["epoch"] = values["train"].pop("epochs")
    assert (
        complaint(fits, values) == "params.yaml: train.epoch: unknown key; did you mean 'epochs'?"
    )


def test_a_key_like_no_other_is_answered_with_all_that_are_known(values):
    line = complaint(fits, planted(values, "plan.zzz", 1))
    assert line == "params.yaml: plan.zzz: unknown key; known: folds, kind, seeds, trained_on, tune"


@pytest.mark.parametrize(
    "path", ["seed", "data", "threat", "train.epochs", "audit.eps", "data.features.glucose.scale"]
)
def test_a_missing_key_is_named(values, path):
    *folders, last = path.split(".")
    place = values
    for key in folders:
        place = place[key]
    del place[last]
    assert complaint(fits, values) == f"params.yaml: {path}: missing"


WRONG_TYPES = [
    ("seed", "0"),
    ("seed", True),
    ("seed", 0.0),
    ("seed", None),
    ("threads", "2"),
    ("train.epochs", "20"),
    ("train.epochs", True),
    ("train.epochs", 20.0),
    ("train.epochs", None),
    ("train.learning_rate", "1e-3"),
    ("train.learning_rate", True),
    ("train.weight_decay", [0.1]),
    ("plan.folds", "5"),
    ("plan.seeds", True),
    ("model.name", 3),
    ("model.hidden", 64),
    ("model.hidden.0", "64"),
    ("model.hidden.0", 64.0),
    ("model.hidden.0", True),
    ("threat.clinical.mutable_only", 1),
    ("threat.clinical.mutable_only", "true"),
    ("threat.clinical.plausible_range", None),
    ("threat.clinical.norm", None),
    ("threat.clinical.goal", 1),
    ("threat.clinical.eps", 0.1),
    ("threat.sparse.eps.1", "1"),
    ("audit.eps", 0.1),
    ("audit.eps", "0.1"),
    ("audit.eps.1", "0.1"),
    ("audit.eps.0", False),
    ("audit.confidence", "0.95"),
    ("data.title", 5),
    ("data.classes", "ill"),
    ("data.classes.0", 0),
    ("data.auroc_ceiling", "0.88"),
    ("data.features.glucose.mutable", "yes"),
    ("data.features.glucose.missing", "0"),
    ("data.features.glucose.missing.0", False),
    ("data.features.glucose.error", "3"),
    ("data.features.glucose.error_source", 3),
    ("data.features.glucose.step", "1"),
    ("data.features.glucose.lower", True),
    ("data.features.glucose", None),
    ("attack.fgsm", None),
    ("attack.fgsm", "fgsm"),
    ("data", None),
    ("threat.clinical", None),
]


@pytest.mark.parametrize(
    ("path", "value"), WRONG_TYPES, ids=[f"{path}={value!r}" for path, value in WRONG_TYPES]
)
def test_nothing_is_converted_silently(values, path, value):
    line = complaint(fits, planted(values, path, value))
    assert line.startswith(f"params.yaml: {path}: ")
    assert line.endswith(f"not {value!r}")


OUT_OF_RANGE = [
    ("seed", -1),
    ("seed", 2**32),
    ("threads", 0),
    ("plan.folds", 1),
    ("plan.folds", 0),
    ("plan.seeds", 0),
    ("train.epochs", 0),
    ("train.batch_size", 0),
    ("train.learning_rate", 0.0),
    ("train.learning_rate", -1.0),
    ("train.learning_rate", NAN),
    ("train.learning_rate", INF),
    ("train.weight_decay", -0.1),
    ("train.weight_decay", NAN),
    ("model.hidden.0", 0),
    ("model.hidden.0", -3),
    ("audit.eps.1", -0.1),
    ("audit.eps.1", NAN),
    ("audit.eps.1", INF),
    ("audit.eps", []),
    ("audit.confidence", 1.0),
    ("audit.confidence", 0.0),
    ("audit.confidence", 95.0),
    ("audit.resamples", 99),
    ("data.auroc_ceiling", 88.0),
    ("data.auroc_ceiling", -0.1),
    ("data.classes", ["ill"]),
    ("data.features", {}),
    ("data.source", "fil"),
    ("data.features.glucose.kind", "int"),
    ("data.features.glucose.step", 0.0),
    ("data.features.glucose.step", -1.0),
    ("data.features.glucose.scale", 0.0),
    ("data.features.glucose.scale", -30.0),
    ("data.features.glucose.error", 0.0),
    ("data.features.glucose.error", -3.0),
    ("data.features.glucose.error", INF),
    ("data.features.glucose.upper", INF),
    ("data.features.glucose.lower", NAN),
    ("data.features.glucose.center", NAN),
    ("threat", {}),
    ("attack", {}),
    ("threat.clinical.norm", "l1"),
    ("threat.clinical.goal", "harm"),
    ("threat.clinical.eps", []),
    ("threat.sparse.eps.1", -1),
    ("threat.sparse.eps.1", NAN),
]


@pytest.mark.parametrize(
    ("path", "value"), OUT_OF_RANGE, ids=[f"{path}={value!r}" for path, value in OUT_OF_RANGE]
)
def test_a_value_out_of_its_range_is_refused(values, path, value):
    assert complaint(fits, planted(values, path, value)).startswith(f"params.yaml: {path}: ")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 0),
        ("seed", 2**32 - 1),
        ("plan.folds", 2),
        ("plan.seeds", 1),
        ("train.weight_decay", 0.0),
        ("model.hidden", []),
        ("audit.eps", [0.0]),
        ("audit.eps", [0, 0.1, 1]),
        ("train.learning_rate", 1),
        ("data.auroc_ceiling", None),
        ("data.features.glucose.step", None),
        ("data.features.glucose.missing", []),
        ("data.features.glucose.missing", ["?", -1, 999]),
    ],
)
def test_a_value_at_the_edge_of_its_range_fits(values, path, value):
    fits(planted(values, path, value))


@pytest.mark.parametrize("section", ["audit", "threat.clinical"])
@pytest.mark.parametrize(
    "eps", [[0.1], [0.1, 0.2], [0.0, 0.2, 0.1], [0.0, 0.1, 0.1], [0.0, 0.0, 0.1]]
)
def test_the_radii_start_at_zero_and_rise(values, section, eps):
    line = complaint(fits, planted(values, f"{section}.eps", eps))
    assert line.startswith(f"params.yaml: {section}: eps must start at 0.0 and rise")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"plausible_range": False},
            "norm l0 lets a value become anything in its range: plausible_range must be true",
        ),
        ({"eps": None}, "norm l0 counts measurements: eps must be a list of whole numbers"),
        ({"eps": [0, 1.5]}, "norm l0 counts measurements: eps must be a list of whole numbers"),
    ],
)
def test_a_threat_on_few_values_needs_their_range_and_their_number(values, change, message):
    values["threat"]["sparse"] |= change
    assert complaint(fits, values) == f"params.yaml: threat.sparse: {message}"


def test_a_threat_may_have_radii_of_its_own(values):
    assert fits(values).threat["sparse"].eps == [0, 1, 2]
    assert fits(values).threat["clinical"].eps is None
    assert fits(planted(values, "threat.clinical.eps", [0, 0.25])).threat["clinical"].eps == [
        0,
        0.25,
    ]


@pytest.mark.parametrize(("lower", "upper"), [(450, 40), (40, 40)])
def test_a_range_is_not_upside_down(values, lower, upper):
    values["data"]["features"]["glucose"] = {**ONE_FEATURE, "lower": lower, "upper": upper}
    said = f"lower {float(lower)} must be below upper {float(upper)}"
    assert complaint(fits, values) == f"params.yaml: data.features.glucose: {said}"


@pytest.mark.parametrize(("error", "source"), [(3.0, None), (3.0, ""), (None, "made up")])
def test_an_error_and_its_source_go_together(values, error, source):
    values["data"]["features"]["glucose"] = {**ONE_FEATURE, "error": error, "error_source": source}
    said = "error and error_source go together: give both, or null for both"
    assert complaint(fits, values) == f"params.yaml: data.features.glucose: {said}"


def test_a_measurement_may_have_no_known_error(values):
    values["data"]["features"]["glucose"] = {**ONE_FEATURE, "error": None, "error_source": None}
    assert fits(values).data.features["glucose"].error is None


@pytest.mark.parametrize("key", ["error", "error_source"])
def test_a_feature_says_that_no_error_is_known(values, key):
    del values["data"]["features"]["glucose"][key]
    assert complaint(fits, values) == f"params.yaml: data.features.glucose.{key}: missing"


def test_the_headline_is_a_configured_threat(values):
    line = complaint(fits, planted(values, "audit.headline", "clinicl"))
    assert (
        line == "params.yaml: audit.headline: 'clinicl' is not one of clinical, "
        "careless, unconstrained, sparse, repeat"
    )


@pytest.mark.parametrize("section", ["threat", "attack"])
@pytest.mark.parametrize("name", ["<i>x</i>", "a/b", "..", "", "two words", "-rf"])
def test_a_name_that_files_are_called_by_is_one_that_they_can_have(values, section, name):
    values[section][name] = next(iter(values[section].values()))
    said = "must be letters, digits, `_`, `.` or `-`, as files are named after it"
    path = f"{section}.{name}" if name else section
    assert complaint(fits, values) == f"params.yaml: {path}: {said}, not {name!r}"


def test_a_name_may_hold_what_a_file_name_may(values):
    values["threat"]["größer-2.0_b"] = values["threat"]["clinical"]
    assert "größer-2.0_b" in fits(values).threat


@pytest.mark.parametrize("classes", [["healthy", "ill", "very ill"], ["ill", "ill"]])
def test_the_figures_know_two_classes_of_different_names(values, classes):
    assert complaint(fits, planted(values, "data.classes", classes)).startswith("params.yaml: data")


@pytest.mark.parametrize("nothing", [None, [], "text", 3])
def test_what_is_no_mapping_says_how_to_write_one(nothing):
    assert (
        complaint(fits, nothing)
        == "params.yaml: empty or not a mapping; run `make params` to write it from conf/"
    )


def test_the_message_begins_with_where_the_values_come_from(values):
    assert complaint(fits, planted(values, "seed", -1), "conf").startswith("conf: seed: ")


def test_the_options_of_the_defenses_are_what_nobody_else_names(values):
    names = set(values) - set(Config.model_fields) - set(SECTIONS)
    cfg = fits(values)
    assert set(cfg.defenses) == names
    assert "baseline" in names
    assert cfg.defenses["distill"] == values["distill"]
    assert fits({**values, "baseline": None}).defenses["baseline"] == {}


# ---- sections of risks ----


@pytest.fixture
def told(values):
    """Values with a section of a made-up risk, and without those of real ones."""
    kept = {name: value for name, value in values.items() if name not in SECTIONS}
    return {**kept, "rumour": {"ears": 2, "tongues": [1, 3]}}


def rumoured(values, origin="params.yaml"):
    return check(values, {"rumour": Rumour}, origin)


def test_a_section_is_found_by_its_type_and_is_no_defense(told):
    cfg = rumoured(told)
    assert cfg.section(Rumour) == Rumour(ears=2, tongues=[1, 3])
    assert cfg.sections == {"rumour": cfg.section(Rumour)}
    assert "rumour" not in cfg.defenses
    assert cfg.model_dump()["rumour"] == told["rumour"]


def test_a_section_of_another_type_is_a_key_error(told):
    class Whisper(Section):
        """Nobody's section."""

    with pytest.raises(KeyError, match="Whisper"):
        rumoured(told).section(Whisper)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("rumour.ear", 2, "rumour.ear: unknown key; did you mean 'ears'?"),
        ("rumour.ears", 0, "rumour.ears: input should be greater than or equal to 1, not 0"),
        ("rumour.ears", True, "rumour.ears: input should be a valid integer, not True"),
        ("rumour.tongues.1", "3", "rumour.tongues.1: input should be a valid integer, not '3'"),
        ("rumour", 3, "rumour: input should be a valid dictionary or instance of Rumour, not 3"),
        ("rumour", None, "rumour: input should be a valid dictionary or instance of Rumour, not"),
    ],
)
def test_a_mistake_in_a_section_is_named_by_its_whole_path(told, path, value, said):
    assert complaint(rumoured, planted(told, path, value), "conf").startswith(f"conf: {said}")


def test_a_missing_section_or_key_of_it_is_named(told):
    del told["rumour"]["ears"]
    advice = (
        "conf/risk/rumour.yaml says it, and no risk can be left out: keep rumour in risk=[rumour]"
    )
    assert complaint(rumoured, told) == f"params.yaml: rumour: lacks ears; {advice}"
    del told["rumour"]
    assert complaint(rumoured, told) == f"params.yaml: rumour: missing; {advice}"


def test_the_chosen_are_those_of_the_recipes_that_are_configured(cfg):
    assert cfg.chosen(["distill", "nobody", "baseline"]) == ["distill", "baseline"]


def test_the_same_values_are_the_same_bytes_whatever_their_order(told):
    other = rumoured({**dict(reversed(told.items())), "rumour": {"tongues": [1, 3], "ears": 2}})
    assert canonical(rumoured(told)) == canonical(other)
    assert canonical(rumoured(planted(told, "rumour.ears", 3))) != canonical(other)


def test_a_configuration_cannot_be_changed(cfg):
    with pytest.raises(ValueError, match="frozen"):
        cfg.train.epochs = 3
    with pytest.raises(ValueError, match="frozen"):
        cfg.seed = 3
