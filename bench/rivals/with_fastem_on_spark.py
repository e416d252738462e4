"""fastem's GaussianMixture on a Spark frame, in a session as MLlib's: the frame is opened before what is timed."""

from __future__ import annotations

import os
import sys

from bench.rivals import with_spark
from bench.rivals.estimator import parameters_after
from bench.rivals.with_spark import INSTALL, available, version

__all__ = ["COVARIANCES", "INSTALL", "PACKAGE", "available", "fit", "version"]

PACKAGE = "fastem"
COVARIANCES = ()  # its part is in `spark` alone
_blocks = []  # the last rows that were asked for, and their blocks


def blocks(X, n_threads):
    """The rows as blocks that Spark's executors keep, from a cached DataFrame of columns."""
    if not _blocks or _blocks[0] is not X:
        import pyarrow

        import fastem

        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        columns = pyarrow.table({f"x{i}": column for i, column in enumerate(X.T)})
        frame = with_spark.session(n_threads).createDataFrame(columns).coalesce(n_threads).cache()
        _blocks[:] = [X, fastem.open_rows(frame)]
    return _blocks[1]


def fit(problem, X, start, iterations, n_threads):
    """EM from the given start."""
    import fastem

    model = fastem.GaussianMixture(**problem.settings(start, iterations))
    return parameters_after(iterations, model, blocks(X, n_threads))
