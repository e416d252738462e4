"""
One column from another
=======================

The conditional mean of the waiting time, and two standard deviations about it.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot

import fastem
from fastem.datasets import load_faithful

faithful = load_faithful()
X = pd.DataFrame(faithful.data, columns=faithful.columns)  # minutes
model = fastem.GaussianMixtureRegressor(2, random_state=0).fit(X[["eruptions"]], X["waiting"])
grid = pd.DataFrame({"eruptions": np.linspace(1.5, 5.2, 200)})
mean, deviation = model.predict(grid, return_std=True)
figure, ax = pyplot.subplots(layout="constrained")
ax.plot(X["eruptions"], X["waiting"], ".", color="0.6", label="rows")
ax.plot(grid["eruptions"], mean, label="conditional mean")
ax.fill_between(
    grid["eruptions"], mean - 2 * deviation, mean + 2 * deviation, alpha=0.2, label="two standard deviations"
)
ax.set(xlabel="eruptions", ylabel="waiting")
ax.legend()
pyplot.show()
