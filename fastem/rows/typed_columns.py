"""What columns of a table hold, by their types: numbers; or text, dates or intervals, which are refused by name."""

from __future__ import annotations

import numpy as np

from fastem.errors import shown
from fastem.rows.objects import HOW_TO_CONVERT, HOW_TO_READ_TEXT, has_text, numbers_of

NOT_NUMBERS = ("str", "utf8", "dictionary", "large_string", "cat", "enum", "binary", "bytes", "list", "struct")
MOST_NAMED = 8  # columns in a message
SOME_OBJECTS = 1000  # rows of a frame that are looked at for text, before all are converted
TIMES = ("datetime", "timestamp", "date", "time", "timedelta", "duration", "period")
HOW_TO_LABEL = (
    "Labels are the numbers of components, whole numbers from 0 to n_components - 1, or -1 where not known: convert it "
    "first (names of classes: pandas.factorize)."
)


def is_time_type(kind) -> bool:
    """Whether the type of a column, of numpy, pandas, polars or Arrow, is one of dates, times or durations, or of
    categories of them."""
    categories = getattr(getattr(kind, "categories", None), "dtype", None)
    categories = getattr(kind, "value_type", None) if categories is None else categories  # of an Arrow dictionary
    if categories is not None:
        return is_time_type(categories)
    return getattr(kind, "kind", "") in ("M", "m") or str(kind).lower().startswith(TIMES)


def require_no_times(X):
    """ValueError at the first column of a table that holds dates, times or durations: as numbers they are a count of
    nanoseconds, or of whatever unit the table has."""
    for name, kind in typed_columns(X):
        if is_time_type(kind):
            raise ValueError(f"X must hold numbers, but column {name!r} holds {described(kind)}. {HOW_TO_CONVERT}")


def require_no_intervals(X):
    """ValueError at the first column of a table that holds intervals of pandas', as its cut makes them."""
    for name, kind in typed_columns(X):
        if described(kind).removeprefix("categories of ").startswith("interval"):
            raise ValueError(
                f"X must hold numbers, but column {name!r} holds {described(kind)}. Pass numbers as X, and the ends of "
                "the intervals (.left and .right) as lower= and upper=."
            )


def typed_columns(X) -> list[tuple]:
    """The names and types of the columns of a frame or an Arrow table; none of what has no types of columns."""
    schema = getattr(X, "schema", None)
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        return list(zip(X.columns, X.dtypes))
    if hasattr(schema, "names") and hasattr(schema, "types"):
        return list(zip(schema.names, schema.types))
    return []


def require_numbers_named(X, sides):
    """ValueError at the first column of a table that is named for something beside the values and holds no numbers.

    sides : {role: names of columns}
    """
    named = {name: role for role, names in sides.items() for name in names}
    if not named or hasattr(X, "collect_batches"):  # a lazy frame finds out its types anew each time
        return
    X = getattr(X, "_meta", X) if hasattr(X, "__dask_graph__") else X  # its columns without rows
    for place, (name, kind) in enumerate(typed_columns(X)):
        if name in named and (is_time_type(kind) or is_text(kind, X, place)):
            way = HOW_TO_CONVERT if is_time_type(kind) else HOW_TO_READ_TEXT
            way = HOW_TO_LABEL if named[name] == "labels" else way
            raise ValueError(f"{named[name]} names the column {name!r}, which holds {described(kind)}. {way}")


def require_no_text(X):
    """ValueError that names all columns of a frame that hold text, categories or lists: before they are converted,
    which takes long, and whether or not their text reads as numbers, as for files."""
    if not hasattr(X, "dtypes") or not hasattr(X, "columns"):
        return
    kinds = list(X.dtypes)
    text = [name for place, (name, kind) in enumerate(zip(X.columns, kinds)) if is_text(kind, X, place)]
    if not text:
        return
    numbers = [name for name in X.columns if name not in text]
    way = f"Choose the others, X[{numbers!r}]." if 0 < len(numbers) <= MOST_NAMED else "Choose others."
    raise ValueError(f"X must hold numbers, but {_text_in(text)} or categories. {way} {HOW_TO_READ_TEXT}")


def _text_in(columns) -> str:
    """What is wrong with columns of text, by their names or numbers."""
    several, more = len(columns) > 1, len(columns) - MOST_NAMED
    named = ", ".join(map(repr, columns[:MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
    return f"column{'s' * several} {named} hold{'s' * (not several)} text"


def is_text(kind, frame, place) -> bool:
    """Whether a column holds text, categories or something nested; of objects the first that is not missing says it."""
    categories = getattr(getattr(kind, "categories", None), "dtype", None)
    if categories is not None:
        return is_text(categories, None, place)
    if str(kind).lower() != "object":
        return str(kind).lower().startswith(NOT_NUMBERS)
    some = np.asarray(frame.iloc[:SOME_OBJECTS, place]) if hasattr(frame, "iloc") else ()
    return any(isinstance(value, (str, bytes)) for value in some)


def described(kind) -> str:
    """The type of a column, with that of its categories."""
    categories = getattr(getattr(kind, "categories", None), "dtype", None)
    return str(kind) if categories is None else f"categories of {categories}"


def require_no_text_objects(array, names):
    """ValueError that names the columns of an array of objects (n, d) in which there is a text, and shows the first."""
    columns = array.T if array.ndim == 2 else [array.ravel()]
    text = {j if names is None else names[j]: column for j, column in enumerate(columns) if has_text(column)}
    if text:
        first = next(value for value in next(iter(text.values())) if isinstance(value, (str, bytes)))
        raise ValueError(f"X must hold numbers, but {_text_in(list(text))} ({shown(first)}). {HOW_TO_READ_TEXT}")


def makes_objects(X) -> bool:
    """Whether X is a frame of pandas whose columns are all numbers of numpy, of Arrow or nullable, and of which numpy
    would make Python's objects first: slow, and several times as large as the numbers."""
    kinds = list(X.dtypes) if hasattr(X, "iloc") and hasattr(X, "columns") else []
    if not all(getattr(kind, "kind", "") in tuple("biuf") for kind in kinds):
        return False
    return any(hasattr(kind, "na_value") and not hasattr(kind, "fill_value") for kind in kinds)


def numbers_by_column(frame):
    """The columns of a frame of pandas as float64 (n, d), or float32 where all are, what is missing as NaN."""
    narrow = all((kind.kind, kind.itemsize) == ("f", 4) for kind in frame.dtypes)
    found = np.empty(frame.shape, np.float32 if narrow else np.float64)
    for j in range(frame.shape[1]):
        found[:, j] = frame.iloc[:, j].to_numpy(found.dtype, na_value=np.nan)
    return found


def numbers_of_columns(array, names):
    """An array of objects (n, d) as float64; ValueError or TypeError at the first column that holds something else."""
    found = np.empty(array.shape)
    for j, column in enumerate(array.T):
        try:
            found[:, j] = numbers_of(column)
        except (TypeError, ValueError) as error:
            name = j if names is None else repr(names[j])
            raise type(error)(f"X must hold numbers, but column {name} {error}") from error
    return found
