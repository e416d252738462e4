"""The tree of merged components."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.estimators.merging import Merging
from fastem.plot.canvas import GREY, axes_grid, colour


def tree(merging, *, ax=None) -> Any:
    """How components merge into clusters: a merge is as high as the entropy that all merges up to it have removed.

    The dashed line cuts the tree where :meth:`~fastem.estimators.merging.Merging.elbow` says.

    Parameters
    ----------
    merging : what ``merge_components`` of a fitted mixture gives
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    if not isinstance(merging, Merging):
        raise TypeError(f"tree expects the result of merge_components. Got {type(merging).__name__} instead.")
    K, removed = merging.n_components, merging.entropies[0] - merging.entropies
    (ax,) = axes_grid(ax).flat
    order = leaves(merging.pairs, K)
    at = {k: (float(order.index(k)), 0.0) for k in range(K)}  # where the stem of each cluster stands now
    for height, (kept, absorbed) in zip(removed[1:], merging.pairs.tolist()):
        (x, low), (other, other_low) = at[kept], at[absorbed]
        ax.plot([x, x, other, other], [low, height, height, other_low], color=colour(0), linewidth=1.5)
        at[kept] = (x + other) / 2, float(height)
    cut = K - merging.elbow()
    if 0 < cut < K - 1:
        ax.axhline((removed[cut] + removed[cut + 1]) / 2, color=GREY, linestyle="--", linewidth=1)
    ax.set_xticks(np.arange(K), [str(k) for k in order])
    ax.set(xlabel="component", ylabel="entropy removed, nats", title=f"{merging.elbow()} clusters of {K} components")
    ax.set_ylim(bottom=0)
    return ax


def leaves(pairs, K) -> list[int]:
    """The components in an order in which no branches cross."""
    groups = {k: [k] for k in range(K)}
    for kept, absorbed in pairs.tolist():
        groups[kept] += groups.pop(absorbed)
    return [k for group in groups.values() for k in group]
