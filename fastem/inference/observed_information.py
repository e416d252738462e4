"""The observed information of a mixture of any family, also with weights that depend on covariates: minus the
derivative of the log-likelihood's gradient, by central differences.

The gradient is that of the expected complete log-likelihood at the same parameters (Fisher's identity), which the
statistics of one pass give: of the weights in closed form, of an emission by differences that need no pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.models.information import NO_MAXIMUM, NOT_DEFINITE, inverse_at_maximum
from fastem.models.mixture import Mixture
from fastem.rows.statistics import Statistics

FIRST = 1e-4  # of a coordinate: the first difference, which finds the unit of the coordinate
LONGER = 100.0  # times as long is the next, where this is rounding beside coordinates that are larger
SHORTER = 1e-50  # times as long is the first, where the squares of rows in its unit are beyond the range of numbers
ROUNDS, MOST_ROUNDS = 3, 100  # of finding it; more where the first step was far too long
INNER, OUTER = 0.01, 0.1  # units: the differences of the expected log-likelihood, and of its gradient
APART = 1e-6  # of a unit: by how much less coordinates may differ from free ones
BOUND = 0.75  # of a unit: directions along which less is left of a step are not free; at a bound, half of one
LEAST_BEND = 0.01  # in units, of directions that need not be made longer
MOST_STRETCHES = 6  # each by at most ten
LOST = 1e-13  # of the expected log-likelihood: a second difference that is rounding; nothing determines the coordinate


@dataclass(frozen=True)
class Information:
    """Of a mixture: along directions of the weights' coordinates, then of the emission's.

    Attributes
    ----------
    vector : (m,)
        The coordinates.
    directions : (m, r)
        Each a step of about the standard error if the components were known. What is at a bound is taken as known.
    covariance : (r, r)
        Of steps along these.
    """

    vector: np.ndarray
    directions: np.ndarray
    covariance: np.ndarray


class At(NamedTuple):
    """A mixture, the statistics of a pass at it, and the weight in these of one effective row."""

    mixture: Mixture
    statistics: Statistics
    unit: float

    def value(self, vector) -> float:
        """The expected log-likelihood, in this unit, at other coordinates of the emission."""
        emission = self.mixture.emission
        with np.errstate(all="ignore"):  # of a step that is far too long
            try:
                there = emission.from_vector(vector)
            except (np.linalg.LinAlgError, IllDefinedCovariance):
                return -np.inf
            return (emission.expected_log_prob(self.statistics, there) + there.log_prior()) / self.unit


def information(mixture: Mixture, blocks, n_threads: int) -> Information:
    """Of the rows of blocks; ValueError where the mixture is at no maximum of their likelihood.

    Parameters
    ----------
    mixture : Mixture
        Its weights are free, or its shares a gate in the units of these rows.
    """
    statistics, x = blocks.reduce(mixture, n_threads), mixture.to_vector()
    unit, n_weights = statistics.weight / blocks.n_effective, mixture.shares.n_coordinates(mixture.n_components)
    here = At(mixture, statistics, unit)
    of_weights = np.full(n_weights, 2 / np.sqrt(blocks.n_effective))  # of log-odds; covariates are of unit size
    try:
        of_emission = conditioned(here, emission_directions(here))
        directions = np.zeros((len(x), n_weights + of_emission.shape[1]))
        directions[:n_weights, :n_weights], directions[n_weights:, n_weights:] = np.diag(of_weights), of_emission

        def gradient(vector):
            there = mixture.from_vector(vector)
            sums = blocks.reduce(there, n_threads)
            of_shares = there.shares.gradient(sums, there.weights) / unit
            return np.concatenate([of_shares * of_weights, emission_gradient(At(there, sums, unit), of_emission)])

        columns = [(gradient(x - step) - gradient(x + step)) / (2 * OUTER) for step in OUTER * directions.T]
        slope = gradient(x)
    except (np.linalg.LinAlgError, IllDefinedCovariance):
        raise ValueError(NO_MAXIMUM.format(NOT_DEFINITE)) from None
    inverse = inverse_at_maximum(np.reshape(columns, (len(columns),) * 2), slope)
    return Information(x, directions, inverse / unit)


def along(at, direction):
    """A function of a step: the expected log-likelihood after it, along a direction of the emission's coordinates."""
    vector, moving = at.mixture.emission.to_vector(), direction != 0

    def value(step):
        moved = vector.copy()
        moved[moving] += step * direction[moving]
        return at.value(moved)

    return value


def emission_units(at):
    """(m,) those of the emission's coordinates: where the expected log-likelihood falls by a half."""
    vector = at.mixture.emission.to_vector()
    if not len(vector):  # of a column with one level
        return np.zeros(0)
    here, units = at.value(vector), np.zeros(len(vector))
    largest = abs(vector[np.isfinite(vector)]).max(initial=0.0)
    for i, value in enumerate(vector):
        if not np.isfinite(value):
            continue
        function = along(at, np.arange(len(vector)) == i)

        def bend(step, function=function):
            return 2 * here - function(step) - function(-step)

        step, least = FIRST * (1 + abs(value)), LOST * abs(here)
        while 0 <= abs(bend(step)) <= least and step < FIRST * largest:  # a mean next to 0 of rows far from it
            step *= LONGER
        while np.isinf(bend(step)):  # of rows that are as much smaller
            step *= SHORTER
        for done in range(MOST_ROUNDS):
            bent = bend(step)
            if not bent > least:
                units[i] = 0.0
                break
            units[i] = step / np.sqrt(bent)
            if done >= ROUNDS - 1 and 0.5 < bent / OUTER**2 < 2:
                break
            step = OUTER * units[i]
    return units


def emission_directions(at):
    """(m, r) of the emission's coordinates, each a unit long. Where there are more coordinates than parameters, as of
    covariances that share axes, from_vector goes to the nearest that are an emission's: r directions lie along these.
    """
    units = emission_units(at)
    used = np.flatnonzero(units)
    free = np.diag(units)[:, used]
    emission = at.mixture.emission
    vector = emission.to_vector()
    left = np.zeros((len(used), len(used)))  # of a step along each
    for j, step in enumerate(INNER * free.T):
        there, back = (emission.from_vector(vector + sign * step).to_vector()[used] for sign in (1, -1))
        left[:, j] = (there - back) / (2 * INNER * units[used])
    if abs(left - np.eye(len(used))).max(initial=0.0) < APART:
        return free
    along_emissions, lengths, _ = np.linalg.svd(left)
    return free @ along_emissions[:, lengths > BOUND]


def conditioned(at, directions):
    """(m, s) combinations of directions (m, r) along which the expected log-likelihood bends alike, and across none.
    Those along which no density changes, as when loadings of factors are rotated, are left out."""
    n_rotations = at.mixture.emission.n_rotations
    for _ in range(MOST_STRETCHES):
        curvatures, axes = np.linalg.eigh(bends(at, directions))
        curvatures, axes = curvatures[n_rotations:], axes[:, n_rotations:]
        n_rotations = 0
        directions = directions @ (axes / np.sqrt(np.maximum(curvatures, LEAST_BEND)))
        if curvatures.min(initial=1.0) > LEAST_BEND:
            break
    return directions


def bends(at, directions):
    """(r, r) by how much the expected log-likelihood bends down along directions and pairs of them."""
    vector, steps, r = at.mixture.emission.to_vector(), OUTER * directions.T, directions.shape[1]
    here = at.value(vector)

    def fall(step):
        return 2 * here - at.value(vector + step) - at.value(vector - step)

    found = np.diag([fall(step) for step in steps]).reshape(r, r)
    with np.errstate(invalid="ignore"):  # of falls without bound
        for i, j in zip(*np.tril_indices(r, -1)):
            found[i, j] = found[j, i] = (fall(steps[i] + steps[j]) - found[i, i] - found[j, j]) / 2
    return found / OUTER**2


def emission_gradient(at, directions):
    """(r,) of the expected log-likelihood along directions of the emission's coordinates."""
    gradient = np.zeros(directions.shape[1])
    for i, direction in enumerate(directions.T):
        function = along(at, direction)
        gradient[i] = (function(INNER) - function(-INNER)) / (2 * INNER)
    return gradient


def errors_of(information: Information, mixture: Mixture, function) -> np.ndarray:
    """The standard errors of a function of the mixture, an array, by its derivatives."""
    shape = np.shape(function(mixture))
    slopes = np.zeros((np.prod(shape, dtype=int), information.directions.shape[1]))
    for i, step in enumerate(INNER * information.directions.T):
        above, below = (function(mixture.from_vector(information.vector + sign * step)) for sign in (1, -1))
        slopes[:, i] = (above - below).ravel() / (2 * INNER)
    most = abs(slopes).max(axis=1, initial=0.0)  # whose square may be no number
    slopes /= np.where(most > 0, most, 1.0)[:, None]
    squares = np.einsum("ap,pq,aq->a", slopes, information.covariance, slopes, optimize=True)
    return (most * np.sqrt(squares)).reshape(shape)
