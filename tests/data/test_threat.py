"""A threat model keeps every promise it makes, on every kind of feature."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from pipeline.data.schema import Schema
from pipeline.data.threat import Threat
from tiny import (
    BALL,
    CLINICAL,
    EUCLIDEAN,
    SCHEMA,
    SPARSE,
    THREATS,
    UNCONSTRAINED,
    feature,
    records,
    same_bits,
    threat_config,
)

pytestmark = pytest.mark.heavy

GLUCOSE, BMI, RATIO, PEDIGREE, AGE = range(5)
RECORD = torch.tensor([[148.0, 33.6, 5.25, 0.627, 50.0]])
RADII = [0.0, 0.003, 0.05, 0.1, 0.37, 1.0, 30.0]


def with_value(column, value):
    record = RECORD.clone()
    record[0, column] = value
    return record


def proposals(x, seed=0, spread=3.0):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    return x + spread * noise * CLINICAL.scale.float()


def test_of_reads_the_schema():
    assert CLINICAL.mutable.tolist() == [True, True, True, False, False]
    assert CLINICAL.step.tolist() == [1.0, 0.1, 0.0, 0.001, 1.0]
    assert CLINICAL.upper.tolist() == [450, 80, 10, 3, 100]
    assert UNCONSTRAINED.mutable.all()
    assert (UNCONSTRAINED.step == 0).all()
    assert UNCONSTRAINED.lower.isneginf().all()
    assert UNCONSTRAINED.upper.isposinf().all()
    assert torch.equal(UNCONSTRAINED.scale, CLINICAL.scale)


@pytest.mark.parametrize("option", ["mutable_only", "plausible_range", "recorded_grid"])
def test_each_option_lifts_its_own_limit_alone(option):
    lifted = Threat.of(SCHEMA, threat_config(**{option: False}))
    assert lifted.mutable.all() == (option == "mutable_only")
    assert lifted.upper.isinf().all() == (option == "plausible_range")
    assert (lifted.step == 0).all() == (option == "recorded_grid")


def test_box_of_a_known_record():
    low, high = CLINICAL.box(RECORD, 0.1)  # 3 mg/dL; 0.7 kg/m2; 0.1
    expected_low = torch.tensor([[145.0, 32.9, 5.15, 0.627, 50.0]], dtype=torch.float64)
    expected_high = torch.tensor([[151.0, 34.3, 5.35, 0.627, 50.0]], dtype=torch.float64)
    torch.testing.assert_close(low, expected_low, rtol=0, atol=1e-6)
    torch.testing.assert_close(high, expected_high, rtol=0, atol=1e-6)


def test_a_radius_below_one_step_reaches_nothing_on_the_grid():
    low, high = CLINICAL.box(RECORD, 0.01)  # 0.3 mg/dL, 0.07 kg/m2, 0.01
    assert low[0, GLUCOSE] == high[0, GLUCOSE] == 148
    assert (low[0, BMI] - 33.6).abs() < 1e-6
    assert (high[0, BMI] - 33.6).abs() < 1e-6
    assert high[0, RATIO] > low[0, RATIO]


def test_the_corners_are_cut_at_the_plausible_range():
    low, high = CLINICAL.box(torch.tensor([[41.0, 79.9, 9.9, 2.9, 99.0]]), 1.0)
    assert low[0, GLUCOSE] == 40
    assert high[0, BMI] <= 80 + 1e-9
    assert high[0, RATIO] == 10


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
@pytest.mark.parametrize("eps", RADII)
def test_every_projection_is_inside(threat, eps):
    x = records(200, seed=1).x
    x_adv = threat.project(proposals(x), x, eps)
    assert threat.violations(x_adv, x, eps) == 0
    assert x_adv.dtype == torch.float32


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
@pytest.mark.parametrize("eps", RADII)
def test_projection_is_idempotent_bit_for_bit(threat, eps):
    x = records(200, seed=2).x
    once = threat.project(proposals(x), x, eps)
    assert same_bits(threat.project(once, x, eps), once)


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
def test_radius_zero_is_the_identity_bit_for_bit(threat):
    x = records(200, seed=3).x
    assert same_bits(threat.project(proposals(x), x, 0.0), x)


@pytest.mark.parametrize("eps", RADII)
def test_immutable_and_missing_values_are_untouched_bit_for_bit(eps):
    x = records(200, seed=4).x
    x_adv = CLINICAL.project(proposals(x).nan_to_num(50.0), x, eps)
    untouched = x.isnan() | ~CLINICAL.mutable
    assert same_bits(x_adv[untouched], x[untouched])


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
@pytest.mark.parametrize("eps", [0.05, 1.0])
def test_an_unchanged_record_is_its_own_projection(threat, eps):
    x = records(200, seed=5).x
    assert same_bits(threat.project(x, x, eps), x)


def test_a_decimal_keeps_the_bits_of_its_text():
    x = RECORD.expand(6, -1).clone()
    wanted = torch.tensor([33.2, 33.3, 33.5, 33.6, 33.7, 34.1])
    x_adv = x.clone()
    x_adv[:, BMI] = wanted + 0.02  # off the grid: the projection must find the decimal again
    assert same_bits(CLINICAL.project(x_adv, x, 0.1)[:, BMI], wanted)


@pytest.mark.parametrize("column", [GLUCOSE, BMI])
@pytest.mark.parametrize("eps", [0.001, 0.02, 0.3])
def test_a_value_recorded_off_the_grid_may_be_left_alone(column, eps):
    x = with_value(column, 33.6512)  # somebody typed more digits than the clinic's form has
    assert same_bits(CLINICAL.project(x, x, eps), x)
    assert CLINICAL.violations(x, x, eps) == 0


def test_a_value_recorded_off_the_grid_can_only_be_moved_onto_it():
    x = with_value(BMI, 33.65)
    x_adv = CLINICAL.project(with_value(BMI, 34.07), x, 0.3)
    assert same_bits(x_adv[:, BMI], torch.tensor([34.1]))


def test_one_radius_per_record_and_per_leading_axis():
    x = records(20, seed=6).x.view(4, 5, 5)
    grid = torch.tensor([0.0, 0.1, 1.0])[:, None, None, None]
    whole = CLINICAL.project(proposals(x).expand(3, -1, -1, -1), x, grid)
    for eps, one in zip(grid, whole, strict=True):
        assert same_bits(one, CLINICAL.project(proposals(x), x, eps[0]))
    radii = torch.rand(4, 5, 1, generator=torch.Generator().manual_seed(0))
    each = CLINICAL.project(proposals(x), x, radii)
    assert CLINICAL.violations(each, x, radii) == 0
    assert same_bits(each[2, 3], CLINICAL.project(proposals(x), x, radii[2, 3])[2, 3])


def test_boxes_of_growing_radius_contain_each_other():
    x = records(100, seed=7, missing=0).x
    low, high = CLINICAL.box(x, torch.tensor(RADII)[:, None, None])
    float32 = (
        1e-4  # radius 0 gives the stored value, a larger one the decimal that it was rounded from
    )
    assert (low.diff(dim=0) <= float32).all()
    assert (high.diff(dim=0) >= -float32).all()


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        (GLUCOSE, 153.0, "beyond the ball"),
        (GLUCOSE, 148.5, "between two ticks"),
        (BMI, 33.65, "between two ticks"),
        (RATIO, 5.5, "beyond the ball"),
        (PEDIGREE, 0.628, "immutable"),
        (AGE, 51.0, "immutable"),
        (GLUCOSE, torch.nan, "a value made missing"),
    ],
)
def test_a_planted_violation_is_counted(column, value, why):
    assert CLINICAL.violations(with_value(column, value), RECORD, 0.1) == 1, why


def test_a_missing_value_made_up_is_a_violation():
    assert CLINICAL.violations(RECORD, with_value(AGE, torch.nan), 0.1) == 1


def test_leaving_the_plausible_range_is_a_violation():
    x = with_value(GLUCOSE, 41.0)
    assert CLINICAL.violations(with_value(GLUCOSE, 39.0), x, 1.0) == 1
    assert UNCONSTRAINED.violations(with_value(GLUCOSE, 39.0), x, 1.0) == 0


def test_violations_are_counted_one_by_one():
    x = RECORD.expand(3, -1)
    x_adv = x.clone()
    x_adv[0, AGE] += 1
    x_adv[2, GLUCOSE] += 0.5
    x_adv[2, RATIO] += 5
    assert CLINICAL.violations(x_adv, x, 0.1) == 3


steps = st.sampled_from([None, 1.0, 0.5, 0.1, 0.01, 0.001])
wide = st.floats(-500, 500, width=32)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    step=steps,
    value=st.integers(-200, 200),
    proposal=wide,
    eps=st.floats(0, 3, width=32),
    scale=st.floats(0.03125, 100, width=32),
    width=st.floats(0.5, 300, width=32),
    mutable=st.booleans(),
)
def test_any_feature_any_radius(step, value, proposal, eps, scale, width, mutable):
    center = torch.tensor(value * (step or 0.37), dtype=torch.float64).float()
    lower, upper = float(center) - width, float(center) + width / 2
    one = feature(lower, upper, step, mutable, 0.0, float(scale))
    threat = Threat.of(Schema(("one",), (one,), "outcome", ("healthy", "ill")), threat_config())
    x, x_adv = center[None, None], torch.tensor([[proposal]], dtype=torch.float32)
    inside = threat.project(x_adv, x, eps)
    assert threat.violations(inside, x, eps) == 0
    assert same_bits(threat.project(inside, x, eps), inside)
    low, high = threat.box(x, eps)
    tolerance = 1e-6 * (1 + abs(float(center)) + scale * eps)
    assert low - tolerance <= inside.double() <= high + tolerance
    # Nothing reachable is nearer to the proposal.
    nearest = min(max(float(proposal), float(low)), float(high))
    assert abs(float(inside) - nearest) <= (step or 0) * 0.5001 + tolerance or not mutable
    if not mutable or eps == 0:
        assert same_bits(inside, x)


# ---- l2 and l0 ----

OTHER_NORMS = {"euclidean": EUCLIDEAN, "ball": BALL, "sparse": SPARSE}
IMAGE = {
    norm: replace(
        Threat(
            *(
                getattr(CLINICAL, name).repeat(4).view(2, 5, 2)
                for name in ("mutable", "lower", "upper", "step", "scale")
            )
        ),
        norm=norm,
    )
    for norm in ("linf", "l2", "l0")
}

every_other_norm = pytest.mark.parametrize("threat", OTHER_NORMS.values(), ids=OTHER_NORMS)


@every_other_norm
@pytest.mark.parametrize("eps", [*RADII, 2.0, 3.0])
def test_every_projection_under_another_norm_is_inside_and_its_own_projection(threat, eps):
    x = records(200, seed=1).x
    for spread in (0.02, 0.3, 3.0):
        x_adv = threat.project(proposals(x, spread=spread), x, eps)
        assert threat.violations(x_adv, x, eps) == 0
        assert same_bits(threat.project(x_adv, x, eps), x_adv)
        assert x_adv.dtype == torch.float32
        untouched = x.isnan() | ~threat.mutable
        assert same_bits(x_adv[untouched], x[untouched])
        assert (threat.distance(x_adv, x) <= eps * (1 + 1e-3) + 1e-4).all()
        low, high = threat.box(x, eps)
        assert ((x_adv >= low - 1e-3) & (x_adv <= high + 1e-3) | x.isnan()).all()
    assert same_bits(threat.project(x, x, eps), x)


@every_other_norm
def test_radius_zero_is_the_identity_bit_for_bit_under_every_norm(threat):
    x = records(200, seed=3).x
    assert same_bits(threat.project(proposals(x), x, 0.0), x)
    low, high = threat.box(x, 0.0)
    torch.testing.assert_close(low, x.double(), rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(high, x.double(), rtol=0, atol=0, equal_nan=True)


def test_l2_draws_a_far_proposal_to_the_sphere_and_leaves_a_near_one():
    x = records(200, seed=2, missing=0).x
    far = BALL.project(proposals(x), x, 0.5)
    torch.testing.assert_close(
        BALL.distance(far, x), torch.full((200,), 0.5).double(), rtol=1e-4, atol=1e-5
    )
    direction, wanted = ((z.double() - x.double()) / BALL.scale for z in (far, proposals(x)))
    cosine = torch.nn.functional.cosine_similarity(direction, wanted)
    torch.testing.assert_close(cosine, torch.ones(200).double(), rtol=0, atol=1e-5)
    near = proposals(x, spread=0.01)
    assert same_bits(BALL.project(near, x, 0.5), near)


def test_l2_on_the_grid_rounds_toward_the_record():
    x_adv = EUCLIDEAN.project(RECORD + torch.tensor([[3.9, -0.29, 0.0, 0.0, 0.0]]), RECORD, 1.0)
    torch.testing.assert_close(x_adv, RECORD + torch.tensor([[3.0, -0.2, 0.0, 0.0, 0.0]]))
    assert same_bits(x_adv[:, BMI], torch.tensor([33.4]))


def test_l0_keeps_the_largest_changes_in_units_of_scale():
    wanted = RECORD + torch.tensor(
        [[40.0, 10.0, 1.2, 1.0, 30.0]]
    )  # 1.33, 1.43 and 1.2 scales; two immutable
    for eps, kept in (
        (1, [BMI]),
        (1.9, [BMI]),
        (2, [GLUCOSE, BMI]),
        (3, [GLUCOSE, BMI, RATIO]),
        (5, [GLUCOSE, BMI, RATIO]),
    ):
        changed = (SPARSE.project(wanted, RECORD, eps) != RECORD)[0]
        assert changed.nonzero()[:, 0].tolist() == kept, eps


def test_l0_reaches_the_whole_range_of_what_is_mutable_and_recorded():
    x = with_value(BMI, torch.nan)
    low, high = SPARSE.box(x, 1)
    assert low[0, [GLUCOSE, RATIO, PEDIGREE, AGE]].tolist() == pytest.approx([40, 0, 0.627, 50])
    assert high[0, [GLUCOSE, RATIO, PEDIGREE, AGE]].tolist() == pytest.approx([450, 10, 0.627, 50])
    assert low[0, BMI].isnan()
    assert SPARSE.project(with_value(GLUCOSE, 1e4), RECORD, 1)[0, GLUCOSE] == 450
    assert SPARSE.project(with_value(GLUCOSE, 101.4), RECORD, 1)[0, GLUCOSE] == 101


def test_l0_leaves_a_value_recorded_outside_its_range_as_it_is():
    x = with_value(GLUCOSE, 500.0)
    x_adv = x.clone()
    x_adv[0, BMI] = 60.0
    assert same_bits(SPARSE.project(x_adv, x, 1), x_adv)
    assert SPARSE.box(x, 1)[1][0, GLUCOSE] == 500
    assert SPARSE.violations(x_adv, x, 1) == 0
    nearer = torch.where(x == 500, 480.0, x)  # no farther out than what was believed
    assert same_bits(SPARSE.project(nearer, x, 1), nearer)
    assert SPARSE.violations(nearer, x, 1) == 0
    assert SPARSE.violations(torch.where(x == 500, 510.0, x), x, 1) == 1


@pytest.mark.parametrize(
    ("threat", "changes", "eps", "count"),
    [
        (EUCLIDEAN, {GLUCOSE: 2.0}, 0.1, 0),
        (EUCLIDEAN, {GLUCOSE: 3.0, BMI: 0.7}, 0.1, 2),  # each within 0.1 scales, both together not
        (BALL, {GLUCOSE: 3.0, BMI: 0.7}, 0.15, 0),
        (BALL, {AGE: 2.0}, 0.1, 1),
        (EUCLIDEAN, {AGE: 1.0}, 1.0, 1),
        (EUCLIDEAN, {GLUCOSE: 1.5}, 1.0, 1),
        (SPARSE, {GLUCOSE: 200.0}, 1, 0),
        (SPARSE, {GLUCOSE: 200.0, RATIO: 0.1}, 1, 2),
        (SPARSE, {GLUCOSE: 200.0, RATIO: 0.1}, 2, 0),
        (SPARSE, {GLUCOSE: 400.0}, 1, 1),
        (SPARSE, {GLUCOSE: 0.5}, 1, 1),
        (SPARSE, {PEDIGREE: 0.1}, 1, 1),
        (SPARSE, {GLUCOSE: 1.0}, 0, 1),
    ],
)
def test_a_planted_violation_of_another_norm_is_counted(threat, changes, eps, count):
    x_adv = RECORD.clone()
    for column, change in changes.items():
        x_adv[0, column] += change
    assert threat.violations(x_adv, RECORD, eps) == count
    inside = threat.project(x_adv, RECORD, eps)
    assert threat.violations(inside, RECORD, eps) == 0


@every_other_norm
def test_one_radius_per_record_and_per_leading_axis_under_another_norm(threat):
    x = records(20, seed=6).x.view(4, 5, 5)
    grid = torch.tensor([0.0, 0.1, 1.0, 2.0])[:, None, None, None]
    whole = threat.project(proposals(x).expand(4, -1, -1, -1), x, grid)
    for eps, one in zip(grid, whole, strict=True):
        assert same_bits(one, threat.project(proposals(x), x, eps[0]))
    assert threat.violations(whole, x, grid) == 0
    assert threat.violations(whole, x, grid / 2) > 0


@pytest.mark.parametrize("norm", IMAGE)
def test_an_image_is_projected_as_the_record_of_its_pixels(norm):
    threat, names = IMAGE[norm], ("mutable", "lower", "upper", "step", "scale")
    flat = replace(threat, **{name: getattr(threat, name).flatten() for name in names})
    center = torch.tensor([one.center for one in SCHEMA.features]).repeat(4)
    generator = torch.Generator().manual_seed(0)
    x = torch.round(center + 3 * torch.rand(6, 20, generator=generator))
    proposed = x + torch.randn(6, 20, generator=generator) * flat.scale.float()
    for eps in (0.0, 0.3, 1.0, 3.0):
        images = threat.project(proposed.view(6, 2, 5, 2), x.view(6, 2, 5, 2), eps)
        records_of_pixels = flat.project(proposed, x, eps)
        assert same_bits(images.flatten(1), records_of_pixels)
        torch.testing.assert_close(
            threat.distance(images, x.view(6, 2, 5, 2)), flat.distance(records_of_pixels, x)
        )
        assert (
            threat.violations(images, x.view(6, 2, 5, 2), eps)
            == flat.violations(records_of_pixels, x, eps)
            == 0
        )
    planted = proposed.view(6, 2, 5, 2)
    assert (
        threat.violations(planted, x.view(6, 2, 5, 2), 0.3) == flat.violations(proposed, x, 0.3) > 0
    )


def test_distance_is_the_norm_of_the_change_in_units_of_scale():
    x_adv = RECORD + torch.tensor([[30.0, -14.0, 2.0, 0.0, 0.0]])
    assert CLINICAL.distance(x_adv, RECORD).item() == pytest.approx(2)
    assert EUCLIDEAN.distance(x_adv, RECORD).item() == pytest.approx(3)
    assert SPARSE.distance(x_adv, RECORD).item() == 3
    assert EUCLIDEAN.distance(with_value(AGE, torch.nan), with_value(AGE, torch.nan)).item() == 0


def test_the_goal_says_who_is_attacked():
    y = torch.tensor([[0, 1, 2], [1, 0, 0]])
    expected = {
        "any": [[True] * 3] * 2,
        "miss": [[False, True, True], [True, False, False]],
        "alarm": [[True, False, False], [False, True, True]],
    }
    for goal, who in expected.items():
        threat = Threat.of(SCHEMA, threat_config(goal=goal))
        assert threat.goal == goal
        assert threat.attackable(y).tolist() == who


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    norm=st.sampled_from(["l2", "l0"]),
    seed=st.integers(0, 10_000),
    spread=st.floats(0.001, 30),
    eps=st.floats(0, 4, width=32),
    grid=st.booleans(),
    mutable_only=st.booleans(),
)
def test_any_proposal_under_another_norm(norm, seed, spread, eps, grid, mutable_only):
    radii = {"eps": [0, 1]} if norm == "l0" else {}
    threat = Threat.of(
        SCHEMA, threat_config(norm=norm, recorded_grid=grid, mutable_only=mutable_only, **radii)
    )
    x = records(20, seed=seed).x
    x_adv = threat.project(proposals(x, seed=seed, spread=spread), x, eps)
    assert threat.violations(x_adv, x, eps) == 0
    assert same_bits(threat.project(x_adv, x, eps), x_adv)


# ---- how far one forged value may go, and repeated measurements ----

BELIEVED = Threat.of(SCHEMA, threat_config(norm="l0", eps=[0, 1], within=2.0))


def test_one_forged_value_stays_near_what_adults_have_and_near_what_was_recorded():
    low, high = BELIEVED.box(RECORD, 1)  # glucose 148, around 120 by 60: not above 180
    assert (low[0, GLUCOSE], high[0, GLUCOSE]) == (88, 180)
    assert (low[0, BMI], high[0, BMI]) == (pytest.approx(19.6), pytest.approx(44.0))
    low, high = BELIEVED.box(with_value(GLUCOSE, 197.0), 1)  # recorded farther out: it may stay
    assert (low[0, GLUCOSE], high[0, GLUCOSE]) == (137, 197)
    low, high = SPARSE.box(RECORD, 1)
    assert (low[0, GLUCOSE], high[0, GLUCOSE]) == (40, 450)


@pytest.mark.parametrize(
    ("recorded", "forged", "count"),
    [(148, 45, 1), (148, 88, 0), (148, 87, 1), (148, 180, 0), (148, 181, 1), (197, 190, 0)],
)
def test_a_value_that_somebody_would_ask_about_is_a_violation(recorded, forged, count):
    x, x_adv = with_value(GLUCOSE, float(recorded)), with_value(GLUCOSE, float(forged))
    assert BELIEVED.violations(x_adv, x, 1) == count
    inside = BELIEVED.project(x_adv, x, 1)
    assert BELIEVED.violations(inside, x, 1) == 0
    assert same_bits(inside, x_adv) == (count == 0)


def test_errors_of_measurement_are_the_unit_and_only_what_has_one_moves():
    features = tuple(
        one.model_copy(update={"error": error})
        for one, error in zip(SCHEMA.features, (3.0, None, None, None, 2.0), strict=True)
    )
    cfg = threat_config(unit="error", mutable_only=False, eps=[0, 1, 2])
    repeat = Threat.of(replace(SCHEMA, features=features), cfg)
    assert repeat.mutable.tolist() == [True, False, False, False, True]
    low, high = repeat.box(RECORD, 2.0)
    assert low.tolist()[0] == pytest.approx([142, 33.6, 5.25, 0.627, 46])
    assert high.tolist()[0] == pytest.approx([154, 33.6, 5.25, 0.627, 54])
    assert repeat.distance(with_value(AGE, 54.0), RECORD).item() == 2
    assert not Threat.of(SCHEMA, cfg).mutable.any()
    only_mutable = Threat.of(
        replace(SCHEMA, features=features), threat_config(unit="error", eps=[0, 1])
    )
    assert only_mutable.mutable.tolist() == [True, False, False, False, False]


def test_what_cannot_be_undone_is_named():
    names = tiny.SCHEMA.names
    back = torch.tensor([[0.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    assert tiny.CLINICAL.no_way_back(names) == ""
    assert "left out" in replace(tiny.CLINICAL, withhold=1.0).no_way_back(names)
    one_way = replace(tiny.CLINICAL, costs=((1, back),)).no_way_back(names)
    assert f"{names[1]!r} may be recoded" in one_way
    assert replace(tiny.CLINICAL, costs=((1, back + back.T),)).no_way_back(names) == ""
