"""What a fitted Gaussian mixture is for: parts of it, predictions of columns, its distribution function, distances."""

from __future__ import annotations

import numpy as np

from fastem.models.gaussian.conditional import Conditional, marginal, type_of_some
from fastem.models.gaussian.constrained import ConstrainedGaussian
from fastem.models.gaussian.covariance import Diagonal
from fastem.models.gaussian.distances import KINDS, component_distances
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.noise import WithNoise
from fastem.models.gaussian.structures import STRUCTURES
from fastem.models.mixture import Mixture
from fastem.rows.sources.columns import choose, listed, numbered_names
from fastem.rows.validation import require_finite

# parameters in the shape of all columns, or that a fit of other columns would keep to
STARTS = "means_init", "precisions_init", "weights_init", "fixed", "prior", "max_eigenvalue_ratio"
GAUSSIANS = Gaussian, ConstrainedGaussian  # and none of what is made of them


class GaussianUses:
    """Methods of a fitted :class:`fastem.GaussianMixture`."""

    def marginal(self, columns):
        """The mixture of some of the columns.

        Parameters
        ----------
        columns : list of names or numbers
            In the order that they shall have.

        Returns
        -------
        GaussianMixture
            Fitted: it scores, predicts, samples, saves. Of the same `covariance_type` where the family is closed under
            it, else of the least that holds it. There is no history of a fit of its own: `log_likelihood_` is NaN.

        Raises
        ------
        ValueError
            For columns that are not there, or twice.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> gm = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> waiting = gm.marginal([1])
        >>> bool((waiting.means_ == gm.means_[:, [1]]).all())
        True
        """
        mixture = self._gaussian_mixture("marginal")
        chosen, _ = self._places(columns)
        type_ = type_of_some(self.covariance_type, len(chosen), self.n_features_in_)
        return self._made(marginal(mixture, chosen, STRUCTURES[type_]), type_, chosen, "marginal")

    def conditional(self, columns, values):
        """The mixture of the other columns, given the values of these.

        Parameters
        ----------
        columns : list of names or numbers
            The given columns; at least one must be left.
        values : (len(columns),) array
            Their values, finite, in this order. Far outside the nearest component takes all.

        Returns
        -------
        GaussianMixture
            Fitted, of the other columns in their order; see :meth:`marginal`.

        Raises
        ------
        ValueError

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> gm = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> after_long_wait = gm.conditional([1], [85])  # the duration of an eruption
        >>> after_long_wait.means_[after_long_wait.weights_ > 0.99].round(1)
        array([[4.4]])
        """
        mixture = self._gaussian_mixture("conditional")
        given, wanted = self._places(columns, some_left=True)
        row = checked_values(values, self._column_names()[given])
        type_ = type_of_some(self.covariance_type, len(wanted), self.n_features_in_)
        found = Conditional(mixture, given, wanted).at(row, STRUCTURES[type_])
        return self._made(found, type_, wanted, "conditional")

    def predict_columns(self, X, columns, *, return_std: bool = False, return_cov: bool = False):
        """Gaussian mixture regression: the mean of some columns given the others, row by row.

        Parameters
        ----------
        X : (n, d - m) rows of the other columns, in their order
            Of any kind that `predict` takes.
        columns : list of m names or numbers
            To be predicted.
        return_std, return_cov : bool
            Also the standard deviations (n, m) or the covariances (n, m, m) of the columns given the rest of the row.

        Returns
        -------
        mean : (n, m) float64
        std or cov
            If asked for.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> gm = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> mean, std = gm.predict_columns([[55], [85]], [0], return_std=True)
        >>> mean.round(1).ravel(), std.round(1).ravel()
        (array([2. , 4.4]), array([0.3, 0.4]))
        """
        if return_std and return_cov:
            raise ValueError("return_std and return_cov are both true: choose one")
        mixture = self._gaussian_mixture("predict_columns")
        wanted, given = self._places(columns, some_left=True)
        conditional = Conditional(mixture, given, wanted)
        others = self._made(conditional.given, self.covariance_type, given, "marginal")
        found = others._of_new_rows(X, moments_in(conditional, self.n_threads, return_std, return_cov))
        return joined_parts(found)

    def logcdf(self, X) -> np.ndarray:
        """log P(x <= row), all columns at once, shape (n,): where it has a closed form.

        That is with one column, or with covariances that are diagonal: products of normal distribution functions,
        right to rounding also far out in the tails.

        Parameters
        ----------
        X : rows of any kind that `predict` takes

        Raises
        ------
        ValueError
            With dense covariances and several columns.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> gm = GaussianMixture(2, covariance_type="diag", random_state=0).fit(load_faithful().data)
        >>> np.exp(gm.logcdf([[3, 70], [9, 200]])).round(2)
        array([0.36, 1.  ])
        """
        mixture = self._gaussian_mixture("logcdf")
        K, d = mixture.emission.shape
        covariance = mixture.emission.covariance
        if d > 1 and not isinstance(covariance, Diagonal):
            raise ValueError(
                f"logcdf has no closed form with covariance_type={self.covariance_type!r} and {d} columns: take the "
                "marginal of one column, or add up scipy.stats.multivariate_normal.cdf of the components, which "
                "integrates numerically"
            )
        deviations = np.sqrt(covariance.variances(K, d))

        def of_rows(rows):
            from scipy.special import log_ndtr  # here, since it takes long to import

            require_finite(rows)

            found = np.full(len(rows), -np.inf)
            with np.errstate(divide="ignore", over="ignore"):
                for weight, mean, deviation in zip(mixture.weights, mixture.emission.means, deviations):
                    each = log_ndtr((rows.astype(np.float64, copy=False) - mean) / deviation)
                    np.logaddexp(found, np.log(weight) + each.sum(axis=1), out=found)
            return np.minimum(found, 0.0)

        return self._evaluated(X, of_rows, np.float64)

    def component_distances(self, kind: str = "bhattacharyya") -> np.ndarray:
        """How far apart the components are, whatever their weights: (K, K), symmetric, zeros on the diagonal.

        Parameters
        ----------
        kind : {"bhattacharyya", "symmetric_kl", "mahalanobis"}
            "bhattacharyya": -log of the integral of sqrt(p_i p_j); "symmetric_kl": KL(p_i || p_j) + KL(p_j || p_i),
            both in nats; "mahalanobis": between the means, under the mean of both covariances. None depends on the
            units of the columns.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> gm = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> gm.component_distances("mahalanobis").round(1)
        array([[0. , 6.9],
               [6.9, 0. ]])
        """
        mixture = self._gaussian_mixture("component_distances")
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"kind={kind!r} is none of {', '.join(map(repr, KINDS))}")
        return component_distances(mixture.emission, kind)

    def component_overlap(self) -> np.ndarray:
        """Bhattacharyya coefficients: the integral of sqrt(p_i p_j), in [0, 1], shape (K, K); 1 for equal components.

        Of rows of components i and j together, the best rule misassigns at most sqrt(w_i w_j) times it, where w_i and
        w_j are their shares: of equal ones, half of it.

        References
        ----------
        T. Kailath: The divergence and Bhattacharyya distance measures in signal selection. IEEE Transactions on
        Communication Technology 15 (1967) 52-60.
        """
        return np.exp(-self.component_distances("bhattacharyya"))

    # ---- what these share ---------------------------------------------------------------------------------------

    def _gaussian_mixture(self, asked) -> Mixture:
        """The fitted mixture; TypeError where it is one of something else than Gaussians."""
        mixture = self.model_
        if isinstance(mixture.emission, WithNoise):
            raise TypeError(
                f"{asked} is for mixtures of Gaussians alone; this one has noise={self.noise!r} beside them"
            )
        if type(mixture) is not Mixture or type(mixture.emission) not in GAUSSIANS:
            raise TypeError(f"{asked} is for mixtures of Gaussians alone; this {type(self).__name__} is none")
        if type(mixture.emission.covariance) is not STRUCTURES.get(self.covariance_type):
            raise ValueError(f"covariance_type has been changed to {self.covariance_type!r} since the fit: fit again")
        return mixture

    def _places(self, columns, some_left=False):
        """The numbers of the columns, and those of the others."""
        chosen, _ = choose(self._column_names(), columns, f"this {type(self).__name__}")
        if some_left and len(chosen) == self.n_features_in_:
            raise ValueError(
                f"columns={columns!r} are all columns of this {type(self).__name__}: leave out at least one"
            )
        return np.array(chosen), np.setdiff1d(np.arange(self.n_features_in_), chosen)

    def _column_names(self):
        return np.asarray(getattr(self, "feature_names_in_", numbered_names(self.n_features_in_)), dtype=object)

    def _made(self, mixture, covariance_type, places, what):
        """A fitted estimator of this kind around a mixture of some of the columns."""
        parameters = self.get_params(deep=False) | {"covariance_type": covariance_type} | dict.fromkeys(STARTS)
        if not (isinstance(self.init_params, str) or callable(self.init_params)):
            del parameters["init_params"]
        made = type(self)(**parameters)
        made._keep_model(mixture)
        names = getattr(self, "feature_names_in_", None)
        made._keep_columns(len(places), None if names is None else names[places])
        made.converged_, made.n_iter_ = getattr(self, "converged_", True), 0
        made.history_, made.lower_bounds_ = [], []
        made.lower_bound_ = made.log_likelihood_ = float("nan")
        made.stop_reason_ = f"it is a {what} of a fitted mixture"
        made.component_status_ = list(getattr(self, "component_status_", ["ok"] * mixture.n_components))
        made.n_parameters_ = mixture.n_parameters
        return made

    def _exact_quantile(self, q):
        """With one component, -2 log-density is chi-squared but for a constant."""
        mixture = self.model_
        if type(mixture.emission) not in GAUSSIANS or mixture.n_components > 1:
            return None
        from scipy.special import chdtri  # here, since it takes long to import

        _, d = mixture.emission.shape
        at_mean = mixture.emission.covariance.log_det_precision_root(1, d)[0] - 0.5 * d * np.log(2 * np.pi)
        with np.errstate(divide="ignore"):
            return at_mean - chdtri(d, q) / 2


def checked_values(values, columns):
    """One finite number for each column."""
    columns = list(columns)
    try:
        row = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"values must hold a number for each of the columns {listed(columns)}: {error}") from error
    if row.shape != (len(columns),):
        raise ValueError(
            f"values has shape {row.shape}; it must be {(len(columns),)}, one for each of the columns {listed(columns)}"
        )
    if not np.isfinite(row).all():
        wrong = int(np.argmin(np.isfinite(row)))
        raise ValueError(
            f"values holds {row[wrong]} for column {columns[wrong]!r}: give finite values, or leave it out"
        )
    return row


def moments_in(conditional, n_threads, return_std, return_cov):
    """A function of rows: their predicted mean alone, or with its spread."""
    spread = "std" if return_std else "cov" if return_cov else None

    def moments(rows):
        require_finite(rows)  # a missing value is no given one
        return conditional.moments(rows, n_threads, spread)

    return moments


def joined_parts(found):
    """Results of blocks of rows, each an array or a tuple of arrays, end to end."""
    if isinstance(found[0], tuple):
        return tuple(np.concatenate(part) for part in zip(*found))
    return np.concatenate(found)
