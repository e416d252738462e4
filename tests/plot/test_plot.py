"""The pictures: what is on the axes, not how it looks. Nothing is shown, and matplotlib's settings stay as they are."""

import sys
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from instances import STRUCTURES, blobs, random_mixture
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from models import MODELS
from scipy.stats import multivariate_normal, norm, poisson

import fastem
from fastem import plot
from fastem.__main__ import main
from fastem.datasets import load_faithful
from fastem.plot import canvas as drawing

X = load_faithful().data


@pytest.fixture(autouse=True)
def nothing_is_changed(monkeypatch):
    """Every picture: no figure left in pyplot, nothing shown, the same settings."""

    def show(*args, **kwargs):
        raise AssertionError("a picture was shown")

    monkeypatch.setattr(pyplot, "show", show)
    pyplot.switch_backend("agg")
    settings = dict(matplotlib.rcParams)
    yield
    left = pyplot.get_fignums()
    pyplot.close("all")
    assert dict(matplotlib.rcParams) == settings and left == []


def fitted(X, K, **parameters):
    return fastem.GaussianMixture(K, random_state=0, tol=1e-2, **parameters).fit(X)


def curves(axes):
    """Lines with more than a handful of points."""
    return [line for line in axes.lines if len(line.get_xdata()) > 20]


def drawn(axes):
    """Draws the picture, so that what is only found wrong then is found: a Figure's own canvas draws nothing."""
    axes = np.ravel(axes)
    assert all(isinstance(ax, Axes) for ax in axes)
    canvas = FigureCanvasAgg(axes[0].figure)
    canvas.draw()
    assert np.ptp(np.asarray(canvas.buffer_rgba())[..., :3], axis=(0, 1)).any()  # not one colour
    return axes


# ---------------------------------------------------------------------------------------------------------------------
# components over data


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("K, dtype", [(1, np.float64), (3, np.float32)])
def test_mixture_of_every_shape(structure, d, K, dtype):
    data = blobs(0, 300, d, 3, 4.0).astype(dtype)
    axes = plot.mixture(fitted(data, K, covariance_type=structure), data, ax=Figure())
    m = min(d, plot.FEW_COLUMNS)
    assert np.shape(axes) == ((m, m) if m > 2 else ())
    pairs = [axes[i, j] for i in range(m) for j in range(i)] if m > 2 else [axes] * (m == 2)
    columns = list(np.diagonal(axes)) if m > 2 else [axes] * (m == 1)
    assert all(len(ax.patches) == 2 * K for ax in pairs)
    assert all(len(curves(ax)) == K + 1 for ax in columns)  # and the mixture
    assert all([text.get_text() for text in ax.texts] == [str(k) for k in range(K)] for ax in pairs + columns)
    drawn(axes)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_an_ellipse_lies_at_one_deviation(structure):
    model = random_mixture(np.random.default_rng(3), 2, 2, structure)
    ax = plot.mixture(model, blobs(0, 50, 2, 2, 2.0), ax=Figure())
    for k, distance in [(0, 1), (0, 2), (1, 1), (1, 2)]:
        points = ax.patches[2 * k + distance - 1].get_xy() - model.emission.means[k]
        covariance = model.emission.covariance.pooled(np.eye(2)[k], 2)
        found = np.einsum("ni,ij,nj->n", points, np.linalg.inv(covariance), points)
        np.testing.assert_allclose(found, distance**2, rtol=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_the_marginal_of_a_gaussian(structure):
    model = random_mixture(np.random.default_rng(4), 3, 5, structure)
    part = fastem.models.mixture.Mixture(model.weights, model.emission.marginal([3, 0]))
    rows = np.random.default_rng(5).normal(size=(20, 2))
    for k in range(3):
        covariance = model.emission.covariance.pooled(np.eye(3)[k], 5)[np.ix_([3, 0], [3, 0])]
        expected = multivariate_normal(model.emission.means[k, [3, 0]], covariance).logpdf(rows)
        np.testing.assert_allclose(part.log_joint(rows)[:, k] - np.log(model.weights[k]), expected, rtol=1e-9)


def test_densities_of_one_column():
    model = fitted(X[:, 1:], 2)
    ax = plot.mixture(model, X[:, 1:], ax=Figure())
    for k in range(2):
        (line,) = [line for line in curves(ax) if line.get_color() == drawing.colour(k)]
        x, y = line.get_data()
        expected = model.weights_[k] * norm(model.means_[k, 0], np.sqrt(model.covariances_[k, 0, 0])).pdf(x)
        np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-300)
        assert abs(y.max() / expected.max() - 1) < 1e-12
    (bars,) = ax.patches
    heights, edges, _ = bars.get_data()
    assert abs(heights @ np.diff(edges) - 1) < 1e-9  # all rows are in the histogram, and it is a density


def test_counts_of_one_column_are_drawn_as_probabilities():
    counts = np.random.default_rng(0).poisson([[2.0], [20.0]], (2, 200)).reshape(-1, 1).astype(float)
    model = fastem.PoissonMixture(2, random_state=0).fit(counts)
    ax = plot.mixture(model, counts, ax=Figure())
    assert ax.get_ylabel() == "probability"
    (line,) = [line for line in curves(ax) if line.get_color() == drawing.colour(0)]
    x, y = line.get_data()
    assert (x == np.round(x)).all()
    np.testing.assert_allclose(y, model.weights_[0] * poisson(model.rates_[0, 0]).pmf(x), rtol=1e-9)
    heights, edges, _ = ax.patches[0].get_data()
    (two,) = np.flatnonzero(edges == 1.5)
    np.testing.assert_allclose(heights[two], (counts == 2).mean())  # each count has its own bar


def test_several_counts_are_drawn_as_a_heat_map():
    counts = np.random.default_rng(0).poisson([2.0, 5.0, 9.0], (100, 3)).astype(float)
    model = fastem.PoissonMixture(2, random_state=0).fit(counts)
    ax = plot.mixture(model, counts, ["x2", 0], ax=Figure())
    assert ax.get_title() == "rates"
    assert [text.get_text() for text in ax.texts] == [f"{v:.3g}" for v in model.rates_[:, [2, 0]].ravel()]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x2", "x0"]


def test_many_rows_become_a_histogram():
    data = blobs(1, 20_000, 2, 3, 4.0)
    model = fitted(data, 3)
    few = plot.mixture(model, data[:100], ax=Figure())
    many = plot.mixture(model, data, ax=Figure())
    assert len(few.collections) == 1 and not few.images
    assert len(few.collections[0].get_offsets()) == 100
    assert len(many.images) == 1 and not many.collections
    alpha = np.asarray(many.images[0].get_array())[..., 3]
    assert (alpha > 0).any() and (alpha == 0).any()


def test_the_histogram_of_two_columns_counts_the_rows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=5000), rng.normal(size=5000) + 3
    ax = Figure().subplots()
    drawing.draw_rows(ax, x, y, (-5, 5), (-2, 8))
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    alpha = np.asarray(image.get_array())[..., 3]
    expected = np.histogram2d(y, x, bins=alpha.shape, range=[(bottom, top), (left, right)])[0]
    np.testing.assert_allclose(np.expm1(alpha / alpha.max() * np.log1p(expected.max())), expected, atol=1e-6)


def test_a_sample_is_the_same_each_time(monkeypatch):
    rows = np.arange(1000.0)[:, None]
    first = drawing.sample_rows(rows, 100)
    assert len(first) == 100 and set(first.ravel()) <= set(rows.ravel())
    np.testing.assert_array_equal(first, drawing.sample_rows(rows, 100))
    assert drawing.sample_rows(rows, 1000) is rows


def test_columns_by_number_and_name():
    import pandas

    frame = pandas.DataFrame(blobs(2, 200, 5, 2, 4.0), columns=list("abcde"))
    model = fitted(frame, 2)
    ax = plot.mixture(model, frame, ["e", 1], ax=Figure())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("e", "b")
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), frame[["e", "b"]].to_numpy())
    assert len(curves(plot.mixture(model, frame, ["d"], ax=Figure()))) == 3
    assert np.shape(plot.mixture(model, frame, range(5), ax=Figure())) == (5, 5)
    for columns, word in [(["f"], "no column 'f'"), ([5], "no column 5"), ([], "no columns"), ([1, "b"], "twice")]:
        with pytest.raises(ValueError, match=word):
            plot.mixture(model, frame, columns, ax=Figure())


@pytest.mark.parametrize("shift, scale", [(0, 1e-9), (1e8, 1), (0, 1e12)])
def test_any_unit(shift, scale):
    """The same picture, but for the numbers at its axes."""
    plain = blobs(3, 300, 3, 2, 4.0)
    one, other = (
        drawn(plot.mixture(fitted(data, 2), data, ax=Figure())).reshape(3, 3)[np.tril_indices(3)]
        for data in (plain, plain * scale + shift)
    )
    for a, b in zip(one, other):
        limits = np.array([a.get_xlim(), b.get_xlim()])
        np.testing.assert_allclose(limits[0] * scale + shift, limits[1], atol=1e-3 * np.ptp(limits[1]))
        assert len(a.lines) == len(b.lines) and len(a.patches) == len(b.patches)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
def test_a_constant_column():
    """It has some width in the picture."""
    data = np.c_[X, np.full(len(X), 7.0)]
    axes = drawn(plot.mixture(fitted(data, 2), data, ax=Figure())).reshape(3, 3)
    for low, high in [axes[2, 2].get_xlim(), axes[2, 0].get_ylim(), axes[2, 1].get_ylim()]:
        assert np.isfinite([low, high]).all() and low < 7 < high


def test_the_eighth_component_differs_from_the_first():
    looks = {(drawing.colour(k), drawing.line_style(k)) for k in range(28)}
    assert len(looks) == 28
    assert len({(drawing.colour(k), drawing.marker(k)) for k in range(56)}) == 56


def seen(colour, cones):
    """A colour in CIELAB as it looks to eyes of that kind (Machado et al. 2009)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(xyz @ np.clip(cones @ linear, 0, 1) / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


CONES = {
    "all": np.eye(3),
    "no red": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "no green": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "no blue": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


@pytest.mark.parametrize("cones", CONES)
def test_colour_blind_people_tell_the_colours_apart(cones):
    looks = [seen(colour, np.array(CONES[cones])) for colour in drawing.COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in combinations(looks, 2)) > 15


@pytest.mark.parametrize("K, d", [(3, 5), (12, 1), (12, 5), (30, 15)])
@pytest.mark.parametrize("size", [(3, 2), (6.4, 4.8), (16, 12)])
def test_texts_of_a_heat_map_do_not_overlap(K, d, size):
    rng = np.random.default_rng(0)
    model = random_mixture(rng, K, d, STRUCTURES[2])
    (ax,) = drawn(plot.parameters(model, ax=Figure(figsize=size, layout="constrained")))
    renderer = ax.figure.canvas.get_renderer()  # without it each text makes one of its own, in the size of the picture
    for texts in (ax.texts, ax.get_xticklabels(), ax.get_yticklabels()):
        boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
        assert not len(boxes) or not overlapping(np.array([box.extents for box in boxes])).any()


def overlapping(boxes):
    """Pairs of boxes (x0, y0, x1, y1) that share more than the pixel that rounding adds and the leading of a line."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    shared = np.minimum(high, high.swapaxes(0, 1)) - np.maximum(low, low.swapaxes(0, 1))
    return np.triu((shared >= [2, 3]).all(axis=2), 1)


def test_boxes_that_overlap_are_seen():
    boxes = np.array([[0, 0, 10, 10], [8, 7, 20, 20], [9, 0, 20, 10], [30, 30, 40, 40.0]])
    assert np.argwhere(overlapping(boxes)).tolist() == [[0, 1], [1, 2]]


def test_probabilities_of_codes_are_drawn_by_code():
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(2, size=300), rng.integers(3, size=300)])
    model = fastem.CategoricalMixture(2, random_state=0).fit(codes)
    (ax,) = drawn(plot.parameters(model, ax=Figure(figsize=(9, 4))))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["x0=0", "x0=1", "x1=0", "x1=1", "x1=2"]
    shown = np.reshape([float(text.get_text()) for text in ax.texts], (2, 5))
    assert np.allclose(shown, np.hstack([model.probabilities_[:, 0, :2], model.probabilities_[:, 1]]), rtol=5e-3)


def test_columns_of_different_kinds_are_drawn_in_their_order():
    rng = np.random.default_rng(0)
    data = np.column_stack([rng.poisson(3, 300), rng.normal(size=300), rng.poisson(9, 300)])
    model = fastem.MixedMixture(2, kinds=["poisson", "gaussian", "poisson"], random_state=0).fit(data)
    (ax,) = drawn(plot.mixture(model, data, [2, 1], ax=Figure(figsize=(9, 4))))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["x2", "x1"]
    assert ax.get_title() == "rates, means"
    wanted = np.column_stack([model.poisson_rates_[:, 1], model.gaussian_means_[:, 0]])
    assert np.allclose(np.reshape([float(text.get_text()) for text in ax.texts], (2, 2)), wanted, rtol=5e-3)


# ---------------------------------------------------------------------------------------------------------------------
# whose a row is


@pytest.mark.parametrize("family", MODELS, ids=str)
@pytest.mark.parametrize("picture", [plot.responsibilities, plot.uncertainty, plot.mixture])
def test_every_family(family, picture):
    data = family.data(200)
    fit = {"random_state": 0, "init_params": "kmeans", "max_iter": 20}
    model = family.make(2, **fit).fit(data)
    one, other = np.ravel(drawn(picture(model, data, ax=Figure()))), np.ravel(picture(model.model_, data, ax=Figure()))
    for a, b in zip(one, other, strict=True):
        assert [type(artist) for artist in a.get_children()] == [type(artist) for artist in b.get_children()]
    if not family.one_column:
        return
    one = data[:, :1].copy()
    (ax,) = drawn(picture(family.make(2, **fit).fit(one), one, ax=Figure()))
    if picture is plot.mixture:
        whole = (one == np.floor(one)).all()
        assert ax.get_ylabel() == ("probability" if whole else "density")
        assert not whole or all((line.get_xdata() == np.floor(line.get_xdata())).all() for line in ax.lines)


def test_responsibilities_mix_the_colours():
    model = fitted(X, 2)
    ax = plot.responsibilities(model, X, ax=Figure())
    places = np.vstack([points.get_offsets() for points in ax.collections])
    colours = np.vstack([points.get_facecolors()[:, :3] for points in ax.collections])
    labels = model.predict(X)
    expected = model.predict_proba(X) @ [to_rgb(drawing.colour(0)), to_rgb(drawing.colour(1))]
    order = np.concatenate([np.flatnonzero(labels == k) for k in range(2)])
    np.testing.assert_array_equal(places, X[order])
    np.testing.assert_allclose(colours, expected[order], atol=1e-12)


def test_uncertainty_is_what_is_left():
    model = fitted(X, 3)
    ax = plot.uncertainty(model, X, ax=Figure())
    (points,) = ax.collections
    expected = 1 - model.predict_proba(X).max(axis=1)
    np.testing.assert_allclose(points.get_array(), np.sort(expected), atol=1e-12)
    np.testing.assert_array_equal(points.get_offsets(), X[np.argsort(expected)])
    assert len(ax.figure.axes) == 2  # with a colour bar


def test_responsibilities_need_two_columns():
    data = blobs(0, 100, 3, 2, 4.0)
    model = fitted(data, 2)
    for picture in (plot.responsibilities, plot.uncertainty):
        assert picture(model, data, [2, 0], ax=Figure()).get_xlabel() == "x2"
        for columns in ([1], [0, 1, 2]):
            with pytest.raises(ValueError, match="two columns"):
                picture(model, data, columns, ax=Figure())


# ---------------------------------------------------------------------------------------------------------------------
# fits


def segments(ax, label):
    (collection,) = [c for c in ax.collections if c.get_label() == label]
    return np.array(collection.get_segments())


def test_the_staircase_has_no_gaps():
    model = fitted(X, 3)
    result = fastem.em(model.model_, X, tol=0, max_iter=5)
    for fit, values in [(model, model.history_), (result, result.history)]:
        ax = plot.history(fit, ax=Figure())
        m_steps, e_steps = segments(ax, "M-step")[..., 1], segments(ax, "E-step")[..., 1]
        np.testing.assert_array_equal(m_steps[:, 0], values[:-1])
        np.testing.assert_array_equal(m_steps[:, 1], e_steps[:, 0])
        np.testing.assert_array_equal(e_steps[:, 1], values[1:])
        drawn(ax)


def test_the_gap_ends_at_nothing():
    model = fitted(X, 3)
    ax = plot.history(model, gap=True, ax=Figure())
    (line,) = [line for line in ax.lines if line.get_label() == "log-likelihood"]
    gap = np.asarray(model.history_)
    np.testing.assert_array_equal(line.get_ydata()[:-1], gap[-1] - gap[:-1])
    assert ax.get_yscale() == "log" and np.isnan(line.get_ydata()[-1])
    drawn(ax)


class Without:
    """A model of one's own that tells nothing of the bound."""

    def __init__(self, mixture):
        self.mixture = mixture

    def e_step(self, X, sample_weight):
        return self.mixture.e_step(X, sample_weight)

    def m_step(self, statistics):
        return Without(self.mixture.m_step(statistics))


def test_histories_without_bounds(tmp_path):
    fitted(X, 2).save(tmp_path / "model.npz")
    for fit in [
        fastem.em(Without(fitted(X, 3).model_), X, max_iter=3, tol=0),
        fastem.load(tmp_path / "model.npz"),
        fastem.FactorAnalysis(1).fit(X),
        fastem.em(fitted(X, 2).model_, X, max_iter=0),
    ]:
        assert not plot.history(fit, ax=Figure()).collections
        drawn(plot.history(fit, ax=Figure()))
        drawn(plot.history(fit, gap=True, ax=Figure()))
    with pytest.raises(TypeError, match="list has no history"):
        plot.history([1, 2])


def test_restarts_tell_the_best():
    fits = [
        fastem.GaussianMixture(4, random_state=seed, init_params="random_from_data").fit(X) for seed in (3, 0, 1, 2)
    ]
    ax = plot.restarts([*fits, fastem.em(fits[0].model_, X, max_iter=1, tol=0)], ax=Figure())
    assert len(ax.lines) == 5
    for line, fit in zip(ax.lines, fits):
        np.testing.assert_array_equal(line.get_ydata(), fit.history_)
    ends = [line.get_ydata()[-1] for line in ax.lines]
    bold = [i for i, line in enumerate(ax.lines) if "best" in line.get_label()]
    assert bold == [int(np.argmax(ends))]
    with pytest.raises(ValueError, match="empty"):
        plot.restarts([])


def test_what_was_maximised_is_named():
    plain = fitted(X, 2)
    bayes = fastem.BayesianGaussianMixture(2, random_state=0).fit(X)
    penalised = fitted(X, 2, prior="default")
    for model, what in ((plain, "log-likelihood"), (bayes, "ELBO"), (penalised, "log-posterior")):
        ax = plot.history(model, ax=Figure())
        assert ax.get_ylabel() == f"mean {what}" and what in [text.get_text() for text in ax.get_legend().get_texts()]
        assert plot.restarts([model, model], ax=Figure()).get_ylabel() == f"mean {what}"
    assert plot.history(fastem.em(bayes.model_, X), ax=Figure()).get_ylabel() == "mean ELBO"
    with pytest.raises(ValueError, match="fit 0 has log-likelihoods, and fit 2 has ELBOs"):
        plot.restarts([plain, plain, bayes])


@pytest.mark.parametrize("estimator", [fastem.FactorAnalysis, fastem.PPCA])
def test_loadings(estimator):
    model = estimator(2).fit(blobs(0, 200, 4, 2, 4.0))
    ax = plot.loadings(model, ax=Figure())
    assert [text.get_text() for text in ax.texts] == [f"{v:.3g}" for v in model.components_.ravel()]
    (bar,) = (axes for axes in ax.figure.axes if axes is not ax)
    most = np.abs(model.components_).max()
    assert bar.get_ylim() == pytest.approx((-most, most)) and bar.get_ylabel() == "loading"
    drawn(ax)


# ---------------------------------------------------------------------------------------------------------------------
# where it is drawn, and mistakes


def test_a_new_figure_or_the_axes_that_are_given():
    model = fitted(X, 2)
    assert pyplot.get_fignums() == []
    given = Figure().subplots()
    assert plot.mixture(model, X, ax=given) is given
    assert pyplot.get_fignums() == []
    ax = plot.history(model)
    assert pyplot.get_fignums() == [ax.figure.number]
    pyplot.close(ax.figure)
    grid = Figure().subplots(3, 3)
    data = blobs(0, 100, 3, 2, 4.0)
    assert plot.mixture(fitted(data, 2), data, ax=grid)[2, 1] is grid[2, 1]
    with pytest.raises(ValueError, match="3 x 3"):
        plot.mixture(fitted(data, 2), data, ax=given)


def test_mistakes():
    model = fitted(X, 2)
    with pytest.raises(TypeError, match="Got FactorAnalysis instead"):
        plot.mixture(fastem.FactorAnalysis(1).fit(X), X)
    with pytest.raises(TypeError, match="GaussianMixture has no loadings"):
        plot.loadings(model)
    with pytest.raises(ValueError, match="not fitted"):
        plot.mixture(fastem.GaussianMixture(2), X)
    for given in (model, model.model_):
        with pytest.raises(ValueError, match="3"):
            plot.mixture(given, np.c_[X, X[:, 0]])
        with pytest.raises(ValueError, match="infinity"):
            plot.mixture(given, np.full((3, 2), np.inf))
    with pytest.raises(ValueError, match="png"):
        plot.write("picture", model, X)
    assert pyplot.get_fignums() == []


def test_without_matplotlib(monkeypatch, tmp_path, capsys):
    model = fitted(X, 2)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for picture in (
        lambda: plot.mixture(model, X),
        lambda: plot.responsibilities(model, X),
        lambda: plot.uncertainty(model, X),
        lambda: plot.parameters(model),
        lambda: plot.history(model),
        lambda: plot.restarts([model]),
        lambda: plot.loadings(fastem.PPCA(1).fit(X)),
        lambda: plot.write(tmp_path / "picture.png", model, X),
    ):
        with pytest.raises(ImportError, match=r"pip install 'fastem\[plot\]'"):
            picture()
    assert main(["fit", "faithful", "--components", "2", "--plot", str(tmp_path / "picture.png")]) == 2
    assert "fastem[plot]" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# on the command line


@pytest.mark.parametrize(
    "name, start", [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF"), ("a.PNG", b"\x89PNG")]
)
def test_the_command_writes_a_picture(tmp_path, capsys, monkeypatch, name, start):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "iris" if name == "a.png" else "faithful", "--components", "2", "--plot", name]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.endswith(f"\npicture in {name}\n")
    assert Path(name).read_bytes().startswith(start)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name, word", [("picture", ".png"), ("a.doc", ".svg"), ("no/a.png", "no such folder")])
def test_the_command_refuses_before_it_fits(tmp_path, capsys, monkeypatch, name, word):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fastem.GaussianMixture, "fit", lambda *_: pytest.fail("it was fitted"))
    assert main(["fit", "faithful", "--components", "2", "--plot", name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and word in err


@pytest.mark.parametrize("kind, says", [("poisson", "probability"), ("exponential", "density")])
def test_a_mixed_mixture_of_one_column_is_drawn_as_its_kind(kind, says):
    counts = np.random.default_rng(0).poisson(5, (200, 1)) + 1.0
    model = fastem.MixedMixture(1, kinds=[kind]).fit(counts)
    assert plot.mixture(model, counts, ax=Figure()).get_ylabel() == says
