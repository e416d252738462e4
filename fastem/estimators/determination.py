"""How much of the targets a regression explains."""

from __future__ import annotations

import numpy as np

from fastem.rows.validation import as_sample_weight


def determination(targets, predicted, sample_weight) -> float:
    """The coefficient of determination of predictions (n, m), 1 - (squares about them) / (squares about the mean), the
    mean over outputs; of constant targets 1 where they are met, else 0."""
    weight = as_sample_weight(sample_weight, len(targets))
    mean = np.average(targets, axis=0, weights=weight)
    left, all_ = (np.average((targets - at) ** 2, axis=0, weights=weight) for at in (predicted, mean))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(left == 0, 1.0, np.where(all_ == 0, 0.0, 1 - left / all_))
    return float(shares.mean())
