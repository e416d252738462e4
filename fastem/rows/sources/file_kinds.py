"""Which files hold rows, by their names: those that are named, and those in folders."""

from __future__ import annotations

from pathlib import Path

from fastem.datasets import SHIPPED
from fastem.rows.sources.text_files import COMPRESSED, TEXT_SUFFIXES, is_text_file

SHEET = "Save the sheet as CSV, or in Python pass pandas.read_excel(path), or write it with its to_csv or to_parquet."
WAYS = {  # of other kinds, how to get at their rows
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"), SHEET),
    ".json": "Write it as CSV or Parquet, with pandas.read_json(path).to_parquet(...).",
    ".npz": "Save one array of it with numpy.save, as .npy.",
}
ARROW_KINDS = {".parquet": "parquet", ".pq": "parquet", ".feather": "ipc", ".arrow": "ipc"}
PACKED = (*COMPRESSED, ".bz2", ".xz", ".zip", ".lz4", ".snappy")


def read_files(given: list[Path]) -> tuple[list[Path], str]:
    """The files at all these paths that hold rows, and their kind: see :func:`kind_of`. In folders, files of kinds that
    fastem does not read are left out; files that are named are not."""
    files = []
    for path in given:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        for file in files_in(path):
            if file == path or (file.suffix.lower() in PACKED and kind_of(Path(file.stem)) is not None):
                require_known(file)
            files.append(file)
    known = [file for file in files if kind_of(file) is not None]
    kinds = sorted({kind_of(file) for file in known})
    if len(kinds) != 1:
        several = f"several kinds of files ({', '.join(kinds)})"
        raise ValueError(
            f"{', '.join(map(str, given[:3]))}: found {several if kinds else 'no file that fastem reads'}; give files "
            "of one kind: Parquet, Feather, CSV or .npy"
        )
    return known, kinds[0]


def kind_of(file: Path) -> str | None:
    """The kind of a file by its name: csv, npy, parquet or ipc, which is Arrow. None: fastem does not read it."""
    if is_text_file(file):
        return "csv"
    return "npy" if file.suffix.lower() == ".npy" else ARROW_KINDS.get(file.suffix.lower())


def files_in(path: Path) -> list[Path]:
    """A file itself; of a folder all files below it, sorted, without hidden ones."""
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
    )


def require_known(path: Path) -> None:
    """An error where there is no such file, or where fastem does not read its kind, or where it is empty."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file, nor a shipped data set ({', '.join(SHIPPED)})")
    if path.suffix.lower() in WAYS:
        raise ValueError(f"{path}: fastem does not read this kind of file. {WAYS[path.suffix.lower()]}")
    if kind_of(path) is None:
        known = ", ".join((*TEXT_SUFFIXES, ".npy", *ARROW_KINDS))
        ending = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise ValueError(f"{path} has {ending}; fastem reads {known}, and text in .gz, .zst")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; it needs at least one row of numbers")
