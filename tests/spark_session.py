"""A Spark of this machine's own for tests: two tasks at a time, each of which may fail once."""

import os
import shutil
import sys
from contextlib import contextmanager

import pytest

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    "spark.python.unix.domain.socket.enabled": "true",
}


@contextmanager
def spark_session(master="local[2, 2]", **settings):
    """A running session; the test is skipped where pyspark or Java is missing."""
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17 or later, and there is no java here")
    before = dict(os.environ)
    os.environ |= {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONSAFEPATH": "1",  # the installed package, not the checkout where pytest runs
    }
    builder = sql.SparkSession.builder.master(master)
    for name, value in (SETTINGS | settings).items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    try:
        session.sparkContext.setLogLevel("OFF")
        yield session
    finally:
        session.stop()
        os.environ.clear()
        os.environ.update(before)


def frame_of(session, X, names="abc", n_partitions=3, kind="double"):
    """The rows of an array in their order, in this many partitions."""
    schema = ", ".join(f"`{name}` {kind}" for name in names)
    return session.createDataFrame(session.sparkContext.parallelize(X.tolist(), n_partitions), schema)
