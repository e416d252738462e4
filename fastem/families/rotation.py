"""Orthogonal rotations of loadings to simple structure: they change the meaning of the factors, not the likelihood."""

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
    """Loadings (d, q), rotated so that their squares vary most. varimax: about the mean square of each factor.

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
