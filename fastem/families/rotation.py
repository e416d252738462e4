"""Orthogonal rotations of loadings to simple structure: they change the meaning of the factors, not the likelihood."""

from __future__ import annotations

import numpy as np

MOST_STEPS = 100
LEAST_GAIN = {True: 1e-5, False: 1e-6}  # with Kaiser's normalisation R's, whose tables are published; scikit-learn's


def _varimax(loadings):
    return (loadings**2).mean(axis=0)


def _quartimax(loadings):
    return 0


ROTATIONS = {"varimax": _varimax, "quartimax": _quartimax}


def rotated(loadings, rotation, kaiser=True):
    """Loadings (d, q), rotated so that their squares vary most. varimax: about the mean square of each factor.

    kaiser : the criterion is that of rows of length 1, so that every column counts the same in any unit, as in R's
    `varimax` and `factanal`; False: of the loadings as they are.

    Kaiser: The varimax criterion for analytic rotation in factor analysis. Psychometrika 23 (1958) 187-200.
    """
    rows = unit_rows(loadings) if kaiser else loadings
    turn, criterion = np.eye(loadings.shape[1]), 0.0
    for _ in range(MOST_STEPS):
        now = rows @ turn
        left, values, right = np.linalg.svd(rows.T @ (now * (now**2 - ROTATIONS[rotation](now))))
        turn, last, criterion = left @ right, criterion, values.sum()
        if criterion < last * (1 + LEAST_GAIN[kaiser]):
            break
    return loadings @ turn


def unit_rows(loadings):
    """Rows divided by their lengths, the roots of the communalities; rows of 0 stay."""
    largest = np.abs(loadings).max(axis=1, keepdims=True)
    rows = loadings / np.where(largest > 0, largest, 1)  # so that no square leaves the range of numbers
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return rows / np.where(length > 0, length, 1)
