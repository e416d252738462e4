"""Frames of kinds that have no reader here, by narwhals. The only file that imports it, an optional requirement."""

from __future__ import annotations

from typing import Any

HOW_ELSE = "or pass a frame of pandas or polars, or an Arrow table: most kinds have to_pandas, to_polars or to_arrow"


def known_frame(X) -> Any:
    """The frame of pandas, of polars or of Arrow with the rows of any frame that narwhals reads.

    Raises
    ------
    ImportError
        narwhals is not installed.
    TypeError
        It does not read X.
    """
    kind = f"{type(X).__module__.partition('.')[0]}.{type(X).__name__}"
    try:
        import narwhals.stable.v1 as narwhals
    except ImportError as error:
        raise ImportError(
            f"X is a {kind}, which is read by narwhals ({error}): pip install narwhals; {HOW_ELSE}."
        ) from error
    try:
        frame = narwhals.from_native(X)
    except TypeError:
        raise TypeError(f"X is a {kind}, which neither fastem nor narwhals reads: pass an array, {HOW_ELSE}.") from None
    native = frame.to_native()
    if native is not X:  # it was a frame of narwhals' own
        return native
    return frame.collect().to_native() if isinstance(frame, narwhals.LazyFrame) else frame.to_pandas()
