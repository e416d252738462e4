"""Pictures of the histories of fits."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.driver.model import log_prior
from fastem.models.gaussian.variational import VariationalGaussian
from fastem.plot.canvas import GREY, axes_grid, colour, legend, line_style, marker


def history(fit, *, gap=False, ax=None) -> Any:
    """The mean log-likelihood of each iteration as a staircase: the gain of its M-step, then that of its E-step.

    Of a fit with a prior it is the mean log-posterior, of a Bayesian mixture the mean ELBO. Between two iterations
    stands the lower bound that the M-step has raised; the E-step makes it touch. A fit without bounds (read from a
    file, or of FactorAnalysis) shows its values only.

    Parameters
    ----------
    fit : :class:`fastem.EMResult` or fitted estimator
    gap : bool
        Draw how far each value lies below the last one, on a logarithmic axis: how fast EM converges.
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    values, bounds, what = _trace(fit)
    (ax,) = axes_grid(ax).flat
    height = (lambda y: np.where(y < values[-1], values[-1] - y, np.nan)) if gap else np.asarray
    iteration = np.arange(len(values))
    line = {"color": GREY, "linewidth": 1, "zorder": 1}
    if bounds is None:
        ax.plot(iteration, height(values), **line)
    else:
        middle = iteration[1:] - 0.5
        ax.vlines(middle, height(values[:-1]), height(bounds), color=colour(0), linewidth=3, label="M-step")
        ax.vlines(iteration[1:], height(bounds), height(values[1:]), color=colour(1), linewidth=3, label="E-step")
        ax.hlines(height(values[:-1]), iteration[:-1], middle, **line)
        ax.hlines(height(bounds), middle, iteration[1:], **line)
        ax.plot(middle, height(bounds), "_", color=colour(0), label="bound")
    size = 4 if len(values) <= 50 else 2
    ax.plot(iteration, height(values), "o", markersize=size, color=colour(2), label=what)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.set(xlabel="iteration", ylabel="below the last one" if gap else f"mean {what}")
    if gap:
        ax.set_yscale("log")
    legend(ax)
    return ax


def restarts(fits, *, ax=None) -> Any:
    """The mean log-likelihoods of several fits to the same data, beside each other; the best in bold.

    As in :func:`history`, they may be log-posteriors or ELBOs: of all fits, or they do not compare.

    Parameters
    ----------
    fits : sequence of :class:`fastem.EMResult` or fitted estimators; or one fitted mixture
        Of one mixture, its `fit_report_` says what each of its starts has reached: these are drawn as points. Mixtures
        from files, those of :meth:`fastem.Mixture.of` and regressions have none.
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    if hasattr(fits, "fit_report_"):
        return _starts(fits, ax)
    one_fit = hasattr(fits, "n_iter_") or hasattr(fits, "history")
    if one_fit or not hasattr(fits, "__iter__"):
        what = f"a {type(fits).__name__} that keeps no report of its starts" if one_fit else f"{fits!r:.60}"
        hint = " Pass its mixture_." if hasattr(fits, "mixture_") else ""
        raise TypeError(f"restarts expects a list of fits, or a mixture that has a fit_report_. Got {what}.{hint}")
    fits = list(fits)
    if not fits:
        raise ValueError("fits is empty: there is nothing to draw")
    traces, _, kinds = zip(*map(_trace, fits))
    what = kinds[0]
    other = next((i for i, kind in enumerate(kinds) if kind != what), None)
    if other is not None:
        raise ValueError(
            f"fits cannot be compared, because fit 0 has {what}s, and fit {other} has {kinds[other]}s. Give "
            "fits of one kind."
        )
    best = int(np.argmax([values[-1] for values in traces]))
    (ax,) = axes_grid(ax).flat
    for i, values in enumerate(traces):
        ax.plot(
            values,
            color=colour(i),
            linestyle=line_style(i),
            linewidth=3 if i == best else 1.2,
            marker=marker(i),
            markevery=[len(values) - 1],
            zorder=3 if i == best else 2,
            label=f"{i}: {values[-1]:.6g}" + (" (best)" if i == best else ""),
        )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.set(xlabel="iteration", ylabel=f"mean {what}")
    if len(traces) <= 12:
        legend(ax)
    return ax


def _starts(model, ax):
    """What each start of one fit has reached, against its iterations; sound ones are filled, the chosen one is bold."""
    (ax,) = axes_grid(ax).flat
    for number, start in enumerate(model.fit_report_.restarts):
        if np.isnan(start.log_likelihood):
            continue
        face = colour(number) if start.sound else "none"
        width = 3 if start.chosen else 1.2
        label = f"{number} {start.start}: {start.log_likelihood:.6g}" + (" (chosen)" if start.chosen else "")
        style = {"color": colour(number), "markerfacecolor": face, "markeredgewidth": width, "linestyle": ""}
        ax.plot(start.n_iter, start.log_likelihood, marker(number), label=label, **style)
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.set(xlabel="iterations", ylabel="log-likelihood", title="starts (hollow: not sound)")
    if len(model.fit_report_.restarts) <= 12:
        legend(ax)
    return ax


def _trace(fit):
    """The mean of what a fit maximises at its start and after each iteration, the bounds between them where they are
    known, and the word for it."""
    for name in ("history", "history_", "loglike_"):
        if hasattr(fit, name):
            values = np.asarray(getattr(fit, name), np.float64)
            break
    else:
        raise TypeError(
            f"this picture expects a fastem.EMResult or a fitted estimator; {type(fit).__name__} has no history"
        )
    steps = getattr(fit, "steps", getattr(fit, "steps_", ()))
    bounds = np.array([step.bound for step in steps])
    known = len(bounds) == len(values) - 1 > 0 and np.isfinite(bounds).all()
    return values, bounds if known else None, objective_of(fit.model if hasattr(fit, "model") else fit.model_)


def objective_of(model) -> str:
    """What EM maximises of a model, in words."""
    if isinstance(getattr(model, "emission", None), VariationalGaussian):
        return "ELBO"
    return "log-posterior" if log_prior(model) != 0 else "log-likelihood"
