"""Every emission has what it owes, and what it may leave out means what the contract says."""

import inspect
import warnings
from dataclasses import replace

import numpy as np
import pytest
from models import MODELS

from fastem import GaussianMixture, StudentTMixture
from fastem.models.emission import Emission
from fastem.models.gaussian.constrained import ConstrainedGaussian
from fastem.models.gaussian.dense import Full
from fastem.models.mixed import Mixed
from fastem.models.mixture import Mixture
from fastem.models.rounding import Pass

MEMBERS = [name for name in vars(Emission) if not name.startswith("_")]
SPECIAL = {"noise": {"noise": "box"}, "prior": {"prior": "default"}, "ratio": {"max_eigenvalue_ratio": 50.0}}


def fitted(name):
    """A mixture that was fitted, and its rows."""
    if name in SPECIAL:
        X = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[0.0, 0.0], [5.0, 1.0]], 100, axis=0)
        make, parameters = GaussianMixture, SPECIAL[name]
    else:
        family = next(family for family in MODELS if str(family) == name)
        X, make, parameters = family.data(200), family.make, {}
    return make(2, init_params="kmeans", random_state=0, max_iter=3, **parameters).fit(X).model_, X


@pytest.fixture(scope="module", params=[*map(str, MODELS), *SPECIAL])
def case(request):
    return fitted(request.param)


@pytest.mark.parametrize("member", MEMBERS)
def test_it_has_the_member(case, member):
    mixture, _ = case
    assert Emission in type(mixture.emission).__mro__
    owed = getattr(getattr(Emission, member), "__isabstractmethod__", False)
    own = inspect.getattr_static(type(mixture.emission), member)
    assert not (owed and own is inspect.getattr_static(Emission, member))


def test_what_is_owed(case):
    """Each once, with the shapes that it says."""
    mixture, X = case
    emission, statistics = mixture.emission, mixture.e_step(X)
    K, d = emission.shape
    rng = np.random.default_rng(0)
    assert d == X.shape[1] and len(mixture.weights) - K in (0, 1)  # one more with noise
    call = mixture.kernel_call(X.dtype)
    passed = Pass(X.dtype, call.centre)
    size, error = emission.log_density_error(statistics, passed)
    assert emission.n_parameters > 0 and 0 < error < 1e-9 * size
    assert 0 <= emission.step_error(statistics, passed, 1e-16) < 1e-20
    assert type(emission.m_step(statistics)) is type(emission)
    for name, array in emission.rebase(statistics, emission).items():
        np.testing.assert_allclose(array, getattr(statistics, name), rtol=1e-12, err_msg=name)
    assert np.isfinite(emission.expected_log_prob(statistics, emission))
    assert np.isfinite(emission.parameters()).all()
    again = emission.from_vector(emission.to_vector())
    np.testing.assert_allclose(again.parameters(), emission.parameters(), rtol=1e-6, atol=1e-9)
    said = emission.diagnose(mixture.weights, statistics.counts)
    assert len(said) == K and all(isinstance(text, str) and isinstance(sound, bool) for text, sound in said)
    assert set(emission.nearest(X[:3])) <= set(range(K))
    assert emission.sample(0, 3, rng).shape == (3, d)


def test_missing_values(case):
    mixture, X = case
    emission = mixture.emission
    gaps = X.copy()
    gaps[0, emission.columns["gaussian"][0] if isinstance(emission, Mixed) else 0] = np.nan
    assert ("unseen" in mixture.e_step(X)) == emission.takes_missing
    if emission.takes_missing:
        assert np.isfinite(mixture.e_step(gaps).vector).all()
    else:
        with pytest.raises(TypeError, match="does not accept missing values"):
            emission.incomplete_call(np.log(mixture.weights), X.dtype)


def test_log_prior(case):
    """0 but for Gaussians that have one."""
    emission = case[0].emission
    assert (emission.log_prior() != 0) == (isinstance(emission, ConstrainedGaussian) and emission.prior is not None)


def test_ellipses(case):
    mixture, X = case
    emission, (K, d) = mixture.emission, mixture.emission.shape
    assert (emission.relative_eigenvalues(mixture.weights) is not None) == emission.has_ellipses
    if emission.has_ellipses:
        part = emission.marginal([0])
        assert part.means.shape == (K, 1)
        np.testing.assert_allclose(part.covariance.variances(K, 1), emission.covariance.variances(K, d)[:, :1])
        assert np.isfinite(Mixture(mixture.weights, part).log_joint(X[:, :1])[:, :K]).all()
    elif not emission.takes_missing:
        with pytest.raises(TypeError, match="has no densities of some of its columns"):
            emission.marginal([0])


def test_discrete(case):
    """A density of counts or codes is a probability, at most 1."""
    mixture, X = case
    if mixture.emission.discrete:
        assert (mixture.log_joint(X) < 0).all() and np.array_equal(X, X.round())


def test_floor_hits(case):
    emission = case[0].emission
    assert emission.floor_hits.shape == emission.shape[:1] and not emission.floor_hits.any()


def test_column_parameters(case):
    emission = case[0].emission
    _, values, columns, codes = emission.column_parameters()
    assert values.shape == (emission.shape[0], len(columns)) and len(codes) == len(columns)
    assert set(columns) == set(range(emission.shape[1]))
    assert (np.bincount(columns)[[j for j, code in zip(columns, codes) if code is None]] == 1).all()


def test_an_emission_that_lacks_what_it_owes_cannot_be_made():
    class Lacking(Emission):
        pass

    with pytest.raises(TypeError, match=r"abstract .*kernel_call"):
        Lacking()


def test_the_defaults():
    class Least(Emission):
        shape = (3, 2)

    for name in Emission.__abstractmethods__ - {"shape"}:
        setattr(Least, name, None)
    Least.__abstractmethods__ = frozenset()
    least = Least()
    assert not (least.discrete or least.has_ellipses or least.takes_missing)
    assert least.log_prior() == 0 and least.floor_hits.tolist() == [0, 0, 0]
    assert least.relative_eigenvalues(np.ones(3) / 3) is None and least.column_parameters() is None


@pytest.mark.parametrize("make", [GaussianMixture, StudentTMixture])
def test_the_nearest_component_of_rows_at_far_and_at_0(make):
    """Squares over 1e308 have no ratio; a row of zeros has no scale of its own."""
    fitted = make(2, random_state=0, max_iter=1).fit(np.random.default_rng(0).normal(2, 1, (200, 2))).model_.emission
    means = np.array([[1.0, 1.0], [3.0, 0.0]])
    thin = Full.from_covariances(1e-300 * np.array([np.eye(2), np.eye(2)]), np.zeros(2))
    tails = {"degrees_of_freedom": np.full(2, 5.0)} if make is StudentTMixture else {}
    emission = replace(fitted, means=means, covariance=thin, **tails)
    rows = np.array([[0.0, 0.0], [3.0, 0.0], [1.0, 1.0], [1e200, 0.0], [0.0, 1e200]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert emission.nearest(rows)[:3].tolist() == [0, 1, 0]
        if make is GaussianMixture:  # of equal tails, the product with the means tells
            assert emission.nearest(rows)[3:].tolist() == [1, 0]
