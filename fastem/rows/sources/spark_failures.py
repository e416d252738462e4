"""What goes wrong with Spark, as sentences."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import contextmanager

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

WHAT = "the Spark frame"
AN_ARRAY = (
    "X is a Spark frame, whose rows have no order that an array could follow: {} must be the name of a column, not an "
    "array."
)
CAUSE = re.compile(r"^(?:\w+\.)*(ModuleNotFoundError|ImportError|AttributeError|ValueError|TypeError): (.+)$", re.M)


@contextmanager
def failure(translated: Callable):
    """Where Spark fails, the error translated(text, cause), or Spark's own if that is None; the cause is the last error
    of Python, (type, message), if there is one. ImportError where the executors lack a package."""
    try:
        yield
    except (Py4JError, PySparkException, OSError, EOFError) as error:
        text = str(error)
        kind, message = ([("", "")] + CAUSE.findall(text))[-1]
        if kind in ("ModuleNotFoundError", "ImportError", "AttributeError"):
            raise ImportError(
                f"a Spark executor cannot import what the driver sent ({message}): install it there "
                "(PYSPARK_PYTHON says which Python that is), or send it with SparkContext.addPyFile."
            ) from error
        told = translated(text, (kind, message))
        if told is None:
            raise
        raise told from error


def lost(text, cause):
    """In the middle of a pass."""
    return ConnectionError(
        f"Spark failed in the middle of a pass ({_sentence(text)}). Make the frame again, in another session if this "
        "one is gone; an estimator keeps its last complete iteration, from which a fit with warm_start=True goes on."
    )


def unreadable(text, cause):
    """When the rows were read for the first time."""
    return ValueError(f"{WHAT} cannot be read: {_sentence(text)}")


def of_rows(text, cause):
    """What was wrong with the rows, if that was it."""
    return ValueError(cause[1]) if cause[0] in ("ValueError", "TypeError") else None


def _sentence(text):
    """The line of Java's and Python's traces that says most."""
    lines = [line.strip(" :") for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "Exception: " in line), (lines or ["no message"])[0])[:400]


def require_classic(frame):
    """TypeError at a frame of Spark Connect, which has no partitions to its client."""
    if ".connect." in type(frame).__module__:
        raise TypeError(
            "X is a frame of Spark Connect, whose client cannot keep blocks of rows on the executors. Fit in a classic "
            "session, SparkSession.builder.master(...), or write the frame to Parquet and pass the path."
        )


def is_open(context) -> bool:
    """Whether Spark still runs; pyspark itself asks its context so."""
    return getattr(context, "_jsc", None) is not None
