"""What is answered is proved: held against every record that a tiny clinic could write down."""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

import groves
import kinds
import lattice
import mixed
import related
import tiny
from pipeline.data.schema import Schema
from pipeline.data.threat import Threat
from pipeline.files import BadInput
from pipeline.models.mlp import Architecture
from pipeline.models.networks import Networks
from pipeline.models.trees import Tree, Trees
from pipeline.serving import certificate
from pipeline.serving.admission import admitted
from pipeline.serving.certificate import Certifier
from pipeline.serving.release import DECISION
from pipeline.serving.release import answers as released

pytestmark = pytest.mark.heavy

FEATURES = {  # a step is a tenth of the scale, so that radii end on the grid: ties everywhere
    "potassium": tiny.feature(2.0, 4.0, 0.1, True, 3.0, 1.0),
    "pulse": tiny.feature(60.0, 80.0, 1.0, True, 70.0, 10.0),
    "age": tiny.feature(40.0, 41.0, 1.0, False, 40.0, 1.0),
}
SCHEMA = Schema(tuple(FEATURES), tuple(FEATURES.values()), "outcome", ("healthy", "ill"))
CLINICAL = Threat.of(SCHEMA, tiny.threat_config())
RADII = (0.1, 0.3)
TENTH = (0.1, 1.0, 1.0)


@cache
def everybody():
    """Every record of potassium and pulse, one of them missing or none."""
    potassium = [None, *(round(20 + tick, 1) / 10 for tick in range(21))]
    rows = product(potassium, [None, *range(60, 81)], [40])
    found = admitted([dict(zip(FEATURES, row, strict=True)) for row in rows], SCHEMA)
    assert found.good.sum() == len(found.good) - 1  # nothing measured
    return found.values[found.good]


@cache
def model(kind):
    """A network, a linear model or trees of three features, of both answers."""
    if kind == "trees":
        rng = np.random.default_rng(3)
        return Trees.of(
            "drawn",
            [[_tree(rng) for _ in range(6)]],
            ("one",),
            features=3,
            link="log_odds",
            base=[0.0],
        )
    hidden = (7, 5) if kind == "network" else ()
    design = Architecture("mlp" if hidden else "linear", 3, 2, hidden)
    weights = {name: 3 * one for name, one in tiny.drawn(design, torch.tensor([4])).items()}
    constants = {
        "impute": torch.tensor([[3.0, 70.0, 40.0]]),
        "center": torch.tensor([[3.0, 70.0, 40.0]]),
        "scale": torch.tensor([[0.5, 5.0, 1.0]]),
    }
    drawn = Networks(design, constants, weights, ("one",))
    odds = drawn.double()(torch.from_numpy(everybody()).float().double()[None])[0]
    middle = (odds[:, 1] - odds[:, 0]).median()
    return drawn.decide_at(drawn.cut + middle + 0.01)  # on nobody's own


def _tree(rng):
    """Two questions, at values that are recorded."""
    place = rng.integers(0, 2, 3)
    at = np.where(place == 0, 2 + rng.integers(4, 17, 3) / 10, 60 + rng.integers(4, 17, 3))
    return Tree(
        feature=np.array([*place, 0, 0, 0, 0]),
        threshold=np.array([*at, 0.0, 0.0, 0.0, 0.0]),
        left=np.array([1, 3, 5, 3, 4, 5, 6]),
        right=np.array([2, 4, 6, 3, 4, 5, 6]),
        missing_left=rng.random(7) < 0.5,
        value=np.array([0.0, 0.0, 0.0, *rng.normal(size=4)]),
    )


@cache
def answered(kind, r, norm="linf"):
    """The certifier, and what it says of everybody."""
    certifier = Certifier.of(model(kind), SCHEMA, replace(CLINICAL, norm=norm), r=r)
    return certifier, certifier.answers(everybody())


def near(records, r, norm="linf"):
    """(N, N) bool: which can be forged into which, counted in ticks, so that nothing is rounded."""
    ticks = np.round(records / [0.1, 1.0, 1.0])
    gaps = np.isnan(ticks)
    change = np.nan_to_num(ticks[:, None] - ticks[None])
    same = (gaps[:, None] == gaps[None]).all(2) & (change[..., 2] == 0)
    most = round(r * 10)
    moved = np.abs(change[..., :2])
    return same & ((moved.max(2) <= most) if norm == "linf" else ((moved**2).sum(2) <= most**2))


KINDS = ("network", "linear", "trees")
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_what_is_proved_of_a_known_decision_is_what_answers_certify(kind):
    for r in RADII:
        certifier, said = answered(kind, r)
        assert np.array_equal(certifier.proves(everybody(), said.decision), said.certified)
        assert said.certified.any()
    assert not replace(certifier, proof=None).proves(everybody(), said.decision).any()


@every_kind
@pytest.mark.parametrize(("r", "norm"), [(0.1, "linf"), (0.3, "linf"), (0.3, "l2")])
def test_no_two_records_within_r_are_answered_differently(kind, r, norm):
    _, said = answered(kind, r, norm)
    pairs = near(everybody(), r, norm)
    differ = said.decision[:, None] != said.decision[None]
    assert not (pairs & differ & said.certified[:, None] & said.certified[None]).any()
    # nor is anybody answered beside somebody of another class, nor anybody referred without one
    turned = (pairs & differ).any(1)
    assert set(said.decision[said.certified]) == {0, 1}
    assert np.array_equal(said.certified, ~turned)
    assert set(said.reason) == {"", "near"}
    ticks = np.round(everybody() / TENTH)[:, None] - np.round(everybody() / TENTH)[None]
    tied = np.abs(np.nan_to_num(ticks)).max(2) == round(r * 10)
    assert (turned & ~(pairs & differ & ~tied).any(1)).any()  # some are turned exactly at r


@every_kind
@pytest.mark.parametrize("r", RADII)
def test_whoever_is_referred_as_near_has_a_record_that_turns_the_answer(kind, r):
    certifier, said = answered(kind, r)
    x, turned = torch.from_numpy(everybody()).float(), torch.from_numpy(said.record)
    assert CLINICAL.violations(turned, x, r + certificate.TOLERANCE) == 0
    assert tiny.same_bits(turned[said.certified], x[said.certified])
    again = certifier.answers(turned.numpy(), certify=False)
    assert np.array_equal(again.decision != said.decision, ~said.certified)
    assert torch.equal(turned.isnan(), x.isnan())


@every_kind
def test_the_decision_is_that_of_the_release(kind):
    import pandas as pd

    _, said = answered(kind, 0.1)
    table = released(model(kind), SCHEMA, pd.DataFrame(everybody(), columns=[*FEATURES]))
    assert table[DECISION].tolist() == [SCHEMA.classes[one] for one in said.decision]
    assert np.allclose(table["ill"], said.probability, rtol=0, atol=1e-12)


@every_kind
def test_no_answer_hangs_on_its_batch(kind):
    certifier, said = answered(kind, 0.3)
    rows = range(0, len(everybody()), 41)
    alone = [certifier.answers(everybody()[row : row + 1]) for row in rows]
    for name in ("log_odds", "decision", "reason", "record", "boxes"):
        each = np.concatenate([np.asarray(getattr(one, name)) for one in alone])
        assert (
            each.tobytes() == np.asarray(getattr(said, name))[[*rows]].astype(each.dtype).tobytes()
        )
    assert len(certifier.answers(everybody()[:0]).reason) == 0


@every_kind
def test_what_is_not_found_out_is_referred(kind):
    certifier, said = answered(kind, 0.3)
    late = certifier.answers(everybody()[:50], seconds=0.0)
    assert set(late.reason) == {"undecided"}
    few = replace(certifier, boxes=1).answers(everybody())
    assert not (few.certified & ~said.certified).any()
    assert ("undecided" in few.reason) == (kind == "network" or kind == "trees")
    nobody = certifier.answers(everybody(), certify=False)
    assert set(nobody.reason) == {"no proof"}
    assert np.array_equal(nobody.log_odds, said.log_odds)


def test_what_lies_within_rounding_of_the_cut_is_undecided():
    own = model("linear")
    record = everybody()[300:301]
    odds = Certifier.of(own, SCHEMA, CLINICAL, r=0.0).answers(record).log_odds[0]
    certifier = Certifier.of(own, SCHEMA, CLINICAL, r=0.0)
    assert certifier.answers(record).certified.all()
    for off, certified in ((0.0, False), (1e-15, False), (1e-3, True)):
        shifted = replace(certifier.population, cut=torch.tensor([odds + off], dtype=torch.float64))
        bias = own.parameters["bias0"].double()
        bias = bias + torch.tensor([0.0, own.cut[0] - shifted.cut[0]], dtype=torch.float64)
        shifted = replace(shifted, parameters={**shifted.parameters, "bias0": bias})
        said = Certifier.of(shifted, SCHEMA, CLINICAL, r=0.0).answers(record)
        assert said.certified.all() == certified
        assert said.reason == (("",) if certified else ("undecided",))


def test_radii_that_float32_makes_longer_are_covered():
    """Values as typed lie within r; the float32 that they become lie further apart."""
    wide = {"a": tiny.feature(-3e4, 3e4, None, True, 0.0, 1.0)}
    schema = Schema(tuple(wide), tuple(wide.values()), "outcome", ("healthy", "ill"))
    threat, r = Threat.of(schema, tiny.threat_config()), 0.1
    rng = np.random.default_rng(0)
    typed = np.round(rng.uniform(17000, 25000, 4000), 4)
    moved = np.nextafter(typed + r, 0)  # at most r away, as float64 has it
    apart = moved.astype(np.float32).astype(np.float64) - typed.astype(np.float32)
    longer = np.argsort(-apart)[:5]
    assert (apart[longer] > r + 1.5e-3).all()
    design, ones = Architecture("linear", 1, 2, ()), torch.ones(1, 1).double()
    constants = {"impute": 0 * ones, "center": 0 * ones, "scale": ones}
    for at in longer:
        first, last = np.float64(np.float32(typed[at])), np.float64(np.float32(moved[at]))
        boundary = (last + np.nextafter(np.float32(last), np.float32(0))) / 2
        bias = torch.tensor([[[0.0, -boundary]]], dtype=torch.float64)
        weights = {"weight0": torch.tensor([[[0.0, 1.0]]]).double(), "bias0": bias}
        ones = torch.ones(1, 1).double()
        linear = Networks(design, constants, weights, ("one",))
        said = Certifier.of(linear, schema, threat, r=r).answers(np.array([[first], [last]]))
        assert said.decision.tolist() == [0, 1]
        assert said.reason[0] == "near"


# ---- images ----


def test_images_are_answered_where_crown_proves_them():
    population, schema, threat = lattice.networks(), lattice.schema(), lattice.pixels()
    x, y = lattice.images(12, population)
    certifier = Certifier.of(population, schema, threat, r=1.0)
    said = certifier.answers(x.numpy())
    least = lattice.least(population, x, y, threat, 1.0)
    assert np.array_equal(said.decision, y.numpy())
    assert said.certified.any()
    assert (least[said.certified] > 0).all()
    assert set(said.reason) == {"", "undecided"}
    assert not certifier.answers(x.numpy(), seconds=0.0).certified.any()
    assert certifier.answers(x.numpy(), certify=False).certified.sum() == 0


# ---- who is served at all ----


def test_what_nothing_can_be_proved_of_is_scored_and_referred():
    record = tiny.records(6, seed=0).x.double().numpy()
    population = groves.drawn()
    related_threat = replace(tiny.CLINICAL, relations=related.threat().relations)
    certifier = Certifier.of(population, tiny.SCHEMA, related_threat, r=0.1)
    assert "relations" in certifier.why
    said = certifier.answers(record)
    assert set(said.reason) == {"no proof"}
    plain = Certifier.of(population, tiny.SCHEMA, tiny.CLINICAL, r=0.1)
    assert plain.why == ""
    assert np.array_equal(plain.answers(record).log_odds, said.log_odds)
    drawn = {"filters": torch.ones(1, 4, 1, 3, 3), "bias": torch.zeros(1, 4)}
    drawn |= {"weight": torch.ones(1, 36, 2), "cut": torch.zeros(1).double()}
    strange = kinds.Convolutions(drawn, ("one",))
    threat = Threat.of(kinds.SCANS, tiny.threat_config())
    certifier = Certifier.of(strange, kinds.SCANS, threat, r=0.1)
    assert "only trees" in certifier.why
    said = certifier.answers(kinds.scans(8, seed=0).x.numpy())
    assert set(said.reason) == {"no proof"}
    assert np.isfinite(said.probability).all()


def test_relations_and_gaps_are_kept_by_the_proof():
    data, threat = related.records(40, seed=2, wrong=0.0), related.threat()
    models = related.models(1, seed=1)
    names = [*related.FEATURES]
    rows = [
        {n: None if np.isnan(v) else round(v, 1) for n, v in zip(names, row, strict=True)}
        for row in data.x.double().tolist()
    ]
    found = admitted(rows, related.SCHEMA)
    values = found.values[found.good][:8]
    certifier = Certifier.of(models, related.SCHEMA, threat, r=0.5)
    said = certifier.answers(values)
    turned = []
    for value, decision in zip(values, said.decision, strict=True):
        versions, _ = related.everything(torch.from_numpy(value).float(), 0.5)
        decisions = certifier.answers(versions.numpy(), certify=False).decision
        turned.append((decisions != decision).any())
    assert np.array_equal(~said.certified, turned)
    assert 0 < sum(turned) < len(turned)


@pytest.mark.parametrize("recoded", [True, False])
def test_categories_are_ruled_out_where_recodes_lead_both_ways_and_else_stay(recoded):
    models, r = mixed.models(1, seed=2), 0.6
    table = torch.tensor([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]).double()
    (place, _), *_ = mixed.threat().costs
    threat = replace(mixed.threat(), costs=((place, table),) if recoded else ())
    recodes = {"c0": ["c1", "c2"], "c1": ["c0", "c2"], "c2": ["c0", "c1"]}
    thal = mixed.FEATURES["thal"].model_copy(update={"recodes": recodes if recoded else {}})
    features = tuple(thal if name == "thal" else one for name, one in mixed.FEATURES.items())
    certifier = Certifier.of(models, mixed.SCHEMA, threat, r=r)
    x = mixed.records(24, seed=4).x
    said = certifier.answers(x.double().numpy())
    turned = []
    for record, decision in zip(x, said.decision, strict=True):
        made = mixed.everything(record, threat, features)
        versions = torch.stack([v for v, change in made if change.max() <= r + 1e-9])
        odds = certifier.answers(versions.numpy(), certify=False)
        turned.append((odds.decision != decision).any())
    assert np.array_equal(~said.certified, turned)
    assert 0 < sum(turned) < len(turned)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"goal": "miss"}, "goal"),
        ({"goal": "alarm"}, "goal"),
        ({"norm": "l0", "eps": [0, 1]}, "counts values"),
        ({"withhold": 0.5}, "left out"),
    ],
)
def test_a_threat_with_a_way_back_that_it_forbids_is_refused_in_one_line(changes, said):
    threat = Threat.of(SCHEMA, tiny.threat_config(**changes))
    with pytest.raises(BadInput, match=said) as refused:
        Certifier.of(model("linear"), SCHEMA, threat, r=0.1)
    assert "\n" not in str(refused.value)


def test_grids_and_recodes_must_be_the_same_both_ways():
    for other, said in (
        (replace(CLINICAL, step=2 * CLINICAL.step), "another grid"),
        (replace(CLINICAL, upper=CLINICAL.upper - 0.1), "narrower range"),
    ):
        with pytest.raises(BadInput, match=said):
            Certifier.of(model("linear"), SCHEMA, other, r=0.1)
    with pytest.raises(BadInput, match="one way"):  # thal: c1 into c0, and never back
        Certifier.of(mixed.models(1), mixed.SCHEMA, mixed.threat(), r=0.1)
    fine = {"a": tiny.feature(0.0, 9000.0, 0.001, True, 0.0, 1.0)}
    schema = Schema(tuple(fine), tuple(fine.values()), "outcome", ("healthy", "ill"))
    with pytest.raises(BadInput, match="finer grid"):
        Certifier.of(model("linear"), schema, Threat.of(schema, tiny.threat_config()), r=0.1)
    for many in (tiny.population(2), tiny.population(1)):
        radius = 0.1 if many.size == 2 else np.inf
        with pytest.raises(BadInput):
            Certifier.of(many, tiny.SCHEMA, tiny.CLINICAL, r=radius)
