"""The information of the complete data and EM's map at a model, by differences: what Newton's decrement is made of.

With the information C of the complete data and the derivative J of EM's map, inner products <u, v> = u' C v, and one
pass for a product with 1 - J: see :mod:`fastem.driver.remaining_gain`. C (1 - J) p = I p is how the score changes along
p. Where the score has no formula, products with C are differences of Q, the expected log-likelihood of the
complete data, which follows from the statistics.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastem.driver.acceleration import reached
from fastem.driver.model import has, log_prior, rebased
from fastem.kernels.arithmetic import matmul, norm

PROBES = 4  # products, to find a saddle
SETTLED = 0.02  # share of the decrement that the last product may have added, or the next one may add
DROP, TRIALS = 1e-6, 6  # of Q per row in a second difference; steps that are tried for it
SLOPE = 1e-8  # of Q per row: the square of a step for its slope
DIFFERENCE = {4: 1e-6, 8: 1e-10}  # by the bytes of the rows' type: see difference
BENT = 1e-3  # a curvature below minus this, relative to that of the complete data, is not rounding
STILL = 1e-12  # of a vector's length: a step that is all rounding
NOISE = 1e-6  # share of its square that is left of a residual of differences when all of it is gone
CURVED = 0.5  # share of the decrement by which it may be another by the score than by EM's map


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
        self.n_passes = 0  # over the blocks
        if image is not None:
            self.image = image

    def shown_by(self, blocks, n_threads, of_all) -> Curvature:
        """The same, by other rows."""
        same = copy(self)
        same.blocks, same.n_threads, same.of_all = blocks, n_threads, of_all
        same.least, same.n_passes = difference(blocks), 0
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
        self.n_passes += 1
        found = self.blocks.reduce(moved, self.n_threads)
        if self.of_all:
            return found
        return rebased(moved, self.of_others, self.model) + self.rows_shown * found

    def bend(self, v, square, there) -> float:
        """v' I v by a difference of the score along v. It is <v, (1 - J) v> only where EM's map is nearly linear as far
        as EM's step goes, and its M-steps are maxima."""
        return (self.slope(v, square) - there.slope(v, square)) / self.reach(square)

    def goes_up(self, v) -> bool:
        """Whether the likelihood rises along v on both sides: one pass."""
        square = self.square(Vector(v))
        there = self.there(v, square) if square > 0 else None
        return there is not None and self.bend(v, square, there) < -BENT * square

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
