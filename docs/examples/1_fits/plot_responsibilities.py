"""
To which component each row belongs
===================================

Colours are mixed by the posterior probabilities, so a row between two components has a colour between theirs.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
model = fastem.GaussianMixture(3, covariance_type="EEE", random_state=0).fit(X)
plot.responsibilities(model, X)
pyplot.show()
