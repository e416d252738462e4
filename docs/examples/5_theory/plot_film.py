"""
The fit step by step
====================

From the start to the maximum.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
start = fastem.GaussianMixture(2, init_params="k-means++", max_iter=0, random_state=0).fit(X)
film = plot.animate(start, X, n_frames=8)
pyplot.show()
