"""
The fourteen families of covariances
====================================

Three components under each of the fourteen structures. Their letters are volume, shape and orientation: E equal, V
variable, I the axes of the columns. BIC is in the corner; smaller is better.
"""

import numpy as np
from matplotlib import pyplot

import fastem
from fastem import plot

names = ["EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"]
rng = np.random.default_rng(4)
shapes = [((0, 0), [[1.2, 0.9], [0.9, 1.0]]), ((5, 1), [[0.4, -0.2], [-0.2, 0.3]]), ((1, 6), [[2.5, 0.2], [0.2, 0.3]])]
X = np.vstack([rng.multivariate_normal(mean, covariance, 150) for mean, covariance in shapes])
figure, axes = pyplot.subplots(3, 5, figsize=(11, 6.6), sharex=True, sharey=True, layout="constrained")
for name, ax in zip(names, axes.flat):
    model = fastem.GaussianMixture(3, covariance_type=name, means_init=[mean for mean, _ in shapes]).fit(X)
    plot.mixture(model, X, ax=ax)
    ax.get_legend().remove()
    ax.set(title=name, xlabel="", ylabel="", xlim=(-5, 8.5), ylim=(-4.5, 9))
    ax.text(0.97, 0.04, f"{model.bic(X):.0f}", transform=ax.transAxes, ha="right", size="small")
axes[-1, -1].set_axis_off()
pyplot.show()
