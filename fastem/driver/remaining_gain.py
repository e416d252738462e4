"""How much the log-likelihood can still rise, and in which direction it rises from a point that is no maximum.

Newton's decrement, half s' I^-1 s with the score s and the observed information I, in what EM has at hand: its step is
f = C^-1 s with the information C of the complete data, and its map's derivative is J = 1 - C^-1 I (Dempster, Laird,
Rubin 1977). So the decrement is half <f, (1 - J)^-1 f> in the inner product of C, in which 1 - J is symmetric:
conjugate gradients, one product for one pass. C (1 - J) p = I p is how the score changes along p. Where the score has
no formula, products with C are differences of Q, the expected log-likelihood of the complete data, which follows from
the statistics. A direction p with <p, (1 - J) p> < 0 goes up on both sides.

This holds where the M-step maximises Q, over all coordinates or those that constraints leave free, and EM's map is
nearly linear as far as its step goes. What is not so is seen by two tests without a pass: Q must stop rising at EM's
step, not before or after; and the score must change along p by <p, (1 - J) p>.

Without such passes there is Aitken's estimate, from the last gains. See :func:`fastem.driver.stopping.left_to_gain`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fastem.driver.acceleration import model_at, reached
from fastem.driver.history import objective
from fastem.driver.model import has, leap, log_prior, rebased
from fastem.kernels.arithmetic import matmul, norm
from fastem.rows.blocks import ArrayBlocks

PRODUCTS, PROBES = 16, 4  # most of them for the decrement, and for a saddle
SETTLED = 0.02  # share of the decrement that the last product may have added, or the next one may add
COST = 0.05  # of the passes so far
FEWEST = 4096  # rows that show the information
MORE = 4  # times as many rows, where these bend down
LONG = 1e10  # rows x passes x coordinates, from which on a fit takes so long that the estimate costs nothing beside it
STATIONARY = 1e-3  # in total: with less to gain in EM's own directions, a point is stationary
DROP, TRIALS = 1e-6, 6  # of Q per row in a second difference; steps that are tried for it
SLOPE = 1e-8  # of Q per row: the square of a step for its slope
DIFFERENCE = {4: 1e-6, 8: 1e-10}  # by the bytes of the rows' type: see difference
LENGTHS = 0.5, -0.5, 0.05, -0.05, 0.005, -0.005  # of steps from a saddle, in units of the complete data's information
STILL = 1e-12  # of a vector's length: a step that is all rounding
BENT = 1e-3  # a curvature below minus this, relative to that of the complete data, is not rounding
LEAST = 1e-16  # of Q per row: a gain of EM's next step that is all rounding
ROUNDED = 1e-14  # of a mean log-likelihood: a change that is all rounding
AMISS = 0.25  # by how much the slope of Q along EM's step may differ from that of a maximum at its end, relatively
NOISE = 1e-6  # share of its square that is left of a residual of differences when all of it is gone
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


def newton(result, blocks, n_threads, n_rows, enough=STATIONARY, only_whether=False) -> RemainingGain:
    """By Newton's decrement with the information of `n_rows` of the rows. Where that is less than `enough`, directions
    in which EM does not move are tried for a saddle too. only_whether: whether it is less is all that is asked, so
    where it is not, less than all of it may be said.

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
            found = newton(at_end, blocks, n_threads, n_rows, enough, only_whether)
            if found.method == NEWTON or found.total > 0:
                return found._replace(total=max(gained, 0.0) * scale + found.total)
        return RemainingGain(0.0, RATE)
    still = norm(step) <= STILL * (1 + norm(x))
    curvature = Curvature(model, statistics, image=x + step)
    slope = 0.0 if curvature.score is None else matmul(curvature.score, step)
    if only_whether and slope / 2 >= enough / scale:  # what the next step of EM gains is too much
        return RemainingGain(slope / 2 * scale, RATE)
    square = 0.0 if still else square_to_a_maximum(curvature, step)
    if square is None:
        return RemainingGain(0.0, RATE)
    next_gain = square / 2
    if next_gain <= LEAST:
        step, square = np.zeros_like(step), 0.0
    step = Vector(step, curvature.score)
    square = curvature.square(step, square) if square else 0.0
    some = ascent = None
    while some is None or (ascent is not None and some is not blocks):  # a sample may bend down where all rows do not
        some = some_rows(blocks, n_rows)
        total, ascent = decrement(step, square, curvature.shown_by(some, n_threads, some is blocks), enough / scale)
        n_rows *= MORE
    if ascent is not None:
        return RemainingGain(np.inf, NEWTON, ascent)
    return RemainingGain(next_gain * scale, RATE) if total is None else RemainingGain(total * scale, NEWTON)


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


def difference(blocks) -> float:
    """What a step for a difference changes, of Q per row."""
    return DIFFERENCE[np.dtype(getattr(blocks, "dtype", np.float64)).itemsize]


class Curvature:
    """Inner products of the complete data's information per row, and products with 1 - J, at a model.

    statistics: of all rows at the model. blocks: the rows that products pass over; where these are not all, what they
    change is added to the statistics of all: their own score, which is not that of all, does not count. image: where
    EM's step ends, if that is known.
    """

    def __init__(self, model, statistics, blocks=None, n_threads=1, of_all=True, image=None):
        self.model, self.statistics, self.blocks, self.n_threads = model, statistics, blocks, n_threads
        self.least = difference(blocks)
        self.of_all = of_all
        if image is not None:
            self.image = image

    def shown_by(self, blocks, n_threads, of_all) -> Curvature:
        """The same, by other rows."""
        same = copy(self)
        same.blocks, same.n_threads, same.of_all = blocks, n_threads, of_all
        same.least = difference(blocks)
        return same

    @cached_property
    def x(self):
        return self.model.to_vector()

    @cached_property
    def of_blocks(self):
        """What the blocks' rows sum to at the model."""
        return self.blocks.reduce(self.model, self.n_threads)

    @cached_property
    def rows_shown(self):
        """How many rows one of the blocks' stands for."""
        return self.statistics.weight / self.of_blocks.weight

    @cached_property
    def of_others(self):
        """What the blocks' rows, each for so many, lack of the statistics of all."""
        return self.statistics - self.rows_shown * self.of_blocks

    @cached_property
    def image(self):
        """Where EM's step ends."""
        return self.model.m_step(self.statistics).to_vector()

    @cached_property
    def Q(self):
        """Per row, at the model itself."""
        return self._bound(self.model)

    def _bound(self, at):
        return (self.model.expected_log_joint(self.statistics, at) + log_prior(at)) / self.statistics.weight

    def _bounds(self, v):
        """Q a step ahead and as far back, NaN where there is no model."""
        ends = [reached(self.model, self.x + step) for step in (v, -v)]
        with np.errstate(all="ignore"):
            return [np.nan if end is None else self._bound(end) for end in ends]

    def _drop(self, v):
        """-v' Q'' v of a short step, or NaN where it leads to no model."""
        if self.score is None:
            ahead, back = self._bounds(v)
            return 2 * self.Q - ahead - back
        end = reached(self.model, self.x + v)
        if end is None:
            return np.nan
        with np.errstate(all="ignore"):
            there = end.gradient(rebased(end, self.statistics, self.model)) / self.statistics.weight
        return float(matmul(self.score - there, v))

    @cached_property
    def score(self):
        """Slopes of the log-likelihood per row, or None where they have no formula."""
        return self._slopes(self.statistics)

    def _slopes(self, statistics):
        found = self.model.gradient(statistics) if has(self.model, "gradient") else None
        return None if found is None else found / self.statistics.weight

    def square(self, vector, guess=None) -> float:
        """<v, v>. Where it has no formula, by a step of a size whose drop is neither rounding nor far from a parabola;
        `guess`: about as much"""
        v = vector.v
        if vector.dual is not None:
            return float(matmul(v, vector.dual))
        scale = np.sqrt(DROP / guess) if guess and guess > 0 else 1e-3 / norm(v)
        for _ in range(TRIALS):
            drop = self._drop(scale * v)
            if DROP / 100 < drop < 100 * DROP:
                return drop / scale**2
            # too small a drop may be all rounding, too large a one or none may lie beyond the parabola
            scale *= np.sqrt(DROP / drop) if drop > DROP / 1e6 else 100 if drop >= -DROP / 1e3 else 0.01
        return np.nan

    def slope(self, v, square) -> float:
        """Of Q along v."""
        if self.score is not None:
            return float(matmul(self.score, v))
        scale = np.sqrt(SLOPE / square)
        ahead, back = self._bounds(scale * v)
        return (ahead - back) / (2 * scale)

    def inner(self, u, u_square, w) -> float:
        """<u, w>; `u_square`: <u, u>."""
        if w.dual is not None:
            return float(matmul(u.v, w.dual))
        w_square = self.square(w, u_square)
        if not w_square > 0:
            return np.nan
        scale = np.sqrt(u_square / w_square)  # one length, so that the difference has digits
        return (self.square(u.plus(scale, w), 2 * u_square) - 2 * u_square) / (2 * scale)

    def product(self, p, square) -> tuple[Vector, Curvature | None]:
        """(1 - J) p, by a difference of EM's map: one pass; and the curvature there. C (1 - J) p is the score's."""
        there = self.there(p.v, square)
        if there is None:
            return Vector(np.full_like(p.v, np.nan)), None
        reach = self.reach(square)
        product = p.v - (there.image - self.image) / reach
        return Vector(product, None if self.score is None else (self.score - there.score) / reach), there

    def reach(self, square) -> float:
        """The step for a difference, in units of a vector with this square."""
        return np.sqrt(self.least / square)

    def there(self, v, square):
        """The curvature in a distance of :meth:`reach` along v, which takes a pass, or None where there is no model."""
        moved = reached(self.model, self.x + self.reach(square) * v)
        return None if moved is None else Curvature(moved, self._statistics_of(moved))

    def _statistics_of(self, moved):
        """Those of all rows, as far as the blocks show how they change."""
        found = self.blocks.reduce(moved, self.n_threads)
        if self.of_all:
            return found
        return rebased(moved, self.of_others, self.model) + self.rows_shown * found

    def bend(self, v, square, there) -> float:
        """v' I v by a difference of the score along v. It is <v, (1 - J) v> only where EM's map is nearly linear as far
        as EM's step goes, and its M-steps are maxima."""
        return (self.slope(v, square) - there.slope(v, square)) / self.reach(square)

    def confirms(self, way, twice) -> bool:
        """Whether the score's change along `way`, the step of Newton's method, is about `twice` the decrement. Where
        products are the score's own, the score along `way` tells as much, without a pass."""
        if self.score is not None:
            slope = float(matmul(self.score, way.v))
            return slope > 0 and abs(1 - twice / slope) <= CURVED
        square = self.square(way)
        there = self.there(way.v, square) if square > 0 else None
        bend = np.nan if there is None else self.bend(way.v, square, there)
        return bend > 0 and abs(1 - twice / bend) <= CURVED

    def ascent(self):
        """A direction that goes up on both sides, or None: a saddle may lie still in the directions of EM's steps.

        The search begins with EM's image of a random direction, which goes only where constraints let EM go, and
        further where EM leaves a saddle.
        """
        random = 1e-3 * np.random.default_rng(0).standard_normal(len(self.x))
        square = self.square(Vector(random))
        there = self.there(random, square) if square > 0 else None
        if there is None:
            return None
        reach = self.reach(square)
        image = (there.image - self.image) / reach
        if not np.isfinite(image).all() or norm(image) <= STILL:
            return None
        of_rows = None  # C J v is how the slopes at this model change with its rows' posteriors
        if self.score is not None:
            of_rows = (self._slopes(rebased(self.model, there.statistics, there.model)) - self.score) / reach
        image = Vector(image, of_rows)
        square = self.square(image, square)
        return conjugate_gradients(image, square, self, PROBES, decided=False)[1] if square > 0 else None


@dataclass(frozen=True)
class Vector:
    """v and C v; None where the slopes of Q have no formula: then inner products are differences of Q."""

    v: np.ndarray
    dual: np.ndarray | None = None

    def plus(self, factor, other) -> Vector:
        """v + factor * other"""
        dual = None if self.dual is None or other.dual is None else self.dual + factor * other.dual
        return Vector(self.v + factor * other.v, dual)


def conjugate_gradients(f, square, curvature, products, decided=True):
    """(half <f, (1 - J)^-1 f>, None); (None, p) with a direction p of negative curvature, or (None, None).

    The score must confirm a direction of negative curvature; and the decrement, unless only a direction is asked for
    (`decided` is False).
    """
    residual, p, p_square, total, way = f, f, square, 0.0, Vector(np.zeros_like(f.v), f.dual)
    least = np.inf  # of the quotients <p, (1 - J) p> / <p, p>
    for left in range(min(products, len(f.v)), 0, -1):
        product, there = curvature.product(p, p_square)
        if not np.isfinite(product.v).all():
            return None, None
        by_map = curvature.inner(p, p_square, product)
        if not by_map > 0:
            bent = by_map < 0 and max(by_map, curvature.bend(p.v, p_square, there)) < -BENT * p_square
            return None, p.v / np.sqrt(p_square) if bent else None
        length, least = square / by_map, min(least, by_map / p_square)
        added = length * square / 2
        total, way = total + added, way.plus(length, p)
        residual = residual.plus(-length, product)
        if added < SETTLED * total or left == 1 or not residual.v.any():
            break
        last, square = square, curvature.square(residual, square)
        if abs(square) <= NOISE * last or 0 < square < 2 * least * SETTLED * total:
            break
        if not square > 0:
            return None, None
        p = residual.plus(square / last, p)
        p_square = square + (square / last) ** 2 * p_square
    if decided and not curvature.confirms(way, 2 * total):
        return None, None
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
