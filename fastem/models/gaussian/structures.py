"""The covariance structures by the names of `covariance_type`."""

from __future__ import annotations

from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.parsimonious import FAMILIES, ONE_DIMENSION

STRUCTURES = {"full": Full, "tied": Tied, "diag": Diagonal, "spherical": Spherical, **FAMILIES, **ONE_DIMENSION}


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
