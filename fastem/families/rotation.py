"""Orthogonal rotations of loadings to simple structure: the likelihood does not change, what is read from them does."""

from __future__ import annotations

import numpy as np

MOST_STEPS = 100
LEAST_GAIN = 1e-6


def _varimax(loadings):
    return (loadings**2).mean(axis=0)


def _quartimax(loadings):
    return 0


ROTATIONS = {"varimax": _varimax, "quartimax": _quartimax}


def rotated(loadings, rotation):
    """Loadings (d, q) turned so that the fourth powers are large: varimax counts them about each factor's mean square.

    Kaiser: The varimax criterion for analytic rotation in factor analysis. Psychometrika 23 (1958) 187-200.
    """
    turn, criterion = np.eye(loadings.shape[1]), 0.0
    for _ in range(MOST_STEPS):
        now = loadings @ turn
        left, values, right = np.linalg.svd(loadings.T @ (now * (now**2 - ROTATIONS[rotation](now))))
        turn, last, criterion = left @ right, criterion, values.sum()
        if criterion < last * (1 + LEAST_GAIN):
            break
    return loadings @ turn
