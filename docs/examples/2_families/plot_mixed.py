"""
Columns of different kinds
==========================

Amounts, counts and codes in one mixture: means and rates are coloured by what they separate, probabilities from 0 to 1.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot

rng = np.random.default_rng(0)
kind = rng.random(500) < 0.4
X = pd.DataFrame(
    {
        "amount": rng.normal(np.where(kind, 30, 55), 8),
        "visits": rng.poisson(np.where(kind, 9, 2)),
        "paid by": np.where(rng.random(500) < 0.5, rng.integers(3, size=500), kind),
    }
)
model = fastem.MixedMixture(2, kinds=["gaussian", "poisson", "categorical"], random_state=0).fit(X)
plot.parameters(model)
pyplot.show()
