"""
Choose the model
================

BIC of families and numbers of components, as differences from the best.
"""

import pandas as pd
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
found = fastem.select(X, range(1, 6), ["EII", "VVI", "EEE", "VVE", "VVV"], random_state=0)
plot.selection(found, relative=True)
pyplot.show()
