"""What pictures take beside a fit and its rows, and what they refuse: bounds, covariates, rows elsewhere."""

import numpy as np
import polars
import pytest
from matplotlib.figure import Figure

import fastem
from fastem import plot
from fastem.datasets import load_faithful

X = load_faithful().data


def fitted(X, K, **parameters):
    return fastem.GaussianMixture(K, random_state=0, tol=1e-2, **parameters).fit(X)


def test_the_histogram_of_intervals_is_the_one_that_was_fitted():
    """Bins of unequal width with their counts, of which two have an open end."""
    lower, upper = np.array([-np.inf, 0.0, 1.0, 3.0, 3.0]), np.array([0.0, 1.0, 3.0, 4.0, np.inf])
    counts = np.array([4, 10, 20, 5, 1])
    bins = {"lower": lower[:, None], "upper": upper[:, None], "sample_weight": counts}
    model = fastem.GaussianMixture(1).fit(lower[:, None], **bins)
    ax = plot.mixture(model, lower[:, None], **bins, ax=Figure())
    bars = ax.patches[0].get_data()
    assert bars.edges.tolist() == [0, 1, 3, 4]
    assert np.allclose(bars.values, np.array([10, 20 / 2, 5]) / 40)
    for wrong, words in [
        ({"lower": lower}, "belong together"),
        ({"lower": lower, "upper": upper[:4]}, "upper has 4 rows, but X has 5"),
        ({"lower": np.full(5, -np.inf), "upper": upper}, "no histogram"),
        ({"lower": upper, "upper": lower}, "must be bounds, lower <= upper"),
        ({"lower": lower, "upper": np.where(lower == 1, np.nan, upper)}, "must be bounds, lower <= upper"),
        ({**bins, "sample_weight": -counts}, "Negative values"),
        ({**bins, "sample_weight": 0 * counts}, "All sample_weight are zero"),
        ({**bins, "columns": [7]}, "7"),
        ({"lower": np.c_[lower, lower], "upper": upper}, "one column of each"),
        ({"sample_weight": counts}, "only with lower and upper"),
    ]:
        with pytest.raises(ValueError, match=words):
            plot.mixture(model, lower[:, None], **wrong, ax=Figure())
    with pytest.raises(ValueError, match="one column, but this one has 2"):
        plot.mixture(fitted(X, 1), X, lower=X, upper=X, ax=Figure())


@pytest.mark.parametrize("whole", [False, True])
def test_exact_values_lie_in_bars_beside_intervals(whole):
    """Half of the rows are exact, in bounds that are equal or in X; one row in ten is above a limit, one is missing."""
    x = np.random.default_rng(0).normal(size=200)
    x = np.round(x) if whole else x
    lower, upper = np.floor(x), np.floor(x) + 1
    lower[:50], upper[:50] = x[:50], x[:50]
    lower[50:100], upper[50:100] = np.nan, np.nan
    lower[180:], upper[180:] = -1, np.inf
    rows = np.where(np.arange(200) < 100, x, np.nan)
    rows[99] = np.nan
    model = fastem.GaussianMixture(1).fit(rows[:, None], lower=lower[:, None], upper=upper[:, None])
    ax = plot.mixture(model, rows[:, None], lower=lower, upper=upper, ax=Figure())
    values, edges, _ = ax.patches[0].get_data()
    np.testing.assert_allclose(values @ np.diff(edges), 179 / 199)


def test_intervals_of_counts_hold_both_ends():
    model = fastem.GeometricMixture(1).fit(np.arange(9.0)[:, None])
    lower, upper = np.array([0.0, 3.0, 5.0]), np.array([1.0, 3.0, 9.0])
    ax = plot.mixture(model, lower[:, None], lower=lower, upper=upper, ax=Figure())
    values, edges, _ = ax.patches[0].get_data()
    assert edges.tolist() == [-0.5, 1.5, 2.5, 3.5, 4.5, 9.5]
    np.testing.assert_allclose(values, np.array([1 / 2, 0, 1, 0, 1 / 5]) / 3, atol=1e-12)


@pytest.mark.parametrize("given", ["fit", "mixture"])
def test_weights_that_depend_on_covariates_are_not_drawn(given):
    side = np.linspace(-1, 1, len(X))[:, None]
    fit = fastem.GaussianMixture(2, random_state=0, max_iter=3, tol=1e9).fit(X, covariates=side)
    model = fit if given == "fit" else fit.model_
    pictures = ["mixture", "responsibilities", "uncertainty", "density", "regions", "qq", "bound", "alternation"]
    for picture in (*(getattr(plot, name) for name in pictures), plot.animate):
        with pytest.raises(ValueError, match="takes no covariates, on which the weights of this"):
            picture(model, X)
    one = fastem.GaussianMixture(2, random_state=0, max_iter=3, tol=1e9).fit(X[:, :1], covariates=side)
    for picture in (plot.mixture, plot.responsibilities):
        with pytest.raises(ValueError, match="takes no covariates"):
            picture(one, X[:, :1])
    assert plot.parameters(model, ax=Figure()).get_title() == "means"


def test_pictures_are_of_rows_in_memory():
    model = fitted(X, 2)
    for rows in ("faithful", polars.DataFrame(X).lazy(), fastem.open_rows(X)):
        for picture in (plot.mixture, plot.responsibilities, plot.density, plot.qq):
            with pytest.raises(TypeError, match=r"rows in memory.*Got .* instead: give fastem.open_rows\(X\)"):
                picture(model, rows)
    assert plot.mixture(model, X.tolist(), ax=Figure()).get_title() == "GaussianMixture, 2 components"


def test_pictures_say_what_they_expect():
    model = fastem.GaussianMixture(1).fit(np.random.default_rng(0).normal(size=(50, 2)))
    for wrong in (model, None):
        with pytest.raises(
            TypeError, match=f"selection expects what fastem.select returns. Got {type(wrong).__name__}"
        ):
            plot.selection(wrong)
    detector = fastem.OutlierDetector().fit(np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(TypeError, match=r"restarts expects a list of fits.* Got OutlierDetector.* Pass its mixture_"):
        plot.restarts(detector)
    with pytest.raises(TypeError, match=r"restarts expects a list of fits, or a mixture that has.* Got 3\."):
        plot.restarts(3)


def test_fits_without_a_report_are_no_pictures_of_restarts():
    X = np.random.default_rng(0).normal(size=(30, 2))
    of_means = fastem.Mixture.of(lambda X, mean: -0.5 * ((X - mean) ** 2).sum(axis=1), lambda X, weight: weight @ X)
    for fit in (of_means(1).fit(X), fastem.MixtureOfRegressions(1).fit(X, X @ [1, 2] + X[:, 0] ** 2)):
        with pytest.raises(TypeError, match=rf"Got a {type(fit).__name__} that keeps no report of its starts"):
            plot.restarts(fit)
        assert plot.restarts([fit, fit], ax=Figure()).lines
