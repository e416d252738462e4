"""
Several starts
==============

What each start of one fit has reached.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

X = load_faithful().data
model = fastem.GaussianMixture(5, n_init=8, random_state=0).fit(X)
plot.restarts(model)
pyplot.show()
