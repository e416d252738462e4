"""What the model of wide rows (values and side columns) says of all rows: a `score` per block, and these together."""

from __future__ import annotations

import numpy as np


def output(of_blocks, name, dtype=None, by_component=False) -> np.ndarray:
    """One of the outputs of the `score` of the model, of all rows.

    of_blocks(function): [function(model of wide rows, wide rows, their weights, threads)] of each block. dtype None:
    that of the rows.
    """

    def of_block(model, rows, weight, n_threads):
        shape = (len(rows), model.mixture.n_components) if by_component else len(rows)
        values = np.empty(shape, rows.dtype if dtype is None else dtype)
        model.score(rows, n_threads, **{name: values})
        return values

    return np.concatenate(of_blocks(of_block))


def totals(of_blocks, dtype=None) -> tuple[float, float, float]:
    """The weight of the rows together, their log-likelihood, and their doubt: minus the logarithms of the largest
    posterior probabilities, which the model gives in this type."""

    def of_block(model, rows, weight, n_threads):
        shape = len(rows), model.mixture.n_components
        density, posterior = np.empty(len(rows)), np.empty(shape, rows.dtype if dtype is None else dtype)
        model.score(rows, n_threads, log_density=density, responsibilities=posterior)
        weight = np.ones(len(rows)) if weight is None else weight
        return weight.sum(), weight @ density, -(weight @ np.log(posterior.max(axis=1).astype(np.float64)))

    weight, density, doubt = np.sum(of_blocks(of_block), axis=0).tolist()
    if not weight > 0:
        raise ValueError("All sample_weight are zero: at least one row must count.")
    return weight, density, doubt
