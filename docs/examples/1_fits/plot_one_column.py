"""
One column
==========

Weighted densities over a histogram; their sum is the mixture.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
waiting = X[["waiting"]]
model = fastem.GaussianMixture(2, random_state=0).fit(waiting)
plot.mixture(model, waiting)
pyplot.show()
