"""Which criterion finds the classes: BIC, AIC, ICL and cross-validation on 30 data sets whose classes are known."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.contest import Session
from bench.report import Section, table

CRITERIA = ("bic", "aic", "icl", "cv")
FAMILIES = ("VVI", "EEE", "VVV")
BEYOND = 2  # the classes: components
SETTINGS = {"tol": 1e-4, "accelerate": "anderson", "random_state": 0}
FEWER = 6  # data sets
CLOSE = 0.01  # ARI: no difference
LEAST_RIGHT = 15  # data sets in which the default, BIC, finds the number of classes
COLUMNS = {"data": ("name", "s"), "n × d": ("shape", "s"), "classes": ("classes", "d")} | {
    f"{name.upper()}": (name, "s") for name in CRITERIA
}
SUMMARY = {
    "criterion": ("criterion", "s"),
    "right number": ("right", "d"),
    "too few": ("few", "d"),
    "too many": ("many", "d"),
    "mean ARI": ("ari", ".3f"),
    "highest ARI": ("highest", "d"),
}
LEGEND = f"""\
fastem.select over {", ".join(FAMILIES)} and up to {BEYOND} components more than there are classes: the number that each
criterion chooses, and the adjusted Rand index (ARI) of the labels with the classes. Highest: within {CLOSE:g} of the
best of the four. Cross-validation (cv) begins the search anew without each of ten folds. Simulated rows are drawn once,
seed 0."""


@dataclass(frozen=True)
class Simulated:
    """Clusters about random centres.

    Attributes
    ----------
    K, d, n : int
    apart : float
        Standard deviation of the centres; that of a cluster is about 1.
    shape : "round", "axes", "turned" or "same"
        Spheres of unlike size; along the columns; along axes of their own; or all of the same covariance.
    uneven : bool
        Whether weights fall as 1, 1/2, 1/3, …
    change : function of (X, rng), optional
        What is done to the rows.
    """

    K: int
    d: int
    n: int
    apart: float
    shape: str = "turned"
    uneven: bool = False
    change: Callable | None = None

    def draw(self, name: str):
        """(n, d) rows and their classes."""
        rng = np.random.default_rng([0, *name.encode()])
        share = 1 / (1 + np.arange(self.K)) if self.uneven else np.ones(self.K)
        z = rng.choice(self.K, self.n, p=share / share.sum())
        roots = np.array([self.root(rng) for _ in range(self.K)])
        if self.shape == "same":
            roots[:] = roots[0]
        X = self.apart * rng.normal(size=(self.K, self.d))[z]
        X += np.einsum("nij,nj->ni", roots[z], rng.normal(size=(self.n, self.d)))
        return (X if self.change is None else self.change(X, rng)), z

    def root(self, rng):
        """(d, d) a root of a cluster's covariance."""
        if self.shape == "round":
            return rng.uniform(0.5, 1.5) * np.eye(self.d)
        scales = np.diag(rng.uniform(0.3, 1.7, self.d))
        return scales if self.shape == "axes" else np.linalg.qr(rng.normal(size=(self.d, self.d)))[0] @ scales


def tailed(X, rng):
    return X + rng.standard_t(2, X.shape) * 0.3


def skewed(X, rng):
    return np.exp(X / 4)


def with_noise_columns(X, rng):
    return np.hstack([X, rng.normal(size=(len(X), 3))])


def rounded(X, rng):
    return np.round(X)


def with_stray_rows(X, rng):
    X = X.copy()
    X[rng.choice(len(X), 3, replace=False)] = 60 * rng.normal(size=(3, X.shape[1]))
    return X


SIMULATED = {
    "one cluster": Simulated(1, 2, 300, 0),
    "one cluster in 6": Simulated(1, 6, 200, 0),
    "two round": Simulated(2, 2, 200, 3, "round"),
    "two near": Simulated(2, 2, 400, 1.2, "round"),
    "two turned": Simulated(2, 4, 200, 2),
    "two of few rows": Simulated(2, 3, 60, 3),
    "three round": Simulated(3, 2, 300, 4, "round"),
    "three of one shape": Simulated(3, 3, 300, 2, "same"),
    "three along columns": Simulated(3, 4, 300, 2, "axes"),
    "three turned": Simulated(3, 3, 400, 2),
    "three uneven": Simulated(3, 2, 400, 4, uneven=True),
    "three in 10": Simulated(3, 10, 300, 1.5),
    "three of few rows in 5": Simulated(3, 5, 90, 3),
    "four round": Simulated(4, 3, 400, 3, "round"),
    "four turned": Simulated(4, 4, 500, 2.5),
    "four uneven": Simulated(4, 3, 500, 3, uneven=True),
    "five of one shape": Simulated(5, 4, 500, 2, "same"),
    "five round in 6": Simulated(5, 6, 400, 2, "round"),
    "tails": Simulated(3, 3, 400, 4, change=tailed),
    "skewed": Simulated(3, 2, 400, 5, "round", change=skewed),
    "noise columns": Simulated(3, 3, 300, 3, change=with_noise_columns),
    "rounded": Simulated(3, 2, 400, 4, "round", change=rounded),
    "stray rows": Simulated(3, 2, 300, 4, change=with_stray_rows),
    "rounded and stray": Simulated(2, 2, 300, 4, "round", change=lambda X, rng: rounded(with_stray_rows(X, rng), rng)),
}


def of_scikit_learn(name: str, columns=None, classes=None, components: int | None = None):
    """Rows of one of its data sets, in units of the columns, and their classes; some columns, classes, components."""
    from sklearn import datasets
    from sklearn.decomposition import PCA

    X, z = getattr(datasets, f"load_{name}")(return_X_y=True)
    if classes is not None:
        X, z = X[z < classes], z[z < classes]
    if components is not None:
        return PCA(components, random_state=0).fit_transform(X), z
    X = X if columns is None else X[:, columns]
    return (X - X.mean(axis=0)) / X.std(axis=0), z


DATA: dict[str, Callable] = {
    "iris": partial(of_scikit_learn, "iris"),
    "petals of iris": partial(of_scikit_learn, "iris", [2, 3]),
    "wine": partial(of_scikit_learn, "wine"),
    "four columns of wine": partial(of_scikit_learn, "wine", [0, 6, 9, 12]),
    "cancer, three means": partial(of_scikit_learn, "breast_cancer", [1, 4, 7]),
    "digits 0 to 2": partial(of_scikit_learn, "digits", classes=3, components=4),
} | {name: partial(one.draw, name) for name, one in SIMULATED.items()}


def run(session: Session) -> Section:
    """Every data set."""
    names = list(DATA)[:: len(DATA) // FEWER] if session.quick else list(DATA)
    rows = [row(name, session.machine.n_threads) for name in names]
    found = [summary(criterion, rows) for criterion in CRITERIA]
    right = found[CRITERIA.index("bic")]["right"]
    if right < LEAST_RIGHT * len(rows) / len(DATA):
        session.complaints.append(f"criteria: BIC finds the number of classes in {right} of {len(rows)}")
    text = f"{table(found, SUMMARY)}\n\n{table(rows, COLUMNS)}\n\n{LEGEND}"
    return Section("Criteria", text, rows)


def row(name: str, n_threads: int) -> dict:
    """What each criterion chooses on a data set: the number of components and the ARI."""
    from sklearn.metrics import adjusted_rand_score

    import fastem

    X, z = DATA[name]()
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table_of = fastem.select(
            X, range(1, len(np.unique(z)) + BEYOND + 1), FAMILIES, "cv", n_jobs=n_threads, **SETTINGS
        ).table
    found = {"name": name, "shape": f"{X.shape[0]} × {X.shape[1]}", "classes": len(np.unique(z))}
    for criterion in CRITERIA:
        best = fastem.Selection(table_of, criterion).best_row
        ari = float(adjusted_rand_score(z, best.estimator.predict(X)))
        found |= {
            f"{criterion} K": best.n_components,
            f"{criterion} ARI": ari,
            criterion: f"{best.n_components} ({ari:.2f})",
        }
    return found | {"seconds": time.perf_counter() - begun}


def summary(criterion: str, rows: list[dict]) -> dict:
    """How often a criterion is right."""
    over = np.array([row[f"{criterion} K"] - row["classes"] for row in rows])
    ari = np.array([row[f"{criterion} ARI"] for row in rows])
    best = np.max([[row[f"{other} ARI"] for other in CRITERIA] for row in rows], axis=1)
    return {
        "criterion": criterion.upper(),
        "right": int((over == 0).sum()),
        "few": int((over < 0).sum()),
        "many": int((over > 0).sum()),
        "ari": float(ari.mean()),
        "highest": int((ari > best - CLOSE).sum()),
    }
