"""What models tell, as data: as asking the attacks victim by victim, and it survives the disk."""

import pytest
import torch

import kinds
import tiny
from pipeline.attacks.inversion import attribute_inference
from pipeline.risks.inversion.measure.guesses import Inversion, guess_measurements
from pipeline.risks.inversion.tables import typical_table
from pipeline.seeds import Stream, generator

DATA = tiny.records(60, seed=3)
MEMBER = torch.rand(4, 60, generator=torch.Generator().manual_seed(1)) < 0.5


@pytest.fixture
def told(cfg):
    return guess_measurements(tiny.population(4), MEMBER, DATA, cfg)


def test_only_private_measurements_are_guessed_by_everyone_in_every_way(told):
    private = [name for name, feature in tiny.FEATURES.items() if feature.private]
    assert list(dict.fromkeys(question.attribute for question in told.questions)) == private
    assert len(told.questions) == len(private) * 2 * 2 * 2
    assert told.alone.shape == told.aided.shape == (len(told.questions), 2, 60)


def test_errors_are_those_of_the_first_victims_by_side(told, cfg):
    first = torch.arange(4) < cfg.inversion.victims
    guesses = attribute_inference(
        tiny.population(4).select(first),
        DATA,
        MEMBER[first],
        ["glucose"],
        candidates=cfg.inversion.candidates,
        generator=generator(Stream.INVERSION_HALVES, cfg.seed),
    )
    for row, guess in enumerate(guesses):
        assert (told.questions[row].access, told.questions[row].attacker) == (
            guess.access,
            guess.attacker,
        )
        for side, chosen in enumerate((MEMBER[first], ~MEMBER[first])):
            for patient in range(60):
                errors = [
                    float(guess.model[v, patient])
                    for v in range(int(first.sum()))
                    if chosen[v, patient]
                ]
                known = [error for error in errors if error == error]
                expected = sum(known) / len(known) if known else float("nan")
                assert float(told.aided[row, side, patient]) == pytest.approx(
                    expected, abs=1e-5, nan_ok=True
                )


def test_each_victim_has_a_typical_record(told, cfg):
    assert told.typical.shape == (cfg.inversion.victims, 5)
    assert all(values.shape == (cfg.inversion.victims,) for values in told.distances.values())


def test_scores_alone_tell_the_same_of_measurements_and_no_typical_record(cfg, tmp_path):
    dataset = tiny.records(60, seed=8)
    networks = tiny.population(4, hidden=(4,))
    member = torch.rand(4, 60, generator=torch.Generator().manual_seed(0)) < 0.5
    open_, closed = (
        guess_measurements(models, member, dataset, cfg)
        for models in (networks, kinds.ScoresOnly(networks))
    )
    torch.testing.assert_close(closed.aided, open_.aided, equal_nan=True)
    assert closed.typical.isnan().all()
    closed.save(tmp_path / "inversion")
    again = Inversion.load(tmp_path / "inversion")
    assert again.distances == {}
    assert typical_table({"closed": again}, dataset).empty
    assert typical_table({"open": open_}, dataset)["victims"].tolist() == [len(open_.typical)]


def test_it_survives_the_disk(told, tmp_path):
    told.save(tmp_path / "inversion")
    again = Inversion.load(tmp_path / "inversion")
    assert again.questions == told.questions
    torch.testing.assert_close(again.alone, told.alone, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(again.aided, told.aided, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(again.typical, told.typical)
    assert all(
        torch.equal(again.distances[name], values) for name, values in told.distances.items()
    )


def test_where_nothing_is_private_nothing_is_asked(cfg, tmp_path):
    features = tuple(
        feature.model_copy(update={"private": False}) for feature in tiny.SCHEMA.features
    )
    schema = tiny.SCHEMA.__class__(tiny.SCHEMA.names, features, "outcome", tiny.SCHEMA.classes)
    told = guess_measurements(
        tiny.population(4), MEMBER, DATA.__class__(DATA.x, DATA.y, schema), cfg
    )
    told.save(tmp_path / "inversion")
    assert Inversion.load(tmp_path / "inversion").questions == ()
    assert Inversion.load(tmp_path / "inversion").alone.shape == (0, 2, 60)
