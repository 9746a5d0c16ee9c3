"""A deployed model is opened, asked and read as it is; whatever does not fit is one line."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import brought
import foreign
import tiny
from pipeline.attacks.evasion.gradient import fgsm
from pipeline.data.plan import Plan
from pipeline.defenses.keeping import frozen, version_of
from pipeline.files import BadInput, FailedCheck
from pipeline.models import opening
from pipeline.models.answers import margin
from pipeline.models.foreign import Foreign
from pipeline.models.networks import Networks
from pipeline.models.opening import of_typed
from pipeline.models.questions import framed
from pipeline.models.reading import read_lightgbm
from pipeline.models.trees import Tree, Trees
from pipeline.risks.evasion.measure.examination import _confirmed
from pipeline.verify import why_no_proof

DATA = tiny.records(60, seed=4)
NOBODY = torch.zeros(60, dtype=torch.bool)
PLAN = Plan.frozen(NOBODY, DATA.together, seed=0)
CFG = SimpleNamespace(seed=0)
FRAME = framed(DATA.x.numpy(), tiny.SCHEMA)


def kept(source, **options):
    return frozen(DATA, PLAN, CFG, source=source, **options)


def said(population):
    logits = population.double()(DATA.x.double()[None])[0]
    return (logits[:, 1] - logits[:, 0]).sigmoid().numpy()


def test_a_pipeline_in_a_file_of_skops_is_asked_and_read(tmp_path):
    from skops.io import dump

    dump(brought.deployed(), tmp_path / "ward.skops")
    model = kept(str(tmp_path / "ward.skops"))
    assert isinstance(model, Foreign)
    assert isinstance(model.read, Networks)
    np.testing.assert_allclose(said(model), brought.deployed().predict_proba(FRAME)[:, 1])


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_files_of_boosting_are_read_and_their_own_library_has_the_last_word(
    library, tmp_path, monkeypatch
):
    module = pytest.importorskip(library)
    if library == "xgboost":
        made = module.XGBClassifier(n_estimators=5, max_depth=3)
        path, booster = tmp_path / "m.json", lambda: made.get_booster()
    else:
        made = module.LGBMClassifier(n_estimators=5, num_leaves=5, verbose=-1)
        path, booster = tmp_path / "m.txt", lambda: made.booster_
    made.fit(foreign.table(foreign.X), foreign.Y)
    booster().save_model(str(path))
    model = kept(str(path))
    assert isinstance(model, Foreign)
    assert isinstance(model.read, Trees)
    np.testing.assert_allclose(said(model), made.predict_proba(FRAME)[:, 1], atol=1e-6)
    monkeypatch.setattr("pipeline.defenses.keeping.find_spec", lambda name: None)
    alone = kept(str(path))  # read without it
    assert isinstance(alone, Trees)
    np.testing.assert_allclose(said(alone), said(model), atol=2e-6)


def test_files_of_boosting_are_told_of_gaps_by_the_code_where_that_is_asked_for(tmp_path):
    module = pytest.importorskip("xgboost")
    made = module.XGBClassifier(n_estimators=5, max_depth=3)
    made.fit(foreign.table(foreign.X), foreign.Y)
    made.get_booster().save_model(str(tmp_path / "m.json"))
    coded = tuple(one.model_copy(update={"missing": [0]}) for one in tiny.SCHEMA.features)
    dataset = replace(DATA, schema=replace(tiny.SCHEMA, features=coded))
    model = frozen(dataset, PLAN, CFG, source=str(tmp_path / "m.json"), gaps="code")
    assert model.read is None
    assert "by a code" in model.unread
    np.testing.assert_allclose(said(model), made.predict_proba(FRAME.fillna(0))[:, 1], atol=1e-6)
    assert np.abs(said(model) - said(kept(str(tmp_path / "m.json")))).max() > 0.01


def test_a_wrong_reader_is_caught(tmp_path, monkeypatch):
    module = pytest.importorskip("lightgbm")
    made = module.LGBMClassifier(n_estimators=5, num_leaves=5, verbose=-1)
    made.fit(foreign.table(foreign.X), foreign.Y)
    made.booster_.save_model(str(tmp_path / "m.txt"))

    def wrong(path, inputs, levels):
        read = read_lightgbm(path, inputs, levels)
        read.parameters["threshold"][0, 0, 0] += 5
        return read

    monkeypatch.setattr(opening, "read_lightgbm", wrong)
    with pytest.raises(FailedCheck, match=r"m\.txt: what was read answers otherwise"):
        kept(str(tmp_path / "m.txt"))


def test_typed_decimals_go_where_the_library_sends_them():
    """A threshold between a decimal and its float32."""
    pytest.importorskip("lightgbm")
    value = np.float32(0.627)  # 0.62699997...
    other = np.float32(27.1)  # 27.10000038...
    tree = (np.array([0, 0, 0]), np.array([27.1 + 1e-9, 0, 0]))

    one = Tree(
        *tree, np.array([1, 1, 2]), np.array([2, 1, 2]), np.ones(3, bool), np.array([0, 0.2, 0.8])
    )
    read = Trees.of("m", [[one]], ("a",), features=1, link="log_odds", base=[0.0])
    x = torch.tensor([[[other], [value]]])
    assert read.totals(x)[0].tolist() == [0.8, 0.2]  # as float32 it is beyond
    assert of_typed(read).totals(x)[0].tolist() == [0.2, 0.2]  # as it was typed it is not


def test_a_function_is_asked_and_its_structure_is_said_to_be_unknown():
    model = kept("brought:rule")
    np.testing.assert_allclose(said(model), brought.chance(FRAME))
    assert model.read is None
    assert "its own code alone" in model.unread


def test_an_address_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with brought.served() as (address, _):
        model = kept(address)
        version = model.asked[0].version
        assert version == version_of(address, DATA)  # what it makes of gaps is remembered, too
        assert version != model.digest
        np.testing.assert_allclose(
            said(model), brought.plain(FRAME.fillna(0).to_dict("records")), atol=1e-9
        )


def test_a_population_of_ours_is_taken_as_it_decides(tmp_path):
    own = tiny.population(1).decide_at(torch.tensor([0.3], dtype=torch.float64))
    own.save(tmp_path)
    model = kept(str(tmp_path))
    assert isinstance(model, Networks)
    assert model.cut.tolist() == pytest.approx([0.3], abs=1e-6)
    tiny.population(2).save(tmp_path)
    with pytest.raises(BadInput, match="holds 2 models, and none is the release model"):
        kept(str(tmp_path))


def test_another_version_is_told_by_bytes_or_answers(tmp_path):
    file = tmp_path / "m.json"
    file.write_text("{}")
    first = version_of(str(file), DATA)
    file.write_text("{ }")
    assert version_of(str(file), DATA) != first
    assert version_of("brought:rule", DATA) == version_of("brought:rule", DATA)
    assert version_of("brought:rule", DATA) != version_of("brought:deployed", DATA)


def test_it_is_not_trained_on_folds():
    with pytest.raises(BadInput, match=r"take plan\.kind=frozen"):
        frozen(DATA, tiny.plan(DATA, folds=2, seeds=1), CFG, source="brought:rule")
    with pytest.raises(BadInput, match="says of no model"):
        kept("")


def test_a_counterexample_that_the_model_does_not_follow_stops_the_audit():
    model = kept("brought:rule")
    broken = torch.tensor([[[True, True, False]]])
    _confirmed(model, torch.tensor([[[-1.0, 0.0, 2.0]]]), broken)
    with pytest.raises(FailedCheck, match="1 of 2 changed records that turn what was read"):
        _confirmed(model, torch.tensor([[[-1.0, 0.5, 2.0]]]), broken)


def test_a_module_of_torch_is_attacked_along_its_own_gradients():
    model = kept("brought:module")
    assert isinstance(model, Foreign)
    assert model.gradients
    assert "a module of torch" in why_no_proof(model)
    ward = brought.Ward()
    np.testing.assert_allclose(said(model), ward(DATA.x).sigmoid().detach().numpy(), atol=1e-6)
    moved = model.decide_at(torch.tensor([0.5], dtype=torch.float64))
    eps, y = 0.3, DATA.y
    steps = fgsm(moved, DATA.x[None], y, tiny.CLINICAL, eps=eps)
    own = fgsm(moved.read, DATA.x[None], y, tiny.CLINICAL, eps=eps)
    assert tiny.same_bits(steps, own)
    before, after = (margin(moved.double()(x.double()), y) for x in (DATA.x[None], steps))
    assert (after <= before + 1e-6).all()
    assert (after < before - 0.1).any()


def test_a_module_that_answers_otherwise_is_one_line(monkeypatch):
    monkeypatch.setattr(brought.Ward, "forward", lambda self, x: x)
    with pytest.raises(BadInput, match="records with 8 x 5; expected one logit a record"):
        kept("brought:module")


def test_what_told_its_version_is_not_opened_and_met_again_by_the_audit_that_follows(monkeypatch):
    """Once alone: the next audit meets whatever is behind the source then."""
    asked, model = [], brought.deployed()

    def load():
        asked.append("opened")

        def predict(frame):
            asked.append(len(frame))
            return model.predict_proba(frame)[:, 1]

        return predict

    monkeypatch.setattr(brought, "slow_to_load", load, raising=False)
    version_of("brought:slow_to_load", DATA)
    once = [*asked]
    assert once.count("opened") == 1
    first = kept("brought:slow_to_load")
    assert asked == once
    assert kept("brought:slow_to_load").digest == first.digest
    assert asked == once * 2
    # of other records, or told gaps in another way, it is met anew
    version_of("brought:slow_to_load", tiny.records(60, seed=5))
    before = len(asked)
    kept("brought:slow_to_load")
    assert len(asked) > before
