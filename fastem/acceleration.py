"""Acceleration: extrapolated models in the place of the M-step's, from the last steps in unconstrained coordinates.

An accelerator is shown each model and its EM image and may propose another model for the next E-step. The driver keeps
a proposal only if its log-likelihood has not fallen, so the sequence stays monotone; the E-step that judges a proposal
is the next iteration's own, so only a dropped one costs a pass.

Works for every model with ``to_vector()`` (unconstrained coordinates) and ``from_vector(vector)`` (a model so).
"""

from __future__ import annotations

import numpy as np

DEPTH = 10  # steps that Anderson's method looks back on, at most
DAMPING, DAMPING_START = 1.2, 10  # the squared length is 1 / (1 + 1.2^(10 - accepted)) of the free solution's
FORWARD = 30.0  # EM steps at most, away from a saddle
FAST = 0.3  # where each step is that much shorter than the last, EM itself arrives within a few passes


class NoAcceleration:
    """EM as it is."""

    def propose(self, model, image):
        return None

    def judge(self, accepted):
        """There is nothing to judge."""


class Anderson:
    """Anderson's mixing of the last steps, restarted and damped.

    It looks for the fixed point next to the last steps. Where EM is leaving a saddle (components that still lie on each
    other) that point lies behind, against EM's own step; then it goes forward instead, by the same distance.

    Henderson, Varadhan: Damped Anderson acceleration with restarts and monotonicity control for accelerating EM and
    EM-like algorithms. Journal of Computational and Graphical Statistics 28 (2019) 834-846 (DAAREM).
    """

    def __init__(self, model):
        self.depth = max(1, min(DEPTH, (len(model.to_vector()) + 1) // 2))
        self.accepted = 0
        self.last = None
        self._restart()

    def _restart(self):
        self.points, self.steps = [], []  # differences of models, and of EM's steps from them

    def propose(self, model, image):
        x, f = em_step(model, image)
        if not np.isfinite(f).all():
            self.last = None
            self._restart()
            return None
        last, self.last = self.last, (x, f)
        if last is None:
            return None
        if len(self.steps) == self.depth:
            self._restart()
        self.points.append(x - last[0])
        self.steps.append(f - last[1])
        length = np.linalg.norm(f)
        if length < FAST * np.linalg.norm(last[1]):
            return None
        share = 1 / (1 + DAMPING ** (DAMPING_START - self.accepted))
        points, steps = np.array(self.points).T, np.array(self.steps).T
        step = f - (points + steps) @ damped_least_squares(steps, f, share)
        if step @ f <= 0:
            step = f * min(np.linalg.norm(step) / length, FORWARD)
        return model_at(model, x + step)

    def judge(self, accepted):
        if accepted:
            self.accepted = min(self.accepted + 1, 2 * DAMPING_START)
        else:
            self._restart()


class Squarem:
    """Squared extrapolation over two steps, step length 3.

    Varadhan, Roland: Simple and globally convergent methods for accelerating the convergence of any EM algorithm.
    Scandinavian Journal of Statistics 35 (2008) 335-353.
    """

    def __init__(self, model):
        self.first = None
        self.longest, self.length = 4.0, 1.0

    def propose(self, model, image):
        x, f = em_step(model, image)
        first, self.first = self.first, None
        if not np.isfinite(f).all():
            return None
        if first is None:
            self.first = x, f
            return None
        origin, r = first
        v = f - r
        length = min(np.linalg.norm(r) / max(np.linalg.norm(v), np.finfo(float).tiny), self.longest)
        if length <= 1:  # the step that EM makes itself
            return None
        self.length = length
        return model_at(model, origin + 2 * length * r + length**2 * v)

    def judge(self, accepted):
        """The longest step grows where it was good, and shrinks where one was not."""
        if not accepted:
            self.longest = max(self.length / 4, 2.0)
        elif self.length == self.longest:
            self.longest *= 4


ACCELERATORS = {"anderson": Anderson, "squarem": Squarem}


def accelerator(name, model):
    """By its name; the model must give its parameters as a vector."""
    if name is None:
        return NoAcceleration()
    if name not in ACCELERATORS:
        known = ", ".join(map(repr, ACCELERATORS))
        raise ValueError(f"accelerate must be None or one of {known}. Got {name!r} instead.")
    for method in ("to_vector", "from_vector"):
        if not callable(getattr(model, method, None)):
            raise TypeError(f"accelerate={name!r} needs a method {method}; {type(model).__name__} has none.")
    return ACCELERATORS[name](model)


def em_step(model, image):
    """Where a model is, and EM's step from it; not finite where a coordinate is at infinity, e.g. a weight of 0."""
    x = model.to_vector()
    with np.errstate(invalid="ignore"):
        return x, image.to_vector() - x


def model_at(template, vector):
    """The model of extrapolated coordinates, or None where there is none."""
    if not np.isfinite(vector).all():
        return None
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        try:
            model = template.from_vector(vector)
            return model if np.isfinite(model.to_vector()).all() else None
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):  # e.g. a covariance that cannot be factorised
            return None


def damped_least_squares(A, b, share):
    """The ridge solution of A g = b whose squared length is `share` of the free one's."""
    u, s, vt = np.linalg.svd(A, full_matrices=False)
    keep = s > 1e-12 * s[0] if s[0] > 0 else np.zeros(len(s), bool)
    u, s, vt = u[:, keep], s[keep], vt[keep]
    along = s * (u.T @ b)
    wanted = share * np.square(along / s**2).sum()
    low, high = 0.0, 1.0
    while np.square(along / (s**2 + high)).sum() > wanted:
        low, high = high, 4 * high
    if low == 0.0:
        low = 1e-30
    for _ in range(50):  # bisection of the logarithm
        ridge = np.sqrt(low * high)
        low, high = (ridge, high) if np.square(along / (s**2 + ridge)).sum() > wanted else (low, ridge)
    return vt.T @ (along / (s**2 + high))
