"""`audit.json`: its schema, its bytes, and what it must not tell."""

import json
from dataclasses import replace

import jsonschema
import pytest
import torch

from pipeline.cohort.sector import words_like
from pipeline.report.audit import as_text, audit_of, audited, schema_text
from pipeline.report.evidence import cross_reference
from pipeline.risks.conclusions import Conclusions
from pipeline.risks.results import draw_up_all
from pipeline.risks.risk import Context, Sources
from report.made_up import HEARD, RUMOUR, SECRET, SILENCE, TABLES, WHY, only_risks, told
from tiny import ROOT

pytestmark = pytest.mark.heavy


@pytest.fixture
def context(dataset, cfg):
    return Context(dataset, cfg)


@pytest.fixture
def made(monkeypatch, context):
    """The content of the file of these risks."""

    def make(*risks, of=context):
        only_risks(monkeypatch, *risks)
        results = draw_up_all(Sources({}), of)
        found = Conclusions.of(results, of.cfg)
        claims = cross_reference(results, {risk.name: "What is told" for risk in risks})
        worst, untested = told(risks, results, of)
        return audit_of(results, of, found, claims, worst, untested)

    return make


def faults(audit):
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    return [one.json_path for one in validator.iter_errors(json.loads(as_text(audit)))]


def test_the_schema_is_one_of_draft_2020_12():
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_file_is_as_its_schema_says(made):
    assert faults(made(RUMOUR, SILENCE)) == []
    assert faults(made()) == []  # nothing was measured


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("figures", 0, "value"), "0.5"),
        (("figures", 0, "verdict"), "best"),
        (("audited", "cohort", "sha256"), "short"),
        (("audited", "patients"), "some"),
        (("evidence", 0, "status"), "complies"),
        (("evidence", 0, "artefact"), ""),
        (("extra",), 1),
    ],
)
def test_the_schema_refuses_what_the_file_never_says(made, path, value):
    audit = made(RUMOUR)
    evident = [one for one in audit["evidence"] if one["artefact"]]
    audit["evidence"] = evident
    assert faults(audit) == []
    place = audit
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert faults(audit)


def test_the_figures_are_those_of_the_tables_with_of_whom_and_against_whom(made):
    lines = made(RUMOUR)["figures"]
    own = HEARD[HEARD["tongues"] == 2].set_index("defense")
    assert [one["defense"] for one in lines] == list(own.index)
    for one in lines:
        for key, column in (("value", "heard"), ("low", "heard_low"), ("high", "heard_high")):
            assert one[key] == pytest.approx(own.loc[one["defense"], column], rel=1e-5)
        assert (one["among"], one["threat"]) == ("3 listeners", "two tongues, no listener warned")
    assert [one["verdict"] for one in lines] == ["", "better", "better"]


def test_flags_findings_and_what_was_not_tested_are_in_it(made):
    audit = made(RUMOUR, SILENCE)
    flags = {(one["defense"], one["flag"]): one["evidence"] for one in audit["flags"]}
    assert flags == {("masked", "masked_mouth"): WHY, ("masked", "deaf"): "no ear"}
    (found,) = audit["findings"]
    assert (found["risk"], found["defense"]) == ("rumour", "masked")
    assert audit["not_tested"] == ["Whispers."]


def test_the_same_results_are_the_same_bytes(made):
    assert as_text(made(RUMOUR)) == as_text(made(RUMOUR))


def test_what_is_not_a_number_is_null(made):
    lost = HEARD.assign(heard=[float("nan")] * len(HEARD))
    audit = made(replace(RUMOUR, drawn=lambda *_: {**TABLES, "rumour": lost}))
    assert {one["value"] for one in audit["figures"]} == {None}
    assert faults(audit) == []


def test_no_single_patient_is_in_it(made):
    assert SECRET in TABLES["named"]["change"].tolist()
    assert SECRET not in as_text(made(RUMOUR))


@pytest.mark.parametrize(("ill", "hidden"), [(0, False), (1, True), (9, True), (10, False)])
def test_a_count_of_a_few_patients_is_told_only_where_patients_are_shown(context, ill, hidden):
    y = torch.zeros(40, dtype=torch.int64)
    y[:ill] = 1
    x = context.dataset.x[:1].repeat(40, 1)
    few = replace(context.dataset, x=x, y=y, patient=torch.arange(40), together=torch.arange(40))
    for patients in ("hidden", "shown"):
        report = context.cfg.report.model_copy(update={"patients": patients})
        cfg = context.cfg.model_copy(update={"report": report})
        cohort = audited(Context(few, cfg), [])["cohort"]
        told = None if hidden and patients == "hidden" else ill
        assert (cohort["patients"], cohort["ill"]) == (40, told)


def test_it_names_what_is_deployed_and_the_threat_of_its_first_figures(context):
    said = audited(replace(context, releases={"baseline": "a" * 64}), ["baseline"])
    assert said["models"]["release_sha256"] == {"baseline": "a" * 64}
    headline = context.cfg.threat[said["threats"]["headline"]]
    assert type(headline)(**said["threats"]["described"]) == headline


def test_the_digest_changes_with_one_value_of_one_record(context):
    before = audited(context, [])["cohort"]["sha256"]
    x = context.dataset.x.clone()
    x[-1, -1] += 1
    after = audited(Context(replace(context.dataset, x=x), context.cfg), [])["cohort"]["sha256"]
    assert before != after
    assert before == audited(context, [])["cohort"]["sha256"]


def test_a_patient_with_several_records_counts_once(context):
    y = torch.tensor([1, 1, 0, 1] * 20)
    whose = torch.arange(80) // 2
    x = context.dataset.x[:1].repeat(80, 1)
    many = replace(context.dataset, x=x, y=y, patient=whose, together=whose)
    cohort = audited(Context(many, context.cfg), [])["cohort"]
    assert (cohort["records"], cohort["patients"], cohort["ill"]) == (80, 40, 40)


def test_the_words_of_a_sector_stand_beside_what_keeps_its_name(made, context):
    assert "words" not in made(SILENCE)["audited"]["cohort"]
    schema = replace(context.dataset.schema, sites=("hospital 4", "North"))
    words = words_like("credit", [ROOT / "conf" / "data"])
    data = context.cfg.data.model_copy(update={"words": words})
    cfg = context.cfg.model_copy(update={"data": data})
    of = replace(context, dataset=replace(context.dataset, schema=schema), cfg=cfg)
    told = made(SILENCE, of=of)
    assert faults(told) == []
    assert told["audited"]["cohort"]["words"] == words.spoken | {"hospital 4": "hospital 4"}
