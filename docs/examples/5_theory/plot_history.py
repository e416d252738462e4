"""
What each step gained
=====================

The M-step raises the bound, the E-step makes it touch.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_iris

X = load_iris().data[50:, 2:]
model = fastem.GaussianMixture(2, init_params="k-means++", accelerate=None, max_iter=12, random_state=0).fit(X)
plot.history(model)
pyplot.show()
