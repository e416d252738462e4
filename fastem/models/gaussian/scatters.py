"""Scatter matrices: sums over rows of squares about means, and how likely they make covariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.kernels.packing import packed_lower, unpack_symmetric
from fastem.models.gaussian.covariance import floor_of_all, outer

ROUNDING = 1e-15  # of sums, in multiples of the terms
CHOSEN = 10 * ROUNDING  # of what an estimate minimises: it is taken where that is as much more


def scatter_of_columns(counts, shift, second):
    """(K, d) scatter about the new means from second moments about the old ones; 0 where it is their rounding."""
    scatter = second - counts[:, None] * shift**2
    return np.where(scatter > ROUNDING * second, scatter, 0)


def scatter_matrices(counts, shift, second):
    """The same from packed second moments, (K, d, d)."""
    d = shift.shape[1]
    diagonal = np.arange(d)
    scatter = unpack_symmetric(second, d) - counts[:, None, None] * outer(shift)
    i, j = packed_lower(d)
    along = scatter_of_columns(counts, shift, second[:, i == j])
    scatter[:, diagonal, diagonal] = along
    return np.where((along > 0)[:, :, None] & (along > 0)[:, None, :], scatter, 0)


def most_likely(family, estimates, square, floor, given, counts, scatter):
    """The most likely of the given and of some covariances, these times `square` and raised to the floor, up to the
    first that it does not touch. Each comes with the directions that were lifted, which count as held: see `pieces`.

    What is raised there is no longer of the family, and what it keeps from being thinner is not the most likely one:
    where it is less likely than what was given, that stays (a generalised M-step). Less by more than rounding: near the
    maximum, where all are as likely, to keep the given one would be to stay there.
    """
    best, least = given, np.inf
    if given is not None:
        least = minus_twice(given, counts, scatter)
        least += CHOSEN * (counts.sum() * scatter.shape[1] + abs(least))
    for covariances, hits in estimates:
        failure = None
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # such are not finite, and not taken
                covariances = finite(covariances * square)
            raised = family.from_covariances(covariances, floor_of_all(floor) if family.shared else floor)
        except IllDefinedCovariance as error:  # a shape that is flat without bound: the next one is lifted
            failure = error
            continue
        value = minus_twice(raised, counts, scatter)
        if value <= least:
            best, least = replace(raised, at_floor=np.maximum(raised.at_floor, hits)), value
        if not raised.at_floor.any():
            break
    if failure is not None:
        raise failure
    if best is None:  # no covariance of these has a likelihood that is a number
        raise IllDefinedCovariance(list(range(len(counts))))
    return best


def finite(covariances):
    """The covariances; raises IllDefinedCovariance where one is not finite."""
    bad = ~np.isfinite(covariances).reshape(len(covariances), -1).all(axis=1)
    if bad.any():
        raise IllDefinedCovariance(np.flatnonzero(bad).tolist())
    return covariances


def minus_twice(structure, counts, scatter):
    """-2 times the expected log-density, up to a constant."""
    K, d = scatter.shape[:2]
    second = scatter if scatter.ndim == 2 else scatter[(slice(None), *packed_lower(d))]
    return structure.expected_quadratic(second) - 2 * counts @ structure.log_det_precision_root(K, d)
