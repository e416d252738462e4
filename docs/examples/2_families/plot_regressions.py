"""
Two lines in one cloud: a mixture of regressions
================================================

Clusters of rows that follow different lines.
"""

import numpy as np
from matplotlib import pyplot

import fastem

rng = np.random.default_rng(0)
x = rng.uniform(0, 10, 300)
steep = rng.random(300) < 0.5
y = np.where(steep, 1 + 1.5 * x, 14 - 0.5 * x) + rng.normal(0, 1, 300)
model = fastem.MixtureOfRegressions(2, random_state=0).fit(x[:, None], y)
labels = model.predict_components(x[:, None], y).argmax(axis=1)
figure, ax = pyplot.subplots(layout="constrained")
for k in range(2):
    (points,) = ax.plot(x[labels == k], y[labels == k], ".", label=f"component {k}")
    ends = np.array([0, 10])
    ax.plot(ends, model.intercept_[k] + model.coef_[k, 0] * ends, color=points.get_color())
ax.set(xlabel="x", ylabel="y")
ax.legend()
pyplot.show()
