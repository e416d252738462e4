"""
One column
==========

Weighted densities over a histogram.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
model = fastem.GaussianMixture(2, random_state=0).fit(eruptions[:, 1:])
plot.mixture(model, eruptions[:, 1:])
pyplot.show()
