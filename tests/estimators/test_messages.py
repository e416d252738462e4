"""What is said of mistakes: names that are nearly right, arrays by their shape, columns that hold no numbers."""

import functools
import inspect
import re

import numpy as np
import pandas
import polars
import pytest

import fastem
from fastem.datasets import load_faithful
from fastem.estimators.refused_sides import ROLES

X = load_faithful().data
FRAME = pandas.DataFrame(X, columns=["long", "wait"])


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: fastem.GaussianMixture(n_component=2), "Did you mean 'n_components'?"),
        (lambda: fastem.GaussianMixture(n_jobs=2), "Did you mean 'n_threads'?"),
        (lambda: fastem.PoissonMixture(seed=2), "Did you mean 'random_state'?"),
        (lambda: fastem.GaussianMixture().set_params(covariance="full"), "Did you mean 'covariance_type'?"),
        (lambda: fastem.GaussianMixture(covariance_type="diagonal").fit(X), "Did you mean 'diag'?"),
        (lambda: fastem.GaussianMixture(covariance_type="vvv").fit(X), "Did you mean 'VVV'?"),
        (lambda: fastem.GaussianMixture(covariance_type="Full").fit(X), "Did you mean 'full'?"),
        (lambda: fastem.GaussianMixture(init_params="kmeans++").fit(X), "Did you mean 'k-means++'?"),
        (lambda: fastem.GaussianMixture(accelerate="squarm").fit(X), "or None. Got 'squarm' instead. Did you mean"),
        (lambda: fastem.select(X, reg_cov=1), "Did you mean 'reg_covar'?"),
    ],
)
def test_nearly_right(mistake, words):
    with pytest.raises((TypeError, ValueError)) as error:
        mistake()
    assert words in str(error.value)


def test_what_is_nothing_like_a_name_gets_no_hint():
    with pytest.raises(TypeError) as error:
        fastem.GaussianMixture(banana=2)
    assert "Did you mean" not in str(error.value)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: fastem.GaussianMixture().fit(X[:, 0]),
        lambda: fastem.GaussianMixture().fit(X + 1j),
        lambda: fastem.GaussianMixture(n_components=X).fit(X),
        lambda: fastem.GaussianMixture(covariance_type=X).fit(X),
        lambda: fastem.GaussianMixture(random_state=X).fit(X),
    ],
)
def test_arrays_are_named_by_their_shape(mistake):
    with pytest.raises(ValueError) as error:
        mistake()
    assert "(272" in str(error.value) and len(str(error.value)) < 300


def test_a_representation_holds_no_large_array():
    model = fastem.GaussianMixture(2, means_init=X, weights_init=[0.5, 0.5])
    assert "means_init=<ndarray of shape (272, 2), float64>, weights_init=[0.5, 0.5]" in repr(model).replace(
        "weights_init=[0.5, 0.5], means_init=<ndarray of shape (272, 2), float64>",
        "means_init=<ndarray of shape (272, 2), float64>, weights_init=[0.5, 0.5]",
    )


class NotToBeConverted(pandas.DataFrame):
    """A frame of which the columns must be named before it is turned into an array."""

    def __array__(self, *args, **kwargs):
        raise AssertionError("converted")


@pytest.mark.parametrize("make", [NotToBeConverted, polars.DataFrame])
def test_columns_of_text_are_named_at_once(make):
    columns = {"a": [1.0, 2.0, 3.0], "country": ["de", "fr", "it"], "zip": ["10079", "1", "2"]}
    with pytest.raises(ValueError, match=r"columns 'country', 'zip' hold text or categories. Choose the others.*'a'"):
        fastem.GaussianMixture().fit(make(columns))


@pytest.mark.parametrize("kind", ["category", "string", object])
def test_a_column_of_text_of_every_kind(kind):
    frame = FRAME.assign(group=pandas.Series(["a", "b"] * 136, dtype=kind))
    with pytest.raises(ValueError, match="column 'group' holds text or categories"):
        fastem.GaussianMixture().fit(frame)
    assert fastem.GaussianMixture().fit(FRAME.astype(object)).means_.shape == (1, 2)  # objects that are numbers


def test_weights_are_a_column_of_the_frame():
    frame, weight = FRAME.assign(w=np.arange(272.0)), np.arange(272.0)
    for make in (lambda: fastem.GaussianMixture(2, random_state=0), lambda: fastem.FactorAnalysis(1)):
        named, given = make().fit(frame, sample_weight="w"), make().fit(FRAME, sample_weight=weight)
        assert named.log_likelihood_ == given.log_likelihood_ and list(named.feature_names_in_) == ["long", "wait"]
    start = fastem.GaussianMixture(1).fit(FRAME).model_
    assert fastem.em(start, frame, sample_weight="w").model.emission.means.shape == (1, 2)
    model = fastem.GaussianMixtureRegressor().fit(frame[["long", "w"]], FRAME["wait"], sample_weight="w")
    expected = fastem.GaussianMixtureRegressor().fit(FRAME[["long"]], FRAME["wait"], sample_weight=weight)
    assert np.array_equal(model.predict(FRAME[["long"]]), expected.predict(FRAME[["long"]]))


@pytest.mark.parametrize(
    "make, call, role",
    [
        (fastem.BernoulliMixture, "fit", "errors"),
        (fastem.BernoulliMixture, "fit", "lower"),
        (fastem.PPCA, "fit", "covariates"),
        (fastem.PPCA, "fit", "labels"),
        (fastem.GaussianMixtureRegressor, "fit", "covariates"),
        (fastem.BernoulliMixture, "predict", "errors"),
        (fastem.GaussianMixture, "partial_fit", "covariates"),
        (fastem.GaussianMixture, "partial_fit", "labels"),
    ],
)
def test_side_columns_that_a_method_does_not_take_are_refused_in_one_sentence(make, call, role):
    """By its own class, with what takes them."""
    X = np.eye(3)
    sentence = rf"^{make.__name__}(\.{call})? takes no {role}\. {re.escape(ROLES[role])}$"
    with pytest.raises(TypeError, match=sentence):
        getattr(make(), call)(X, **{role: X})


@pytest.mark.parametrize(
    "make, call, name, meant",
    [
        (fastem.GaussianMixture, "fit", "erors", "errors"),
        (fastem.BernoulliMixture, "fit", "covariate", "covariates"),
        (fastem.GaussianMixture, "fit", "sample_wieght", "sample_weight"),
        (fastem.GaussianMixture, "partial_fit", "memroy", "memory"),
        (fastem.GaussianMixture, "fit_predict", "erors", "errors"),
        (fastem.BernoulliMixture, "predict", "covariate", "covariates"),
        (fastem.MixtureOfRegressions, "fit", "covariate", "covariates"),
        (fastem.MixtureOfRegressions, "score_samples", "covariate", "covariates"),
        (fastem.PPCA, "fit", "sample_wieght", "sample_weight"),
    ],
)
def test_an_argument_that_a_method_does_not_have_is_refused_by_the_users_class(make, call, name, meant):
    class Own(make):
        pass

    with pytest.raises(TypeError, match=rf"^Own\.{call} .*{name}.*Did you mean '{meant}'\?"):
        getattr(Own(), call)(np.eye(3), **{name: 1})


@pytest.mark.parametrize("call", ["transform", "sample", "quantile", "predict", "score", "is_outlier", "fit_predict"])
def test_what_no_method_takes_is_refused_by_the_method_that_was_called(call):
    with pytest.raises(TypeError, match=rf"^GaussianMixture\.{call} got an unexpected .* 'foo'\. Its arguments: "):
        getattr(fastem.GaussianMixture(), call)(np.eye(3), foo=1)


def test_the_arguments_that_are_listed_are_those_that_it_takes():
    with pytest.raises(TypeError) as error:
        fastem.BayesianGaussianMixture().fit(X, foo=1)
    assert "sample_weight" in str(error.value) and not {"lower", "errors"} & set(re.split(r"\W+", str(error.value)))
    with pytest.raises(TypeError, match=r"arguments: X, errors, covariates, lower, upper\.$"):
        fastem.GaussianMixture().predict(X, foo=1)


class Own(fastem.GaussianMixture):
    """A user's class."""


@pytest.mark.parametrize(
    "mistake, sentence",
    [
        (lambda: Own().fit(X, None, None, None), "Own.fit takes X, y, sample_weight by position, but got 4 arguments."),
        (lambda: Own().predict(X, 1), "Own.predict takes X by position, but got 2 arguments."),
        (lambda: Own().summary(1), "Own.summary takes nothing by position, but got 1 arguments."),
        (lambda: Own().fit(), "Own.fit needs X."),
        (lambda: fastem.MixtureOfRegressions().fit(sample_weight=1), "MixtureOfRegressions.fit needs X and y."),
    ],
)
def test_too_many_or_too_few_arguments_are_refused_by_the_users_class(mistake, sentence):
    with pytest.raises(TypeError) as error:
        mistake()
    assert str(error.value) == sentence


@pytest.mark.parametrize("role", ["errors", "lower"])
def test_a_method_without_a_side_column_says_that_fit_has_it(role):
    """Not that other mixtures do, such as this one."""
    with pytest.raises(TypeError, match=rf"^GaussianMixture.partial_fit takes no {role}\. Its fit does"):
        fastem.GaussianMixture().partial_fit(np.eye(3), **{role: np.eye(3)})


def test_methods_of_a_users_class_are_called_as_they_are_written():
    """Decorators may give arguments, generators and coroutines stay what they are."""

    def gives(method):
        @functools.wraps(method)
        def with_argument(self):
            return method(self, 42)

        return with_argument

    class Own(fastem.GaussianMixture):
        @gives
        def answer(self, value):
            return value

        def parts(self):
            yield 1

        async def later(self):
            return 1

    assert Own(1).answer() == 42 and inspect.isgeneratorfunction(Own.parts) and inspect.iscoroutinefunction(Own.later)
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'X'"):
        fastem.GaussianMixture.predict(np.zeros((3, 1)))


@pytest.mark.parametrize("role", ["covariates", "errors", "lower"])
def test_masked_side_columns_are_refused(role):
    X = np.arange(20.0)[:, None]
    masked = np.ma.array(X, mask=X > 10)
    sides = {"lower": masked, "upper": X + 1} if role == "lower" else {role: masked}
    with pytest.raises(ValueError, match=f"{role} is a masked array with masked entries"):
        fastem.GaussianMixture(1).fit(X, **sides)
