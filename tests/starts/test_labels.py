"""Known labels and priors of rows: against closed forms, an oracle in numpy, and fits that know nothing."""

import warnings
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from models import MODELS
from scipy.special import logsumexp

import fastem
import fastem.starts.labels
from fastem import BernoulliMixture, CategoricalMixture, GaussianMixture, PoissonMixture
from fastem.datasets import load_iris
from fastem.rows import blocks
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.gaussian_start import filled
from fastem.starts.labels import LabelledBlocks, LabelledStart, checked_priors, labelled

every_family = pytest.mark.parametrize("family", MODELS, ids=str)
pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")


def overlapping(n=300, seed=0):
    """Rows of three groups and whose they are."""
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 3, n)
    return rng.normal(size=(n, 2)) + np.array([[0, 0], [2.5, 0], [0, 2.5]])[z], z


def some_of(z, share=0.3, seed=0):
    return np.where(np.random.default_rng(seed).random(len(z)) < share, z, -1)


def fitted(make, X, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastem.DegenerateComponentWarning)
        return make(2, random_state=0, max_iter=20).fit(X, **options)


def bits(model):
    arrays = (model.weights_, *(getattr(model, name, 0) for name in model._parameter_arrays), model.history_)
    return [np.asarray(a).tobytes() for a in arrays]


def test_all_labels_known_is_the_closed_form():
    X, z = overlapping()
    w = np.random.default_rng(1).choice([0.5, 1.0, 3.0], len(X))
    model = GaussianMixture(3, reg_covar=0).fit(X, sample_weight=w, labels=z)
    for k in range(3):
        own = z == k
        assert model.weights_[k] == pytest.approx(w[own].sum() / w.sum(), rel=1e-13)
        assert model.means_[k] == pytest.approx(np.average(X[own], axis=0, weights=w[own]), rel=1e-11)
        assert model.covariances_[k] == pytest.approx(np.cov(X[own].T, aweights=w[own], ddof=0), rel=1e-10)
    joint = model.model_.log_joint(X)
    assert model.log_likelihood_ == pytest.approx(w @ joint[np.arange(len(X)), z], rel=1e-12)
    assert model.converged_ and model.n_iter_ == 1


def test_counts_too():
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 200)
    X = rng.poisson(np.array([[2.0, 5.0], [4.0, 3.0]])[z]).astype(float)
    model = PoissonMixture(2).fit(X, labels=z)
    assert model.rates_ == pytest.approx(np.array([X[z == k].mean(axis=0) for k in range(2)]), rel=1e-12)


@every_family
def test_nothing_known_is_the_plain_fit(family):
    X = family.data()
    start = np.arange(len(X)) % 2

    def make(K, **parameters):
        return family.make(K, init_params=start, **parameters)

    plain = bits(fitted(make, X))
    assert bits(fitted(make, X, labels=np.full(len(X), -1))) == plain
    assert bits(fitted(make, X, labels=np.ones((len(X), 2)))) == plain


@every_family
@pytest.mark.parametrize("real", [np.float64, np.float32])
def test_labels_climb_and_are_one_hot_priors(family, real):
    X = family.data(seed=1).astype(real)
    labels = np.random.default_rng(0).integers(-1, 2, len(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error", fastem.LogLikelihoodFell)
        model = fitted(family.make, X, labels=labels)
    assert np.diff(model.history_).min(initial=0) > (-1e-10 if real is np.float64 else -1e-5)
    priors = np.where(labels[:, None] < 0, 1.0, np.eye(2)[labels])
    assert bits(fitted(family.make, X, labels=priors)) == bits(model)


@every_family
@pytest.mark.parametrize("groups", [256, 0])
def test_sums_are_those_of_the_formulas(family, groups, monkeypatch):
    """One at a time or in groups: the same statistics, those of responsibilities that heed the priors."""
    monkeypatch.setattr(fastem.starts.labels, "MOST_GROUPS", groups)
    X = family.data(seed=2)
    rng = np.random.default_rng(0)
    weight = rng.choice([0.0, 1.0, 2.5], len(X))
    some = np.array([[1, 0], [0, 2], [1, 1], [0.3, 5], [1e-3, 1]])
    prior = some[rng.integers(len(some), size=len(X))]
    model = fitted(family.make, X).model_
    blocks = LabelledBlocks(ArrayBlocks(X, weight), *checked_priors(prior, len(X), 2, 2))
    found = blocks.reduce(model, 1)
    with np.errstate(divide="ignore"):
        joint = model.log_joint(X) + np.log(prior)
    density = logsumexp(joint, axis=1)
    r = np.exp(joint - density[:, None])
    assert found.weight == pytest.approx(weight.sum(), rel=1e-14)
    assert found.log_likelihood == pytest.approx(weight @ density, rel=1e-11)
    assert found.counts == pytest.approx(weight @ r, rel=1e-11)
    first = [type(model)(one, model.emission).e_step(X, weight * own) for one, own in zip(np.eye(2), r.T)]
    for name in set(found.names) - {"log_likelihood", "entropy", "weight"}:
        expected = sum(getattr(part, name) for part in first)
        size = 1e-9 * (1 + np.abs(expected).max())
        assert np.abs(getattr(found, name) - expected).max() < size, name
    bound = model.expected_log_joint(found, model) + found.entropy
    assert bound == pytest.approx(found.log_likelihood, rel=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "VEV"])
def test_many_priors_are_the_few(covariance_type, monkeypatch):
    X, z = overlapping()
    prior = np.where(np.random.default_rng(0).random((len(X), 1)) < 0.5, 1, np.eye(3)[z] + 0.1)

    def fit():
        return GaussianMixture(3, covariance_type=covariance_type, random_state=0, tol=1e-6).fit(X, labels=prior)

    few = fit()
    monkeypatch.setattr(fastem.starts.labels, "MOST_GROUPS", 1)
    many = fit()
    assert many.log_likelihood_ == pytest.approx(few.log_likelihood_, rel=1e-12)
    assert many.means_ == pytest.approx(few.means_, rel=1e-8)
    assert min(min(step.m_gain, step.e_gain) for step in many.steps_ if not step.accelerated) > -1e-10


def test_an_own_prior_for_every_row_climbs():
    X, z = overlapping()
    prior = np.random.default_rng(0).random((len(X), 3)) * 0.2 + np.eye(3)[z]
    model = GaussianMixture(3, random_state=0, tol=0, max_iter=30).fit(X, labels=prior)
    assert np.diff(model.history_).min() > -1e-12
    joint = model.model_.log_joint(X) + np.log(prior)
    assert model.log_likelihood_ == pytest.approx(logsumexp(joint, axis=1).sum(), rel=1e-12)


def test_the_optimum_is_that_of_the_formula():
    """Brute force: the log-likelihood falls when any coordinate of the fitted model moves."""
    X, z = overlapping(150)
    labels = some_of(z)
    model = GaussianMixture(3, random_state=0, tol=1e-14, max_iter=5000).fit(X, labels=labels).model_
    prior = np.where(labels[:, None] < 0, 1.0, np.eye(3)[labels])

    def value(m):
        return logsumexp(m.log_joint(X), axis=1, b=prior).sum()

    vector, best = model.to_vector(), value(model)
    for i in range(len(vector)):
        for step in (-1e-2, 1e-2):
            moved = vector.copy()
            moved[i] += step
            assert value(model.from_vector(moved)) < best


def test_labels_help():
    """Where groups overlap so much that rows alone hardly tell them apart, rows without a label are placed better."""
    plain, helped = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        z = rng.integers(0, 3, 300)
        X = rng.normal(size=(300, 2)) + np.array([[0, 0], [2, 0], [0, 2]])[z]
        labels = some_of(z, 0.3, seed)
        found, known = (GaussianMixture(3, random_state=0).fit_predict(X, labels=own) for own in (None, labels))
        others = labels < 0
        plain.append(max((np.array(order)[found] == z)[others].mean() for order in permutations(range(3))))
        helped.append((known == z)[others].mean())
    assert np.mean(helped) > np.mean(plain) + 0.02, (plain, helped)


def test_labels_number_the_components():
    X, z = overlapping(600)
    model = GaussianMixture(3, random_state=0).fit(X, labels=some_of(z, 0.1))
    assert (model.predict(X) == z).mean() > 0.8
    assert (GaussianMixture(3, random_state=0).fit_predict(X, labels=some_of(z, 0.1)) == z).mean() > 0.8


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("known", [2, 0])
def test_one_known_component_keeps_its_number(init_params, known):
    rng = np.random.default_rng(3)
    z = rng.integers(0, 3, 300)
    X = rng.normal(size=(300, 2)) + 12 * np.array([[0, 0], [1, 0], [0, 1]])[z]
    labels = np.where((z == known) & (rng.random(300) < 0.2), known, -1)
    model = GaussianMixture(3, init_params=init_params, random_state=0, max_iter=500, n_init=3).fit(X, labels=labels)
    assert abs(model.means_[known] - 12 * np.array([[0, 0], [1, 0], [0, 1]])[known]).max() < 0.5


def test_a_component_may_be_ruled_out():
    X, z = overlapping()
    prior = 1.0 - np.eye(3)[z]
    model = GaussianMixture(3, random_state=0, max_iter=10).fit(X, labels=prior)
    joint = model.model_.log_joint(X)
    joint[np.arange(len(X)), z] = -np.inf
    assert model.log_likelihood_ == pytest.approx(logsumexp(joint, axis=1).sum(), rel=1e-12)


def test_with_noise():
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + [3, 0], rng.uniform(-20, 20, (60, 2))])
    labels = np.full(260, -1)
    labels[[0, 1, 2, 150, 151, 152, 259]] = [1, 1, 1, 0, 0, 0, 0]
    model = GaussianMixture(2, noise="box", random_state=0, tol=1e-6).fit(X, labels=labels)
    assert model.means_[0, 0] > 2 > model.means_[1, 0]
    assert 0.1 < model.noise_weight_ < 0.3
    priors = np.where(labels[:, None] < 0, 1.0, np.eye(3)[labels])
    again = GaussianMixture(2, noise="box", random_state=0, tol=1e-6).fit(X, labels=priors)
    assert again.log_likelihood_ == model.log_likelihood_
    told = np.where(np.arange(260)[:, None] >= 200, [0, 0, 1], 1)
    model = GaussianMixture(2, noise="box", random_state=0, tol=1e-6).fit(X, labels=told)
    assert model.noise_weight_ >= 60 / 260 - 1e-9


def test_the_same_bits_for_any_threads():
    X, z = overlapping(40_000)
    labels = some_of(z)
    fits = [GaussianMixture(3, random_state=0, max_iter=3, tol=0, n_threads=n).fit(X, labels=labels) for n in (1, 2, 5)]
    assert bits(fits[0]) == bits(fits[1]) == bits(fits[2])


def test_a_checkpoint_of_other_labels_is_refused(tmp_path):
    X, z = overlapping()

    def stop(result):
        raise KeyboardInterrupt

    def fit(labels, **options):
        model = GaussianMixture(3, random_state=0, tol=1e-5)
        path = tmp_path / "fit.checkpoint"
        return model.fit(X, labels=labels, checkpoint=path, checkpoint_seconds=0, resume=True, **options)

    with pytest.raises(KeyboardInterrupt):
        fit(some_of(z), callback=lambda result: result.n_iter > 2 and stop(result))
    with pytest.raises(fastem.CheckpointError, match="labels was"):
        fit(some_of(z, 0.5))
    resumed = fit(some_of(z))
    assert bits(resumed) == bits(GaussianMixture(3, random_state=0, tol=1e-5).fit(X, labels=some_of(z)))


X3, Z3 = overlapping(6)


@pytest.mark.parametrize(
    "labels, words",
    [
        ([0, 1, 2, 3, 0, 1], "labels contains 3 in row 3, but labels must be whole numbers from 0 to .* = 2"),
        ([0, 1, -2, 0, 0, 1], "labels contains -2 in row 2"),
        ([0, 1], "labels has 2 entries, but X has 6 rows"),
        ([0, 1, 2, 0, 0, 0.5], "must be whole numbers"),
        (list("aabbcc"), "must be whole numbers"),
        (np.ones((6, 2)), r"must have shape \(6,\), or \(6, 3\)"),
        (np.ones((6, 3)) * [[1], [1], [0], [1], [1], [1]], "no positive prior in row 2"),
        (np.ones((6, 3)) * [1, -1, 1], "in row 0, but priors must be finite and not negative"),
        (np.ones((6, 3)) * [1, np.nan, 1], "in row 0, but priors must be finite"),
        (0, r"must have shape \(6,\)"),
    ],
)
def test_bad_labels_are_refused(labels, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture(3).fit(X3, labels=labels)


def test_every_source_has_labels(tmp_path, monkeypatch):
    """By the name of a column, in whole numbers or with gaps, or as an array beside blocks: the same bits, and nearly
    those of labels beside an array."""
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 1)
    X, z = overlapping(20_000)
    known = some_of(z, 0.01)
    whole = pd.DataFrame(X, columns=["a", "b"]).assign(z=known)
    gaps = whole.assign(z=np.where(known < 0, np.nan, known))
    whole.to_parquet(tmp_path / "rows.parquet")
    pyarrow, dask = pytest.importorskip("pyarrow"), pytest.importorskip("dask.array")
    asked = {"random_state": 0, "tol": 1e-7}
    sources = [
        (whole, "z"),
        (gaps, ["z"]),
        (tmp_path / "rows.parquet", "z"),
        (pyarrow.Table.from_pandas(gaps), "z"),
        (lambda: iter([whole[:9000], whole[9000:]]), "z"),
        (lambda: iter([X[:9000], X[9000:]]), known),
    ]
    expected = GaussianMixture(3, **asked).fit(X, labels=known)
    models = [
        GaussianMixture(3, n_threads=1 + i % 2, **asked).fit(rows, labels=of) for i, (rows, of) in enumerate(sources)
    ]
    for model in models:
        assert bits(model) == bits(models[0]) and model.n_features_in_ == 2
        assert np.isclose(model.log_likelihood_, expected.log_likelihood_, rtol=1e-9)
        assert np.allclose(model.means_, expected.means_, atol=1e-4)  # numbered as the labels are
    beside_dask = GaussianMixture(3, **asked).fit(dask.from_array(X, chunks=(7000, 2)), labels=known)
    assert np.isclose(beside_dask.log_likelihood_, expected.log_likelihood_, rtol=1e-9)
    assert not np.allclose(GaussianMixture(3, **asked).fit(X).log_likelihood_, expected.log_likelihood_, rtol=1e-4)


@pytest.mark.parametrize("groups", [256, 0])
@pytest.mark.parametrize("make", [GaussianMixture, PoissonMixture])
def test_columns_of_priors(make, groups, monkeypatch):
    monkeypatch.setattr(fastem.starts.labels, "MOST_GROUPS", groups)
    X, z = overlapping(400)
    X = np.abs(X).round() if make is PoissonMixture else X
    X += 3 * np.eye(3)[z][:, :2]  # one maximum, wherever a fit begins
    prior = 0.1 + 0.9 * np.eye(3)[z] * (np.arange(400) % 3 == 0)[:, None]
    table = pd.DataFrame(np.hstack([prior, X]), columns=["p", "q", "r", "a", "b"])
    asked = {"random_state": 0, "tol": 1e-6}
    weight = np.arange(400) % 3
    named = make(3, **asked).fit(table, sample_weight=weight, labels=["p", "q", "r"])
    beside = make(3, **asked).fit(X, sample_weight=weight, labels=prior)
    assert np.isclose(named.log_likelihood_, beside.log_likelihood_, rtol=1e-7) and named.n_features_in_ == 2


def test_few_labels_are_not_overlooked():
    """Of 60 000 rows one of each component: the start, which sees some of the rows, sees these."""
    X, z = overlapping(60_000)
    X += 6 * np.eye(3)[z][:, :2]
    z = (z + 1) % 3
    known = np.full(len(X), -1)
    known[[int(np.flatnonzero(z == k)[-1]) for k in range(3)]] = range(3)
    model = GaussianMixture(3, random_state=0).fit(lambda: iter([X[:30_000], X[30_000:]]), labels=known)
    assert (model.predict(X) == z).mean() > 0.98


@pytest.mark.parametrize(
    "column, words",
    [
        ([0, 1, 3, -1, 0, 1], r"whole numbers from 0 to n_components - 1 = 2, .* but row 2 has 3"),
        ([0, 1, 0.5, -1, 0, 1], "but row 2 has 0.5"),
        ([0, 1, -2, -1, 0, 1], "but row 2 has -2"),
    ],
)
def test_bad_columns_of_labels_are_refused(column, words):
    table = pd.DataFrame(X3, columns=["a", "b"]).assign(z=column)
    with pytest.raises(ValueError, match=words):
        GaussianMixture(3).fit(table, labels="z")


def test_refusals_of_labels_in_columns():
    X, z = overlapping()
    table = pd.DataFrame(X, columns=["a", "b"]).assign(z=z, p=-1.0, q=0.5)
    with pytest.raises(ValueError, match=r"labels has 2 columns. Give one of labels, or 3 of priors"):
        GaussianMixture(3).fit(table, labels=["p", "q"])
    with pytest.raises(ValueError, match=r"must be priors, .* but row 0 has -1, 0.5, 2"):
        GaussianMixture(3).fit(table.assign(z=2), labels=["p", "q", "z"])
    with pytest.raises(ValueError, match="labels names the column 'y', which X does not have"):
        GaussianMixture(3).fit(table, labels="y")
    with pytest.raises(ValueError, match="fit_predict cannot leave out the column"):
        GaussianMixture(3).fit_predict(table, labels="z")
    with pytest.raises(TypeError, match="labels"):
        GaussianMixture(3).partial_fit(X, labels=z)


def test_scikit_learns_y_is_ignored():
    X, z = overlapping()
    assert bits(GaussianMixture(3, random_state=0).fit(X, z)) == bits(GaussianMixture(3, random_state=0).fit(X))


def test_a_start_that_is_given_is_kept():
    X, z = overlapping()
    labels = some_of(z)
    given = GaussianMixture(3, max_iter=0, init_params=np.arange(300) % 3).fit(X, labels=labels)
    plain = GaussianMixture(3, max_iter=0, init_params=np.arange(300) % 3).fit(X)
    assert (given.means_ == plain.means_).all()


# ---------------------------------------------------------------------------------------------------------------------
# restarts


def few_known(seed=3):
    """Four overlapping long groups, and the labels of some rows of each."""
    rng = np.random.default_rng(seed)
    z = np.arange(240) % 4
    X = rng.normal(size=(240, 2)) * [2.0, 0.4] + np.array([[0, 0], [1, 1.5], [2, 3], [5, 1]])[z]
    return X, np.where(np.arange(240) < 24, z, -1), z


@pytest.mark.parametrize("everywhere", [True, False])
def test_restarts_differ_in_what_labels_leave_free(everywhere):
    X, labels, _ = few_known()
    labels = labels if everywhere else np.where(labels == 3, -1, labels)
    model = GaussianMixture(4, n_init=9, random_state=0, tol=1e-6, max_iter=1000).fit(X, labels=labels)
    restarts = model.fit_report_.restarts
    kinds = [restart.start for restart in restarts]
    assert all(kind.startswith("the labels, ") for kind in kinds) and len(set(kinds)) >= 4
    assert kinds[:2] == ["the labels, short runs", "the labels, nearest mean" if everywhere else "the labels, merged"]
    if everywhere:
        one = GaussianMixture(4, random_state=0, tol=1e-6, max_iter=1000).fit(X, labels=labels)
        assert one.log_likelihood_ == restarts[0].log_likelihood


@pytest.mark.parametrize("number", range(12))
def test_every_start_keeps_the_labels(number):
    X, labels, _ = few_known()
    blocks = labelled(ArrayBlocks(X, None), labels, 4, 4)
    start = LabelledStart(blocks, "kmeans", 1, number)(X, 4, np.random.default_rng(0))
    known = labels >= 0
    np.testing.assert_array_equal(start[known], labels[known])
    assert set(start) == {0, 1, 2, 3}


def test_known_rows_of_one_kind_only_weigh():
    """A component whose known rows have no weight counts as one without."""
    X, labels, _ = few_known()
    weight = np.where(labels == 2, 0.0, 1.0)
    model = GaussianMixture(4, n_init=3, random_state=0).fit(X, labels=labels, sample_weight=weight)
    assert model.fit_report_.restarts[1].start == "the labels, merged"


def test_semi_supervised_iris_is_as_likely_as_that_of_mclust():
    """``MclustSSC(iris[, 1:4], class, G = 3, modelNames = "EEV")`` of mclust 6.0.0, which knows the species of these
    rows; the start at the nearest mean ends at -218.69."""
    labels = np.full(150, -1)
    for species, rows in enumerate([[6, 13, 20, 36, 42], [50, 67, 72, 73, 78, 84], [105, 128]]):
        labels[rows] = species
    fit = {"covariance_type": "EEV", "tol": 1e-6, "max_iter": 1000, "random_state": 0}
    model = GaussianMixture(3, n_init=10, **fit).fit(load_iris().data, labels=labels)
    assert model.log_likelihood_ == pytest.approx(-214.5673, abs=1e-3)


def test_the_layout_of_rows_with_missing_values_does_not_matter():
    """Rows that get a label keep the layout that the user gave them."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.normal(1000, 5, (8, 4))
        X[:, 1:][rng.random((8, 3)) < 0.2] = np.nan
        given, turned = (filled(rows, np.ones(8)) for rows in (X, np.asfortranarray(X)))
        assert np.array_equal(given, turned)


def some_labels(label, n_known):
    """Labels of some rows of all components but the last, which have other numbers than those they were drawn with."""
    K, known = label.max() + 1, np.full(len(label), -1)
    for k in range(K - 1):
        known[np.flatnonzero(label == k)[:n_known]] = (k + 1) % K
    return known


def classes(rng, label, K):
    return np.where(rng.random((len(label), 8)) < 0.7, label[:, None], rng.integers(0, K, (len(label), 8)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "make, K, draw",
    [
        (CategoricalMixture, 3, lambda rng, z: classes(rng, z, 3)),
        (CategoricalMixture, 4, lambda rng, z: classes(rng, z, 4)),
        (BernoulliMixture, 3, lambda rng, z: rng.random((len(z), 8)) < np.array([0.1, 0.5, 0.9])[z, None]),
        (GaussianMixture, 3, lambda rng, z: rng.normal(np.array([[0, 0], [3, 0], [0, 3]])[z])),
    ],
)
def test_labels_of_some_components_lead_no_fit_astray(make, K, draw, seed):
    label = np.repeat(np.arange(K), 200)
    X, known = draw(np.random.default_rng(seed), label), some_labels(label, 5)
    from_truth = make(K, init_params=(label + 1) % K, tol=1e-5, max_iter=1000).fit(X, labels=known)
    found = make(K, random_state=0).fit(X, labels=known)
    assert found.log_likelihood_ > from_truth.log_likelihood_ - 2


def test_the_start_of_many_labelled_rows_looks_at_some():
    rng = np.random.default_rng(0)
    label = np.arange(30_000) % 3
    X, known = rng.normal(np.array([[0, 0], [3, 0], [0, 3]])[label]), some_labels(label, 5)
    start = LabelledStart(labelled(ArrayBlocks(X, None), known, 3, 3), "emem", 1)
    few = start.of_few(3, rng)
    assert few.blocks.n_rows < 25_000 and (few.known(3) >= 0).sum() == 10
    assert few.blocks.sample_weight.sum() == pytest.approx(30_000, rel=0.02)
    found = GaussianMixture(3, random_state=0).fit(X, labels=known)
    from_truth = GaussianMixture(3, init_params=(label + 1) % 3).fit(X, labels=known)
    assert found.log_likelihood_ > from_truth.log_likelihood_ - 1


def test_labels_that_are_not_known_in_every_form_and_beside_every_container(tmp_path):
    X, z = overlapping(60)
    known = np.where(np.arange(60) % 3, -1, z)
    frame = pd.DataFrame(X, columns=["a", "b"])
    missing = pd.Series(known).where(known >= 0)

    def fit(rows, labels, **others):
        return GaussianMixture(3, random_state=0, max_iter=3).fit(rows, labels=labels, **others).history_

    expected = fit(X, known)
    forms = [missing.to_numpy(), missing.astype("Int64"), missing.astype(object).where(known >= 0, None).tolist()]
    for labels in forms:
        for rows in (X, frame, [X[:25], X[25:]]):
            assert np.allclose(fit(rows, labels), expected, rtol=1e-12)
        assert np.allclose(fit(frame.assign(l=labels), "l"), expected, rtol=1e-12)
        assert fit(X, labels, checkpoint=tmp_path / "part") == expected


def test_a_sample_of_labelled_rows_stands_for_all_of_them(monkeypatch):
    """As many rows of each component are drawn, but a component of many rows stays large at the start."""
    monkeypatch.setattr(fastem.starts.labels, "subsample_rows", lambda n_components: 200)
    z = (np.arange(3000) % 10 == 0) * 1.0
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=3000) + 20 * z, "z": z})
    start = GaussianMixture(2, max_iter=0, random_state=0).fit(table, labels="z")
    assert np.allclose(start.weights_, [0.9, 0.1], atol=0.03)
