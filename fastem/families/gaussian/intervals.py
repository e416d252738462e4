"""Gaussian mixtures of rows whose values lie between bounds."""

from __future__ import annotations

from fastem.estimators.intervals import open_intervals
from fastem.models.gaussian.interval_rows import IntervalRows, are_independent
from fastem.models.gaussian.structures import STRUCTURES
from fastem.rows.intervals import require_one_interval


def open_bounds(estimator, X, sides, sample_weight, check=None):
    """See :func:`fastem.estimators.beside.opened`."""
    structure, name = STRUCTURES[estimator.covariance_type], estimator.covariance_type

    def require(rows, d, names, place):
        if not are_independent(structure, d):
            require_one_interval(
                rows,
                d,
                place,
                f"With covariance_type={name!r} columns depend on each other, and integrals over boxes have no closed "
                "form. Choose covariance_type 'diag' or 'spherical', or give at most one interval a row.",
            )

    return open_intervals(estimator, X, sides, sample_weight, check, IntervalRows, require)
