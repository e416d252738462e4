"""How much of the targets a regression explains."""

from __future__ import annotations

import numpy as np

from fastem.errors import warn
from fastem.rows.validation import as_sample_weight, in_moderate_units


def determination(targets, predicted, sample_weight) -> float:
    """The coefficient of determination of predictions (n, m), 1 - (squares about them) / (squares about the mean), the
    mean over outputs; of constant targets 1 where they are met, else 0; of less than two rows NaN, with a warning."""
    weight, _ = in_moderate_units(as_sample_weight(sample_weight, len(targets)))
    counted = targets if weight is None else targets[weight > 0]
    if len(counted) < 2:
        warn("the coefficient of determination needs two rows of positive weight: of one it is NaN.", UserWarning)
        return float("nan")
    constant = np.ptp(counted, axis=0) == 0  # the mean of which rounds
    mean = np.average(targets, axis=0, weights=weight)
    left, all_ = (np.average((targets - at) ** 2, axis=0, weights=weight) for at in (predicted, mean))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(left == 0, 1.0, np.where(constant | (all_ == 0), 0.0, 1 - left / all_))
    return float(shares.mean())
