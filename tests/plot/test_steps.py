"""The pictures of the theory: the curves are the identities of EM, of real fits."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

import fastem
from fastem import plot, theory
from fastem.datasets import load_faithful, load_iris
from fastem.plot import steps

pytestmark = pytest.mark.filterwarnings("ignore::fastem.ConvergenceWarning")

X = load_faithful().data
PETALS = load_iris().data[50:, 2:]
RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(np.repeat([[2.0, 9.0], [6.0, 4.0]], 150, axis=0)).astype(float)
GAPS = np.where(RNG.random(X.shape) < 0.2, np.nan, X)


def early(family=fastem.GaussianMixture, rows=X, n_iter=2, **parameters):
    """A fit on its way."""
    given = {"init_params": "random_from_data", "accelerate": None, "random_state": 0} | parameters
    return family(2, max_iter=n_iter, **given).fit(rows)


def line(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return np.array(found.get_data())


FITS = {
    "full": lambda: (early(), X),
    "tied": lambda: (early(covariance_type="tied"), X),
    "VEV": lambda: (early(covariance_type="VEV"), X),
    "one column, float32": lambda: (early(rows=X[:, 1:].astype(np.float32)), X[:, 1:].astype(np.float32)),
    "noise": lambda: (early(noise="box"), X),
    "prior": lambda: (early(prior="default", weight_concentration_prior=3.0), X),
    "Poisson": lambda: (early(fastem.PoissonMixture, COUNTS), COUNTS),
    "missing": lambda: (early(rows=GAPS), GAPS),
    "Student-t": lambda: (early(fastem.StudentTMixture), X),
}
EXACT = [name for name in FITS if name not in ("missing", "Student-t")]  # nothing is hidden but the component


@pytest.mark.parametrize("name", FITS)
def test_the_bound_touches_and_lies_below(name):
    model, rows = FITS[name]()
    ax = plot.bound(model, rows, ax=Figure())
    t, likelihood = line(ax, "log p(x | θ)")
    _, bound = line(ax, "bound F(q, θ)")
    tolerance = 1e-5 if rows.dtype == np.float32 else 1e-10
    (now,), (then,) = np.flatnonzero(t == 0), np.flatnonzero(t == 1)
    assert (bound <= likelihood + tolerance).all()
    assert abs(bound[now] - likelihood[now]) < tolerance
    assert likelihood[then] > likelihood[now]
    if name in EXACT:
        assert bound[then] > bound[[now, then - 2, then + 2]].max()
    FigureCanvasAgg(ax.figure).draw()


def test_the_values_are_those_of_the_theory():
    model = early()
    ax = plot.bound(model, X, ax=Figure())
    now = model.model_
    after = now.m_step(now.e_step(X, None))
    for label, at in [("now: the bound touches", now), ("E-step: the next point", after)]:
        np.testing.assert_allclose(line(ax, label)[1], theory.log_likelihood(at, X) / len(X), rtol=1e-12)
    low, high = line(ax, "KL(q || posterior)")[1]
    q = theory.posterior(now, X)
    np.testing.assert_allclose(low, theory.elbo(after, X, q) / len(X), rtol=1e-12)
    np.testing.assert_allclose(high - low, theory.gap(after, X, q) / len(X), rtol=1e-7)


def moves(ax):
    """(x0, y0, x1, y1) of the steps of the zigzag, in order."""
    short = [line for line in ax.lines if len(line.get_xdata()) == 2]
    return np.array([np.ravel(np.transpose(line.get_data())) for line in short])


@pytest.mark.parametrize(
    "rows, start", [(X[:, 1:], [[60], [65]]), (PETALS, [[4.5, 1.0], [5.0, 1.5]])], ids=["d1", "d2"]
)
def test_the_zigzag_climbs_to_the_maximum(rows, start):
    model = early(rows=rows, init_params="emem", means_init=start)
    ax = plot.alternation(model, rows, ax=Figure())
    zigzag = moves(ax)
    assert len(zigzag) >= 6 and np.array_equal(zigzag[0, :2], [0, 0])
    np.testing.assert_allclose(zigzag[1:, :2], zigzag[:-1, 2:])  # one step goes on where the last one has ended
    assert (zigzag[::2, 1] == zigzag[::2, 3]).all() and (zigzag[1::2, 0] == zigzag[1::2, 2]).all()
    np.testing.assert_allclose(zigzag[1::2, 2], zigzag[1::2, 3])  # an E-step ends on the diagonal
    np.testing.assert_allclose(zigzag[-1, 2:], 1, atol=0.02)
    on = steps.Line(model.model_, fastem.em(model.model_, rows, **steps.RUN).model, rows)

    def energy(parameters, q):
        return steps.free_energy(on.posterior(q), on.log_joint(parameters))

    for x0, y0, x1, y1 in zigzag:
        assert energy(x1, y1) >= energy(x0, y0) - 1e-12
    for _, y0, x1, _ in zigzag[:-1:2]:  # no other parameters on the line are better for this q
        assert energy(x1, y0) >= max(energy(x, y0) for x in np.linspace(-0.2, 1.3, 40)) - 1e-9
    FigureCanvasAgg(ax.figure).draw()


def test_where_em_stands_still_there_is_no_step():
    model = fastem.GaussianMixture(2, random_state=0, tol=1e-12, max_iter=2000).fit(X)
    for picture in (plot.bound, plot.alternation):
        with pytest.raises(ValueError, match="stands still"):
            picture(model, X, ax=Figure())


def test_parameters_that_are_integrated_out_have_no_line():
    model = fastem.BayesianGaussianMixture(2, random_state=0, max_iter=2).fit(X)
    with pytest.raises(TypeError, match="integrated out"):
        plot.bound(model, X, ax=Figure())


@pytest.mark.parametrize(
    "name, columns, n_frames",
    [
        ("full", None, 5),
        ("one column, float32", None, 3),
        ("Poisson", None, 4),
        ("missing", [1, 0], 2),
        ("noise", [1], 3),
    ],
)
def test_a_film_goes_from_the_start_to_the_maximum(name, columns, n_frames, tmp_path):
    model, rows = FITS[name]()
    film = plot.animate(model, rows, columns, n_frames=n_frames, figure=Figure())
    film.save(tmp_path / "fit.gif", writer="pillow")
    with Image.open(tmp_path / "fit.gif") as image:
        assert 2 <= len(list(ImageSequence.Iterator(image))) <= n_frames
    left, right, *bars = film._fig.axes
    assert len(bars) <= 1
    assert left.get_title() != "iteration 0" and left.get_title() == f"iteration {right.lines[-1].get_xdata()[0]}"
    values = right.lines[0].get_ydata()
    assert (np.diff(values) > -1e-6).all() and values[-1] == right.lines[-1].get_ydata()[0] > values[0]


def test_a_film_is_a_page_too():
    film = plot.animate(early(), X, n_frames=2, figure=Figure())
    assert "<script" in film.to_jshtml()


def test_what_a_film_refuses():
    for n_frames in (1, 2.5, "4"):
        with pytest.raises(ValueError, match="n_frames must be a whole number of at least 2"):
            plot.animate(early(), X, n_frames=n_frames, figure=Figure())
    wide = np.hstack([X, X])
    with pytest.raises(ValueError, match="one or two columns"):
        plot.animate(early(rows=wide + np.random.default_rng(0).normal(size=wide.shape)), wide, [0, 1, 2])


def test_a_film_of_dependent_columns_in_a_box_is_refused_before_its_frames():
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) + 4])
    model = fastem.GaussianMixture(2, truncation=(-5, 9), init_params="kmeans", max_iter=0, random_state=0).fit(rows)
    with pytest.raises(ValueError, match="columns that depend on each other within a box"):
        plot.animate(model, rows, figure=Figure())
