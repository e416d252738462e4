"""
EM as alternate maximisation
============================

M-steps go across, E-steps up, and each climbs F(q, θ).
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_iris

X = load_iris().data[50:, 2:]
model = fastem.GaussianMixture(2, init_params="k-means++", max_iter=1, accelerate=None, random_state=0).fit(X)
plot.alternation(model, X)
pyplot.show()
