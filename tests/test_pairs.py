"""Every pair of features of every mixture: right, or refused with the sentence that the table has for it.

The pairs come from `CASES`, the refusals from fastem.estimators.compatibility. There is no third outcome: another
error, a refusal that no row foretells, or a fit that breaks a law fails here.
"""

import re
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from models import MODELS, Family, points
from short_starts import shorten
from spark_session import frame_of, spark_session

import fastem
from fastem.errors import CollapsedComponent
from fastem.estimators.compatibility import FEATURES, REFUSED, Request
from fastem.estimators.planning import request_of
from fastem.starts.plan import Stop

K, N = 2, 64
ITS_OWN_START = {"labels", "missing values", "covariates", "coarse", "weights", "several starts", "emem"}
BAYESIAN = Family("bayesian", partial(fastem.BayesianGaussianMixture, predictive="plug-in"), points)
FAMILIES = {model.name: model for model in [*MODELS, BAYESIAN]}


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


def deviations(X):
    return {"errors": np.random.default_rng(7).uniform(0, 0.3, X.shape)}


def one_bound(X):
    """A limit of detection in the first column, and no bounds elsewhere."""
    lower, upper = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
    limit = np.quantile(X[:, 0].astype(float), 0.2)
    below = X[:, 0] < limit
    lower[below, 0], upper[below, 0] = -np.inf if X.min() < 0 else 0.0, limit
    return {"lower": lower, "upper": upper}


def two_covariates(X):
    return {"covariates": np.random.default_rng(8).normal(size=(len(X), 2))}


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


def noisy(model, X):
    assert model.noise_weight_ > 0 and model.predict_proba(X).shape == (len(X), K + 1)


def weighed(model, X):
    if isinstance(model, fastem.BayesianGaussianMixture):
        assert model.weight_concentration_prior_ == 2
        return
    assert (model.model_.shares.pseudo > -1).all() and model.model_.shares.pseudo.max() == 1


def with_prior(model, X):
    assert set(model.prior_) == {"mean", "shrinkage", "dof", "scale"}


def bounded(model, X):
    assert (
        model.max_eigenvalue_ratio == 10.0
        and model.model_.emission.ratio is not None
        and len(model.column_scales_) == X.shape[1]
    )


def looks_at_one(model, X):
    assert RUNS[-1]["rows"].n_candidates == 1


def starts_with(start):
    def law(model, X):
        assert model.fit_report_.restarts[0].start == start

    return law


def several(model, X):
    assert len(model.fit_report_.restarts) == 3


def split_and_merged(model, X):
    assert [one.start for one in model.fit_report_.restarts].count("split and merge") == 2


RUNS = []  # settings of each run of EM over all rows


def predicts(model, X):
    if hasattr(model, "gate_coefficients_"):
        with pytest.raises(ValueError, match="after a fit with covariates"):
            model.cross_validated_score(X, n_folds=3, n_iter=2)
        return
    if model.side_columns_:
        with pytest.raises(ValueError, match="with which this mixture was fitted"):
            model.cross_validated_score(X, n_folds=3, n_iter=2)
        return
    assert np.isfinite(model.cross_validated_score(X, n_folds=3, n_iter=2))


def certified(model, X):
    assert model.remaining_gain_method_ in ("newton", "rate") or "partial_fit" in model.stop_reason_
    assert not model.converged_ or model.remaining_gain_ < model.tol


CASES = [
    Case("noise", {"noise": "box"}, law=noisy),
    Case("labels", fit=some_labels),
    Case("missing values", rows=gaps),
    Case("prior", {"prior": "default"}, law=with_prior),
    Case("weight prior", {"weight_concentration_prior": 2.0}, law=weighed),
    Case("weight prior by component", {"weight_concentration_prior": [2.0, 1.0]}, law=weighed),
    Case("equal weights", {"equal_weights": True}, law=equal),
    Case("fixed weights", {"fixed": {"weights": [0]}, "weights_init": [0.3, 0.7]}, law=keeps_weights),
    Case("all weights fixed", {"fixed": {"weights": True}, "weights_init": [0.3, 0.7]}, law=keeps_weights),
    Case("unequal weights to start from", {"weights_init": [0.3, 0.7]}),
    Case("a weight of 0 to start from", {"weights_init": [0.0, 1.0]}),
    Case("fixed means", lambda X: {"fixed": {"means": [0]}, "means_init": quarters(X)}, law=keeps_means),
    Case(
        "fixed covariances",
        lambda X: {"fixed": {"covariances": [0]}, "precisions_init": np.tile(np.eye(X.shape[1]), (K, 1, 1))},
        law=keeps_covariances,
    ),
    Case("ratio of eigenvalues", {"max_eigenvalue_ratio": 10.0}, law=bounded),
    Case("truncate", {"truncate": 1}, law=looks_at_one),
    Case(
        "truncation",
        lambda X: {"truncation": (X.min(axis=0) - 0.5, X.max(axis=0) + 9.0)},
        law=lambda model, X: np.testing.assert_array_less(0, model.model_.emission.inside.log_p * -1),
    ),
    Case("tied", {"covariance_type": "tied"}),
    Case("VEV", {"covariance_type": "VEV"}),
    Case(
        "degrees of freedom by component",
        {"degrees_of_freedom": [5.0, 9.0]},
        law=lambda model, X: np.testing.assert_array_equal(model.degrees_of_freedom_, [5.0, 9.0]),
    ),
    Case("reseed", {"on_collapse": "reseed"}),
    Case("drop", {"on_collapse": "drop"}),
    Case("raise", {"on_collapse": "raise"}),
    Case("several starts", {"n_init": 3}, law=several),
    Case("split and merge", {"split_merge": 2}, law=split_and_merged),
    Case("acceleration", {"accelerate": "anderson"}),
    Case("coarse", {"coarse": True}, law=starts_with("short runs on a subsample")),
    Case("a rule", {"stop": "aitken"}),
    Case("certified", {"stop": "certified"}, law=certified),
    Case("emem", {"init_params": "emem"}, law=starts_with("emem")),
    Case("a start by row", lambda X: {"init_params": np.arange(len(X)) % K}, law=starts_with("given")),
    Case("warm start", {"warm_start": True}, law=starts_with("the last fit")),
    Case("weights", fit=weights_of_two),
    Case("errors", fit=deviations),
    Case("bounds", fit=one_bound),
    Case("covariates", fit=two_covariates),
    Case("extreme weights", fit=lambda X: {"sample_weight": np.full(len(X), 2.0**-60)}),
    Case("float32", rows=lambda X: X.astype(np.float32)),
    Case("stream", rows=chunks),
    Case("Dask", rows=dask_array),
    Case("partial_fit"),
    Case("cross-validation", law=predicts),
]
DATA = ("missing values", "float32")  # before what holds the rows
FIXABLE = {name: ("weights", "means", "covariances") if name == "full" else ("weights",) for name in FAMILIES}
MOVES = ["reseed", "drop", "split and merge"]
PRIORS = ["weight prior", "weight prior by component"]
FIXED = ["fixed weights", "fixed means", "fixed covariances"]
EXPECTED = {  # what is refused, written apart from the table of the library
    "noise": ["prior", "equal weights", "all weights fixed", "ratio of eigenvalues", "missing values", *PRIORS, *FIXED],
    "errors": ["noise", "labels", "bounds"],
    "covariates": ["noise", "labels", "errors", "equal weights", "fixed weights", "all weights fixed", *PRIORS]
    + ["bounds", "truncation", "truncate"],
    "truncate": [
        "noise",
        "labels",
        "errors",
        "stream",
        "Dask",
        "partial_fit",
        "certified",
        "missing values",
        "truncation",
    ],
    "bounds": ["noise", "labels", "truncate"],
    "truncation": ["noise", "prior", "ratio of eigenvalues", "equal weights", "all weights fixed", "errors", "bounds"],
    "prior": ["missing values", "extreme weights", "partial_fit"],
    "labels": [*MOVES, "a weight of 0 to start from"],
    "weight prior": ["equal weights", "all weights fixed", "extreme weights", "partial_fit"],
    "weight prior by component": ["equal weights", "all weights fixed", "extreme weights", "partial_fit", *MOVES],
    "fixed weights": ["equal weights", *MOVES],
    "fixed means": MOVES,
    "fixed covariances": ["ratio of eigenvalues", "tied", "VEV", *MOVES],
    "all weights fixed": ["equal weights", *MOVES],
    "unequal weights to start from": ["equal weights"],
    "a weight of 0 to start from": ["equal weights", *PRIORS],
    "ratio of eigenvalues": ["tied", "VEV"],
    "degrees of freedom by component": MOVES,
    "a start by row": ["stream", "Dask"],
    "extreme weights": ["stream", "Dask"],
}
EXPECTED["truncation"] += ["missing values", "partial_fit", *PRIORS, *FIXED]
REFUSED_PAIRS = {frozenset((first, second)) for first, others in EXPECTED.items() for second in others}
# a law of how a fit starts does not hold beside these, which start it otherwise
STARTS = {"warm start", "a start by row", "emem", "coarse", "split and merge", "several starts"}
OTHER_START = {"warm start", "a start by row", "emem", "coarse", "labels", "split and merge", "several starts"}
OTHER_START |= {"reseed", "drop", "raise", "partial_fit", "unequal weights to start from"}
OTHER_START |= {"a weight of 0 to start from", "all weights fixed", *FIXED}
# a posterior has a prior always, which counts as rows beside any features; and structures and priors of its own
NOT_OF_A_POSTERIOR = {
    "VEV": "The 'covariance_type' parameter",
    "weight prior by component": "The 'weight_concentration_prior' parameter",
}


def is_refused(family, names):
    if family is BAYESIAN:
        return "extreme weights" in names or (frozenset(names) in REFUSED_PAIRS and "weight prior" not in names)
    return frozenset(names) in REFUSED_PAIRS


WITH_BOUNDS = {"full", "exponential", "geometric", "gamma", "student"}  # families whose rows may have bounds

NO_PAIR = [  # they ask for the same thing in two ways
    {"weight prior", "weight prior by component"},
    {"reseed", "drop"},
    {"reseed", "raise"},
    {"drop", "raise"},
    {"emem", "a start by row"},
    {"weights", "extreme weights"},
    {"tied", "VEV"},
    {"a rule", "certified"},
    {"stream", "Dask"},
    *({first, second} for first, second in combinations(["fixed weights", "all weights fixed"], 2)),
    *(
        {first, second}
        for first in ("fixed weights", "all weights fixed")
        for second in ("unequal weights to start from", "a weight of 0 to start from")
    ),
    {"unequal weights to start from", "a weight of 0 to start from"},
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


def sentences_of(model, names):
    """What the library's table says of what is asked for; every row that two features meet."""
    holders = {"stream": "read in blocks", "Dask": "a Dask collection", "Spark": "a Spark frame"}
    rows = next((words for name, words in holders.items() if name in names), "in memory")
    request = request_of(
        model,
        labels="labels" in names,
        rows=rows,
        extreme_weights="extreme weights" in names,
        partial="partial_fit" in names,
        errors="errors" in names,
        intervals="bounds" in names,
        covariates="covariates" in names,
    )
    asked = {name: words for name, feature in FEATURES.items() if (words := feature(request))}
    if "missing values" in names:
        asked["missing values"] = "NaN"
    rows_met = [row for row in REFUSED if row.first in asked and row.second in asked]
    return [row.sentence.format(asked[row.first], asked[row.second]) for row in rows_met]


def beside(names, X):
    """What scores need beside the rows."""
    given = {"errors": deviations, "covariates": two_covariates, "bounds": one_bound}
    return {side: values for name, of in given.items() if name in names for side, values in of(X).items()}


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
    RUNS.clear()
    model.fit(rows, **arguments)
    if "warm start" in names:
        before = model.lower_bound_
        model.fit(rows, **arguments)
        if not names & {*MOVES, "raise", "float32"}:
            assert np.isclose(model.history_[0], before, rtol=1e-9)
    return model


def check_laws(model, pair, X):
    names = {case.name for case in pair}
    for case in pair:
        begins = case.name in STARTS and names - {case.name} & OTHER_START
        if case.law is not None and not begins and not ("drop" in names and len(model.weights_) < K):
            case.law(model, X)
    if "partial_fit" not in names:
        assert RUNS[-1]["accelerate"] == model.accelerate
        assert RUNS[-1]["stop"] in (model.stop, Stop(rule=model.stop).near.rule)
    noise = getattr(model, "noise_weight_", 0.0)
    assert np.isclose(model.weights_.sum() + noise, 1, atol=1e-9)
    for name in model._parameter_arrays:
        assert np.isfinite(getattr(model, name, 0.0)).all(), name
    rough = 3e-4 if "float32" in names else 1e-8
    history = np.array(model.history_)
    assert (np.diff(history) >= -rough * (1 + np.abs(history[1:]))).all(), history
    if "partial_fit" in names:
        return
    assert 0 < model.log_likelihood_error_ < np.inf
    rows = gaps(X) if "missing values" in names else X
    rows = rows.astype(np.float32) if "float32" in names else rows
    weight = next((case.fit(X)["sample_weight"] for case in pair if case.name.endswith("weights") and case.fit), 1.0)
    total = (weight * model.score_samples(rows, **beside(names, X))).sum()
    if "labels" in names:  # a label leaves one component of a row
        assert model.log_likelihood_ < total
        return
    assert np.isclose(model.log_likelihood_, total, rtol=max(rough, 1e-7), atol=1e-12 * np.max(weight))


@pytest.fixture(autouse=True)
def short_starts(monkeypatch):
    """Starts that take little time; and what the driver is asked for over all rows is noted."""
    shorten(monkeypatch)
    driver = fastem.starts.restarts.em
    monkeypatch.setattr(
        "fastem.starts.restarts.em",
        lambda start, rows, **asked: RUNS.append(asked | {"rows": rows}) or driver(start, rows, **asked),
    )


@pytest.mark.parametrize("first", CASES, ids=str)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.filterwarnings("ignore")
def test_pairs(family, first, monkeypatch):
    """The feature alone, and beside every later one."""
    X = family.data(N)
    known = family.make(K).get_params()
    for second in CASES[CASES.index(first) :]:
        pair, names = [first, second][: 1 + (first is not second)], {first.name, second.name}
        if names in NO_PAIR:
            continue
        monkeypatch.setattr("fastem.starts.subsample.SUBSAMPLE", 12 if "coarse" in names else 60)
        asked = {"max_iter": 4, "random_state": 0} | merged_parameters(pair, X)
        if (
            family.name != "full" or "truncation" in names
        ) and not names & ITS_OWN_START:  # short runs take most of the time
            asked.setdefault("init_params", "kmeans")
        if set(asked) - set(known):
            with pytest.raises(TypeError, match="got an unexpected keyword argument"):
                family.make(K, **asked)
        elif not {*asked.get("fixed", ())} <= {*FIXABLE[family.name]}:
            with pytest.raises(ValueError, match=r"fixed names .*can fix only 'weights'"):
                family.make(K, **asked).fit(X)
        elif "errors" in names and (family.name != "full" or "partial_fit" in names):
            with pytest.raises(TypeError, match=r"errors|lower"):
                fitted(family.make(K, **asked), pair, X)
        elif "bounds" in names and (family.name not in WITH_BOUNDS or "partial_fit" in names):
            with pytest.raises(TypeError, match="lower"):
                fitted(family.make(K, **asked), pair, X)
        elif names == {"covariates", "partial_fit"}:
            with pytest.raises(TypeError, match="covariates"):
                family.make(K, **asked).partial_fit(X, **two_covariates(X))
        elif family is BAYESIAN and "covariates" in names:
            with pytest.raises(
                ValueError, match=r"cannot be combined|NaN|at most 1e-9|BayesianGaussianMixture must be"
            ):
                fitted(family.make(K, **asked), pair, X)
        elif names == {"covariates", "missing values"} and family.name == "full":
            with pytest.raises(ValueError, match="covariates cannot be combined with missing values"):
                fitted(family.make(K, **asked), pair, X)
        elif names == {"labels", "partial_fit"}:
            with pytest.raises(TypeError, match="labels"):
                family.make(K, **asked).partial_fit(X, **some_labels(X))
        elif family is BAYESIAN and names & NOT_OF_A_POSTERIOR.keys():
            with pytest.raises(ValueError, match="|".join(NOT_OF_A_POSTERIOR.values())):
                fitted(family.make(K, **asked), pair, X)
        elif is_refused(family, names):
            model = family.make(K, **asked)
            with pytest.raises(ValueError) as error:
                fitted(model, pair, X)
            sentences = sentences_of(model, names) or ["Input X contains NaN"]
            assert any(sentence in str(error.value) for sentence in sentences), (pair, str(error.value))
        elif "missing values" in names and not ("bounds" in names or family.make(K)._takes_missing):
            with pytest.raises(ValueError, match="Input X contains NaN"):
                fitted(family.make(K, **asked), pair, X)
        else:
            model = family.make(K, **asked)
            try:
                fitted(model, pair, X)
            except CollapsedComponent:
                assert "raise" in names, pair
            else:
                check_laws(model, pair, X)


BESIDE_SPARK = ["missing values", "float32", "noise", "certified", "drop", "several starts", "warm start"]
BESIDE_SPARK += ["truncate", "labels", "a start by row"]  # refused, as for other rows that are not in memory


@pytest.mark.filterwarnings("ignore")
def test_pairs_with_spark():
    """A Spark frame beside what looks at rows itself, of one family: it takes long to start."""
    family = FAMILIES["full"]
    X = family.data(N)
    with spark_session() as session:

        def spark_frame(X):
            kind = "float" if X.dtype == np.float32 else "double"
            return frame_of(session, X, [f"x{i}" for i in range(X.shape[1])], 2, kind)

        spark = Case("Spark", rows=spark_frame)
        for case in (case for case in CASES if case.name in BESIDE_SPARK):
            model = family.make(K, max_iter=4, random_state=0, **case.parameters(X))
            if case.name == "labels":  # of this case: an array
                with pytest.raises(TypeError, match="labels must be the name of a column"):
                    fitted(model, [case, spark], X)
                named = spark_frame(np.column_stack([X, np.arange(N) % K]))
                model.fit(named, labels=named.columns[-1])
                beside = family.make(K, max_iter=4, random_state=0).fit(X, labels=np.arange(N) % K)
                assert model.history_[-1] == pytest.approx(beside.history_[-1])
            elif case.name in ("truncate", "a start by row"):
                with pytest.raises(ValueError) as error:
                    fitted(model, [case, spark], X)
                assert str(error.value) in sentences_of(model, {case.name, "Spark"})
            else:
                fitted(model, [case, spark], X)
                check_laws(model, [case, spark], X)


def test_every_row_of_the_table_is_met():
    """By two of the cases here, or by what only other calls ask for."""
    names = {"regression"}  # tests/families/gaussian/test_regressor.py
    met = set()
    for pair in combinations(CASES, 2):
        if {case.name for case in pair} in NO_PAIR or pair[0].name == "a start by row" == pair[1].name:
            continue
        for family in ("full", "student", "bayesian"):
            X = FAMILIES[family].data(N)
            asked = merged_parameters(pair, X)
            if set(asked) <= set(FAMILIES[family].make(K).get_params()):
                met |= {*sentences_of(FAMILIES[family].make(K, **asked), {case.name for case in pair})}
    patterns = [re.escape(re.sub(r"\{\d\}", "@", row.sentence)).replace("@", ".*") for row in REFUSED]
    unmet = [row[:2] for row, pattern in zip(REFUSED, patterns) if not any(re.fullmatch(pattern, s) for s in met)]
    assert [row for row in unmet if not names & {*row}] == []


def test_every_row_of_the_table_names_features():
    for first, second, sentence in REFUSED:
        assert first in FEATURES and second in FEATURES and sentence.endswith((".", "}."))
    assert len({frozenset(row[:2]) for row in REFUSED}) == len(REFUSED)


def test_a_plain_request_is_refused_nothing():
    for family in FAMILIES.values():
        asked = [name for name, feature in FEATURES.items() if feature(request_of(family.make(K)))]
        assert asked == ["variational"] * (family is BAYESIAN)
    assert [name for name, asked in FEATURES.items() if asked(Request())] == []


def lumps(X):
    """Rows of which some lie on one far point, so that a component collapses there."""
    lumped = X.copy()
    lumped[:5] = 3 * X.max(axis=0)
    return lumped


@pytest.mark.parametrize("moves", [{}, {"n_init": 3}, {"split_merge": 2}, {"n_init": 2, "split_merge": 2}], ids=str)
@pytest.mark.parametrize("policy", ["floor", "reseed", "drop", "raise"])
@pytest.mark.parametrize("name", ["full", "student", "gamma", "mixed"])
@pytest.mark.filterwarnings("ignore")
def test_components_that_collapse_beside_restarts(name, policy, moves):
    family = FAMILIES[name]
    X = lumps(family.data(N)) if name not in ("mixed", "von Mises-Fisher") else family.data(N)
    if name == "mixed":
        X[:5] = X[0]
        X[:5, [1, 3]] = 30
    for seed in range(2):
        model = family.make(5, on_collapse=policy, init_params="kmeans", max_iter=25, random_state=seed, **moves)
        try:
            model.fit(X)
        except CollapsedComponent as error:
            assert policy == "raise" and "collapsed in iteration" in str(error)
            continue
        events = [event for restart in model.fit_report_.restarts for event in restart.events]
        assert bool(events) == (policy in ("reseed", "drop")) or policy == "raise"
        assert policy == "drop" or len(model.weights_) == 5
        check_laws(model, [], X)
        assert len(model.fit_report_.components) == len(model.weights_)


# ---- regressions, whose rows have targets ----------------------------------------------------------------------------

OF_REGRESSIONS = {
    "covariates": lambda rows: rows | {"covariates": rows["X"][:, :1] ** 3},
    "trials": lambda rows: rows | {"trials": np.arange(len(rows["X"])) % 7 + 1.0},
    "exposure": lambda rows: rows | {"exposure": np.arange(len(rows["X"])) % 7 + 0.5},
    "weights": lambda rows: rows | {"sample_weight": np.arange(len(rows["X"])) % 3},
    "two outputs": lambda rows: rows | {"y": np.column_stack([rows["y"], rows["y"][::-1]])},
    "float32": lambda rows: rows | {"X": rows["X"].astype(np.float32)},
    "one component": lambda rows: rows | {"K": 1},
    "dependent columns": lambda rows: rows | {"X": rows["X"][:, [0, 0, 1]]},
    "far columns": lambda rows: rows | {"X": rows["X"] * [1e-3, 1e3] + [5, -1e5]},
}


@pytest.mark.filterwarnings("ignore::fastem.ConvergenceWarning")
@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
@pytest.mark.parametrize("pair", list(combinations(OF_REGRESSIONS, 2)), ids=str)
def test_pairs_of_features_of_regressions(pair, family, tmp_path):
    if {*pair} == {"dependent columns", "far columns"}:
        pytest.skip("of two and of three columns")
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (200, 2))
    eta = np.where(rng.random(200) < 0.5, 2 * X[:, 0], 1 - X[:, 1])
    y = {"gaussian": eta + 0.1 * rng.normal(size=200), "poisson": rng.poisson(np.exp(eta)), "binomial": eta > 0.3}
    rows = {"X": X, "y": y[family].astype(float), "sample_weight": None, "K": 2}
    for name in pair:
        rows = OF_REGRESSIONS[name](rows)
    K, X, y, weight = (rows.pop(name) for name in ("K", "X", "y", "sample_weight"))
    model = fastem.MixtureOfRegressions(K, family=family, random_state=0, max_iter=60, n_init=4)
    for role, own in {"trials": "binomial", "exposure": "poisson"}.items():
        if role in rows and family != own:
            with pytest.raises(ValueError, match=f"{role} is only for family='{own}', but this is family='{family}'"):
                model.fit(X, y, weight, **rows)
            return
    model.fit(X, y, weight, **rows)
    history = np.array(model.history_)
    assert (np.diff(history) >= -1e-11 * abs(history[1:])).all()
    density = model.score_samples(X, y, **rows)
    assert np.isclose(density @ (np.ones(200) if weight is None else weight), model.log_likelihood_, rtol=1e-7)
    shares = model.predict_components(X, y, **rows)
    assert shares.shape == (200, K) and np.allclose(shares.sum(axis=1), 1)
    mean, deviation = model.predict(X, return_std=True, **rows)
    assert mean.shape == deviation.shape == y.shape and (deviation > 0).all()
    assert np.isfinite(model.bic(X, y, weight, **rows))
    assert model.coef_.shape == (K, *y.shape[1:], X.shape[1])
    model.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    assert np.allclose(loaded.score_samples(X, y, **rows), density, rtol=1e-6, atol=1e-8)
