"""
How fast EM converges
=====================

How far each value lies below the last one.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
model = fastem.GaussianMixture(3, init_params="random", accelerate=None, random_state=0).fit(iris)
plot.history(model, gap=True)
pyplot.show()
