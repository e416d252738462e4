"""Two small, well-known data sets, as R 4.2 exports them."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np

__all__ = ["SHIPPED", "Dataset", "load_faithful", "load_iris"]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A table of numbers and its description.

    Attributes
    ----------
    data : ndarray of shape (n_samples, n_features), float64
    columns : list of str
        A name for each column of ``data``.
    target : ndarray of str, shape (n_samples,), or None
        The known group of each row, where there is one.
    description : str
        What was measured, in which units, and where it was published.
    """

    data: np.ndarray
    columns: list[str]
    target: np.ndarray | None
    description: str

    def __repr__(self):
        n, d = self.data.shape
        return f"<Dataset of {n} rows, {d} columns: {', '.join(self.columns)}>"


def load_faithful() -> Dataset:
    """Old Faithful: 272 eruptions of the geyser in Yellowstone National Park.

    Returns
    -------
    Dataset
        272 rows; ``eruptions`` (how long, minutes) and ``waiting`` (until the next one, minutes).

    References
    ----------
    Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser.
    Applied Statistics 39, 357-365.

    Examples
    --------
    >>> from fastem.datasets import load_faithful
    >>> faithful = load_faithful()
    >>> faithful.columns, faithful.data.shape
    (['eruptions', 'waiting'], (272, 2))
    """
    columns, rows = _read("faithful.csv")
    return Dataset(
        data=np.array(rows, dtype=np.float64),
        columns=columns,
        target=None,
        description=(
            "Old Faithful geyser, Yellowstone National Park: duration of 272 eruptions and the waiting time "
            "until the next, both in minutes (Azzalini and Bowman 1990; R's data set 'faithful')."
        ),
    )


def load_iris() -> Dataset:
    """Anderson's and Fisher's iris: four lengths of 150 flowers from three species.

    Returns
    -------
    Dataset
        150 rows; length and width of sepals and petals in centimetres; ``target`` holds the species.

    References
    ----------
    Fisher, R. A. (1936). The use of multiple measurements in taxonomic problems.
    Annals of Eugenics 7, 179-188.

    Examples
    --------
    >>> from fastem.datasets import load_iris
    >>> iris = load_iris()
    >>> iris.data.shape, str(iris.target[0])
    ((150, 4), 'setosa')
    """
    columns, rows = _read("iris.csv")
    return Dataset(
        data=np.array([row[:4] for row in rows], dtype=np.float64),
        columns=columns[:4],
        target=np.array([row[4] for row in rows]),
        description=(
            "Sepal and petal length and width in centimetres of 50 flowers from each of three species of iris "
            "(Anderson 1935, Fisher 1936; R's data set 'iris', which is free of the errors of the UCI copy)."
        ),
    )


SHIPPED = {"faithful": load_faithful, "iris": load_iris}
"""The loader of each shipped data set by its name on the command line."""


def _read(name: str) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a CSV file of this folder."""
    header, *rows = csv.reader(read_text(name).splitlines())
    return header, rows


def read_text(name: str) -> str:
    """What is in a file of this folder."""
    from importlib.resources import files  # slow to import

    return files(__package__).joinpath(name).read_text(encoding="utf-8")
