"""The face of mixtures of exponential families: an estimator over an emission of `exponential_family`."""

from __future__ import annotations

import numpy as np

from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.rows.column_moments import column_moments
from fastem.rows.validation import numbered


class FamilyMixture(MixtureEstimator):
    """A mixture of an exponential family, whose rows must be of its kind wherever they come in.

    A family gives `_require_values`, `_pattern` and `_emission`. The attributes in `_parameter_arrays` are the
    emission's arrays with an underscore.
    """

    _positive_only = True  # for scikit-learn's checks

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self._positive_only
        return tags

    def _require_values(self, X, names, place=numbered):
        """Raise ValueError at the first row that the family cannot describe."""
        raise NotImplementedError

    def _pattern(self, blocks, mean):
        """An emission of the right kind, bounds and levels for rows with these column means; its parameters are not
        used."""
        raise NotImplementedError

    def _examine(self, blocks, n_threads):
        mean, _ = column_moments(blocks, n_threads)
        names, require = blocks.names, self._require_values
        blocks.check(lambda X, place: require(X, names, place))
        return self._pattern(blocks, mean)

    def _require_new_values(self, X, names, place=numbered):
        self._require_values(X, names, place)

    def _estimate(self, X, weight, membership, emission):
        return emission.from_membership(X, weight, membership, self.n_components)

    def _arrays(self, emission):
        return {f"{name}_": getattr(emission, name) for name in emission.arrays}

    def _checked_array(self, name, least=-np.inf, most=np.inf, strict=False, shape="(K, d)"):
        """A fitted attribute, float64, as it may have been set by hand."""
        array = np.asarray(getattr(self, name), dtype=np.float64)
        if array.ndim != len(shape.strip("(),").split(",")):
            raise ValueError(f"{name} must have shape {shape}, but it has {array.shape}")
        inside = (array > least) & (array < most) if strict else (array >= least) & (array <= most)
        if not inside.all():
            brackets = "()" if strict else "[]"
            raise ValueError(
                f"{name} must lie in {brackets[0]}{least}, {most}{brackets[1]}: found {array[~inside].flat[0]}"
            )
        return array
