"""Random estimators on random rows, and what is done with them; the laws that all of them keep are in laws.py.

A seed is a case. ci/fuzz tries as many as one likes, and reduces those that break a law.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import random_sides

import fastem
from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.models.gaussian.structures import STRUCTURES

# ---- rows ------------------------------------------------------------------------------------------------------------


def blobs(rng, n, d):
    return rng.normal(size=(n, d)) + 4 * rng.integers(0, 3, (n, 1))


def small(rng, n, d):
    return rng.normal(size=(int(rng.integers(1, 8)), d))


def constant_column(rng, n, d):
    X = blobs(rng, n, d)
    X[:, rng.integers(d)] = 3.0
    return X


def far_scales(rng, n, d):
    return blobs(rng, n, d) * 10.0 ** rng.integers(-8, 9, d)


def outlier(rng, n, d):
    X = blobs(rng, n, d)
    X[rng.integers(n), rng.integers(d)] = 10.0 ** rng.integers(3, 37)
    return X


def repeated(rng, n, d):
    return rng.normal(size=(4, d))[rng.integers(0, 4, n)]


def collinear(rng, n, d):
    return blobs(rng, n, 1) * np.arange(1.0, d + 1)


REAL = {
    "blobs": blobs,
    "small": small,
    "rounded": lambda rng, n, d: blobs(rng, n, d).round(),
    "constant column": constant_column,
    "constant": lambda rng, n, d: np.full((n, d), 2.5),
    "scales": far_scales,
    "tiny": lambda rng, n, d: blobs(rng, n, d) * 10.0 ** rng.integers(-150, -20),
    "huge": lambda rng, n, d: blobs(rng, n, d) * 10.0 ** rng.integers(20, 150),
    "offset": lambda rng, n, d: blobs(rng, n, d) + 10.0 ** rng.integers(3, 16),
    "outlier": outlier,
    "repeated": repeated,
    "collinear": collinear,
    "0/1": lambda rng, n, d: rng.integers(0, 2, (n, d)) * 1.0,
}
POSITIVE = {f"|{name}|": lambda rng, n, d, made=made: abs(made(rng, n, d)) + 1e-3 for name, made in REAL.items()}
COUNTS = {
    "counts": lambda rng, n, d: rng.poisson(rng.choice([0.1, 3.0, 50.0], (n, 1)), (n, d)) * 1.0,
    "large counts": lambda rng, n, d: rng.poisson(10.0 ** rng.integers(4, 12), (n, d)) * 1.0,
    "zeros": lambda rng, n, d: np.zeros((n, d)),
    "few": lambda rng, n, d: rng.integers(0, 4, (int(rng.integers(1, 8)), d)) * 1.0,
    "one large": lambda rng, n, d: np.where(np.arange(n)[:, None] == 0, 1e6, rng.integers(0, 3, (n, d))) * 1.0,
}
BINARY = {"0/1": REAL["0/1"], "zeros": COUNTS["zeros"], "few": lambda rng, n, d: (small(rng, n, d) > 0) * 1.0}
LEVELS = {"levels": lambda rng, n, d: rng.integers(0, 4, (n, d)) * 1.0, "few": COUNTS["few"], "zeros": COUNTS["zeros"]}
DIRECTIONS = {
    name: REAL[name] for name in ("blobs", "small", "rounded", "repeated", "collinear", "tiny", "huge", "scales")
}

# ---- estimators ------------------------------------------------------------------------------------------------------


def maybe(rng, share, **choices):
    """Each parameter, with this probability, at one of its values."""
    return {name: values[rng.integers(len(values))] for name, values in choices.items() if rng.random() < share}


def of_mixture(rng):
    return {"n_components": int(rng.choice([1, 2, 3, 5, 8])), "max_iter": int(rng.choice([0, 1, 30]))} | maybe(
        rng,
        0.15,
        tol=[0.0, 1e-6],
        n_init=[2, 3],
        init_params=["k-means++", "whitened", "hierarchical", "random", "random_from_data", "emem"],
        on_collapse=["reseed", "drop", "raise"],
        split_merge=[1],
        accelerate=["anderson", "squarem"],
        stop=["relative", "parameters", "aitken", "certified"],
        equal_weights=[True],
        weight_concentration_prior=[1.0, 2.0],
    )


def covariances(rng):
    return {"covariance_type": str(rng.choice(list(STRUCTURES)))} | maybe(rng, 0.2, reg_covar=[0.0, 1e-12, 1e-3])


def gaussian(rng):
    constraints = maybe(
        rng,
        0.1,
        noise=["box", 1e-300, 1e-3, 1000.0],
        prior=["default"],
        max_eigenvalue_ratio=[1.5, 100.0],
        truncate=[1, 2],
    )
    return covariances(rng) | constraints


def bayesian(rng):
    return {"covariance_type": str(rng.choice(["full", "tied", "diag", "spherical"]))} | maybe(
        rng,
        0.2,
        reg_covar=[0.0, 1e-12, 1e-3],
        weight_concentration_prior_type=["dirichlet_distribution"],
        mean_precision_prior=[1e-3, 100.0],
        degrees_of_freedom_prior=[20.0],
        predictive=["plug-in"],
    )


def without(*names):
    """Parameters of a mixture that does not take some of them."""
    return lambda rng: {key: value for key, value in of_mixture(rng).items() if key not in names}


def factors(rng):
    return {"n_factors": int(rng.integers(1, 3))} | maybe(rng, 0.2, reg_covar=[1e-12, 1e-3])


def factor_analysis(rng):
    return {"n_components": int(rng.integers(1, 4))} | maybe(rng, 0.3, reg_covar=[1e-12])


def nothing(rng):
    return {}


KINDS = {
    "GaussianMixture": (REAL, of_mixture, gaussian),
    "StudentTMixture": (REAL, of_mixture, covariances),
    "BayesianGaussianMixture": (REAL, without("equal_weights", "on_collapse"), bayesian),
    "MixtureOfFactorAnalyzers": (REAL, of_mixture, factors),
    "PPCA": (REAL, factor_analysis, nothing),
    "FactorAnalysis": (REAL, factor_analysis, nothing),
    "MixedMixture": (REAL, of_mixture, nothing),
    "VonMisesFisherMixture": (DIRECTIONS, of_mixture, nothing),
    "GammaMixture": (POSITIVE, of_mixture, nothing),
    "ExponentialMixture": (POSITIVE, of_mixture, nothing),
    "PoissonMixture": (COUNTS, of_mixture, nothing),
    "GeometricMixture": (COUNTS, of_mixture, nothing),
    "BernoulliMixture": (BINARY, of_mixture, nothing),
    "CategoricalMixture": (LEVELS, of_mixture, nothing),
}
SHARES = np.array([8, 3, 2, 2] + [1] * (len(KINDS) - 4)) / (15 + len(KINDS) - 4)

TAKE_MISSING = (
    "GaussianMixture",
    "StudentTMixture",
    "BayesianGaussianMixture",
    "MixedMixture",
    "FactorAnalysis",
    "PPCA",
)

# ---- what is done with them ------------------------------------------------------------------------------------------


def then_score(estimator, case):
    assert np.isfinite(estimator.score_samples(case.X)).all(), "score_samples is not finite"
    if hasattr(estimator, "predict_proba"):
        shares = estimator.predict_proba(case.X)
        assert np.allclose(shares.sum(axis=1), 1, atol=1e-4), "predict_proba does not sum to 1"
        best = estimator.predict(case.X)
        best = np.where(best < 0, shares.shape[1] - 1, best)  # noise is the last column
        chosen = np.take_along_axis(shares, best[:, None], axis=1)[:, 0]
        assert np.allclose(chosen, shares.max(axis=1), atol=1e-4), "predict is not the most probable component"


def then_go_on(estimator, case):
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(case.X, sample_weight=case.weight)


def then_begin_online(estimator, case):
    if hasattr(estimator, "partial_fit"):
        again = case.estimator()
        for _ in range(2):
            again.partial_fit(case.X, sample_weight=case.weight)
        return again


def then_em(estimator, case):
    if hasattr(estimator, "model_"):
        result = fastem.em(estimator.model_, case.X, sample_weight=case.weight, max_iter=3)
        assert np.isfinite(result.log_likelihood), "em: the log-likelihood is not finite"


def then_sample(estimator, case):
    if hasattr(estimator, "sample"):
        drawn = estimator.sample(7)
        assert np.isfinite(drawn[0] if isinstance(drawn, tuple) else drawn).all(), "sample is not finite"


def then_judge(estimator, case):
    for name in ("bic", "aic", "icl"):
        if hasattr(estimator, name):
            assert np.isfinite(getattr(estimator, name)(case.X)), f"{name} is not finite"


def then_save(estimator, case):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        estimator.save(path)
        again = fastem.load(path)
    assert np.array_equal(again.score_samples(case.X), estimator.score_samples(case.X)), (
        "a loaded model scores otherwise"
    )
    for name in estimator.get_params():
        assert hasattr(again, name), f"a loaded model has no {name}"


def then_errors(estimator, case):
    if isinstance(estimator, MixtureEstimator):
        fastem.standard_errors(estimator, case.X, sample_weight=case.weight)


def then_select(estimator, case):
    if case.name == "GaussianMixture" and case.weight is None and case.labels is None:
        kinds = [case.parameters["covariance_type"], "EII"]
        fastem.select(case.X, [1, 2], kinds, random_state=0, max_iter=5)


def then_look_closer(estimator, case):
    """The further questions that a Gaussian mixture answers."""
    for name in ("component_distances", "component_overlap"):
        if hasattr(estimator, name):
            assert np.isfinite(getattr(estimator, name)()).all(), f"{name} is not finite"
    if hasattr(estimator, "marginal"):
        assert np.isfinite(estimator.marginal([0]).score_samples(case.X[:, :1])).all(), "a marginal is not finite"
    if hasattr(estimator, "impute"):
        assert np.isfinite(estimator.impute(case.X)).all(), "impute is not finite"


def then_transform(estimator, case):
    if hasattr(estimator, "transform"):
        assert np.isfinite(estimator.transform(case.X)).all(), "transform is not finite"


def then_merge(estimator, case):
    if hasattr(estimator, "merge_components") and not np.isnan(case.X).any():
        estimator.merge_components(case.X)


def then_fit_again(estimator, case):
    again = case.fitted(case.estimator(warm_start=True) if "warm_start" in estimator.get_params() else case.estimator())
    return case.fitted(again)


def then_regress(estimator, case):
    """The last column on the others, by a mixture of regressions."""
    X, y = case.X[:, :-1], case.X[:, -1].astype(np.float64)
    family = {"BernoulliMixture": "binomial", "PoissonMixture": "poisson"}.get(case.name, "gaussian")
    if not X.shape[1] or np.isnan(case.X).any() or not mixture_of(case):
        return
    K, n_iter = case.parameters["n_components"], case.parameters["max_iter"]
    sides = {"covariates": X} if case.seed % 3 == 0 else {}
    if case.seed % 2 and family != "gaussian":
        sides["trials" if family == "binomial" else "exposure"] = np.maximum(y, 1) + np.arange(len(y)) % 4
    one, two = (
        fastem.MixtureOfRegressions(K, family=family, max_iter=n_iter, random_state=0, n_threads=n).fit(
            X, y, case.weight, **sides
        )
        for n in (1, 2)
    )
    assert np.array_equal(one.coef_, two.coef_), "other bits of coef_ by two threads"
    scores = one.score_samples(X, y, **sides)
    assert np.isfinite(scores).all(), "score_samples of regressions is not finite"
    assert np.isfinite(one.predict(X, **sides)).all(), "predict of regressions is not finite"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        one.save(path)
        again = fastem.load(path)
    assert np.array_equal(again.score_samples(X, y, **sides), scores), "loaded regressions score otherwise"


def mixture_of(case):
    return case.name not in ("PPCA", "FactorAnalysis")


def then_predict_the_last_column(estimator, case):
    if case.name == "GaussianMixture" and case.X.shape[1] > 1 and case.labels is None and not np.isnan(case.X).any():
        parameters = {key: value for key, value in case.parameters.items() if key not in ("noise", "truncate")}
        model = fastem.GaussianMixtureRegressor(**parameters).fit(case.X[:, :-1], case.X[:, -1], case.weight)
        mean, deviation = model.predict(case.X[:, :-1], return_std=True)
        assert np.isfinite(mean).all() and (deviation >= 0).all(), "predict of the regressor is not finite"


def then_detect(estimator, case):
    if mixture_of(case) and case.labels is None:
        detector = fastem.OutlierDetector(case.estimator(), contamination=0.1).fit(case.X, sample_weight=case.weight)
        assert set(detector.predict(case.X)) <= {-1, 1}, "an outlier is -1, another row 1"


USES = [then_score, then_score, then_score, then_go_on, then_em, then_sample, then_judge, then_save, then_errors]
MORE_USES = [then_score, then_begin_online, then_select, then_look_closer, then_transform, then_merge, then_fit_again]
MORE_USES += [then_regress, then_predict_the_last_column, then_detect]


@dataclass(frozen=True)
class Case:
    """A fit that is asked for.

    name : of the estimator.    parameters : of its constructor.    X : (n, d).    weight : (n,) or None.
    labels : (n,), -1 where unknown, or None.    use : function of the fitted estimator and the case, of this file.
    kind : what made the rows.    seed : of the case.    law : which of the rare laws is tried, as a number below 1.
    sides : side columns by their role.
    """

    name: str
    parameters: dict
    X: np.ndarray
    weight: np.ndarray | None
    labels: np.ndarray | None
    use: object
    kind: str
    seed: int
    law: float
    sides: dict = field(default_factory=dict)

    def estimator(self, **others):
        return getattr(fastem, self.name)(**self.parameters | others)

    def fitted(self, estimator=None, X=None, **asked):
        """An estimator after the fit; X in place of the rows."""
        given = {name: value for name, value in self.given().items() if value is not None}
        return (estimator or self.estimator()).fit(self.X if X is None else X, **given, **asked)

    def given(self):
        return {"sample_weight": self.weight, "labels": self.labels} | self.sides

    def __str__(self):
        asked = ", ".join(f"{key}={value!r}" for key, value in self.parameters.items())
        given = "".join(f", {name}" for name, value in self.given().items() if value is not None)
        return f"{self.name}({asked}) on {self.kind} {self.X.dtype.str[1:]} {self.X.shape}, {self.use.__name__}{given}"


def of_kinds(X, kinds):
    """Rows of real numbers as rows of a MixedMixture's kinds."""
    to_kind = {
        "exponential": lambda x: abs(x) + 1e-3,
        "poisson": lambda x: np.minimum(abs(x), 1e6).round(),
        "bernoulli": lambda x: (x > np.median(x)) * 1.0,
        "categorical": lambda x: (x > np.median(x)) * 2.0,
    }
    return np.column_stack([to_kind.get(kind, np.copy)(x) for kind, x in zip(kinds, X.T)])


def fitting(asked, d):
    """The parameters that were asked for, where their values are only for other numbers of columns."""
    structure = asked.get("covariance_type")
    if structure in ("E", "V") and d > 1:
        return {"covariance_type": {"E": "EEE", "V": "VVV"}[structure]}
    if structure in STRUCTURES and len(structure) == 3 and d == 1:
        return {"covariance_type": "V" if structure[0] == "V" else "E"}
    names = [name for name in ("n_factors", "n_components") if name in asked][:1]
    if "random_state" in asked and "n_factors" not in asked:
        return {}
    return {name: min(asked[name], d) for name in names}


def random_case(seed):
    rng = np.random.default_rng(seed)
    name = list(KINDS)[rng.choice(len(KINDS), p=SHARES)]
    rows, *parameters = KINDS[name]
    kind = list(rows)[rng.integers(len(rows))]
    X = rows[kind](rng, int(rng.choice([10, 40, 150])), int(rng.choice([1, 2, 3, 6])))
    asked = {key: value for made in parameters for key, value in made(rng).items()}
    mixture = name not in ("PPCA", "FactorAnalysis")
    if mixture:
        asked["random_state"] = int(rng.integers(10))
    if name == "MixedMixture":
        kinds = ["gaussian", "exponential", "poisson", "bernoulli", "categorical"]
        asked["kinds"] = [str(kind) for kind in rng.choice(kinds, X.shape[1], p=[0.6, 0.1, 0.1, 0.1, 0.1])]
        X = of_kinds(X, asked["kinds"])
    if rng.random() < 0.9:
        asked |= fitting(asked, X.shape[1])
    real = str(rng.choice(["f8", "f8", "f4"]))
    with np.errstate(over="ignore"):
        X = X.astype(real)
    if rng.random() < 0.1 and name in TAKE_MISSING:
        X[rng.random(X.shape) < 0.2] = np.nan
    weight = None
    if rng.random() < 0.25 and mixture:
        weight = rng.random(len(X)) * 10.0 ** int(rng.choice([0, 0, 0, -60, 60, -300]))
        weight[rng.random(len(X)) < 0.2] = 0
    use = USES[rng.integers(len(USES))]
    if rng.random() < 0.5:
        use = MORE_USES[rng.integers(len(MORE_USES))]
    labels = None
    if rng.random() < 0.05 and mixture:
        labels = np.where(rng.random(len(X)) < 0.1, rng.integers(0, asked["n_components"], len(X)), -1)
    law, sides = float(rng.random()), {}
    if rng.random() < 0.15 and labels is None:
        sides = random_sides.random_sides(rng, name, X)
    if sides:
        use = random_sides.USES[rng.integers(len(random_sides.USES))]
    if "covariates" in sides:
        asked = {key: value for key, value in asked.items() if key not in random_sides.NOT_BESIDE_A_GATE}
    return Case(name, asked, X, weight, labels, use, kind, seed, law, sides)
