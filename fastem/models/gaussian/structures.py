"""The covariance structures by the names of `covariance_type`."""

from __future__ import annotations

import numpy as np

from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.parsimonious import FAMILIES, ONE_DIMENSION

STRUCTURES = {"full": Full, "tied": Tied, "diag": Diagonal, "spherical": Spherical, **FAMILIES, **ONE_DIMENSION}

LETTERS = {structure: name for name, structure in FAMILIES.items()}
FREEDOM = "IEV"  # of a volume, a shape or an orientation: that of the identity, equal, variable


def is_narrower(structure, other) -> bool:
    """Whether all covariances of one structure are also of another one.

    Examples
    --------
    >>> is_narrower(STRUCTURES["EEI"], STRUCTURES["VEV"]), is_narrower(STRUCTURES["VVI"], STRUCTURES["EEV"])
    (True, False)
    """
    pairs = zip(LETTERS[structure], LETTERS[other])
    return structure is not other and all(FREEDOM.index(own) <= FREEDOM.index(wide) for own, wide in pairs)


def of_dense(covariances, structure, floor):
    """A structure with these covariances (K, d, d), which are of it, raised to the floor (d,)."""
    if len(structure.shape(1, 1)) == 1:
        own = np.trace(covariances, axis1=1, axis2=2) / len(floor)
    elif structure.kernel == "gaussian_diagonal":
        own = np.diagonal(covariances, axis1=1, axis2=2)
    else:
        own = covariances[0] if structure.kernel == "gaussian_tied" else covariances
    return structure.from_covariances(np.ascontiguousarray(own), floor)


def check_dimension(covariance_type, d):
    """ValueError where mclust's name is for one column and X has more, or the other way round."""
    if d == 1 and covariance_type in FAMILIES:
        raise ValueError(
            f"covariance_type={covariance_type!r} is only for several columns, but X has one column: "
            "choose 'E' (equal variances) or 'V' (variable variances)."
        )
    if d > 1 and covariance_type in ONE_DIMENSION:
        names = ", ".join(FAMILIES)
        raise ValueError(f"covariance_type={covariance_type!r} is only for one column, but X has {d}: choose {names}.")
