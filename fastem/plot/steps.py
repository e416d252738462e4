"""The theory of EM as pictures of a fit. For any distribution q of the components of the rows, with parameters θ,

    log p(x | θ) = F(q, θ) + KL(q || p(z | x, θ)),    F(q, θ) = E_q[log p(x, z | θ)] + H(q)

(Neal and Hinton 1998). The E-step maximises F over q, the M-step over θ. All values are means over the rows; of a model
with a prior, its logarithm is added to both sides.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, xlogy

from fastem.driver.em import em
from fastem.models.weight_posteriors import WeightPosterior
from fastem.plot.canvas import GREY, MOST_ROWS, axes_grid, colour, legend, limits, sample_rows
from fastem.plot.densities import mixture, there
from fastem.plot.fits import objective_of
from fastem.plot.parameter_maps import chosen_places, fitted_rows, part_of

BEHIND, AHEAD, POINTS = -0.6, 1.9, 76  # of a line of parameters from one point (0) to the next (1)
GRID = 61  # parameters, and distributions q, of the plane
PLANE_ROWS = 20_000  # beyond, a random sample
LOWEST = -1e200  # of a log-density in a sum with probabilities, of which some are 0
MOST_TURNS = 25  # of the zigzag
RUN = {"tol": 1e-8, "max_iter": 1000, "stop": "log_likelihood"}  # to the maximum, by EM alone


def bound(model, X, *, ax=None) -> Any:
    """An iteration of EM: the log-likelihood, and the bound that the E-step has made it touch.

    The parameters θ go along the line from those of `model` (0) to those that the M-step gives (1), in the
    unconstrained coordinates of ``model.model_.to_vector()``. q is the posterior under `model`, so that the bound
    F(q, θ) touches log p(x | θ) at 0; it is highest at 1. What lies between both there is KL(q || posterior), which the
    next E-step takes away: its bound is drawn thin. Where more is hidden than the component (the scales of a Student-t
    mixture, missing values, factors) the M-step raises this bound, but not to its maximum.

    Parameters
    ----------
    model : fitted mixture estimator, or :class:`fastem.models.mixture.Mixture`
        One that is not at its maximum, where EM stands still: fitted with ``max_iter=2``, say.
    X : (n, d) array, data frame or Arrow table
        Rows without weights. Of more than a million a random million, the same each time.
    ax : axes or figure, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        Not a mixture with parameters on a line: the parameters of a BayesianGaussianMixture are integrated out.
    ValueError
        EM does not move the parameters.

    Examples
    --------
    >>> import warnings
    >>> from matplotlib.figure import Figure
    >>> from fastem import ConvergenceWarning, GaussianMixture, plot
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> warnings.simplefilter("ignore", ConvergenceWarning)
    >>> model = GaussianMixture(2, init_params="random", max_iter=2, accelerate=None, random_state=0).fit(X)
    >>> axes = plot.bound(model, X, ax=Figure())
    >>> [line.get_label() for line in axes.lines[:2]]
    ['log p(x | θ)', 'bound F(q, θ)']
    """
    fitted, X = _on_a_line(model, X, MOST_ROWS)
    line = Line(fitted, fitted.m_step(fitted.e_step(X, None)), X)
    t = np.unique(np.append(np.linspace(BEHIND, AHEAD, POINTS), [0.0, 1.0]))
    joints = [line.log_joint(s) for s in t]
    priors = np.array([line.log_prior(s) for s in t])
    likelihood = logsumexp(joints, axis=2).mean(axis=1) + priors
    first, second = (
        [free_energy(q, joint) for joint in joints] + priors for q in (line.posterior(0), line.posterior(1))
    )
    (ax,) = axes_grid(ax).flat
    now, then = np.flatnonzero((t == 0) | (t == 1))
    ax.plot(t, likelihood, color=colour(0), linewidth=2, label="log p(x | θ)")
    ax.plot(t, first, color=colour(1), linewidth=2, label="bound F(q, θ)")
    ax.plot(t, second, color=colour(1), linewidth=0.9, linestyle="--", label="bound after the next E-step")
    ax.plot([1, 1], [first[then], likelihood[then]], color=colour(2), linewidth=2.5, label="KL(q || posterior)")
    dots = {"linestyle": "none", "markersize": 8, "zorder": 4}
    ax.plot([0], [likelihood[now]], "o", color=colour(0), label="now: the bound touches", **dots)
    ax.plot([1], [first[then]], "^", color=colour(1), label="M-step: the bound's maximum", **dots)
    ax.plot([1], [likelihood[then]], "s", color=colour(2), label="E-step: the next point", **dots)
    rise = max(likelihood[then] - likelihood[now], np.finfo(float).eps * abs(likelihood[now]))
    top = likelihood.max()
    low = likelihood[now] - 1.2 * rise
    ax.set(
        xlabel="parameters θ, from now (0) to after the M-step (1)", ylabel="mean over the rows", xlim=(BEHIND, AHEAD)
    )
    ax.set_ylim(low, top + 0.12 * (top - low))
    ax.ticklabel_format(axis="y", useOffset=False)
    legend(ax)
    return ax


def alternation(model, X, *, ax=None) -> Any:
    """EM as alternate maximisation of F(q, θ): its contours, and the zigzag of M-steps (across) and E-steps (up).

    θ goes along the line from the parameters of `model` (0) to the maximum that EM finds from there (1), and q through
    the posteriors under these parameters. So a point is a distribution of the components and a mixture, both real;
    on the diagonal q is the posterior under θ, and F is the log-likelihood. The zigzag is EM for the family of mixtures
    on this line: each M-step maximises over the line alone, so that it needs more steps than EM in all directions.

    Parameters
    ----------
    model : fitted mixture estimator, or :class:`fastem.models.mixture.Mixture`
        One that is not at its maximum, as for :func:`bound`.
    X : (n, d) array, data frame or Arrow table
        Rows without weights. Of more than 20 000 rows a random 20 000, the same each time.
    ax : axes or figure, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        As :func:`bound`.

    Examples
    --------
    >>> import warnings
    >>> from matplotlib.figure import Figure
    >>> from fastem import ConvergenceWarning, GaussianMixture, plot
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data[:, 1:]
    >>> warnings.simplefilter("ignore", ConvergenceWarning)
    >>> model = GaussianMixture(2, means_init=[[60], [65]], max_iter=2, accelerate=None).fit(X)
    >>> axes = plot.alternation(model, X, ax=Figure())
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('parameters θ', 'q: the posterior at')
    """
    fitted, X = _on_a_line(model, X, PLANE_ROWS)
    line = Line(fitted, em(fitted, X, **RUN).model, X)
    t = np.linspace(-0.25, 1.35, GRID)
    joints, q = (np.stack([of(s) for s in t]).reshape(GRID, -1) for of in (line.log_joint, line.posterior))
    plane = (q @ joints.T - xlogy(q, q).sum(axis=1)[:, None]) / len(X) + [line.log_prior(s) for s in t]
    (ax,) = axes_grid(ax).flat
    top, start = plane.max(), logsumexp(line.log_joint(0), axis=1).mean() + line.log_prior(0)
    levels = top - (top - start) * np.geomspace(0.003, 16, 18)[::-1]
    ax.contour(t, t, plane, levels=levels, colors=GREY, linewidths=0.8, linestyles="solid")
    ax.plot(t, t, color=GREY, linewidth=1, linestyle=":", label="q = posterior under θ: F = log p(x | θ)")
    at, label = 0.0, True
    for _ in range(MOST_TURNS):
        after = line.m_step(line.posterior(at), t[0], t[-1])
        ax.plot([at, after], [at, at], color=colour(0), linewidth=2, label="M-step" if label else None)
        ax.plot([after, after], [at, after], color=colour(1), linewidth=2, label="E-step" if label else None)
        label = False
        if abs(after - at) < 0.002:
            break
        at = after
    ax.plot([0], [0], "o", color=colour(2), label="start", zorder=4)
    ax.plot([1], [1], "*", markersize=12, color=colour(2), label="maximum", zorder=4)
    ax.set(xlabel="parameters θ", ylabel="q: the posterior at", xlim=t[[0, -1]], ylim=t[[0, -1]])
    legend(ax)
    return ax


def animate(model, X, columns=None, *, n_frames=40, figure=None) -> Any:
    """The fit step by step: the components over the data, and the log-likelihood so far.

    EM goes from the parameters of `model` to the maximum, without acceleration. A frame is an iteration; of more than
    `n_frames` these are spread evenly in the logarithm of their number.

    Parameters
    ----------
    model : fitted mixture estimator, or :class:`fastem.models.mixture.Mixture`
        Its parameters are the first frame: with ``max_iter=0`` the start.
    X : (n, d) array, data frame or Arrow table
        Rows without weights. Of more than a million a random million, the same each time.
    columns : one or two of int or str, optional
        Default: the first two.
    n_frames : int
    figure : Figure, optional
        Default: a new figure of pyplot.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        ``.save("fit.gif", writer="pillow")`` writes it, ``.to_jshtml()`` is a page for notebooks.

    Raises
    ------
    ValueError
        `n_frames` is no whole number of at least 2, or `columns` are more than two.

    Examples
    --------
    >>> import warnings
    >>> from matplotlib.figure import Figure
    >>> from fastem import ConvergenceWarning, GaussianMixture, plot
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> warnings.simplefilter("ignore", ConvergenceWarning)
    >>> start = GaussianMixture(2, init_params="random", max_iter=0, random_state=0).fit(X)
    >>> film = plot.animate(start, X, n_frames=4, figure=Figure())
    >>> film.save("fit.gif", writer="pillow")
    """
    if not isinstance(n_frames, numbers.Integral) or n_frames < 2:
        raise ValueError(f"n_frames must be a whole number of at least 2. Got {n_frames!r} instead.")
    fitted, X, names = fitted_rows(model, X)
    X = sample_rows(X, MOST_ROWS)
    chosen = chosen_places(model, columns, names)[: None if columns is not None else 2]
    if len(chosen) > 2:
        raise ValueError(f"columns must choose one or two columns. Got {columns!r} instead.")
    if fitted.emission.has_ellipses and X.shape[1] > 1:
        part_of(fitted.emission, chosen)  # else the frames, which are drawn later, would be refused
    models = [fitted]
    result = em(fitted, X, **RUN, callback=lambda now: models.append(now.model))
    last = len(models) - 1
    frames = np.unique(np.append(0, np.geomspace(max(last, 1), 1, n_frames - 1).round().astype(int)))
    frames = frames[frames <= last]
    if figure is None:
        figure = axes_grid(None)[0, 0].figure
        figure.clear()
    left, right = axes_grid(figure, 1, 2)[0]
    figure.set_size_inches(9, 4)
    figure.set_layout_engine("constrained")
    from matplotlib.animation import FuncAnimation

    X = there(X)  # a model of its own has no rule for missing values
    shown = [limits(X[:, j].astype(np.float64)) for j in chosen]
    history = np.array(result.history)

    def draw(frame):
        number = frames[frame]
        for bar in set(figure.axes) - {left, right}:  # of colours, which each picture draws anew
            bar.remove()
        left.clear()
        right.clear()
        mixture(models[number], X, chosen if X.shape[1] > 1 else None, ax=left)
        if models[number].emission.has_ellipses:
            left.set_xlim(shown[0])
            left.set(**({"ylim": shown[1]} if len(chosen) == 2 else {}))
        left.set(title=f"iteration {number}", xlabel=names[chosen[0]])
        right.plot(history, color=GREY, linewidth=0.8)
        right.plot(history[: number + 1], color=colour(0), linewidth=2)
        right.plot([number], history[number], "o", color=colour(1))
        right.set(xlabel="iteration", ylabel=f"mean {objective_of(fitted)}")
        right.ticklabel_format(axis="y", useOffset=False)

    return FuncAnimation(figure, draw, frames=len(frames), init_func=lambda: None, interval=250, repeat_delay=1500)


class Line:
    """Mixtures of some rows on the line through two, in unconstrained coordinates: at 0 the first, at 1 the second."""

    def __init__(self, first, second, X):
        self.ends, self.X = {0: first, 1: second}, X
        self.start = first.to_vector()
        self.step = second.to_vector() - self.start
        if np.abs(self.step).max() <= 1e-6 * max(1.0, np.abs(self.start).max()):
            raise ValueError(
                "EM stands still at these parameters, so there is no step to draw: "
                "fit with fewer iterations (max_iter=2)"
            )

    def at(self, t):
        return self.ends[t] if t in self.ends else self.ends[0].from_vector(self.start + t * self.step)

    def log_joint(self, t):
        return np.maximum(self.at(t).log_joint(self.X), LOWEST)

    def posterior(self, t):
        return self.at(t).posterior(self.X)

    def log_prior(self, t):
        return self.at(t).log_prior() / len(self.X)

    def m_step(self, q, low, high):
        """The place of the highest F(q, θ)."""
        energy = lambda t: -free_energy(q, self.log_joint(t)) - self.log_prior(t)  # noqa: E731
        return float(minimize_scalar(energy, bounds=(low, high), method="bounded", options={"xatol": 1e-5}).x)


def free_energy(q, log_joint) -> float:
    """F(q, θ) per row, without the prior."""
    return float((q * log_joint - xlogy(q, q)).sum() / len(q))


def _on_a_line(model, X, most):
    """The mixture and at most so many of its rows; TypeError where its parameters have no place on a line."""
    fitted, X, _ = fitted_rows(model, X)
    if isinstance(fitted.shares, WeightPosterior):
        raise TypeError(
            f"this picture expects a mixture with parameters; those of {type(model).__name__} are integrated out: "
            "give model.to_mixture()"
        )
    return fitted, sample_rows(X, most)
