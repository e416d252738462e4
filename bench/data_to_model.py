"""From data to model with default settings, fastem beside scikit-learn: ``python -P bench/data_to_model.py``.

Seconds of one fit each, and the mean log-likelihood of 50 000 rows that were held out: a fit that stops early or in a
poor optimum shows there.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import sklearn.mixture

import fastem

SHAPES = [  # rows, columns, components, how far apart in standard deviations, covariance
    (200_000, 8, 16, 4.0, "full"),
    (200_000, 8, 16, 1.5, "full"),
    (200_000, 8, 16, 0.7, "full"),
    (200_000, 2, 8, 2.0, "full"),
    (200_000, 16, 8, 1.0, "diag"),
    (1_000_000, 4, 8, 1.0, "full"),
]
HELD_OUT = 50_000


def data(n, d, n_components, separation, seed=1):
    """Rows of a mixture with unequal weights and general covariances."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_components, d)) * separation
    roots = rng.normal(size=(n_components, d, d)) * 0.3 + np.eye(d)
    component = rng.choice(n_components, size=n, p=rng.dirichlet(np.full(n_components, 3.0)))
    return np.einsum("nij,nj->ni", roots[component], rng.normal(size=(n, d))) + centres[component]


def main():
    """Print the table."""
    warnings.simplefilter("ignore")
    print(
        "| rows × columns, components | apart | covariance | fastem s | scikit-learn s | ratio | held-out difference |"
    )
    print("|---|---|---|---|---|---|---|")
    for n, d, n_components, separation, covariance in SHAPES:
        rows = data(n + HELD_OUT, d, n_components, separation)
        seconds, held_out = [], []
        for library in (fastem, sklearn.mixture):
            started = time.perf_counter()
            model = library.GaussianMixture(n_components, covariance_type=covariance, random_state=0).fit(rows[:n])
            seconds.append(time.perf_counter() - started)
            held_out.append(model.score(rows[n:]))
        print(
            f"| {n}×{d}, {n_components} | {separation} | {covariance} | {seconds[0]:.3f} | {seconds[1]:.2f} "
            f"| {seconds[1] / seconds[0]:.0f}× | {held_out[0] - held_out[1]:+.5f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
