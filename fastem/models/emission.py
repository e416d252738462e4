"""What a mixture needs of its K densities: the contract of an emission."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from fastem.models.rounding import Pass, Rounding
from fastem.models.seen_values import SeenValues


class Emission(Protocol):
    """K densities evaluated together: a frozen record of parameters, a thin layer over a compiled family.

    It turns its parameters into the arrays of a kernel, the kernel's sums into named statistics, and statistics into
    new parameters. The mixture above it adds the weights.

    Concrete emissions inherit this class. They must define the members that are abstract here; all others have a
    default, for emissions to which the member does not apply.

    Attributes
    ----------
    discrete : bool
        Whether all columns hold counts or codes, so that log p is a probability. Default: False.
    has_ellipses : bool
        Whether there are `means` (K, d), a `covariance` of :mod:`fastem.models.gaussian.covariance` and
        :meth:`marginal`, which pictures draw. Default: False; then only densities of single columns are drawn.
    takes_missing : bool
        Whether rows may have missing values (NaN), in all columns or in some; then :meth:`incomplete_call` and
        :meth:`marginal` must be defined too. Default: False; then such rows are refused.
    may_be_empty : bool
        Whether a component without rows is as it should be. Default: False; then the fit is not sound.
    n_rotations : int
        Dimensions in which the coordinates of :meth:`to_vector` can move while no density changes. Default: 0.
    """

    discrete: ClassVar[bool] = False
    has_ellipses: ClassVar[bool] = False
    takes_missing: ClassVar[bool] = False
    may_be_empty: ClassVar[bool] = False
    n_rotations: ClassVar[int] = 0

    # required

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(K, d)"""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Free parameters, of all components."""

    @abstractmethod
    def kernel_call(self, log_weights, dtype) -> KernelCall:
        """The compiled pass for these parameters.

        Parameters
        ----------
        log_weights : (K,)
            Of the mixture; -inf for a component without weight.
        dtype : float32 or float64
            Of the rows.
        """

    @abstractmethod
    def m_step(self, statistics) -> Emission:
        """The parameters that maximise, or at least raise, the sum of expected log-density and :meth:`log_prior`.

        A component without rows keeps its parameters.

        Parameters
        ----------
        statistics : Statistics
            Of the rows under this emission's mixture: ``counts`` (K,), and the sums that :meth:`kernel_call` names.
        """

    @abstractmethod
    def rebase(self, statistics, given) -> dict:
        """The sums that this emission would collect otherwise than `given`, which collected them, by name."""

    @abstractmethod
    def expected_log_prob(self, statistics, at) -> float:
        """E[sum over rows of log p(x | z; at)] under the posterior of this emission's mixture, from its statistics.

        Or a lower bound of it that is exact where `at` is this emission.
        """

    @abstractmethod
    def parameters(self) -> np.ndarray:
        """All parameters as one vector, in which steps are measured."""

    @abstractmethod
    def to_vector(self) -> np.ndarray:
        """Unconstrained coordinates."""

    @abstractmethod
    def from_vector(self, vector) -> Emission:
        """The emission with these coordinates, of the same kind and within the same constraints."""

    def gradient(self, statistics) -> np.ndarray | None:
        """Of :meth:`expected_log_prob` here in the coordinates of :meth:`to_vector`. Default: None, there is no
        formula."""
        return None

    @abstractmethod
    def log_density_error(self, statistics, passed: Pass) -> Rounding:
        """What rounding may do to log p(x | z), as sums over the rows and components by responsibility.

        Parameters
        ----------
        statistics : Statistics
            Of the rows under this emission's mixture.
        passed : Pass
            Of these rows: their type, the centre of the :class:`KernelCall`.
        """

    @abstractmethod
    def diagnose(self, weights, counts, columns=None) -> list[tuple[str, bool]]:
        """The status of each component ("ok" if nothing is wrong), and whether it is sound.

        Parameters
        ----------
        weights : (K,)
        counts : (K,)
            Effective rows.
        columns : (d,), optional
            The numbers of its columns in X, for the words of the status. Default: 0 .. d - 1.
        """

    @abstractmethod
    def nearest(self, X) -> np.ndarray:
        """(n,) the most probable component of rows so far from all that every log-density overflows."""

    @abstractmethod
    def sample(self, component, n, rng) -> np.ndarray:
        """(n, d) rows of one component."""

    # with a default

    def far_log_prob(self, X) -> np.ndarray | None:
        """(K, n) log p(x | z) of such rows, where it is a number although its squares overflow. Default: None."""
        return None

    @property
    def needs_pairs(self) -> bool:
        """Whether rows that lack values must hold pairs of columns together, for :meth:`undetermined`. Default:
        False."""
        return False

    def undetermined(self, seen: SeenValues, columns=None) -> list[str]:
        """Of each component what so many values do not determine, in a sentence; "" where that is nothing. It is asked
        where rows lack values or have bounds. Default: all is determined.

        Parameters
        ----------
        seen : SeenValues
        columns : (d,), optional
            The numbers of its columns in X, as in :meth:`diagnose`.
        """
        return [""] * self.shape[0]

    def step_error(self, statistics, passed, unit) -> float:
        """How much log-likelihood the M-step that made this emission of `statistics` may have lost, because sums of
        relative error `unit` about the centre of a pass are not those of the rows. Default: 0, the loss is a product of
        two roundings, which only the condition of a covariance makes large."""
        return 0.0

    def log_prior(self) -> float:
        """Of the parameters, up to a constant. Default: 0, they have no prior."""
        return 0.0

    def log_prior_size(self) -> float:
        """The sum of the absolute values of its terms, for their rounding. Default: its own."""
        return abs(self.log_prior())

    def leap(self, before) -> Emission | None:
        """The emission to try in place of this one, which the M-step made of `before`, because EM would need many
        steps to get there. Default: None."""
        return None

    def incomplete_call(self, log_weights, dtype) -> KernelCall:
        """:meth:`kernel_call` for rows with missing values. Default: TypeError, see `takes_missing`."""
        raise TypeError(f"{type(self).__name__} does not accept missing values")

    def marginal(self, columns) -> Emission:
        """The densities of some of the columns. Default: TypeError, see `has_ellipses` and `takes_missing`."""
        raise TypeError(f"{type(self).__name__} has no densities of some of its columns")

    def relative_eigenvalues(self, weights) -> np.ndarray | None:
        """(K, r) of the covariances, ascending, in units of the data's. Default: None, there are no covariances."""
        return None

    @property
    def floor_hits(self) -> np.ndarray:
        """(K,) in how many directions a covariance is held at its floor. Default: 0."""
        return np.zeros(self.shape[0], int)

    @property
    def are_apart(self) -> bool:
        """Whether a look at the parameters shows that no two densities are equal. Default: False, it does not."""
        return False

    def widened(self, weights, counts) -> Emission | None:
        """The same densities without what unsound ones win by being thin; see :meth:`diagnose`. Default: None, that
        cannot be taken out."""
        return None

    def weights_of_all(self, weights) -> np.ndarray:
        """(K,) the weights of all rows, also of those that could not be seen, from the mixture's, which are of seen
        rows. Default: the same, all rows are seen."""
        return weights

    def column_parameters(self) -> ColumnParameters | None:
        """The parameters of each component and column. Default: None, there are none that a heat map could show."""
        return None


class ColumnParameters(NamedTuple):
    """name: of the parameters; values: (K, m); columns: (m,) the column of each; codes: (m,) int, the code of the
    column that it belongs to, or None where it is the column's only one."""

    name: str
    values: np.ndarray
    columns: np.ndarray
    codes: list[int | None]

    @classmethod
    def one_each(cls, name, values) -> ColumnParameters:
        """One parameter (K, d) of each column."""
        d = values.shape[1]
        return cls(name, np.asarray(values), np.arange(d), [None] * d)


class KernelCall(NamedTuple):
    """What a compiled pass needs, and how its sums become named statistics.

    parts: compiled families over their columns, each a `Part` of a module of kernels; unpack: from {name: sum} of each
    part; order: the columns of X in the parts' order, or None.
    See ``expect`` in kernels/mixture_pass.pxi.
    """

    parts: tuple
    centre: np.ndarray
    unpack: Callable[..., dict]
    order: np.ndarray | None = None

    @property
    def takes_nearby(self) -> bool:
        """Whether components can be left out where rows lie together: see kernels/nearby.pxi."""
        return len(self.parts) == 1 and self.order is None and self.parts[0].takes_nearby

    @property
    def grouped(self) -> bool:
        """Whether it takes rows by their patterns of missing values."""
        return any(part.grouped for part in self.parts)


def flattened(arrays, dtype):
    """{name: array}, contiguous and one-dimensional in the kernel's real type.

    What float32 cannot hold is infinite: a pass with it ends in sums that are not finite, and these are refused.
    """
    with np.errstate(over="ignore"):
        return {name: np.ascontiguousarray(array, dtype=dtype).ravel() for name, array in arrays.items()}
