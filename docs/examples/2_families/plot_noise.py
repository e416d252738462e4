"""
Clutter: a noise component
==========================

Rows scattered over a box get a component of constant density; its rows are crosses.
"""

import numpy as np
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

rng = np.random.default_rng(0)
X = np.vstack([load_faithful().data, np.column_stack([rng.uniform(1, 6, 80), rng.uniform(35, 105, 80)])])
model = fastem.GaussianMixture(2, noise="box", random_state=0).fit(X)
plot.mixture(model, X)
pyplot.show()
