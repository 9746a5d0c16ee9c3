"""What is proved of images: equal to asking every image; never beaten; exact about radii."""

from dataclasses import replace

import pytest
import torch

import lattice
from pipeline.attacks.evasion.gradient import pgd
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.parallel import Inline
from pipeline.verify import why_no_proof
from pipeline.verify.convolution import Convolutions
from pipeline.verify.neurons import by_intervals
from pipeline.verify.out_of_fold import Proofs, ProofSearch, proofs_out_of_fold
from pipeline.verify.scans import columns_of_scans, keep_memory, least_margins, next_distance

COUNT = 20
RADII = [0.0, 1.0, 3.0]


def searched(threat, radii=RADII, exact_to=None, budget=2000, read=True):
    return ProofSearch(threat, radii, exact_to, budget, None, read)


def proved(threat, population, x, y, **how):
    columns = columns_of_scans(Convolutions.of(population, 0), x, y, searched(threat, **how))
    return {name: torch.from_numpy(value) for name, value in columns.items()}


@pytest.fixture(scope="module", params=[0, 1, 3])
def case(request):
    population, threat = lattice.networks(seed=request.param), lattice.pixels()
    x, y = lattice.images(COUNT, population)
    truth = torch.stack([lattice.least(population, x, y, threat, eps) for eps in RADII])
    return population, threat, x, y, truth


def test_who_is_proved_is_who_no_image_turns(case):
    """Every image within reach is asked; where the search stopped undecided, nothing is claimed."""
    population, threat, x, y, truth = case
    found = proved(threat, population, x, y)
    held = truth > 0
    claimed = torch.stack([found["robust_below"] > eps + 1e-9 for eps in RADII])
    assert (claimed <= held).all()
    assert (claimed == held).float().mean() >= 0.95
    assert not held.all()


def test_bounds_of_margins_lie_below_what_images_leave(case):
    population, threat, x, y, truth = case
    least = proved(threat, population, x, y)["least"].T
    assert (least <= truth).all()
    assert (least[0] >= truth[0] - 1e-5).all()
    assert (least[1:] <= least[:-1]).all()


def test_intervals_are_below_crown_and_crown_below_the_search(case):
    population, threat, x, y, _ = case
    model = Convolutions.of(population, 0)
    low, high = by_intervals(model, model.region(*threat.box(x, 3.0)))[-1]
    rows = torch.arange(COUNT)
    plain = low[rows, y] - high[rows, 1 - y]
    crown = least_margins(model, x, y, threat, 3.0, 0)
    searched_ = least_margins(model, x, y, threat, 3.0, 200)
    assert (plain <= crown + 1e-8).all()
    assert (crown <= searched_).all()
    assert (plain < crown - 0.1).any()


def test_no_attack_beats_a_proof():
    """PGD on all pixels of a network that was not made for it: 0 violations."""
    population = lattice.networks((1, 8, 8), (4, 6), (8,), seed=4, gain=1.7)
    threat = lattice.pixels((1, 8, 8), ())
    x, y = lattice.images(60, population, (1, 8, 8))
    model = Convolutions.of(population, 0)
    found = proved(threat, population, x, y, budget=16)
    broken = 0
    for at, eps in enumerate(RADII):
        attacked = pgd(
            population,
            x[None],
            y[None],
            threat,
            eps=eps,
            steps=20,
            step_size=0.2,
            generator=torch.Generator().manual_seed(0),
        )[0]
        margins = model.margin(attacked, y)
        broken += int((margins <= 0).sum())
        assert (margins >= found["least"][:, at]).all()
        assert not ((margins <= 0) & (found["robust_below"] > eps + 1e-9)).any()
    assert broken


def test_float64_has_the_final_word():
    """A margin of less than float64's own error is proved for nobody; one of more is.

    Seen by moving the last bias until the margin is what is asked for.
    """
    population, threat = lattice.networks(seed=0), lattice.pixels()
    x, y = lattice.images(COUNT, population)
    model = Convolutions.of(population, 0)
    ill = y == 1
    exact = model.region(x.double(), x.double()).rounding

    def left(spare):
        """The first ill image's own margin becomes `spare`; what is proved of it, unchanged."""
        row = int(ill.nonzero()[0, 0])
        shift = float(model.margin(x, y)[row]) - spare
        last = model.layers[-1]
        bias = last.bias.clone()
        bias[1] -= shift
        moved = replace(model, layers=[*model.layers[:-1], last._replace(bias=bias)])
        columns = columns_of_scans(moved, x[[row]], y[[row]], searched(threat, [0.0]))
        return float(moved.margin(x[[row]], y[[row]])[0]), float(columns["robust_below"][0])

    margin, claimed = left(float(exact.max()) / 4)
    assert margin > 0
    assert claimed == 0.0
    margin, claimed = left(float(exact.max()) * 4)
    assert margin > 0
    assert claimed == torch.inf


@pytest.mark.parametrize(
    ("reach", "step", "scale", "expected"),
    [(2.0, 1.0, 1.0, 3.0), (0.0, 1.0, 1.0, 1.0), (1.5, 1.0, 1.0, 2.0), (2.0, 1.0, 0.5, 4.0)],
)
def test_the_next_image_is_a_step_away(reach, step, scale, expected):
    threat = lattice.pixels()
    threat = replace(threat, step=threat.step * step, scale=threat.scale * scale)
    x = torch.full((1, 1, 6, 6), 3.0)
    found = float(next_distance(threat, x, torch.tensor([reach], dtype=torch.float64))[0])
    assert found == expected


def test_without_steps_or_off_them_the_next_image_is_just_beyond():
    threat, x = lattice.pixels(), torch.full((1, 1, 6, 6), 3.0)
    reach = torch.tensor([2.0], dtype=torch.float64)
    loose = replace(threat, step=threat.step * 0)
    assert 2.0 < float(next_distance(loose, x, reach)[0]) < 2.001
    assert 2.0 < float(next_distance(threat, x + 0.5, reach)[0]) < 2.001
    assert 2.0 < float(next_distance(replace(threat, norm="l2"), x, reach)[0]) < 2.001


def test_how_far_is_said_by_the_last_radius_in_a_row(case):
    """Proved at 1 and not at 3: nothing nearer than 2. To the end: none at all."""
    population, threat, x, y, _ = case
    found = proved(threat, population, x, y)
    held = (found["least"] > 0).all(1)
    assert (found["robust_below"][held] == torch.inf).all()
    only_near = (found["least"][:, 1] > 0) & (found["least"][:, 2] <= 0)
    assert (found["robust_below"][only_near] == 2.0).all()
    assert held.any()
    near = proved(threat, population, x, y, exact_to=1.0)
    assert (near["robust_below"] < 1.1).all()
    assert near["least"][:, 2].isneginf().all()


def test_whom_the_goal_spares_nothing_can_turn(case):
    population, _, x, y, _ = case
    threat = lattice.pixels(goal="miss")
    found = proved(threat, population, x, y)
    everybody = proved(lattice.pixels(), population, x, y)
    healthy = y == 0
    assert (found["robust_below"][healthy] == torch.inf).all()
    assert torch.equal(found["robust_below"][~healthy], everybody["robust_below"][~healthy])


def test_margins_come_along_where_people_read(case):
    population, threat, x, y, _ = case
    full, short = (proved(threat, population, x, y, read=read) for read in (True, False))
    assert "least" not in short
    assert torch.equal(full["robust_below"], short["robust_below"])


def test_a_constant_network_is_proved_and_ranks_nobody():
    """It "verifies" whoever is of its class, at every radius; the certified AUROC says .5."""
    from pipeline.models.answers import disease_score
    from pipeline.statistics import rates

    population = lattice.networks()
    weights = {
        name: value * (name.endswith("bias")) for name, value in population.parameters.items()
    }
    constant = replace(population, parameters=weights)
    x, _ = lattice.images(COUNT, population)
    y = torch.arange(COUNT) % 2
    found = proved(lattice.pixels(), constant, x, y)
    right = found["margin"] > 0
    assert right.sum() == COUNT / 2
    assert torch.equal(found["robust_below"] == torch.inf, right)
    for least in found["least"].T:
        score = disease_score(least[None].numpy(), y.numpy(), 0.0)
        assert abs(rates.auroc(score, y.numpy()) - 0.5) < 1e-9 or rates.auroc(score, y.numpy()) == 0


def test_the_same_interface_as_networks_of_records(case):
    population, threat, x, y, _ = case
    dataset = Dataset(x, y, lattice.schema())
    half = (torch.arange(COUNT) % 2 == 0).expand(1, -1)
    plan = Plan(~half, half, torch.zeros(1).long(), torch.zeros(1).long(), ("one",))
    assert why_no_proof(population) == ""
    proofs = proofs_out_of_fold(Inline(), population, dataset, plan, searched(threat))()
    rows = proofs.patients
    expected = proved(threat, population, x[rows], y[rows])
    assert torch.equal(proofs.robust_below[0], expected["robust_below"])
    assert torch.equal(proofs.least, expected["least"].T[:, None])
    assert proofs.least.shape == (len(RADII), 1, COUNT // 2)
    margins, _ = margins_out_of_fold(population, dataset, plan)
    torch.testing.assert_close(proofs.margin, margins[0], rtol=1e-12, atol=1e-12)
    assert torch.equal(proofs.counterexample[0], x[rows])


def test_proofs_of_images_are_read_as_they_were_written(case, tmp_path):
    population, threat, x, y, _ = case
    dataset = Dataset(x, y, lattice.schema())
    half = (torch.arange(COUNT) % 2 == 0).expand(1, -1)
    plan = Plan(~half, half, torch.zeros(1).long(), torch.zeros(1).long(), ("one",))
    proofs = proofs_out_of_fold(Inline(), population, dataset, plan, searched(threat))()
    proofs.save(tmp_path / "proofs.safetensors")
    again = Proofs.load(tmp_path / "proofs.safetensors")
    assert torch.equal(again.least, proofs.least)
    assert torch.equal(again.alone.nan_to_num(), proofs.alone.nan_to_num())


def test_memory_is_kept_without_a_word():
    keep_memory()
    assert torch.ones(3).sum() == 3
