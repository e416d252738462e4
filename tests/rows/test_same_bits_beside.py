"""Rows with side columns have the same bits from every container: blocks are cut by all columns but the weights."""

import numpy as np
import pytest
from containers import CONTAINERS, frame

from fastem import GaussianMixture
from fastem.rows import blocks
from fastem.rows.side_columns import weighed_by
from fastem.rows.sources.open_beside import open_beside
from fastem.rows.sources.open_rows import open_rows

N = 13_000
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2)) + 4 * RNG.integers(0, 2, (N, 1))
E, W = RNG.uniform(0.1, 0.5, (N, 2)), RNG.choice([0.0, 0.5, 1.0, 3.0], N)
TABLE, NAMES = np.column_stack([X, E, W]), ["a", "b", "a_err", "b_err", "w"]
NAMED = [name for name, (_, named, _) in CONTAINERS.items() if named]
USES = {
    "weights": ([0, 1, 4], {"sample_weight": "w"}),
    "errors": ([0, 1, 2, 3], {"errors": ["a_err", "b_err"]}),
    "both": ([0, 1, 2, 3, 4], {"errors": ["a_err", "b_err"], "sample_weight": "w"}),
    "weights beside errors": ([0, 1, 4], {"errors": E, "sample_weight": "w"}),
    "bounds": ([0, 1], {"lower": X - E, "upper": X + E}),
    "covariates": ([0, 1], {"covariates": E[:, 0]}),
    "covariates and weights": ([0, 1], {"covariates": E, "sample_weight": W}),
    "labels of a column": ([0, 1, 4], {"labels": "w"}),
}


def takes(kind, sides) -> bool:
    """Whether the columns of a container have the names that the sides ask for."""
    return CONTAINERS[kind][1] or not any(isinstance(side, (str, list)) for side in sides.values())


KINDS = ["polars lazy", "arrow table", "list of chunks", "function of frames", "parquet"]
PAIRS = [(use, kind) for use, (_, sides) in USES.items() for kind in KINDS if takes(kind, sides)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Of 12 288 rows of two columns, 8192 of three, 4096 of more."""
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 3 << 13)


def bits(given, sides):
    model = GaussianMixture(2, covariance_type="diag", random_state=0, max_iter=2, tol=0)
    model.fit(given, **sides)
    return model.history_, model.means_.tobytes(), model.covariances_.tobytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("use, kind", PAIRS)
def test_fits(use, kind, tmp_path):
    columns, sides = USES[use]
    rows = TABLE[:, columns]
    if use == "labels of a column":
        rows = rows.copy()
        rows[:, 2] = np.where(np.arange(N) % 7, -1, X[:, 0] > 2)
    names = [NAMES[i] for i in columns]
    make, named, _ = CONTAINERS[kind]
    in_memory = frame(rows, names) if named else rows
    assert bits(make(tmp_path, rows, names), sides) == bits(in_memory, sides)


def cuts(opened):
    return [len(rows) for rows, _ in opened]


@pytest.mark.parametrize("kind", NAMED)
def test_where_blocks_are_cut(kind, tmp_path):
    opened = open_rows(CONTAINERS[kind][0](tmp_path, TABLE[:, [0, 1, 4]], ["a", "b", "w"]), "w")
    assert cuts(opened) == [12_288, N - 12_288]
    opened, _ = open_beside(CONTAINERS[kind][0](tmp_path / "", TABLE[:, :2], ["a", "b"]), {"errors": E})
    assert cuts(opened) == [4096, 4096, 4096, N - 3 * 4096]


def test_blocks_that_are_given_stay_as_they_are():
    given = open_rows([frame(TABLE[:, [0, 1, 2, 4]], ["a", "b", "e", "w"])])
    before = cuts(given)
    assert cuts(weighed_by(given, "w")) == [8192, N - 8192] != before == cuts(given)
    assert weighed_by(given, "w").weights[:, 0].tolist() == [0, 8192]
