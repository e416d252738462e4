"""Integrals of densities between bounds that have no closed form, by Gauss-Legendre's rule.

On the right axis (log x for gamma densities, asinh x for Student-t's) a density is log-concave, falls off at least
exponentially, and has bends of no less than unit width. It is integrated from where it is largest between the bounds,
to either side, up to the bound or to where its logarithm has fallen by `FALL`. All terms are positive, so that nothing
cancels, in no tail either.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

FALL = 40.0  # of a log-density: what lies beyond is less than rounding
FEW, MANY = 12, 24  # nodes of a panel
GENTLE_FALL, GENTLE_LENGTH = 4.0, 1.0  # up to which few nodes are exact to rounding
PANELS = (
    0.0,
    3.0,
    6.0,
    10.0,
    14.0,
    32.0,
    np.inf,
)  # ends of panels of many, from the largest value: slow tails are long
ROWS = 512  # at a time, so that their nodes stay in the cache


def rule(n_nodes):
    """Nodes and weights (n_nodes, 1) of the interval from 0 to 1."""
    at, weights = np.polynomial.legendre.leggauss(n_nodes)
    return (at[:, None] + 1) / 2, weights[:, None] / 2


RULES = {n_nodes: rule(n_nodes) for n_nodes in (FEW, MANY)}


def integrals(length, fall, integrands, n_integrands) -> np.ndarray:
    """(n_integrands, n) over y from 0 to `length` (n,); 0 where that is 0.

    fall : (n,)
        Of the log-density over the whole length.
    integrands : callable
        ``integrands(y, some)``: of rows `some` (m,) at places y (nodes, m) the density relative to its value at 0, and
        then what it is multiplied by in the further integrals.
    """
    totals = np.zeros((n_integrands, len(length)))
    gentle = (fall <= GENTLE_FALL) & (length <= GENTLE_LENGTH)
    for rows, n_nodes, ends in ((gentle, FEW, (0.0, np.inf)), (~gentle, MANY, PANELS)):
        for low, high in pairwise(ends):
            some = np.flatnonzero(rows & (length > low))
            for part in np.split(some, range(ROWS, len(some), ROWS)):
                at, weights = RULES[n_nodes]
                width = np.minimum(length[part], high) - low
                density, *factors = integrands(low + width * at, part)
                density = density * (width * weights)
                totals[0, part] += density.sum(axis=0)
                for i, factor in enumerate(factors, 1):
                    totals[i, part] += (density * factor).sum(axis=0)
    return totals
