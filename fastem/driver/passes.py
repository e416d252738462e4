"""What the driver reads: the data as blocks, and the sums of a pass over them, checked."""

from __future__ import annotations

import numpy as np

from fastem.errors import CheckpointError, LogLikelihoodNotFinite, StatisticsNotFinite
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.e_step import BlockModel
from fastem.rows.sources.open_rows import in_memory, in_moderate_weights, open_rows
from fastem.rows.statistics import Statistics
from fastem.rows.validation import as_sample_weight

WEIGHT_ROUNDING = 1e-4  # relative, of a sum of weights that a model may have taken in float32


def as_blocks(data, sample_weight):
    """Data as blocks; an array is taken as it is, because a user's model may have rows of any shape and type."""
    if in_memory(data) and not isinstance(sample_weight, str):
        X = np.asanyarray(data)
        X = X if X.flags.aligned else X.copy()  # compiled code may take it for granted
        return ArrayBlocks(X, as_sample_weight(sample_weight, len(X)))
    return open_rows(data, sample_weight)


def n_components(model) -> int:
    """How much work a row is, roughly: as many densities as the model has components."""
    return getattr(model, "n_components", 1)


def weighed_blocks(model, data, sample_weight):
    """Data as blocks for a model of fastem's in a moderate unit of weight, and this unit; see EMResult.

    Other models get the weights as they are.
    """
    blocks = as_blocks(data, sample_weight)
    if not isinstance(model, BlockModel):
        return blocks, 1.0
    moderate, unit = in_moderate_weights(blocks)
    if unit == 1 or not model.prior_counts_rows:
        return moderate, unit
    if dtype_of(blocks) == np.float32:
        raise ValueError(
            "sample_weight is at most 1e-9 in every row, or at least 1e9 in some. A prior counts as a number of rows, "
            "so the weights cannot have another unit, and float32 does not hold their sums. Divide sample_weight by "
            "its mean."
        )
    return blocks, 1.0


def dtype_of(blocks):
    """The real type in which rows are summed: float64, but for rows of float32."""
    return np.dtype(np.float32 if getattr(blocks, "dtype", None) == np.float32 else np.float64)


def require_weighed(statistics, model, blocks) -> None:
    """ValueError where a user's E-step has not counted the rows with their weights."""
    if isinstance(model, BlockModel) or not getattr(blocks, "weighted", False):
        return
    total = blocks.total_weight
    if abs(statistics.weight - total) > WEIGHT_ROUNDING * total:
        raise ValueError(
            f"the e_step of {type(model).__name__} returned weight={statistics.weight:.10g}, but the sum of "
            f"sample_weight is {total:.10g}. Multiply what it sums over the rows by sample_weight, row by row."
        )


def collect(blocks, model, n_threads, like=None) -> Statistics:
    """The sums of one pass, checked: complete, finite, and shaped like those of the pass before."""
    statistics = blocks.reduce(model, n_threads)
    e_step = f"the e_step of {type(model).__name__}"
    if not isinstance(statistics, Statistics):
        raise TypeError(f"{e_step} must return fastem.Statistics, not {type(statistics).__name__}")
    for name in ("log_likelihood", "weight"):
        if name not in statistics:
            raise ValueError(f"{e_step} must return {name!r} among its statistics: {statistics}")
        if np.ndim(getattr(statistics, name)):
            raise ValueError(f"{e_step} must return {name!r} as one number, the sum over the rows: {statistics}")
    if not statistics.weight > 0:
        raise ValueError(
            f"{e_step} must return a positive 'weight', the sum of its rows' weights, not {statistics.weight}"
        )
    if not np.isfinite(statistics.log_likelihood / statistics.weight):
        raise LogLikelihoodNotFinite(
            f"the log-likelihood of {type(model).__name__} is {statistics.log_likelihood}; the data may overflow "
            "(rescale X), or no component can produce one of the rows"
        )
    bad = statistics.not_finite()
    if bad:
        narrow = "; float32 does not hold how far some rows are from the components: pass float64"
        raise StatisticsNotFinite(
            f"{e_step} returned statistics that are not finite: {', '.join(bad)}"
            + (narrow if dtype_of(blocks) == np.float32 else "")
        )
    changed = statistics.differences(like) if like is not None else []
    if changed:
        raise ValueError(f"{e_step} changed the shape of its statistics since the last pass: {', '.join(changed)}")
    return statistics


def require_same_data(statistics, before):
    """CheckpointError where the data give other statistics of a model than `before`."""
    if statistics.vector.tobytes() != before.vector.tobytes():
        raise CheckpointError(
            "the data are not those of the fit to resume: the statistics of its model have changed. To start from its "
            "parameters on other data, pass its model."
        )
