"""
Are the rows as the mixture says?
=================================

One Gaussian is not right for the waiting times; two are.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
waiting = X[["waiting"]]
figure, axes = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
for K, ax in zip([1, 2], axes):
    plot.qq(fastem.GaussianMixture(K, random_state=0).fit(waiting), waiting, ax=ax)
    ax.set_title(f"{K} component{'s' * (K > 1)}")
pyplot.show()
