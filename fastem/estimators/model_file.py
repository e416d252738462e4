"""Fitted estimators in files: an ``.npz`` with the arrays and one JSON text that describes them.

Such a file contains no code, and nothing is unpickled. An estimator says what is saved: ``_saved_arrays`` and
``_saved_scalars`` name its attributes, ``get_params()`` its parameters, and ``_restore()`` rebuilds the model from the
arrays and refuses arrays that make none.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fastem.driver.atomic_write import written_whole
from fastem.errors import warn

FORMAT = "fastem model"
FORMAT_VERSION = 1
HEADER = "fastem.json"
SMALL = 1 << 28  # bytes that a compressed file may unpack to
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Write a fitted estimator to a file.

    The file is never incomplete: it is written under another name and then moved.

    Parameters
    ----------
    estimator : any of fastem's
        Fitted.
    path : str or path-like
        Used as it is; no suffix is added. An existing file is replaced, and its mode is kept; a symbolic link stays,
        and its target is replaced.

    Warns
    -----
    UserWarning
        For parameters that a file cannot contain, such as functions and random generators: they are saved as their
        default values.

    Examples
    --------
    >>> import tempfile, os, fastem
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = fastem.GaussianMixture(2, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     model.save(path)
    ...     again = fastem.load(path)
    >>> bool((again.predict(X) == model.predict(X)).all())
    True
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"cannot save to {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise ValueError(f"cannot save to {path}: it is a folder. Name a file in it.")
    if type(estimator).__module__.partition(".")[0] != "fastem" or not estimator._saved_arrays:
        raise ValueError(
            f"a {type(estimator).__name__} cannot be saved, because fastem.load does not know it. Use pickle instead."
        )
    if estimator.__sklearn_is_fitted__():
        estimator._require_savable()
    present = [name for name in estimator._saved_arrays if getattr(estimator, name, None) is not None]
    if not present:
        raise ValueError(f"this {type(estimator).__name__} is not fitted yet. Call fit before save.")
    arrays = {name: _writable(getattr(estimator, name)) for name in present}
    parameters, parameter_arrays = _split_parameters(estimator._saved_parameters(), estimator._defaults())
    arrays |= parameter_arrays
    for name, array in arrays.items():
        problem = _problem(array)
        if problem:
            raise ValueError(f"cannot save {name}: it {problem}")
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "fastem": _installed(),
        "class": type(estimator).__name__,
        "parameters": parameters,
        "attributes": {name: getattr(estimator, name) for name in estimator._saved_scalars if hasattr(estimator, name)},
        "arrays": {name: {"shape": list(a.shape), "dtype": a.dtype.str} for name, a in arrays.items()},
        "array_parameters": list(parameter_arrays),
    }
    _write(path, {HEADER: np.array(json.dumps(header, default=_as_python)), **arrays})


def _split_parameters(
    parameters: dict[str, Any], defaults: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The constructor's parameters: those that JSON can contain, and arrays; of others their defaults."""
    plain, arrays = {}, {}
    for name, value in parameters.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            arrays[name] = value
            continue
        try:
            json.dumps(value, default=_as_python)
        except TypeError:
            warn(
                f"the parameter {name} is a {type(value).__name__}, which a file cannot contain. It is saved as its "
                f"default, {defaults[name]!r}. Set it again after loading if you want to fit.",
                UserWarning,
            )
            value = defaults[name]
        plain[name] = value
    return plain, arrays


def _as_python(value: Any) -> Any:
    """NumPy's numbers as Python's, and names of columns as a list, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":  # inside a dict or a list
        return value.tolist()
    names = value.tolist() if hasattr(value, "tolist") else None
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    raise TypeError(f"JSON cannot contain a {type(value).__name__}")


def _writable(array: Any) -> np.ndarray:
    """The array; names, which estimators keep as objects, become text, which needs no pickle."""
    array = np.asarray(array)
    holds_names = array.dtype == object and all(isinstance(name, str) for name in array.flat)
    return array.astype(str) if holds_names else array


def _write(path: Path, entries: dict[str, np.ndarray]) -> None:
    """The entries as an npz file that appears at once."""
    with written_whole(path) as beside, open(beside, "wb") as file:
        np.savez(file, **entries)


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and all arrays of a model file."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a model file: not an npz archive, or an incomplete one. Save the model again.")
    try:
        _require_true_sizes(path)
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            entries = {name: file[name] for name in file.files}
    except Exception as error:  # zip, zlib and numpy have some ten kinds of complaint about damaged bytes
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}). Save the model again.") from error
    if HEADER not in entries:
        raise ValueError(f"{path} is not a model file: it contains {', '.join(entries) or 'nothing'} and no {HEADER}")
    try:
        header = json.loads(str(entries.pop(HEADER)))
        format_name, format_version = header["format"], header["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a model file: its {HEADER} cannot be read ({error!r})") from None
    if format_name != FORMAT:
        raise ValueError(f"{path} is not a model file: its format is {format_name!r}, not {FORMAT!r}")
    if format_version != FORMAT_VERSION:
        raise ValueError(
            f"{path} has version {format_version!r} of the format, written by fastem {header.get('fastem')}; "
            f"fastem {_installed()} reads version {FORMAT_VERSION}"
        )
    return header, entries


def _require_true_sizes(path: Path) -> None:
    """ValueError where the entries of an npz file, unpacked, are not as large as their own headers and the file say.

    Only the headers are read, so that a small file cannot fill the memory.
    """
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > max(SMALL, path.stat().st_size):
            raise ValueError(f"its entries unpack to {unpacked} bytes, but models are stored without compression")
        for entry in archive.infolist():
            with archive.open(entry) as file:
                read_header = HEADERS.get(np.lib.format.read_magic(file))
                if read_header is None:
                    raise ValueError(f"{entry.filename} has an unknown version of numpy's format")
                shape, _, dtype = read_header(file)
                size = file.tell() + math.prod(shape) * dtype.itemsize
                if size != entry.file_size and not dtype.hasobject:  # which numpy refuses to unpickle
                    raise ValueError(f"{entry.filename} has {entry.file_size} bytes, which is not an array of {shape}")


def _installed() -> str:
    """The version of fastem."""
    from importlib.metadata import version  # slow to import

    return version("fastem")


def check_arrays(declared: dict[str, dict[str, Any]], arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError where arrays are not those that the header declares."""
    if set(declared) != set(arrays):
        raise ValueError(f"its header declares {listed(declared)}, but it contains {listed(arrays)}")
    for name, array in arrays.items():
        shape, dtype = tuple(declared[name]["shape"]), declared[name]["dtype"]
        if array.shape != shape or array.dtype.str != dtype:
            raise ValueError(
                f"{name} has shape {array.shape} and dtype {array.dtype.str}, but its header declares {shape}, {dtype}"
            )
        problem = _problem(array)
        if problem:
            raise ValueError(f"{name} {problem}")


def _problem(array: np.ndarray) -> str | None:
    """Why an array cannot be in a model file, or None."""
    if array.dtype.kind not in "fiubU":
        return f"contains {array.dtype}, which is neither real numbers nor names"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        return f"contains {array[place]} at {place}, but all values must be finite"
    return None


def listed(names: Any) -> str:
    return ", ".join(sorted(map(str, names))) or "nothing"
