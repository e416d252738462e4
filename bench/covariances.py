"""An iteration of each of the fourteen covariance families, beside that of full or diagonal ones on the same rows."""

from __future__ import annotations

import numpy as np

from bench.contest import Session
from bench.families import compared
from bench.report import Section

SHAPES = [(200_000, 4, 4), (200_000, 16, 8)]
MOST = 1.5
LEGEND = """\
One E-step and one M-step, the third of a fit, so that iterated estimates go on from those before. Beside: VVI for
the families whose axes are the columns, VVV for the others, at the same iteration."""


def run(session: Session) -> Section:
    """Every shape in both real types; a process for each."""
    return compared(session, "Covariance families", "covariances", SHAPES, "VVV or VVI", MOST, LEGEND)


def samples(n: int, d: int, K: int, dtype: str):
    """Of each family: its name, rows, its mixture after two iterations, that of VVV or VVI after as many."""
    from fastem.models.gaussian.parsimonious import FAMILIES

    rng = np.random.default_rng([n, d, K])
    means, roots = 2 * rng.standard_normal((K, d)), rng.standard_normal((K, d, d)) / np.sqrt(d) + np.eye(d)
    component = rng.integers(K, size=n)
    X = np.empty((n, d), dtype)
    for k in range(K):
        own = component == k
        X[own] = means[k] + rng.standard_normal((own.sum(), d)) @ roots[k]
    begun = {name: _iterated(X, family, means) for name, family in FAMILIES.items()}
    for name, mixture in begun.items():
        yield name, X, mixture, begun["VVI" if name.endswith("I") else "VVV"]


def _iterated(X, family, means):
    """The mixture of a family after two iterations from spheres about these means."""
    from fastem.models.gaussian.emission import Gaussian
    from fastem.models.mixture import Mixture

    K, d = means.shape
    floor = np.full(d, 1e-9)
    shape = family.shape(K, d)
    unit = np.broadcast_to(np.eye(d) if shape[-2:] == (d, d) else 1.0, shape)
    mixture = Mixture(np.full(K, 1 / K), Gaussian(means, family.from_covariances(unit.copy(), floor), floor))
    for _ in range(2):
        mixture = mixture.m_step(mixture.e_step(X))
    return mixture
