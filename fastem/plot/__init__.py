"""Pictures of fits, with matplotlib (``pip install 'fastem[plot]'``).

==========================  ===========================================================================================
:func:`mixture`             the components over the data
:func:`responsibilities`    whose each row is
:func:`uncertainty`         rows that might as well belong to another component
:func:`parameters`          the parameters of the components as a heat map
:func:`history`             what the E-step and the M-step of each iteration gained
:func:`restarts`            the log-likelihoods of several fits
:func:`loadings`            of FactorAnalysis and PPCA
:func:`selection`           a criterion against the number of components
==========================  ===========================================================================================

`ax` is where to draw: axes, an array of them, or a figure to put new axes into; a new figure by default. The axes come
out. Of more than a million rows a million drawn at random are looked at, the same each time.
"""

from __future__ import annotations

from fastem.plot.canvas import require_file_type
from fastem.plot.criteria import selection
from fastem.plot.densities import FEW_COLUMNS, mixture, responsibilities, uncertainty
from fastem.plot.fits import history, restarts
from fastem.plot.parameter_maps import loadings, parameters

__all__ = ["history", "loadings", "mixture", "parameters", "responsibilities", "restarts", "selection", "uncertainty"]


def write(path, model, X) -> None:
    """The picture of a mixture in a file, of the kind that the name ends in; without pyplot, so on any machine."""
    m = min(X.shape[1], FEW_COLUMNS)
    _write(path, (6.4, 4.8) if m <= 2 else (2.2 * m, 1.9 * m), lambda figure: mixture(model, X, ax=figure))


def write_selection(path, found) -> None:
    """The same of :func:`selection`."""
    _write(path, (6.4, 4.8), lambda figure: selection(found, ax=figure))


def _write(path, size, draw):
    require_file_type(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    figure.draw_without_rendering()  # the room that the labels need is known after a first round
    figure.savefig(path, dpi=150)
