"""Only the audited release of passed gates is handed over to the guard."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from skops.io import dump

import brought
import clinic
import foreign
import tiny
from pipeline.data.plan import Plan
from pipeline.data.schema import save_dataset, save_schema
from pipeline.defenses.growing import forest
from pipeline.defenses.keeping import frozen
from pipeline.files import BadInput
from pipeline.gate import handing_over, rehearsal
from pipeline.gate.audits import Audit
from pipeline.gate.handing_over import hand_over, policy_of
from pipeline.models.foreign import Foreign
from pipeline.models.opening import HELD
from pipeline.models.population import deployed
from pipeline.models.questions import framed
from pipeline.models.trees import Trees
from pipeline.params import compose
from pipeline.serving.guard import Guard
from pipeline.serving.keys import Client, Role
from pipeline.serving.place import LOG, founded
from pipeline.serving.served import RELEASE, Served, opened
from pipeline.sweep import once
from serving.made_up import NOW, POLICY, SCHEMA, network, policy

pytestmark = pytest.mark.heavy
DESCRIBED = tiny.threat_config().model_dump(mode="json")


@pytest.fixture
def given(tmp_path, monkeypatch):
    """What a hand-over is asked with: audit, gates, release."""
    monkeypatch.setattr(handing_over, "repository_root", lambda: tmp_path)
    release = tmp_path / "given"
    release.mkdir()
    network().save(release)
    save_schema(SCHEMA, release)
    audit = SimpleNamespace(
        path=tmp_path / "audit.json",
        cohort="ward",
        sha256="a" * 64,
        headline=("clinical", DESCRIBED),
        release_sha256=lambda defense: network().digest if defense == "baseline" else "",
        model_sha256=lambda _: "c" * 64,
        words={},
    )
    judged = SimpleNamespace(
        state="passed", gate_sha256="b" * 64, outcomes=(), accepted={}, tests=0
    )
    cfg = SimpleNamespace(serving=policy(), gate=SimpleNamespace(defense="baseline"))
    return SimpleNamespace(cfg=cfg, audit=audit, judged=judged, release=release)


def test_the_folder_serves_the_audited_model_under_the_audited_threat(given, tmp_path):
    said = hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    served, population, _, threat = opened(tmp_path / "guard")
    assert served == Served.load(tmp_path / "guard")
    assert (served.audit_sha256, served.gate_sha256) == ("a" * 64, "b" * 64)
    assert population.digest == network().digest
    assert threat.mutable.tolist() == [True, True, False]
    assert served.honest == {}
    assert "no alarms" in said


@pytest.mark.parametrize("state", ["failed", "unclear"])
def test_gates_that_are_not_passed_serve_nothing(given, tmp_path, state):
    given.judged.state = state
    with pytest.raises(BadInput, match="the gates are not passed"):
        hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    assert not (tmp_path / "guard").exists()


def test_another_model_than_was_audited_is_not_served_and_the_old_one_stays(given, tmp_path):
    hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    before = (tmp_path / "guard" / RELEASE / "population.json").read_bytes()
    network(weight=2.0).save(given.release)
    with pytest.raises(BadInput, match="is not the audited release"):
        hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    assert (tmp_path / "guard" / RELEASE / "population.json").read_bytes() == before
    opened(tmp_path / "guard")


def test_a_defense_without_an_audited_release_is_one_line(given, tmp_path):
    given.cfg.serving = policy(defense="adv_train")
    with pytest.raises(BadInput, match="names no release of adv_train"):
        hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    with pytest.raises(BadInput, match="serving: missing"):
        policy_of(SimpleNamespace(serving=None))


def test_log_and_keys_stay_where_they_are(given, tmp_path):
    founded(tmp_path / "guard", NOW)
    before = (tmp_path / "guard" / LOG).read_bytes()
    hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    assert (tmp_path / "guard" / LOG).read_bytes() == before
    assert founded(tmp_path / "guard", NOW) == []


# ---- trees, and models of other people's ----

DATA = tiny.records(60, seed=4)
PLAN = tiny.plan(DATA, folds=2, seeds=1, release=True)
ALONE = Plan.frozen(torch.zeros(60, dtype=torch.bool), DATA.together, seed=0)
CFG = SimpleNamespace(seed=0)


def deployed_in(path):
    """A model that somebody fitted and kept, by the ending of its file."""
    if path.suffix == ".skops":
        made = foreign.fitted("boosted", named=True)
        dump(made, path)
        return made
    if path.suffix == ".json":
        made = pytest.importorskip("xgboost").XGBClassifier(n_estimators=5, max_depth=3)
        made.fit(foreign.table(foreign.X), foreign.Y).get_booster().save_model(str(path))
        return made
    library = pytest.importorskip("lightgbm")
    made = library.LGBMClassifier(n_estimators=5, num_leaves=5, verbose=-1)
    made.fit(foreign.table(foreign.X), foreign.Y).booster_.save_model(str(path))
    return made


def handed(given, population, release, place):
    """The folder of a guard, of an audit that names what is deployed of a population."""
    release.mkdir(exist_ok=True)
    population.save(release)
    given.audit.release_sha256 = lambda _: deployed(population).digest
    given.cfg.serving = policy(journal={**POLICY["journal"], "records": "hashes"})
    hand_over(given.cfg, given.audit, given.judged, release, place)
    founded(place, NOW)
    return place


def told(folder):
    """What is told of every patient, as a clinician would ask."""
    sent = [
        {
            name: None if np.isnan(value) else round(float(value), 6)
            for name, value in zip(tiny.SCHEMA.names, row, strict=True)
        }
        for row in DATA.x.double().numpy()
    ]
    guard = Guard.open(folder)
    try:
        return guard.ask(sent, Client("ward", Role.CLINICIAN), "/v1/predict", NOW)
    finally:
        guard.close(NOW)


@pytest.mark.parametrize("file", ["m.json", "m.txt", "m.skops"])
def test_of_a_foreign_model_what_was_read_of_it_is_served(file, given, tmp_path):
    path = tmp_path / file
    made = deployed_in(path)
    model = frozen(DATA, ALONE, CFG, source=str(path))
    assert isinstance(model, Foreign)
    guard = handed(given, model, tmp_path / "population", tmp_path / "guard")
    path.unlink()  # neither the file nor its library is needed any more
    _, population, schema, _ = opened(guard)
    assert type(population) is Trees
    assert {one.name for one in (guard / RELEASE).iterdir()} == {
        "population.json",
        "population.safetensors",
        "schema.json",
    }
    logits = population(DATA.x[None])[0].double()
    said = (logits[:, 1] - logits[:, 0] + population.cut).sigmoid()
    own = made.predict_proba(framed(DATA.x.numpy(), schema))[:, 1]
    np.testing.assert_allclose(said, own, atol=1e-5)


def test_of_trees_the_one_that_is_deployed_is_served(given, tmp_path):
    trained = forest(DATA, PLAN, CFG, kind="forest", trees=4, depth=4, leaf=1)
    prepared = tmp_path / "artifacts" / "prepare"
    prepared.mkdir(parents=True)
    save_dataset(DATA, prepared)  # the folder of trees has no schema of its own
    guard = handed(given, trained, tmp_path / "forest", tmp_path / "guard")
    _, population, _, _ = opened(guard)
    assert (population.size, population.labels) == (1, ("release",))
    assert population.digest == trained.release().digest
    assert {"decision", "referred"} <= {key for one in told(guard) for key in one}


def test_a_model_that_is_not_read_is_not_served(given, tmp_path, monkeypatch):
    ours = SimpleNamespace(**vars(given.audit))
    trained = brought.neighbours().fit(foreign.table(foreign.X), foreign.Y)
    monkeypatch.setitem(HELD, "own:neighbours", trained)
    model = frozen(DATA, ALONE, CFG, source="own:neighbours")
    with pytest.raises(BadInput, match=r"structure is not read \(.*such a model is not served"):
        handed(given, model, tmp_path / "population", tmp_path / "guard")
    assert not (tmp_path / "guard" / RELEASE).exists()
    hand_over(given.cfg, ours, given.judged, given.release, tmp_path / "guard")
    shutil.rmtree(tmp_path / "guard" / RELEASE)  # and not by hand, either
    shutil.copytree(tmp_path / "population", tmp_path / "guard" / RELEASE)
    with pytest.raises(BadInput, match="code of its own"):
        opened(tmp_path / "guard")


KINDS = {
    "forest": [
        "experiment=smoke",
        "defense=[baseline,partition,forest]",
        "forest.trees=4",
        "forest.depth=4",
    ],
    "skops": [
        "experiment=deployed",
        "defense=[baseline,partition]",
        "model.source=m.skops",
        "membership.second_seeds=2",
        "inversion.victims=2",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_from_an_audit_to_an_answer(kind, given, tmp_path, monkeypatch, empty_store):
    """A run of one recipe, or of a deployed model, is audited, handed over and asked."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    clinic.undrawn(monkeypatch)
    for module in (once, rehearsal):
        monkeypatch.setattr(module, "read_raw", lambda *_: (DATA, {}))
    deployed_in(tmp_path / "m.skops")
    defense = "forest" if kind == "forest" else "baseline"
    values = yaml.safe_load(compose([*KINDS[kind], "risks=examined"], tiny.ROOT / "conf"))
    cfg = clinic.configuration(values, (defense,))
    (line,) = once.run_recipes(cfg)
    run = tmp_path / "sweeps" / line["key"]
    audit = Audit.read(run / "evaluation")
    given.cfg = SimpleNamespace(
        serving=policy(journal={**POLICY["journal"], "records": "hashes"}),
        gate=SimpleNamespace(defense=defense),
    )
    said = hand_over(given.cfg, audit, given.judged, run / "population", tmp_path / "guard")
    assert line["key"] in said
    assert "no alarms" not in said
    assert Served.load(tmp_path / "guard").honest["patients"] == len(DATA.y)
    founded(tmp_path / "guard", NOW)
    assert {"decision", "referred"} <= {key for one in told(tmp_path / "guard") for key in one}
