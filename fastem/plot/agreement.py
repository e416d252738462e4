"""Whether rows are as a fitted mixture says: quantiles against quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betaincinv

from fastem.plot.canvas import GREY, axes_grid, colour, sample_rows, short
from fastem.plot.parameter_maps import chosen_places, density_of, fitted_rows

DRAWN = 100_000  # rows of the fitted mixture
POINTS = 200  # quantiles
MOST_ROWS = 1_000_000


def qq(model, X, column=0, *, ax=None) -> Any:
    """The quantiles of a column against those of the fitted mixture: on the diagonal where they agree.

    The band is where 95 of 100 samples of as many rows, drawn from the mixture, would have each quantile.

    Parameters
    ----------
    model : fitted mixture of any family, or :class:`fastem.models.mixture.Mixture`
    X : (n, d) array, data frame or Arrow table
    column : int or str
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    _, X, names = fitted_rows(model, X)
    (j,) = chosen_places(model, [column], names)
    values = sample_rows(X, MOST_ROWS)[:, j].astype(np.float64)
    values = np.sort(values[~np.isnan(values)])
    if not len(values):
        raise ValueError(f"every value of column {names[j]!r} of X is missing: choose another column.")
    drawn = np.sort(density_of(model).sample(DRAWN, np.random.default_rng(0))[0][:, j])
    shares = (np.arange(min(POINTS, len(values))) + 0.5) / min(POINTS, len(values))
    after, before = shares * (len(values) - 1) + 1, (1 - shares) * (len(values) - 1) + 1
    ends = (betaincinv(after, before, end) for end in (0.025, 0.975))  # of the share below an order statistic
    low, middle, high = (np.quantile(drawn, at) for at in (next(ends), shares, next(ends)))
    (ax,) = axes_grid(ax).flat
    ax.fill_between(middle, low, high, color=GREY, alpha=0.3, linewidth=0, label="95 % of samples")
    ax.plot(middle, middle, color=GREY, linewidth=1)
    ax.plot(middle, np.quantile(values, shares), "o", markersize=3, color=colour(0), label="rows")
    ax.set(xlabel=f"{short(names[j])}: quantiles of the mixture", ylabel="quantiles of the rows", title="Q–Q")
    ax.legend(framealpha=0.8, edgecolor="none", fontsize="small")
    return ax
