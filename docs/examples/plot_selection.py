"""
Choose the model
================

BIC of families and numbers of components.
"""

from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

eruptions, iris = load_faithful().data, load_iris().data
found = fastem.select(eruptions, range(1, 5), ["EII", "EEE", "VVV"], random_state=0)
plot.selection(found)
pyplot.show()
