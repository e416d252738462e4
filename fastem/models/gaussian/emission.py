"""The Gaussian emission, of any covariance structure."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from fastem import kernels
from fastem.errors import IllDefinedCovariance
from fastem.kernels import arithmetic
from fastem.models.emission import ColumnParameters, Emission, KernelCall
from fastem.models.gaussian.covariance import Covariance, floor_of_all, of_components, without_cancellation
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.kernel_arrays import (
    DiagonalKernel,
    DiagonalMissingKernel,
    FullKernel,
    FullMissingKernel,
    TiedKernel,
)
from fastem.models.gaussian.rounding import of_estimate, of_gaussians
from fastem.models.gaussian.seen_values import needs_pairs, undetermined
from fastem.models.gaussian.soundness import BULK, NEAR_FLOOR, WIDE, conditions, of_many_rows, weights_of
from fastem.models.rounding import Rounding

FEWEST = 1e-100  # share of all rows; a component with less has none
APART = 0.1  # deviations between means, with which rows tell two Gaussians by more than rounding
MOST_PAIRED = 100  # components of which all pairs are looked at
DIGITS = 16  # roundings of its distance from the centre, below which a component's deviation has no digits
KERNELS = {kernel.name: kernel for kernel in (FullKernel, TiedKernel, DiagonalKernel)}


def estimated(given, free, counts, shift, second, floor):
    """The structure's estimate from the moments; components that are not free keep what was given, unless all share."""
    if not free.any():
        return given
    second = without_cancellation(given, counts, shift, second)
    if free.all() or given.shared:
        return given.estimate(counts, shift, second, floor, given)
    try:
        given_free = of_components(given, free)
        low = floor[free] if floor.ndim == 2 else floor
        estimate = given_free.estimate(counts[free], shift[free], second[free], low, given_free)
    except IllDefinedCovariance as error:
        raise IllDefinedCovariance(np.flatnonzero(free)[error.components].tolist()) from None
    arrays = {f.name: getattr(given, f.name).copy() for f in fields(estimate)}
    for name, array in arrays.items():
        array[free] = getattr(estimate, name)
    return replace(estimate, **arrays)


def middle(means, weights):
    """(d,) the weighted median of means (K, d), column by column: one far component does not move it.

    Rows about a point far from most of them have lost their digits.
    """
    if len(means) == 1:
        return means[0]
    order = np.argsort(means, axis=0, kind="stable")
    below = np.cumsum(weights[order], axis=0)
    columns = np.arange(means.shape[1])
    return means[order[(below < below[-1] / 2).sum(axis=0), columns], columns]


def floor_with_digits(means, weights, floor):
    """The floor (d,); or (K, d), of each component, where some are so far from the others that the rounding of their
    rows is above it."""
    eps = DIGITS * np.finfo(np.float64).eps
    if not floor.any() or ((eps * np.ptp(means, axis=0)) ** 2 <= floor).all():
        return floor
    low = (eps * (means - middle(means, weights))) ** 2
    return np.maximum(floor, low) if (low > floor).any() else floor


@dataclass(frozen=True)
class Gaussian(Emission):
    """K Gaussian densities.

    Attributes
    ----------
    means : (K, d)
    covariance : :class:`fastem.models.gaussian.covariance.Covariance`
    floor : (d,)
        Least variance per column; see :mod:`fastem.models.gaussian.covariance`.
    rounding_variance : (d,) or None
        What rounding the columns' values does to their variances; None: they are not rounded.
    rows_covariance : (d, d) or (d,) or None
        The covariance of the rows, as far as the structure sees it; None: that of the mixture is the same.
    """

    has_ellipses: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True

    means: np.ndarray
    covariance: Covariance
    floor: np.ndarray
    rounding_variance: np.ndarray | None = field(default=None, kw_only=True)
    rows_covariance: np.ndarray | None = field(default=None, kw_only=True)

    @property
    def shape(self):
        """(K, d)"""
        return self.means.shape

    @property
    def n_parameters(self) -> int:
        return self.means.size + self.covariance.n_parameters(*self.shape)

    @property
    def least_rows(self) -> int:
        """Effective rows without which a component's covariance is not determined."""
        return self.covariance.least_rows(self.shape[1])

    @property
    def few_rows(self) -> int:
        """Effective rows with fewer of which a component may be thin by chance."""
        return self.covariance.few_rows(self.shape[1])

    def kernel_call(self, log_weights, dtype) -> KernelCall:
        """The compiled pass for these parameters, on data of a real type."""
        kernel = KERNELS[self.covariance.kernel]
        if kernel is TiedKernel and not kernel.serves(
            self.covariance, self._about_centre(log_weights, dtype)[1], dtype
        ):
            kernel = FullKernel
        return self._call_of(kernel, log_weights, dtype)

    def incomplete_call(self, log_weights, dtype) -> KernelCall:
        """The compiled pass over rows with missing values."""
        diagonal = KERNELS[self.covariance.kernel] is DiagonalKernel
        return self._call_of(DiagonalMissingKernel if diagonal else FullMissingKernel, log_weights, dtype)

    def _about_centre(self, log_weights, dtype):
        """The centre of the components (d,), and their means (K, d) about it."""
        centre = middle(self.means, arithmetic.exp(log_weights)).astype(dtype)
        return centre, self.means - centre

    def _call_of(self, kernel, log_weights, dtype) -> KernelCall:
        K, d = self.shape
        log_det = self.covariance.log_det_precision_root(K, d)
        constant = log_weights + log_det - 0.5 * d * arithmetic.log(2 * np.pi)
        module = kernels.for_dtype(dtype)
        constant = np.maximum(constant, module.lowest)  # log 0 as a number, so no inf - inf
        centre, means = self._about_centre(log_weights, dtype)
        part = module.Part(kernel.name, d, K, kernel.pack(self.covariance, constant, means, dtype))
        return KernelCall(
            (part,),
            centre,
            lambda sums: dict(zip(("counts", "first", "second"), kernel.unpack(self.covariance, sums, means, dtype))),
        )

    def m_step(self, statistics) -> Gaussian:
        """Weighted means, and the structure's estimate from the moments. A component without rows does not change."""
        counts = statistics.counts
        # shapes that components share take squares and quotients of what each adds to them: of less, these overflow
        present = counts > max(np.finfo(np.float64).tiny, FEWEST * counts.sum())
        shift = statistics.first / np.where(present, counts, 1)[:, None]
        emission = replace(self, means=self.means + shift)
        floor = floor_with_digits(emission.means, counts, self.floor)
        covariance = estimated(self.covariance, present, counts, shift, statistics.second, floor)
        emission = replace(emission, covariance=covariance)
        if present.any() and not self.floor.any():
            emission.require_resolved(counts / counts.sum())
        return emission

    def rebase(self, statistics, given) -> dict:
        """Moments that were collected at another emission, about its means, as moments about these means."""
        step = self.means - given.means
        first, second = self.covariance.moved(statistics.counts, statistics.first, statistics.second, step)
        return {"first": first, "second": second}

    def expected_log_prob(self, statistics, at) -> float:
        """E[sum over rows of log p(x | z; at)] under the posterior of this emission's mixture, from its statistics."""
        K, d = at.shape
        constant = at.covariance.log_det_precision_root(K, d) - 0.5 * d * arithmetic.log(2 * np.pi)
        second = at.rebase(statistics, self)["second"]
        return float(arithmetic.matmul(statistics.counts, constant) - 0.5 * at.covariance.expected_quadratic(second))

    def parameters(self) -> np.ndarray:
        """All parameters as one vector."""
        return np.concatenate([self.means.ravel(), self.covariance.covariances.ravel()])

    def to_vector(self) -> np.ndarray:
        """Unconstrained coordinates: means, log-Cholesky factors of the covariances."""
        return np.concatenate([self.means.ravel(), self.covariance.to_vector()])

    def from_vector(self, vector) -> Gaussian:
        """The emission of these coordinates, its covariances raised to the floor."""
        means, rest = vector[: self.means.size], vector[self.means.size :]
        means = means.reshape(self.shape)
        return replace(self, means=means, covariance=self.covariance.from_vector(rest, self.floor))

    def gradient(self, statistics) -> np.ndarray | None:
        """Of :meth:`expected_log_prob` in these coordinates; None of densities that are more than Gaussian."""
        if type(self) is not Gaussian:
            return None
        return self.covariance.gradient(statistics.counts, statistics.first, statistics.second)

    def diagnose(self, weights, counts, columns=None) -> list[tuple[str, bool]]:
        """The status of each component, and whether it is sound; `counts` are effective rows."""
        asked = weights.tobytes(), counts.tobytes()  # by merits, reports and statuses alike
        if asked not in self._diagnosed:
            self._diagnosed[asked] = self._diagnosis(weights, counts)
        return list(self._diagnosed[asked])

    @property
    def needs_pairs(self):
        return needs_pairs(self)

    def undetermined(self, seen, columns=None):
        return undetermined(self, seen, np.arange(self.shape[1]) if columns is None else columns)

    @property
    def free_means(self):
        """(K,) bool, those that rows determine; so :attr:`free_covariances`."""
        return np.ones(self.shape[0], bool)

    free_covariances = free_means

    @cached_property
    def _diagnosed(self) -> dict:
        return {}

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_diagnosed"}

    def _diagnosis(self, weights, counts):
        found = conditions(self, weights, counts)
        floor = floor_with_digits(self.means, weights, self.floor)
        if floor is self.floor:
            return found
        low = floor_of_all(floor) if self.covariance.shared else floor
        hidden = (low > self.floor) & (self.covariance.variances(*self.shape) < NEAR_FLOOR * low)
        return [
            ("too far away: the rounding of rows at this distance from the others hides how wide it is", True)
            if sound and lost
            else (status, sound)
            for (status, sound), lost in zip(found, hidden.any(axis=1))
        ]

    def of_rows(self, rounding_variance, covariance) -> Gaussian:
        """The same densities, for rows of which these are `rounding_variance` and `rows_covariance`."""
        return replace(self, rounding_variance=rounding_variance, rows_covariance=covariance)

    @property
    def are_apart(self) -> bool:
        """Whether the means of any two differ by more than a part of the largest deviation in some column."""
        K, d = self.shape
        if K > MOST_PAIRED:
            return False
        apart = np.abs(self.means[:, None] - self.means) > APART * np.sqrt(self.covariance.variances(K, d).max(axis=0))
        return np.count_nonzero(apart.any(axis=2)) == K * (K - 1)

    def widened(self, weights, counts) -> Gaussian | None:
        """The same densities, those that are not sound as wide as the others together and themselves; None where that
        width is none. Where none is sound, but nearly all rows are in components of many, they describe these together,
        each in a place of its own: they are made as wide as clusters may be."""
        sound = np.array([sound for _, sound in self.diagnose(weights, counts)])
        many = of_many_rows(self, counts)
        if arithmetic.matmul(weights, sound) > 0:
            by = self.pooled(weights_of(weights, sound))
        elif arithmetic.matmul(weights, many) > BULK * weights.sum():
            by = WIDE * self.total(weights_of(weights, many))
        else:
            by = self.total(weights)
        try:
            return replace(self, covariance=self.covariance.widened(~sound, by))
        except IllDefinedCovariance:  # the others vary in too few directions
            return None

    def require_resolved(self, weights):
        """Without a floor: a component narrower than the rounding of its distance from the others is a point."""
        z = self.means - arithmetic.matmul(weights, self.means)
        whitened = np.array([np.abs(self.covariance.whiten(k, z[k])).max() for k in range(len(z))])
        points = np.flatnonzero(whitened * np.finfo(np.float64).eps > 1e-3)
        if len(points):
            raise IllDefinedCovariance(points.tolist())

    def log_density_error(self, statistics, passed) -> Rounding:
        """See :mod:`fastem.models.gaussian.rounding`."""
        counts = statistics.counts
        return of_gaussians(self.covariance, self.means, counts, counts, statistics.first, statistics.second, passed)

    def step_error(self, statistics, passed, unit) -> float:
        """See :func:`fastem.models.gaussian.rounding.of_estimate`; no bound where digits make a floor of their own."""
        if floor_with_digits(self.means, statistics.counts, self.floor) is not self.floor:
            return np.inf
        lost = of_estimate(self.covariance, self.means, statistics.counts, statistics.second, passed, unit)
        counts = self.divisors(statistics)
        return (
            lost + self.covariance.choice_error(counts, self.shape[1]) + self.covariance.floor_error(counts, self.floor)
        )

    def divisors(self, statistics) -> np.ndarray:
        """(K,) how many rows the determinant of each covariance counts for."""
        return statistics.counts

    def nearest(self, X):
        """The component with the least Mahalanobis distance for rows so far that its square overflows.

        Far away components of one covariance differ in it by less than rounding; then the product with their means
        tells, which x has there.
        """
        _, rows = self.whitened_to_scale(X)
        means = np.array([self.covariance.whiten(k, mean) for k, mean in enumerate(self.means)])
        distance = np.square(rows).sum(axis=2)
        towards = arithmetic.einsum("knd,kd->kn", rows, means)
        return np.argmax(np.where(distance <= (1 + 1e-12) * distance.min(axis=0), towards, -np.inf), axis=0)

    def whitened_to_scale(self, X):
        """(n, 1) units in which squares are finite, and (K, n, d) L^-1 (x - mu) in these."""
        least = max(np.abs(self.means).max(), np.finfo(float).tiny)
        scale = np.maximum(np.abs(X).max(axis=1, keepdims=True), least)
        unit, whiten = scale * np.sqrt(X.shape[1]), self.covariance.whiten
        return unit, np.array([whiten(k, X / unit - mean / unit) for k, mean in enumerate(self.means)])

    def dense_covariances(self):
        """(K, d, d)"""
        K, d = self.shape
        return np.array([self.covariance.pooled(weights, d) for weights in np.eye(K)])

    def total(self, weights):
        """The covariance of the whole mixture, as far as the structure sees it: (d, d), or the diagonal (d,)."""
        return self.covariance.of_mixture(weights, self.means - arithmetic.matmul(weights, self.means))

    def pooled(self, weights):
        """The weighted sum of the covariances in the same shape."""
        return self.covariance.of_mixture(weights, np.zeros(self.shape))

    def relative_eigenvalues(self, weights):
        """(K, r) of the covariances, ascending, in units of the data's: what tells a spike from a cluster."""
        return self.covariance.relative_eigenvalues(np.arange(len(self.means)), self.total(weights))

    @property
    def floor_hits(self):
        return self.covariance.directions_below(len(self.means), NEAR_FLOOR * self.floor)

    def column_parameters(self):
        return ColumnParameters.one_each("means", self.means)

    def marginal(self, columns) -> Gaussian:
        """The densities of some of the columns."""
        dense = self.dense_covariances()
        covariances, floor = dense[:, columns][:, :, columns], self.floor[columns]
        return Gaussian(self.means[:, columns], Full.from_covariances(covariances, floor), floor)

    def sample(self, component, n, rng):
        """n rows of one component."""
        return self.means[component] + self.covariance.colour(component, rng.standard_normal((n, self.shape[1])))
