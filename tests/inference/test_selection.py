"""Choosing the model: the table against fits of each model alone, published figures, what fails, the command line."""

import csv
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import fastem
from fastem.__main__ import main
from fastem.datasets import load_faithful, load_iris
from fastem.inference.model_search import ModelSearch
from fastem.inference.selection import Row, _leaders_alone
from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.parsimonious import FAMILIES
from fastem.models.gaussian.structures import STRUCTURES, is_narrower, of_dense
from fastem.starts.partitions import splits, trees

FAITHFUL, IRIS = load_faithful().data, load_iris().data
CHEAP = ["EII", "VVI", "EEE", "VEV", "VVV"]


def figures(found, digits=None):
    """What the table says, by model."""
    return {
        (row.covariance_type, row.n_components): tuple(
            value if digits is None else np.round(value, digits)
            for value in (row.log_likelihood, row.n_parameters, row.bic, row.aic, row.icl)
        )
        for row in found.table
    }


@pytest.fixture(scope="module")
def of_iris():
    return fastem.select(IRIS, range(1, 4), random_state=0)


def test_published_choices(of_iris):
    """mclust's, with the sign of its BIC turned."""
    row = of_iris.best_row
    assert (row.covariance_type, row.n_components, row.n_parameters) == ("VEV", 2, 26)
    assert -1e-6 <= row.log_likelihood + 215.726 <= 1e-2 and abs(row.bic - 561.7285) < 1e-2
    faithful = fastem.select(FAITHFUL, range(2, 5), ["EEI", "EEE", "VVV"], random_state=0)
    row = faithful.best_row
    assert (row.covariance_type, row.n_components) == ("EEE", 3) and abs(row.bic - 2314.3) < 2e-2
    assert faithful.best.bic(FAITHFUL) == pytest.approx(row.bic)
    assert abs(row.icl - 2358.386) < 0.5  # where EM ends with tol=1e-10; mclust's is 2357.824, as it stops earlier


@pytest.mark.parametrize(
    "name, K, bic",  # mclust's iris table
    [
        ("EII", 3, -878.7650),
        ("VII", 2, -1012.2352),
        ("EEI", 3, -813.0504),
        ("VEI", 3, -779.1566),
        ("EVI", 2, -1007.3082),
        ("VVI", 3, -744.6382),
        ("EEE", 3, -632.9647),
        ("VEE", 3, -605.3982),
        ("EVE", 2, -657.2263),
        ("VVE", 2, -605.1841),
        ("VVE", 3, -588.46),  # best known: mclust's is -636.4
        ("EEV", 2, -644.5997),
        ("VEV", 3, -562.5522),
        ("EVV", 2, -658.3306),
        ("VVV", 3, -580.8396),
    ],
)
def test_never_below_mclust(of_iris, name, K, bic):
    assert -figures(of_iris)[name, K][2] >= bic - 1e-2


@pytest.mark.parametrize("data, largest", [(FAITHFUL, 3), (IRIS, 3)])
def test_no_model_alone_is_better(data, largest):
    """Soundly, from several starts of its own."""
    found = fastem.select(data, range(1, largest + 1), CHEAP, random_state=0)
    for row in found.table:
        settings = {"covariance_type": row.covariance_type, "tol": 1e-6, "max_iter": 1000}
        alone = fastem.GaussianMixture(row.n_components, n_init=3, random_state=1, **settings).fit(data)
        if set(alone.component_status_) == {"ok"}:
            assert row.sound and row.log_likelihood >= alone.log_likelihood_ - 2e-2, row


def test_a_row_is_its_estimator(of_iris):
    for row in of_iris.table:
        model = row.estimator
        assert (model.covariance_type, model.n_components) == (row.covariance_type, row.n_components)
        found = (model.score(IRIS) * len(IRIS), model.bic(IRIS), model.aic(IRIS), model.icl(IRIS))
        np.testing.assert_allclose(found, (row.log_likelihood, row.bic, row.aic, row.icl), rtol=1e-9)
        doubt = -np.log(model.predict_proba(IRIS).max(axis=1)).sum()
        assert np.isclose(row.icl - row.bic, 2 * doubt, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl"])
def test_the_best_has_the_least(criterion):
    found = fastem.select(FAITHFUL, [1, 2, 3], ["EII", "VVV"], criterion, random_state=0)
    values = [getattr(row, criterion) for row in found.table if row.sound]
    assert getattr(found.best_row, criterion) == min(values)
    assert found.best is found.best_row.estimator and found.ranked[0] is found.best_row


def test_order_does_not_matter():
    rng = np.random.default_rng(0)
    one = fastem.select(IRIS, [1, 2, 3], ["EEE", "VII", "VEV"], random_state=0)
    shuffled = fastem.select(IRIS[rng.permutation(len(IRIS))], [3, 1, 2, 1], ["VEV", "EEE", "VII"], random_state=0)
    assert [row.covariance_type for row in one.table] == [row.covariance_type for row in shuffled.table]
    assert figures(one, 5) == figures(shuffled, 5)


def test_the_same_bits_for_any_number_of_jobs(monkeypatch):
    monkeypatch.setattr("fastem.inference.selection.PARALLEL_FROM", 0)
    rows = np.random.default_rng(0).normal(size=(2500, 2)) + 2 * np.random.default_rng(1).integers(0, 2, (2500, 1))
    tables = [
        figures(fastem.select(rows, [1, 2], families, random_state=3, n_jobs=n_jobs))
        for n_jobs, families in [(1, ["EEE", "VVV"]), (3, ["EEE", "VVV"]), (4, ["EEE"])]
    ]
    assert tables[0] == tables[1]
    assert tables[2].items() <= tables[0].items()


def test_weights_count_as_rows():
    weight = np.random.default_rng(0).integers(0, 3, len(FAITHFUL))
    one = fastem.select(FAITHFUL, [1, 2], ["EEI", "VVV"], sample_weight=weight, random_state=0)
    other = fastem.select(np.repeat(FAITHFUL, weight, axis=0), [1, 2], ["EEI", "VVV"], random_state=0)
    assert figures(one, 2) == figures(other, 2)


@pytest.mark.parametrize("unit", [1e-12, 1e12])
@pytest.mark.filterwarnings("ignore:sample_weight sums to")
def test_criteria_are_in_the_unit_of_the_weights(unit):
    """Also where the search counts in another one."""
    weight = np.full(len(FAITHFUL), unit)
    for row in fastem.select(FAITHFUL, [1, 2], ["EII"], sample_weight=weight, random_state=0).table:
        for name in ("bic", "aic", "icl"):
            assert getattr(row, name) == pytest.approx(getattr(row.estimator, name)(FAITHFUL, weight), rel=1e-9), name


def test_float32_and_streams():
    expected = fastem.select(FAITHFUL, [1, 2], ["VVV"], random_state=0)
    single = fastem.select(FAITHFUL.astype(np.float32), [1, 2], ["VVV"], random_state=0)
    assert figures(single, 1).keys() == figures(expected).keys()
    assert np.isclose(single.best_row.bic, expected.best_row.bic, rtol=1e-4)
    chunks = fastem.select(lambda: iter([FAITHFUL[:100], FAITHFUL[100:]]), [1, 2], ["VVV"], random_state=0)
    assert figures(chunks) == figures(expected)


def test_failures_are_marked():
    X = np.vstack([np.random.default_rng(0).normal(size=(12, 2)), np.zeros((3, 2))])
    found = fastem.select(X, [1, 2, 14], ["EII", "VVV"], random_state=0)
    failed = [row for row in found.table if row.n_components == 14]
    assert all(row.estimator is None and "13 distinct row" in row.status and np.isnan(row.bic) for row in failed)
    assert found.best_row.status == "ok" and found.best_row.sound
    unsound = fastem.select(np.random.default_rng(0).normal(size=(12, 3)), [1, 5], ["VVV"], random_state=0)
    row = unsound.table[1]
    assert not row.sound and "component" in row.status and row.estimator is not None
    assert unsound.best_row.n_components == 1  # though the spike has the smaller BIC
    assert row.bic < unsound.best_row.bic


@pytest.mark.parametrize(
    ("family", "n_components", "seed"), [("VII", 5, 9), ("VEE", 5, 3), ("EEV", 4, 1), ("VVV", 5, 10)]
)
def test_a_sound_run_is_kept_where_there_is_one(family, n_components, seed):
    X = rows_of_many_optima(seed)
    row = fastem.select(X, range(2, n_components + 1), [family], random_state=seed).table[-1]
    assert row.sound and row.status == "ok", row


def rows_of_many_optima(seed):
    """So few rows that components which are not sound are the likeliest, however much of it is taken out."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 3))
    if seed % 3:
        X += rng.normal(0, 2, (3, 3))[rng.integers(3, size=60)]
    return rng.standard_t(3, size=(60, 3)) if seed % 4 == 3 else X


def test_few_components_have_starts_enough():
    """Two covariances that are equal, for five clusters of unlike ones: most partitions lead to another optimum, 3200
    below."""
    rng = np.random.default_rng(0)
    means, axes = 2.5 * rng.normal(size=(5, 4)), np.linalg.qr(rng.normal(size=(5, 4, 4)))[0]
    roots, label = axes * rng.uniform(0.3, 1.5, (5, 1, 4)), rng.integers(0, 5, 15_000)
    X = means[label] + np.einsum("nij,nj->ni", roots[label], rng.normal(size=(15_000, 4)))
    found = [fastem.select(X, [1, 2], ["EEE"], random_state=seed).table[1] for seed in range(4, 8)]
    assert [row.log_likelihood for row in found] == pytest.approx([-111579.78] * 4, abs=0.1)


def test_not_converged_is_marked():
    found = fastem.select(FAITHFUL, [3], ["VVV"], random_state=0, max_iter=2, tol=0)
    assert found.table[0].status == "not converged" and found.best.n_iter_ == 2


def test_one_column():
    found = fastem.select(FAITHFUL[:, :1], [1, 2, 3], random_state=0)
    assert {row.covariance_type for row in found.table} == {"E", "V"}
    assert found.best_row.n_components == 2 or found.best_row.n_components == 3
    with pytest.raises(ValueError, match=r"'VVV'.*one column"):
        fastem.select(FAITHFUL[:, :1], [1], ["VVV"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"criterion": "mdl"}, "criterion must be one of bic, aic, icl, cv"),
        ({"n_components": []}, "n_components is empty"),
        ({"n_components": [0]}, "n_components must hold whole numbers of at least 1. Found 0"),
        ({"n_components": [1.5]}, "Found 1.5"),
        ({"covariance_types": ["VVW"]}, "covariance_types contains 'VVW'"),
        ({"covariance_types": []}, "covariance_types is empty"),
        ({"n_jobs": 0}, "n_jobs must be"),
        ({"X": np.ones((5, 2, 2))}, "dim 3"),
        ({"X": [[np.inf, 1.0], [1, 2], [2, 3]]}, "^Input X contains infinity"),
        ({"X": [[np.inf, 1.0], [1, 2], [2, 3]], "n_components": [1, 2]}, "infinity"),
        ({"tol": -1.0}, "'tol'"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        fastem.select(**{"X": FAITHFUL, "n_components": [1]} | arguments)


def test_parameters_without_a_part_are_refused():
    with pytest.raises(TypeError, match="takes no n_init"):
        fastem.select(FAITHFUL, n_init=3)
    with pytest.raises(TypeError, match=r"unexpected parameter 'tolerance'.*reg_covar"):
        fastem.select(FAITHFUL, tolerance=3)


def test_as_text_and_as_a_frame():
    found = fastem.select(FAITHFUL, [1, 2], ["EEE", "VVV"], random_state=0)
    lines = str(found).splitlines()
    assert len(lines) == 10 and [line.split()[0] for line in lines if line.startswith("*")] == ["*"]
    assert [line.split()[0] for line in lines[:4]] == ["best", "1", "2", "3"]
    differences = [float(line.split()[4]) for line in lines[1:4]]
    assert differences[0] == 0 and differences == sorted(differences)
    second, first = (found.ranked[i].bic for i in (1, 0))
    assert differences[1] == pytest.approx(second - first, abs=1e-4)
    frame = found.to_frame()
    assert frame.shape == (4, 12) and frame.loc[frame.bic.idxmin(), "covariance_type"] == found.best_row.covariance_type
    assert "4 models" in repr(found)


@pytest.mark.parametrize("families", [["EEE", "VVV"], list(FAMILIES)[:6] + ["VVI", "EEE"]])
def test_the_picture(families):
    found = fastem.select(FAITHFUL, [1, 2], families, random_state=0)
    ax = found.plot(ax=Figure())
    lines = {line.get_label(): line for line in ax.lines}
    for name in families:
        expected = [row.bic for row in found.table if row.covariance_type == name]
        np.testing.assert_allclose(lines[name].get_ydata(), expected)
    (ring,) = [line for line in ax.lines if line.get_markersize() > 10]
    assert ring.get_ydata()[0] == found.best_row.bic
    FigureCanvasAgg(ax.figure).draw()


def test_grid_search():
    from sklearn.model_selection import GridSearchCV

    grid = {"covariance_type": ["EII", "VEV"], "n_components": [1, 2]}
    search = GridSearchCV(fastem.GaussianMixture(random_state=0), grid, cv=3, error_score="raise").fit(
        np.random.default_rng(0).permutation(IRIS)
    )
    assert search.best_params_ == {"covariance_type": "VEV", "n_components": 2}


def test_trees_are_partitions():
    found = trees(IRIS, np.ones(150), range(1, 10))
    for K in range(2, 10):
        assert len(found[K]) == 2
        for labels in found[K]:
            assert labels.shape == (150,) and set(labels) == set(range(K))
    for smaller, larger in zip(found[2], found[5]):  # a tree: each cluster of five lies in one of two
        assert all(len(np.unique(smaller[larger == g])) == 1 for g in range(5))


def test_splits_cut_one_component():
    r = np.random.default_rng(0).dirichlet(np.ones(3), 150)
    for k, cut in splits(IRIS, np.ones(150), r):
        np.testing.assert_allclose(cut[:, k] + cut[:, 3], r[:, k])
        assert (cut[:, k] * cut[:, 3] == 0).all() and cut[:, k].any() and cut[:, 3].any()
        np.testing.assert_array_equal(np.delete(cut[:, :3], k, 1), np.delete(r, k, 1))


# ---------------------------------------------------------------------------------------------------------------------
# the command line


def test_select_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = "select faithful --components 1:3 --covariance VVV,EEE --plot p.svg --save best.npz".split()
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == "" and "least BIC: EEE with 3 components" in out
    table = [line for line in out.splitlines() if line.lstrip("* ").startswith(("VVV", "EEE"))]
    assert len(table) == 6 and sum(line.startswith("*") for line in table) == 1
    best = fastem.load("best.npz")
    assert (best.covariance_type, best.n_components) == ("EEE", 3)
    assert "<svg" in (tmp_path / "p.svg").read_text()
    expected = fastem.select(FAITHFUL, [1, 2, 3], ["VVV", "EEE"], random_state=0)
    assert str(expected) in out


def test_select_with_weights_and_columns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    weight = np.arange(len(FAITHFUL)) % 3
    with open("rows.csv", "w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "w"], *np.column_stack([FAITHFUL, weight]).tolist()])
    assert main("select rows.csv --columns b --weights w --components 2,1 --criterion icl".split()) == 0
    out = capsys.readouterr().out
    expected = fastem.select(FAITHFUL[:, 1:], [1, 2], None, "icl", sample_weight=weight, random_state=0)
    assert str(expected) in out and "least ICL" in out


@pytest.mark.parametrize(
    "words, message",
    [
        ("--components 3:x", "such as 1:9"),
        ("--components 3:1", "n_components is empty"),
        ("--covariance WWW", "'WWW'"),
        ("--plot picture.xyz", "picture.xyz"),
        ("--save nowhere/model.npz", "no such folder"),
    ],
)
def test_mistakes_on_the_command_line(capsys, words, message):
    assert main(["select", "faithful", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err


def test_split_and_merge_improves_the_models_of_a_search():
    X = load_iris().data
    plain, improved = (
        fastem.select(X, [6, 7], ["VEV", "VVV"], random_state=0, split_merge=attempts).table for attempts in (0, 2)
    )
    gains = [after.log_likelihood - before.log_likelihood for before, after in zip(plain, improved)]
    assert min(gains) > -1e-9 and max(gains) > 5


# ---- cross-validation --------------------------------------------------------------------------------------------


def test_cross_validation_begins_anew_without_each_fold():
    found = fastem.select(FAITHFUL, [1, 2], ["EEE", "VVV"], "cv", random_state=0)
    plain = fastem.select(FAITHFUL, [1, 2], ["EEE", "VVV"], random_state=0)
    assert np.isnan([row.cv for row in plain.table]).all() and "CV" not in str(plain)
    for row, same in zip(found.table, plain.table):
        assert row.bic == same.bic and row.cv > -2 * row.log_likelihood
        scored = -2 * len(FAITHFUL) * row.estimator.cross_validated_score(FAITHFUL, n_iter=100)
        assert row.cv == pytest.approx(scored, abs=3)  # these have one optimum; the folds are others
    assert found.best_row.cv == min(row.cv for row in found.table) and found.criterion == "cv"
    assert "least CV" in repr(found) and "CV" in str(found).splitlines()[0]
    again = fastem.select(FAITHFUL, [1, 2], ["EEE", "VVV"], "cv", random_state=0, n_jobs=1)
    assert [row.cv for row in again.table] == [row.cv for row in found.table]


def test_cross_validation_knows_weights_and_failures():
    rows = FAITHFUL[:60]
    ones, tens = (
        fastem.select(rows, [1, 2, 55], ["VVV"], "cv", random_state=0, sample_weight=np.full(60, w)) for w in (1, 1e50)
    )
    assert [row.cv for row in tens.table] == pytest.approx([1e50 * row.cv for row in ones.table], rel=1e-6)
    assert ones.table[2].cv == np.inf  # a fold's rest has 54 rows
    assert ones.best_row.n_components == 2
    with pytest.raises(ValueError, match=r"criterion='cv' .* needs the rows in memory"):
        fastem.select(lambda: iter([FAITHFUL]), [1], ["VVV"], "cv")
    with pytest.raises(ValueError, match="needs 20 rows"):
        fastem.select(FAITHFUL[:19], [1], ["VVV"], "cv")


def test_the_bound_of_the_evidence_chooses():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2)) + 6 * np.array([[0, 0], [1, 0], [0, 1]])[rng.integers(3, size=400)]
    settings = {"weight_concentration_prior_type": "dirichlet_distribution", "random_state": 0}
    selected = fastem.select(X, range(1, 6), ["full", "spherical"], "elbo", **settings)
    assert selected.best.n_components == 3 and type(selected.best) is fastem.BayesianGaussianMixture
    for row in selected.table:
        assert row.elbo == pytest.approx(-2 * 400 * row.estimator.lower_bound_)
        alone = fastem.BayesianGaussianMixture(
            row.n_components, covariance_type=row.covariance_type, tol=1e-5, **settings
        ).fit(X)
        assert row.estimator.lower_bound_ > alone.lower_bound_ - 0.02
    assert "ELBO" in str(selected) and selected.best_row.elbo == min(row.elbo for row in selected.table)
    with pytest.raises(ValueError, match="contains 'VEV', which is none of full, tied, diag, spherical"):
        fastem.select(X, 2, ["VEV"], "elbo")
    with pytest.raises(TypeError, match="It takes these of BayesianGaussianMixture: accelerate"):
        fastem.select(X, 2, criterion="elbo", max_eigenvalue_ratio=3.0)


def test_no_family_ends_below_a_narrower_one():
    """Three groups of few rows, where the partitions that all share lead VVV to a lower maximum than others."""
    rng = np.random.default_rng(0)
    for _ in range(59):
        n, d = int(rng.integers(8, 200)), int(rng.integers(2, 5))
        X = rng.normal(size=(n, d)) + 3 * rng.integers(0, 3, (n, 1))
    found = {row.covariance_type: row for row in fastem.select(X, 3, random_state=0).table}
    assert found["VVV"].sound and found["VVV"].estimator.fit_report_.restarts[0].start == "the fit of a narrower family"
    below = [
        (name, other)
        for name, row in found.items()
        for other, narrower in found.items()
        if is_narrower(STRUCTURES[other], STRUCTURES[name]) and narrower.sound
        if row.log_likelihood < narrower.log_likelihood - 1e-3
    ]
    assert not below


@pytest.mark.parametrize("name, K, seed", [("VII", 6, 0), ("EII", 8, 2)])
def test_the_best_model_is_as_likely_as_a_fit_of_it_alone(name, K, seed):
    rng = np.random.default_rng([seed, K])
    X = 2.2 * rng.normal(size=(K, 2))[rng.integers(K, size=300)] + rng.normal(size=(300, 2)) * rng.uniform(
        0.4, 1.2, (300, 1)
    )
    chosen = fastem.select(X, [K], [name], random_state=0).best_row
    alone = fastem.GaussianMixture(K, covariance_type=name, tol=1e-5, max_iter=1000, random_state=0).fit(X)
    assert chosen.sound and chosen.log_likelihood > alone.log_likelihood_ - 1


def test_models_far_behind_are_not_fitted_alone(monkeypatch):
    alone, fitted = ModelSearch.alone, []
    monkeypatch.setattr(ModelSearch, "alone", lambda self, *model: fitted.append(model) or alone(self, *model))
    found = fastem.select(IRIS, range(1, 4), random_state=0)
    assert fitted == [(row.covariance_type, row.n_components) for row in found.ranked[:3]]


def test_models_that_are_not_sound_are_not_fitted_alone_for_a_criterion_that_means_nothing():
    fitted = []

    class Search:
        def alone(self, *model):
            fitted.append(model)
            raise ValueError("nothing is gained")

    bic = {1: 100.0, 2: 110.0, 3: 120.0, 4: 500.0, 5: 10.0, 6: 20.0}
    table = [Row("VVV", K, bic=value, sound=K < 5, estimator=object()) for K, value in bic.items()]
    assert _leaders_alone(Search(), table, "bic", None) == table
    assert fitted == [("VVV", 1), ("VVV", 2), ("VVV", 3)]


def test_the_callback_sees_what_takes_a_models_place_which_never_has_a_worse_criterion():
    rng = np.random.default_rng(8)
    K = rng.integers(3, 6)
    X = 1.8 * rng.normal(size=(K, 2))[rng.integers(K, size=150)] + rng.normal(size=(150, 2)) * rng.uniform(0.5, 1.2, 2)
    seen = {}
    found = fastem.select(
        X,
        range(1, 7),
        ["full", "diag"],
        random_state=0,
        criterion="elbo",
        callback=lambda row: seen.setdefault((row.covariance_type, row.n_components), []).append(row),
    )
    for row in found.table:
        rows = seen[row.covariance_type, row.n_components]
        assert rows[-1] is row and row.elbo == min(one.elbo for one in rows)


def test_narrower_structures():
    """Whatever a narrower structure estimates, a wider one holds."""
    rng = np.random.default_rng(1)
    A = rng.normal(size=(3, 4, 4))
    scatter, counts, floor = A @ A.swapaxes(1, 2), np.ones(3), np.full(4, 1e-9)
    i, j = packed_lower(4)
    for structure in FAMILIES.values():
        own = structure.estimate(counts, np.zeros((3, 4)), structure.of_full(scatter[:, i, j], 4), floor)
        dense = np.array([own.pooled(weights, 4) for weights in np.eye(3)])
        for other in FAMILIES.values():
            second = other.of_full(dense[:, i, j], 4)
            within = other.estimate(counts, np.zeros((3, 4)), second, floor)
            held = np.array([within.pooled(weights, 4) for weights in np.eye(3)])
            same = np.allclose(held, dense, rtol=1e-5, atol=1e-6)
            assert same == (structure is other or is_narrower(structure, other)), (structure, other)
            if same:
                again = of_dense(dense, other, floor)
                assert np.allclose([again.pooled(weights, 4) for weights in np.eye(3)], dense)


def test_weights_that_are_relative():
    """BIC counts rows by weight: of weights that sum to 1 it sees one row, which has no penalty."""
    X = np.random.default_rng(0).normal(size=(100, 2))
    with pytest.warns(UserWarning, match=r"sample_weight sums to 1, where some 100 rows count.* divided by their mean"):
        fastem.select(X, [1, 2], ["EII"], sample_weight=np.full(100, 0.01), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastem.select(X, [1, 2], ["EII"], sample_weight=np.full(100, 0.5), random_state=0)
