"""GaussianMixture where it meets others: scikit-learn's contract, tables, memory layouts, pickle, printing."""

import inspect
import pickle
import pydoc
import subprocess
import sys

import numpy as np
import pandas
import polars
import pyarrow
import pytest
from instances import STRUCTURES
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastem
from fastem import GaussianMixture, GaussianMixtureRegressor
from fastem.datasets import load_faithful
from fastem.estimators.parameters import COLUMNS, parameter, tagged
from fastem.families import ESTIMATORS

FAITHFUL = load_faithful().data
TYPES = [structure.name for structure in STRUCTURES]
pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")


def test_parameters_come_and_go():
    model = GaussianMixture(3, covariance_type="diag", tol=1e-5)
    params = model.get_params()
    assert params["n_components"] == 3 and params["covariance_type"] == "diag" and params["n_threads"] is None
    assert GaussianMixture(**params).get_params() == params
    assert model.set_params(n_components=4, random_state=1) is model and model.n_components == 4
    with pytest.raises(ValueError, match=r"Invalid parameter 'n_clusters'.*n_components"):
        model.set_params(n_clusters=2)
    assert repr(model) == "GaussianMixture(n_components=4, covariance_type='diag', tol=1e-05, random_state=1)"
    assert repr(GaussianMixture()) == "GaussianMixture()"


OWN_PARAMETERS = ["prior", "max_eigenvalue_ratio", "noise", "truncation", "n_threads", "coarse", "stop", "accelerate"]
OWN_PARAMETERS += ["on_collapse", "split_merge", "equal_weights", "weight_concentration_prior", "fixed", "truncate"]


def test_scikit_learns_parameters_are_all_there():
    from sklearn.mixture import GaussianMixture as Theirs

    ours, theirs = GaussianMixture().get_params(), Theirs().get_params()
    assert set(ours) - set(theirs) == {*OWN_PARAMETERS} and set(theirs) <= set(ours)
    differs = {"init_params": "emem", "max_iter": 1000}  # fits that end where EM does, at the best of several starts
    assert {name: ours[name] for name in theirs} == theirs | differs


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
def test_constructors_show_every_parameter(make):
    shown = inspect.signature(make).parameters
    assert not [p.name for p in shown.values() if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert {name: p.default for name, p in shown.items()} == make().get_params()
    assert all(name in pydoc.render_doc(make.__init__) for name in shown)
    for name in shown:
        marked = make(**{name: "marked"})
        assert getattr(marked, name) == "marked" and clone(marked).get_params() == marked.get_params()
        assert repr(marked) == f"{make.__name__}({name}='marked')"
    with pytest.raises(TypeError, match=f"^{make.__name__}: .*'n_clusters'.* parameters: n_components, "):
        make(n_clusters=3)
    with pytest.raises(TypeError, match=f"^{make.__name__}: too many positional arguments"):
        make(*shown, 1)


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
def test_docstrings_tell_of_every_parameter(make):
    section = inspect.getdoc(make).partition("Parameters\n----------\n")[2].partition("\nAttributes\n")[0]
    told = [line.partition(" : ")[0] for line in section.splitlines() if line and not line.startswith(" ")]
    assert told[: len(make().get_params())] == [*inspect.signature(make).parameters]
    assert "{" + "parameters}" not in make.__doc__


def positive(owner, name, value):
    if not value > 0:
        raise ValueError(f"The {name!r} parameter of {owner} must be positive. Got {value!r}.")


class Sharpened(fastem.StudentTMixture):
    """A family of one's own.

    Parameters
    ----------
    {parameters}
    """

    sharpness: float = parameter(default=1.0, check=positive, doc="float\nHow sharp it is.", tags=[COLUMNS])


def test_a_family_of_ones_own_states_only_its_own_parameters():
    names = [*inspect.signature(fastem.StudentTMixture).parameters]
    place = names.index("degrees_of_freedom") + 1  # before the parameters that all mixtures have
    assert [*inspect.signature(Sharpened).parameters] == [*names[:place], "sharpness", *names[place:]]
    model = clone(Sharpened(3, sharpness=3, tol=0.5, covariance_type="diag"))
    assert repr(model) == "Sharpened(n_components=3, covariance_type='diag', sharpness=3, tol=0.5)"
    assert "    sharpness : float, default 1.0\n        How sharp it is.\n" in Sharpened.__doc__
    assert tagged(model, COLUMNS).keys() - tagged(fastem.StudentTMixture(), COLUMNS).keys() == {"sharpness"}
    with pytest.raises(ValueError, match=r"The 'sharpness' parameter of Sharpened must be positive. Got -1"):
        Sharpened(sharpness=-1).fit(FAITHFUL)


class InScikitLearnsWay(GaussianMixture):
    def __init__(self, n_components=3, *, own=1):
        super().__init__(n_components, covariance_type="diag")
        self.own = own


def test_a_class_with_a_constructor_of_its_own_has_its_parameters():
    model = clone(InScikitLearnsWay(2, own=5))
    assert model.get_params() == {"n_components": 2, "own": 5} and model.fit(FAITHFUL).covariances_.shape == (2, 2)


class Diagonals(GaussianMixture):
    def __init__(self, n_components=1, **others):
        super().__init__(n_components, **{"covariance_type": "diag", **others})


def test_a_class_may_hand_on_what_it_does_not_name():
    model = clone(Diagonals(2, tol=1e-4))
    assert repr(model) == "Diagonals(n_components=2, covariance_type='diag', tol=0.0001)"
    assert model.set_params(tol=1).get_params().keys() == GaussianMixture().get_params().keys()


def test_predictions_do_not_depend_on_parameters_of_a_fit():
    model = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    labels = model.predict(FAITHFUL)
    model.set_params(n_components=3, fixed={"means": [5]}, noise="box", weight_concentration_prior=[2, 2, 2])
    assert np.array_equal(model.predict(FAITHFUL), labels)
    model.weights_ = np.array([0.4, 0.6])
    assert np.isfinite(model.score(FAITHFUL))


def test_the_package_exports_its_estimators():
    assert set(ESTIMATORS) <= set(fastem.__all__) <= set(dir(fastem))
    assert all(getattr(fastem, name) is make and make.__name__ == name for name, make in ESTIMATORS.items())


def test_clone_copies_parameters_and_no_fit():
    model = GaussianMixture(2, means_init=np.ones((2, 2))).fit(FAITHFUL)
    copy = clone(model)
    assert np.array_equal(copy.means_init, model.means_init) and not hasattr(copy, "means_")
    with pytest.raises(NotFittedError, match="not fitted yet"):
        copy.predict(FAITHFUL)


def test_in_a_pipeline_and_a_grid_search():
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0))
    search = GridSearchCV(pipeline, {"gaussianmixture__n_components": [1, 2]}, cv=3).fit(FAITHFUL)
    assert search.best_params_ == {"gaussianmixture__n_components": 2}
    assert search.best_estimator_.predict(FAITHFUL).shape == (272,)


def test_pickle_gives_the_same_bits():
    model = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    again = pickle.loads(pickle.dumps(model))
    assert again.score_samples(FAITHFUL).tobytes() == model.score_samples(FAITHFUL).tobytes()
    assert again.get_params() == model.get_params() and again.component_status_ == model.component_status_


NAMES = ["eruptions", "waiting"]
TABLES = {
    "pandas": lambda X, names: pandas.DataFrame(X, columns=names),
    "polars": lambda X, names: polars.DataFrame(X, schema=names),
    "pyarrow": lambda X, names: pyarrow.table(dict(zip(names, X.T))),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_keep_their_names(kind):
    table, plain = TABLES[kind](FAITHFUL, NAMES), GaussianMixture(2, random_state=0).fit(FAITHFUL)
    model = GaussianMixture(2, random_state=0).fit(table)
    assert model.feature_names_in_.tolist() == NAMES and model.n_features_in_ == 2
    assert np.array_equal(model.means_, plain.means_) and not hasattr(plain, "feature_names_in_")
    assert np.array_equal(model.predict(table), plain.predict(FAITHFUL))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(FAITHFUL)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        plain.predict(table)
    model.fit(FAITHFUL)
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.filterwarnings("ignore:component 0")
@pytest.mark.parametrize("dtype", [">f8", ">f4", np.int32, np.uint8, np.float16, bool])
def test_other_numbers_become_floats(dtype):
    X = np.round(FAITHFUL).astype(dtype)
    native = X.astype(np.float32 if dtype == ">f4" else np.float64)
    a, b = GaussianMixture(1).fit(X), GaussianMixture(1).fit(native)
    assert np.array_equal(a.means_, b.means_)
    assert a.score_samples(X).tobytes() == b.score_samples(native).tobytes()
    assert a.predict_proba(X).dtype == native.dtype and a.score_samples(X).dtype == np.float64


def test_lists_and_memory_maps(tmp_path):
    expected = GaussianMixture(2, random_state=0).fit(FAITHFUL).means_
    assert np.array_equal(GaussianMixture(2, random_state=0).fit(FAITHFUL.tolist()).means_, expected)
    np.save(tmp_path / "X.npy", FAITHFUL)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert np.array_equal(GaussianMixture(2, random_state=0).fit(mapped).means_, expected)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_warm_start_goes_on(covariance_type):
    fit = {"n_components": 3, "covariance_type": covariance_type, "tol": 0, "random_state": 0, "accelerate": None}
    whole = GaussianMixture(**fit, max_iter=6).fit(FAITHFUL)
    parts = GaussianMixture(**fit, max_iter=3, warm_start=True).fit(FAITHFUL).fit(FAITHFUL)
    assert parts.history_[-1] == whole.history_[-1] and np.array_equal(parts.means_, whole.means_)


def test_a_warm_start_heeds_changed_parameters():
    model = GaussianMixture(2, warm_start=True, random_state=0).fit(FAITHFUL)
    model.set_params(reg_covar=0.5).fit(FAITHFUL)
    assert np.all(np.diagonal(model.covariances_, axis1=1, axis2=2) >= 0.5 * FAITHFUL.var(axis=0) * (1 - 1e-12))


@pytest.mark.parametrize("changed", [{"n_components": 3}, {"covariance_type": "diag"}])
def test_a_warm_start_of_another_shape_is_refused_or_afresh(changed):
    model = GaussianMixture(2, warm_start=True, random_state=0).fit(FAITHFUL).set_params(**changed)
    try:
        model.fit(FAITHFUL)
    except ValueError as error:
        assert next(iter(changed)) in str(error)
    else:
        assert model.covariances_.shape == clone(model).fit(FAITHFUL).covariances_.shape


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_every_start_is_reproducible(init_params, covariance_type):
    fit = {"n_components": 2, "covariance_type": covariance_type, "init_params": init_params}
    a, b = (GaussianMixture(**fit, random_state=5).fit(FAITHFUL) for _ in range(2))
    assert a.history_ == b.history_ and np.isfinite(a.covariances_).all()
    assert a.history_[-1] >= a.history_[0]


@pytest.mark.parametrize("make", [lambda: 3, lambda: np.random.default_rng(3), lambda: np.random.RandomState(3)])
def test_every_kind_of_random_state(make):
    fits = [GaussianMixture(3, init_params="random", random_state=make(), max_iter=3).fit(FAITHFUL) for _ in range(2)]
    assert np.array_equal(fits[0].means_, fits[1].means_)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: GaussianMixture(3, init_params="random", max_iter=3).fit(FAITHFUL).means_,
        lambda: GaussianMixture(2, random_state=0).fit(FAITHFUL).set_params(random_state=None).sample(5)[0],
        lambda: GaussianMixture(1).fit(FAITHFUL).impute([[2.0, np.nan]], draws=1),
        lambda: fastem.likelihood_ratio_test(GaussianMixture(1), FAITHFUL[::9], n_draws=2).draws,
        lambda: fastem.PPCA(1).fit(FAITHFUL).sample(5)[0],
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_no_random_state_is_numpys_global_state(draw):
    np.random.seed(7)
    first, then = draw(), draw()
    np.random.seed(7)
    assert np.array_equal(draw(), first) and not np.array_equal(then, first)


def test_a_start_from_labels_responsibilities_or_a_function():
    labels = (FAITHFUL[:, 0] > 3).astype(int)

    def chosen(X, n_components, rng):
        assert X is not None and n_components == 2 and isinstance(rng, np.random.Generator)
        return labels

    starts = labels, np.eye(2)[labels], chosen
    models = [GaussianMixture(2, init_params=init, max_iter=3).fit(FAITHFUL) for init in starts]
    own = [FAITHFUL[labels == k].mean(axis=0) for k in (0, 1)]
    assert np.allclose(GaussianMixture(2, init_params=labels, max_iter=0).fit(FAITHFUL).means_, own, rtol=1e-13)
    for model in models[1:]:
        assert np.allclose(model.history_, models[0].history_, rtol=1e-12)
        assert np.allclose(model.means_, models[0].means_, rtol=1e-12)


def test_more_restarts_are_no_worse():
    single, many = (GaussianMixture(4, init_params="random_from_data", n_init=n, random_state=0) for n in (1, 8))
    assert many.fit(FAITHFUL).log_likelihood_ >= single.fit(FAITHFUL).log_likelihood_


def test_sample():
    model = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    X, y = model.sample(50_000, random_state=1)
    assert X.shape == (50_000, 2) and y.shape == (50_000,)
    assert np.array_equal(X, model.sample(50_000, random_state=1)[0]) and not np.array_equal(X, model.sample(50_000)[0])
    for k in range(2):
        rows = X[y == k]
        assert len(rows) / len(X) == pytest.approx(model.weights_[k], abs=0.01)
        assert np.allclose(rows.mean(axis=0), model.means_[k], rtol=0.01)
        assert np.allclose(np.cov(rows.T), model.covariances_[k], rtol=0.1, atol=0.02)
    assert np.mean(model.predict(X) == y) > 0.98
    with pytest.raises(ValueError, match="n_samples"):
        model.sample(0)


@pytest.mark.parametrize("covariance_type, free", [("full", 6), ("tied", 3), ("diag", 4), ("spherical", 2)])
def test_information_criteria_by_hand(covariance_type, free):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(FAITHFUL)
    parameters, log_likelihood = 1 + 4 + free, model.score_samples(FAITHFUL).sum()
    assert model.n_parameters_ == parameters
    assert model.bic(FAITHFUL) == pytest.approx(parameters * np.log(272) - 2 * log_likelihood, rel=1e-14)
    assert model.aic(FAITHFUL) == pytest.approx(2 * parameters - 2 * log_likelihood, rel=1e-14)


def test_verbose(capsys):
    fit = {"n_components": 3, "n_init": 2, "tol": 0, "max_iter": 20, "random_state": 0}
    GaussianMixture(**fit).fit(FAITHFUL)
    assert capsys.readouterr().out == ""
    GaussianMixture(**fit, verbose=1).fit(FAITHFUL)
    lines = capsys.readouterr().out.splitlines()
    one = ["  Iteration 10", "  Iteration 20"]
    assert lines[:3] == ["Initialization 0", *one] and lines[4:7] == ["Initialization 1", *one]
    assert lines[3].startswith("Initialization did not converge. Lower bound -4.")
    GaussianMixture(**fit, verbose=2, verbose_interval=5).fit(FAITHFUL)
    out = capsys.readouterr().out
    assert out.count("  Iteration") == 8 and out.count("ll change") == 8


def test_fit_predict():
    model = GaussianMixture(2, random_state=0)
    assert np.array_equal(model.fit_predict(FAITHFUL), model.predict(FAITHFUL))
    assert np.array_equal(model.predict(FAITHFUL), model.predict_proba(FAITHFUL).argmax(axis=1))


def test_import_does_not_bring_scikit_learn(tmp_path):
    code = "import sys, fastem as f; f.GaussianMixture(2).fit(f.datasets.load_faithful().data); print(*sys.modules)"
    command = [sys.executable, "-P", "-c", code]
    loaded = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert {"fastem", "numpy"} <= set(loaded)
    assert not {"sklearn", "pandas", "polars", "pyarrow"} & set(loaded)
    assert fastem.__version__


def test_a_warm_start_does_not_take_columns_for_others():
    frame = pandas.DataFrame(FAITHFUL, columns=["a", "b"])
    model = GaussianMixture(2, random_state=0).fit(frame).set_params(warm_start=True)
    line = GaussianMixtureRegressor(2, random_state=0).fit(frame, FAITHFUL[:, 0]).set_params(warm_start=True)
    with pytest.raises(ValueError, match="in the same order"):
        model.fit(frame[["b", "a"]])
    with pytest.raises(ValueError, match="in the same order"):
        line.fit(frame[["b", "a"]], FAITHFUL[:, 0])
    assert model.fit(FAITHFUL).n_features_in_ == model.fit(frame).n_features_in_
