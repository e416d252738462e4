"""scikit-learn's conveniences: frames out, responsibilities as features, outliers, metadata routing."""

import sys
import warnings

import numpy as np
import pandas
import polars
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, SGDRegressor
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from fastem import BayesianGaussianMixture, GaussianMixture, OutlierDetector, PoissonMixture, write_predictions
from fastem.datasets import load_faithful, load_iris

X = load_faithful().data
FRAME = pandas.DataFrame(X, columns=["long", "wait"], index=np.arange(272) + 5)


def test_responsibilities_are_features():
    iris = load_iris()
    steps = make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0), LogisticRegression())
    assert steps.fit(iris.data, iris.target).score(iris.data, iris.target) > 0.9
    model = GaussianMixture(2, random_state=0)
    assert np.array_equal(model.fit_transform(X), model.predict_proba(X))
    assert list(model.get_feature_names_out()) == ["gaussianmixture0", "gaussianmixture1"]
    noisy = GaussianMixture(2, noise="box", random_state=0).fit(X)
    assert noisy.transform(X).shape == (272, 3) and noisy.get_feature_names_out()[-1] == "gaussianmixture_noise"


def test_frames_come_out():
    model = clone(GaussianMixture(2, random_state=0).set_output(transform="pandas")).fit(FRAME)
    for frame in (model.transform(FRAME), model.predict_proba(FRAME)):
        assert list(frame.columns) == ["gaussianmixture0", "gaussianmixture1"] and frame.index.equals(FRAME.index)
    filled = model.impute(FRAME.where(FRAME["wait"] > 60))
    assert list(filled.columns) == ["long", "wait"] and not filled.isna().any(axis=None)
    lazy = GaussianMixture(1).set_output(transform="polars").fit(polars.DataFrame(FRAME))
    assert lazy.impute(polars.DataFrame(FRAME)).columns == ["long", "wait"]
    with pytest.raises(ValueError, match="transform must be None or one of"):
        model.set_output(transform="arrow")


def test_the_configuration_of_scikit_learn_is_for_transform_and_impute():
    model = GaussianMixture(2, random_state=0).fit(FRAME)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(model.transform(FRAME), pandas.DataFrame) and isinstance(
            model.impute(FRAME), pandas.DataFrame
        )
        assert isinstance(model.predict_proba(FRAME), np.ndarray)  # as of scikit-learn's own mixtures
        assert PoissonMixture(1).fit(FRAME.round()).transform(FRAME.round()).shape == (272, 1)


def test_quantile_does_not_warn_of_rows_that_nobody_gave():
    model = GaussianMixture(2, random_state=0).fit(FRAME)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.quantile(0.01) < model.quantile(0.5)


def test_outliers_of_a_fitted_density():
    model = GaussianMixture(2, random_state=0).fit(X)
    drawn, _ = model.sample(200_000, random_state=1)
    for rate in (0.001, 0.05):
        share = model.is_outlier(drawn, rate=rate).mean()
        assert share == pytest.approx(rate, abs=6 * np.sqrt(rate / 100_000))
    assert model.is_outlier([[2.0, 95.0]]).tolist() == [True]


def test_an_outlier_detector():
    detector = OutlierDetector(GaussianMixture(2, random_state=0), contamination=0.05).fit(FRAME)
    labels = detector.predict(FRAME)
    assert set(labels) == {-1, 1} and (labels == -1).sum() == 14
    assert np.array_equal(labels == -1, detector.decision_function(FRAME) < 0)
    assert np.array_equal(detector.fit_predict(FRAME), labels)
    found = GridSearchCV(detector, {"mixture__n_components": [1, 2]}, cv=3).fit(X)
    assert found.best_params_ == {"mixture__n_components": 2}
    for wrong in (0, 0.7, -0.1, np.nan, True, None, "auto"):
        with pytest.raises(
            ValueError, match=r"OutlierDetector must be a float in the range \(0, 0\.5\]\. Got .* instead"
        ):
            OutlierDetector(contamination=wrong).fit(X)
    OutlierDetector(contamination=np.float32(0.5)).fit(X)
    with pytest.raises(ValueError, match="must be one of fastem's mixtures"):
        OutlierDetector(3).fit(X)


def test_an_outlier_detector_says_of_rows_what_its_mixture_says():
    mixture = BayesianGaussianMixture(
        2, random_state=0, n_threads=1
    )  # whose predictive density is not that of its model
    detector = OutlierDetector(mixture).fit(X)
    many = np.tile(X, (1 + 20_000 // X.size, 1))  # read by several threads
    for name in ("score", "bic", "aic", "score_samples"):
        assert np.array_equal(getattr(detector, name)(many), getattr(detector.mixture_, name)(many))
    assert np.array_equal(detector.sample(3)[0], detector.mixture_.sample(3)[0])
    counts = OutlierDetector(PoissonMixture(2, random_state=0)).fit(abs(X).round())
    for ask in (counts.score, counts.predict, counts.score_samples):
        with pytest.raises(ValueError, match="must hold counts"):
            ask(abs(X) + 0.5)


def test_parameters_of_the_default_mixture_can_be_set():
    detector = OutlierDetector().set_params(mixture__n_components=2, contamination=0.1)
    assert detector.mixture.n_components == 2 and len(detector.fit(X).mixture_.weights_) == 2
    with pytest.raises(ValueError, match="Invalid parameter 'n_component'"):
        OutlierDetector().set_params(mixture__n_component=2)


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks_of_outlier_detectors():
    results = check_estimator(OutlierDetector(contamination=0.1), on_fail=None, on_skip=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert failed == set()


def test_metadata_is_routed():
    weight = np.where(X[:, 0] > 3, 1.0, 0.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = GaussianMixture(random_state=0).set_fit_request(sample_weight=True)
        search = GridSearchCV(model.set_score_request(sample_weight=False), {"n_components": [1]}, cv=2)
        found = search.fit(X, sample_weight=weight).best_estimator_
        assert np.allclose(found.means_, X[weight > 0].mean(axis=0))
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
            GridSearchCV(GaussianMixture(), {"n_components": [1]}).fit(X, sample_weight=weight)
        with pytest.raises(TypeError, match="has no argument 'weight', only sample_weight"):
            model.set_fit_request(weight=True)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "score", "predict", "predict_proba"])
def test_requests_are_refused_as_scikit_learn_refuses_them_where_it_would_not_look_at_them(method):
    with sklearn.config_context(enable_metadata_routing=False):
        with pytest.raises(RuntimeError, match=r"only available when metadata routing is enabled"):
            SGDRegressor().set_fit_request(sample_weight=True)
        with pytest.raises(RuntimeError, match=rf"set_{method}_request is only available when .*set_config"):
            getattr(GaussianMixture(), f"set_{method}_request")(covariates=True)


def test_where_scikit_learn_was_not_imported_it_routes_nothing(monkeypatch):
    monkeypatch.delitem(sys.modules, "sklearn")
    with pytest.raises(RuntimeError, match="only available when metadata routing is enabled"):
        GaussianMixture().set_fit_request(covariates=True)


def test_noise_hides_outliers_from_a_threshold_of_the_density(tmp_path):
    """Its density is the same far away, so that nothing lay below the threshold."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(300, 2)), rng.normal(6, 1, size=(300, 2)), rng.uniform(-12, 12, (60, 2))])
    model = GaussianMixture(2, noise="box", random_state=0).fit(X)
    assert (model.predict([[0, 0], [1e3, 1e3]]) == [0, -1]).all()
    for ask in (
        lambda: model.is_outlier(X),
        lambda: OutlierDetector(GaussianMixture(2, noise="box")).fit(X),
        lambda: write_predictions(model, X, tmp_path / "labels.csv", outliers=0.01),
    ):
        with pytest.raises(ValueError, match=r"noise is as dense far away as anywhere.*predict\(X\) == -1"):
            ask()


RNG = np.random.default_rng(0)
SIDES = {
    "covariates": {"covariates": RNG.normal(size=(len(X), 1))},
    "errors": {"errors": np.full(X.shape, 0.1)},
    "bounds": {"lower": np.floor(X), "upper": np.floor(X) + 1},
}


def with_sides(sides, model=None):
    """A mixture that asks for these side columns wherever it is used."""
    asked = dict.fromkeys(sides, True)
    model = model or GaussianMixture(2, covariance_type="diag", random_state=0)
    model = model.set_fit_request(**asked).set_score_request(**asked)
    return model.set_predict_request(**asked).set_predict_proba_request(**asked)


def by_hand(sides, folds):
    """Mean log-densities of the rows of each fold under the fit to the others."""
    scores = []
    for train, test in folds.split(X):
        model = with_sides(sides).fit(X[train], **{role: side[train] for role, side in sides.items()})
        scores.append(model.score(X[test], **{role: side[test] for role, side in sides.items()}))
    return scores


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.parametrize("kind", SIDES)
def test_side_columns_are_routed(kind):
    sides, folds = SIDES[kind], KFold(3, shuffle=True, random_state=0)
    with sklearn.config_context(enable_metadata_routing=True):
        expected = by_hand(sides, folds)
        np.testing.assert_array_equal(cross_val_score(with_sides(sides), X, params=sides, cv=folds), expected)
        found = cross_validate(with_sides(sides), X, params=sides, cv=folds)
        np.testing.assert_array_equal(found["test_score"], expected)
        search = GridSearchCV(with_sides(sides), {"n_components": [1, 2]}, cv=folds).fit(X, **sides)
        np.testing.assert_allclose(search.cv_results_["mean_test_score"][1], np.mean(expected), rtol=1e-12)
        steps = make_pipeline("passthrough", with_sides(sides))
        np.testing.assert_array_equal(cross_val_score(steps, X, params=sides, cv=folds), expected)
        steps.fit(X, **sides)
        alone = with_sides(sides).fit(X, **sides)
        np.testing.assert_array_equal(steps.predict_proba(X, **sides), alone.predict_proba(X, **sides))
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match=next(iter(sides))):
            cross_val_score(GaussianMixture(2), X, params=sides, cv=folds)


@pytest.fixture
def routed():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_only_what_a_method_takes_can_be_asked_for(routed):
    for name in ("sides", "labels"):
        with pytest.raises(TypeError, match=f"GaussianMixture.score has no argument '{name}', only sample_weight, err"):
            GaussianMixture().set_score_request(**{name: True})
    with pytest.raises(
        TypeError, match=r"PoissonMixture\.fit has no argument 'errors', only sample_weight, covariates"
    ):
        PoissonMixture().set_fit_request(errors=True)
    with pytest.raises(TypeError, match=r"PoissonMixture\.predict has no argument 'sample_weight', only covariates\."):
        PoissonMixture().set_predict_request(sample_weight=True)
