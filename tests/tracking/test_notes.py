"""What MLflow says in words: only what is concluded, with what speaks against it."""

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from pipeline.presentation.numbers import with_interval
from pipeline.risks.conclusions import Front
from pipeline.risks.risk import Context, Judgement
from pipeline.tracking.notes import (
    LONGEST,
    NOTE,
    USE,
    experiment_note,
    model_note,
    run_note,
    table,
    warnings_of,
)

pytestmark = pytest.mark.heavy


def test_a_note_shows_every_headline_figure_of_its_defense_with_its_interval(logged, to_log):
    for run in logged.parents:
        name, note = run.data.tags["defense"], run.data.tags[NOTE]
        headlines = to_log.conclusions.headlines
        own = headlines[headlines["defense"] == name]
        assert len(own) > 3
        for figure, said in zip(
            own["figure"], with_interval(own, "value", "low", "high"), strict=True
        ):
            assert f"| {figure} |" in note
            assert f"| {said} |" in note
        assert note == run_note(to_log, name)
        assert len(note) <= LONGEST


def test_a_note_says_better_and_worse_as_they_are_concluded(to_log):
    for name in to_log.populations:
        said, note = to_log.conclusions.of_defense(name), run_note(to_log, name)
        for verdict in ("better", "worse"):
            line = f"**{verdict.capitalize()} than no defense**: {said.get(verdict)}."
            assert (line in note) == (verdict in said and name != "baseline")
        assert ("**Best**" in note) == ("best" in said)
        for flag, why in to_log.judged(name).flags.items():
            assert f"**Flag** `{flag}`: {why}." in note


def test_of_a_defense_measured_alone_nothing_is_concluded(to_log):
    alone = {
        risk: {
            key: one[one["defense"] == "adv_train"] if "defense" in one else one
            for key, one in tables.items()
        }
        for risk, tables in to_log.results.items()
    }
    note = run_note(replace(to_log, results=alone), "adv_train")
    assert "Measured alone" in note
    assert "**Better" not in note
    assert "**Worse" not in note


def test_an_experiment_opens_with_the_conclusion_of_the_last_evaluation(logged, to_log):
    experiment = logged.client.get_experiment(logged.parents[0].info.experiment_id)
    note = experiment.tags[NOTE]
    assert note == experiment_note(to_log.context.cfg.data.title, to_log)
    for line in to_log.conclusions.overview.itertuples(index=False):
        assert line.figure in note
        assert line.conclusion in note
    assert "**Pima**" in experiment_note("Pima")


def test_what_speaks_against_a_model_stands_in_its_description(to_log):
    clean = replace(to_log)
    clean.__dict__["conclusions"] = replace(to_log.conclusions, judged={})
    assert warnings_of(clean, "baseline") == []
    assert "**Flags**: none." in model_note(clean, "baseline")
    flagged = replace(to_log)
    judged = {"baseline": Judgement({"masked": "it hides"})}
    flagged.__dict__["conclusions"] = replace(to_log.conclusions, judged=judged)
    note = model_note(flagged, "baseline")
    assert "**Flag** `masked`: it hides." in note
    assert "**Flags**: none." not in note
    assert USE in note
    decision = to_log.populations["baseline"].facts["decision"]
    assert str(decision["value"]) in note


def test_an_unreviewed_threat_model_and_seeded_noise_are_said(to_log):
    data = SimpleNamespace(unreviewed=["glucose"])
    cfg = SimpleNamespace(data=data)
    facts = SimpleNamespace(facts={"noise": "seeded: not for release"})
    asked = replace(
        to_log, context=Context(to_log.context.dataset, cfg), populations={"baseline": facts}
    )
    asked.__dict__["conclusions"] = replace(to_log.conclusions, judged={})
    said = " ".join(warnings_of(asked, "baseline"))
    assert "not reviewed" in said
    assert "seeded: not for release" in said


def test_a_front_of_some_says_by_whom_others_are_dominated(to_log):
    asked = replace(to_log)
    front = Front(("missed",), {"a": (), "b": ("a",)}, ("c",))
    asked.__dict__["conclusions"] = replace(to_log.conclusions, front=front)
    note = experiment_note("Pima", asked)
    said = "**On the Pareto front**: a. Dominated: b (by a). Not asked, flagged or not measured: c."
    assert note.startswith(said)


def test_a_table_survives_what_a_cell_holds():
    rows = pd.DataFrame({"a": ["x|y", "two\nlines"], "b": [1, 2]}).to_numpy().tolist()
    assert table(["a", "b"], rows).splitlines() == [
        "| a | b |",
        "| --- | --- |",
        "| x\\|y | 1 |",
        "| two lines | 2 |",
    ]


def test_a_note_that_mlflow_would_refuse_is_cut_at_a_line(to_log):
    judged = {"baseline": Judgement({f"flag{number}": "x" * 200 for number in range(60)})}
    asked = replace(to_log)
    asked.__dict__["conclusions"] = replace(to_log.conclusions, judged=judged)
    note = run_note(asked, "baseline")
    assert len(note) <= LONGEST
    assert note.splitlines()[-1].startswith("(cut here")
