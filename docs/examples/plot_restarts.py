"""
Several starts
==============

Where they end.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
fits = [fastem.GaussianMixture(3, init_params="random", random_state=s).fit(eruptions) for s in range(4)]
plot.restarts(fits)
pyplot.show()
