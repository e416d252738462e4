"""Spark MLlib's GaussianMixture, in this process's own Spark: full covariances, a start that it draws from its seed.

The rows are a cached DataFrame in as many partitions as there are threads; they are loaded once, before what is timed.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.metadata import version as installed_version

import numpy as np

PACKAGE = "pyspark"
COVARIANCES = ()  # takes no start, so no part in the problems of all
INSTALL = "pip install '.[spark]', and Java 17 or later"
SEED = 0
CONFIGURATION = {
    "spark.driver.memory": "4g",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.python.unix.domain.socket.enabled": "true",  # for fastem's tasks: each waits 40 ms for TCP else
}
_frames = []  # the last rows that were asked for, and their DataFrame


def available() -> bool:
    return importlib.util.find_spec("pyspark") is not None


def version() -> str:
    return installed_version("pyspark")


@cache
def session(n_threads):
    """Spark in this process, on so many threads."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{n_threads}]")
    for name, value in CONFIGURATION.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def frame(X, n_threads):
    """The rows as a cached DataFrame of vectors."""
    if not _frames or _frames[0] is not X:
        import pyarrow
        from pyspark.ml.functions import array_to_vector

        ends = np.arange(0, X.size + 1, X.shape[1], dtype=np.int32)
        rows = pyarrow.table({"row": pyarrow.ListArray.from_arrays(ends, X.ravel())})
        vectors = session(n_threads).createDataFrame(rows).select(array_to_vector("row").alias("features"))
        vectors = vectors.coalesce(n_threads).cache()
        vectors.count()
        _frames[:] = [X, vectors]
    return _frames[1]


def drawn_start(problem, X, n_threads):
    """Weights, means and covariances from which `fit` starts."""
    return fit(problem, X, None, 0, n_threads)


def fit(problem, X, start, iterations, n_threads):
    """EM from the start that MLlib draws: `start` says the same, for the others."""
    from pyspark.ml.clustering import GaussianMixture

    rows = frame(X, n_threads)  # before the model, which needs a running Spark
    model = GaussianMixture(k=problem.K, maxIter=iterations, tol=0, seed=SEED).fit(rows)
    if model.summary.numIter != iterations:
        raise RuntimeError(f"Spark ran {model.summary.numIter} iterations where {iterations} were asked for")
    gaussians = model.gaussians
    return (
        np.array(model.weights),
        np.array([one.mean.toArray() for one in gaussians]),
        np.array([one.cov.toArray() for one in gaussians]),
    )
