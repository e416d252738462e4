"""
Missing values
==============

A third of the values is taken away; the fit uses what is left, and fills the gaps with conditional means.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
rng = np.random.default_rng(0)
gaps = X.mask(rng.random(X.shape) < 0.33)
model = fastem.GaussianMixture(2, random_state=0).fit(gaps)
filled = model.impute(gaps)
ax = plot.mixture(model, gaps.dropna())
one = gaps.isna().sum(axis=1) == 1
ax.scatter(*np.asarray(filled)[one].T, s=14, marker="+", color="black", label="one value filled in")
ax.legend(loc="lower right", fontsize="small")
pyplot.show()
