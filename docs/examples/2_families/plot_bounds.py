"""
Values below a limit of detection
=================================

Half of the lower values are only known to lie below 0.5. With `lower=` and `upper=` the fit takes them as that, and
finds the density of the values themselves; with the limit in their place it does not.
"""

import numpy as np
from matplotlib import pyplot

import fastem

rng = np.random.default_rng(0)
truth = np.concatenate([rng.normal(0.5, 1, (600, 1)), rng.normal(5, 1, (400, 1))])
limit = 0.5
X = np.maximum(truth, limit)
lower = np.where(truth < limit, -np.inf, truth)
models = {
    "censored": fastem.GaussianMixture(2, covariance_type="tied", random_state=0).fit(X, lower=lower, upper=X),
    "limit put in place": fastem.GaussianMixture(2, covariance_type="tied", random_state=0).fit(X),
}
figure, ax = pyplot.subplots(layout="constrained")
ax.hist(truth[:, 0], 40, density=True, color="0.8", label="the values themselves")
grid = np.linspace(-3, 9, 400)[:, None]
for name, model in models.items():
    ax.plot(grid, np.exp(model.score_samples(grid)), label=name)
ax.axvline(limit, color="0.4", linestyle=":", label="limit of detection")
ax.set(xlabel="value", ylabel="density", ylim=(0, 0.34))
ax.legend()
pyplot.show()
