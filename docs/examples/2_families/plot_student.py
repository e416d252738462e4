"""
Heavy tails: Student-t components
=================================

Twenty rows far from all others. A Gaussian is widened by them; a Student-t component is not.
"""

import numpy as np
from matplotlib import pyplot

import fastem
from fastem import plot
from fastem.datasets import load_faithful

rng = np.random.default_rng(0)
X = np.vstack([load_faithful().data, np.column_stack([rng.uniform(0, 8, 20), rng.uniform(20, 130, 20)])])
figure, axes = pyplot.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained")
for kind, ax in zip([fastem.GaussianMixture, fastem.StudentTMixture], axes):
    plot.mixture(kind(2, random_state=0).fit(X), X, ax=ax)
pyplot.show()
