"""Whatever holds the rows, a fit has the same bits; what is wrong with a source is said with its place."""

import time

import dask
import h5py
import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import zarr
from containers import CONTAINERS, frame, pieces
from models import MODELS

from fastem import PPCA, FactorAnalysis, GaussianMixture, PoissonMixture, em
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture
from fastem.rows import blocks
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.sources.open_rows import open_rows
from fastem.rows.statistics import Statistics, folded, merged, merged_nodes, merged_siblings

NAMES = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 4096 rows, so that there are several."""
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 1)


def rows(n=20_011, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 3)) + 6 * rng.integers(0, 2, (n, 1))).astype(dtype)


@pytest.fixture(scope="module")
def start():
    means = np.array([[0.0, 0.0, 0.0], [5.0, 6.0, 7.0]])
    covariances = np.array([np.eye(3), 2 * np.eye(3)])
    return Mixture(np.array([0.4, 0.6]), Gaussian(means, Full.from_covariances(covariances, np.zeros(3)), np.zeros(3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_em_has_the_same_bits(kind, dtype, tmp_path, start):
    make, named, keeps = CONTAINERS[kind]
    X = rows(dtype=dtype)
    X = X if keeps else X.astype(np.float64)
    opened = open_rows(make(tmp_path, X, NAMES))
    assert opened.shape == X.shape
    assert opened.dtype == X.dtype
    assert (list(opened.names) if named else opened.names) == (NAMES if named else None)
    found, expected = em(start, opened, tol=0, max_iter=3), em(start, X, tol=0, max_iter=3)
    assert found.history == expected.history
    assert found.statistics.vector.tobytes() == expected.statistics.vector.tobytes()


@pytest.mark.parametrize("kind", ["chunks", "list", "weights column", "array beside a table", "array beside files"])
def test_weights_come_from_everywhere(kind, tmp_path, start):
    X = rows()
    weight = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    weight[:5000] = 0  # whole blocks that do not count
    table = frame(X, NAMES).assign(weight=weight)
    table.to_parquet(tmp_path / "rows.parquet", row_group_size=1000)
    source = {
        "chunks": (lambda: zip(pieces(X), pieces(weight)), None),
        "list": (list(zip(pieces(X), pieces(weight))), None),
        "weights column": (tmp_path / "rows.parquet", "weight"),
        "array beside a table": (pyarrow.table(table[NAMES]), weight),
        "array beside files": (pyarrow.dataset.dataset(tmp_path / "rows.parquet"), weight),
    }[kind]
    columns = NAMES if kind == "array beside files" else None
    opened = open_rows(*source, columns=columns)
    expected = em(start, X, sample_weight=weight, tol=0, max_iter=2)
    assert em(start, opened, tol=0, max_iter=2).statistics.vector.tobytes() == expected.statistics.vector.tobytes()
    counted = np.flatnonzero(weight)
    assert opened.n_counted == len(counted)
    ranks = np.array([0, 1, 77, 5000, len(counted) - 1])
    taken, weights = opened.take(ranks)
    assert (taken == X[counted[ranks]]).all()
    assert (weights == weight[counted[ranks]]).all()


def test_named_columns_only_are_read(tmp_path):
    table = frame(rows(100), NAMES).assign(text="no number")
    table.to_parquet(tmp_path / "rows.parquet")
    opened = open_rows(tmp_path / "rows.parquet", columns=["c", "a"])
    assert list(opened.names) == ["c", "a"]
    assert (next(iter(opened))[0] == table[["c", "a"]].to_numpy()).all()


@pytest.mark.parametrize("n", range(1, 18))
def test_the_tree_of_sums_depends_on_their_number_alone(n):
    """Any way to share the leaves among workers ends in the same tree; the tree is seen in how it is written."""

    class Leaf(str):
        def __iadd__(self, other):
            return Leaf(f"({self} {other})")

    leaves = [Leaf(i) for i in range(n)]
    whole = merged(leaves)
    rng = np.random.default_rng(n)
    for _ in range(5):
        owner = rng.integers(0, 3, n)
        nodes = [
            node
            for worker in range(3)
            for node in merged_nodes((i, leaves[i]) for i in np.flatnonzero(owner == worker))
        ]
        nodes.sort(key=lambda node: node[1] << node[0])
        assert folded(merged_siblings(nodes)) == whole


def test_reading_goes_on_beside_computing():
    """The reader is ahead of the computation, and not further than it should."""
    read, ahead = [], []

    def source():
        for i in range(20):
            read.append(i)
            yield np.zeros((4096, 3))

    for i, _ in enumerate(open_rows(source)):
        if i == 0:
            limit = time.monotonic() + 10
            while len(read) < 1 + 3 and time.monotonic() < limit:  # the one that was looked at when it was opened
                time.sleep(0.001)
        ahead.append(len(read) - 1 - i)
    assert max(ahead) <= 5
    assert ahead[0] >= 2


class OneStream:
    """An Arrow C stream that is given once."""

    def __init__(self, reader):
        self.reader = reader

    def __arrow_c_stream__(self, requested_schema=None):
        reader, self.reader = self.reader, None
        if reader is None:
            raise RuntimeError("the stream has been released")
        return reader.__arrow_c_stream__(requested_schema)


def bad(kind, tmp_path):
    """Sources with something wrong."""
    X = rows(9000)
    good = pieces(X)
    return {
        "generator": lambda: (piece for piece in good),
        "iterator": lambda: iter(good),
        "same iterator": lambda: (lambda iterator: lambda: iterator)(iter(good)),
        "no iterator": lambda: lambda: 3,
        "width": lambda: [*good, X[:5, :2]],
        "dtype": lambda: [*good, X[:5].astype(np.float32)],
        "names": lambda: [frame(X, NAMES), frame(X, ["a", "b", "d"])],
        "weights": lambda: [(X, np.ones(len(X))), X],
        "all empty": lambda: [X[:0], X[:0]],
        "nothing": lambda: lambda: iter([]),
        "one dimension": lambda: lambda: iter([X[:, 0]]),
        "record batch reader": lambda: pyarrow.table(frame(X, NAMES)).to_reader(),
        "stream that is used up": lambda: OneStream(pyarrow.table(frame(X, NAMES)).to_reader()),
        "text column": lambda: pyarrow.table(frame(X, NAMES).assign(name="x")),
        "folder of nothing": lambda: tmp_path,
        "no such folder": lambda: [tmp_path / "nowhere"],
        "three dimensions": lambda: __import__("zarr").array(X[None]),
    }[kind]()


@pytest.mark.parametrize(
    "kind, error, words",
    [
        ("generator", TypeError, "iterated over only once.*function that makes it"),
        ("iterator", TypeError, "iterated over only once"),
        ("same iterator", ValueError, "returned the same iterator again.*open a new one"),
        ("no iterator", TypeError, "returned int; it must return an iterator"),
        ("width", ValueError, "chunk 3 .* has 2 columns, but the first has 3"),
        ("dtype", ValueError, "chunk 3 .* holds float32, but the first float64"),
        ("names", ValueError, "chunk 1 .* has the columns a, b, d, but the first a, b, c"),
        ("weights", ValueError, "chunk 1 .* has no weights"),
        ("all empty", ValueError, "there are no rows"),
        ("nothing", ValueError, "there are no rows"),
        ("one dimension", ValueError, "chunk 0 .*Expected 2D array, got 1D"),
        ("record batch reader", TypeError, "RecordBatchReader.*only once"),
        ("stream that is used up", TypeError, "OneStream, which can be iterated over only once.*opened again"),
        ("text column", ValueError, "column 'name' .*not numbers"),
        ("folder of nothing", ValueError, "no file that fastem reads"),
        ("no such folder", FileNotFoundError, "nowhere: no such file"),
        ("three dimensions", ValueError, "two dimensions"),
    ],
)
def test_what_is_wrong_is_said(kind, error, words, tmp_path, start):
    with pytest.raises(error, match=words):
        em(start, open_rows(bad(kind, tmp_path)), max_iter=2)


@pytest.mark.parametrize("kind", ["arrow stream", "feather", "list of chunks", "parquet"])
@pytest.mark.parametrize("n", [8192, 9000 - 5, 9000 + 5])
def test_weights_of_another_length_are_refused(kind, n, tmp_path, start):
    """Where reading alone tells the number of rows, too; 8192 end with a block."""
    source = CONTAINERS[kind][0](tmp_path, rows(9000), NAMES)
    with pytest.raises(ValueError, match=f"sample_weight.*{n}"):
        em(start, source, sample_weight=np.ones(n), max_iter=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_a_bad_weight_is_found_by_file_and_row(tmp_path, value, start):
    weight = np.ones(9000)
    weight[7000] = value
    for i, piece in enumerate(pieces(frame(rows(9000), NAMES).assign(weight=weight))):
        piece.to_parquet(tmp_path / f"part-{i}.parquet")
    with pytest.raises(ValueError, match=rf"row 998 of .*part-2\.parquet, column 'weight' is {value:g}"):
        em(start, open_rows(tmp_path, "weight"))


@pytest.mark.parametrize(
    "first, second, words",
    [
        (np.float64, str, "column 'b' of .*1.parquet holds .*string, unlike that of .*0.parquet"),
        (np.float32, np.float64, "column 'b' of .*1.parquet holds double"),
        (np.float32, np.int64, "column 'b' of .*1.parquet holds int64"),
    ],
)
def test_a_file_of_another_type_is_named(tmp_path, first, second, words, start):
    table = frame(rows(9000, dtype=first), NAMES)
    table.to_parquet(tmp_path / "0.parquet")
    table.astype({"b": second}).to_parquet(tmp_path / "1.parquet")
    with pytest.raises(ValueError, match=words):
        em(start, tmp_path)


def test_whole_numbers_in_one_file_are_numbers(tmp_path, start):
    """As of a table that was written in parts."""
    X = rows(9000)
    X[:, 1] = np.round(X[:, 1])
    frame(X[:5000], NAMES).to_parquet(tmp_path / "0.parquet")
    frame(X[5000:], NAMES).astype({"b": int}).to_parquet(tmp_path / "1.parquet")
    assert em(start, tmp_path, max_iter=2).history == em(start, X, max_iter=2).history


def test_weights_that_change_are_noticed(start):
    weights = iter([1.0] * 4 + [2.0] * 9)

    def source():
        yield rows(9000), np.full(9000, next(weights))

    with pytest.raises(ValueError, match="gave 9000 weight at first and 18000 now"):
        em(start, source, tol=0, max_iter=10)


def test_an_iterator_that_is_used_up_behind_a_function_is_noticed(start):
    used = iter(pieces(rows(9000)))
    with pytest.raises(ValueError, match=r"gave 5999 rows at first and 0 now.*read again"):
        em(start, lambda: (piece for piece in used), tol=0)


def test_empty_chunks_are_skipped(start):
    X = rows(9000)
    chunks = [X[:0], *pieces(X), X[:0]]
    assert em(start, chunks, max_iter=2).history == em(start, X, max_iter=2).history


def test_a_source_that_shrinks_is_noticed(start):
    lengths = iter([9000, 9000, 9000, 8999, 8999])

    def source():
        yield rows(next(lengths))

    with pytest.raises(ValueError, match="gave 9000 rows at first and 8999 now"):
        em(start, source, tol=0, max_iter=10)


def test_a_file_that_changes_is_noticed(tmp_path, start):
    path = tmp_path / "rows.parquet"
    frame(rows(9000), NAMES).to_parquet(path)
    opened = open_rows(path)

    def overwrite(result):
        frame(rows(9000, seed=1), NAMES).to_parquet(path)

    with pytest.raises(ValueError, match=r"rows\.parquet has changed since it was opened"):
        em(start, opened, tol=0, max_iter=10, callback=overwrite)


def test_a_corrupt_row_group_is_named(tmp_path, start):
    path = tmp_path / "rows.parquet"
    frame(rows(9000), NAMES).to_parquet(path, row_group_size=3000, compression="gzip")
    column = pyarrow.parquet.ParquetFile(path).metadata.row_group(1).column(2)
    content = bytearray(path.read_bytes())
    at = column.data_page_offset
    content[at + 40 : at + column.total_compressed_size] = bytes(column.total_compressed_size - 40)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"rows\.parquet, row group 1 cannot be read"):
        em(start, path)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_fits_have_the_same_bits(kind, tmp_path):
    make, named, _ = CONTAINERS[kind]
    X = rows()
    model = GaussianMixture(2, random_state=0).fit(make(tmp_path, X, NAMES))
    expected = GaussianMixture(2, random_state=0).fit(X)
    assert model.means_.tobytes() == expected.means_.tobytes()
    assert model.history_ == expected.history_
    assert hasattr(model, "feature_names_in_") == named


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_every_family_is_fitted_from_a_stream(family):
    X = family.data(9001)
    found, expected = (family.make(2, random_state=0, max_iter=3).fit(source) for source in (pieces(X), X))
    assert found.history_ == expected.history_
    assert [array.tobytes() for array in found._fitted_arrays() if array is not None] == [
        array.tobytes() for array in expected._fitted_arrays() if array is not None
    ]


@pytest.mark.parametrize("face", [FactorAnalysis, PPCA])
def test_continuous_factors_are_fitted_from_a_stream(face):
    X = rows()
    found, expected = face(1).fit(pieces(X)), face(1).fit(X)
    assert found.components_.tobytes() == expected.components_.tobytes()
    assert found.transform(pieces(X)).tobytes() == expected.transform(X).tobytes()


@pytest.mark.parametrize("kind", ["parquet folder", "function", "hdf5", "polars lazy"])
def test_partial_fits_have_the_same_bits(kind, tmp_path):
    X, found, expected = rows(), GaussianMixture(2, random_state=0), GaussianMixture(2, random_state=0)
    source = CONTAINERS[kind][0](tmp_path, X, NAMES)
    names = NAMES if CONTAINERS[kind][1] else None
    for _ in range(2):
        found.partial_fit(source)
        expected.partial_fit(X if names is None else frame(X, names))
    assert found.means_.tobytes() == expected.means_.tobytes()
    X[12_345, 1] = np.inf
    with pytest.raises(ValueError, match=r"row 12345 of .*, column 1"):
        GaussianMixture(2, random_state=0).fit(rows()).partial_fit(pieces(X))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "bic", "aic"])
def test_scores_of_streams_are_those_of_arrays(method):
    X = rows()
    model = GaussianMixture(2, random_state=0).fit(X)
    found = getattr(model, method)(pieces(X))
    assert np.allclose(found, getattr(model, method)(X), rtol=1e-14)


def test_a_value_is_found_by_file_and_row(tmp_path):
    X = rows()
    X[15_000, 1] = np.inf
    for i, piece in enumerate(pieces(X)):
        frame(piece, NAMES).to_parquet(tmp_path / f"part-{i}.parquet")
    with pytest.raises(ValueError, match=r"float64: the first is at row 2996 of .*part-4\.parquet, column 'b'"):
        GaussianMixture(2).fit(tmp_path)
    counts = np.random.default_rng(0).poisson(3, (20_000, 3)).astype(float)
    counts[10_000, 2] = 0.5
    with pytest.raises(ValueError, match=r"but row 10000 of the chunks .*, column 2 is 0\.5"):
        PoissonMixture(2).fit(pieces(counts))


def test_a_start_that_is_told_row_by_row_needs_the_rows():
    with pytest.raises(ValueError, match=r"init_params .* X is read in blocks"):
        GaussianMixture(2, init_params=np.zeros(20_011, int)).fit(pieces(rows()))


@pytest.mark.parametrize("weighted", [False, True])
def test_blocks_take_and_space_as_arrays_do(weighted):
    X = rows()
    weight = np.random.default_rng(1).integers(0, 2, len(X)).astype(float) if weighted else None
    opened = open_rows(list(zip(pieces(X), pieces(weight))) if weighted else pieces(X))
    array = ArrayBlocks(X, weight)
    assert (opened.spaced_rows() == array.spaced_rows()).all()
    assert (array.spaced_rows() == X[::8]).all()
    assert (opened.head(5) == X[:5]).all()
    ranks = np.sort(np.random.default_rng(2).choice(opened.n_counted, 500, replace=False))
    for a, b in zip(opened.take(ranks), array.take(ranks)):
        assert (a == b).all()


def test_statistics_of_no_rows_are_an_error():
    with pytest.raises(ValueError, match="there are no rows"):
        ArrayBlocks(np.empty((0, 2))).reduce(None, 1)
    assert merged([Statistics(a=1.0)]).a == 1.0


@pytest.mark.filterwarnings("error")
def test_blocks_of_rows_that_no_component_can_produce_are_refused_in_words():
    """Their log-likelihoods are the least number there is; two of them are none."""
    lowest = np.finfo(float).min
    total = merged([Statistics(log_likelihood=lowest, weight=1.0), Statistics(log_likelihood=lowest, weight=1.0)])
    assert total.log_likelihood == -np.inf and total.weight == 2


def of_hdf5(folder):
    file = h5py.File(folder / "rows.h5", "w")
    file["rows"] = np.ones((4, 2))
    return file


ROWS = np.ones((9, 2))
WRONG = {
    "triples": (lambda folder: lambda: iter([(ROWS, np.ones(9), 1)]), r"chunk 0 of .* is a tuple of 3. Give an array"),
    "a list of triples": (lambda folder: [(ROWS, np.ones(9), 1)], r"chunk 0 of .* is a tuple of 3. Give an array"),
    "an Arrow array": (lambda folder: pyarrow.array(np.ones(9)), r"X is a DoubleArray of pyarrow.* Pass a table"),
    "an Arrow column": (lambda folder: pyarrow.chunked_array([np.ones(9)]), r"X is a ChunkedArray .* Pass a table"),
    "delayed": (
        lambda folder: dask.delayed(ROWS),
        r"X is a dask.delayed, .* Pass X.compute\(\), or dask.array.from_del",
    ),
    "HDF5 file": (of_hdf5, r"X is a File of h5py that holds rows. Pass one .* X\['rows'\]"),
    "HDF5 group": (
        lambda folder: of_hdf5(folder)["/"],
        r"X is a Group of h5py that holds rows. Pass one .* X\['rows'\]",
    ),
    "zarr group": (lambda folder: zarr.group(), r"X is a Group of zarr that holds nothing. Pass one array"),
    "dict": (
        lambda folder: {"a": ROWS, "b": 1},
        r"X is a dict of builtins that holds a, b. Pass one .* X\['a'\]; columns",
    ),
    "intervals": (
        lambda folder: pandas.DataFrame({"a": pandas.interval_range(0, 9), "b": 1.0}),
        r"column 'a' holds interval\[int64, right\]. Pass numbers as X, and the ends .* as lower= and upper=",
    ),
    "bins": (
        lambda folder: pandas.DataFrame({"a": pandas.cut(np.arange(9.0), 2)}),
        r"column 'a' holds categories of interval\[float64, right\]. Pass numbers as X",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_holds_no_rows_says_what_to_pass(name, tmp_path):
    make, words = WRONG[name]
    fitted = GaussianMixture().fit(np.random.default_rng(0).normal(size=(9, 2)))
    for use in (GaussianMixture().fit, fitted.predict):
        with pytest.raises((TypeError, ValueError), match=words):
            use(make(tmp_path))


def test_a_list_of_weights_of_chunks_says_how_to_give_them():
    X, weights = [ROWS[:4], ROWS[4:]], [np.ones(4), np.ones(5)]
    for rows in (X, ROWS):
        with pytest.raises(ValueError, match=r"sample_weight is a list of 2 arrays, .* Join them, .* or beside chunks"):
            open_rows(rows, weights)


def test_the_sum_of_whole_weights_is_exact():
    weight = np.r_[50.0, np.random.default_rng(0).integers(0, 3, 999)]
    rows = np.arange(2000.0).reshape(1000, 2)
    for opened in (open_rows(rows, weight), open_rows([(rows[:30], weight[:30]), (rows[30:], weight[30:])])):
        assert opened.total_weight == weight.sum()
        assert opened.n_effective == weight.sum() ** 2 / (weight @ weight)
