"""To scikit-learn's estimators and back: the same parameters and predictions; ONNX by way of them."""

import numpy as np
import pandas
import pytest
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as TheirFactors
from sklearn.mixture import BayesianGaussianMixture as TheirBayesian
from sklearn.mixture import GaussianMixture as Theirs

from fastem import PPCA, BayesianGaussianMixture, FactorAnalysis, GaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore")
BASIC = ["full", "tied", "diag", "spherical"]


def rows(n=300, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + 3 * rng.normal(size=(3, d))[rng.integers(3, size=n)]


def close(actual, wanted):
    np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-11)


def mixtures():
    for name in [*BASIC, "VEV", "EEI", "EVE"]:
        yield f"GaussianMixture {name}", GaussianMixture(3, covariance_type=name, random_state=0)
    for name in BASIC:
        for kind in ("dirichlet_process", "dirichlet_distribution"):
            settings = {"covariance_type": name, "weight_concentration_prior_type": kind, "predictive": "plug-in"}
            yield f"BayesianGaussianMixture {name} {kind}", BayesianGaussianMixture(4, random_state=0, **settings)


@pytest.mark.parametrize("model", [pytest.param(model, id=name) for name, model in mixtures()])
def test_a_mixture_there_and_back(model):
    X = pandas.DataFrame(rows(), columns=["a", "b", "c"])
    theirs = model.fit(X).to_sklearn()
    assert type(theirs).__name__ == type(model).__name__ and type(theirs).__module__.startswith("sklearn")
    assert list(theirs.feature_names_in_) == ["a", "b", "c"] and theirs.n_features_in_ == 3
    close(theirs.score_samples(X), model.score_samples(X))
    close(theirs.predict_proba(X), model.predict_proba(X))
    assert (theirs.predict(X) == model.predict(X)).all()
    assert theirs.sample(5)[0].shape == (5, 3) and np.isfinite(theirs.score(X))
    theirs.means_[0] += 0  # its own copies, which may be changed
    again = type(model).from_sklearn(theirs)
    for name in again._parameter_arrays:
        close(getattr(again, name), getattr(theirs, name))
    if isinstance(model, BayesianGaussianMixture):
        close(
            again.set_params(predictive="exact").score_samples(X), model.set_params(predictive="exact").score_samples(X)
        )
    close(again.predict_proba(X), model.predict_proba(X))
    assert list(again.feature_names_in_) == ["a", "b", "c"]
    assert np.isfinite(again.set_params(warm_start=True, max_iter=2).fit(X).lower_bound_)


@pytest.mark.parametrize("kind", ["dirichlet_process", "dirichlet_distribution"])
@pytest.mark.parametrize("covariance_type", BASIC)
def test_from_scikit_learns_own_fit(covariance_type, kind):
    X = rows()
    settings = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
    theirs = TheirBayesian(weight_concentration_prior_type=kind, mean_precision_prior=0.5, **settings).fit(X)
    ours = BayesianGaussianMixture.from_sklearn(theirs)
    assert ours.mean_precision_prior == 0.5
    close(ours.predict_proba(X), theirs.predict_proba(X))
    close(ours.set_params(predictive="plug-in").score_samples(X), theirs.score_samples(X))
    theirs = Theirs(**settings).fit(X)
    close(GaussianMixture.from_sklearn(theirs).score_samples(X), theirs.score_samples(X))


@pytest.mark.parametrize("make", [FactorAnalysis, PPCA])
def test_factors_there_and_back(make):
    X = rows(d=5)
    ours = make(2).fit(X)
    theirs = ours.to_sklearn()
    assert type(theirs) is TheirFactors
    again = make.from_sklearn(theirs)
    for model in (theirs, again):
        close(model.score_samples(X), ours.score_samples(X))
        close(model.transform(X), ours.transform(X))
        close(model.get_covariance(), ours.get_covariance())


def test_what_scikit_learn_does_not_have_is_refused():
    X = rows()
    with pytest.raises(ValueError, match="scikit-learn's mixtures have no noise, but this one has noise='box'"):
        GaussianMixture(2, noise="box", random_state=0).fit(X).to_sklearn()
    with pytest.raises(TypeError, match=r"GaussianMixture.from_sklearn takes a sklearn.mixture.GaussianMixture, not a"):
        GaussianMixture.from_sklearn(TheirBayesian().fit(X))
    with pytest.raises(TypeError, match=r"PPCA.from_sklearn takes a sklearn.decomposition.FactorAnalysis"):
        PPCA.from_sklearn(PCA().fit(X))
    with pytest.raises(ValueError, match="noise variances of the model differ"):
        PPCA.from_sklearn(TheirFactors(1).fit(X))
    with pytest.raises(ValueError, match="is not fitted yet"):
        GaussianMixture.from_sklearn(Theirs())
    with pytest.raises(Exception, match="not fitted"):
        GaussianMixture().to_sklearn()


def test_the_pages_rows_of_what_scikit_learn_fits_and_fastem_refuses():
    X = rows()
    few, masked = np.repeat(X[:2], 20, axis=0), np.ma.masked_array(X, X == X[0, 0])
    with pytest.warns(match="Number of distinct clusters"):
        Theirs(3, random_state=0).fit(few)
    theirs = Theirs(2, warm_start=True, random_state=0).fit(X).set_params(n_components=3).fit(X)
    assert theirs.means_.shape == (2, X.shape[1]) and Theirs().fit(masked).means_.shape == (1, X.shape[1])
    with pytest.raises(ValueError, match="distinct row"):
        GaussianMixture(3).fit(few)
    with pytest.raises(ValueError, match="n_components has changed"):
        GaussianMixture(2, warm_start=True, random_state=0).fit(X).set_params(n_components=3).fit(X)
    with pytest.raises(ValueError, match="masked"):
        GaussianMixture().fit(masked)
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    for dtype, least in ((np.float64, 1e-146), (np.float32, 3.2e-16)):
        GaussianMixture().fit((1.1 * least * standard).astype(dtype))
        with pytest.raises(ValueError, match="underflow"):
            GaussianMixture().fit((0.9 * least * standard).astype(dtype))


@pytest.mark.parametrize("model", [pytest.param(model, id=name) for name, model in mixtures()])
def test_onnx(model):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    X = rows().astype(np.float32)
    theirs = model.fit(X.astype(np.float64)).to_sklearn()
    options = {id(theirs): {"score_samples": True}}
    text = skl2onnx.to_onnx(theirs, X[:1], options=options).SerializeToString()
    session = onnxruntime.InferenceSession(text, providers=["CPUExecutionProvider"])
    labels, probabilities, scores = session.run(None, {session.get_inputs()[0].name: X})
    certain = model.predict_proba(X).max(axis=1) > 0.501
    assert (labels.ravel()[certain] == model.predict(X)[certain]).all()
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-3)
    np.testing.assert_allclose(scores.ravel(), model.score_samples(X), atol=2e-3)
