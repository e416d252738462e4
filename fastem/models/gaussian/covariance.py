"""What a covariance structure owes: its algebra and its own estimate from statistics.

`dense` and `diagonal` hold the basic structures, `parsimonious` mclust's other families, made of `pieces` and by
`scatters`, and `structures` the table of all.

A structure is a frozen record of K covariances. `estimate` is the M-step: with counts N_k, the means' shift
m_k (new minus old) and second moments S_k about the *old* means, the scatter about the new means is
S_k / N_k - m_k m_k^T (stable, since both are about a point inside the component).

`floor` (d,) is the least variance allowed per column, or (K, d), of each component its own: every covariance is kept at
or above diag(floor) in the sense of positive definite matrices. Maximising over {Sigma >= diag(floor)} is still a
maximisation, so EM stays monotone, and a component that is not degenerate is not touched at all (adding a constant to
the diagonal would change every one).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import fields, replace
from typing import ClassVar, Protocol

import numpy as np

from fastem.kernels.packing import packed_lower


class Covariance(Protocol):
    """K covariances (d, d) of one structure: a frozen record, its algebra, and its own estimate from statistics.

    Structures inherit it: what is abstract here is owed. Sizes are handed in where the arrays do not tell them (one
    covariance for all components, one variance for all columns).

    Attributes
    ----------
    covariances, precisions_cholesky : arrays of :meth:`shape`
        No more than the structure needs. The second: upper triangular U with U U^T = precision, or 1 / deviation.
    at_floor : (K,) or (1,) int
        In how many directions a covariance is held at the floor.
    kernel : str
        The compiled family whose sums `estimate` takes: "gaussian_full", "gaussian_tied" or "gaussian_diagonal". The
        first two take :meth:`factors`, the last takes :meth:`scales`.
    shared : bool
        Whether all components have one covariance, which a component without rows has too. Default: False.
    """

    kernel: ClassVar[str]
    shared: ClassVar[bool] = False

    covariances: np.ndarray
    precisions_cholesky: np.ndarray
    at_floor: np.ndarray

    # of the structure, whatever its arrays

    @classmethod
    def has_own_volumes(cls) -> bool:
        """Whether any multiple of one component's covariance is a member as well, whatever the others are.

        Default: True unless all components share one covariance.
        """
        return not cls.shared

    @staticmethod
    @abstractmethod
    def shape(n_components, d) -> tuple[int, ...]:
        """The shape of the arrays."""

    @staticmethod
    @abstractmethod
    def n_parameters(n_components, d) -> int:
        """The number of free parameters."""

    @staticmethod
    @abstractmethod
    def least_rows(d) -> int:
        """How many effective rows one component's covariance needs; 0: the other components determine it."""

    @classmethod
    def few_rows(cls, d) -> int:
        """With fewer effective rows a component may be thin by chance: as own rows can make it thin. Default: twice
        :meth:`least_rows`."""
        return 2 * cls.least_rows(d)

    @classmethod
    @abstractmethod
    def from_covariances(cls, covariances, floor) -> Covariance:
        """The structure with these covariances, of :meth:`shape`, raised to the floor (d,).

        Raises IllDefinedCovariance where a covariance is not positive definite.
        """

    @classmethod
    @abstractmethod
    def estimate(cls, counts, shift, second, floor, given=None) -> Covariance:
        """The M-step: the most likely covariances at or above the floor, or ones at least as likely as those given.

        Parameters
        ----------
        counts : (K,)
        shift : (K, d)
            The new means less the old ones.
        second
            Second moments about the old means, as the kernel sums them: (K, d (d + 1) / 2) packed, or (d (d + 1) / 2,)
            of all together ("gaussian_tied"); (K, d) of the columns ("gaussian_diagonal").
        floor : (d,)
        given : Covariance, optional
            The structure of the E-step that gave the moments: estimates by iteration start from it.
        """

    @staticmethod
    @abstractmethod
    def moved(counts, first, second, step) -> tuple[np.ndarray, np.ndarray]:
        """First and second moments about points that lie `step` (K, d) further."""

    @staticmethod
    @abstractmethod
    def of_full(second, d) -> np.ndarray:
        """Full second moments, (K, d (d + 1) / 2) packed, as `estimate` takes them."""

    @staticmethod
    @abstractmethod
    def directions_at_floor(covariance, floor) -> int:
        """In how many directions a covariance, as :meth:`of_mixture`'s, is below a floor (d,)."""

    # of these covariances

    @abstractmethod
    def directions_below(self, n_components, least) -> np.ndarray:
        """(K,) in how many directions each is below a least variance of the columns (d,)."""

    @abstractmethod
    def relative_eigenvalues(self, components, total) -> np.ndarray:
        """(m, r) of some of the covariances, ascending, in units of another one, as :meth:`of_mixture`'s, where that
        varies."""

    @abstractmethod
    def widened(self, wide, by) -> Covariance:
        """The same, those of `wide` (K,) bool with a covariance, as :meth:`of_mixture`'s, added, in the free structure
        of the kernel."""

    @abstractmethod
    def dense(self, n_components, d) -> Covariance:
        """The same covariances, each a full matrix (d, d) of its own."""

    @abstractmethod
    def variances(self, n_components, d) -> np.ndarray:
        """(K, d) variances of the columns."""

    @abstractmethod
    def pooled(self, weights, d) -> np.ndarray:
        """(d, d) weighted sum of the covariances; the weights (K,) sum to 1."""

    @abstractmethod
    def of_mixture(self, weights, z) -> np.ndarray:
        """Weighted sum of the covariances and of z z^T, as far as the structure sees it.

        That is a matrix (d, d), or its diagonal (d,) where covariances are diagonal: nothing of d^2 numbers is made.

        Parameters
        ----------
        weights : (K,)
            Their sum is 1.
        z : (K, d)
        """

    @abstractmethod
    def log_det_precision_root(self, n_components, d) -> np.ndarray:
        """(K,) half the log-determinants of the precisions."""

    @abstractmethod
    def traces(self, d) -> np.ndarray:
        """(K,) or (1,) traces of the precisions."""

    @abstractmethod
    def precisions(self) -> np.ndarray:
        """Inverse covariances, in the shape of `covariances`."""

    @abstractmethod
    def expected_quadratic(self, second) -> float:
        """Sum over the components of tr(precision times second moment), as the kernel sums them."""

    @abstractmethod
    def whiten(self, component, z) -> np.ndarray:
        """Rows (n, d), or one (d,), about the component's mean to standard normal ones."""

    @abstractmethod
    def colour(self, component, z) -> np.ndarray:
        """Standard normal rows (n, d) with the component's covariance."""

    @abstractmethod
    def to_vector(self) -> np.ndarray:
        """Unconstrained coordinates."""

    @abstractmethod
    def from_vector(self, vector, floor) -> Covariance:
        """The structure of these coordinates or the nearest to them, raised to the floor (d,)."""

    def gradient(self, counts, first, second) -> np.ndarray | None:
        """Slopes of the expected log-density along means and :meth:`to_vector`, from moments about the means. Default:
        None, there is no formula."""
        return None

    def choice_error(self, counts, d) -> float:
        """By how much less log-likelihood an estimate is taken in place of what was given; counts: (K,) rows that each
        determinant counts for. Default: 0."""
        return 0.0

    def floor_error(self, counts, floor) -> float:
        """What an estimate loses by the rounding of eigenvalues beside the floor (d,) that holds some. Default: 0."""
        return 0.0

    # for the kernel

    def factors(self, n_components) -> np.ndarray:
        """(K, d, d) upper triangular precision factors. Default: TypeError, the kernel takes `scales`."""
        raise TypeError(f"{type(self).__name__} has no factors: its kernel takes scales")

    def scales(self, d) -> np.ndarray:
        """(K, d) reciprocal standard deviations. Default: TypeError, the kernel takes `factors`."""
        raise TypeError(f"{type(self).__name__} has no scales: its kernel takes factors")


def floor_of_all(floor):
    """(d,) the least variances of a covariance that all components share, from theirs (d,) or (K, d)."""
    return np.atleast_2d(floor).max(axis=0)


FAR = 1e-8  # of the squared shift: a variance below it has lost half of its digits to cancellation
ROUNDING = 64 * np.finfo(np.float64).eps  # of a sum of squares of many rows


def without_cancellation(covariance, counts, shift, second):
    """Second moments about the old means, with as much more as rounding may have taken from the scatter about the new
    ones; the same moments where the shift is small against the spread.

    About means far from the rows, as of a start beside them or of a component that has lost an outlier, the scatter is
    a difference of large numbers, and may be too small by far. So it is given the width that is known; the likelihood
    rises from the far means all the same, and the next sums, about means among the rows, have all digits.
    """
    K, d = shift.shape
    i, j = packed_lower(d)
    square = counts[:, None] * shift**2
    along = second if covariance.kernel == "gaussian_diagonal" else second[..., i == j]
    about = square if along.ndim == 2 else square.sum(axis=0)
    if (along - about >= FAR * about).all():
        return second
    lost = np.zeros((K, len(i)))
    lost[:, i == j] = d * ROUNDING * square
    lost = covariance.of_full(lost, d)
    return second + (lost if lost.shape == second.shape else pooled_second(lost))


def outer(shift):
    """(K, d) to (K, d, d)."""
    return shift[:, :, None] * shift[:, None, :]


def pooled_second(second):
    """Packed second moments of each component, or already of all together, summed over the components."""
    return second.reshape(-1, second.shape[-1]).sum(axis=0)


def of_components(structure, components):
    """The structure of some of the components."""
    return replace(structure, **{f.name: getattr(structure, f.name)[components] for f in fields(structure)})
