"""
How uncertain that is
=====================

The rows between two components.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
model = fastem.GaussianMixture(3, random_state=0).fit(iris[:, 2:])
plot.uncertainty(model, iris[:, 2:])
pyplot.show()
