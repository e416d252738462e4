"""The certified answers against a plain evaluation in more digits than doubles have, which shares nothing with them."""

import mpmath
import numpy as np
import pytest
from scipy.special import gammaln

from fastem.check import component_order, digits, parameter_digits
from fastem.datasets import load_certified

PROBLEMS = load_certified()
NAMES = [problem.name for problem in PROBLEMS]
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)
LONG = np.longdouble
TWO_PI = 2 * LONG(np.pi) + 2 * LONG("1.2246467991473531772e-16")


def longs(value):
    """Decimal strings as long doubles."""
    return np.vectorize(LONG, otypes=[LONG])(np.array(value))


def log_likelihood(problem, parameters):
    """Of parameters by name, as sums over rows and components, in the precision of the parameters."""
    joint = log_densities(problem, parameters) + log_weights(problem, parameters)
    most = joint.max(axis=1)
    return (most + np.log(np.exp(joint - most[:, None]).sum(axis=1))).sum()


def log_weights(problem, parameters):
    """(K,), or (n, K) where they depend on covariates."""
    if "gate_coefficients" not in parameters:
        return np.log(parameters["weights"])
    C = problem.sides["covariates"].astype(LONG)
    logits = np.column_stack([np.ones(len(C), LONG), C]) @ parameters["gate_coefficients"].T
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def log_prior(problem, parameters):
    """Of a gate's slopes; see pages/covariates.md."""
    if "gate_coefficients" not in parameters:
        return 0
    C, slopes = problem.sides["covariates"].astype(LONG), parameters["gate_coefficients"][:, 1:]
    units = abs(C - C.mean(axis=0)).max(axis=0)
    return -LONG("1e-3") / 2 * (((slopes - slopes.mean(axis=0)) * units) ** 2).sum()


def bounded(problem, parameters):
    """Log-probabilities of intervals of one column, and log-densities where both ends are equal."""
    low, high = problem.sides["lower"], problem.sides["upper"]
    if "rates" in parameters:
        rates = parameters["rates"][:, 0]
        exact = np.log(rates) - rates * low
        with np.errstate(divide="ignore"):
            within = np.log(np.exp(-rates * low.astype(LONG)) - np.exp(-rates * high.astype(LONG)))
    else:
        mean, deviation = parameters["means"][:, 0], np.sqrt(parameters["covariances"][:, 0, 0])
        exact = -(((low - mean) / deviation) ** 2) / 2 - np.log(deviation) - np.log(TWO_PI) / 2
        within = log_probability((low - mean) / deviation, (high - mean) / deviation)
    return np.where(low == high, exact, within)


def log_probability(a, b):
    """Of the normal distribution between a and b, in long doubles."""

    def of_ends(a, b):
        with mpmath.workdps(30):
            a, b = (
                mpmath.mpf(float(x)) + mpmath.mpf(float(x - LONG(float(x)))) if np.isfinite(x) else x for x in (a, b)
            )
            return LONG(mpmath.nstr(mpmath.log(mpmath.ncdf(b) - mpmath.ncdf(a)), 25))

    return np.vectorize(of_ends, otypes=[LONG])(*np.broadcast_arrays(a, b))


def log_densities(problem, parameters):
    if "lower" in problem.sides:
        return bounded(problem, parameters)
    X, d = problem.data.astype(LONG), problem.data.shape[1]
    if "means" in parameters:
        square, log_det, size = distances(
            X, parameters["means"], dense(problem, parameters["covariances"]), problem.sides.get("errors")
        )
        if "degrees_of_freedom" not in parameters:
            return -(square + log_det + size * np.log(TWO_PI)) / 2
        nu = parameters["degrees_of_freedom"]
        constant = (gammaln(((nu + d) / 2).astype(float)) - gammaln((nu / 2).astype(float))).astype(LONG)
        return constant - (d * np.log(nu * TWO_PI / 2) + log_det + (nu + d) * np.log1p(square / nu)) / 2
    X = X[:, None]
    if problem.family == "CategoricalMixture":
        p = parameters["probabilities"]
        return sum(np.log(p[:, j, X[:, 0, j].astype(int)]).T for j in range(d))
    if problem.family in ("BernoulliMixture", "GeometricMixture"):
        p = parameters["probabilities"]
        hit, missed = (X, 1 - X) if problem.family == "BernoulliMixture" else (1, X)
        return (hit * np.log(p) + missed * np.log1p(-p)).sum(axis=2)
    rates = parameters["rates"]
    if problem.family == "PoissonMixture":
        return (X * np.log(rates) - rates - log_factorials(X)).sum(axis=2)
    shapes = parameters.get("shapes", np.ones_like(rates))
    of_shapes = gammaln(shapes.astype(float))
    return (shapes * np.log(rates) + (shapes - 1) * np.log(X) - rates * X - of_shapes).sum(axis=2)


def log_factorials(X):
    return np.concatenate([[0, 0], np.cumsum(np.log(np.arange(2, X.max() + 1, dtype=LONG)))])[X.astype(int)]


def shared(problem):
    return problem.settings.get("covariance_type") == "tied"


def dense(problem, covariances):
    """(K, d, d)"""
    K, d = problem.n_components, problem.data.shape[1]
    if shared(problem):
        return np.broadcast_to(covariances, (K, d, d))
    if covariances.shape == (K, d, d):
        return covariances
    return np.eye(d) * np.broadcast_to(covariances.reshape(K, -1), (K, d))[:, None]


def distances(X, means, covariances, errors=None):
    """(n, K) squared distances, (n, K) log-determinants and (n, 1) numbers of values; NaN is not there. `errors`: the
    standard deviations of what the values have on top."""
    square, log_det = (np.empty((len(X), len(means)), LONG) for _ in range(2))
    there = ~np.isnan(X)
    if errors is not None:
        for own in np.unique(errors, axis=0):
            rows = (errors == own).all(axis=1)
            square[rows], log_det[rows], _ = distances(X[rows], means, covariances + np.diag(own.astype(LONG) ** 2))
        return square, log_det, there.sum(axis=1, keepdims=True)
    for pattern in np.unique(there, axis=0):
        rows, at = (there == pattern).all(axis=1), np.flatnonzero(pattern)
        for k, (mean, covariance) in enumerate(zip(means, covariances)):
            root = covariance[np.ix_(at, at)].copy()  # Gauss' elimination: pivots and what they leave of the rows
            z, total = (X[rows][:, at] - mean[at]).T.copy(), 0
            logs = LONG(0)
            for i, pivot in enumerate(root):
                logs += np.log(pivot[i])
                total = total + z[i] ** 2 / pivot[i]
                for j in range(i + 1, len(at)):
                    factor = root[j, i] / pivot[i]
                    root[j] -= factor * pivot
                    z[j] -= factor * z[i]
            square[rows, k], log_det[rows, k] = total, logs
    return square, log_det, there.sum(axis=1, keepdims=True)


def test_there_are_problems_of_every_level_and_kind():
    assert len(PROBLEMS) >= 30 and len(set(NAMES)) == len(NAMES)
    assert {problem.level for problem in PROBLEMS} == {"low", "average", "high"}
    assert len({problem.family for problem in PROBLEMS}) == 10
    kinds = {problem.settings.get("covariance_type") for problem in PROBLEMS}
    assert kinds >= {"full", "tied", "diag", "spherical", "VEV"}
    assert any(np.isnan(problem.data).any() for problem in PROBLEMS)
    assert all(0 < problem.radius <= 0.1 for problem in PROBLEMS)


def test_old_faithful_is_the_published_answer():
    problem = PROBLEMS[NAMES.index("faithful, waiting")]
    mpmath.mp.dps = 40
    numbers = problem.digits
    found = [
        mpmath.mpf(numbers["means"][0][0]),
        mpmath.mpf(numbers["means"][1][0]),
        mpmath.sqrt(mpmath.mpf(numbers["covariances"][0][0][0])),
        mpmath.sqrt(mpmath.mpf(numbers["covariances"][1][0][0])),
        mpmath.mpf(numbers["weights"][0]),
        mpmath.mpf(numbers["log_likelihood"]),
    ]
    published = [
        "54.614856140622935677",
        "80.091069402733643420",
        "5.8712194122244812181",
        "5.8677344237077060341",
        "0.36088607379017153921",
        "-1034.001749831607959787",
    ]
    for ours, theirs in zip(found, map(mpmath.mpf, published)):
        assert abs(ours - theirs) <= abs(theirs) * mpmath.mpf(10) ** -19


def test_old_faithful_in_forty_digits():
    problem = PROBLEMS[NAMES.index("faithful, waiting")]
    mpmath.mp.dps = 40
    weights, means, covariances = (problem.digits[name] for name in ("weights", "means", "covariances"))
    components = [
        (mpmath.mpf(w), mpmath.mpf(m[0]), mpmath.mpf(c[0][0])) for w, m, c in zip(weights, means, covariances)
    ]
    total, score = mpmath.mpf(0), mpmath.matrix(2, 1)
    for x in problem.data[:, 0]:
        terms = [w * mpmath.npdf(x, m, mpmath.sqrt(v)) for w, m, v in components]
        total += mpmath.log(sum(terms))
        for k, (_, m, v) in enumerate(components):
            score[k] += terms[k] / sum(terms) * (x - m) / v
    assert abs(total - mpmath.mpf(problem.digits["log_likelihood"])) < mpmath.mpf(10) ** -18
    assert max(abs(s) for s in score) < mpmath.mpf(10) ** -17


@each_problem
def test_the_log_likelihood_is_that_of_the_parameters(problem):
    parameters = {name: longs(value) for name, value in problem.digits.items()}
    value = log_likelihood(problem, parameters)
    assert abs(value / parameters["log_likelihood"] - 1) < 1000 * precision(problem)


def precision(problem):
    """Of the evaluation: long double, which may be double; log-gammas are scipy's, in double."""
    return np.finfo(float if problem.family in ("StudentTMixture", "GammaMixture") else LONG).eps


@each_problem
def test_no_neighbour_is_better_and_the_slope_is_zero(problem):
    """Along each parameter that is free of the others: ℓ falls to both sides, alike to third order."""
    parameters = {name: longs(value) for name, value in problem.digits.items() if name != "log_likelihood"}
    best = objective(problem, parameters)
    for name, place in free(problem, parameters):
        step = length(problem, parameters, name, place)
        after, before = (
            objective(problem, parameters | {name: moved(parameters[name], name, place, h)}) for h in (step, -step)
        )
        curvature = 2 * best - after - before
        assert curvature > 0 and after < best and before < best, (name, place)
        assert abs(after - before) < 0.02 * curvature, (name, place)


def objective(problem, parameters):
    return log_likelihood(problem, parameters) + log_prior(problem, parameters)


def free(problem, parameters):
    """(name, index) of the parameters that may move alone, in the order of the file."""
    structured = problem.settings.get("covariance_type") not in (None, "full", "tied", "diag", "spherical")
    factors = "components" in parameters
    for name, value in parameters.items():
        if name in ("components", "noise_variances") or (name == "covariances" and (structured or factors)):
            continue
        if name == "weights" and "gate_coefficients" in parameters:
            continue
        for place in np.ndindex(value.shape):
            last = name == "weights" and place[0] == problem.n_components - 1
            of_sum = problem.family == "CategoricalMixture" and name == "probabilities"
            upper = name == "covariances" and value.ndim > 1 and place[-1] > place[-2] and is_matrix(problem, value)
            reference = name == "gate_coefficients" and place[0] == problem.n_components - 1
            if not (last or upper or reference or (of_sum and (place[2] == 0 or value[place] == 0))):
                yield name, place


def is_matrix(problem, value):
    return problem.settings.get("covariance_type", "full") in ("full", "tied")


def moved(value, name, place, step):
    """The array with one number moved, and what hangs on it: its mirror image, or what the sum of 1 leaves."""
    value = value.copy()
    value[place] += step
    if name == "weights":
        value[-1] -= step
    elif name == "probabilities" and value.ndim == 3:
        value[(*place[:2], 0)] -= step
    elif name == "covariances" and value.ndim > 1 and value.shape[-1] == value.shape[-2] and place[-1] != place[-2]:
        value[(*place[:-2], place[-1], place[-2])] += step
    return value


def length(problem, parameters, name, place):
    """A step so small that a slope a hundredth of it away from the maximum shows, and large beside rounding."""
    value, share = parameters[name], 1000 * np.sqrt(precision(problem)).astype(LONG)
    if name in ("means", "covariances"):  # in deviations given the other columns
        precisions = np.linalg.inv(dense(problem, parameters["covariances"]).astype(float))
        precisions = precisions[0 if shared(problem) else place[0]]
        if name == "means":
            return share / np.sqrt(precisions[place[1], place[1]])
        if is_matrix(problem, value):
            return share / np.sqrt(precisions[place[-1], place[-1]] * precisions[place[-2], place[-2]])
    return share * abs(value[place])


@each_problem
def test_components_are_in_order_and_starts_are_near_but_not_there(problem):
    assert (component_order(problem.parameters) == np.arange(problem.n_components)).all()
    assert problem.start.keys() == problem.parameters.keys() - {"gate_coefficients"}  # begun with constant weights
    if problem.n_components > 1:
        assert parameter_digits(problem.start, problem) < 2


def test_numbers_are_the_strings_rounded_and_arrays_are_fresh():
    first, second = load_certified()[0], load_certified()[0]
    assert first.parameters["means"][1, 0] == float(first.digits["means"][1][0])
    first.data[:] = 0
    first.parameters["means"][:] = 0
    assert (second.data > 0).all() and (second.parameters["means"] > 0).all()
    assert digits(second.log_likelihood, float(second.digits["log_likelihood"])) == 15
