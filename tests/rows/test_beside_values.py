"""What numpy would make numbers of without a word is refused wherever it stands, by the name of the argument: what is
behind a mask, dates and durations, complex numbers."""

import dask.array
import numpy as np
import pandas
import pytest

import fastem
from fastem import GaussianMixture, GaussianMixtureRegressor, MixtureOfRegressions
from fastem.datasets import load_faithful

X = load_faithful().data
N = len(X)
G = GaussianMixture(2, random_state=0)
GAMMAS = fastem.GammaMixture(2, random_state=0)
EYES = np.tile(np.eye(2), (2, 1, 1))


def in_shape(values, shape):
    return np.resize(values, shape)


KINDS = {
    "masked": lambda shape: np.ma.masked_equal(in_shape([1.0, 2.0, 0.0], shape), 2.0),
    "in a list of masked rows": lambda shape: list(KINDS["masked"](shape)),
    "complex": lambda shape: in_shape([1 + 1j, 0j], shape),
    "a datetime": lambda shape: in_shape(np.arange(2).astype("datetime64[D]"), shape),
    "a timedelta": lambda shape: in_shape(np.arange(2).astype("timedelta64[D]"), shape),
}
WORDS = {
    "masked": "masked",
    "in a list of masked rows": "masked",
    "complex": "complex",
    "a datetime": "datetime64",
    "a timedelta": "timedelta64",
}
BESIDE = {
    "X": ((N, 2), lambda given: G.fit(given)),
    "sample_weight": ((N,), lambda given: G.fit(X, sample_weight=given)),
    "sample_weight of chunks": ((N,), lambda given: G.fit([X[:9], X[9:]], sample_weight=given)),
    "sample_weight of a score": ((N,), lambda given: G.fit(X).score(X, sample_weight=given)),
    "sample_weight of factors": ((N,), lambda given: fastem.FactorAnalysis(1).fit(X, sample_weight=given)),
    "labels": ((N, 2), lambda given: G.fit(X, labels=given)),
    "labels of chunks": ((N, 2), lambda given: G.fit([X[:9], X[9:]], labels=given)),
    "errors": ((N, 2), lambda given: G.fit(X, errors=given)),
    "errors of matrices": ((N, 2, 2), lambda given: G.fit(X, errors=given)),
    "lower": ((N, 2), lambda given: GAMMAS.fit(X, lower=given, upper=X)),
    "covariates": ((N,), lambda given: G.fit(X, covariates=given)),
    "covariates of three steps": ((N,), lambda given: fastem.three_step(G.fit(X), X, given)),
    "trials": ((N,), lambda given: MixtureOfRegressions(2, family="binomial").fit(X, np.ones(N), trials=given)),
    "y": ((N,), lambda given: GaussianMixtureRegressor(2).fit(X, given)),
    "y of regressions": ((N, 2), lambda given: MixtureOfRegressions(2).fit(X, given)),
    "y of a score": ((N,), lambda given: MixtureOfRegressions(2, random_state=0).fit(X, X[:, 0]).score(X, given)),
    "means_init": ((2, 2), lambda given: GaussianMixture(2, means_init=given).fit(X)),
    "weights_init": ((2,), lambda given: GaussianMixture(2, weights_init=given).fit(X)),
    "precisions_init": ((2, 2), lambda given: GaussianMixture(2, covariance_type="diag", precisions_init=given).fit(X)),
    "init_params": ((N, 2), lambda given: GaussianMixture(2, init_params=given).fit(X)),
    "weights_": ((2,), lambda given: GaussianMixture.from_parameters(given, X[:2], EYES)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("argument", BESIDE)
def test_values_that_are_none_are_refused_by_the_name_of_the_argument(argument, kind):
    shape, use = BESIDE[argument]
    with pytest.raises(ValueError, match=rf"(?s)\b{argument.split()[0]}\b.*{WORDS[kind]}"):
        use(KINDS[kind](shape))


@pytest.mark.parametrize("kind", ["a datetime", "a timedelta", "complex"])
def test_of_dask_as_well(kind):
    rows = dask.array.from_array(X, chunks=(100, 2))
    with pytest.raises(ValueError, match=rf"covariates must be .*{WORDS[kind]}"):
        G.fit(rows, covariates=dask.array.from_array(KINDS[kind]((N,)), chunks=100))


@pytest.mark.parametrize("given", [KINDS["masked"]((N,)), list(KINDS["masked"]((N,)))], ids=type)
def test_of_what_is_masked_beside_dask(given):
    with pytest.raises(ValueError, match=r"covariates is a .* with masked entries"):
        G.fit(dask.array.from_array(X, chunks=(100, 2)), covariates=given)


def test_the_sentence_says_what_to_do():
    dates = pandas.Series(np.arange(N).astype("datetime64[D]"))
    with pytest.raises(ValueError, match=r"y must hold numbers: its dtype is datetime64\[.*\]\. A date .* convert the"):
        GaussianMixtureRegressor(2).fit(X, dates)
    with pytest.raises(ValueError, match="sample_weight is a masked array with masked entries: remove or impute them"):
        G.fit(X, sample_weight=KINDS["masked"]((N,)))


def test_a_mask_that_hides_nothing_is_none():
    weight = np.ma.masked_array(np.ones(N), mask=False)
    np.testing.assert_array_equal(G.fit(X, sample_weight=weight).means_, G.fit(X, sample_weight=np.ones(N)).means_)
