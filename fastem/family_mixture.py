"""The face of mixtures of exponential families: an estimator over an emission of `exponential_family`."""

from __future__ import annotations

import numpy as np

from fastem.mixture_estimator import MixtureEstimator


class FamilyMixture(MixtureEstimator):
    """A mixture whose `_examine` gives an emission: its kind, bounds and levels, not its parameters.

    The attributes in `_parameter_arrays` are the emission's arrays with an underscore.
    """

    def _estimate(self, X, weight, membership, emission):
        return emission.from_membership(X, weight, membership, self.n_components)

    def _arrays(self, emission):
        return {f"{name}_": getattr(emission, name) for name in emission.arrays}

    def _checked_array(self, name, least=-np.inf, most=np.inf, strict=False):
        """A fitted attribute, float64 (K, d), as it may have been set by hand."""
        array = np.asarray(getattr(self, name), dtype=np.float64)
        if array.ndim != 2:
            raise ValueError(f"{name} must have shape (K, d), but it has {array.shape}")
        inside = (array > least) & (array < most) if strict else (array >= least) & (array <= most)
        if not inside.all():
            brackets = "()" if strict else "[]"
            raise ValueError(
                f"{name} must lie in {brackets[0]}{least}, {most}{brackets[1]}: found {array[~inside].flat[0]}"
            )
        return array
