"""What there is to look at after a fit: summaries, tables of errors and tests, and the same in notebooks."""

import json

import numpy as np
import pytest

import fastem
from fastem.datasets import load_faithful, load_iris

X = load_faithful().data
COUNTS = np.random.default_rng(0).poisson(np.repeat([[2, 9], [7, 1]], 100, axis=0)).astype(float)


def test_the_table_of_a_gaussian_mixture():
    model = fastem.GaussianMixture(2, random_state=0).fit(X)
    text = model.summary()
    assert text.startswith("Gaussian mixture, 2 components, full covariance\n")
    assert f"{model.bic(X):.6f}"[:10] in text and "converged" in text
    sizes = [float(line.split()[2]) for line in text.splitlines()[-2:]]
    assert sizes == [round(size, 1) for size in model.weights_ * 272]


@pytest.mark.parametrize(
    ("model", "rows", "title", "words"),
    [
        (fastem.PoissonMixture(2), COUNTS, "Poisson mixture, 2 components", "rates"),
        (fastem.CategoricalMixture(2), COUNTS, "Categorical mixture, 2 components", "probabilities"),
        (fastem.StudentTMixture(1), X, "Student-t mixture, 1 component, full covariance", "standard deviation"),
        (fastem.MixtureOfFactorAnalyzers(2), X, "Mixture of factor analyzers, 2 components", "standard deviation"),
        (fastem.BayesianGaussianMixture(2), X, "Bayesian Gaussian mixture, 2 components, full covariance", "ELBO"),
        (fastem.MixedMixture(2, kinds=["poisson", "poisson"]), COUNTS, "Mixed mixture, 2 components", "rates"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
def test_every_family(model, rows, title, words):
    text = model.set_params(random_state=0).fit(rows).summary()
    assert text.splitlines()[0] == title and words in text and "e-0" not in text.split("status")[-1]


@pytest.mark.parametrize("make", [fastem.FactorAnalysis, fastem.PPCA])
@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
def test_the_table_of_factors(make, tmp_path):
    rows = load_iris().data
    model = make(2).fit(rows, sample_weight=np.full(150, 2.0))
    text = model.summary()
    assert ", 2 factors" in text.splitlines()[0] and "150, of total weight 300" in text
    assert f"BIC             {model.bic(rows, np.full(150, 2.0)):.10g}" in text
    cells = text[text.index("column  ") :].splitlines()[3].split()  # of column 2
    explained = 1 - model.noise_variance_[2] / model.get_covariance()[2, 2]
    assert [cells[1], cells[3]] == [f"{model.components_[0, 2]:.4g}", f"{explained:.3f}"]
    total = float(text.splitlines()[-1].split()[-1])
    noise, variance = model.noise_variance_, np.diagonal(model.get_covariance())
    share = 1 - (noise.sum() / variance.sum() if make is fastem.PPCA else (noise / variance).mean())
    assert total == pytest.approx(share, abs=6e-4)
    model.save(tmp_path / "model.npz")
    assert fastem.load(tmp_path / "model.npz").summary() == text and "\nleft to gain" in text
    assert ", 2 factors" in model._repr_html_() and make.__name__ in make()._repr_html_()
    with pytest.raises(fastem.NotFittedError):
        make().summary()


def test_factors_of_given_parameters_and_many_columns():
    text = fastem.FactorAnalysis.from_parameters([0.0, 0.0], [[1.0, 2.0]], [1.0, 1.0]).summary()
    assert "its parameters were given" in text and "BIC" not in text and "factor 0" in text
    assert "0 factors" in fastem.FactorAnalysis(0).fit(X).summary()
    many = fastem.FactorAnalysis.from_parameters(np.zeros(60), np.ones((12, 60)), np.ones(60)).summary()
    assert "... and 10 more columns" in many and "... and 4 more factors" in many and len(many.splitlines()) < 65


def test_a_file_keeps_the_summary(tmp_path):
    model = fastem.PoissonMixture(2, random_state=0).fit(COUNTS, sample_weight=np.full(200, 2.0))
    model.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz").summary()
    assert "200, of total weight 400" in loaded
    assert loaded == model.summary() and "\nleft to gain" in loaded


@pytest.mark.parametrize("make", [fastem.PoissonMixture, fastem.PPCA])
def test_a_file_of_version_0_1_does_not_know_what_is_left(tmp_path, make):
    model = make(1).fit(COUNTS)
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        entries = dict(file)
    header = json.loads(str(entries["fastem.json"]))
    for name in ("remaining_gain_", "remaining_gain_method_", "log_likelihood_error_"):
        del header["attributes"][name]
    np.savez(tmp_path / "old.npz", **(entries | {"fastem.json": np.array(json.dumps(header))}))
    again = fastem.load(tmp_path / "old.npz")
    assert np.isnan(again.remaining_gain_) and "\nleft to gain" not in again.summary()


def test_a_mixture_of_given_parameters_has_no_rows():
    text = fastem.PoissonMixture.from_parameters([1.0], [[1.0, 2.0]]).summary()
    assert "its parameters were given" in text and "BIC" not in text


def test_names_of_columns_and_not_fitted():
    pandas = pytest.importorskip("pandas")
    model = fastem.GaussianMixture(1).fit(pandas.DataFrame(X, columns=["long", "wait"]))
    assert "2 (long, wait)" in model.summary()
    with pytest.raises(fastem.NotFittedError):
        fastem.GaussianMixture().summary()


def test_standard_errors_print_as_a_table():
    model = fastem.GaussianMixture(2, random_state=0).fit(X)
    errors = fastem.standard_errors(model, X)
    head, first, *_ = str(errors).splitlines()
    assert head.split() == ["parameter", "estimate", "error", "2.5", "%", "97.5", "%"]
    name, *numbers = first.rsplit(maxsplit=4)
    value, error = model.weights_[0], errors.weights[0]
    assert name.strip() == "weights_[0]"
    expected = [value, error, value - 1.96 * error, value + 1.96 * error]
    np.testing.assert_allclose([float(number) for number in numbers], expected, rtol=1e-4)
    assert "\n" not in repr(errors)


def test_a_likelihood_ratio_test_prints_as_a_table():
    test = fastem.LikelihoodRatioTest((1, 2), 12.5, 0.01, np.arange(99.0))
    assert str(test).splitlines()[1].split() == ["alternative", "2", "components"]
    assert "p-value" in str(test) and "93.1" in str(test)


def test_notebooks_show_what_print_says():
    model = fastem.GaussianMixture(2, random_state=0).fit(X)
    assert "Gaussian mixture, 2 components" in model._repr_html_() and model._repr_html_().startswith("<pre")
    assert "GaussianMixture(n_components=3)" in fastem.GaussianMixture(3)._repr_html_()
    found = fastem.select(X, [1, 2], ["EEE"], random_state=0)
    shown = [found, model.fit_report_, fastem.standard_errors(model, X)]
    assert all(one._repr_html_().count("\n") == str(one).count("\n") for one in shown)


def test_a_data_set_is_one_line():
    assert repr(load_faithful()) == "<Dataset of 272 rows, 2 columns: eruptions, waiting>"
