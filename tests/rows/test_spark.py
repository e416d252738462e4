"""Spark frames: a wider sum as well; and what goes wrong there is said here, in a sentence."""

import gc
import glob
import os
import shutil
import signal

import numpy as np
import pytest
from models import MODELS
from spark_session import frame_of, spark_session
from test_readme import BLOCKS

from fastem import GaussianMixture, OutlierDetector, PoissonMixture, em, open_rows, select, write_predictions
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 3)) + 5 * RNG.integers(0, 2, (3000, 1))


@pytest.fixture(scope="module")
def spark():
    with spark_session() as session:
        yield session


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks in a partition; the function travels with what it is called by."""
    pytest.importorskip("pyspark")
    monkeypatch.setattr("fastem.rows.sources.spark_frame.block_rows", lambda n_features: 400)


def start():
    means = np.array([[0.0, 0.0, 0.0], [5.0, 6.0, 7.0]])
    covariances = np.array([np.eye(3), 2 * np.eye(3)])
    return Mixture(np.array([0.4, 0.6]), Gaussian(means, Full.from_covariances(covariances, np.zeros(3)), np.zeros(3)))


def bits(result):
    return result.statistics.vector.tobytes(), result.history


def passes(rows, **settings):
    return em(start(), rows, tol=0, max_iter=4, **settings)


def column(frame, name):
    return np.array([row[0] for row in frame.select(name).collect()])


def test_a_fit_starts_and_scores_there(spark):
    frame = frame_of(spark, X)
    model = GaussianMixture(2, random_state=0).fit(frame)
    expected = GaussianMixture(2, random_state=0).fit(X)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    assert np.allclose(model.means_, expected.means_, rtol=1e-9)
    assert np.isclose(model.score(frame), expected.score(X), rtol=1e-12)
    assert np.isclose(model.bic(frame), expected.bic(X), rtol=1e-12)
    labels = model.predict(frame)  # lazy, beside the columns of the frame
    assert labels.columns == ["a", "b", "c", "label"]
    assert (column(labels, "label") == expected.predict(X)).all()
    assert np.allclose(column(model.score_samples(frame), "log_density"), expected.score_samples(X), rtol=1e-12)
    assert np.allclose(column(model.predict_proba(frame), "probabilities"), expected.predict_proba(X), rtol=1e-9)


def test_outliers_and_merged_clusters_are_told_there(spark):
    frame = frame_of(spark, X)
    model = GaussianMixture(4, random_state=0).fit(X)
    detector, merging = OutlierDetector(GaussianMixture(2), contamination=0.1).fit(X), model.merge_components(X)
    assert (column(model.is_outlier(frame, 0.01), "outlier") == model.is_outlier(X, 0.01)).all()
    assert (column(detector.predict(frame), "label") == detector.predict(X)).all()
    assert np.allclose(column(detector.decision_function(frame), "decision"), detector.decision_function(X))
    assert (column(merging.predict(frame, 2), "label") == merging.predict(X, 2)).all()
    assert np.allclose(column(merging.predict_proba(frame, 2), "probabilities"), merging.predict_proba(X, 2))


def test_any_share_of_the_partitions_gives_the_same_bits(spark):
    """As many blocks as the array has give its bits, whatever runs where; and a file that is gone is read again."""
    blocks = open_rows(frame_of(spark, X))
    assert blocks.n_rows == 3000 and [len(lengths) for lengths in blocks._lengths] == [3, 3, 3]

    def lose(result):
        scratch = os.path.dirname(os.path.dirname(next(iter(blocks._files.collect()[0]))[0]))
        for folder in glob.glob(os.path.join(scratch, "fastem-*")):
            shutil.rmtree(folder)

    whole, lost = passes(blocks), passes(open_rows(frame_of(spark, X)))
    assert bits(whole) == bits(lost) == bits(passes(blocks, callback=lose))
    assert np.allclose(whole.statistics.vector, passes(X).statistics.vector, rtol=1e-11)


def test_files_that_are_no_longer_used_go_with_the_next_frame(spark):
    blocks = open_rows(frame_of(spark, X[:50]))
    folders = {os.path.dirname(name) for files in blocks._files.collect() for name, _ in files}
    assert folders and all(map(os.path.isdir, folders))
    del blocks
    gc.collect()
    open_rows(frame_of(spark, X[:50]))
    assert not any(map(os.path.exists, folders))


def test_a_task_carries_neither_the_plan_of_the_frame_nor_its_rows(spark):
    """They cost more than EM's own work. What Spark loses with an executor is made again."""
    frame = frame_of(spark, X)
    blocks = open_rows(frame)
    assert "SQL" in open_rows(frame)._rows_anew.toDebugString().decode()
    assert "SQL" not in blocks._files.toDebugString().decode()
    lost = []

    def lose(result):
        if not lost:
            lost.append(blocks._files)
            lost[0]._jrdd.rdd().unpersist(True)

    assert bits(passes(blocks, callback=lose)) == bits(passes(open_rows(frame)))
    assert lost[0] is not blocks._files


def test_a_worker_looks_through_its_objects_once(monkeypatch):
    """For 50 ms, or 5 where it counts them, of a pass that takes 20."""
    pytest.importorskip("pyarrow")
    from fastem.rows.sources import spark_partitions

    called = []
    for name in ("freeze", "get_freeze_count"):
        monkeypatch.setattr(spark_partitions.gc, name, lambda name=name: called.append(name))
    spark_partitions.keep_modules.cache_clear()
    for _ in range(2):
        assert list(spark_partitions.run(lambda index, blocks: index, 3, iter([]))) == [(3, [], 3, None)]
    assert called == ["freeze"]
    spark_partitions.keep_modules.cache_clear()


def test_a_worker_that_is_killed_costs_time_only(spark):
    blocks, killed = open_rows(frame_of(spark, X)), []

    def kill(result):
        if not killed:
            killed.extend(set(blocks._of_partitions(lambda index, blocks: os.getpid())))
            os.kill(killed[0], signal.SIGKILL)

    assert bits(passes(blocks, callback=kill)) == bits(passes(blocks))
    assert killed


def test_rows_that_spark_keeps_encrypted_are_never_in_files_of_ours(spark, monkeypatch):
    frame = frame_of(spark, X)
    expected = bits(passes(open_rows(frame)))
    settings = spark.sparkContext.getConf().set("spark.io.encryption.enabled", "true")
    monkeypatch.setattr(spark.sparkContext, "getConf", lambda: settings)
    blocks = open_rows(frame)
    assert blocks._files is None and bits(passes(blocks)) == expected


def test_weights_and_side_columns_by_name(spark):
    weight = RNG.integers(0, 3, len(X)).astype(float)
    error = RNG.uniform(0.1, 0.5, X.shape)
    wide = np.column_stack([X, weight, error])
    frame = frame_of(spark, wide, ["a", "b", "c", "w", "e.1", "e.2", "e.3"])
    plain = frame.select("a", "b", "c", "w")
    settings = {"random_state": 0, "max_iter": 3, "tol": 0}
    model = GaussianMixture(2, **settings).fit(plain, sample_weight="w")
    expected = GaussianMixture(2, **settings).fit(X, sample_weight=weight)
    assert np.allclose(model.history_, expected.history_, rtol=1e-10)
    assert np.isclose(model.score(plain, sample_weight="w"), expected.score(X, sample_weight=weight), rtol=1e-10)
    errors = ["e.1", "e.2", "e.3"]
    model = GaussianMixture(2, **settings).fit(frame, sample_weight="w", errors=errors)
    expected = GaussianMixture(2, **settings).fit(X, sample_weight=weight, errors=error)
    assert np.allclose(model.history_, expected.history_, rtol=1e-9)
    assert (model.predict(frame.drop("w"), errors=errors) == expected.predict(X, errors=error)).all()
    for given in ({"sample_weight": weight}, {"errors": error}, {"covariates": error}):
        with pytest.raises(TypeError, match=r"Spark frame.* must be the name of a column, not an array"):
            GaussianMixture(2).fit(plain, **given)
    frame = frame_of(spark, np.column_stack([X[:, 0], X[:, 0] - 0.5, X[:, 0] + 0.5, X[:, 1]]), ["a", "l", "u", "z"])
    bounded = GaussianMixture(2, **settings).fit(frame.drop("z"), lower="l", upper="u")
    assert np.isfinite(bounded.history_).all()
    gated = GaussianMixture(2, **settings).fit(frame.select("a", "z"), covariates="z")
    assert np.allclose(gated.history_, GaussianMixture(2, **settings).fit(X[:, :1], covariates=X[:, 1]).history_)


def test_predictions_are_written_there(spark, tmp_path):
    frame = frame_of(spark, np.column_stack([np.arange(len(X)), X]), ["key", "a", "b", "c"])
    model = GaussianMixture(2, random_state=0).fit(frame.drop("key"))
    path = tmp_path / "labels.parquet"
    write_predictions(model, frame, path, probabilities=True, outliers=0.01)
    read = spark.read.parquet(str(path)).orderBy("key")
    more = ["label", "probability", "log_density", "probability_0", "probability_1", "outlier"]
    assert read.columns == ["key", "a", "b", "c", *more]
    assert (column(read, "label") == model.predict(frame.toPandas()[["a", "b", "c"]])).all()
    assert 0 < column(read, "outlier").sum() < 100
    with pytest.raises(TypeError, match="all of whose columns are written"):
        write_predictions(model, frame, tmp_path / "x.parquet", keep={"key": []})
    with pytest.raises(ValueError, match=r"must end in \.parquet"):
        write_predictions(model, frame, tmp_path / "x.json")
    with pytest.raises(ValueError, match="has no column 'c', which the model needs"):
        write_predictions(model, frame.drop("c"), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="has a column 'label', as the result would"):
        model.predict(model.predict(frame))
    bad = X.copy()
    bad[2500, 1] = np.inf
    with pytest.raises(ValueError, match=r"partition 2 of the Spark frame, rows from 0 on: .*infinity.* row 500.*'b'"):
        write_predictions(model, frame_of(spark, bad), tmp_path / "bad.parquet")


def test_what_is_wrong_with_the_rows_is_named(spark):
    bad = X.copy()
    bad[2345, 2] = np.inf
    with pytest.raises(ValueError, match="the first is at row 345 of partition 2 of the Spark frame, column 'c'"):
        GaussianMixture(2).fit(frame_of(spark, bad))
    weight = np.ones(len(X))
    weight[1000] = -1
    with pytest.raises(ValueError, match="but row 0 of partition 1 of the Spark frame, column 'c' is -1"):
        GaussianMixture(2).fit(frame_of(spark, np.column_stack([X[:, :2], weight])), sample_weight="c")
    with pytest.raises(ValueError, match="X must hold counts"):
        PoissonMixture(2).fit(frame_of(spark, -X))
    frame = spark.range(4).selectExpr("id", "'x' as t", "current_date() as d", "array(1.0, 2.0) as v")
    for name, words in [
        ("t", r"column 't' holds values of type string, not numbers; choose the numeric columns: X.select\(\['id'\]\)"),
        ("d", "column 'd' holds values of type date. A date or a duration"),
        ("v", "column 'v' holds values of type array.* a column of its own"),
    ]:
        with pytest.raises(ValueError, match=words):
            open_rows(frame.select("id", name))
    assert open_rows(frame, columns=["id"]).n_rows == 4
    with pytest.raises(ValueError, match="there are no rows in the Spark frame"):
        open_rows(spark.range(0))
    with pytest.raises(ValueError, match="several columns named 'id'"):
        open_rows(frame.select("id", "id"))
    with pytest.raises(ValueError, match=r"the Spark frame cannot be read: .*DIVIDE_BY_ZERO"):
        open_rows(frame.selectExpr("1 / (id - id) as a"))


def test_null_is_a_missing_value_and_float_stays_float(spark):
    frame = spark.range(6).selectExpr("cast(if(id = 3, null, id) as float) as a", "cast(id as float) as b")
    blocks = open_rows(frame)
    assert blocks.dtype == np.float32 and [len(X) for X, _ in blocks]
    assert np.array_equal(np.concatenate([X for X, _ in blocks])[:, 0], [0, 1, 2, np.nan, 4, 5], equal_nan=True)
    assert blocks.head(2).shape == (2, 2)
    assert open_rows(frame.selectExpr("a", "cast(b as decimal(5, 2)) as b")).dtype == np.float64


def test_a_model_that_executors_cannot_import_is_said(spark, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("class Model:\n    def e_step(self, X, sample_weight): ...\n")
    blocks = open_rows(frame_of(spark, X))
    monkeypatch.syspath_prepend(tmp_path)
    from only_here import Model

    with pytest.raises(ImportError, match=r"a Spark executor cannot import .*only_here.*addPyFile"):
        blocks.reduce(Model(), 1)


def test_a_task_that_fails_for_good_leaves_the_last_iteration(spark):
    """Whatever its worker dies of; a model's own error arrives as it is."""

    class Deadly:
        def e_step_of_block(self, X, sample_weight, n_threads, kept):
            os.kill(os.getpid(), signal.SIGKILL)

    class Wrong:
        def e_step_of_block(self, X, sample_weight, n_threads, kept):
            raise ZeroDivisionError("of the model")

    blocks = open_rows(frame_of(spark, X))
    with pytest.raises(ConnectionError, match=r"Spark failed in the middle of a pass \(.*warm_start=True"):
        blocks.reduce(Deadly(), 1)
    with pytest.raises(ZeroDivisionError, match="of the model"):
        blocks.reduce(Wrong(), 1)


def test_rows_that_change_are_said(spark, tmp_path):
    blocks = open_rows(frame_of(spark, X))
    blocks._lengths[1][0] -= 1
    with pytest.raises(ValueError, match=r"partition 1 of the Spark frame had 999 rows at first and 1000 when Spark"):
        blocks.reduce(start(), 1)


@pytest.mark.parametrize("family", MODELS[::3], ids=str)
def test_families_are_fitted_there(spark, family):
    """What it checks and examines travels to the executors."""
    rows = family.data(200)
    frame = frame_of(spark, rows, [f"x{i}" for i in range(rows.shape[1])], 2)
    found = family.make(2, random_state=0, max_iter=2).fit(frame)
    assert np.allclose(found.history_, family.make(2, random_state=0, max_iter=2).fit(rows).history_, rtol=1e-9)


def test_a_checkpoint_is_resumed_and_models_are_selected(spark, tmp_path):
    frame, path = frame_of(spark, X), tmp_path / "fit.npz"
    settings = {"random_state": 0, "tol": 0}
    GaussianMixture(2, max_iter=2, **settings).fit(frame, checkpoint=path, checkpoint_seconds=0)
    resumed = GaussianMixture(2, max_iter=4, **settings).fit(frame, checkpoint=path, resume=True)
    assert resumed.history_ == GaussianMixture(2, max_iter=4, **settings).fit(frame).history_
    found = select(frame, n_components=[1, 2], covariance_types=["spherical"], random_state=0)
    assert found.best.n_components == 2


@pytest.mark.filterwarnings("ignore")
def test_the_example_of_the_site_runs(spark, tmp_path):
    frame_of(spark, np.column_stack([X, np.ones(len(X))])[:500], "abcw").write.parquet(f"{tmp_path}/rows")
    (text,) = (text for text in BLOCKS if "labelled" in text)
    for name in ("rows/", "labels.parquet"):  # Java has a working folder of its own
        text = text.replace(f'"{name}"', repr(f"{tmp_path}/{name}"))
    names = {"spark": spark}
    exec(text, names)
    assert names["labelled"].columns == ["a", "b", "c", "w", "label"]
    assert spark.read.parquet(f"{tmp_path}/labels.parquet").count() == 500


def test_a_stopped_session_is_said(spark):
    """The last of these tests, because it stops the session."""
    frame = frame_of(spark, X)
    blocks = open_rows(frame)
    model = GaussianMixture(2, random_state=0, tol=0, max_iter=10)

    def stop(result):
        if result.n_iter == 3:
            spark.stop()

    with pytest.raises(ValueError, match="the Spark session of these rows is stopped"):
        model.fit(frame, callback=stop)
    assert (model.n_iter_, model.converged_) == (3, False)
    for use in (lambda: blocks.reduce(start(), 1), lambda: open_rows(frame)):
        with pytest.raises(ValueError, match="the Spark session of these rows is stopped"):
            use()
