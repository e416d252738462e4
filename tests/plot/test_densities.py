"""Densities and contours that are those of the fit: within its box, beside noise, of narrow components, integrated over
a posterior; and the units of ellipses and colours."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.integrate import trapezoid

import fastem
from fastem import plot
from fastem.datasets import load_faithful
from fastem.plot.parameter_maps import separations

X = load_faithful().data
RNG = np.random.default_rng(0)
POSITIVE = np.abs(RNG.normal(size=(1000, 3)))


def contours(ax):
    """The lines of a picture of a density, and their names."""
    (lines,) = (collection for collection in ax.collections if hasattr(collection, "levels"))
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    return lines, dict(zip(names, sorted(lines.levels, reverse=True)))


def truncated(d, **given):
    return fastem.GaussianMixture(1, truncation=(0, np.inf), max_iter=20, tol=1e9, **given).fit(POSITIVE[:, :d])


def test_a_truncated_density_is_drawn_within_its_box():
    model = truncated(1)
    ax = plot.mixture(model, POSITIVE[:, :1], ax=Figure())
    (curve,) = (line for line in ax.lines if line.get_label() == "mixture")
    x, y = curve.get_data()
    assert x.min() == 0 and trapezoid(y, x) == pytest.approx(1, abs=0.01)
    (along,) = plot.responsibilities(model, POSITIVE[:, :1], ax=Figure()).lines
    assert along.get_xdata().min() == 0


def test_contours_and_regions_of_a_truncated_mixture_lie_within_its_box():
    model = truncated(2, covariance_type="diag")
    lines, levels = contours(plot.density(model, POSITIVE[:, :2], ax=Figure()))
    assert min(path.vertices.min() for path in lines.get_paths()) >= 0
    heights = np.exp(model.score_samples(model.sample(20_000, random_state=1)[0]))
    shares = {name: (heights > level).mean() for name, level in levels.items()}
    assert shares == pytest.approx({"50%": 0.5, "75%": 0.75, "90%": 0.9, "95%": 0.95, "99%": 0.99}, abs=0.01)
    ax = plot.regions(model, POSITIVE[:, :2], ax=Figure())
    assert min(ax.images[0].get_extent()) == 0


def test_independent_columns_of_a_truncated_mixture_are_drawn_in_pairs():
    model = truncated(3, covariance_type="diag")
    axes = plot.mixture(model, POSITIVE, ax=Figure())
    assert axes.shape == (3, 3) and len(axes[2, 1].patches) == 2
    assert axes[0, 2].get_legend().get_texts()[0].get_text() == "1 standard deviation before truncation"
    (curve,) = (line for line in axes[1, 1].lines if line.get_label() == "mixture")
    assert trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(1, abs=0.01)


def test_columns_that_depend_on_each_other_within_a_box_have_no_densities_of_their_own():
    model = truncated(3)
    for picture, columns in ((plot.mixture, None), (plot.mixture, [0]), (plot.density, None), (plot.regions, [1, 2])):
        with pytest.raises(ValueError, match=r"depend on each other within a box, so .* Draw plot.responsibilities or"):
            picture(model, POSITIVE, columns, ax=Figure())
    assert plot.responsibilities(model, POSITIVE, ax=Figure()).shape == (2, 2)
    assert plot.parameters(model, ax=Figure()).get_title() == "means"


@pytest.mark.parametrize("noise", ["box", 500.0])
def test_contours_beside_noise_hold_shares_of_the_other_rows(noise):
    clean = RNG.normal(size=(700, 2))
    rows = np.vstack([clean, RNG.uniform(-10, 10, (300, 2))])
    model = fastem.GaussianMixture(1, noise=noise, random_state=0).fit(rows)
    ax = plot.density(model, rows, ax=Figure())
    assert ax.get_title().endswith("without noise")
    _, levels = contours(ax)
    gaussian = fastem.GaussianMixture.from_parameters([1.0], model.means_, model.covariances_)
    heights = np.exp(gaussian.score_samples(gaussian.sample(20_000, random_state=1)[0]))
    shares = {name: (heights > level).mean() for name, level in levels.items()}
    assert shares == pytest.approx({"50%": 0.5, "75%": 0.75, "90%": 0.9, "95%": 0.95, "99%": 0.99}, abs=0.01)


def test_contours_of_a_component_between_the_points_of_the_grid():
    model = fastem.GaussianMixture.from_parameters([0.5, 0.5], [[0.0, 0.0], [3.0, 3.0]], [np.eye(2), 1e-6 * np.eye(2)])
    rows, _ = model.sample(500, random_state=0)
    lines, levels = contours(plot.density(model, rows, ax=Figure()))
    heights = np.exp(model.score_samples(model.sample(20_000, random_state=1)[0]))
    shares = {name: (heights > level).mean() for name, level in levels.items()}
    assert shares["75%"] == pytest.approx(0.75, abs=0.01) and shares["99%"] == pytest.approx(0.99, abs=0.01)
    around = [abs(path.vertices - 3).max(axis=1).min() < 0.01 for path in lines.get_paths()]
    assert all(around)


def test_regions_of_two_columns_are_those_of_predict():
    model = fastem.GaussianMixture(2, noise=2000.0, random_state=0).fit(np.vstack([X, [[1.0, 105], [6, 33]]]))
    ax = plot.regions(model, X, [1, 0], ax=Figure())
    image, (left, right, low, high) = np.asarray(ax.images[0].get_array()), ax.images[0].get_extent()
    y, x = np.meshgrid(np.linspace(low, high, len(image)), np.linspace(left, right, len(image)), indexing="ij")
    labels = model.predict(np.column_stack([y.ravel(), x.ravel()])).reshape(image.shape[:2])
    colours = np.array([plot.surfaces.colour(k) for k in range(3)])
    np.testing.assert_allclose(image[..., :3], np.array([to_rgb(c) for c in colours])[labels])


def test_the_density_of_a_bayesian_mixture_is_the_predictive_one():
    rows = X[:30]
    model = fastem.BayesianGaussianMixture(2, random_state=0).fit(rows[:, :1])
    for given in (model, model.model_):
        ax = plot.mixture(given, rows[:, :1], ax=Figure())
        (curve,) = (line for line in ax.lines if line.get_label() == "mixture")
        x, y = curve.get_data()
        np.testing.assert_allclose(np.log(y), model.score_samples(x[:, None]), rtol=1e-9)
    few = fastem.BayesianGaussianMixture(1).fit(rows[:4, :1])
    points = next(line for line in plot.qq(few, X[:, :1], ax=Figure()).lines if line.get_label() == "rows")
    middle = few.sample(100_000, random_state=1)[0]
    shares = (np.arange(200) + 0.5) / 200
    np.testing.assert_allclose(points.get_xdata()[20:-20], np.quantile(middle, shares)[20:-20], atol=0.05)
    two = fastem.BayesianGaussianMixture(2, random_state=0).fit(rows)
    ax = plot.mixture(two, rows, ax=Figure())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "1 standard deviation",
        "2 standard deviations",
    ]
    _, levels = contours(plot.density(two, rows, ax=Figure()))
    heights = np.exp(two.score_samples(two.sample(20_000, random_state=1)[0]))
    assert (heights > levels["50%"]).mean() == pytest.approx(0.5, abs=0.01)


def test_ellipses_of_student_t_components_are_at_scales():
    model = fastem.StudentTMixture(1, random_state=0).fit(X)
    ax = plot.mixture(model, X, ax=Figure())
    assert [text.get_text() for text in ax.get_legend().get_texts()][:2] == ["1 scale", "2 scales"]


def test_colours_of_student_t_components_are_in_deviations_where_there_are_some():
    gaussian = fastem.GaussianMixture.from_parameters([0.5, 0.5], [[-1.0], [1.0]], np.ones((2, 1, 1))).model_
    for nu, spread, unit in ((4.0, 2.0, "deviations"), (1.5, 1.0, "scales")):
        emission = fastem.models.gaussian.student_t.StudentT.of_gaussian(gaussian.emission, nu, False)
        far, found = separations(fastem.models.mixture.Mixture(gaussian.weights, emission), 2)
        assert found == unit
        np.testing.assert_allclose(far[:, 0], np.array([-1, 1]) / np.sqrt(spread + 1))
