"""Pictures that say what is so: colours of parameters, names on the picture, rows apart, densities, trees."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

import fastem
from fastem import plot
from fastem.datasets import load_faithful, load_iris

X, IRIS = load_faithful().data, load_iris().data
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    return fastem.GaussianMixture(2, random_state=0, n_init=3).fit(X)


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def colours_in(ax):
    return np.asarray(ax.images[0].get_array())


def test_a_column_that_separates_nothing_is_pale():
    rows = np.hstack([X[:, :1], RNG.normal(size=(272, 1))])
    ax = plot.parameters(fastem.GaussianMixture(2, random_state=0, covariance_type="diag").fit(rows), ax=Figure())
    contrast = np.ptp(colours_in(ax)[..., :3], axis=0).max(axis=-1)
    assert contrast[0] > 0.5 and contrast[1] < 0.15
    (bar,) = (axes for axes in ax.figure.axes if axes is not ax)
    assert bar.get_ylim() == (-2, 2)


def test_rates_are_coloured_by_what_they_separate():
    counts = np.column_stack([np.r_[RNG.poisson(2, 300), RNG.poisson(12, 300)], RNG.poisson(8, 600)])
    ax = plot.parameters(fastem.PoissonMixture(2, random_state=0).fit(counts), ax=Figure())
    contrast = np.ptp(colours_in(ax)[..., :3], axis=0).max(axis=-1)
    assert contrast[0] > 3 * contrast[1]


def test_probabilities_are_coloured_from_0_to_1():
    ax = plot.parameters(fastem.BernoulliMixture(2, random_state=0).fit(RNG.integers(2, size=(500, 3))), ax=Figure())
    (bar,) = (axes for axes in ax.figure.axes if axes is not ax)
    assert bar.get_ylim() == (0, 1) and bar.get_ylabel() == "probability"


def test_the_highest_component_is_not_cut():
    axes = plot.mixture(fastem.GaussianMixture(3, random_state=0).fit(IRIS), IRIS, ax=Figure())
    for i in range(4):
        assert max(line.get_ydata().max() for line in axes[i, i].lines) < axes[i, i].get_ylim()[1]


def test_ellipses_and_the_model_are_named(model):
    ax = plot.mixture(model, X, ax=Figure())
    assert words(ax) == ["1 standard deviation", "2 standard deviations"]
    assert ax.get_title() == "GaussianMixture, 2 components"
    axes = plot.mixture(fastem.GaussianMixture(3, random_state=0).fit(IRIS), IRIS, ax=Figure())
    assert words(axes[0, -1]) == ["1 standard deviation", "2 standard deviations"]
    axes[0, 0].figure.draw_without_rendering()
    title = axes[0, -1].get_title(loc="right")
    assert title == "GaussianMixture, 3 components"
    (place,) = (text for text in axes[0, -1].findobj(Text) if text.get_text() == title)
    assert place.get_window_extent().x1 <= axes[0, 0].figure.bbox.x1


@pytest.mark.parametrize(
    ("make", "word"),
    [(lambda: fastem.GaussianMixture(2, noise="box"), "noise"), (lambda: fastem.StudentTMixture(2), "outliers")],
)
def test_noise_and_outliers_are_drawn_apart(make, word):
    rows = np.vstack([X, [[6.5, 35], [1, 105], [6, 33]]])
    fitted = make().set_params(random_state=0).fit(rows)
    ax = plot.mixture(fitted, rows, ax=Figure())
    (apart,) = (points for points in ax.collections if points.get_label() == word)
    drawn = apart.get_offsets().tolist()
    assert [6.5, 35] in drawn and [1, 105] in drawn and len(drawn) < 60
    assert words(ax)[-1] == word
    assert not {to_hex(apart.get_edgecolor()[0]).upper()} & set(plot.canvas.COLOURS)
    boxes = [line.get_xydata() for line in ax.lines if len(line.get_xydata()) == 5]
    assert len(boxes) == (word == "noise")
    if boxes:
        np.testing.assert_allclose([boxes[0].min(axis=0), boxes[0].max(axis=0)], fitted.noise_box_)


def test_pairs_of_responsibilities_and_uncertainties():
    fitted = fastem.GaussianMixture(3, random_state=0).fit(IRIS)
    for picture in (plot.responsibilities, plot.uncertainty):
        axes = picture(fitted, IRIS, ax=Figure())
        assert axes.shape == (3, 3) and axes[2, 0].get_xlabel() == "x0" and axes[2, 0].get_ylabel() == "x3"
        assert axes[0, -1].get_title(loc="right") == "GaussianMixture, 3 components"
        single = picture(fitted, IRIS, [0, 3], ax=Figure())
        assert single.get_ylabel() == "x3" and single.get_title() == "GaussianMixture, 3 components"
        bars = [[axes for axes in ax.figure.axes if axes.get_label() == "<colorbar>"] for ax in (axes[0, 0], single)]
        assert [len(own) for own in bars] == 2 * [int(picture is plot.uncertainty)]


def test_the_starts_of_one_fit(model):
    ax = plot.restarts(model, ax=Figure())
    assert len(ax.lines) == len(model.fit_report_.restarts) and sum("(chosen)" in word for word in words(ax)) == 1


@pytest.fixture(scope="module")
def found():
    return fastem.select(IRIS, range(1, 5), ["EII", "EEE", "VVV"], random_state=0)


def test_the_winner_is_named_and_the_axis_shows_the_contest(found):
    ax = plot.selection(found, ax=Figure())
    best = found.best_row
    assert ax.get_title().startswith(f"{best.covariance_type} with {best.n_components}")
    assert sorted(text.get_text() for text in ax.texts) == ["EEE", "EII", "VVV"] and ax.get_legend() is None
    places = sorted(text.xy[1] for text in ax.texts)
    low, high = ax.get_ylim()
    assert low <= places[0] and places[-1] <= high and min(np.diff(places)) > 0.03 * (high - low)
    assert ax.get_ylim()[1] < max(row.bic for row in found.table if row.n_components == 1)


def test_differences_from_the_best(found):
    ax = plot.selection(found, relative=True, ax=Figure())
    assert min(line.get_ydata().min() for line in ax.lines if len(line.get_ydata())) == 0
    assert ax.get_ylim()[1] < 60 and ax.get_ylabel() == "BIC above the least"


def test_lines_that_end_above_the_axis_have_a_legend():
    found = fastem.select(X, [2, 3], ["EII", "VVI", "EEE"], random_state=0)
    ax = plot.selection(found, relative=True, ax=Figure())
    assert {text.get_text() for text in ax.texts} == {"VVI", "EEE"} and ax.get_legend() is None  # EII is out of sight


def test_names_are_moved_apart_as_little_as_that_takes():
    from fastem.plot.criteria import apart

    assert apart([], 1, 0, 10) == [] and apart([1, 5], 1, 0, 10) == [1, 5]
    assert apart([5, 5.2, 9.8, 9.9], 1, 0, 10) == pytest.approx([5, 6, 9, 10])
    assert apart([1.0] * 5, 9, 0, 10) == pytest.approx([1, 3, 5, 7, 9])


def test_contours_are_named_and_not_cut(model):
    ax = plot.density(model, X, ax=Figure(layout="constrained"))
    assert words(ax) == ["50%", "75%", "90%", "95%", "99%"]
    ax.figure.draw_without_rendering()
    low, high = ax.transData.inverted().transform(ax.get_legend().get_window_extent().get_points())
    under = np.stack(np.meshgrid(*np.linspace(low, high, 9).T), axis=-1).reshape(-1, 2)
    least = min(level for lines in ax.collections if hasattr(lines, "levels") for level in lines.levels)
    assert np.exp(model.score_samples(under)).max() < least  # it hides no contour
    (lines,) = (collection for collection in ax.collections if hasattr(collection, "levels"))
    for path in lines.get_paths():
        for line in path.to_polygons(closed_only=False):
            np.testing.assert_allclose(line[0], line[-1])  # it closes within the axes


def test_contours_contain_their_shares(model):
    ax = plot.density(model, X, ax=Figure())
    drawn, _ = model.sample(20_000, random_state=0)
    heights = np.exp(model.score_samples(drawn))
    (lines,) = (collection for collection in ax.collections if hasattr(collection, "levels"))
    shares = [float((heights > level).mean()) for level in lines.levels]
    np.testing.assert_allclose(sorted(shares), [0.5, 0.75, 0.9, 0.95, 0.99], atol=0.03)
    with pytest.raises(TypeError, match="mixtures with means and covariances"):
        plot.density(fastem.PoissonMixture(2, random_state=0).fit(X.round()), X.round())


def test_regions_are_those_of_the_components(model):
    ax = plot.regions(model, X, ax=Figure())
    image = np.asarray(ax.images[0].get_array())
    left, right, bottom, top = ax.images[0].get_extent()
    for k, (x, y) in enumerate(model.means_):
        row, column = int((y - bottom) / (top - bottom) * len(image)), int((x - left) / (right - left) * len(image))
        from matplotlib.colors import to_rgb

        np.testing.assert_allclose(image[row, column, :3], to_rgb(plot.canvas.colour(k)))


def test_quantiles_lie_on_the_diagonal_where_the_mixture_is_right(model):
    rows, _ = model.sample(5000, random_state=1)

    def outside(values):
        ax = plot.qq(model, values, 1, ax=Figure())
        (points,) = (line for line in ax.lines if line.get_label() == "rows")
        x, y = points.get_data()
        return np.abs(x - y).max()

    assert outside(rows) < 4 < outside(rows + [0, 8])


def test_the_band_of_quantiles_is_that_of_samples(model):
    ax = plot.qq(model, X, ax=Figure())
    (band,) = ax.collections
    (points,) = (line for line in ax.lines if line.get_label() == "rows")
    x, edges = points.get_xdata(), band.get_paths()[0].vertices
    n, shares = len(x), (np.arange(len(x)) + 0.5) / len(x)
    low, high = edges[1 : n + 1, 1], edges[n + 2 : -1, 1][::-1]
    drawn, _ = model.sample(400 * len(X), random_state=1)
    samples = np.quantile(np.random.default_rng(0).permutation(drawn[:, 0]).reshape(400, -1), shares, axis=1).T
    inside = ((low <= samples) & (samples <= high)).mean(axis=0)
    assert inside.min() > 0.91 and inside.max() < 0.985, inside


def test_the_tree_of_merged_components():
    merging = fastem.GaussianMixture(5, random_state=0).fit(IRIS).merge_components(IRIS)
    ax = plot.tree(merging, ax=Figure())
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    assert sorted(ticks) == list("01234") and str(merging.elbow()) in ax.get_title()
    tops = [line.get_ydata()[1] for line in ax.lines if len(line.get_ydata()) == 4]
    np.testing.assert_allclose(tops, merging.entropies[0] - merging.entropies[1:])
    with pytest.raises(TypeError, match="expects the result of merge_components"):
        plot.tree(3)
