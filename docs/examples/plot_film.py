"""
The fit step by step
====================

From the start to the maximum.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
start = fastem.GaussianMixture(2, init_params="k-means++", max_iter=0, random_state=0).fit(eruptions)
film = plot.animate(start, eruptions, n_frames=12)
pyplot.show()
