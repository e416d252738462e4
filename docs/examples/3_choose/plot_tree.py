"""
Clusters of several components
==============================

BIC needs many Gaussians for two curved clusters. Merged by entropy, they are two.
"""

from matplotlib import pyplot
from sklearn.datasets import make_moons

import fastem
from fastem import plot

X, _ = make_moons(600, noise=0.05, random_state=0)
model = fastem.GaussianMixture(6, random_state=0).fit(X)
merging = model.merge_components(X)
figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.scatter(*X.T, c=merging.predict(X), s=6, cmap="Paired")
for k, (x, y) in enumerate(model.means_):
    left.text(x, y, k, weight="bold", ha="center", va="center")
left.set(title="rows by cluster, numbers of components", xlabel="x0", ylabel="x1")
plot.tree(merging, ax=right)
pyplot.show()
