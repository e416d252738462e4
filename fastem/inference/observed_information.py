"""The observed information of a mixture of any family, also with weights that depend on covariates: minus the
derivative of the log-likelihood's gradient, by central differences.

The gradient is that of the expected complete log-likelihood at the same parameters (Fisher's identity), which the
statistics of one pass give: of the weights in closed form, of an emission by differences that need no pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.models.mixture import Mixture

FIRST = 1e-4  # of a coordinate: the first difference, which finds the unit of the coordinate
LONGER = 100.0  # times as long is the next, where this is rounding beside coordinates that are larger
SHORTER = 1e-50  # times as long is the first, where the squares of rows in its unit are beyond the range of numbers
ROUNDS, MOST_ROUNDS = 3, 100  # of finding it; more where the first step was far too long
INNER, OUTER = 0.01, 0.1  # units: the differences of the expected log-likelihood, and of its gradient
APART = 1e-6  # of a unit: by how much less coordinates may differ from free ones
FLAT = 1e-4  # in units: the curvature of a direction that may be none
BOUND = 0.5  # of a unit: directions along which less is left of a step are not free
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


def information(mixture: Mixture, blocks, n_threads: int) -> Information:
    """Of the rows of blocks; ValueError where the mixture is at no maximum of their likelihood.

    Parameters
    ----------
    mixture : Mixture
        Its weights are free, or its shares a gate in the units of these rows.
    """
    n_weights = mixture.shares.n_coordinates(mixture.n_components)
    x, statistics = mixture.to_vector(), blocks.reduce(mixture, n_threads)
    of_weights, of_emission = units_of_weights(statistics, n_weights), emission_directions(mixture, statistics)
    directions = np.zeros((len(x), n_weights + of_emission.shape[1]))
    directions[:n_weights, :n_weights], directions[n_weights:, n_weights:] = np.diag(of_weights), of_emission

    def gradient(vector):
        at = mixture.from_vector(vector)
        sums = blocks.reduce(at, n_threads)
        own = emission_gradient(at, sums, of_emission)
        return np.concatenate([at.shares.gradient(sums, at.weights) * of_weights, own])

    columns = []
    for step in OUTER * directions.T:
        columns.append((gradient(x - step) - gradient(x + step)) / (2 * OUTER))
    observed = np.reshape(columns, (len(columns),) * 2)
    observed = (observed + observed.T) / 2
    try:
        if np.linalg.eigvalsh(observed).min(initial=1.0) < FLAT:
            telling = telling_directions(mixture, statistics, of_emission)
            kept = np.zeros((directions.shape[1], n_weights + telling.shape[1]))
            kept[:n_weights, :n_weights], kept[n_weights:, n_weights:] = np.eye(n_weights), telling
            directions, observed = directions @ kept, kept.T @ observed @ kept
        np.linalg.cholesky(observed)
        inverse = np.linalg.inv(observed)
    except np.linalg.LinAlgError:
        raise ValueError(
            "the observed information is not positive definite, so the fit is not at a maximum of the likelihood: "
            "fit with a smaller tol, or choose fewer components or covariates."
        ) from None
    return Information(x, directions, inverse)


def units_of_weights(statistics, n_weights):
    """(n_weights,) those of the weights' coordinates, log-odds; covariates are of unit size."""
    return np.full(n_weights, 2 / np.sqrt(statistics.weight))


def along(mixture, statistics, direction, begin=0.0):
    """A function of a step: the expected log-likelihood after it, along a direction of the emission's coordinates, from
    where another step, `begin`, leads."""
    emission = mixture.emission
    vector, moving = emission.to_vector() + begin, direction != 0

    def value(step):
        moved = vector.copy()
        moved[moving] += step * direction[moving]
        try:
            there = emission.from_vector(moved)
        except (np.linalg.LinAlgError, IllDefinedCovariance):  # of a step that is far too long
            return -np.inf
        return emission.expected_log_prob(statistics, there) + there.log_prior()

    return value


def emission_units(mixture, statistics):
    """(m,) those of the emission's coordinates: where the expected log-likelihood falls by a half."""
    vector = mixture.emission.to_vector()
    if not len(vector):  # of a column with one level
        return np.zeros(0)
    here, units = along(mixture, statistics, np.zeros(len(vector)))(0.0), np.zeros(len(vector))
    largest = abs(vector[np.isfinite(vector)]).max(initial=0.0)
    for i, value in enumerate(vector):
        if not np.isfinite(value):
            continue
        function = along(mixture, statistics, np.arange(len(vector)) == i)

        def bend(step, function=function):
            with np.errstate(all="ignore"):  # of steps that are far too long
                return 2 * here - function(step) - function(-step)

        step, least = FIRST * (1 + abs(value)), LOST * abs(here)
        while 0 <= abs(bend(step)) <= least and step < FIRST * largest:  # a mean next to 0 of rows far from it
            step *= LONGER
        while np.isinf(bend(step)):  # of rows that are as much smaller
            step *= SHORTER
        for round in range(MOST_ROUNDS):
            bent = bend(step)
            if not bent > least:
                units[i] = 0.0
                break
            units[i] = step / np.sqrt(bent)
            if round >= ROUNDS - 1 and 0.5 < bent / OUTER**2 < 2:
                break
            step = OUTER * units[i]
    return units


def emission_directions(mixture, statistics):
    """(m, r) of the emission's coordinates, each a unit long. Where there are more coordinates than parameters, as of
    covariances that share axes, from_vector goes to the nearest that are an emission's: r directions lie along these.
    """
    units = emission_units(mixture, statistics)
    used = np.flatnonzero(units)
    free = np.diag(units)[:, used]
    emission = mixture.emission
    vector = emission.to_vector()
    left = np.zeros((len(used), len(used)))  # of a step along each
    for j, step in enumerate(INNER * free.T):
        there, back = (emission.from_vector(vector + sign * step).to_vector()[used] for sign in (1, -1))
        left[:, j] = (there - back) / (2 * INNER * units[used])
    if abs(left - np.eye(len(used))).max(initial=0.0) < APART:
        return free
    along_emissions, lengths, _ = np.linalg.svd(left)
    return free @ along_emissions[:, lengths > BOUND]


def telling_directions(mixture, statistics, directions):
    """(r, s) combinations of directions of which the density knows something: it is the same after loadings of factors
    are rotated. By second differences of the expected log-likelihood, which vanish there as that of the rows does."""
    complete = np.zeros((directions.shape[1],) * 2)
    for i, direction in enumerate(directions.T):
        below, above = (
            emission_gradient(mixture, statistics, directions, sign * OUTER * direction) for sign in (-1, 1)
        )
        complete[i] = (below - above) / (2 * OUTER)
    curvatures, axes = np.linalg.eigh((complete + complete.T) / 2)
    return axes[:, curvatures > FLAT]


def emission_gradient(mixture, statistics, directions, begin=0.0):
    """(r,) of the expected log-likelihood along directions of the emission's coordinates, a step (m,) from there."""
    gradient = np.zeros(directions.shape[1])
    for i, direction in enumerate(directions.T):
        function = along(mixture, statistics, direction, begin)
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
