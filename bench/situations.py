"""Rows on which starts of Gaussian mixtures are compared: each situation is one way in which a start goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Situation:
    """What is drawn and fitted.

    Attributes
    ----------
    draw : callable
        ``draw(rng)`` gives rows (n, d).
    K : int
        Components to fit.
    covariance_type : str
    """

    draw: Callable[[np.random.Generator], np.ndarray]
    K: int
    covariance_type: str = "full"


def spheres(n, d, K, apart, sizes=None, scales=None):
    """K spheres about normal means, whose nearest neighbours are about `apart` standard deviations apart."""

    def draw(rng):
        means = rng.normal(size=(K, d))
        gaps = np.linalg.norm(means[:, None] - means, axis=2) + np.where(np.eye(K), np.inf, 0)
        means *= apart / np.median(gaps.min(axis=1))
        label = rng.choice(K, n, p=None if sizes is None else np.array(sizes) / np.sum(sizes))
        scale = np.ones(K) if scales is None else np.resize(scales, K)
        return means[label] + scale[label, None] * rng.normal(size=(n, d))

    return draw


def unlike(n, d, K, apart, low=0.3, high=1.5):
    """K Gaussians of unlike axes and orientations."""

    def draw(rng):
        means, axes = apart * rng.normal(size=(K, d)), np.linalg.qr(rng.normal(size=(K, d, d)))[0]
        roots, label = axes * rng.uniform(low, high, (K, 1, d)), rng.integers(0, K, n)
        return means[label] + np.einsum("nij,nj->ni", roots[label], rng.normal(size=(n, d)))

    return draw


def box(n, d, K, width=10.0, low=0.5, high=1.5):
    """K diagonal Gaussians of unlike sizes whose means are uniform in a box."""

    def draw(rng):
        means, scales = rng.uniform(0, width, (K, d)), rng.uniform(low, high, (K, d))
        share = rng.dirichlet(np.full(K, 3.0))
        label = rng.choice(K, n, p=share)
        return means[label] + scales[label] * rng.normal(size=(n, d))

    return draw


def beside_noise(n, telling, noise, K, apart):
    """K clusters in some columns, beside columns that say nothing."""
    clusters = spheres(n, telling, K, apart)

    def draw(rng):
        return np.column_stack([clusters(rng), rng.normal(size=(n, noise))])

    return draw


def one_telling(n, noise, apart, share=0.4):
    """Two clusters in one column, beside columns of noise."""

    def draw(rng):
        shift = apart * (rng.random(n) < share)
        return np.column_stack([rng.normal(size=n) + shift, rng.normal(size=(n, noise))])

    return draw


def tiny_and_far(n, few, far, d=2, scale=0.3):
    """A huge cluster, and tiny ones far away."""

    def draw(rng):
        places = [rng.normal(0, 1, (n, d))]
        for i, (size, distance) in enumerate(zip(few, far)):
            centre = np.zeros(d)
            centre[i % d] = distance
            places.append(rng.normal(centre, scale, (size, d)))
        return np.vstack(places)

    return draw


def parallel(n, K, length, apart, d=2):
    """Long clusters side by side, turned as a whole."""

    def draw(rng):
        label, turn = rng.integers(0, K, n), np.linalg.qr(rng.normal(size=(d, d)))[0]
        X = rng.normal(size=(n, d))
        X[:, 0] *= length
        X[:, 1] += apart * label
        return X @ turn

    return draw


def with_outliers(draw_rows, share, width):
    """Some rows are replaced by others from far around."""

    def draw(rng):
        X = draw_rows(rng)
        far = rng.random(len(X)) < share
        X[far] = rng.uniform(-width, width, (far.sum(), X.shape[1]))
        return X

    return draw


def in_units(draw_rows, low=-3, high=3):
    """Each column in a unit of its own."""

    def draw(rng):
        X = draw_rows(rng)
        return X * 10.0 ** rng.uniform(low, high, X.shape[1])

    return draw


def line(n, means, deviations, shares):
    """One column."""

    def draw(rng):
        label = rng.choice(len(means), n, p=shares)
        return rng.normal(np.array(means)[label], np.array(deviations)[label])[:, None]

    return draw


def heavy(n, d, K, apart):
    """Clusters with heavy tails, which Gaussians do not have."""

    def draw(rng):
        means, label = apart * rng.normal(size=(K, d)), rng.integers(0, K, n)
        return means[label] + rng.standard_t(4, (n, d))

    return draw


def rings(n):
    """Two rings: no mixture of few Gaussians is true."""

    def draw(rng):
        radius, angle = np.where(rng.random(n) < 0.5, 3, 8) + 0.3 * rng.normal(size=n), rng.uniform(0, 2 * np.pi, n)
        return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])

    return draw


def nested(n, d=2):
    """Clusters about one point, of three widths."""

    def draw(rng):
        return rng.choice([0.2, 1.0, 5.0], n, p=[0.3, 0.4, 0.3])[:, None] * rng.normal(size=(n, d))

    return draw


def grid(n, side, gap):
    """A cluster at each point of a square grid."""

    def draw(rng):
        return gap * rng.integers(0, side, (n, 2)) + rng.normal(size=(n, 2))

    return draw


def low_rank(n, d, K, q, apart):
    """Clusters that vary in a few directions each, and little in the others."""

    def draw(rng):
        means, loadings = apart * rng.normal(size=(K, d)), rng.normal(size=(K, q, d))
        label = rng.integers(0, K, n)
        rows = np.einsum("nq,nqd->nd", rng.normal(size=(n, q)), loadings[label])
        return means[label] + rows + 0.5 * rng.normal(size=(n, d))

    return draw


UNEVEN = (60, 20, 10, 5, 3, 2)
SITUATIONS = {
    "overlap, d=2": Situation(spheres(1000, 2, 3, 2.0), 3),
    "overlap, d=5, K=5": Situation(spheres(3000, 5, 5, 2.5), 5),
    "overlap on a line": Situation(line(2000, [2, 5, 7], [1, 1, 1], [0.2, 0.6, 0.2]), 3),
    "one narrow in one wide": Situation(line(1000, [0, 0.5], [3, 0.3], [0.6, 0.4]), 2),
    "line, K=6": Situation(line(3000, [0, 4, 8, 12, 16, 20], [1, 0.5, 1, 0.5, 1, 0.5], np.full(6, 1 / 6)), 6),
    "small sample, n=50": Situation(spheres(50, 2, 2, 4.0), 2),
    "small sample, n=100, d=4": Situation(spheres(100, 4, 3, 4.0), 3),
    "small sample, n=150, diag": Situation(box(150, 4, 4), 4, "diag"),
    "separated, d=2, K=8": Situation(box(1000, 2, 8, 30), 8),
    "separated, d=10, K=8": Situation(box(2000, 10, 8), 8, "diag"),
    "separated, d=10, K=8, full": Situation(box(4000, 10, 8), 8),
    "separated, d=30, K=4": Situation(spheres(1000, 30, 4, 6.0), 4),
    "separated, d=50, K=10": Situation(spheres(3000, 50, 10, 8.0), 10, "diag"),
    "separated, d=100, K=5": Situation(spheres(3000, 100, 5, 8.0), 5, "diag"),
    "separated, spherical, K=10": Situation(spheres(2000, 4, 10, 5.0), 10, "spherical"),
    "separated, K=20": Situation(box(5000, 3, 20, 20), 20),
    "separated, K=50": Situation(box(10_000, 2, 50, 60), 50, "diag"),
    "grid of 25": Situation(grid(5000, 5, 6.0), 25, "spherical"),
    "grid of 16": Situation(grid(2000, 4, 5.0), 16),
    "uneven sizes": Situation(spheres(2000, 3, 6, 6.0, UNEVEN), 6),
    "uneven sizes, diag": Situation(spheres(3000, 8, 6, 6.0, UNEVEN), 6, "diag"),
    "uneven sizes and scales": Situation(spheres(2000, 2, 5, 6.0, (50, 20, 15, 10, 5), (2.0, 0.3, 1.0)), 5),
    "unlike scales": Situation(spheres(2000, 5, 4, 8.0, None, (0.2, 1, 3)), 4),
    "nested widths": Situation(nested(2000), 3),
    "unlike axes, d=4": Situation(unlike(1500, 4, 5, 2.5), 5),
    "unlike axes, d=8, K=8": Situation(unlike(5000, 8, 8, 1.5), 8),
    "unlike axes, tied": Situation(unlike(2000, 4, 4, 3.0, 0.8, 1.2), 4, "tied"),
    "one telling column of 11": Situation(one_telling(1000, 10, 6.0), 2),
    "one telling column of 21": Situation(one_telling(2000, 20, 6.0), 2),
    "one telling column, diag": Situation(one_telling(1000, 15, 5.0), 2, "diag"),
    "3 telling columns of 23": Situation(beside_noise(2000, 3, 20, 4, 6.0), 4),
    "5 telling columns of 25, diag": Situation(beside_noise(1500, 5, 20, 5, 6.0), 5, "diag"),
    "tiny and far, n=20 000": Situation(tiny_and_far(20_000, (60, 200), (12, 15)), 3),
    "tiny and far, n=200 000": Situation(tiny_and_far(200_000, (60, 200), (12, 15)), 3),
    "tiny and far, d=6": Situation(tiny_and_far(5000, (40, 80, 40), (10, 12, 15), 6), 4),
    "tiny and far, diag": Situation(tiny_and_far(10_000, (30, 50), (20, 30), 3), 3, "diag"),
    "far pair": Situation(tiny_and_far(1000, (500,), (60,), 3, 1.0), 2),
    "parallel, d=2": Situation(parallel(1000, 2, 10, 5.0), 2),
    "parallel, K=4": Situation(parallel(2000, 4, 20, 6.0), 4),
    "parallel, d=5, tied": Situation(parallel(1500, 3, 15, 6.0, 5), 3, "tied"),
    "outliers 1 %": Situation(with_outliers(spheres(1000, 2, 3, 8.0), 0.01, 40), 4),
    "outliers 5 %": Situation(with_outliers(spheres(2000, 4, 3, 8.0), 0.05, 50), 4),
    "heavy tails": Situation(heavy(2000, 3, 4, 5.0), 4),
    "heavy tails, spherical": Situation(heavy(2000, 2, 5, 8.0), 5, "spherical"),
    "rings": Situation(rings(2000), 10),
    "units of columns": Situation(in_units(box(1500, 5, 5)), 5),
    "units of columns, full": Situation(in_units(unlike(2000, 4, 4, 3.0)), 4),
    "low rank, d=20": Situation(low_rank(3000, 20, 5, 3, 1.5), 5),
    "more than there are": Situation(spheres(1500, 3, 3, 6.0), 6),
    "fewer than there are": Situation(box(2000, 3, 10, 20), 4),
    "many rows, d=8, K=16": Situation(unlike(200_000, 8, 16, 2.0), 16),
    "many rows, diag, d=10, K=8": Situation(box(200_000, 10, 8), 8, "diag"),
    "many rows, overlap": Situation(spheres(300_000, 2, 4, 2.5), 4),
    "many rows, n=1e6": Situation(spheres(1_000_000, 2, 3, 4.0), 3),
}
