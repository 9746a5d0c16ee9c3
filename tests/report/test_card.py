"""The model card: a head that machines read, every figure with interval, n and threat."""

import pytest
import yaml

from pipeline.report.audit import audit_of
from pipeline.report.card import card_of
from pipeline.report.evidence import cross_reference
from pipeline.risks.conclusions import Conclusions
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Context, Sources
from report.made_up import DEFENSES, RUMOUR, SECRET, only_risks, told

pytestmark = pytest.mark.heavy


@pytest.fixture
def audit(monkeypatch, dataset, cfg):
    only_risks(monkeypatch, RUMOUR)
    context = Context(dataset, cfg)
    results = draw_up_all(Sources({}), context)
    found = Conclusions.of(results, cfg)
    worst, untested = told([RUMOUR], results, context)
    return audit_of(results, context, found, cross_reference(results, {}), worst, untested)


def sections(card):
    return {part.split("\n")[0].split(" [")[0]: part for part in card.split("\n## ")[1:]}


def test_the_head_is_yaml_with_the_figures_of_each_defense(audit):
    _, head, body = card_of(audit).split("---\n", 2)
    said = yaml.safe_load(head)
    assert [one["name"].rpartition("-")[2] for one in said["model-index"]] == list(DEFENSES)
    values = [one["results"][0]["metrics"][0]["value"] for one in said["model-index"]]
    assert values == [one["value"] for one in audit["figures"]]
    assert body.startswith("\n# ")


def test_a_figure_stands_with_its_interval_whom_it_is_of_and_its_threat(audit):
    lines = [line for line in card_of(audit).splitlines() if line.startswith("| rumour")]
    assert len(lines) == len(audit["figures"])
    for line, one in zip(lines, audit["figures"], strict=True):
        assert f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})" in line
        assert one["among"] in line
        assert one["threat"] in line
    assert "masked [masked mouth, deaf]" in lines[-1]  # flags beside the name


def test_figures_stand_where_they_belong(audit):
    attacked = sections(card_of(audit))
    assert "| rumour" in attacked["Robustness"]
    assert "| rumour" not in attacked["Performance"] + attacked["Privacy"]
    private = sections(card_of(audit, ["rumour"]))
    assert "| rumour" in private["Privacy"]
    assert audit["findings"][0]["text"] in private["Privacy"]
    assert "Nothing was measured." in private["Robustness"]
    quiet = {**audit, "figures": [{**one, "threat": ""} for one in audit["figures"]]}
    assert "| rumour" in sections(card_of(quiet))["Performance"]


def test_what_was_not_tested_is_said_and_nobody_is_named(audit):
    card = card_of(audit)
    assert "- Whispers." in sections(card)["Not tested"]
    assert SECRET not in card


def test_a_hidden_count_is_not_told(audit):
    audit["audited"]["cohort"]["ill"] = None
    assert "not told how many of them ill" in card_of(audit)


def test_a_line_of_a_table_stays_one(audit):
    audit["figures"][0]["among"] = "a | b\nc"
    (line,) = [one for one in card_of(audit).splitlines() if "a \\| b c" in one]
    assert line.count(" | ") == 5


def test_a_deployed_model_is_named_and_its_scorer_is_not_a_fold(audit):
    assert "each patient by models that did not train on them" in card_of(audit)
    models = audit["audited"]["models"] | {"scored": "by that model", "named": "models:/ward/3"}
    card = card_of(audit | {"audited": audit["audited"] | {"models": models}})
    assert "- Scored: by that model; architecture mlp (models:/ward/3)." in card
