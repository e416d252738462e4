"""
All pairs of columns
====================

Four columns: densities on the diagonal, ellipses below it.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_iris

iris = load_iris()
X = pd.DataFrame(iris.data, columns=iris.columns)  # centimetres
model = fastem.GaussianMixture(3, random_state=0).fit(X)
plot.mixture(model, X)
pyplot.show()
