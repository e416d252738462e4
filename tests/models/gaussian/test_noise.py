"""Noise beside Gaussians, against an oracle in numpy and the laws that it obeys."""

import pickle
import warnings

import numpy as np
import pytest
import reference
from instances import STRUCTURES, dense, random_mixture
from matplotlib.figure import Figure

import fastem
from fastem import GaussianMixture, em, plot, theory
from fastem.models.gaussian.noise import WithNoise, alone, in_box
from fastem.models.gaussian.parsimonious import FAMILIES as GAUSSIAN_FAMILIES
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.moves import split
from fastem.starts.noise_start import NOISE_SHARE

REALS = [np.float64, np.float32]
TYPES = [structure.name for structure in STRUCTURES]


def cluttered(n=400, clutter=150, seed=0):
    """Rows of two clusters, then of uniform clutter."""
    rng = np.random.default_rng(seed)
    clusters = rng.normal(size=(n, 2)) * [1, 0.5] + np.where(np.arange(n)[:, None] < n // 2, [0, 0], [14, 3])
    return np.vstack([clusters, rng.uniform([-20, -20], [30, 25], (clutter, 2))])


def noisy_mixture(structure, seed=0, K=3, d=3):
    """A mixture with noise that no fit has made, and rows of it."""
    rng = np.random.default_rng(seed)
    gaussians = random_mixture(rng, K, d, structure)
    box = np.array([[-6.0] * d, [7.0] * d])
    mixture = Mixture(np.append(0.8 * gaussians.weights, 0.2), in_box(gaussians.emission, box))
    return mixture, rng.permutation(mixture.sample(300, rng)[0])


def oracle(mixture, X):
    """(n, K + 1) log p(x, z)."""
    emission, (*weights, share) = mixture.emission, mixture.weights
    K, d = emission.shape
    joint = reference.log_joint(X, weights, emission.means, dense(emission.covariance, K, d))
    volume = np.prod(emission.box[1] - emission.box[0])
    return np.column_stack([joint, np.full(len(X), np.log(share / volume))])


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_scores_and_sums_are_those_of_the_formulas(structure, real):
    mixture, X = noisy_mixture(structure)
    X = X.astype(real)
    tolerance = 1e-11 if real is np.float64 else 1e-4
    joint = oracle(mixture, X.astype(float))
    r, density = reference.responsibilities(joint), reference.log_density(joint)
    assert abs(mixture.posterior(X) - r).max() < tolerance
    weight = np.random.default_rng(1).choice([0.0, 1.0, 2.5], len(X))
    found, size = mixture.e_step(X, weight), weight.sum()
    K = len(mixture.emission.means)
    counts, first, second = reference.moments(X.astype(float), r[:, :K], weight, mixture.emission.means)
    assert abs(found.log_likelihood - weight @ density) < tolerance * size * 10
    assert abs(found.counts - weight @ r).max() < tolerance * size
    new = mixture.m_step(found)
    assert abs(new.weights - weight @ r / size).max() < tolerance
    _, means, covariances = reference.m_step(counts, first, second, mixture.emission.means, structure.name)
    assert abs(new.emission.means - means).max() < 100 * tolerance
    assert abs(new.emission.covariance.covariances - covariances).max() < 1000 * tolerance
    assert new.emission.log_volume == mixture.emission.log_volume


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_the_bound_holds_from_statistics_alone(structure):
    mixture, X = noisy_mixture(structure, seed=1)
    other = noisy_mixture(structure, seed=2)[0]
    statistics, joint = mixture.e_step(X), oracle(other, X)
    expected = (reference.responsibilities(oracle(mixture, X)) * joint).sum()
    assert mixture.expected_log_joint(statistics, other) == pytest.approx(expected, rel=1e-11)
    assert theory.log_likelihood(mixture, X) == pytest.approx(statistics.log_likelihood, rel=1e-12)
    again = mixture.from_vector(mixture.to_vector())
    assert again.log_joint(X) == pytest.approx(mixture.log_joint(X), abs=1e-9)


@pytest.mark.parametrize("covariance_type", [*TYPES, "VEV", "EVE", "EEI"])
def test_clusters_in_clutter_are_recovered(covariance_type):
    X = cluttered()
    model = GaussianMixture(2, noise="box", covariance_type=covariance_type, random_state=0, tol=1e-7).fit(X)
    order = model.means_[:, 0].argsort()
    assert abs(model.means_[order] - [[0, 0], [14, 3]]).max() < 0.3
    assert abs(model.noise_weight_ - 150 / 550) < 0.04
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1, abs=1e-15)
    labels = model.predict(X)
    assert set(labels) == {-1, 0, 1}
    assert (labels[400:] == -1).mean() > 0.85 and (labels[:400] == -1).mean() < 0.1
    proba = model.predict_proba(X)
    assert proba.shape == (550, 3)
    assert (labels == np.where(proba.argmax(axis=1) == 2, -1, proba.argmax(axis=1))).all()
    assert model.component_status_ == ["ok", "ok"]
    plain = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    assert model.n_parameters_ == plain.n_parameters_ + 1
    assert model.bic(X) < plain.bic(X)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_every_named_start_finds_them(init_params):
    X = cluttered(seed=1)
    model = GaussianMixture(2, noise="box", init_params=init_params, random_state=0, tol=1e-8, max_iter=500).fit(X)
    best = GaussianMixture(2, noise="box", init_params=np.repeat([0, 1, 0], [200, 200, 150]), tol=1e-8).fit(X)
    assert model.log_likelihood_ == pytest.approx(best.log_likelihood_, abs=0.01)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("real", REALS)
def test_the_log_likelihood_never_falls_and_both_steps_climb(covariance_type, real):
    X = cluttered(seed=2).astype(real)
    start = GaussianMixture(3, noise="box", covariance_type=covariance_type, random_state=0, max_iter=0).fit(X).model_
    weight = np.random.default_rng(0).choice([0.0, 1.0, 2.5], len(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error", fastem.LogLikelihoodFell)
        result = em(start, ArrayBlocks(X, weight), tol=0, max_iter=40)
    least = -1e-10 if real is np.float64 else -1e-5
    assert np.diff(result.history).min() > least and result.history[-1] > result.history[0]
    if real is np.float64:
        assert min(min(step.m_gain, step.e_gain) for step in result.steps) > least


@pytest.mark.parametrize("covariance_type", TYPES)
def test_an_infinite_volume_is_the_plain_mixture(covariance_type):
    X = cluttered(clutter=0)
    parameters = {"covariance_type": covariance_type, "init_params": np.repeat([0, 1], 200), "tol": 1e-9}
    plain = GaussianMixture(2, **parameters).fit(X)
    model = GaussianMixture(2, noise=1e300, **parameters).fit(X)
    assert model.noise_weight_ < 1e-250
    assert model.log_likelihood_ == pytest.approx(plain.log_likelihood_, rel=1e-12)
    assert model.means_ == pytest.approx(plain.means_, rel=1e-9)
    assert (model.predict(X) == plain.predict(X)).all()


def test_units_do_not_matter():
    X = cluttered(seed=3)
    scale, shift = np.array([1e-5, 1e4]), np.array([3.0, -1e6])
    ours, theirs = (GaussianMixture(2, noise="box", random_state=0, tol=1e-7).fit(Y) for Y in (X, X * scale + shift))
    assert theirs.noise_weight_ == pytest.approx(ours.noise_weight_, rel=1e-6)
    assert theirs.noise_log_volume_ == pytest.approx(ours.noise_log_volume_ + np.log(scale).sum(), rel=1e-9)
    assert theirs.means_ == pytest.approx(ours.means_ * scale + shift, rel=1e-6)
    assert np.array_equal(theirs.predict(X * scale + shift), ours.predict(X))


def test_rows_of_weight_zero_make_no_box():
    X = np.vstack([cluttered(), [[1e4, 1e4]]])
    weight = np.append(np.ones(550), 0)
    model = GaussianMixture(2, noise="box", random_state=0).fit(X, sample_weight=weight)
    assert (model.noise_box_ == [X[:-1].min(axis=0), X[:-1].max(axis=0)]).all()


@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_same_bits_for_any_threads_and_blocks(covariance_type, monkeypatch):
    X = np.tile(cluttered(), (8, 1)) + np.random.default_rng(0).normal(size=(4400, 2)) / 100
    monkeypatch.setattr("fastem.kernels.threads.for_pass", lambda n_threads, rows, K: n_threads)

    def fit(rows, n_threads):
        model = GaussianMixture(
            2, noise="box", covariance_type=covariance_type, random_state=0, max_iter=3, tol=0, n_threads=n_threads
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(rows)
        arrays = model.means_, model.covariances_, model.weights_, model.predict_proba(X), model.noise_weight_
        return [np.asarray(a).tobytes() for a in arrays]

    first = fit(X, 1)
    assert fit(X, 2) == fit(X, 5) == first
    assert fit([X[:1000], X[1000:]], 2) == first


def test_drawn_rows_fill_the_box():
    X = cluttered()
    model = GaussianMixture(2, noise="box", random_state=0).fit(X)
    drawn, z = model.sample(20_000, random_state=1)
    noise = drawn[z == -1]
    assert len(noise) / 20_000 == pytest.approx(model.noise_weight_, abs=0.02)
    low, high = model.noise_box_
    assert ((noise >= low) & (noise <= high)).all()
    assert noise.mean(axis=0) == pytest.approx((low + high) / 2, abs=1)
    assert set(z) == {-1, 0, 1}


def test_noise_of_a_given_volume_is_not_drawn():
    model = GaussianMixture(2, noise=2000.0, random_state=0).fit(cluttered())
    assert model.noise_log_volume_ == np.log(2000) and not hasattr(model, "noise_box_")
    with pytest.raises(ValueError, match="cannot draw rows of the noise, because its volume was given"):
        model.sample(100)


@pytest.mark.parametrize("noise", ["box", 2250.0])
def test_saved_pickled_and_predicted_to_a_file(noise, tmp_path):
    X = cluttered()
    model = GaussianMixture(2, noise=noise, random_state=0).fit(X)
    model.save(tmp_path / "model.npz")
    for again in (fastem.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        assert (again.predict_proba(X) == model.predict_proba(X)).all()
        assert again.noise_weight_ == model.noise_weight_ and again.n_parameters_ == model.n_parameters_
    fastem.write_predictions(model, X, tmp_path / "labels.csv")
    label, probability, density = np.loadtxt(tmp_path / "labels.csv", delimiter=",", skiprows=1).T
    assert (label == model.predict(X)).all() and (density == model.score_samples(X)).all()
    assert (probability == model.predict_proba(X).max(axis=1)).all()


def test_a_damaged_box_is_refused(tmp_path):
    model = GaussianMixture(2, noise="box", random_state=0).fit(cluttered())
    path = tmp_path / "model.npz"
    model.save(path)
    with np.load(path) as file:
        np.savez(path, **{**file, "noise_box_": file["noise_box_"][::-1]})
    with pytest.raises(ValueError, match="noise_box_"):
        fastem.load(path)
    model.noise_box_ = model.noise_box_[::-1]
    with pytest.raises(ValueError, match="noise_box_"):
        model.save(path)


@pytest.mark.parametrize("before, after", [("box", None), (None, "box"), (None, 100.0)])
def test_a_warm_start_gains_or_loses_noise(before, after):
    X = cluttered()
    model = GaussianMixture(2, noise=before, warm_start=True, random_state=0).fit(X)
    model.set_params(noise=after).fit(X)
    assert hasattr(model, "noise_weight_") == (after is not None)
    assert model.weights_.sum() + getattr(model, "noise_weight_", 0) == pytest.approx(1)
    assert model.predict_proba(X).shape == (550, 2 + (after is not None))


def test_a_stream_keeps_its_noise():
    X = np.random.default_rng(0).permutation(cluttered(4000, 1500))
    model = GaussianMixture(2, noise="box", random_state=0)
    for batch in np.split(X, 5):
        model.partial_fit(batch)
    assert abs(model.noise_weight_ - 1500 / 5500) < 0.05
    assert abs(np.sort(model.means_[:, 0]) - [0, 14]).max() < 0.3


def test_a_coarse_start_finds_them():
    X = cluttered(90_000, 30_000)
    model = GaussianMixture(2, noise="box", random_state=0).fit(X)
    assert abs(model.means_[model.means_[:, 0].argsort()] - [[0, 0], [14, 3]]).max() < 0.1
    assert abs(model.noise_weight_ - 0.25) < 0.02
    assert (model.noise_box_ == [X.min(axis=0), X.max(axis=0)]).all()


def test_a_wide_cluster_is_no_noise():
    """The start that leaves sparse rows out would lose it."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(0, 1, (400, 2)), rng.normal(9, 0.05, (400, 2))])
    model = GaussianMixture(2, noise="box", random_state=0, tol=1e-6).fit(X)
    assert np.sort(model.weights_) == pytest.approx([0.5, 0.5], abs=0.03)


@pytest.mark.parametrize("accelerate", ["anderson", "squarem"])
def test_accelerated_fits_end_at_the_same_place(accelerate):
    X = cluttered(seed=4)
    plain, fast = (
        GaussianMixture(3, noise="box", random_state=0, tol=1e-10, max_iter=2000, accelerate=a).fit(X)
        for a in (None, accelerate)
    )
    assert fast.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-3)


def test_summary_and_pictures():
    X = cluttered()
    for noise in ("box", 2250.0):
        model = GaussianMixture(2, noise=noise, random_state=0).fit(X)
        assert f"noise           weight {model.noise_weight_:.4g}" in model.summary()
        assert len(plot.mixture(model, X, ax=Figure()).patches) == 4
        plot.responsibilities(model, X, ax=Figure())
        plot.uncertainty(model, X, ax=Figure())
        plot.parameters(model, ax=Figure())
    wide = np.column_stack([X, X[::-1, 0]])
    model = GaussianMixture(2, noise="box", random_state=0).fit(wide)
    assert plot.mixture(model, wide, ax=Figure()).shape == (3, 3)
    model = GaussianMixture(2, noise="box", random_state=0).fit(X[:, :1])
    assert len(plot.mixture(model, X[:, :1], ax=Figure()).lines) == 4  # two clusters, the noise, all together


def test_without_a_box_the_marginal_has_no_noise():
    emission = WithNoise(noisy_mixture(STRUCTURES[0])[0].emission.emission, 3.0)
    assert emission.marginal([0]).log_volume == np.inf


@pytest.mark.parametrize("noise", ["sphere", 0, -1.0, np.inf, np.nan, True, [1.0]])
def test_other_noise_is_refused(noise):
    with pytest.raises(ValueError, match="'noise' parameter of GaussianMixture must be None, 'box' or a volume"):
        GaussianMixture(2, noise=noise).fit(cluttered())


def test_what_cannot_have_noise_says_so():
    X = cluttered()
    with pytest.raises(TypeError, match=r"StudentTMixture: .*'noise'"):
        fastem.StudentTMixture(2, noise="box")
    with pytest.raises(ValueError, match="column 1 of X is constant"):
        GaussianMixture(2, noise="box").fit(X * [1, 0])


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("further", [{}, {"split_merge": 1, "n_init": 2}, {"on_collapse": "reseed"}])
@pytest.mark.filterwarnings("ignore")
def test_noise_may_take_every_row(d, further):
    """Gaussians without rows stay as they are; the fit says that no row belongs to them."""
    rows = np.random.default_rng(0).normal(size=(60, d))
    for covariance_type in GAUSSIAN_FAMILIES if d == 2 else ("full", "tied", "diag", "spherical", "E"):
        asked = {"noise": 1e-300, "covariance_type": covariance_type, "max_iter": 5, **further}
        model = GaussianMixture(2, random_state=0, **asked).fit(rows)
        assert model.noise_weight_ == 1 and set(model.component_status_) == {"empty: no row belongs to it"}
        assert np.isfinite(model.covariances_).all() and np.isfinite(model.score(rows))
        assert (model.predict(rows) == -1).all()


def test_a_component_without_rows_is_not_split():
    membership = np.eye(2)[np.zeros(6, int)]
    halves = split(np.arange(12.0).reshape(6, 2), np.ones(6), membership, 1, np.random.default_rng(0), 1)
    assert np.array_equal(halves, np.eye(3)[np.zeros(6, int)])


def test_noise_begins_with_its_share_of_the_rows():
    """Beside Gaussians whose start is given."""
    X = cluttered()
    model = GaussianMixture(2, noise="box", init_params=(X[:, 0] > 7).astype(int), max_iter=0).fit(X)
    assert model.noise_weight_ == pytest.approx(NOISE_SHARE)
    assert np.allclose(model.weights_[1], (1 - NOISE_SHARE) * (X[:, 0] > 7).mean())


def test_parts_of_a_mixture_with_noise():
    """Some columns have their sides of the box; the Gaussians alone have weights that sum to 1."""
    mixture, _ = noisy_mixture(STRUCTURES[0])
    box = np.array([[-1.0, -2.0, -3.0], [1.0, 2.0, 3.0]])
    emission = in_box(mixture.emission.emission, box)
    assert np.array_equal(emission.marginal([2, 0]).box, box[:, [2, 0]])
    assert emission.marginal([2]).log_volume == pytest.approx(np.log(6))
    gaussians = Mixture(mixture.weights, mixture.emission.emission)
    assert np.allclose(alone(gaussians).weights, mixture.weights[:-1] / mixture.weights[:-1].sum())
