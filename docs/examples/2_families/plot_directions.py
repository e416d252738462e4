"""
Directions: von Mises–Fisher components
=======================================

Directions on a circle, with the most probable component of each and the mean directions as arrows.
"""

import numpy as np
from matplotlib import pyplot

import fastem
from fastem import plot

rng = np.random.default_rng(0)
angle = np.concatenate([rng.vonmises(0.5, 12, 150), rng.vonmises(2.4, 4, 150), rng.vonmises(-1.5, 30, 100)])
X = np.column_stack([np.cos(angle), np.sin(angle)])
model = fastem.VonMisesFisherMixture(3, random_state=0).fit(X)
ax = plot.responsibilities(model, X)
for x, y in model.mean_directions_:
    ax.annotate("", (0.6 * x, 0.6 * y), (0, 0), arrowprops={"arrowstyle": "->"})
ax.set_aspect("equal")
pyplot.show()
