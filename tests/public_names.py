"""A program that uses every public name, for type checkers: tests/test_types.py. It is not run."""

from typing import assert_type

import numpy as np

import fastem
from fastem import datasets, online, plot, theory

X = datasets.load_faithful().data
gaussian = assert_type(fastem.GaussianMixture(2, covariance_type="full").fit(X), fastem.GaussianMixture)
labels = assert_type(gaussian.predict(X), np.ndarray)
assert_type(gaussian.fit_predict(X), np.ndarray)
assert_type(gaussian.predict_proba(X), np.ndarray)
gaussian.set_output(transform="pandas").transform(X).plot()
assert_type(gaussian.is_outlier(X), np.ndarray)
assert_type(gaussian.score(X), float)
assert_type(gaussian.means_, np.ndarray)
assert_type(gaussian.covariances_, np.ndarray)
assert_type(gaussian.precisions_cholesky_, np.ndarray)
assert_type(gaussian.weights_, np.ndarray)
assert_type(gaussian.noise_weight_, float)
assert_type(gaussian.converged_, bool)
assert_type(gaussian.n_iter_, int)
assert_type(gaussian.history_, list[float])
assert_type(gaussian.component_status_, list[str])
assert_type(gaussian.n_features_in_, int)
assert_type(gaussian.partial_fit(X), fastem.GaussianMixture)
assert_type(gaussian.marginal([0]), fastem.GaussianMixture)
assert_type(gaussian.conditional([0], [2.0]), fastem.GaussianMixture)
assert_type(gaussian.adapt(X), fastem.GaussianMixture)
assert_type(gaussian.sample(3), tuple[np.ndarray, np.ndarray])
assert_type(gaussian.set_params(n_components=3), fastem.GaussianMixture)
assert_type(fastem.GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]]), fastem.GaussianMixture)
gaussian.save("model.npz")
assert_type(fastem.load("model.npz", fastem.GaussianMixture), fastem.GaussianMixture)
fastem.load("model.npz").predict(X)

assert_type(fastem.BayesianGaussianMixture(6).fit(X).mean_precision_, np.ndarray)
assert_type(fastem.BernoulliMixture(2).fit(X).probabilities_, np.ndarray)
assert_type(fastem.CategoricalMixture(2).fit(X).n_categories_, np.ndarray)
assert_type(fastem.ExponentialMixture(2).fit(X).rates_, np.ndarray)
assert_type(fastem.GammaMixture(2).fit(X).shapes_, np.ndarray)
assert_type(fastem.GeometricMixture(2).fit(X).probabilities_, np.ndarray)
assert_type(fastem.MixedMixture(2, kinds=["gaussian", "poisson"]).fit(X).poisson_rates_, np.ndarray)
assert_type(fastem.MixtureOfFactorAnalyzers(2).fit(X).components_, np.ndarray)
assert_type(fastem.PoissonMixture(2).fit(X).rates_, np.ndarray)
assert_type(fastem.StudentTMixture(2).fit(X).degrees_of_freedom_, np.ndarray)
assert_type(fastem.VonMisesFisherMixture(2).fit(X).concentrations_, np.ndarray)
assert_type(fastem.FactorAnalysis(1).fit(X).transform(X), np.ndarray)
assert_type(fastem.PPCA(1).fit(X).noise_variance_, np.ndarray)
assert_type(fastem.MixtureOfRegressions(2).fit(X[:, :1], X[:, 1]), fastem.MixtureOfRegressions)
assert_type(fastem.GaussianMixtureRegressor(2).fit(X[:, :1], X[:, 1]).mixture_, fastem.GaussianMixture)

assert_type(fastem.OutlierDetector(gaussian).fit(X).predict(X), np.ndarray)
own = fastem.Mixture.of(lambda X, rate: X[:, 0] * rate, lambda X, weight: weight @ X[:, 0])
assert_type(own(2).fit(X), fastem.Mixture)
found = assert_type(fastem.select(X, range(1, 4)), fastem.Selection)
assert_type(found.best, fastem.GaussianMixture)
errors = assert_type(fastem.standard_errors(gaussian, X), fastem.StandardErrors)
test = assert_type(fastem.likelihood_ratio_test(gaussian, X), fastem.LikelihoodRatioTest)
assert_type(fastem.three_step(gaussian, X, X[:, 0]), fastem.ThreeStep)
result = assert_type(fastem.em(gaussian.model_, X), fastem.EMResult)
online.Stepwise(gaussian.model_).update(X)
blocks = fastem.open_rows(X)
statistics = fastem.Statistics(log_likelihood=-1.0, weight=1.0, counts=np.ones(2))
fastem.write_predictions(gaussian, X, "labels.csv")
fastem.show_versions()
assert_type(theory.log_likelihood(gaussian.model_, X), float)
for picture in (plot.mixture, plot.responsibilities, plot.uncertainty):
    picture(gaussian, X)
plot.density(gaussian, X)
plot.regions(gaussian, X)
plot.qq(gaussian, X, 1)
plot.tree(gaussian.merge_components(X))
plot.parameters(gaussian)
plot.history(gaussian)
plot.restarts([gaussian])
plot.selection(found)
plot.loadings(fastem.PPCA(1).fit(X))

try:
    gaussian.fit(X)
except (fastem.CheckpointError, fastem.NotFittedError, fastem.LogLikelihoodFell):
    pass
WARNINGS = [fastem.ConvergenceWarning, fastem.DegenerateComponentWarning, fastem.RoundingWarning]
WARNINGS += [fastem.SaddlePointWarning]
