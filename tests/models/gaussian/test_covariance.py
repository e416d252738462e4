"""Every structure against its dense matrices, member by member of the contract."""

import numpy as np
import pytest

from fastem.errors import IllDefinedCovariance
from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.covariance import Covariance
from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.emission import KERNELS
from fastem.models.gaussian.linear_algebra import precisions_cholesky
from fastem.models.gaussian.structures import ONE_DIMENSION, STRUCTURES

K = 4
COUNTS = np.array([40.0, 25.0, 60.0, 30.0])
NAMES = list(STRUCTURES)


class Case:
    """A structure that was estimated from the moments of rows, and its covariances (K, d, d) from its arrays alone."""

    def __init__(self, name):
        rng = np.random.default_rng(3)
        self.d = d = 1 if name in ONE_DIMENSION else 3
        self.name, self.structure = name, STRUCTURES[name]
        roots = rng.normal(size=(K, d, d)) + 2 * np.eye(d)
        self.scatter = roots @ np.swapaxes(roots, 1, 2)
        self.shift, self.step = 0.3 * rng.normal(size=(2, K, d))
        self.z = rng.normal(size=(5, d))
        self.full = packed(COUNTS[:, None, None] * (self.scatter + self.shift[:, :, None] * self.shift[:, None]))
        self.made = self.structure.estimate(COUNTS, self.shift, self.structure.of_full(self.full, d), np.zeros(d))
        self.dense = self.as_dense(self.made.covariances)
        self.precisions = np.linalg.inv(self.dense)

    def as_dense(self, array):
        """(K, d, d) of an array of the structure's shape."""
        d = self.d
        if array.shape == (K, d, d):
            return array
        if array.shape == (d, d):
            return np.repeat(array[None], K, axis=0)
        return np.reshape(array, (K, -1, 1)) * np.eye(d)

    def of_dense(self, matrices):
        """(K, d, d) as an array of the structure's shape."""
        shape = self.structure.shape(K, self.d)
        if shape == (K, self.d, self.d):
            return matrices
        if shape == (self.d, self.d):
            return matrices.mean(axis=0)
        variances = np.diagonal(matrices, axis1=1, axis2=2)
        return variances.copy() if shape == (K, self.d) else variances.mean(axis=1)

    def minus_log_likelihood(self, dense):
        """Of the rows with these covariances, up to a constant."""
        fit = np.linalg.slogdet(dense)[1] + np.trace(np.linalg.solve(dense, self.scatter), axis1=1, axis2=2)
        return COUNTS @ fit / 2


def packed(matrices):
    i, j = packed_lower(matrices.shape[-1])
    return matrices[..., i, j]


@pytest.fixture(scope="module", params=NAMES)
def case(request):
    return Case(request.param)


def test_it_is_a_covariance(case):
    assert Covariance in case.structure.__mro__ and case.made.kernel in KERNELS


def test_shape(case):
    shape = case.structure.shape(K, case.d)
    assert case.made.covariances.shape == case.made.precisions_cholesky.shape == shape
    assert case.made.at_floor.shape in ((K,), (1,)) and not case.made.at_floor.any()


def test_shared(case):
    assert case.structure.shared == np.allclose(case.dense, case.dense[0])


def test_from_covariances(case):
    again = case.structure.from_covariances(case.made.covariances, np.zeros(case.d))
    np.testing.assert_allclose(again.covariances, case.made.covariances, rtol=1e-12)
    np.testing.assert_allclose(
        case.as_dense(again.covariances) @ case.precisions, case.as_dense(np.ones((K, 1))), atol=1e-9
    )


def test_at_floor(case):
    """Nothing is below the floor, and what is held there is counted."""
    floor = np.full(case.d, 1.01 * np.median(np.linalg.eigvalsh(case.dense)))
    raised = case.structure.from_covariances(case.made.covariances, floor)
    assert (np.linalg.eigvalsh(case.as_dense(raised.covariances)) >= floor * (1 - 1e-9)).all()
    below = (np.linalg.eigvalsh(case.dense) < floor).sum(axis=1)
    if len(case.structure.shape(K, case.d)) == 1:  # of one variance
        below = below > 0
    assert np.array_equal(np.broadcast_to(raised.at_floor, K), below)


def test_estimate(case):
    """No covariances of the structure nearby are more likely."""
    best, vector = case.minus_log_likelihood(case.dense), case.made.to_vector()
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-1):
        for direction in rng.normal(size=(10, len(vector))):
            near = case.made.from_vector(vector + size * direction, np.zeros(case.d))
            assert case.minus_log_likelihood(case.as_dense(near.covariances)) >= best - 1e-8 * abs(best)


def test_n_parameters(case):
    """The directions in which its covariances can move."""
    vector, h = case.made.to_vector(), 1e-3

    def at(v):
        return case.as_dense(case.made.from_vector(v, np.zeros(case.d)).covariances).ravel()

    steps = h * np.eye(len(vector))
    jacobian = np.array([(at(vector + step) - at(vector - step)) / (2 * h) for step in steps])
    values = np.linalg.svd(jacobian, compute_uv=False)
    assert (values > 1e-3 * values[0]).sum() == case.structure.n_parameters(K, case.d)


def test_least_rows(case):
    """With as many rows a component's covariance is determined; where nothing is shared, with one less it is not."""
    needed, d = case.structure.least_rows(case.d), case.d
    alone = case.structure.n_parameters(K, d) == K * case.structure.n_parameters(1, d)
    rng = np.random.default_rng(1)

    def least_eigenvalue(n):
        rows = rng.normal(size=(n, d))
        scatter = case.scatter.copy()
        scatter[0] = np.cov(rows.T, ddof=0).reshape(d, d)
        second = packed(np.array([n, *COUNTS[1:]])[:, None, None] * scatter)
        counts, none = np.array([n, *COUNTS[1:]]), np.zeros((K, d))
        floor = np.full(d, 1e-9)
        made = case.structure.estimate(counts, none, case.structure.of_full(second, d), floor)
        return np.linalg.eigvalsh(case.as_dense(made.covariances)[0]).min()

    assert least_eigenvalue(max(needed, 1)) > 1e-6
    if alone:
        assert least_eigenvalue(needed - 1) < 1e-6


def test_moved(case):
    """First and second moments of rows about other points."""
    rng, d = np.random.default_rng(2), case.d
    rows, weight = rng.normal(size=(50, d)), rng.uniform(size=(50, K))
    points = rng.normal(size=(K, d))

    def sums(about):
        z = rows[:, None] - about
        second = np.einsum("nk,nki,nkj->kij", weight, z, z)
        return np.einsum("nk,nki->ki", weight, z), case.structure.of_full(packed(second), d)

    first, second = case.structure.moved(weight.sum(axis=0), *sums(points), case.step)
    expected = sums(points + case.step)
    np.testing.assert_allclose(first, expected[0], atol=1e-10)
    expected_second = expected[1].sum(axis=0) if second.ndim == 1 else expected[1]
    np.testing.assert_allclose(second, expected_second, atol=1e-10)


def test_of_full(case):
    found = case.structure.of_full(case.full, case.d)
    i, j = packed_lower(case.d)
    expected = case.full[:, i == j] if case.structure.kernel == "gaussian_diagonal" else case.full
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_directions_at_floor(case, scale):
    """As many as are held there if this is one of the covariances."""
    floor = np.linspace(0.5, 1.5, case.d)
    matrix = scale * case.scatter[0] / np.median(np.linalg.eigvalsh(case.scatter[0]))
    raised = case.structure.from_covariances(case.of_dense(np.repeat(matrix[None], K, axis=0)), floor)
    seen = np.diagonal(matrix) if case.structure.kernel == "gaussian_diagonal" else matrix
    assert case.structure.directions_at_floor(seen, floor) == raised.at_floor[0]


def test_of_mixture(case):
    """Of diagonal matrices no more than the diagonal is made."""
    weights, z = np.arange(1, K + 1) / (K * (K + 1) / 2), np.random.default_rng(1).normal(size=(K, case.d))
    expected = case.made.pooled(weights, case.d) + np.einsum("k,ki,kj->ij", weights, z, z)
    if case.structure.kernel == "gaussian_diagonal":
        expected = np.diagonal(expected)
    found = case.made.of_mixture(weights, z)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_dense(case):
    found = case.made.dense(K, case.d)
    assert isinstance(found, Full)
    np.testing.assert_allclose(found.covariances, case.dense, rtol=1e-12, atol=1e-12)
    factors = found.precisions_cholesky
    np.testing.assert_allclose(factors @ np.swapaxes(factors, 1, 2), case.precisions, rtol=1e-9, atol=1e-12)
    assert np.array_equal(found.at_floor, np.broadcast_to(case.made.at_floor, K))


def test_variances(case):
    expected = np.diagonal(case.dense, axis1=1, axis2=2)
    np.testing.assert_allclose(case.made.variances(K, case.d), expected, rtol=1e-12)


def test_pooled(case):
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    expected = (weights[:, None, None] * case.dense).sum(axis=0)
    np.testing.assert_allclose(case.made.pooled(weights, case.d), expected, rtol=1e-12, atol=1e-12)


def test_log_det_precision_root(case):
    expected = np.linalg.slogdet(case.precisions)[1] / 2
    np.testing.assert_allclose(case.made.log_det_precision_root(K, case.d), expected, rtol=1e-9)


def test_traces(case):
    expected = np.trace(case.precisions, axis1=1, axis2=2)
    np.testing.assert_allclose(np.broadcast_to(case.made.traces(case.d), K), expected, rtol=1e-9)


def test_precisions(case):
    found = case.made.precisions()
    assert found.shape == case.made.covariances.shape
    np.testing.assert_allclose(case.as_dense(found), case.precisions, rtol=1e-9, atol=1e-12)


def test_expected_quadratic(case):
    second = case.structure.of_full(case.full, case.d)
    if case.structure.kernel == "gaussian_tied":
        second = second.sum(axis=0)
    matrices = case.scatter + case.shift[:, :, None] * case.shift[:, None]
    expected = (COUNTS[:, None, None] * case.precisions * matrices).sum()
    assert case.made.expected_quadratic(second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", range(K))
def test_whiten(case, k):
    whitened = case.made.whiten(k, case.z)
    np.testing.assert_allclose(whitened @ whitened.T, case.z @ case.precisions[k] @ case.z.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(case.made.whiten(k, case.z[0]), whitened[0], rtol=1e-12)


@pytest.mark.parametrize("k", range(K))
def test_colour(case, k):
    root = case.made.colour(k, np.eye(case.d))
    np.testing.assert_allclose(root.T @ root, case.dense[k], rtol=1e-9, atol=1e-12)


def test_to_vector_and_back(case):
    vector = case.made.to_vector()
    assert vector.ndim == 1 and np.isfinite(vector).all()
    again = case.made.from_vector(vector, np.zeros(case.d))
    assert type(again) is case.structure
    np.testing.assert_allclose(case.as_dense(again.covariances), case.dense, rtol=1e-6, atol=1e-6)


def test_from_vector_keeps_to_the_floor(case):
    vector = case.made.to_vector()
    floor = np.full(case.d, 1.01 * np.median(np.linalg.eigvalsh(case.dense)))
    found = case.made.from_vector(vector, floor)
    assert (np.linalg.eigvalsh(case.as_dense(found.covariances)) >= floor * (1 - 1e-9)).all()


def test_factors_or_scales(case):
    """What the kernel takes; the other it does not have."""
    made = case.made
    if made.kernel == "gaussian_diagonal":
        np.testing.assert_allclose(made.scales(case.d) ** 2, np.diagonal(case.precisions, axis1=1, axis2=2), rtol=1e-9)
        with pytest.raises(TypeError, match="has no factors: its kernel takes scales"):
            made.factors(K)
    else:
        factors = made.factors(K)
        assert np.array_equal(factors, np.triu(factors))
        np.testing.assert_allclose(factors @ np.swapaxes(factors, 1, 2), case.precisions, rtol=1e-9, atol=1e-12)
        with pytest.raises(TypeError, match="has no scales: its kernel takes factors"):
            made.scales(case.d)


def test_a_structure_that_lacks_what_it_owes_cannot_be_made():
    class Lacking(Covariance):
        pass

    with pytest.raises(TypeError, match=r"abstract .*pooled"):
        Lacking()


def test_a_covariance_that_has_overflowed_is_refused_in_words():
    with np.errstate(all="raise"), pytest.raises(IllDefinedCovariance):
        precisions_cholesky(np.full((1, 1, 1), np.inf))


def test_a_tied_estimate_is_symmetric_to_the_last_bit():
    """Also in entries that are nothing beside the sums of which they are the difference."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts, shift = rng.uniform(1, 9, 5), rng.normal(size=(5, 3)) * [1, 1e-5, 1]
        second = (counts[:, None, None] * shift[:, :, None] * shift[:, None]).sum(axis=0) + 1e-6 * np.eye(3)
        found = Tied.estimate(counts, shift, second[packed_lower(3)], np.zeros(3)).covariances
        assert np.array_equal(found, found.T)
