"""Mixtures of known parameters: attributes set by hand, and from_parameters."""

import pickle

import numpy as np
import pytest
from instances import STRUCTURES, blobs
from models import MIXED, MODELS
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as ScikitLearns

import fastem
from fastem import GaussianMixture
from fastem.models.gaussian.parsimonious import FAMILIES as GAUSSIAN_FAMILIES

X = blobs(0, 120, 3, 2, 3.0)
TYPES = [*dict.fromkeys([*(structure.name for structure in STRUCTURES), *GAUSSIAN_FAMILIES])]
pytestmark = pytest.mark.filterwarnings("ignore")


def fitted(family, **parameters):
    return family.make(2, random_state=0, max_iter=3, **parameters).fit(family.data(90))


def arrays_of(model):
    """What from_parameters takes by name."""
    names = model._parameters_to_give() or [
        name for name in model._parameter_arrays if hasattr(model, name) and "cholesky" not in name
    ]
    return {name.removesuffix("_"): np.array(getattr(model, name)) for name in names}


def parameters_of(model):
    return {"kinds": MIXED} if isinstance(model, fastem.MixedMixture) else {}


def assert_same_densities(model, other, rows, **tolerance):
    tolerance = {"rtol": 1e-9} | tolerance
    assert np.allclose(model.score_samples(rows), other.score_samples(rows), **tolerance)
    assert np.allclose(model.predict_proba(rows), other.predict_proba(rows), atol=1e-9)


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_a_mixture_from_its_parameters(family, tmp_path):
    rows, first = family.data(90), fitted(family)
    again = type(first).from_parameters(
        first.weights_, **arrays_of(first), **parameters_of(first), random_state=0, warm_start=True
    )
    assert_same_densities(again, first, rows)
    assert again.n_components == 2 and again.n_parameters_ == first.n_parameters_ and again.n_iter_ == 0
    assert np.allclose(again.bic(rows), first.bic(rows)) and np.isnan(again.log_likelihood_)
    assert np.array_equal(again.sample(20)[0], again.sample(20)[0])
    again.save(tmp_path / "model.npz")
    assert_same_densities(fastem.load(tmp_path / "model.npz"), again, rows, rtol=0)
    assert_same_densities(pickle.loads(pickle.dumps(again)), again, rows, rtol=0)
    before = again.score(rows)
    assert again.partial_fit(rows).score(rows) >= before - 1e-9
    again.set_params(max_iter=2).fit(rows)
    assert again.fit_report_.restarts[0].start == "the last fit" and again.history_[0] >= before - 1e-6


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_attributes_on_an_unfitted_estimator(family, tmp_path):
    rows, first = family.data(90), fitted(family)
    again = family.make(2)
    with pytest.raises(NotFittedError):
        again.predict(rows)
    again.weights_ = first.weights_
    for name, array in arrays_of(first).items():
        with pytest.raises(NotFittedError):
            again.score(rows)
        setattr(again, f"{name}_", array)
    assert_same_densities(again, first, rows)
    again.save(tmp_path / "model.npz")
    assert_same_densities(fastem.load(tmp_path / "model.npz"), first, rows)


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_replaced_attributes_are_those_of_another_fit(family, tmp_path):
    """One by one, each of another model of the same kind: what counts is what is set."""
    rows, model = family.data(90), fitted(family)
    other = family.make(2, random_state=1, init_params="random", max_iter=1).fit(rows)
    model.weights_ = other.weights_
    for name, array in arrays_of(other).items():
        setattr(model, f"{name}_", array)
    assert_same_densities(model, other, rows)
    model.save(tmp_path / "model.npz")
    assert_same_densities(fastem.load(tmp_path / "model.npz"), other, rows)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("form", ["covariances_", "precisions_", "precisions_cholesky_"])
@pytest.mark.parametrize("make", [GaussianMixture, fastem.StudentTMixture])
def test_one_form_of_the_matrices_determines_the_others(covariance_type, form, make, tmp_path):
    asked = {"covariance_type": covariance_type, "random_state": 0, "max_iter": 2}
    rows = X[:, :1] if covariance_type in ("E", "V") else X
    model, other = make(2, **asked).fit(rows), make(2, **asked).fit(3 * rows)
    setattr(model, form, getattr(other, form))
    for name in ("covariances_", "precisions_", "precisions_cholesky_"):
        assert np.allclose(getattr(model, name), getattr(other, name), rtol=1e-7, atol=1e-12)
        with pytest.raises(ValueError, match="read-only"):
            getattr(model, name)[...] = 1
    for name in {"means_", "degrees_of_freedom_"} & {*vars(other)}:
        setattr(model, name, getattr(other, name))
    model.weights_ = other.weights_
    assert_same_densities(model, other, 3 * rows, rtol=1e-7)
    assert np.isfinite(model.sample(3)[0]).all()
    model.save(tmp_path / "model.npz")
    assert_same_densities(fastem.load(tmp_path / "model.npz"), other, 3 * rows, rtol=1e-7)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_scikit_learns_idiom(covariance_type):
    """Means, weights and roots of precisions make scikit-learn's mixture score; its covariances may be set as well."""
    theirs = ScikitLearns(2, covariance_type=covariance_type, random_state=0).fit(X)
    mine = GaussianMixture(2, covariance_type=covariance_type)
    for name in ("weights_", "means_", "precisions_cholesky_"):
        setattr(mine, name, getattr(theirs, name))
    assert np.allclose(mine.score_samples(X), theirs.score_samples(X), rtol=1e-9)
    assert np.allclose(mine.covariances_, theirs.covariances_, rtol=1e-9)
    mine.covariances_, mine.precisions_cholesky_ = theirs.covariances_, theirs.precisions_cholesky_
    assert np.allclose(mine.score_samples(X), theirs.score_samples(X), rtol=1e-9)


def test_another_number_of_components_and_columns(tmp_path):
    model = GaussianMixture(2, random_state=0).fit(X)
    model.weights_, model.means_ = np.full(3, 1 / 3), np.zeros((3, 1))
    model.covariances_ = np.ones((3, 1, 1))
    assert model.predict_proba(np.zeros((1, 1))).shape == (1, 3) and model.n_features_in_ == 1
    assert model.n_parameters_ == 8 and len(model.component_status_) == 3
    with pytest.raises(ValueError, match="there are 3 weights_, but n_components is 2"):
        model.save(tmp_path / "model.npz")
    model.set_params(n_components=3).save(tmp_path / "model.npz")
    assert fastem.load(tmp_path / "model.npz").n_features_in_ == 1


@pytest.mark.parametrize(
    ("model", "changed"),
    [
        (GaussianMixture(2, random_state=0), {"covariance_type": "diag"}),
        (GaussianMixture(2, random_state=0), {"covariance_type": "EEV"}),
        (GaussianMixture(2, random_state=0), {"equal_weights": True}),
        (GaussianMixture(2, random_state=0), {"truncation": (-50, 50)}),
        (GaussianMixture(2, truncation=(-50, 50), random_state=0), {"truncation": (-50, 60)}),
        (GaussianMixture(2, truncation=(-50, 50), random_state=0), {"truncation": None}),
        (fastem.BayesianGaussianMixture(2, random_state=0), {"covariance_type": "tied"}),
        (fastem.BayesianGaussianMixture(2), {"weight_concentration_prior_type": "dirichlet_distribution"}),
        (fastem.MixtureOfFactorAnalyzers(2, n_factors=1, random_state=0), {"n_factors": 2}),
        (fastem.MixedMixture(2, kinds={"gaussian": [0, 1, 2]}, random_state=0), {"kinds": {"gaussian": [2, 1, 0]}}),
    ],
    ids=str,
)
def test_parameters_that_make_another_model_than_the_attributes_are_not_saved(model, changed, tmp_path):
    path, (name,) = tmp_path / "model.npz", changed
    before = {name: getattr(model.fit(X), name)}
    with pytest.raises(ValueError, match=rf"the fit had {name}=.*, but now {name}=.* Set it back before saving"):
        model.set_params(**changed).save(path)
    model.set_params(**before, tol=1e-9).save(path)
    assert_same_densities(fastem.load(path), model, X)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"noise": "box"}, "noise cannot be combined with truncation|truncation cannot be combined with noise"),
        ({"prior": 1.0}, "prior must be None"),
        ({"tol": -1}, "'tol' parameter"),
    ],
)
def test_parameters_that_no_file_may_have_are_refused_before_it_is_written(changed, words, tmp_path):
    model = GaussianMixture(2, truncation=(-50, 50), random_state=0).fit(X).set_params(**changed)
    with pytest.raises(ValueError, match=words):
        model.save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_the_same_box_in_other_words_is_saved(tmp_path):
    model = GaussianMixture(2, truncation=(-50, 50), random_state=0).fit(X)
    model.set_params(truncation=[np.full(X.shape[1], -50.0), 50.0]).save(tmp_path / "model.npz")
    assert_same_densities(fastem.load(tmp_path / "model.npz"), model, X)


def test_noise_set_by_hand(tmp_path):
    model = GaussianMixture(2, noise="box", random_state=0).fit(X)
    model.noise_weight_ = model.noise_weight_ + 0.1
    with pytest.raises(ValueError, match="in weights_ and noise_weight_"):
        model.score(X)
    model.weights_ = (1 - model.noise_weight_) * model.weights_ / model.weights_.sum()
    assert np.isclose(model.model_.weights[-1], model.noise_weight_)
    model.noise_box_ = 2 * model.noise_box_
    with pytest.raises(ValueError, match="logarithm of the volume of noise_box_"):
        model.score(X)
    del model.noise_log_volume_
    model.save(tmp_path / "model.npz")
    assert np.isclose(model.noise_log_volume_, np.log(np.ptp(model.noise_box_, axis=0)).sum())
    assert np.array_equal(fastem.load(tmp_path / "model.npz").score_samples(X), model.score_samples(X))
    again = GaussianMixture.from_parameters(
        model.weights_, model.means_, precisions=model.precisions_, noise_weight=model.noise_weight_,
        noise_box=model.noise_box_,
    )  # fmt: skip
    assert np.allclose(again.score_samples(X), model.score_samples(X), rtol=1e-9)


def normal(X, parameters):
    return -0.5 * (X[:, 0] - parameters[0]) ** 2


def weighted_means(X, weight):
    return weight @ X / weight.sum()


GATED = {"covariates": X[:, :1]}
SEVERAL = {
    **{str(family): (lambda family=family: fitted(family), family.data(90), {}) for family in MODELS},
    "tied": (lambda: GaussianMixture(2, covariance_type="tied", random_state=0).fit(X), X, {}),
    "noise": (lambda: GaussianMixture(2, noise="box", random_state=0).fit(X), X, {}),
    "gate": (lambda: fastem.StudentTMixture(2, random_state=0).fit(X, **GATED), X, GATED),
    "process": (lambda: fastem.BayesianGaussianMixture(2, random_state=0).fit(X), X, {}),
    "factor analysis": (lambda: fastem.FactorAnalysis(1).fit(X), X, {}),
    "ppca": (lambda: fastem.PPCA(1).fit(X), X, {}),
    "regressions": (lambda: fastem.MixtureOfRegressions(2, random_state=0).fit(X, X[:, 0]), X, {"y": X[:, 0]}),
    "own": (lambda: fastem.Mixture.of(normal, weighted_means)(2, random_state=0).fit(X), X, {}),
}


def broken(array):
    """What a user may set by mistake in place of an array of numbers, or of a number."""
    first = np.arange(array.size).reshape(array.shape) == 0
    yield "nan", np.where(first, np.nan, array)
    yield "inf", np.where(first, np.inf, array)
    yield "text", array.astype(str)
    yield "masked", np.ma.masked_array(array, first)
    yield "an axis more", array[None].repeat(3, axis=0)
    if array.ndim:
        yield "a row more", np.concatenate([array, array[:1]])


@pytest.mark.parametrize("name", SEVERAL)
def test_what_makes_no_model_is_refused_in_each_fitted_array(name):
    make, rows, beside = SEVERAL[name]
    model, accepted = make(), set()
    for name in [name for name in model._saved_arrays if name not in ("basis_", "lines_")]:  # these are of files
        array = np.asarray(getattr(model, name, None))
        for what, value in broken(array) if array.dtype.kind in "iuf" else ():
            try:
                setattr(model, name, value)
                model.score_samples(rows, **beside)
                accepted.add((name, what))
            except ValueError as error:
                assert "more" in what or all(word in str(error) for word in name.split("_")), (what, error)
        setattr(model, name, array)
    assert accepted <= {("components_", "a row more")}  # of factor analysis: a factor more


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_means_that_are_no_numbers_come_in_by_no_other_door(bad):
    theirs = ScikitLearns(2, random_state=0).fit(X)
    theirs.means_[0, 0] = bad
    with pytest.raises(ValueError, match="NaN or infinity in means_"):
        GaussianMixture.from_parameters([1.0], [[bad, 0.0]], np.eye(2)[None])
    with pytest.raises(ValueError, match="NaN or infinity in means_"):
        fastem.StudentTMixture.from_parameters([1.0], [[bad, 0.0]], np.eye(2)[None], [4.0])
    with pytest.raises(ValueError, match="NaN or infinity in means_"):
        fastem.MixtureOfFactorAnalyzers.from_parameters([1.0], [[bad, 0.0]], np.ones((1, 1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="NaN or infinity in means_"):
        GaussianMixture.from_sklearn(theirs)


EYES = np.stack([np.eye(2)] * 2)
MEANS, HALVES = [[0.0, 0.0], [5.0, 5.0]], [0.5, 0.5]


@pytest.mark.parametrize(
    "attribute, value, words",
    [
        ("covariances_", -EYES, "covariances_ are not positive definite"),
        ("covariances_", 0 * EYES, "covariances_ are not positive definite"),
        ("covariances_", EYES + [[0, 0.5], [0, 0]], "covariances_ are not symmetric"),
        ("covariances_", np.eye(2), r"shape of \(2, 2, 2\), but got \(2, 2\) in covariances_"),
        ("covariances_", [[1], [2, 3]], "covariances_ must be an array of numbers"),
        ("covariances_", np.nan * EYES, "NaN or infinity in covariances_"),
        ("precisions_", -EYES, "positive-definite in precisions_"),
        ("precisions_cholesky_", -EYES, "upper triangular with a positive diagonal"),
        ("precisions_cholesky_", np.ones((2, 2, 2)), "upper triangular with a positive diagonal"),
        ("weights_", [0.5, 0.6], "normalized, .* in weights_"),
        ("weights_", [1.0], r"\(2,\), but got \(1,\) in weights_"),
        ("means_", [1.0], r"shape of \(K, d\), but got \(1,\) in means_"),
    ],
)
def test_attributes_that_make_no_model(attribute, value, words):
    model = GaussianMixture.from_parameters(HALVES, MEANS, EYES)
    with pytest.raises(ValueError, match=words):
        setattr(model, attribute, value)
        model.score([[0.0, 0.0]])


def test_what_from_parameters_refuses():
    make = GaussianMixture.from_parameters
    with pytest.raises(TypeError, match=r"needs weights, means, covariances\. Got weights, means"):
        make(HALVES, MEANS)
    with pytest.raises(TypeError, match="takes weights, means, covariances, but got 4 arrays"):
        make(HALVES, MEANS, EYES, EYES)
    with pytest.raises(TypeError, match="got covariances and precisions, which are forms of the same matrices"):
        make(HALVES, MEANS, EYES, precisions=2 * np.array(EYES))
    with pytest.raises(ValueError, match=r"equal_weights=True needs equal weights_, but they are \[0\.3, 0\.7\]"):
        make([0.3, 0.7], MEANS, EYES, equal_weights=True)
    assert make(HALVES, MEANS, EYES, equal_weights=True).n_parameters_ == make(HALVES, MEANS, EYES).n_parameters_ - 1
    with pytest.raises(
        TypeError, match=r"MixedMixture\.from_parameters needs weights, gaussian_means, gaussian_cov.* Got"
    ):
        fastem.MixedMixture.from_parameters([0.5, 0.5])
    with pytest.raises(
        TypeError, match=r"needs weights, poisson_rates, gamma_shapes, gamma_rates\. Got weights, gamma_r"
    ):
        fastem.MixedMixture.from_parameters([1.0], gamma_rates=[[1.0]], kinds=["poisson", "gamma"])
    with pytest.raises(TypeError, match="got means twice"):
        make(HALVES, MEANS, EYES, means=MEANS)
    with pytest.raises(TypeError, match="Its parameters: n_components"):
        make(HALVES, MEANS, EYES, rates=MEANS)
    with pytest.raises(ValueError, match="n_components=3, but there are 2 weights"):
        make(HALVES, MEANS, EYES, n_components=3)
    with pytest.raises(ValueError, match="'covariance_type' parameter"):
        make(HALVES, MEANS, EYES, covariance_type="banded")
    with pytest.raises(ValueError, match=r"rates_ must be in \(0, inf\)"):
        fastem.PoissonMixture.from_parameters([1.0], [[-1.0]])


def test_a_factor_analyzers_covariances_follow():
    model = fastem.MixtureOfFactorAnalyzers(1).fit(X)
    with pytest.raises(AttributeError, match="covariances_"):
        model.covariances_ = np.eye(3)[None]


@pytest.mark.parametrize("make", [fastem.FactorAnalysis, fastem.PPCA])
def test_factor_models(make, tmp_path):
    first = make(1).fit(X)
    by_hand = make(1)
    for name in ("mean_", "components_", "noise_variance_"):
        with pytest.raises(NotFittedError):
            by_hand.score(X)
        setattr(by_hand, name, getattr(first, name))
    given = make.from_parameters(first.mean_, first.components_, first.noise_variance_)
    for model in (by_hand, given):
        assert np.allclose(model.score_samples(X), first.score_samples(X), rtol=1e-12)
        assert model.bic(X) == pytest.approx(first.bic(X)) and model.transform(X).shape == (120, 1)
        model.save(tmp_path / "model.npz")
        assert np.array_equal(fastem.load(tmp_path / "model.npz").score_samples(X), model.score_samples(X))
    for name, value, words in [
        ("noise_variance_", -np.ones(3), "noise_variance_ must be positive"),
        ("noise_variance_", [np.inf, 1, 1], "NaN or infinity in noise_variance_"),
        ("mean_", np.zeros(2), "do not have the same columns"),
        ("components_", [[1], [2, 3]], r"must contain numbers in the shape of \(n_components, d\) in components_"),
    ]:
        broken = make.from_parameters(first.mean_, first.components_, first.noise_variance_)
        setattr(broken, name, value)
        with pytest.raises(ValueError, match=words):
            broken.score(X)


def test_counts_of_zero_do_not_make_other_counts_impossible():
    model = fastem.PoissonMixture.from_parameters([0.5, 0.5], [[1.0, 2.0], [3.0, 4.0]])
    for _ in range(3):
        model.partial_fit(np.c_[np.zeros(20), np.arange(20)])
    assert (model.rates_ > 0).all() and np.isfinite(model.score([[5, 5]]))
