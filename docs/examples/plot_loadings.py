"""
Loadings of factors
===================

Which columns go together.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
model = fastem.FactorAnalysis(1).fit(iris)
plot.loadings(model)
pyplot.show()
