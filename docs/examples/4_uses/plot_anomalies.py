"""
Anomalies
=========

Rows that are less likely than one in a hundred under the fit.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
model = fastem.GaussianMixture(2, random_state=0).fit(X)
odd = model.is_outlier(X, rate=0.01)
ax = plot.density(model, X)
ax.plot(*X[odd].to_numpy().T, "x", color="red", label=f"{odd.sum()} anomalies")
ax.legend(loc="upper left")
pyplot.show()
