"""How much the log-likelihood can still rise, and in which direction it rises from a point that is no maximum.

Newton's decrement, half s' I^-1 s with the score s and the observed information I, in what EM has at hand: its step is
f = C^-1 s with the information C of the complete data, and its map's derivative is J = 1 - C^-1 I (Dempster, Laird,
Rubin 1977). So the decrement is half <f, (1 - J)^-1 f> in the inner product of C, in which 1 - J is symmetric:
conjugate gradients, one pass for each product (:mod:`fastem.driver.curvature`). A direction p with <p, (1 - J) p> < 0
goes up on both sides.

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
from fastem.driver.curvature import PROBES, STILL, Curvature, Vector, conjugate_gradients
from fastem.driver.history import objective
from fastem.driver.model import has, leap
from fastem.kernels.arithmetic import matmul, norm
from fastem.rows.blocks import ArrayBlocks

PRODUCTS = 16  # most of them for the decrement
PASSES = PRODUCTS + PROBES + 3  # of some rows
COST = 0.05  # of the passes so far
FEWEST = 4096  # rows that show the information; a pass of some rows takes as long again for what is beside it
MORE = 4  # times as many rows, where these bend down
LONG = 1e10  # rows x passes x coordinates, from which on a fit takes so long that the estimate costs nothing beside it
STATIONARY = 1e-3  # in total: with less to gain in EM's own directions, a point is stationary
LENGTHS = 0.5, -0.5, 0.15, -0.15, 0.05, -0.05, 0.005, -0.005  # of steps from a saddle, in units of the complete data
LEAST = 1e-16  # of Q per row: a gain of EM's next step that is all rounding
ROUNDED = 1e-14  # of a mean log-likelihood: a change that is all rounding
AMISS = 0.25  # by how much the slope of Q along EM's step may differ from that of a maximum at its end, relatively
UNCONFIRMED = 1e-3  # of what is to be left, up to which the rate certifies where Newton's estimate does not hold
NEWTON, RATE = "newton", "rate"
SADDLE = "the point is no maximum: the observed information has a negative eigenvalue"


class RemainingGain(NamedTuple):
    """total: what the log-likelihood of all rows can still gain; method: "newton" or "rate"; ascent: a direction in
    the model's coordinates in which a stationary point that is no maximum is left, or None; unconfirmed: whether
    Newton's estimate was made, but the log-likelihood is no parabola as far as that reaches, as on a plateau."""

    total: float
    method: str
    ascent: np.ndarray | None = None
    unconfirmed: bool = False


def has_newton(model) -> bool:
    """Whether a model has what Newton's decrement needs."""
    return all(has(model, name) for name in ("to_vector", "from_vector", "expected_log_joint"))


def affordable_rows(result, n_rows) -> int:
    """Rows of which the products together cost a small share of the passes so far, at least `FEWEST`."""
    return max(FEWEST, int(COST * result.n_passes * n_rows / PASSES) - FEWEST)


def is_long(result, n_rows) -> bool:
    """Whether Newton's estimate costs next to nothing beside the fit; from sizes alone, so that it is repeatable."""
    rows = affordable_rows(result, n_rows)
    work = result.n_passes * n_rows
    return (rows + FEWEST) * PASSES <= COST * work and work * len(result.model.to_vector()) > LONG


def newton(result, blocks, n_threads, n_rows, enough=None, budget=np.inf) -> RemainingGain:
    """By Newton's decrement with the information of `n_rows` of the rows. Where that is less than `enough`, directions
    in which EM does not move are tried for a saddle too; where it is not, and a number was given for `enough`, less
    than all of it may be said. budget: rows of all passes together, beyond which a direction that goes up by a sample
    is not tried by larger ones, but by one pass over all rows: where that too is within the budget, or EM's own step
    says that nothing is left.

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
            found = newton(at_end, blocks, n_threads, n_rows, enough, budget)
            if found.method == NEWTON or found.total > 0:
                return found._replace(total=max(gained, 0.0) * scale + found.total)
        return RemainingGain(0.0, RATE)
    still = norm(step) <= STILL * (1 + norm(x))
    curvature = Curvature(model, statistics, image=x + step)
    slope = 0.0 if curvature.score is None else matmul(curvature.score, step)
    if enough is not None and slope / 2 >= enough / scale:  # what the next step of EM gains is too much
        return RemainingGain(slope / 2 * scale, RATE)
    enough = STATIONARY if enough is None else enough
    square = 0.0 if still else square_to_a_maximum(curvature, step)
    if square is None:
        return RemainingGain(0.0, RATE)
    next_gain = square / 2
    if next_gain <= LEAST:
        step, square = np.zeros_like(step), 0.0
    step = Vector(step, curvature.score)
    square = curvature.square(step, square) if square else 0.0
    some, ascent, spent = None, None, 0
    while some is None or (ascent is not None and some is not blocks):  # a sample may bend down where all rows do not
        some = some_rows(blocks, n_rows)
        shown = curvature.shown_by(some, n_threads, some is blocks)
        total, ascent = decrement(step, square, shown, enough / scale)
        n_rows *= MORE
        spent += shown.n_passes * (getattr(some, "n_rows", 0) + FEWEST)
        if ascent is not None and some is not blocks and spent * (1 + MORE) > budget:
            is_known = next_gain * scale >= STATIONARY and spent + blocks.n_rows > budget  # that something is left
            if is_known or not curvature.shown_by(blocks, n_threads, True).goes_up(ascent):
                return RemainingGain(next_gain * scale, RATE)
            break
    if ascent is not None:
        return RemainingGain(np.inf, NEWTON, ascent)
    if total is None:
        return RemainingGain(next_gain * scale, RATE, unconfirmed=True)
    return RemainingGain(total * scale, NEWTON)


def where_it_runs_to(image, model):
    """The model at the end of all leaps from EM's image of a model."""
    while image is not None:
        model, image = image, leap(image, model)
    return model


def decrement(step, square, curvature, enough):
    """(Newton's decrement per row, None); (…, p) with a direction p that goes up from a saddle, or (None, None)."""
    total, ascent = conjugate_gradients(step, square, curvature, PRODUCTS) if square else (0.0, None)
    if ascent is None and total is not None and total < enough:
        ascent = curvature.ascent()
    return total, ascent


def square_to_a_maximum(curvature, step) -> float | None:
    """The square of EM's step, twice what Q per row gains by it, or None where it does not lead to Q's maximum.

    Q is nearly a parabola. If its maximum along the step is at the end, the slope at the begin is the square of the
    step's length. An M-step that only improves Q, or that is cut off, goes another way.
    """
    square = curvature.square(Vector(step), None if curvature.score is None else curvature.slope(step, None))
    if 0 <= square / 2 <= LEAST:
        return square
    if not square > 0 or not abs(curvature.slope(step, square) - square) <= AMISS * square:
        return None
    return square


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
