"""Every pair of features of every mixture: right, or refused with the sentence that the table has for it.

The pairs come from `CASES`, the refusals from fastem.estimators.compatibility. There is no third outcome: another
error, a refusal that no row foretells, or a fit that breaks a law fails here.
"""

import re
import warnings
from itertools import combinations

import numpy as np
import pytest
from models import MODELS

from fastem.errors import CollapsedComponent
from fastem.estimators.compatibility import FEATURES, REFUSED, Request
from fastem.estimators.planning import request_of

K, N = 2, 64
FAMILIES = {model.name: model for model in MODELS}


class Case:
    """How a feature is asked for.

    Parameters
    ----------
    name : str
    parameters : dict or callable
        Of the constructor; or a function of the rows (n, d) that gives them.
    rows : callable, optional
        What the rows (n, d) become.
    fit : callable, optional
        Of the rows: further arguments of fit.
    law : callable, optional
        ``law(model, X)`` holds after a fit.
    """

    def __init__(self, name, parameters=None, rows=None, fit=None, law=None):
        self.name, self.rows, self.fit, self.law = name, rows, fit, law
        self.parameters = parameters if callable(parameters) else lambda X: parameters or {}

    def __repr__(self):
        return self.name


def gaps(X):
    missing = np.random.default_rng(3).random(X.shape) < 0.05
    missing[0] = False
    return np.where(missing, np.nan, X)


def chunks(X):
    return lambda: iter([X[:30], X[30:]])


def dask_array(X):
    import dask.array

    return dask.array.from_array(X, chunks=(40, X.shape[1]))


def some_labels(X):
    labels = np.full(len(X), -1)
    labels[:4] = np.arange(4) % K
    return {"labels": labels}


def weights_of_two(X):
    return {"sample_weight": np.random.default_rng(5).integers(1, 3, len(X)).astype(float)}


def quarters(X):
    return np.quantile(X.astype(float), [0.25, 0.75], axis=0)


def keeps_weights(model, X):
    assert model.weights_[0] == 0.3


def keeps_means(model, X):
    assert np.array_equal(model.means_[0], quarters(X)[0])


def keeps_covariances(model, X):
    assert np.allclose(model.covariances_[0], np.eye(X.shape[1]), rtol=1e-9)


def equal(model, X):
    assert np.ptp(model.weights_) == 0


def warm(model, X):
    assert model.n_iter_ >= 0


CASES = [
    Case("noise", {"noise": "box"}, law=lambda model, X: model.noise_weight_ + 0),
    Case("labels", fit=some_labels),
    Case("missing values", rows=gaps),
    Case("prior", {"prior": "default"}),
    Case("weight prior", {"weight_concentration_prior": 2.0}),
    Case("weight prior by component", {"weight_concentration_prior": [2.0, 1.0]}),
    Case("equal weights", {"equal_weights": True}, law=equal),
    Case("fixed weights", {"fixed": {"weights": [0]}, "weights_init": [0.3, 0.7]}, law=keeps_weights),
    Case("fixed means", lambda X: {"fixed": {"means": [0]}, "means_init": quarters(X)}, law=keeps_means),
    Case(
        "fixed covariances",
        lambda X: {"fixed": {"covariances": [0]}, "precisions_init": np.tile(np.eye(X.shape[1]), (K, 1, 1))},
        law=keeps_covariances,
    ),
    Case("ratio of eigenvalues", {"max_eigenvalue_ratio": 10.0}),
    Case("tied", {"covariance_type": "tied"}),
    Case("VEV", {"covariance_type": "VEV"}),
    Case("degrees of freedom by component", {"degrees_of_freedom": [5.0, 9.0]}),
    Case("reseed", {"on_collapse": "reseed"}),
    Case("drop", {"on_collapse": "drop"}),
    Case("raise", {"on_collapse": "raise"}),
    Case("several starts", {"n_init": 3}),
    Case("split and merge", {"split_merge": 2}),
    Case("acceleration", {"accelerate": "anderson"}),
    Case("coarse", {"coarse": True}),
    Case("a rule", {"stop": "aitken"}),
    Case("emem", {"init_params": "emem"}),
    Case("a start by row", lambda X: {"init_params": np.arange(len(X)) % K}),
    Case("warm start", {"warm_start": True}, law=warm),
    Case("weights", fit=weights_of_two),
    Case("extreme weights", fit=lambda X: {"sample_weight": np.full(len(X), 2.0**-60)}),
    Case("float32", rows=lambda X: X.astype(np.float32)),
    Case("stream", rows=chunks),
    Case("Dask", rows=dask_array),
    Case("partial_fit"),
]
SHORT = {  # starts of small data that take little time; with 60 rows a subsample, no start is coarse, with 12 all are
    "subsample.SUBSAMPLE": 60,
    "short_runs.POOL": {"kmeans": 1, "whitened": 1, "random": 1},
    "short_runs.POOL_RUN": 2,
    "short_runs.RUNS": 2,
    "short_runs.SHORT_RUN": 2,
    "regroup.SPLIT_RUN": 2,
    "regroup.MOST_CANDIDATES": 2,
}
DATA = ("missing values", "float32")  # before what holds the rows
HOLDERS = ("stream", "Dask")
FIXABLE = {name: ("weights", "means", "covariances") if name == "full" else ("weights",) for name in FAMILIES}
NO_PAIR = [  # they ask for the same thing in two ways
    {"weight prior", "weight prior by component"},
    {"reseed", "drop"},
    {"reseed", "raise"},
    {"drop", "raise"},
    {"emem", "a start by row"},
    {"weights", "extreme weights"},
    {"tied", "VEV"},
    {"stream", "Dask"},
]


def merged_parameters(pair, X):
    parameters = {}
    for case in pair:
        for name, value in case.parameters(X).items():
            value = parameters[name] | value if name == "fixed" and name in parameters else value
            parameters[name] = value
    if parameters.get("covariance_type") in ("tied",) and "precisions_init" in parameters:
        parameters["precisions_init"] = parameters["precisions_init"][0]
    return parameters


def foretold(model, pair, kept):
    """The sentences of the table for what is asked for; a test of its own holds that each row is met."""
    names = {case.name for case in pair}
    rows = "read in blocks (StreamBlocks)" if "stream" in names else "read in blocks (DaskBlocks)"
    request = request_of(
        model,
        labels="labels" in names,
        rows=rows if names & {*HOLDERS} else "in memory",
        extreme_weights="extreme weights" in names,
        partial="partial_fit" in names,
    )
    asked = {name: words for name, feature in FEATURES.items() if (words := feature(request))}
    if "missing values" in names:
        asked["missing values"] = "NaN"
    return [
        sentence.format(asked[first], asked[second])
        for first, second, sentence in REFUSED
        if first in asked and second in asked
    ]


def fitted(model, pair, X):
    names = {case.name for case in pair}
    rows = X
    for case in sorted((case for case in pair if case.rows), key=lambda case: case.name not in DATA):
        rows = case.rows(rows)
    arguments = {}
    for case in pair:
        arguments |= case.fit(X) if case.fit else {}
    if "stream" in names and "sample_weight" in arguments:
        weight = arguments.pop("sample_weight")
        opened = rows

        def rows():
            start = 0
            for chunk in opened():
                yield chunk, weight[start : start + len(chunk)]
                start += len(chunk)

    if "partial_fit" in names:
        return model.partial_fit(rows, **arguments)
    model.fit(rows, **arguments)
    return model.fit(rows, **arguments) if "warm start" in names else model


def check_laws(model, pair, X):
    names = {case.name for case in pair}
    for case in pair:
        if case.law is not None and not ("drop" in names and len(model.weights_) < K):
            case.law(model, X)
    noise = getattr(model, "noise_weight_", 0.0)
    assert np.isclose(model.weights_.sum() + noise, 1, atol=1e-9)
    for name in model._parameter_arrays:
        assert np.isfinite(getattr(model, name, 0.0)).all(), name
    rough = 3e-4 if "float32" in names else 1e-8
    history = np.array(model.history_)
    assert (np.diff(history) >= -rough * (1 + np.abs(history[1:]))).all(), history
    if names & {"labels", "partial_fit"}:
        return
    rows = gaps(X) if "missing values" in names else X
    rows = rows.astype(np.float32) if "float32" in names else rows
    weight = next((case.fit(X)["sample_weight"] for case in pair if case.name.endswith("weights") and case.fit), 1.0)
    total = (weight * model.score_samples(rows)).sum()
    assert np.isclose(model.log_likelihood_, total, rtol=max(rough, 1e-7), atol=1e-12 * np.max(weight))


@pytest.mark.parametrize("first", CASES, ids=str)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_pairs(family, first, monkeypatch):
    """The feature alone, and beside every later one."""
    for name, few in SHORT.items():
        monkeypatch.setattr(f"fastem.starts.{name}", few)
    if first.name == "coarse":
        monkeypatch.setattr("fastem.starts.subsample.SUBSAMPLE", 12)
    X = family.data(N)
    for second in CASES[CASES.index(first) :]:
        pair = [first] if second is first else [first, second]
        if {case.name for case in pair} in NO_PAIR:
            continue
        asked = {"max_iter": 4, "random_state": 0} | merged_parameters(pair, X)
        known = family.make(K).get_params()
        if set(asked) - set(known):
            with pytest.raises(TypeError):
                family.make(K, **asked)
            continue
        if not {*asked.get("fixed", ())} <= {*FIXABLE[family.name]}:
            with pytest.raises(ValueError, match=r"fixed names .*can fix only 'weights'"):
                family.make(K, **asked).fit(X)
            continue
        model = family.make(K, **asked)
        if {first.name, second.name} == {"labels", "partial_fit"}:
            with pytest.raises(TypeError, match="labels"):
                model.partial_fit(X, **some_labels(X))
            continue
        sentences = foretold(model, pair, known)
        if "missing values" in (first.name, second.name) and not sentences and not model._takes_missing:
            sentences = ["NaN"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                fitted(model, pair, X)
            except CollapsedComponent:
                assert "raise" in (first.name, second.name), pair
                continue
            except (ValueError, TypeError) as error:
                assert sentences, (pair, error)
                assert any(sentence.rpartition(". Or ")[2] in str(error) for sentence in sentences) or re.search(
                    "NaN|labels", str(error)
                ), (pair, error)
                continue
        assert not sentences, (pair, "is refused by the table, but was fitted")
        check_laws(model, pair, X)


def test_every_row_of_the_table_names_features():
    for first, second, sentence in REFUSED:
        assert first in FEATURES and second in FEATURES and sentence.endswith((".", "}."))
    assert len({frozenset(row[:2]) for row in REFUSED}) == len(REFUSED)


def test_a_plain_request_is_refused_nothing():
    for family in FAMILIES.values():
        assert [name for name, asked in FEATURES.items() if asked(request_of(family.make(K)))] == []
    assert [name for name, asked in FEATURES.items() if asked(Request())] == []


def test_every_pair_is_met():
    assert len(list(combinations(CASES, 2))) == 465


def lumps(X):
    """Rows of which some lie on one far point, so that a component collapses there."""
    lumped = X.copy()
    lumped[:5] = 3 * X.max(axis=0)
    return lumped


@pytest.mark.parametrize("moves", [{}, {"n_init": 3}, {"split_merge": 2}, {"n_init": 2, "split_merge": 2}], ids=str)
@pytest.mark.parametrize("policy", ["floor", "reseed", "drop", "raise"])
@pytest.mark.parametrize("name", ["full", "student", "gamma", "mixed"])
def test_components_that_collapse_beside_restarts(name, policy, moves, monkeypatch):
    for constant, few in SHORT.items():
        monkeypatch.setattr(f"fastem.starts.{constant}", few)
    family = FAMILIES[name]
    X = lumps(family.data(N)) if name not in ("mixed", "von Mises-Fisher") else family.data(N)
    if name == "mixed":
        X[:5] = X[0]
        X[:5, [1, 3]] = 30
    for seed in range(2):
        model = family.make(5, on_collapse=policy, max_iter=25, random_state=seed, **moves)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model.fit(X)
            except CollapsedComponent as error:
                assert policy == "raise" and "collapsed in iteration" in str(error)
                continue
        assert policy == "drop" or len(model.weights_) == 5
        check_laws(model, [], X)
        assert len(model.fit_report_.components) == len(model.weights_)
