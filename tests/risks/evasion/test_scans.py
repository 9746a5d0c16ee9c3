"""A few forged images: who is chosen, what is shown of them, and to whom."""

import numpy as np
import pytest
import torch

import parts
import scans as made_up
from pipeline.data.plan import Plan
from pipeline.defenses.trained import train
from pipeline.params import configured
from pipeline.risks.evasion import scans
from pipeline.risks.evasion.chapters.scans import chapter
from pipeline.risks.evasion.limits import EACH_A_PATIENT, MISSING
from pipeline.risks.evasion.measure.examination import (
    WORST,
    Examination,
    examine,
    load_adversarial,
    save_adversarial,
)
from pipeline.risks.evasion.measure.margins import Margins
from pipeline.risks.evasion.risk import RISK
from pipeline.risks.evasion.view import View
from pipeline.risks.results import as_written
from pipeline.risks.risk import Context, Sources

pytestmark = pytest.mark.heavy

QUICK = [
    *("experiment=digits", "attack=[fgsm,noise,sparse]", "threat=[pixels]"),
    *("audit.resamples=100", "train.epochs=6", "model.hidden=[4]", "model.channels=[4]"),
]


@pytest.fixture(scope="module")
def cfg():
    found = configured(QUICK)
    audit = found.audit.model_copy(update={"eps": [0.0, 20.0, 60.0], "headline_eps": 60.0})
    plan = found.plan.model_copy(update={"kind": "official", "seeds": 2})
    report = found.report.model_copy(update={"patients": "shown"})
    changed = {"audit": audit, "plan": plan, "data": made_up.described(), "report": report}
    return found.model_copy(update=changed)


@pytest.fixture(scope="module")
def dataset():
    return made_up.dataset(80, seed=4, split=True)


@pytest.fixture(scope="module")
def sources(cfg, dataset, tmp_path_factory):
    """The undefended models and a defense, examined as the stages do."""
    place, plan = tmp_path_factory.mktemp("examined"), Plan.of(dataset, cfg.plan, cfg.seed)
    examined, sent = {}, None
    for name in ("baseline", "adv_train"):
        examined[name] = place / name
        (examined[name] / "evasion").mkdir(parents=True)
        models = train(name, dataset, plan, cfg)
        found, x_adv = examine(models, dataset, plan, cfg, transfer=sent)
        found.save(examined[name] / "evasion")
        if sent is None:
            save_adversarial(x_adv, examined[name])
            sent = load_adversarial(examined[name])
    return Sources(examined)


@pytest.fixture(scope="module")
def examined(sources):
    return {name: Examination.load(place) for name, place in sources.of("evasion").items()}


@pytest.fixture(scope="module")
def tables(examined, sources, cfg, dataset):
    return scans.scan_tables(examined, sources, Context(dataset, cfg))


def test_every_column_is_explained(tables):
    for name, explained in scans.COLUMNS.items():
        assert list(tables[name]) == list(explained)


def test_of_all_attacks_the_worst_image_is_kept_a_byte_a_grey_level(sources, examined, dataset):
    kept = load_adversarial(sources.examined["baseline"])
    assert set(kept) == {f"pixels/{WORST}"}
    x_adv, rows = kept[f"pixels/{WORST}"], examined["baseline"].rows["patient"].unique()
    assert x_adv.dtype == torch.uint8
    assert x_adv.shape == (3, 2, len(rows), *made_up.SHAPE)
    assert torch.equal(x_adv[0, 0].float(), dataset.x[rows])
    for at, eps in enumerate((0.0, 20.0, 60.0)):
        assert float((x_adv[at].float() - dataset.x[rows]).abs().max()) <= eps


def test_the_image_that_is_kept_leaves_the_least_margin(sources, examined, cfg, dataset):
    plan = Plan.of(dataset, cfg.plan, cfg.seed)
    models = train("baseline", dataset, plan, cfg)
    kept = load_adversarial(sources.examined["baseline"])[f"pixels/{WORST}"]
    out = models.double()(kept.double())
    y = dataset.y[examined["baseline"].rows["patient"].unique()]
    left = (out[..., 1] - out[..., 0]) * (2 * y - 1)
    worst = np.minimum.reduce(list(examined["baseline"].margins["pixels"].by_attack.values()))
    np.testing.assert_allclose(left.numpy(), worst, rtol=1e-4, atol=1e-5)


def test_what_serves_no_images_is_left_out_and_said(examined, cfg, dataset):
    from pipeline.risks.evasion.measure.subject import cannot_be_asked

    assert "sparse" not in set(examined["baseline"].rows["attack"])
    models = train("baseline", dataset, Plan.of(dataset, cfg.plan, cfg.seed), cfg)
    assert cannot_be_asked(models, cfg)["sparse"] == "not for images"


def test_the_median_of_those_who_fall_at_a_radius_and_not_before_is_chosen():
    y = np.array([1, 1, 1, 1, 0, 1])
    clean = np.array([0.3, 0.1, 0.2, 0.9, 0.1, -0.1])
    first = np.array([-1, -1, -1, 0.5, -1, -1.0])
    second = np.array([-1, -1, -1, -0.5, -1, -1.0])
    by_attack = {"one": np.stack([clean, first, second])[:, None]}
    margins = Margins(np.array([0.0, 1.0, 2.0]), y, by_attack)
    assert scans.chosen(margins) == [(1, 2), (2, 3)]
    nobody = Margins(np.array([0.0, 1.0]), y, {"one": np.stack([clean, clean])[:, None]})
    assert scans.chosen(nobody) == []


def test_of_many_radii_the_largest_are_shown():
    eps = np.arange(6.0)
    left = np.where(eps[:, None] > np.arange(5)[None], -1.0, 1.0)[:, None]
    found = scans.chosen(Margins(eps, np.ones(5, dtype=np.int64), {"one": left}))
    assert found == [(3, 2), (4, 3), (5, 4)]


def test_both_images_are_those_of_the_patient(tables, sources, dataset):
    kept = load_adversarial(sources.examined["baseline"])[f"pixels/{WORST}"]
    assert len(tables["scans"])
    for line in tables["scans"].to_dict("records"):
        taken = scans.pixels(line["taken"], made_up.SHAPE)
        np.testing.assert_array_equal(taken, dataset.x[line["patient"]].numpy())
        presented = scans.pixels(line["presented"], made_up.SHAPE)
        assert 0 < np.abs(presented - taken).max() <= line["eps"]
        assert any(np.array_equal(presented, one) for one in kept[:, 0].flatten(0, 1).numpy())


def test_scores_are_those_of_the_rows(tables, examined):
    scores = tables["scan_scores"]
    assert set(scores["defense"]) == {"baseline", "adv_train"}
    own = scores[scores["defense"] == "baseline"]
    assert (own["taken"] >= own["cut"]).all()  # found by the undefended model
    assert (own["presented"] < own["cut"]).all()  # and called healthy then
    np.testing.assert_array_equal(own["presented"], own["worst"])
    line = scores[scores["defense"] == "adv_train"].iloc[0]
    rows = examined["adv_train"].rows
    rows = rows[(rows["patient"] == line["patient"]) & (rows["repetition"] == 0)]
    sent = rows[(rows["attack"] == "transfer") & (rows["eps"] == line["eps"])].iloc[0]
    odds = np.log(line["cut"] / (1 - line["cut"])) + sent["margin"]
    assert line["presented"] == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-5)


def test_a_hidden_cohort_shows_no_image(examined, sources, cfg, dataset):
    hidden = cfg.report.model_copy(update={"patients": "hidden"})
    secret = Context(dataset, cfg.model_copy(update={"report": hidden}))
    assert scans.scan_tables(examined, sources, secret) == {}
    drawn = RISK.tables(sources, secret)
    assert not {"scans", "scan_scores"} & set(drawn)


def test_images_are_never_sent_anywhere():
    assert {"scans", "scan_scores"} <= RISK.per_patient


@pytest.fixture(scope="module")
def drawn(sources, cfg, dataset):
    found = RISK.tables(sources, Context(dataset, cfg))
    return {
        name: table if RISK.is_per_patient(name) else as_written(table)
        for name, table in found.items()
        if len(table)
    }


def test_the_chapter_shows_the_images_beside_what_is_said_of_them(drawn, cfg, tmp_path):
    written = chapter(View(drawn, cfg), tmp_path)
    svg = (tmp_path / "scans.svg").read_text(encoding="utf-8")
    assert svg.count("data:image/png;base64") == 3 * len(drawn["scans"])
    assert "<title" in svg
    assert "<desc" in svg
    (shown, *_) = parts.tables(written)
    assert list(shown["within"]) == [f"{eps:g} grey levels" for eps in drawn["scan_scores"]["eps"]]
    again = tmp_path / "again"
    again.mkdir()
    chapter(View(drawn, cfg), again)
    assert (again / "scans.svg").read_bytes() == (tmp_path / "scans.svg").read_bytes()


def test_the_page_speaks_of_grey_levels_and_of_no_measurement(drawn, cfg, dataset, tmp_path):
    context = Context(dataset, cfg)
    written = RISK.chapters(drawn, context, tmp_path)
    found = RISK.finding(drawn, context)
    assert found.text.startswith("If every pixel is forged by at most 60 grey levels,")
    said = " ".join([found.text, *(one.result for one in written)])
    assert "measurement" not in said
    assert "mg/dL" not in said
    untested = RISK.untested(drawn, context)
    assert EACH_A_PATIENT in untested
    assert MISSING not in untested


def test_the_official_test_set_is_no_sample(drawn, cfg, dataset, tmp_path):
    assert "attacked" not in drawn["comparison"]
    written = RISK.chapters(drawn, Context(dataset, cfg), tmp_path)
    assert "sample" not in " ".join(one.result for one in written)


def test_without_images_there_is_no_chapter(drawn, cfg, tmp_path):
    without = {name: table for name, table in drawn.items() if not name.startswith("scan")}
    assert chapter(View(without, cfg), tmp_path) is None


def test_that_every_defense_falls_is_only_said_where_it_does(drawn, cfg, tmp_path):
    scores = drawn["scan_scores"]
    for share, words in ((0.0, "all are called so"), (1.0, "none are called so")):
        moved = scores.assign(
            presented=np.where(scores["defense"] == "baseline", scores["presented"], share)
        )
        written = chapter(View({**drawn, "scan_scores": moved}, cfg), tmp_path)
        assert words in written.result or len(drawn["scans"]) == 1
