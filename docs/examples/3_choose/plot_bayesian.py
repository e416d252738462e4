"""
A posterior empties what it does not need
=========================================

Ten components under a prior that likes few: the weights that are left.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
model = fastem.BayesianGaussianMixture(10, weight_concentration_prior=0.01, random_state=0).fit(X)
figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
plot.mixture(model.prune(), X, ax=left)
right.bar(range(10), sorted(model.weights_, reverse=True))
right.set(xlabel="component, largest first", ylabel="weight", xticks=range(10))
pyplot.show()
