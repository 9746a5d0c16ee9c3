"""Veritas, asked about the very same trees, breaks where ours says, and not before."""

import numpy as np
import pytest

import groves
import tiny
from brute import CONTINUOUS
from pipeline.verify import verify
from pipeline.verify.cells import Ensemble

LARGEST, BESIDE = 1.5, 1e-4


@pytest.mark.parametrize("link", ["log_odds", "probability"])
@pytest.mark.filterwarnings("ignore")
def test_the_nearest_distance_over_the_reals_is_veritas_s(link):
    pytest.importorskip("veritas")
    from benchmarks.trees import breaks, toward

    models = groves.drawn(9, seed=8, link=link)
    x = tiny.records(25, seed=4, missing=0.0).x
    y = (models.log_odds(x[None])[0] > models.cut[0]).long()
    read = Ensemble.of(models, 0)
    found = verify(read, x, y, CONTINUOUS, largest=LARGEST, budget=100_000)
    assert (found.robust_below == found.breaks_at).all()
    ensembles = toward(read)
    value = ensembles[0].eval(x.double().numpy())[:, 0]
    np.testing.assert_allclose(value > 0, y.numpy() == 1)
    told = 0
    for row, distance in enumerate(found.breaks_at.tolist()):
        within = min(distance, LARGEST)
        one = x[row : row + 1]
        assert not breaks(ensembles[int(y[row])], *CONTINUOUS.box(one, within - BESIDE))
        if np.isfinite(distance):
            assert breaks(ensembles[int(y[row])], *CONTINUOUS.box(one, within + BESIDE))
            told += 1
    assert told > 12
