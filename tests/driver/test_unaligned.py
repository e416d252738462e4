"""Rows and weights at odd addresses are copied before a kernel sees them."""

import numpy as np
import pytest

from fastem import GaussianMixture, em
from fastem.rows.blocks import ArrayBlocks

RNG = np.random.default_rng(0)
X, WEIGHT = RNG.normal(size=(200, 3)), RNG.random(200)


def unaligned(array):
    shifted = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    shifted[:] = array
    assert not shifted.flags.aligned
    return shifted


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_em_copies(dtype, monkeypatch):
    rows, seen = X.astype(dtype), []
    reduce = ArrayBlocks.reduce

    def watched(blocks, model, n_threads):
        seen.extend((blocks.X.flags.aligned, blocks.sample_weight.flags.aligned))
        return reduce(blocks, model, n_threads)

    model = GaussianMixture(2, random_state=0, max_iter=2, tol=0).fit(rows).model_
    expected = em(model, rows, sample_weight=WEIGHT, max_iter=3)
    monkeypatch.setattr(ArrayBlocks, "reduce", watched)
    found = em(model, unaligned(rows), sample_weight=unaligned(WEIGHT), max_iter=3)
    assert seen and all(seen)
    assert found.history == expected.history
