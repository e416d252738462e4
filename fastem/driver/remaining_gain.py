"""How much the log-likelihood can still rise, and in which direction it rises from a point that is no maximum.

Newton's decrement, half s' I^-1 s with the score s and the observed information I, in what EM has at hand: its step is
f = C^-1 s with the information C of the complete data, and its map's derivative is J = 1 - C^-1 I (Dempster, Laird,
Rubin 1977). So the decrement is half <f, (1 - J)^-1 f> in the inner product of C, in which 1 - J is symmetric:
conjugate gradients, one product for one pass. Products with C need no data: Q, the expected log-likelihood of the
complete data, follows from the statistics. A direction p with <p, (1 - J) p> < 0 goes up on both sides.

This holds where the M-step maximises Q, over all coordinates or those that constraints leave free, and EM's map is
nearly linear as far as its step goes. What is not so is seen by two tests without a pass: Q must stop rising at EM's
step, not before or after; and the score must change along p by <p, (1 - J) p>.

Without such passes there is Aitken's estimate, from the last gains. See :func:`fastem.driver.stopping.left_to_gain`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastem.driver.acceleration import model_at
from fastem.driver.history import objective
from fastem.driver.model import has, leap, log_prior
from fastem.rows.blocks import ArrayBlocks

PRODUCTS, PROBES = 16, 4  # most of them for the decrement, and for a saddle
SETTLED = 0.02  # share of the decrement that the last product may have added
COST = 0.05  # of the passes so far
FEWEST = 4096  # rows that show the information
LONG = 1e10  # rows x passes x coordinates, from which on a fit takes so long that the estimate costs nothing beside it
STATIONARY = 1e-3  # in total: with less to gain in EM's own directions, a point is stationary
DROP, TRIALS = 1e-6, 6  # of Q per row in a second difference; steps that are tried for it
SLOPE = 1e-8  # of Q per row: the square of a step for its slope
DIFFERENCE = {4: 1e-6, 8: 1e-10}  # of Q per row, by the bytes of the rows' type: what a step for a difference changes
LENGTHS = 0.5, -0.5, 0.05, -0.05, 0.005, -0.005  # of steps from a saddle, in units of the complete data's information
STILL = 1e-12  # of a vector's length: a step that is all rounding
BENT = 1e-3  # a curvature below minus this, relative to that of the complete data, is not rounding
LEAST = 1e-16  # of Q per row: a gain of EM's next step that is all rounding
ROUNDED = 1e-14  # of a mean log-likelihood: a change that is all rounding
AMISS = 0.25  # by how much the slope of Q along EM's step may differ from that of a maximum at its end, relatively
CURVED = 0.5  # share of the decrement by which it may be another by the score than by EM's map
NEWTON, RATE = "newton", "rate"
SADDLE = "the point is no maximum: the observed information has a negative eigenvalue"


class RemainingGain(NamedTuple):
    """total: what the log-likelihood of all rows can still gain; method: "newton" or "rate"; ascent: a direction in
    the model's coordinates in which a stationary point that is no maximum is left, or None."""

    total: float
    method: str
    ascent: np.ndarray | None = None


def has_newton(model) -> bool:
    """Whether a model has what Newton's decrement needs."""
    return all(has(model, name) for name in ("to_vector", "from_vector", "expected_log_joint"))


def affordable_rows(result, n_rows) -> int:
    """Rows of which the products together cost a small share of the passes so far, at least `FEWEST`."""
    return max(FEWEST, int(COST * result.n_passes * n_rows / (PRODUCTS + PROBES + 3)))


def is_long(result, n_rows) -> bool:
    """Whether Newton's estimate costs next to nothing beside the fit; from sizes alone, so that it is repeatable."""
    rows = affordable_rows(result, n_rows)
    work = result.n_passes * n_rows
    return rows * (PRODUCTS + PROBES + 3) <= COST * work and work * len(result.model.to_vector()) > LONG


def newton(result, blocks, n_threads, n_rows, enough=STATIONARY) -> RemainingGain:
    """By Newton's decrement with the information of `n_rows` of the rows. Where that is less than `enough`, directions
    in which EM does not move are tried for a saddle too.

    Where coordinates are not finite, the M-step is no maximum, or the information does not give a number: what EM's
    next step gains at least, as far as that is known, and the method "rate".
    """
    model, statistics = result.model, result.statistics
    image = model.m_step(statistics)
    x = model.to_vector()
    with np.errstate(invalid="ignore"):
        step = image.to_vector() - x
    if not len(x) or not np.isfinite(step).all():
        return RemainingGain(0.0, RATE)
    scale = statistics.weight * result.unit
    if leap(image, model) is not None:
        end = where_it_runs_to(image, model)
        at_end = replace(result, model=end, statistics=blocks.reduce(end, n_threads))
        gained = objective(end, at_end.statistics) - result.history[-1]
        if gained > -ROUNDED * (1 + abs(result.history[-1])) and leap(end.m_step(at_end.statistics), end) is None:
            found = newton(at_end, blocks, n_threads, n_rows, enough)
            if found.method == NEWTON:
                return found._replace(total=max(gained, 0.0) * scale + found.total)
        return RemainingGain(0.0, RATE)
    still = np.linalg.norm(step) <= STILL * (1 + np.linalg.norm(x))
    next_gain = 0.0 if still else gain_of_a_maximum(model, statistics, step)
    if next_gain is None:
        return RemainingGain(0.0, RATE)
    if next_gain <= LEAST:
        step = np.zeros_like(step)
    some = some_rows(blocks, n_rows)
    total, ascent = decrement(step, Curvature(model, some, n_threads), enough / scale)
    if ascent is not None and some is not blocks:  # a sample may bend down where all rows do not
        total, ascent = decrement(step, Curvature(model, blocks, n_threads), enough / scale)
    if ascent is not None:
        return RemainingGain(np.inf, NEWTON, ascent)
    return RemainingGain(next_gain * scale, RATE) if total is None else RemainingGain(total * scale, NEWTON)


def where_it_runs_to(image, model):
    """The model at the end of all leaps from EM's image of a model."""
    while image is not None:
        model, image = image, leap(image, model)
    return model


def decrement(step, curvature, enough):
    """(Newton's decrement per row, None); (…, p) with a direction p that goes up from a saddle, or (None, None)."""
    total, ascent = (
        conjugate_gradients(step, curvature.square(step), curvature, PRODUCTS) if step.any() else (0.0, None)
    )
    if ascent is None and total is not None and total < enough:
        ascent = curvature.ascent()
    return total, ascent


def gain_of_a_maximum(model, statistics, step) -> float | None:
    """What Q per row gains by EM's step, or None where that does not lead to its maximum.

    Q is nearly a parabola. If its maximum along the step is at the end, the slope at the begin is the square of the
    step's length. An M-step that only improves Q, or that is cut off, goes another way.
    """
    curvature = Curvature.of(model, statistics)
    square = curvature.square(step)
    if 0 <= square / 2 <= LEAST:
        return square / 2
    if not square > 0 or not abs(curvature.slope(step, square) - square) <= AMISS * square:
        return None
    return square / 2


def some_rows(blocks, n_rows):
    """About `n_rows` rows of an array, one from a fixed random place in each of as many equal parts, so that no period
    of the rows misleads; of other rows, all."""
    if type(blocks) is not ArrayBlocks or blocks.n_rows < 2 * n_rows:  # labelled rows have more than values and weight
        return blocks
    edges = np.linspace(0, blocks.n_rows, n_rows + 1)
    place = np.random.default_rng(0).random(n_rows)
    rows = (edges[:-1] + place * np.diff(edges)).astype(np.intp)
    weight = blocks.sample_weight
    return ArrayBlocks(np.ascontiguousarray(blocks.X[rows]), None if weight is None else weight[rows])


class Curvature:
    """Inner products of the complete data's information per row, and products with 1 - J, at a model."""

    def __init__(self, model, blocks, n_threads, statistics=None):
        self.model, self.blocks, self.n_threads = model, blocks, n_threads
        self.statistics = blocks.reduce(model, n_threads) if statistics is None else statistics
        self.x = model.to_vector()
        self.image = model.m_step(self.statistics).to_vector()
        self.Q = self._bound(model)
        self.least = DIFFERENCE[np.dtype(getattr(blocks, "dtype", np.float64)).itemsize]

    @classmethod
    def of(cls, model, statistics):
        """Inner products alone, which need no rows."""
        return cls(model, None, 1, statistics)

    def _bound(self, at):
        return (self.model.expected_log_joint(self.statistics, at) + log_prior(at)) / self.statistics.weight

    def _drop(self, v):
        """-v' Q'' v of a short step, or NaN where it leads to no model."""
        ends = model_at(self.model, self.x + v), model_at(self.model, self.x - v)
        return np.nan if None in ends else 2 * self.Q - self._bound(ends[0]) - self._bound(ends[1])

    def square(self, v, guess=None) -> float:
        """<v, v>, by a step of a size whose drop is neither rounding nor far from a parabola; `guess`: about as much"""
        scale = np.sqrt(DROP / guess) if guess else 1e-4 / np.linalg.norm(v)
        for _ in range(TRIALS):
            drop = self._drop(scale * v)
            if DROP / 100 < drop < 100 * DROP:
                return drop / scale**2
            # too small a drop may be all rounding, too large a one or none may lie beyond the parabola
            scale *= np.sqrt(DROP / drop) if drop > DROP / 1e6 else 100 if drop >= -DROP / 1e3 else 0.01
        return np.nan

    def slope(self, v, square) -> float:
        """Of Q along v."""
        scale = np.sqrt(SLOPE / square)
        ends = model_at(self.model, self.x + scale * v), model_at(self.model, self.x - scale * v)
        return np.nan if None in ends else (self._bound(ends[0]) - self._bound(ends[1])) / (2 * scale)

    def inner(self, u, u_square, v, v_square) -> float:
        """<u, v> of vectors whose squares are known."""
        if not (u_square > 0 and v_square > 0):
            return np.nan
        scale = np.sqrt(u_square / v_square)  # one length, so that the difference has digits
        return (self.square(u + scale * v, 2 * u_square) - 2 * u_square) / (2 * scale)

    def product(self, v, square) -> tuple[np.ndarray, Curvature | None]:
        """(1 - J) v, by a difference of EM's map: one pass; and the curvature there, in a distance of :meth:`reach`."""
        moved = model_at(self.model, self.x + self.reach(square) * v)
        if moved is None:
            return np.full_like(v, np.nan), None
        there = Curvature.of(moved, self.blocks.reduce(moved, self.n_threads))
        return v - (there.image - self.image) / self.reach(square), there

    def reach(self, square) -> float:
        """The step for a difference, in units of a vector with this square."""
        return np.sqrt(self.least / square)

    def bend(self, v, square, there) -> float:
        """v' I v by a difference of the score along v. It is <v, (1 - J) v> only where EM's map is nearly linear as far
        as EM's step goes, and its M-steps are maxima."""
        return (self.slope(v, square) - there.slope(v, square)) / self.reach(square)

    def ascent(self):
        """A direction that goes up on both sides, or None: a saddle may lie still in the directions of EM's steps.

        The search begins with EM's image of a random direction, which goes only where constraints let EM go, and
        further where EM leaves a saddle.
        """
        random = 1e-3 * np.random.default_rng(0).standard_normal(len(self.x))
        square = self.square(random)
        image = random - self.product(random, square)[0] if square > 0 else random
        if not np.isfinite(image).all() or np.linalg.norm(image) <= STILL:
            return None
        return conjugate_gradients(image, self.square(image, square), self, PROBES, decided=False)[1]


def conjugate_gradients(f, square, curvature, products, decided=True):
    """(half <f, (1 - J)^-1 f>, None); (None, p) with a direction p of negative curvature, or (None, None).

    Every product is compared with the score, by which the decrement must be about the same; where only a direction is
    asked for (`decided` is False), only this direction is compared.
    """
    residual, p, p_square, total = f, f, square, 0.0
    for left in range(min(products, len(f)), 0, -1):
        if not square > 0:
            return None, None
        product, there = curvature.product(p, p_square)
        if not np.isfinite(product).all():
            return None, None
        size = curvature.square(product, p_square)
        by_map = curvature.inner(p, p_square, product, size)
        bend = curvature.bend(p, p_square, there) if decided or by_map < 0 else by_map
        if max(bend, by_map) < -BENT * p_square:
            return None, p / np.sqrt(p_square)
        if not min(bend, by_map) > 0:
            return None, None
        length = square / by_map
        added = length * square / 2
        total += added
        if abs(added - square * (square / bend) / 2) > CURVED * total:
            return None, None
        residual = residual - length * product
        if added < SETTLED * total or left == 1 or not residual.any():
            break
        last, square = square, curvature.square(residual, square)
        p = residual + square / last * p
        p_square = square + (square / last) ** 2 * p_square
    return float(total), None


def ascended(result, direction, blocks, n_threads, rounding):
    """The best of models along a direction, if its log-likelihood is higher by more than rounding(model, statistics);
    else None."""
    best, most = None, result.history[-1]
    x = result.model.to_vector()
    for length in LENGTHS:
        model = model_at(result.model, x + length * direction)
        if model is None:
            continue
        statistics = blocks.reduce(model, n_threads)
        reached = objective(model, statistics)
        if reached > most and reached - result.history[-1] > rounding(model, statistics):
            best, most = model, reached
        if best is not None and length < 0:
            break
    return best
