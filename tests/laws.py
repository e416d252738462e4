"""The laws that every fit keeps, tried on the cases of random_cases.py.

A case is fitted and used; it must end with finite numbers, or with an error that fastem itself raises and that says
why. Where it is fitted, ALWAYS holds, and one of RARE is tried, which takes further fits.
"""

import linecache
import traceback
import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import reference

import fastem
from fastem.errors import IllDefinedCovariance
from fastem.kernels.packing import unpack_symmetric
from fastem.models.gaussian.parsimonious import NEAR
from fastem.models.gaussian.pieces import TIGHT
from fastem.models.gaussian.short_runs import short_runs
from fastem.models.gaussian.structures import STRUCTURES
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.sources.open_rows import in_moderate_weights
from fastem.starts.from_memberships import from_membership

try:
    import ball_reference
except ModuleNotFoundError as error:
    if error.name != "flint":
        raise
    ball_reference = None  # the law of Gaussians in extended precision remains

PACKAGE = str(Path(fastem.__file__).parent)
SAID = (fastem.ConvergenceWarning, fastem.DegenerateComponentWarning, UserWarning)  # but no log-likelihood that fell
FAR = ("tiny", "huge", "offset", "outlier", "scales", "large counts", "one large")  # rows whose digits cancel
ITERATED = 1e-10  # how far M-steps that iterate may end from each other, a row
TIED_AXES = 1e-6  # difference of two eigenvalues, relative to the largest, from which on rounding does not turn axes
EPSILON = {name: np.finfo(name).eps for name in ("float32", "float64")}
CLOSED_UNDER_UNITS = ("full", "tied", "diag", "VVV", "EEE", "VVI", "VEI", "EVI", "EEI", "VEE")  # of each column

OF_MATRICES = (
    "full",
    "tied",
    "VVV",
    "EEE",
    "VEE",
)  # mclust's default prior of the others is the same along all columns


def is_far(case):
    return any(name in case.kind for name in FAR)


def numbers(estimator):
    """{name: value} of what a fit leaves that is of floating point, properties as well."""
    names = [name for name in dir(estimator) if name.endswith("_") and not name.startswith("_")]
    values = {name: getattr(estimator, name, None) for name in names}
    return {
        name: np.asarray(value)
        for name, value in values.items()
        if isinstance(value, (np.ndarray, float)) and np.asarray(value).dtype.kind == "f"
    }


def dense_covariances(estimator):
    """(K, d, d), or None where the estimator has none."""
    if not hasattr(estimator, "covariances_"):
        return None
    model = estimator.model_
    emission = getattr(model.emission, "emission", model.emission)  # without the noise
    K, d = emission.means.shape
    return np.array([emission.covariance.pooled(one, d) for one in np.eye(K)])


def correlations(covariances):
    units = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    return covariances / units[:, :, None] / units[:, None, :]


def condition(estimator):
    """By how much terms of a log-density are larger than it: of covariances, of what noise leaves of variances, of
    exponential families the largest parameter."""
    if hasattr(estimator, "get_covariance"):
        return (np.diagonal(estimator.get_covariance()) / estimator.noise_variance_).max()
    covariances = dense_covariances(estimator)
    if covariances is not None:
        return np.linalg.cond(correlations(covariances)).max()
    names = ("shapes_", "concentrations_", "rates_")
    return max([1.0, *(getattr(estimator, name).max() for name in names if hasattr(estimator, name))])


def rounding(case, estimator):
    """What rounding may do to a log-density."""
    size = 1 + abs(estimator.score_samples(case.X, **case.sides)).max()
    return 100 * EPSILON[case.X.dtype.name] * condition(estimator) * size


# ---- always ----------------------------------------------------------------------------------------------------------


OF_ALL_ROWS = ("log_likelihood_", "log_likelihood_error_", "lower_bound_", "remaining_gain_")


def finite(case, estimator):
    for name, value in numbers(estimator).items():
        # many degrees of freedom are none; too few iterations tell no gain; a singular factor has no digits
        infinite = ("degrees_of_freedom_", "remaining_gain_", "log_likelihood_error_")
        if name in OF_ALL_ROWS and "partial_fit" in estimator.stop_reason_:
            assert np.isnan(value), f"{name} is told, though no pass has seen all rows"
            continue
        assert np.isfinite(value).all() or (name in infinite and not np.isnan(value).any()), f"{name} is not finite"


def weights_sum_to_1(case, estimator):
    if hasattr(estimator, "weights_"):
        weights = np.append(estimator.weights_, getattr(estimator, "noise_weight_", 0.0))
        assert (weights >= 0).all() and abs(weights.sum() - 1) < 1e-12, f"the weights are {weights}"


def covariances_are_positive_definite(case, estimator):
    covariances = dense_covariances(estimator)
    if covariances is None:
        return
    assert np.allclose(covariances, np.swapaxes(covariances, 1, 2), rtol=1e-12, atol=0), "a covariance is not symmetric"
    assert (np.diagonal(covariances, axis1=1, axis2=2) > 0).all(), "a variance is not positive"
    least = np.linalg.eigvalsh(correlations(covariances))[:, 0].min()
    assert least > -1e-15, f"a covariance has the eigenvalue {least}"


def history_never_falls(case, estimator):
    """By more than rounding explains, which may take more from a model on the way than from the last one."""
    history, weight = np.asarray(getattr(estimator, "history_", ())), weight_of(case).sum()
    assert np.isfinite(history).all(), "history_ is not finite"
    for i in np.flatnonzero(-np.diff(history) > ITERATED + 4 * estimator.log_likelihood_error_ / weight):
        ends = [case.fitted(case.estimator(max_iter=int(j))) for j in (i, i + 1)]
        explained = 2 * sum(end.log_likelihood_error_ for end in ends) / weight
        if not np.array_equal(ends[1].history_, history[: i + 2]):  # of another of several runs
            errors = errors_on_the_way(case)
            explained = 2 * sum(errors.get(tuple(history[:j]), 0.0) for j in (i + 1, i + 2)) / weight
        fall, allowed = history[i] - history[i + 1], ITERATED + explained
        assert fall <= allowed, f"history_ falls by {fall}, more than {allowed}"


def errors_on_the_way(case):
    """{log-likelihoods so far: what rounding may have done to the last} after each iteration of every run of a fit."""
    errors = {}
    case.fitted(callback=lambda result: errors.update({tuple(result.history): result.log_likelihood_error}))
    return errors


def weight_of(case):
    return np.ones(len(case.X)) if case.weight is None else case.weight


def score_is_the_log_likelihood(case, estimator):
    if case.labels is not None or integrates(estimator):
        return  # labels count in the fit alone; a predictive density is another one
    if case.name in ("PPCA", "FactorAnalysis") and is_far(case):
        return  # theirs comes from moments about the mean, before it is rounded
    density, weight = estimator.score_samples(case.X, **case.sides), weight_of(case)
    density, weight = density[weight > 0], weight[weight > 0]  # those of weight 0 may be impossible
    error = abs(estimator.log_likelihood_ - weight @ density)
    rounded = 4 * EPSILON[case.X.dtype.name] * (weight @ abs(density))
    allowed = 2 * estimator.log_likelihood_error_ + rounded
    assert error <= allowed, f"log_likelihood_ is off by {error}, more than {allowed}"


def integrates(estimator):
    """Whether its densities are those of rows to come, over the posterior of its parameters."""
    return getattr(estimator, "predictive", "") == "exact"


def log_likelihood_error_is_a_bound(case, estimator):
    """Of Gaussians against extended precision, and of all models against ball arithmetic where there is some."""
    if case.labels is not None or case.sides or case.name == "BayesianGaussianMixture":
        return
    found, bound, weight = estimator.log_likelihood_, estimator.log_likelihood_error_, weight_of(case)
    if not np.isfinite(bound):
        return
    if case.name == "GaussianMixture" and np.log10(weight[weight > 0]).min() > -200:
        exact = reference.extended_log_likelihood(
            case.X, estimator.weights_, estimator.means_, dense_covariances(estimator), background(estimator), weight
        )
        error = float(abs(found - exact))
        assert error <= bound, f"log_likelihood_ {found!r} is off by {error}, more than the {bound} that it says"
    if ball_reference is not None:
        exact = ball_reference.log_likelihood(estimator.model_, case.X, weight)
        error = float(abs(ball_reference.arb(float(found)) - exact).mid())
        assert error <= bound, f"log_likelihood_ {found!r} is off by {error} of balls, more than the {bound} it says"


def background(estimator):
    """(weight, log-density) of the noise, or None."""
    if not hasattr(estimator, "noise_weight_"):
        return None
    return estimator.noise_weight_, -estimator.noise_log_volume_


def certified_fits_have_nothing_to_gain(case, estimator):
    if case.parameters.get("stop") == "certified" and estimator.converged_:
        _, unit = in_moderate_weights(ArrayBlocks(case.X, case.weight))  # of which tol speaks
        most = case.parameters.get("tol", 1e-3) * unit
        gain = estimator.remaining_gain_
        assert gain <= most + estimator.log_likelihood_error_, f"certified, and {gain} is left to gain"


ALWAYS = (
    finite,
    weights_sum_to_1,
    covariances_are_positive_definite,
    history_never_falls,
    score_is_the_log_likelihood,
    log_likelihood_error_is_a_bound,
    certified_fits_have_nothing_to_gain,
)


# ---- now and then ----------------------------------------------------------------------------------------------------


def plain_numpy_agrees(case, estimator):
    """log p(x) of Gaussian mixtures from weights_, means_ and covariances_; with a posterior, without its integral."""
    if case.name not in ("GaussianMixture", "BayesianGaussianMixture") or is_far(case):
        return
    X, covariances = case.X.astype(np.float64), dense_covariances(estimator)
    joint_of = reference.incomplete_joint if np.isnan(X).any() else reference.log_joint
    if case.name == "BayesianGaussianMixture":
        if np.isnan(X).any():
            return
        found = estimator.model_.log_joint(case.X)
        joint = reference.expected_log_joint(X, estimator, covariances)
        error = (abs(joint - found) / (1 + abs(joint)))[np.isfinite(found)].max()
        limit = rounding(case, estimator)
        assert error <= limit, f"log_joint differs from plain numpy by {error} of its size, more than {limit}"
        return
    joint = joint_of(X, estimator.weights_, estimator.means_, covariances)
    if (noise := background(estimator)) is not None and noise[0] > 0:
        joint = np.column_stack([joint, np.full(len(X), np.log(noise[0]) + noise[1])])
    error = abs(reference.log_density(joint) - estimator.score_samples(case.X)).max()
    allowed = rounding(case, estimator) + estimator.log_likelihood_error_ / weight_of(case).sum()
    assert error <= allowed, f"score_samples differs from plain numpy by {error}"


def same_numbers(first, second, what):
    first, second = numbers(first), numbers(second)
    assert first.keys() == second.keys(), f"{what}: other attributes"
    for name in first:
        assert np.array_equal(first[name], second[name], equal_nan=True), f"{what}: other bits of {name}"


def same_bits_with_any_threads(case, estimator):
    if "n_threads" in estimator.get_params():
        for n_threads in (1, 3):
            same_numbers(estimator, case.fitted(case.estimator(n_threads=n_threads)), f"n_threads={n_threads}")


def same_bits_in_chunks(case, estimator):
    if case.labels is not None or case.weight is not None:
        return
    ends = np.unique(np.random.default_rng(case.seed).integers(1, max(2, len(case.X)), 3))
    same_numbers(estimator, case.fitted(X=[part for part in np.split(case.X, ends) if len(part)]), "chunks")


def same_bits_in_another_layout(case, estimator):
    same_numbers(estimator, case.fitted(X=np.asfortranarray(case.X)), "Fortran order")


OWN_UNITS = {"noise", "init_params", "n_init", "split_merge", "on_collapse", "weight_concentration_prior"}
WITH_UNITS = (
    "GaussianMixture",
    "StudentTMixture",
    "MixtureOfFactorAnalyzers",
    "PPCA",
    "FactorAnalysis",
    "GammaMixture",
    "ExponentialMixture",
)


def same_after_units(case, estimator):
    """Units by powers of two: the log-likelihood moves by their logarithm. From a start that is given, and where no
    component is small or at the floor, since rounding decides what becomes of those."""
    X, mixture = case.X, "n_factors" in case.parameters or "random_state" in case.parameters
    own = {key: value for key, value in case.parameters.items() if key not in OWN_UNITS}
    K = own["n_components"] if mixture else 1
    constant = np.nanmin(X, axis=0) == np.nanmax(X, axis=0)
    if case.name not in WITH_UNITS or constant.any() or is_far(case) or len(X) < 10 * K * X.shape[1]:
        return
    if mixture:
        own |= {"init_params": np.arange(len(X)) % K, "max_iter": 1, "accelerate": None}
    rng = np.random.default_rng(case.seed)
    powers = rng.integers(-12, 13, X.shape[1])
    structure = case.parameters.get("covariance_type", "full")
    if case.name == "PPCA" or structure not in CLOSED_UNDER_UNITS or ("prior" in own and structure not in OF_MATRICES):
        powers[:] = powers[0]
    plain = replace(case, parameters=own, labels=None)
    here, there = plain.fitted(), plain.fitted(X=np.ldexp(X, powers))
    if mixture and not all(restart.sound for fit in (here, there) for restart in fit.fit_report_.restarts):
        return
    weight = np.ones(len(X)) if case.weight is None else case.weight
    expected = here.log_likelihood_ - np.log(2) * (weight @ (~np.isnan(X) * powers).sum(axis=1))
    off = abs(there.log_likelihood_ - expected) / weight.sum()
    assert off <= 10 * (ITERATED + rounding(plain, here)), f"in other units the log-likelihood is off by {off} a row"


def same_log_likelihood(case, estimator, here, there, what):
    """Of two problems (model, rows, weights) that are one: within what both say of their error; and after one step."""
    first, second = (fastem.em(model, X, sample_weight=w, max_iter=0) for model, X, w in (here, there))
    apart, allowed = abs(first.log_likelihood - second.log_likelihood), both_errors(first, second)
    assert apart <= allowed, f"{what}: {apart} apart, more than {allowed}"
    if is_far(case) or not has_rows_for_axes(estimator, first.statistics):
        return
    stepped = [fastem.em(model, X, sample_weight=w, max_iter=1, tol=0) for model, X, w in (here, there)]
    weight = len(here[1]) if here[2] is None else here[2].sum()
    of_steps = sum(
        after.model.step_error(before.statistics, before.model, before.rows_read, before.dtype) * before.unit
        for before, after in zip((first, second), stepped)
    )
    apart = abs(stepped[0].log_likelihood - stepped[1].log_likelihood)
    # a step that loses so much of Q, at whose maximum it is, changes the log-likelihood by its root, at whose it is
    # not, and by more where there is more to gain
    to_gain = max(weight, abs(stepped[0].log_likelihood - first.log_likelihood))
    allowed = both_errors(*stepped) + of_steps + np.sqrt(of_steps * to_gain) + weight * ITERATED
    assert apart <= allowed, f"{what}, after one step: {apart} apart, more than {allowed}"


def has_rows_for_axes(estimator, statistics):
    """Whether the components' rows determine the axes of their covariances: else an M-step may turn them anyhow. A
    scatter that is as wide along one axis as along another, as with fewer different rows than axes, leaves the turn of
    these two to rounding."""
    emission = getattr(estimator.model_, "emission", None)
    if getattr(getattr(emission, "covariance", None), "orientation", "I") == "I":
        return True
    counts, d = statistics.counts[: len(statistics.first)], emission.shape[1]  # without that of the noise
    if not (counts > d + 1).all():
        return False
    shift = statistics.first / counts[:, None]
    scatter = unpack_symmetric(statistics.second, d) / counts[:, None, None] - shift[:, :, None] * shift[:, None, :]
    values = np.linalg.eigvalsh(scatter)
    return bool((np.diff(values, axis=1) > TIED_AXES * values[:, -1:]).all())


def both_errors(first, second):
    return first.log_likelihood_error + second.log_likelihood_error


def same_in_any_order_of_rows(case, estimator):
    if hasattr(estimator, "model_"):
        model, weight = estimator.model_, case.weight
        order = np.random.default_rng(case.seed).permutation(len(case.X))
        there = model, case.X[order], None if weight is None else weight[order]
        same_log_likelihood(case, estimator, (model, case.X, weight), there, "in another order of rows")


def whole_weights_are_repeated_rows(case, estimator):
    if hasattr(estimator, "model_"):
        model, times = estimator.model_, np.random.default_rng(case.seed).integers(0, 4, len(case.X))
        times[0] = 2
        here = model, case.X, times.astype(float)
        same_log_likelihood(case, estimator, here, (model, np.repeat(case.X, times, axis=0), None), "repeated rows")


def same_with_components_in_another_order(case, estimator):
    fewer = {"noise", "prior", "max_eigenvalue_ratio"} & set(case.parameters) or case.labels is not None
    if case.name != "GaussianMixture" or case.parameters["covariance_type"] != "full" or fewer or is_far(case):
        return
    K = len(estimator.weights_)
    found = []
    for order in (np.arange(K), np.arange(K)[::-1]):
        start = {
            "weights_init": estimator.weights_[order],
            "means_init": estimator.means_[order],
            "precisions_init": estimator.precisions_[order],
        }
        own = {
            "n_components": K,
            "max_iter": 1,
            "n_init": 1,
            "split_merge": 0,
            "on_collapse": "floor",
            "accelerate": None,
        }
        if case.parameters.get("equal_weights"):
            del start["weights_init"]
        found.append(case.fitted(case.estimator(**own | start)).log_likelihood_)
    weight = len(case.X) if case.weight is None else case.weight.sum()
    allowed = 10 * weight * (ITERATED + rounding(case, estimator))
    assert abs(found[0] - found[1]) <= allowed, f"other order of components: {found}"


def moved_rows_with_moved_means(case, estimator):
    kinds = "GaussianMixture", "StudentTMixture"
    if case.name not in kinds or {"noise", "prior", "max_eigenvalue_ratio"} & set(case.parameters):
        return
    move = np.random.default_rng(case.seed).integers(-64, 65, case.X.shape[1]).astype(case.X.dtype)
    with np.errstate(over="ignore"):
        X, means = ((x * 2.0**12).round() / 2.0**12 for x in (case.X, estimator.means_))  # with digits to spare
    X = X.astype(case.X.dtype)
    if not np.isfinite(X).all():  # the digits to spare are beyond the type's range
        return
    moved, moved_means = X + move, means + move
    exact = moved.astype(np.float64) - X.astype(np.float64)  # in float32 a move far from 0 is none, there and back
    if not (((exact == move) | np.isnan(exact)).all() and np.array_equal(moved_means - move, means)):
        return  # digits were lost
    of_means = [replace(estimator.model_.emission, means=m) for m in (means, moved_means)]
    model, elsewhere = (replace(estimator.model_, emission=emission) for emission in of_means)
    here, there = (model, X, case.weight), (elsewhere, moved, case.weight)
    same_log_likelihood(case, estimator, here, there, "moved")


def compiled_steps_are_the_drivers(case, estimator):
    """Short runs, from a start where every component holds rows from all over."""
    K, covariance_type = case.parameters.get("n_components"), case.parameters.get("covariance_type")
    if case.name != "GaussianMixture" or is_far(case) or np.isnan(case.X).any() or len(case.X) < 10 * K:
        return
    X, weight = case.X.astype(np.float64), weight_of(case) / weight_of(case).max()
    labels, floor = np.arange(len(X)) % K, 1e-6 * X.var(axis=0)
    if not floor.all():
        return
    if len(np.unique(X, axis=0)) < K * (X.shape[1] + 1):
        return  # on their way to the floor, which some component must take: 500 sweeps of an M-step do not settle there
    try:
        start = from_membership(X, weight, labels, K, STRUCTURES[covariance_type], floor)
    except IllDefinedCovariance:
        return  # of rows that do not vary
    blocks = ArrayBlocks(X, weight)
    (run,) = short_runs([start], blocks, 5, 1)
    driven = fastem.em(start, blocks, max_iter=run.n_iter, tol=0)
    # M-steps that are as good up to some change may differ by its root in what they do not maximise, the log-likelihood
    iterated = {"VEE": NEAR, "EVE": NEAR, "VVE": NEAR, "VEI": TIGHT, "VEV": TIGHT}
    dense = driven.model.emission.covariance.dense(K, X.shape[1]).covariances
    worse = max(1.0, np.linalg.cond(correlations(dense)).max() / condition(estimator))  # one may be held at a ratio
    bound = run.n_iter * np.sqrt(iterated.get(covariance_type, 0)) + ITERATED + worse * rounding(case, estimator)
    apart = abs(np.array(run.history) - driven.history[: len(run.history)]).max(initial=0)
    assert apart <= bound, f"compiled steps are {apart} off the driver's"
    last = fastem.em(run.model, blocks, max_iter=0).log_likelihood - driven.log_likelihood
    assert abs(last) <= weight.sum() * bound, f"after {run.n_iter} compiled steps the model is {last} off the driver's"


def from_here(case, estimator, rows):
    """The estimator after one step on some of the rows, by their numbers, from where it is."""
    own = {"warm_start": True, "max_iter": 1, "tol": 0.0, "stop": "log_likelihood", "accelerate": None}
    own |= {"n_init": 1, "split_merge": 0, "on_collapse": "floor"}
    if hasattr(estimator, "weights_"):  # after a component was dropped
        own["n_components"] = len(estimator.weights_)
    again = deepcopy(estimator).set_params(**own)
    return of_rows(case, rows).fitted(again)


def of_rows(case, rows):
    """The case with some of its rows, by their numbers."""
    sides = {role: values[rows] for role, values in case.sides.items()}
    return replace(case, X=case.X[rows], weight=None if case.weight is None else case.weight[rows], sides=sides)


def both_ends(case, first, second, what, far):
    """Of fits of one step to problems that are one: within what both say of their error, before and after the step;
    after it where no floor holds it, which is that of the rows."""
    weight = weight_of(case).sum()
    far = far or any(not is_of_rows_alone(case, one) or is_near_the_floor(one) for one in (first, second))
    errors = 10 * ITERATED * weight + 10 * (first.log_likelihood_error_ + second.log_likelihood_error_)
    errors += weight * rounded_gate(case, first)
    apart = abs(np.subtract(first.history_, second.history_)) * weight
    apart = apart[:1] if far else apart  # a step from rounded moments is another step
    assert (apart <= errors + 1e-12 * weight * abs(np.array(first.history_[: len(apart)]))).all(), (
        f"{what}: {apart} apart, more than {errors}"
    )


def is_of_rows_alone(case, estimator):
    """Whether nothing is held by what follows from scales of the rows: starts see intervals by their place."""
    scaled = {"prior", "max_eigenvalue_ratio"} & set(case.parameters)
    return not scaled and all(status == "ok" for status in estimator.component_status_)


def is_near_the_floor(estimator):
    """Whether a covariance has a deviation of less than ten times the floor's: a structure may have held its shape at
    the floor, and then made it larger together with others."""
    emission = estimator._mixture().emission
    if not hasattr(emission, "dense_covariances") or not (emission.floor > 0).all():
        return False
    unit = np.sqrt(emission.floor)
    scaled = emission.dense_covariances() / unit / unit[:, None]
    return bool((np.linalg.eigvalsh(scaled) < 100).any())


def has_far_sides(case):
    """Whether covariates lie so far from 0 that their means, about which a gate steps, are rounded."""
    side = case.sides.get("covariates")
    return side is not None and bool((abs(side).max(axis=0) > 1e6 * np.ptp(side, axis=0)).any())


def rounded_gate(case, estimator):
    """How far the gate's exponents may be off a row where it is about the mean of other rows, or of these in another
    order."""
    side = case.sides.get("covariates")
    if side is None or not side.shape[1]:
        return 0.0
    slopes = abs(estimator.gate_coefficients_[:, 1:]).max(axis=0)
    return 8 * np.finfo(np.float64).eps * float(abs(side).max(axis=0) @ slopes)


def with_sides_in_any_order(case, estimator):
    if not is_of_rows_alone(case, estimator):
        return
    order = np.random.default_rng(case.seed).permutation(len(case.X))
    here, there = (from_here(case, estimator, rows) for rows in (np.arange(len(case.X)), order))
    both_ends(case, here, there, "in another order of rows", is_far(case) or has_far_sides(case))


def with_sides_twice(case, estimator):
    """Where no prior counts for a number of rows, as that of a gate does."""
    counts = "covariates" in case.sides or "weight_concentration_prior" in case.parameters
    if counts or not is_of_rows_alone(case, estimator):
        return
    rows = np.arange(len(case.X))
    here, there = (from_here(case, estimator, rows) for rows in (rows, np.append(rows, rows)))
    both_ends(case, here, there, "all rows twice", is_far(case) or has_far_sides(case))


WITH_SIDES = (
    same_bits_with_any_threads,
    same_bits_in_another_layout,
    with_sides_in_any_order,
    with_sides_twice,
)
RARE = (
    plain_numpy_agrees,
    same_bits_with_any_threads,
    same_bits_in_chunks,
    same_bits_in_another_layout,
    same_after_units,
    same_in_any_order_of_rows,
    whole_weights_are_repeated_rows,
    same_with_components_in_another_order,
    moved_rows_with_moved_means,
    compiled_steps_are_the_drivers,
)


# ---- a case ----------------------------------------------------------------------------------------------------------


def by_fastem(error):
    """Whether an error was raised by a statement of fastem, and not by what it called."""
    if not isinstance(error, (ValueError, TypeError)) or isinstance(error, np.linalg.LinAlgError) or not str(error):
        return False
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = linecache.getline(frame.filename, frame.lineno).strip()
    return frame.filename.startswith(PACKAGE) and line.startswith("raise ")


def place_of(error):
    """The innermost line of fastem that an error went through; the law, where one is broken."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, AssertionError):
        return next(
            frame.name for frame in reversed(frames) if frame.name not in ("same_numbers", "same_log_likelihood")
        )
    own = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
    frame = own[-1] if own else frames[-1]
    return f"{frame.filename.removeprefix(PACKAGE + '/')}:{frame.lineno}"


def what_is_wrong(case):
    """({place: what}, whether it was fitted) of a case."""
    wrong, fitted = {}, False
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            estimator = case.fitted()
            fitted = True
            rare = WITH_SIDES if case.sides else RARE
            for law in (*ALWAYS, rare[int(case.law * len(rare))]):
                law(case, estimator)
            used = case.use(estimator, case) or estimator
            finite(case, used)
            weights_sum_to_1(case, used)
            covariances_are_positive_definite(case, used)
        except Exception as error:
            if not by_fastem(error):
                wrong[place_of(error)] = f"{type(error).__name__}: {error}"
    for one in heard:
        if not issubclass(one.category, SAID):
            place = f"{one.filename.removeprefix(PACKAGE + '/')}:{one.lineno}"
            if not one.filename.startswith(PACKAGE):  # of a statement in the case
                place = one.category.__name__
            wrong[place] = f"{one.category.__name__}: {one.message}"
    return {place: f"{what[:200]} [seed {case.seed}: {case}]" for place, what in wrong.items()}, fitted
