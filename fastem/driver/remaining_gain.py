"""How much the log-likelihood can still rise, and in which direction it rises from a point that is no maximum.

Newton's decrement, half s' I^-1 s with the score s and the observed information I, in what EM has at hand: its step is
f = C^-1 s with the information C of the complete data, and its map's derivative is J = 1 - C^-1 I (Dempster, Laird,
Rubin 1977). So the decrement is half <f, (1 - J)^-1 f> in the inner product of C, in which 1 - J is symmetric:
conjugate gradients, one product for one pass. Products with C need no data: Q, the expected log-likelihood of the
complete data, follows from the statistics. A direction p with <p, (1 - J) p> < 0 goes up on both sides.

Without such passes there is Aitken's estimate, from the last gains. See :func:`fastem.driver.stopping.left_to_gain`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.driver.acceleration import model_at
from fastem.driver.history import objective
from fastem.driver.model import has, log_prior
from fastem.rows.blocks import ArrayBlocks

PRODUCTS = 16  # most of them for one solution
SETTLED = 0.02  # share of the decrement that the last product may have added
COST = 0.05  # of the passes so far
FEWEST = 4096  # rows that show the information
LONG = 1e10  # rows x passes x coordinates, from which on a fit takes so long that the estimate costs nothing beside it
DROP, TRIALS = 1e-6, 6  # of Q per row in a second difference; steps that are tried for it
DIFFERENCE = {4: 1e-6, 8: 1e-10}  # of Q per row, by the bytes of the rows' type: what a step for a difference changes
STILL = 1e-12  # of a vector's length: a step that is all rounding
BENT = 1e-3  # a curvature below minus this, relative to that of the complete data, is not rounding
NEWTON, RATE = "newton", "rate"


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
    return max(FEWEST, int(COST * result.n_passes * n_rows / (2 * PRODUCTS + 2)))


def is_long(result, n_rows) -> bool:
    """Whether Newton's estimate costs next to nothing beside the fit; from sizes alone, so that it is repeatable."""
    rows = affordable_rows(result, n_rows)
    work = result.n_passes * n_rows
    return rows * (2 * PRODUCTS + 2) <= COST * work and work * len(result.model.to_vector()) > LONG


def newton(result, blocks, n_threads, n_rows) -> RemainingGain | None:
    """By Newton's decrement with the information of `n_rows` of the rows; None where coordinates are not finite, or
    the information does not give a number."""
    model, statistics = result.model, result.statistics
    image = model.m_step(statistics)
    x = model.to_vector()
    with np.errstate(invalid="ignore"):
        step = image.to_vector() - x
    if not len(x) or not np.isfinite(step).all():
        return None
    curvature = Curvature(model, some_rows(blocks, n_rows), n_threads)
    total, ascent = conjugate_gradients(step, curvature)
    if ascent is None:  # a saddle may lie still in the directions of EM's steps
        probe = 1e-3 * np.random.default_rng(0).standard_normal(len(x))
        _, ascent = conjugate_gradients(probe, curvature)
    if ascent is not None:
        return RemainingGain(np.inf, NEWTON, ascent)
    return None if total is None else RemainingGain(total * statistics.weight * result.unit, NEWTON)


def some_rows(blocks, n_rows):
    """Evenly spaced rows in memory, at least `n_rows` of them; of other rows, all."""
    stride = blocks.n_rows // max(n_rows, 1) if isinstance(blocks, ArrayBlocks) else 1
    if stride < 2:
        return blocks
    weight = blocks.sample_weight
    return ArrayBlocks(np.ascontiguousarray(blocks.X[::stride]), None if weight is None else weight[::stride].copy())


class Curvature:
    """Inner products of the complete data's information per row, and products with 1 - J, at a model."""

    def __init__(self, model, blocks, n_threads):
        self.model, self.blocks, self.n_threads = model, blocks, n_threads
        self.statistics = blocks.reduce(model, n_threads)
        self.x = model.to_vector()
        self.image = model.m_step(self.statistics).to_vector()
        self.Q = self._bound(model)
        self.least = DIFFERENCE[np.dtype(getattr(blocks, "dtype", np.float64)).itemsize]

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
            scale *= np.sqrt(DROP / drop) if drop > DROP / 1e6 else 100 if drop >= -DROP / 1e6 else 0.01
        return np.nan

    def inner(self, u, v, guess) -> float:
        """<u, v>"""
        return (self.square(u + v, guess) - self.square(u - v, guess)) / 4

    def product(self, v, square) -> np.ndarray:
        """(1 - J) v, by a difference of EM's map: one pass."""
        scale = np.sqrt(self.least / square)
        moved = model_at(self.model, self.x + scale * v)
        if moved is None:
            return np.full_like(v, np.nan)
        image = moved.m_step(self.blocks.reduce(moved, self.n_threads)).to_vector()
        return v - (image - self.image) / scale


def conjugate_gradients(f, curvature):
    """(half <f, (1 - J)^-1 f>, None); (None, p) with a direction p of negative curvature, or (None, None)."""
    if np.linalg.norm(f) <= STILL * (1 + np.linalg.norm(curvature.x)):
        return 0.0, None
    residual = p = f
    square = p_square = curvature.square(f)
    total = 0.0
    for _ in range(min(PRODUCTS, len(f))):
        if not square > 0:
            return None, None
        product = curvature.product(p, p_square)
        bend = curvature.inner(p, product, 4 * p_square) if np.isfinite(product).all() else np.nan
        if bend < -BENT * p_square:
            return None, p / np.sqrt(p_square)
        if not bend > 0:
            return None, None
        length = square / bend
        added = length * square / 2
        total += added
        residual = residual - length * product
        if added < SETTLED * total or not residual.any():
            break
        before, square = square, curvature.square(residual, square)
        p = residual + square / before * p
        p_square = square + (square / before) ** 2 * p_square
    return float(total), None


def ascended(result, direction, blocks, n_threads):
    """The best of models along a direction, if its log-likelihood is higher; else None."""
    best, most = None, result.history[-1]
    x = result.model.to_vector()
    for length in (0.5, -0.5, 0.05, -0.05):
        model = model_at(result.model, x + length * direction)
        if model is None:
            continue
        reached = objective(model, blocks.reduce(model, n_threads))
        if reached > most:
            best, most = model, reached
        if best is not None and length < 0:
            break
    return best
