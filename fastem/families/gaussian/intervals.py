"""Gaussian and Student-t mixtures of rows whose values lie between bounds."""

from __future__ import annotations

from fastem.estimators.intervals import open_intervals
from fastem.models.gaussian.interval_rows import IntervalRows, are_independent
from fastem.models.gaussian.structures import STRUCTURES
from fastem.models.gaussian.student_interval_rows import StudentRows
from fastem.rows.intervals import CompleteRepresentatives, require_one_interval

DEPENDENT = (
    "With covariance_type={name!r} columns depend on each other, and integrals over boxes have no closed form. Choose "
    "covariance_type 'diag' or 'spherical', or give at most one interval a row."
)
TAILS = (
    "The columns of a Student-t component share a scale that differs from row to row, so they depend on each other "
    "with any covariance_type, and integrals over boxes have no closed form. Give at most one interval a row, or take "
    "GaussianMixture with covariance_type 'diag' or 'spherical'."
)


def open_bounds(estimator, X, sides, sample_weight, check=None):
    """Of a Gaussian mixture; see :func:`fastem.estimators.beside.opened`."""
    structure, name = STRUCTURES[estimator.covariance_type], estimator.covariance_type

    def require(rows, d, names, place):
        if not are_independent(structure, d):
            require_one_interval(rows, d, place, DEPENDENT.format(name=name))

    return open_intervals(estimator, X, sides, sample_weight, check, IntervalRows, require)


def open_student_bounds(estimator, X, sides, sample_weight, check=None):
    """Of a Student-t mixture; see :func:`fastem.estimators.beside.opened`."""

    def require(rows, d, names, place):
        require_one_interval(rows, d, place, TAILS)

    return open_intervals(estimator, X, sides, sample_weight, check, StudentRows, require, CompleteRepresentatives)
