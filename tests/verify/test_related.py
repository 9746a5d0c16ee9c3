"""Relations: what is proved is what trying every record that keeps them finds."""

from functools import cache

import pytest
import torch

import related
from pipeline.models.answers import margin
from pipeline.verify import verify
from pipeline.verify.least import least_margins
from pipeline.verify.network import Network
from pipeline.verify.prune import pruned
from pipeline.verify.quick import quickly_proved

LARGEST = {"linf": 0.8, "l2": 1.0, "l0": 2.0}
HIDDEN = [(), (8, 6)]
pytestmark = pytest.mark.heavy


@cache
def asked(norm, hidden):
    """Models, records, classes, threat; all that could be presented: values, changes, leads."""
    models, data = related.models(1, hidden=hidden), related.records(24, seed=4)
    limits = related.threat(norm=norm, eps=[0, 1, 2] if norm == "l0" else None)
    x, y = data.x, models.double()(data.x[None].double())[0].argmax(-1)
    made = []
    for row, record in enumerate(x):
        tried, changes = related.everything(record, 9.0 if norm == "l0" else LARGEST[norm])
        lead = margin(models.double()(tried[None].double()), y[row].expand(1, len(tried)))[0]
        made.append((tried, related.distance(changes, norm), lead))
    return models, x, y, limits, made


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("norm", LARGEST)
def test_the_verifier_equals_trying_every_record(norm, hidden):
    models, x, y, limits, made = asked(norm, hidden)
    network, largest = Network.of(models, 0), LARGEST[norm]
    found = verify(network, x, y, limits, largest=largest, budget=20000)
    for row, (_, distance, lead) in enumerate(made):
        broken = distance[lead <= 0]
        nearest = float(broken.min()) if len(broken) else torch.inf
        wanted = nearest if nearest <= largest + 1e-9 else torch.inf
        assert found.breaks_at[row] == pytest.approx(wanted, abs=1e-6), row
        assert found.robust_below[row] == pytest.approx(wanted, abs=1e-6), row
    broken = found.breaks_at.isfinite()
    assert 3 < int(broken.sum()) < 24
    radius = found.breaks_at[broken, None] + 1e-6
    assert limits.violations(found.record[broken], x[broken], radius) == 0
    own = margin(models.double()(found.record[None].double()), y[None])[0]
    assert torch.equal(own <= 0, broken)
    less = pruned(network, x, (y, 1 - y), limits, found, budget=500)
    assert limits.violations(less.record[broken], x[broken], radius) == 0
    still = margin(models.double()(less.record[None].double()), y[None])[0]
    assert torch.equal(still <= 0, broken)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("eps", [0.3, 0.7])
def test_the_least_margin_is_that_of_every_record(eps, hidden):
    models, x, y, limits, made = asked("linf", hidden)
    bound = least_margins(Network.of(models, 0), x, y, limits, eps, budget=4000)
    quick = quickly_proved(models, x[None], y[None], limits, eps)[0]
    for row, (_, distance, lead) in enumerate(made):
        least = float(lead[distance <= eps + 1e-9].min())
        assert least - 1e-3 <= float(bound[row]) <= least + 1e-9, row
        assert not (quick[row] and least <= 0), row
    assert quick.any()
