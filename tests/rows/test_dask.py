"""A cluster is a wider sum: any number of workers gives the bits of one machine, also when one of them dies."""

import os
import signal

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import CancelledError, Client, LocalCluster
from distributed.comm import CommClosedError
from distributed.security import Security
from models import MODELS

from fastem import PPCA, FactorAnalysis, GaussianMixture, OutlierDetector, Statistics, em
from fastem.kernels.threads import resolve
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture
from fastem.rows.sources.dask_blocks import DaskBlocks
from fastem.rows.sources.open_rows import open_rows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20_000, 3)) + 5 * RNG.integers(0, 2, (20_000, 1))
CHUNKS = (3000, 3)


def start():
    means = np.array([[0.0, 0.0, 0.0], [5.0, 6.0, 7.0]])
    covariances = np.array([np.eye(3), 2 * np.eye(3)])
    return Mixture(np.array([0.4, 0.6]), Gaussian(means, Full.from_covariances(covariances, np.zeros(3)), np.zeros(3)))


@pytest.fixture(scope="module")
def client():
    """Two worker processes that speak TLS with Dask's own certificates."""
    before = dict(os.environ)  # a cluster of Dask limits the threads of its workers in its own environment as well
    security = Security.temporary()
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, security=security, dashboard_address=None) as cluster,
        Client(cluster, security=security, set_as_default=False) as client,
    ):
        assert cluster.scheduler_address.startswith("tls://")
        yield client
    os.environ.clear()
    os.environ.update(before)


def bits(result):
    return result.statistics.vector.tobytes(), result.history


def local(**settings):
    return em(start(), DaskBlocks.of(da.from_array(X, chunks=CHUNKS)), tol=0, max_iter=4, **settings)


def test_one_machine_agrees_with_the_array():
    assert np.allclose(local().statistics.vector, em(start(), X, tol=0, max_iter=4).statistics.vector, rtol=1e-11)


def test_workers_give_the_bits_of_one_machine(client):
    blocks = DaskBlocks.of(da.from_array(X, chunks=CHUNKS), client=client)
    assert bits(em(start(), blocks, tol=0, max_iter=4)) == bits(local())


def test_weights_and_frames(client):
    weight = RNG.integers(0, 3, len(X)).astype(float)
    expected = em(start(), X, sample_weight=weight, tol=0, max_iter=3).statistics.vector
    with client.as_current():
        for own in (weight, da.from_array(weight, chunks=777)):
            found = em(start(), da.from_array(X, chunks=CHUNKS), sample_weight=own, tol=0, max_iter=3)
            assert np.allclose(found.statistics.vector, expected, rtol=1e-11)
        blocks = open_rows(dd.from_pandas(pd.DataFrame(X, columns=list("abc")), npartitions=5))
        assert list(blocks.names) == ["a", "b", "c"]
        assert np.allclose(
            em(start(), blocks, tol=0, max_iter=3).statistics.vector,
            em(start(), X, tol=0, max_iter=3).statistics.vector,
            rtol=1e-11,
        )


def test_chunks_across_columns_are_joined_with_a_note(client):
    with pytest.warns(UserWarning, match="chunked across its columns"):
        blocks = DaskBlocks.of(da.from_array(X, chunks=(3000, 2)), client=client)
    assert bits(em(start(), blocks, tol=0, max_iter=4)) == bits(local())


def test_a_worker_that_is_killed_costs_time_only(client):
    """In the middle of a fit; its nanny starts another, and Dask loads its chunks again."""
    blocks = DaskBlocks.of(da.from_array(X, chunks=CHUNKS), client=client)
    killed = []

    def kill(result):
        if not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    result = em(start(), blocks, tol=0, max_iter=4, callback=kill)
    assert killed
    assert bits(result) == bits(local())


def test_a_fit_starts_and_scores_there(client):
    collection = da.from_array(X, chunks=CHUNKS)
    with client.as_current():
        model = GaussianMixture(2, random_state=0).fit(collection)
        expected = GaussianMixture(2, random_state=0).fit(X)
        assert np.allclose(model.means_, expected.means_, rtol=1e-9)
        labels, density, proba = (
            model.predict(collection),
            model.score_samples(collection),
            model.predict_proba(collection),
        )
        assert isinstance(labels, da.Array)
        assert labels.chunks == (collection.chunks[0],)
        assert proba.shape == (len(X), 2)
        assert (labels.compute() == model.predict(X)).all()
        assert np.allclose(density.compute(), model.score_samples(X), rtol=1e-13)
        assert np.allclose(proba.compute(), model.predict_proba(X), rtol=1e-12)
        assert np.isclose(model.score(collection), model.score(X), rtol=1e-12)
        assert np.isclose(model.bic(collection), model.bic(X), rtol=1e-12)


def test_frames_in_frames_out(client):
    frame = pd.DataFrame(X, columns=list("abc"))
    collection = dd.from_pandas(frame, npartitions=4)
    with client.as_current():
        model = GaussianMixture(2, random_state=0).fit(collection)
        assert list(model.feature_names_in_) == ["a", "b", "c"]
        assert (np.asarray(model.predict(collection).compute()) == model.predict(frame)).all()


def test_a_value_that_is_not_finite_is_found_there(client):
    bad = X.copy()
    bad[12_345, 2] = np.inf
    with client.as_current(), pytest.raises(ValueError, match="float64: the first is at row 12345, column 2"):
        GaussianMixture(2).fit(da.from_array(bad, chunks=CHUNKS))


def of_pieces(*given):
    """A Dask array whose chunks are not what it says: loaded as they are."""
    chunks = [da.from_delayed(dask.delayed(piece), (np.nan, 3), float) for piece in given]
    return da.concatenate(chunks)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: of_pieces(X[:0], X[:50], X[:50, :2]), "chunk 2 .* has 2 columns of float64, but the first .* 3 of"),
        (lambda: of_pieces(X[:0], X[:50], X[:50].astype("f4")), "chunk 2 .* has 3 columns of float32"),
        (lambda: of_pieces(X[:50], X[:50].astype(str)), "chunk 1 of the Dask collection: X must hold numbers"),
        (lambda: dd.from_pandas(pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}), npartitions=1), "chunk 0 .*numbers"),
    ],
)
def test_chunks_that_do_not_fit_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        DaskBlocks.of(make())


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_bad_weight_names_its_chunk(client, where):
    weight = np.ones(len(X))
    weight[10_000] = -1
    there = client if where == "there" else None
    with pytest.raises(ValueError, match=r"chunk 3 of the Dask collection: Negative .* in row 1000"):
        DaskBlocks.of(da.from_array(X, CHUNKS), da.from_array(weight, 3000), there).reduce(start(), 1)


def test_rows_that_were_filtered_have_their_weights():
    """The sizes of their chunks are not known; some are empty."""
    weight = RNG.integers(1, 3, len(X)).astype(float)
    own, chosen = X[:, 0] > 5, da.from_array(X[:, 0] > 5, 3000)
    rows, weights = da.from_array(X, CHUNKS)[chosen], da.from_array(weight, 3000)[chosen]
    found = em(start(), rows, sample_weight=weights, max_iter=2)
    assert np.allclose(
        found.statistics.vector,
        em(start(), X[own], sample_weight=weight[own], max_iter=2).statistics.vector,
        rtol=1e-10,
    )


def test_outliers_and_merged_clusters_are_lazy():
    rows, chunks = X[:600], da.from_array(X[:600], chunks=(250, 3))
    model = GaussianMixture(4, random_state=0).fit(rows)
    detector, merging = OutlierDetector(GaussianMixture(2), contamination=0.1).fit(rows), model.merge_components(rows)
    calls = [model.is_outlier, detector.predict, detector.decision_function]
    for call in (*calls, lambda X: merging.predict(X, 2), lambda X: merging.predict_proba(X, 2)):
        lazy, expected = call(chunks), call(rows)
        assert isinstance(lazy, da.Array) and (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
        assert np.allclose(lazy.compute(), expected)


@pytest.mark.parametrize("holder", ["array", "frame"])
def test_predictions_of_empty_chunks(holder):
    """As of rows that were filtered."""
    few = X[:300]
    chosen = (np.arange(300) < 90) | (np.arange(300) >= 200)
    own = few[chosen]
    mixture, factors = GaussianMixture(2, random_state=0).fit(few), FactorAnalysis(1, max_iter=2).fit(few)
    if holder == "array":
        rows = da.from_array(few, (100, 3))[da.from_array(chosen, 100)]
    else:
        rows = dd.from_pandas(pd.DataFrame(few), npartitions=3)
        rows = rows.map_partitions(lambda part: part[chosen[part.index]])
    calls = [mixture.predict, mixture.predict_proba, mixture.score_samples, mixture.impute, factors.transform]
    for call in [*calls, lambda rows: mixture.is_outlier(rows, 0.1)]:
        assert np.array_equal(np.asarray(call(rows).compute()), call(own))


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_every_family_is_fitted_there(client, family):
    """What it checks and examines travels to the workers."""
    rows = family.data(600)
    collection = da.from_array(rows, chunks=(150, rows.shape[1]))
    with client.as_current():
        found = family.make(2, random_state=0, max_iter=2).fit(collection)
    assert np.allclose(found.history_, family.make(2, random_state=0, max_iter=2).fit(collection).history_, rtol=0)
    assert np.allclose(found.history_, family.make(2, random_state=0, max_iter=2).fit(rows).history_, rtol=1e-9)


@pytest.mark.parametrize("face", [FactorAnalysis, PPCA])
def test_continuous_factors_are_fitted_there(client, face):
    collection = da.from_array(X, chunks=CHUNKS)
    with client.as_current():
        model = face(1).fit(collection)
        assert np.allclose(model.components_, face(1).fit(X).components_, rtol=1e-6)
        assert np.allclose(model.transform(collection).compute(), model.transform(X), rtol=1e-9)


def test_a_worker_uses_the_threads_that_dask_gave_it(client):
    """Its nanny sets OMP_NUM_THREADS=1."""

    class Threads:
        """Sums the threads it is given; local, so that it travels by value."""

        def e_step_of_block(self, X, sample_weight, n_threads, kept):
            return Statistics(log_likelihood=-1.0, weight=1.0, threads=float(resolve(n_threads)), fits=1.0)

        def m_step(self, statistics):
            return self

    assert client.run(os.environ.get, "OMP_NUM_THREADS").popitem()[1] == "1"
    sums = DaskBlocks.of(da.from_array(X, chunks=CHUNKS), client=client).reduce(Threads(), 1)
    assert sums.threads == 2 * sums.fits


def test_a_whole_fit_has_the_bits_of_one_machine(client):
    collection, model = da.from_array(X, chunks=CHUNKS), GaussianMixture(2, random_state=0, tol=0, max_iter=3)
    expected = model.fit(collection).history_
    with client.as_current():
        assert model.fit(collection).history_ == expected


@pytest.mark.parametrize("error", [CancelledError("task cancelled"), CommClosedError("scheduler is gone")])
def test_a_lost_cluster_leaves_the_last_iteration(client, monkeypatch, error):
    """What the client raises where the scheduler is closed, and where it is killed."""
    model = GaussianMixture(2, random_state=0, tol=0, max_iter=10)

    def gather(*arguments, **settings):
        raise error

    def lose(result):
        if result.n_iter == 3:
            monkeypatch.setattr(client, "gather", gather)

    with (
        client.as_current(),
        pytest.raises(ConnectionError, match=r"the Dask cluster was lost.*last complete iteration"),
    ):
        model.fit(da.from_array(X, chunks=CHUNKS), callback=lose)
    assert (model.n_iter_, model.converged_) == (3, False)
    assert "the Dask cluster was lost" in model.stop_reason_


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: da.from_array(X[:, 0], chunks=100), "rows need two"),
        (lambda: da.from_array(X[:0], chunks=(1, 3)), "all chunks .* are empty"),
    ],
)
def test_bad_collections(make, words):
    with pytest.raises(ValueError, match=words):
        DaskBlocks.of(make())


def test_a_closed_client_is_said():
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        client = Client(cluster, set_as_default=False)
        blocks = DaskBlocks.of(da.from_array(X, chunks=CHUNKS), client=client)
        client.close()
        with pytest.raises(ValueError, match="the Dask client of these blocks is closed"):
            em(start(), blocks)


def test_a_model_that_workers_cannot_import_is_said(client, tmp_path, monkeypatch):
    """Dask's own unpacking would end one worker after the other."""
    (tmp_path / "only_here.py").write_text("class Model:\n    def e_step(self, X, sample_weight): ...\n")
    blocks = DaskBlocks.of(da.from_array(X, chunks=CHUNKS), client=client)
    monkeypatch.syspath_prepend(tmp_path)
    from only_here import Model

    with pytest.raises(ImportError, match=r"a Dask worker cannot import .*only_here.*client\.upload_file"):
        blocks.reduce(Model(), 1)
