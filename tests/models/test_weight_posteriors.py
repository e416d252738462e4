"""Posteriors of weights against quadrature of their densities."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta

from fastem.models.weight_posteriors import DirichletPosterior, StickPosterior

COUNTS = np.array([7.0, 0.5, 3.0])


def divergence(posterior, prior):
    """Of two beta distributions."""
    return quad(lambda v: posterior.pdf(v) * (posterior.logpdf(v) - prior.logpdf(v)), 0, 1)[0]


@pytest.mark.parametrize("concentration", [0.7, 4.0])
def test_sticks(concentration):
    shares = StickPosterior(prior=concentration).updated(COUNTS)
    after = [3.5, 3.0, 0.0]  # rows of later components
    sticks = [beta(1 + own, concentration + rest) for own, rest in zip(COUNTS, after)]
    lengths, left = [], 1.0
    for stick in sticks:
        lengths.append(left * stick.mean())
        left *= 1 - stick.mean()
    assert np.allclose(shares.mean(), np.array(lengths) / sum(lengths), rtol=1e-12)
    own = [stick.expect(np.log) for stick in sticks]
    rest = [stick.expect(lambda v: np.log1p(-v)) for stick in sticks]
    assert np.allclose(shares.log_weights(None), own + np.cumsum([0.0, *rest[:-1]]), rtol=1e-6)
    expected = sum(divergence(stick, beta(1, concentration)) for stick in sticks)
    assert shares.log_prior(None) == pytest.approx(-expected, rel=1e-6)


@pytest.mark.parametrize("concentration", [0.7, 4.0])
def test_a_dirichlet_distribution_of_two_is_a_beta_distribution(concentration):
    shares = DirichletPosterior(prior=concentration).updated(COUNTS[:2])
    of_first = beta(concentration + 7, concentration + 0.5)
    assert shares.mean()[0] == pytest.approx(of_first.mean())
    expected = divergence(of_first, beta(concentration, concentration))
    assert shares.log_prior(None) == pytest.approx(-expected, rel=1e-6)
