"""
How uncertain that is
=====================

One minus the largest posterior probability, for all pairs of columns: two of the three kinds of iris overlap.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_iris

iris = load_iris()
X = pd.DataFrame(iris.data, columns=iris.columns)  # centimetres
model = fastem.GaussianMixture(3, random_state=0).fit(X)
plot.uncertainty(model, X)
pyplot.show()
