"""
How fast EM converges
=====================

How far each value lies below the last one: the rate is linear, and slow where components overlap.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_iris

model = fastem.GaussianMixture(3, init_params="random", accelerate=None, random_state=0).fit(load_iris().data)
plot.history(model, gap=True)
pyplot.show()
