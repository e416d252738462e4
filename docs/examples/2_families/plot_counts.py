"""
Counts: Poisson components
==========================

Calls at two kinds of shops, at quiet and at busy ones; the data are drawn here.
"""

import numpy as np
from matplotlib import pyplot

import fastem
from fastem import plot

rng = np.random.default_rng(0)
calls = rng.poisson(np.where(rng.random(600) < 0.4, 2, 9))[:, None]
model = fastem.PoissonMixture(2, random_state=0).fit(calls)
plot.mixture(model, calls)
pyplot.show()
