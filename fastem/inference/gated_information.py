"""The observed information of a mixture whose weights depend on covariates, of any family: minus the derivative of the
log-likelihood's gradient, by central differences.

The gradient is that of the expected complete log-likelihood at the same parameters (Fisher's identity), which the
statistics of one pass give: of the gate in closed form, of an emission by differences that need no pass.
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
LOST = 1e-13  # of the expected log-likelihood: a second difference that is rounding; nothing determines the coordinate


@dataclass(frozen=True)
class Information:
    """Of the coordinates of a mixture: first those of the gate, then the emission's.

    Attributes
    ----------
    vector : (m,)
        The coordinates.
    units : (m,)
        Their standard errors if the components were known; 0: at a bound, taken as known.
    covariance : (m, m)
        In these units.
    """

    vector: np.ndarray
    units: np.ndarray
    covariance: np.ndarray


def information(mixture: Mixture, blocks, n_threads: int) -> Information:
    """Of the rows of blocks with covariates; ValueError where they are at no maximum.

    Parameters
    ----------
    mixture : Mixture
        Its shares are a gate in the units of these rows.
    """
    n_gate = mixture.shares.n_coordinates(mixture.n_components)
    x, statistics = mixture.to_vector(), blocks.reduce(mixture, n_threads)
    units = np.concatenate([gate_units(statistics, n_gate), emission_units(mixture, statistics)])

    def gradient(vector):
        at = mixture.from_vector(vector)
        sums = blocks.reduce(at, n_threads)
        own = emission_gradient(at, sums, units[n_gate:])
        return np.concatenate([at.shares.gradient(sums, at.weights), own])

    used = np.flatnonzero(units)
    columns = []
    for i in used:
        ends = [x.copy(), x.copy()]
        ends[0][i] -= OUTER * units[i]
        ends[1][i] += OUTER * units[i]
        below, above = (gradient(end)[used] * units[used] for end in ends)
        columns.append((below - above) / (2 * OUTER))
    observed = np.array(columns)
    observed = (observed + observed.T) / 2
    try:
        np.linalg.cholesky(observed)
        inverse = np.linalg.inv(observed)
    except np.linalg.LinAlgError:
        raise ValueError(
            "the observed information is not positive definite, so the fit is not at a maximum of the likelihood: "
            "fit with a smaller tol, or choose fewer components or covariates."
        ) from None
    covariance = np.zeros((len(x), len(x)))
    covariance[np.ix_(used, used)] = inverse
    return Information(x, units, covariance)


def gate_units(statistics, n_gate):
    """(n_gate,) those of the gate's coordinates; covariates are of unit size."""
    return np.full(n_gate, 2 / np.sqrt(statistics.weight))


def along(mixture, statistics, i):
    """A function of a step: the expected log-likelihood after it, of the emission's coordinate i."""
    emission = mixture.emission
    vector = emission.to_vector()

    def value(step):
        moved = vector.copy()
        moved[i] += step
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
    here, units = along(mixture, statistics, 0)(0.0), np.zeros(len(vector))
    largest = abs(vector[np.isfinite(vector)]).max(initial=0.0)
    for i, value in enumerate(vector):
        if not np.isfinite(value):
            continue
        function = along(mixture, statistics, i)

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


def emission_gradient(mixture, statistics, units):
    """(m,) of the expected log-likelihood in the emission's coordinates."""
    gradient = np.zeros(len(units))
    for i in np.flatnonzero(units):
        function, step = along(mixture, statistics, i), INNER * units[i]
        gradient[i] = (function(step) - function(-step)) / (2 * step)
    return gradient


def errors_of(information: Information, mixture: Mixture, function) -> np.ndarray:
    """The standard errors of a function of the mixture, an array, by its derivatives."""
    shape = np.shape(function(mixture))
    slopes = np.zeros((np.prod(shape, dtype=int), len(information.vector)))  # in units
    for i in np.flatnonzero(information.units):
        step = np.zeros(len(information.vector))
        step[i] = INNER * information.units[i]
        above, below = (function(mixture.from_vector(information.vector + sign * step)) for sign in (1, -1))
        slopes[:, i] = (above - below).ravel() / (2 * INNER)
    most = abs(slopes).max(axis=1, initial=0.0)  # whose square may be no number
    slopes /= np.where(most > 0, most, 1.0)[:, None]
    squares = np.einsum("ap,pq,aq->a", slopes, information.covariance, slopes, optimize=True)
    return (most * np.sqrt(squares)).reshape(shape)
