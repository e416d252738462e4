"""Acceleration: models extrapolated from EM's last steps, in unconstrained coordinates, replace those of the M-step.

An accelerator sees each model and its EM image and may propose another model for the next E-step. The E-step that
tests a proposal is that of the next iteration, so only a dropped proposal costs a pass.

Where a likelihood has many maxima, EM's path decides which one it finds: the path passes saddles, and a model that
leaves it there arrives at another maximum, often a lower one. So nothing is extrapolated before EM's steps keep their
direction (EM is then nearly a linear map); a proposal looks a bounded number of EM's steps ahead; and it is kept only
if the log-likelihood has not fallen and EM's step from it is the one that the linear map predicts.

Works for every model with ``to_vector()`` (unconstrained coordinates) and ``from_vector(vector)`` (the model there).
"""

from __future__ import annotations

import numpy as np

from fastem.driver.model import leap, require
from fastem.kernels import arithmetic

DEPTH = 8  # most steps that Anderson's method uses
FAST = 0.3  # a step's length over the last one's; below, EM needs a few more passes only
TURN, STEADY = 3e-4, 3  # most of one minus the cosine between steps of a linear map; for how many steps
SURPRISE = 0.25  # most distance between EM's step from a proposal and the predicted one, in the last step's lengths
AHEAD, FARTHEST = 2.0, 1e5  # EM steps that a proposal looks ahead: at first, and at most
PAUSE, LONGEST_PAUSE = 4, 32  # plain steps after a dropped proposal: at first, and at most


class Leaps:
    """A model that knows where EM runs off to, in ever smaller steps, leaps there."""

    has_jumped = False

    def propose(self, model, image):
        """The model to try instead of EM's image, or None."""
        proposal = leap(image, model)
        self.leapt = proposal is not None
        if self.leapt:
            self._forget()
            return proposal
        return self._ahead_of(model, image)

    def keeps(self, proposal, image):
        """Whether to go on from a proposal; `image` is EM's of it, None where the log-likelihood fell."""
        return image is not None if self.leapt else self._confirmed(proposal, image)

    def _forget(self):
        """The last steps do not lead here."""

    def _ahead_of(self, model, image):
        """The model that acceleration tries instead of EM's image, or None."""
        return None


class NoAcceleration(Leaps):
    """Plain EM, but for leaps."""


class Guarded(Leaps):
    """When to extrapolate, how far, and whether EM confirms it; a subclass defines where to.

    Attributes
    ----------
    has_jumped : bool
        Whether an extrapolated model has been kept.
    """

    def __init__(self, model):
        self.ahead, self.pause, self.penalty = AHEAD, 0, PAUSE
        self.has_jumped = False
        self._forget()

    def _forget(self):
        self.last, self.calm, self.rest = None, 0, False
        self.first = []  # steps, which many fits of few steps need not as vectors: they show no direction yet

    def _ahead_of(self, model, image):
        if self.last is None and len(self.first) < STEADY:
            self.first.append((model, image))
            return None
        seen, self.first = self.first, []
        for step in seen:
            self._looked_at(*step)
        return self._looked_at(model, image)

    def _looked_at(self, model, image):
        """The model to try after one more step, or None."""
        x, f = em_step(model, image)
        if not np.isfinite(f).all():
            self._forget()
            return None
        last, self.last = self.last, (x, f)
        if last is None:
            return None
        self._remember(x - last[0], f - last[1])
        if self.rest:  # a plain EM step smooths out the errors of the extrapolation
            self.rest = False
            return None
        self.length, before = arithmetic.norm(f), arithmetic.norm(last[1])
        if self.calm < STEADY or self.pause > 0:
            self.pause -= 1
            self.calm = self.calm + 1 if arithmetic.matmul(f, last[1]) > (1 - TURN) * self.length * before else 0
            return None
        if not self.length > FAST * before:
            return None
        extrapolated = self._extrapolate(x, f)
        if extrapolated is None:
            return None
        vector, self.predicted = extrapolated
        return model_at(model, vector)

    def _confirmed(self, proposal, image):
        """Whether EM's step from a proposal is the predicted one; `image` is None where the log-likelihood fell."""
        surprise = np.inf
        if image is not None:
            _, f = em_step(proposal, image)
            surprise = arithmetic.norm(f - self.predicted) / self.length
        if surprise <= SURPRISE:
            if surprise < SURPRISE / 2:
                self.ahead = min(2 * self.ahead, FARTHEST)
            self.penalty, self.rest, self.has_jumped = max(self.penalty // 2, PAUSE), True, True
            return True
        self.ahead = max(self.ahead / 4, AHEAD)
        self.calm, self.pause, self.penalty = 0, self.penalty, min(2 * self.penalty, LONGEST_PAUSE)
        return False

    def _remember(self, dx, df):
        """The change of the model and of EM's step from it."""
        raise NotImplementedError

    def _extrapolate(self, x, f):
        """(vector, the step that EM should make there) or None."""
        raise NotImplementedError


class Anderson(Guarded):
    """Several EM steps at once, in the linear map that the last steps show: damped Anderson mixing.

    The map A is known in the span of the last differences of models, A dx = dx + df; the part of EM's step outside of
    the span is taken once. Infinitely many steps ahead is the map's fixed point, as in Anderson's mixing (its first
    type); fewer damp it, and leave a saddle forwards, as EM does.

    Henderson, Varadhan: Damped Anderson acceleration with restarts and monotonicity control for accelerating EM and
    EM-like algorithms. Journal of Computational and Graphical Statistics 28 (2019) 834-846 (DAAREM).
    """

    def _forget(self):
        super()._forget()
        self.points, self.images = [], []

    def _remember(self, dx, df):
        length, depth = arithmetic.norm(dx), max(1, min(DEPTH, (len(dx) + 1) // 2))
        if length > 0:
            self.points = [*self.points, dx / length][-depth:]
            self.images = [*self.images, (dx + df) / length][-depth:]

    def _extrapolate(self, x, f):
        U, s, Vt = np.linalg.svd(np.array(self.points).T, full_matrices=False)
        known = s > 1e-5 * s[0]
        U, s, Vt = U[:, known], s[known], Vt[known]
        inside = arithmetic.matmul(U.T, f)
        outside = f - arithmetic.matmul(U, inside)
        if arithmetic.norm(outside) > self.length / 2:
            return None
        mapped = arithmetic.matmul(np.array(self.images).T, Vt.T / s)
        rates, W = np.linalg.eig(arithmetic.matmul(U.T, mapped))
        parts = np.linalg.lstsq(W, inside.astype(complex), rcond=None)[0]
        rates = bounded(rates, np.exp(1 / self.ahead))
        last = rates**self.ahead
        at_one = np.abs(rates - 1) < 1e-12
        total = np.where(at_one, self.ahead, (last - 1) / np.where(at_one, 1, rates - 1))
        there, step = (arithmetic.matmul(U, (W @ (scale * parts)).real) for scale in (total, last))
        return x + outside + there, step


class Squarem(Guarded):
    """Squared extrapolation over two steps, step length 3.

    Varadhan, Roland: Simple and globally convergent methods for accelerating the convergence of any EM algorithm.
    Scandinavian Journal of Statistics 35 (2008) 335-353.
    """

    def _remember(self, dx, df):
        self.dx, self.v = dx, df

    def _extrapolate(self, x, f):
        v, r = self.v, f - self.v
        size = arithmetic.norm(r)
        if size == 0:  # or its square is no number
            return None
        rate = arithmetic.norm(v) / size
        length = min(1 / max(rate, np.finfo(float).tiny), self.ahead)
        if length <= 1:  # the step that EM makes itself
            return None
        bend = np.copysign(rate, arithmetic.matmul(v, r)) * v
        return x - self.dx + 2 * length * r + length**2 * v, r + 2 * length * v + length**2 * bend


ACCELERATORS = {"anderson": Anderson, "squarem": Squarem}


def accelerator(name, model):
    """The accelerator of this name; its model must have ``to_vector`` and ``from_vector``."""
    if name is None:
        return NoAcceleration()
    if name not in ACCELERATORS:
        known = ", ".join(map(repr, ACCELERATORS))
        raise ValueError(f"accelerate must be None or one of {known}. Got {name!r} instead.")
    require(model, "to_vector", "from_vector", what=f"accelerate={name!r} needs")
    return ACCELERATORS[name](model)


def going_on(name, result):
    """The accelerator of a result to go on from, with what it remembers; a new one, where another name is given."""
    if name is None:
        return result.accelerator
    new = accelerator(name, result.model)
    if type(new) is type(result.accelerator):
        return result.accelerator
    new.has_jumped = result.has_jumped
    return new


def em_step(model, image):
    """Where a model is, and EM's step from it; not finite where a coordinate is at infinity, e.g. a weight of 0."""
    x = model.to_vector()
    with np.errstate(invalid="ignore"):
        return x, image.to_vector() - x


def model_at(template, vector):
    """The model of extrapolated coordinates, or None where there is none."""
    model = reached(template, vector)
    with np.errstate(all="ignore"):
        return model if model is not None and np.isfinite(model.to_vector()).all() else None


def reached(template, vector):
    """The same, but its own coordinates may not be finite: what they overflow to."""
    if not np.isfinite(vector).all():
        return None
    with np.errstate(all="ignore"):
        try:
            return template.from_vector(vector)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):  # e.g. a covariance that cannot be factorised
            return None


def bounded(rates, most):
    """Eigenvalues as EM's map may have them: not negative, and those that grow at most `most`."""
    size = np.maximum(np.abs(rates), np.finfo(float).tiny)
    turning = np.abs(rates.imag) > 1e-9
    return np.where(rates.real < 0, 0, np.where(turning, rates / np.maximum(size, 1), np.minimum(rates.real, most)))
