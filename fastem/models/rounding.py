"""How far rounding may take a log-likelihood from its exact value: a bound, in the spirit of LAPACK's.

The exact value is that of the rows and of the parameters as the numbers that they are. With u half an eps of the rows'
type, e = 2^-53, r_ik the responsibilities and l_ik = log w_k + log p_k(x_i):

1. log sum exp is convex, so an error d_ik of l_ik moves log p(x_i) by sum_k r_ik d_ik at most, with responsibilities at
   one end or the other: to first order, the rows' errors add up to sums that the pass has collected anyway. An emission
   says what they are (`Emission.log_density_error`): of the first and second moments, by Cauchy and Schwarz.
2. `normalise` (kernels/mixture_pass.pxi) adds the stated errors of exp and log, and what rounding does to l_ik less the
   largest of its row: u sum_k r_ik |gap_ik|, which is less than u times the row's entropy.
3. A sum of terms loses u times their absolute values for each addition on a term's way to the total: there is one known
   tree, whose longest way the kernels tell (`additions`). |log p(x_i)| is at most sum_k r_ik |l_ik| + entropy.
4. What is special to Gaussians, rows about a centre and factors of covariances, is in models/gaussian/rounding.py.

What is left out are products of two roundings, except where one of them may be large; `SLACK` covers them.

N. J. Higham: Accuracy and Stability of Numerical Algorithms, 2nd ed. SIAM 2002. Chapters 3, 4, 8 and 10.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastem import kernels
from fastem.rows.blocks import block_rows

UNIT = 2.0**-53  # of float64: half an eps
SLACK = 1.1
ANY_ROWS = 1 << 40  # more than any data have, where their number is not known


class Pass(NamedTuple):
    """A pass over rows.

    dtype: of the rows; centre: (d,) the point about which they were taken; incomplete: whether values were missing.
    """

    dtype: np.dtype
    centre: np.ndarray
    incomplete: bool = False

    @property
    def unit(self) -> float:
        """The relative error of one rounding."""
        return float(np.finfo(self.dtype).eps) / 2

    @property
    def kernels(self):
        """The compiled module, with its stated errors."""
        return kernels.for_dtype(self.dtype)


class Rounding(NamedTuple):
    """Of log-densities, as sums over rows and components by responsibility.

    size: of their absolute values, at least; error: what rounding may have changed in them, at most.
    """

    size: float
    error: float

    def plus(self, other: Rounding) -> Rounding:
        return Rounding(self.size + other.size, self.error + other.error)


def of_total(terms: Rounding, call, statistics, n_components, n_rows, passed: Pass) -> float:
    """The bound for a mixture's log-likelihood, from that of its terms."""
    stated, u, d = passed.kernels, passed.unit, len(passed.centre)
    doubt = abs(statistics.entropy) + statistics.weight * math.log(n_components)  # with labels, entropy may be negative
    size = terms.size + doubt
    in_real, in_double = additions(call, n_components, n_rows, d, stated)
    of_exp = (4 * stated.exp_ulps + n_components + 2) * statistics.weight if n_components > 1 else 0.0
    of_log = 2 * stated.log_ulps * statistics.weight * math.log(n_components)
    of_products = statistics.weight  # of some rows' totals, of which one logarithm is taken
    row = u * (of_exp + of_log + of_products + 2 * doubt + 2 * terms.size)
    error = terms.error + row + (u * (in_real + 2) + UNIT * (in_double + 4)) * size
    bound = float(SLACK * error * (1 + error / statistics.weight))
    return math.inf if math.isnan(bound) else bound


def additions(call, n_components, n_rows, d, module) -> tuple[int, int]:
    """The longest way of a term to the total: additions in the rows' type, and in float64."""
    n_rows = (ANY_ROWS if n_rows is None else n_rows) * (module.group_rows if call.grouped else 1)
    of_block = min(n_rows, block_rows(d))
    in_real, in_double = module.additions(call.parts, of_block, d, n_components)
    return in_real, in_double + math.ceil(math.log2(max(1, n_rows / of_block))) + 1
