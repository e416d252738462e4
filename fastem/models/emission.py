"""What a mixture asks of its K densities."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class KernelCall(NamedTuple):
    """What a compiled pass needs, and how its sums become named statistics.

    parts: (compiled family, number of columns, its arrays); order: the columns of X in the parts' order, or None;
    grouped: whether it takes rows by their patterns of missing values.
    See ``expect`` in kernels/mixture_pass.pxi.
    """

    parts: tuple
    centre: np.ndarray
    unpack: Callable[[np.ndarray], dict]
    order: np.ndarray | None = None
    grouped: bool = False


def flat(array, dtype):
    """A contiguous one-dimensional copy in the kernel's real type."""
    return np.ascontiguousarray(array, dtype=dtype).ravel()
