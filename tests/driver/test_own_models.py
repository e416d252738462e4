"""Models of one's own in two methods: worked examples, and the errors that name what is wrong with one."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from coins import TOSSES, Coins, ones
from scipy.special import logsumexp, softmax

from fastem import Statistics, em, theory


def test_two_biased_coins():
    """Do, Batzoglou: What is the expectation maximization algorithm? Nature Biotechnology 26 (2008) 897-899."""
    start = Coins(np.array([0.6, 0.5]))
    assert np.allclose(em(start, TOSSES, tol=0, max_iter=1).model.heads, [0.71, 0.58], atol=0.005)
    assert np.allclose(em(start, TOSSES, tol=0, max_iter=10).model.heads, [0.80, 0.52], atol=0.005)


def test_the_bound_of_the_coins():
    model = Coins(np.array([0.6, 0.5]))
    q = np.random.default_rng(0).dirichlet([1, 1], len(TOSSES))
    total = model.e_step(TOSSES, None).log_likelihood
    assert np.isclose(theory.elbo(model, TOSSES, q) + theory.gap(model, TOSSES, q), total, rtol=1e-12)


@pytest.mark.parametrize("name", ["anderson", "squarem"])
def test_the_coins_accelerated(name):
    plain, fast = (em(Coins(np.array([0.6, 0.5])), TOSSES, tol=1e-12, max_iter=999, accelerate=a) for a in (None, name))
    assert np.allclose(fast.model.heads, plain.model.heads, atol=1e-4) and fast.n_passes <= plain.n_passes


@dataclass(frozen=True)
class Lifetimes:
    """Exponential lifetimes; each row: a time, and 1 if the part failed then or 0 if it was still alive."""

    mean: float

    def e_step(self, X, sample_weight):
        w, (time, failed) = ones(X, sample_weight), X.T
        return Statistics(
            total=w @ (time + (1 - failed) * self.mean),  # a survivor lives on for one mean lifetime
            weight=w.sum(),
            log_likelihood=w @ (-failed * np.log(self.mean) - time / self.mean),
        )

    def m_step(self, statistics):
        return Lifetimes(statistics.total / statistics.weight)


def test_censored_lifetimes():
    """The estimate is known: all time lived over the number of failures."""
    rng = np.random.default_rng(0)
    life, end = rng.exponential(3, 400), rng.uniform(0, 5, 400)
    X = np.column_stack([np.minimum(life, end), life < end])
    result = em(Lifetimes(1.0), X, tol=1e-15, max_iter=1000)
    assert result.converged and np.isclose(result.model.mean, X[:, 0].sum() / X[:, 1].sum(), rtol=1e-6)
    weight = rng.integers(1, 4, len(X)).astype(float)
    weighted = em(Lifetimes(1.0), X, sample_weight=weight, tol=1e-15, max_iter=1000)
    assert np.isclose(weighted.model.mean, weight @ X[:, 0] / (weight @ X[:, 1]), rtol=1e-6)


@dataclass(frozen=True)
class Regressions:
    """A mixture of linear regressions; each row: the covariates, then the response."""

    weights: np.ndarray
    coefficients: np.ndarray  # (K, p)
    variances: np.ndarray

    def log_joint(self, X):
        residual = X[:, -1:] - X[:, :-1] @ self.coefficients.T
        return np.log(self.weights) - 0.5 * (np.log(2 * np.pi * self.variances) + residual**2 / self.variances)

    def e_step(self, X, sample_weight):
        w, joint = ones(X, sample_weight), self.log_joint(X)
        r = w[:, None] * softmax(joint, axis=1)
        return Statistics(
            counts=r.sum(axis=0),
            products=np.einsum("nk,ni,nj->kij", r, X, X),
            weight=w.sum(),
            log_likelihood=w @ logsumexp(joint, axis=1),
        )

    def m_step(self, statistics):
        xx, xy, yy = self.parts(statistics)
        coefficients = np.linalg.solve(xx, xy[..., None])[..., 0]
        variances = (yy - np.einsum("ki,ki->k", xy, coefficients)) / statistics.counts
        return Regressions(statistics.counts / statistics.weight, coefficients, variances)

    @staticmethod
    def parts(statistics):
        products = statistics.products
        return products[:, :-1, :-1], products[:, :-1, -1], products[:, -1, -1]


def two_lines():
    rng = np.random.default_rng(0)
    x, which = rng.uniform(-2, 2, 800), rng.random(800) < 0.4
    y = np.where(which, 1 + 2 * x, -1 - x) + 0.3 * rng.normal(size=800)
    start = Regressions(np.full(2, 0.5), np.array([[0.5, 1.0], [-0.5, 0.0]]), np.ones(2))
    return start, np.column_stack([np.ones(800), x, y])


def test_a_mixture_of_linear_regressions():
    start, X = two_lines()
    result = em(start, X, tol=1e-9, max_iter=500)
    assert result.converged and (np.diff(result.history) >= -1e-12).all()
    assert np.allclose(result.model.coefficients, [[1, 2], [-1, -1]], atol=0.1)
    assert np.allclose(result.model.weights, [0.4, 0.6], atol=0.05)
    assert np.allclose(result.model.variances, 0.09, atol=0.02)


@dataclass(frozen=True)
class InTurns(Regressions):
    """Conditional M-steps (ECM): the coefficients, then the variances, given each other; and half the way (GEM)."""

    share: float = 1.0

    def m_step(self, statistics):
        best = super().m_step(statistics)
        xx, xy, yy = self.parts(statistics)
        b = self.coefficients + self.share * (best.coefficients - self.coefficients)
        rest = yy - 2 * np.einsum("ki,ki->k", xy, b) + np.einsum("ki,kij,kj->k", b, xx, b)
        return replace(self, weights=best.weights, coefficients=b, variances=rest / statistics.counts)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_an_m_step_that_only_improves_climbs_to_the_same_place(share):
    start, X = two_lines()
    whole = em(start, X, tol=1e-12, max_iter=2000)
    steps = em(InTurns(start.weights, start.coefficients, start.variances, share), X, tol=1e-12, max_iter=2000)
    assert (np.diff(steps.history) >= -1e-12).all()
    assert np.isclose(steps.history[-1], whole.history[-1], atol=1e-8)


def broken(**methods):
    return type("Broken", (Coins,), methods)(np.array([0.6, 0.5]))


def test_a_model_that_breaks_off_is_named():
    with pytest.raises(TypeError, match=r"e_step of Broken must return fastem\.Statistics, not NoneType"):
        em(broken(e_step=lambda self, X, w: None), TOSSES)
    with pytest.raises(TypeError, match="what the m_step of Broken returns must have a method e_step; NoneType"):
        em(broken(m_step=lambda self, statistics: None), TOSSES)


def test_statistics_that_are_not_finite_are_named():
    def e_step(self, X, sample_weight):
        return Coins.e_step(self, X, sample_weight).replaced(heads=[1.0, np.nan])

    with pytest.raises(ValueError, match=r"e_step of Broken returned statistics that are not finite: heads$"):
        em(broken(e_step=e_step), TOSSES)


@pytest.mark.parametrize("name", ["anderson", "squarem"])
def test_a_proposal_whose_statistics_are_not_finite_is_dropped(name):
    @dataclass(frozen=True)
    class Careless(Coins):
        """Its extrapolated models have a likelihood, but not all of their sums."""

        proposed: bool = False

        def m_step(self, statistics):
            return Careless(Coins.m_step(self, statistics).heads)

        def from_vector(self, vector):
            return Careless(Coins.from_vector(self, vector).heads, proposed=True)

        def e_step(self, X, sample_weight):
            statistics = Coins.e_step(self, X, sample_weight)
            return statistics.replaced(heads=[1.0, np.nan]) if self.proposed else statistics

    rng = np.random.default_rng(0)  # coins that are hard to tell apart, so that there are proposals
    tosses = np.column_stack([rng.binomial(4, np.where(rng.random(300) < 0.5, 0.35, 0.6)), np.full(300, 4)])
    plain = em(Coins(np.array([0.6, 0.45])), tosses, tol=1e-12, max_iter=3000)
    result = em(Careless(np.array([0.6, 0.45])), tosses, tol=1e-12, max_iter=3000, accelerate=name)
    assert result.n_passes > result.n_iter + 1
    assert np.isclose(result.history[-1], plain.history[-1], atol=1e-10)


def test_statistics_that_change_shape_are_named():
    def e_step(self, X, sample_weight):
        extra = {} if self.heads[0] == 0.6 else {"heads": np.zeros(3), "more": 1.0}
        return Coins.e_step(self, X, sample_weight).replaced(**extra)

    def m_step(self, statistics):
        return type(self)(np.array([0.7, 0.5]))

    with pytest.raises(ValueError, match="changed the shape of its statistics since the last pass: heads, more"):
        em(broken(e_step=e_step, m_step=m_step), TOSSES)


def test_a_model_without_a_bound_has_nan_there():
    step = em(Coins(np.array([0.6, 0.5])), TOSSES, tol=0, max_iter=1).steps[0]
    assert np.isnan(step.bound) and np.isnan(step.m_gain) and np.isnan(step.parameter_step)
    assert step.seconds > 0


@dataclass(frozen=True)
class Forgetful(Coins):
    """An E-step that does not use the weights."""

    def e_step(self, X, sample_weight):
        return Coins.e_step(self, X, np.ones(len(X)))


def test_an_e_step_that_ignores_the_weights_is_said():
    start, weight = Forgetful(np.array([0.6, 0.5])), np.array([100.0, 1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"e_step of Forgetful returned weight=5, but the sum of sample_weight is 104"):
        em(start, TOSSES, sample_weight=weight)
    em(start, TOSSES)
    weighted = em(Coins(start.heads), TOSSES, sample_weight=weight, tol=1e-12, max_iter=1000).model.heads
    repeated = em(Coins(start.heads), np.repeat(TOSSES, weight.astype(int), axis=0), tol=1e-12, max_iter=1000)
    np.testing.assert_allclose(weighted, repeated.model.heads, rtol=1e-6)


@dataclass(frozen=True)
class Trusting(Coins):
    """An E-step that takes the weights as they come."""

    def e_step(self, X, sample_weight):
        assert sample_weight.shape == (len(X),)
        return Coins.e_step(self, X, sample_weight)


def test_weights_are_ones_where_there_are_none():
    start = np.array([0.6, 0.5])
    assert np.array_equal(em(Trusting(start), TOSSES).model.heads, em(Coins(start), TOSSES).model.heads)
