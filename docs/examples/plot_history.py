"""
What each step gained
=====================

The M-step raises the bound, the E-step makes it touch.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
model = fastem.GaussianMixture(2, init_params="random", accelerate=None, random_state=0).fit(eruptions)
plot.history(model)
pyplot.show()
