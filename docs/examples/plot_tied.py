"""
One covariance for all
======================

The family EEE, which BIC prefers here.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
model = fastem.GaussianMixture(3, covariance_type="EEE", random_state=0).fit(eruptions)
plot.mixture(model, eruptions)
pyplot.show()
