"""
Loadings of factors
===================

Three factors for the thirteen standardised columns of scikit-learn's wines: which columns go together.
"""

from matplotlib import pyplot
from sklearn.datasets import load_wine

import fastem
from fastem import plot

wine = load_wine(as_frame=True).data
wine = (wine - wine.mean()) / wine.std()
model = fastem.FactorAnalysis(3, rotation="varimax").fit(wine)
plot.loadings(model, ax=pyplot.figure(figsize=(9, 4), layout="constrained"))
pyplot.show()
