"""Pictures of fits, with matplotlib (``pip install 'fastem[plot]'``).

==========================  ===========================================================================================
:func:`mixture`             the components over the data
:func:`density`             the density as contours that contain shares of it
:func:`regions`             where each component is the most probable
:func:`qq`                  quantiles of a column against those of the mixture
:func:`tree`                how components merge into clusters
:func:`responsibilities`    to which components each row belongs
:func:`uncertainty`         how uncertain the component of each row is
:func:`parameters`          the parameters of the components as a heat map
:func:`history`             what the E-step and the M-step of each iteration gained
:func:`restarts`            the log-likelihoods of several fits
:func:`loadings`            of FactorAnalysis and PPCA
:func:`selection`           a criterion against the number of components
:func:`bound`               an iteration of EM: the log-likelihood and the bound that touches it
:func:`alternation`         EM as alternate maximisation over q and the parameters
:func:`animate`             the fit step by step, as a film
==========================  ===========================================================================================

`ax` is where to draw: axes, an array of them, or a figure that gets new axes; by default a new figure. The axes are
returned. Of more than a million rows, a random million is used, the same each time.
"""

from __future__ import annotations

from fastem.families.factor_analysis import FactorEstimator
from fastem.plot.agreement import qq
from fastem.plot.canvas import require_file_type
from fastem.plot.criteria import selection
from fastem.plot.densities import FEW_COLUMNS, mixture
from fastem.plot.fits import history, restarts
from fastem.plot.memberships import responsibilities, uncertainty
from fastem.plot.parameter_maps import loadings, parameters
from fastem.plot.steps import alternation, animate, bound
from fastem.plot.surfaces import density, regions
from fastem.plot.trees import tree

__all__ = [
    "alternation",
    "animate",
    "bound",
    "density",
    "history",
    "loadings",
    "mixture",
    "parameters",
    "qq",
    "regions",
    "responsibilities",
    "restarts",
    "selection",
    "tree",
    "uncertainty",
]


def write(path, model, X, **beside) -> None:
    """Write the picture of a mixture, or of the loadings of factors, to a file, whose suffix chooses its type; without
    pyplot, so on any machine. beside: what :func:`mixture` takes beside the rows."""
    if isinstance(model, FactorEstimator):
        _write(path, (6.4, 4.8), lambda figure: loadings(model, ax=figure))
        return
    m = min(X.shape[1], FEW_COLUMNS)
    _write(path, (6.4, 4.8) if m <= 2 else (2.2 * m, 1.9 * m), lambda figure: mixture(model, X, ax=figure, **beside))


def write_selection(path, selected) -> None:
    """Write the picture of a :class:`fastem.Selection` to a file."""
    _write(path, (6.4, 4.8), lambda figure: selection(selected, ax=figure))


def figure_of(draw, size=(6.4, 4.8)):
    """A figure on which draw(figure) has drawn; without pyplot, so on any machine."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    figure.draw_without_rendering()  # the space that the labels need is known after a first round
    return figure


def _write(path, size, draw):
    require_file_type(path)
    figure_of(draw, size).savefig(path, dpi=150)
