"""
Two kinds of eruptions
======================

Components over the data: ellipses at one and two standard deviations.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
model = fastem.GaussianMixture(2, random_state=0).fit(eruptions)
plot.mixture(model, eruptions)
pyplot.show()
