"""
Two kinds of eruptions
======================

Each component at one and at two standard deviations, over the rows.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
model = fastem.GaussianMixture(2, random_state=0).fit(X)
plot.mixture(model, X)
pyplot.show()
