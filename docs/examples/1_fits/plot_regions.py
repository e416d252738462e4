"""
Which component is the most probable
====================================

The stronger the colour, the surer.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
model = fastem.GaussianMixture(3, covariance_type="EEE", random_state=0).fit(X)
plot.regions(model, X)
pyplot.show()
