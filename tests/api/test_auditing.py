"""What `medsecure audit` asks of a run: whole paths, and signs that are Hydra's own."""

import argparse

import pytest

from pipeline.api.auditing import add_arguments, asked_for
from pipeline.params import configured
from tiny import ROOT


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def composed(*arguments):
    return configured(asked_for(parsed(*arguments)), ROOT / "conf")


def test_a_model_is_audited_as_it_is_at_its_own_threshold():
    cfg = composed("--model", "ward.model:load", "--threshold", "0.3")
    assert cfg.model.own == {"source": "ward.model:load", "rate": 0.0, "gaps": "empty"}
    assert (cfg.plan.kind, cfg.plan.trained_on) == ("frozen", None)
    assert (cfg.decision.rule, cfg.decision.value) == ("threshold", 0.3)
    assert list(cfg.defenses) == ["baseline"]


@pytest.mark.parametrize("name", ["über 1.skops", "it's.skops", "a=b,c.skops", "{x}[y].skops"])
def test_a_file_is_named_whole_whatever_its_name_holds(name, tmp_path, monkeypatch):
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    cfg = composed("--model", name, "--trained-on", "rows.csv", "--records", "later.csv")
    assert cfg.model.own["source"] == str(tmp_path / name)
    assert cfg.plan.trained_on == str(tmp_path / "rows.csv")
    assert cfg.data.file == str(tmp_path / "later.csv")


def test_addresses_and_names_stay_as_they_are():
    assert composed("--model", "http://127.0.0.1:8000/predict").model.own["source"].endswith("ict")
    assert composed("--model", "m:f", "--data", "breast_cancer").data.name == "breast_cancer"
