"""Coarse to fine: the subsample decides where a fit begins, not where it ends."""

import warnings

import numpy as np
import pytest

from fastem import GaussianMixture, em
from fastem.blocks import ArrayBlocks

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(5, 2)) * 2
X = CENTRES[RNG.integers(5, size=110_000)] + RNG.normal(size=(110_000, 2))


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_end_is_a_fixed_point_of_all_rows(covariance_type):
    model = GaussianMixture(5, covariance_type=covariance_type, random_state=0).fit(X)
    assert model.converged_ and model.n_iter_ >= 1
    assert len(model.history_) == model.n_iter_ + 1
    assert model.score(X) == pytest.approx(model.lower_bound_, rel=1e-12)
    again = em(model._mixture(), ArrayBlocks(X), tol=0, max_iter=1)
    assert 0 <= again.history[1] - again.history[0] < model.tol


def test_it_is_no_worse_than_a_single_start():
    coarse = GaussianMixture(5, random_state=0).fit(X)
    single = GaussianMixture(5, random_state=0, coarse=False).fit(X)
    assert coarse.lower_bound_ > single.lower_bound_ - 2e-3
    assert coarse.n_iter_ < single.n_iter_


def test_few_rows_and_given_starts_are_left_alone():
    few = X[:5000]
    on, off = (GaussianMixture(5, random_state=0, coarse=coarse).fit(few) for coarse in (True, False))
    assert on.history_ == off.history_
    labels = np.arange(len(X)) % 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        on, off = (GaussianMixture(5, init_params=labels, max_iter=2, coarse=c).fit(X) for c in (True, False))
    assert on.history_ == off.history_


def test_weights_are_heeded():
    """Rows of weight 0 are as good as absent."""
    weight = (np.arange(len(X)) % 11 != 0).astype(float)
    moved = X + 100 * (1 - weight[:, None])
    model = GaussianMixture(5, random_state=0).fit(moved, sample_weight=weight)
    assert np.abs(model.means_).max() < 20
