"""Tables in text files: the first lines show delimiter and header.

numpy's C reader reads the numbers. Only if it fails, the file is read again line by line, which finds missing values
(they become NaN) or the line and column of the error. So the common case is fast and the rare one exact.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from fastem.errors import warn
from fastem.rows.sources.columns import column_place, numbered_names, suggest_columns

__all__ = ["COMPRESSED", "MISSING", "TEXT_SUFFIXES", "DelimitedFile", "is_text_file"]

COMPRESSED = (".gz", ".zst")  # suffixes behind those of text
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".data")
DELIMITERS = (",", ";", "\t", "|", None)  # None: any run of blanks; it comes last because tabs are blanks too
MISSING = {"", "na", "n/a", "nan", "null"}
SAMPLE_LINES = 100
BLOCK = 1 << 16  # lines that are read at a time where numpy does not read the file itself
FEW = 5  # rows, below which a column may count by chance
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*")
COMMENT_SIGN = re.compile(r"#+ *(?=[^\s,;])")  # numpy.savetxt writes its header as a comment: "# a b"
ERROR_CODE = re.compile(r"\s*#(N/?A|GETTING_DATA|[A-Z][A-Z0-9/_]*[!?])\s*")  # of a spreadsheet, as "#N/A", "#DIV/0!"


def is_text_file(path: Path) -> bool:
    """Whether a file is one of text by its name, compressed or not."""
    suffix = Path(path.stem).suffix if path.suffix.lower() in COMPRESSED else path.suffix
    return suffix.lower() in TEXT_SUFFIXES


class DelimitedFile:
    """A text file with one row of numbers a line.

    Attributes
    ----------
    header : list of str, or None
        The fields of the first line where it names the columns, or numbers them 0, 1, ... behind the index of pandas.
    names : list of str
        From the header, or ``x0, x1, ...`` where there is none or it numbers them.
    delimiter : str or None
        ``None`` stands for any run of blanks.
    skipped_lines : int
        Lines before the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = list(islice(self._lines(), SAMPLE_LINES))
        if not lines:
            raise ValueError(f"{path} holds blank lines only; it needs at least one row of numbers")
        self.has_comments = any(text.lstrip().startswith("#") for _, text in lines)
        first = lines[0] if COMMENT_SIGN.match(lines[0][1]) else None
        lines = [(number, text) for number, text in lines if not text.lstrip().startswith("#")]
        if not lines:
            raise ValueError(f"{path} holds only a header ({lines_of(first)}); it needs a row of numbers too")
        commented = first is not None and _is_header_of(first[1], [text for _, text in lines])
        if commented:
            lines.insert(0, (first[0], first[1][COMMENT_SIGN.match(first[1]).end() :]))
        numbers, texts = map(list, zip(*lines))
        self.header: list[str] | None = None
        self.delimiter = _sniff_delimiter(texts)
        self._sample = [_split(text, self.delimiter) for text in texts]
        self.skipped_lines = numbers[0] - 1  # lines before the first row of data
        if commented or self._first_is_header(numbers[0]):
            self.header = header = self._sample.pop(0)
            self.skipped_lines = numbers[0]
            if not self._sample:
                raise ValueError(f"{path} holds only a header ({', '.join(header)}); it needs a row of numbers too")
            self.names = [" ".join(name.split()) or f"x{i}" for i, name in enumerate(header)]
            if list(map(str.strip, header)) == _numbers(len(header)):
                self.names = numbered_names(len(header))
            self._width_from = f"the header (line {numbers[0]}) has"
        else:
            self.names = numbered_names(Counter(map(len, self._sample)).most_common(1)[0][0])
            self._width_from = "most lines have"

    def read(self, chosen: list[int]) -> np.ndarray:
        """The columns at these places, as float64."""
        if self.streamed:
            return np.concatenate([np.empty((0, len(chosen))), *self.blocks(chosen, BLOCK)])
        whole = chosen == list(range(len(self.names)))
        if not whole:  # of some columns, numpy's reader sees neither that a line has too many fields nor comments
            for number, line in self._lines(self.skipped_lines):
                if self._is_comment(line):
                    return self._read_line_by_line(chosen)
                # Counting delimiters is cheaper than splitting. Where it disagrees there may be quotes.
                if self.delimiter is None or line.count(self.delimiter) != len(self.names) - 1:
                    self._cells(number, line)
        try:
            data = np.loadtxt(
                os.fspath(self.path.absolute()),
                dtype=np.float64,
                delimiter=self.delimiter,
                skiprows=self.skipped_lines,
                usecols=None if whole else chosen,
                comments=None,
                quotechar='"',
                encoding="utf-8-sig",
                ndmin=2,
            )
        except ValueError:
            return self._read_line_by_line(chosen)
        if data.shape[1] != len(chosen):  # all rows agree with each other, but not with the header
            return self._read_line_by_line(chosen)
        return data

    @property
    def streamed(self) -> bool:
        """Whether only this class reads it: compressed files, and those with comments."""
        return self.path.suffix.lower() in COMPRESSED or self.has_comments

    @property
    def shares_names(self) -> bool:
        """Whether columns have the same name."""
        return len(set(self.names)) < len(self.names)

    def blocks(self, chosen: list[int], rows: int, start: int = 0) -> Iterator[np.ndarray]:
        """The columns at these places, from a row on, so many rows at a time."""
        lines = islice(self._lines(self.skipped_lines, comments=False), start, None)
        while some := list(islice(lines, rows)):
            for number, line in some:
                if self.delimiter is None or line.count(self.delimiter) != len(self.names) - 1:
                    self._cells(number, line)
            yield self._parsed(some, chosen)

    def _parsed(self, lines: list[tuple[int, str]], chosen: list[int]) -> np.ndarray:
        """Some lines as numbers, by numpy's reader where it can."""
        try:
            texts, places = [line for _, line in lines], chosen
            return np.loadtxt(texts, delimiter=self.delimiter, usecols=places, comments=None, quotechar='"', ndmin=2)
        except ValueError:
            values = array("d", self._numbers_of(lines, chosen))
            return np.frombuffer(values, dtype=np.float64).reshape(-1, len(chosen))

    def look_for_slips(self, whole: bool) -> None:
        """Warn where the first row may be a header, and, where all columns are read, where one only counts the rows;
        ValueError where that is the index of pandas, which has no name."""
        rows = [[_value(cell) for cell in row] for row in self._sample]
        if whole and self.header is not None and not self.header[0].strip() and _counts_from_0(rows):
            raise ValueError(
                f"{self.path}: the first column has no name and counts the rows 0, 1, …, as the index does that pandas "
                f"writes. Write the file with index=False, or "
                f"{suggest_columns(self.names, [i for i in range(1, len(self.names)) if i not in self.text])}"
            )
        if self.header is None and _counts(rows[0]) and not any(map(_counts, rows[1:])):
            warn(
                f"{self.path}: the first line, {', '.join(cell.strip() for cell in self._sample[0])}, may be a header. "
                "It is read as a row of numbers: if it names the columns, start every name with a letter.",
                UserWarning,
            )
        for i, name in enumerate(self.names if whole and len(self.names) > 1 and len(rows) >= FEW else ()):
            column = [row[i] for row in rows if i < len(row)]
            if column[0] in (0, 1) and _counts(column):
                warn(
                    f"{self.path}: column {name!r} counts the rows {column[0]:g}, {column[1]:g}, …, as an index does. "
                    "If it is one, choose the other columns (columns, --columns).",
                    UserWarning,
                )

    @property
    def text(self) -> list[int]:
        """The places of the columns that hold text, by the first lines."""
        kinds = [{_kind(row[i]) for row in self._sample if i < len(row)} for i in range(len(self.names))]
        return [i for i, of_column in enumerate(kinds) if "text" in of_column and not _is_numeric(self._sample, i)]

    def _read_line_by_line(self, chosen: list[int]) -> np.ndarray:
        """The same table, with NaN for missing values; or an error that names line and column."""
        return np.frombuffer(array("d", self.numbers(chosen)), dtype=np.float64).reshape(-1, len(chosen))

    def numbers(self, chosen: list[int]) -> Iterator[float]:
        """The numbers in these columns, line by line; or an error that names line and column."""
        yield from self._numbers_of(self._lines(self.skipped_lines, comments=False), chosen)

    def _numbers_of(self, lines: Iterable[tuple[int, str]], chosen: list[int]) -> Iterator[float]:
        for number, line in lines:
            cells = self._cells(number, line)
            for i in chosen:
                try:
                    yield _number(cells[i])
                except ValueError:
                    raise ValueError(self._blame(number, i, cells[i].strip(), chosen)) from None

    def column(self, name: str) -> Iterator[str]:
        """The fields of a column as they stand there, line by line."""
        place = column_place(self.names, name, self.path)
        for number, line in self._lines(self.skipped_lines, comments=False):
            yield self._cells(number, line)[place].strip()

    def _open(self):
        """The file as text, whatever it is compressed with."""
        if self.path.suffix.lower() == ".gz":
            return gzip.open(self.path, "rt", encoding="utf-8-sig")
        if self.path.suffix.lower() == ".zst":
            return _open_zstd(self.path)
        return open(self.path, encoding="utf-8-sig")

    def _lines(self, skip: int = 0, comments: bool = True) -> Iterator[tuple[int, str]]:
        """Line numbers, from 1, and lines: not the blank ones, the first ``skip``, and comments unless asked for."""
        try:
            with self._open() as file:
                for number, line in enumerate(file, start=1):
                    if number > skip and line.strip() and (comments or not self._is_comment(line)):
                        if "\0" in line:
                            raise ValueError(f"{self.path}, line {number} holds a zero byte; save it as UTF-8 text")
                        yield number, line
        except (OSError, EOFError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the system; unpacking gives no number
                raise
            raise ValueError(f"{self.path} is damaged, or not compressed as its name says: {error}") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path} is not UTF-8 text ({error.reason}); save it as UTF-8") from None

    def _is_comment(self, line: str) -> bool:
        """Whether a line begins with #, and that is not the first field of a row, as #N/A of a spreadsheet is."""
        if not line.lstrip().startswith("#"):
            return False
        cells = _split(line, self.delimiter)
        return len(cells) != len(self.names) or not ERROR_CODE.fullmatch(cells[0])

    def _cells(self, number: int, line: str) -> list[str]:
        """The fields of a line, as many as there must be."""
        cells = _split(line, self.delimiter)
        if len(cells) != len(self.names):
            raise ValueError(
                f"{self.path}, line {number} has {len(cells)} field{'s' * (len(cells) != 1)} where {self._width_from} "
                f"{len(self.names)}; give every line the same number of fields"
            )
        return cells

    def _first_is_header(self, number: int) -> bool:
        """Whether the first line names the columns: it holds text and no number, or numbers the columns."""
        first, *rows = self._sample
        if _numbers_columns(first, rows):
            return True
        kinds = [_kind(cell) for cell in first]
        if "number" not in kinds:
            return "text" in kinds
        for i, kind in enumerate(kinds):
            if kind == "text" and _is_numeric(rows, i):
                raise ValueError(
                    f"{self.path}, line {number}: {first[i]!r} above a column of numbers looks like a header, "
                    f"{first[kinds.index('number')]!r} like data; correct the line, or start every name with a letter"
                )
        return False

    def _blame(self, number: int, i: int, cell: str, chosen: list[int]) -> str:
        """What is wrong with this field, and what to do."""
        place = f"{self.path}, line {number}, column {self.names[i]!r}: {cell!r}"
        if DECIMAL_COMMA.fullmatch(cell):
            return f"{place} has a decimal comma; write decimal points"
        if _is_numeric(self._sample, i):
            return f"{place} is not a number; correct it, or leave the field empty if the value is missing"
        numeric = [j for j in chosen if _is_numeric(self._sample, j)]
        return f"{place} is text, not a number; {suggest_columns(self.names, numeric)}"


def _sniff_delimiter(lines: list[str]) -> str | None:
    """The delimiter that cuts the lines into equally many fields, most of them numbers."""

    def merit(delimiter: str | None) -> tuple[float, float]:
        rows = [_split(line, delimiter) for line in lines]
        data = rows[1:] or rows
        width = Counter(map(len, data)).most_common(1)[0][0]
        if width == 1:
            return (-1.0, -1.0)
        agreeing = sum(len(row) == width for row in rows) / len(rows)
        kinds = [_kind(cell) for row in data for cell in row]
        return (agreeing * (1 - kinds.count("text") / len(kinds)), agreeing)

    # A single column has no delimiter; all candidates are equal then, and the first will do.
    return max(DELIMITERS, key=merit)


def _open_zstd(path: Path):
    """A text file that is compressed by zstd, which pyarrow reads."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(f"{path} is compressed by zstd, which needs pyarrow: pip install 'fastem[arrow]'") from error
    return io.TextIOWrapper(pyarrow.input_stream(os.fspath(path), compression="detect"), encoding="utf-8-sig")


def _is_header_of(comment: str, texts: list[str]) -> bool:
    """Whether a comment names the columns of the lines: it has as many fields."""
    delimiter = _sniff_delimiter(texts)
    cells = _split(comment[COMMENT_SIGN.match(comment).end() :].strip(), delimiter)
    return len(cells) == len(_split(texts[0].strip(), delimiter))


def lines_of(first: tuple[int, str] | None) -> str:
    return "comments" if first is None else first[1].strip()


def _value(cell: str) -> float:
    """The number in a field, NaN where there is none."""
    try:
        return _number(cell)
    except ValueError:
        return float("nan")


def _counts(values: list[float]) -> bool:
    """Whether values are whole numbers, each one more than the one before."""
    whole = all(value == value // 1 for value in values)
    return whole and len(values) > 1 and all(b == a + 1 for a, b in pairwise(values))


def _counts_from_0(rows: list[list[float]]) -> bool:
    """Whether the first fields of some rows count them."""
    return len(rows) > 1 and [row[0] for row in rows] == list(range(len(rows)))


def _numbers(n_columns: int) -> list[str]:
    """The names that pandas gives to the columns of an array."""
    return [str(i) for i in range(n_columns)]


def _numbers_columns(first: list[str], rows: list[list[str]]) -> bool:
    """Whether a line numbers the columns 0, 1, … behind an empty field, as pandas writes them where it writes its
    index: other lines begin with a count of the rows or a text, or with a whole number before others that all have
    points.

    Without the index such a line may as well be a row.
    """
    cells = [cell.strip() for cell in first]
    if len(cells) < 2 or cells[0] != "" or cells[1:] != _numbers(len(cells) - 1):
        return False
    index, others = [row[0].strip() for row in rows], [cell for row in rows for cell in row[1:] if cell.strip()]
    if _counts_from_0([[_value(cell)] for cell in index]) or any(_kind(cell) == "text" for cell in index):
        return True
    return all(map(str.isdecimal, index)) and all(_kind(cell) == "number" and "." in cell for cell in others)


def _split(line: str, delimiter: str | None) -> list[str]:
    """The fields of a line; a field in double quotes may hold delimiters."""
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(delimiter)
    if delimiter is None:
        line, delimiter = " ".join(line.split()), " "
    return next(csv.reader([line], delimiter=delimiter))


def _number(cell: str) -> float:
    """The number in a field; NaN where the field says that the value is missing."""
    cell = cell.strip()
    if cell.lower() in MISSING:
        return float("nan")
    if "_" in cell:  # Python reads 1_000 as a number; in a table it is a slip or a name
        raise ValueError(cell)
    return float(cell)


def _kind(cell: str) -> str:
    """``"number"``, ``"missing"`` or ``"text"``."""
    if DECIMAL_COMMA.fullmatch(cell):  # is meant as a number; the reader says what is wrong with it
        return "number"
    try:
        value = _number(cell)
    except ValueError:
        return "text"
    return "missing" if np.isnan(value) else "number"


def _is_numeric(rows: list[list[str]], i: int) -> bool:
    """Whether column ``i`` holds numbers, apart from missing values and slips."""
    kinds = [_kind(row[i]) for row in rows if i < len(row)]
    return "number" in kinds and kinds.count("number") >= kinds.count("text")
