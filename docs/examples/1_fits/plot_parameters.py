"""
Parameters as a heat map
========================

The means of each component. The colour says how far they are from the mean of all, in standard deviations: which
columns separate the components.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_iris

iris = load_iris()
X = pd.DataFrame(iris.data, columns=iris.columns)  # centimetres
model = fastem.GaussianMixture(3, random_state=0).fit(X)
plot.parameters(model)
pyplot.show()
