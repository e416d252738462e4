"""The compiled passes against the plain formulas of reference.py, over every tail and build."""

import importlib
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from instances import STRUCTURES, random_mixture
from passes import TOLERANCE, assert_scores, assert_sums, expected_sums, joint_of, problem, score
from scipy.special import entr, logsumexp

from fastem import Statistics, kernels
from fastem.families.gamma import Gamma
from fastem.models.exponential_family import (
    IDENTITY,
    INDICATOR,
    LEVELS,
    LOG_COMPLEMENT,
    LOGARITHM,
    RECIPROCAL,
    SQUARE,
    Features,
)
from fastem.models.gate import Gate
from fastem.models.gated_rows import GatePass
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.interval_rows import IntervalRows
from fastem.models.gaussian.kernel_arrays import TiedKernel
from fastem.models.gaussian.noisy_rows import NoisyRows
from fastem.models.gaussian.student_t import StudentT
from fastem.models.mixture import Mixture
from fastem.models.regressions import Regressions
from fastem.rows.missing_patterns import grouped

FULL, TIED, DIAGONAL, _ = STRUCTURES
REALS = ["float64", "float32"]
BUILDS = [name for name in kernels.INSTRUCTION_SETS if kernels.built(name) and kernels.supported(name)]

ROWS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 255, 257, 511, 512, 513, 1023, 1024, 1025]
COLUMNS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 65]
COMPONENTS = [1, 2, 3, 4, 5, 9, 16, 33]
SHAPES = [(n, 3, 3) for n in ROWS] + [
    ([37, 1, 70, 131][(i + j) % 4], d, K) for i, d in enumerate(COLUMNS) for j, K in enumerate(COMPONENTS)
]
SHAPES += [(5000, 2, 2), (1100, 65, 2), (3000, 49, 10), (300, 5, 600)]  # the last: tiles of many components


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("n, d, K", SHAPES)
def test_sums_and_scores_are_those_of_the_formulas(structure, real, n, d, K):
    mixture, X, weight = problem(structure, real, n, d, K)
    for w in (None, weight):
        assert_sums(mixture.e_step(X, w), expected_sums(mixture, X, w, structure), TOLERANCE[real], structure)
    assert_scores(score(mixture, X), joint_of(mixture, X), TOLERANCE[real])


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_a_component_of_weight_zero_gets_nothing(structure, real):
    mixture, X, weight = problem(structure, real, 100, 3, 3)
    mixture = Mixture(np.array([0.4, 0.0, 0.6]), mixture.emission)
    statistics = mixture.e_step(X, weight)
    assert statistics.counts[1] == 0 and not statistics.first[1].any()
    assert_sums(statistics, expected_sums(mixture, X, weight, structure), TOLERANCE[real], structure)
    scores = score(mixture, X)
    assert not scores["responsibilities"][:, 1].any() and 1 not in scores["labels"]


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("separation", [0.3, 0.7, 1.0, 3.0])
def test_components_that_are_left_out_change_no_bit(separation, real):
    """Of wide rows and eight components or more, those that are nothing to a row are not finished. Seven are; with one
    more, of weight 0, they must have the same sums of a tile that holds all rows."""
    rng = np.random.default_rng(0)
    d, K, n = 51, 7, 700
    common = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.sqrt(rng.uniform(0.2, 2, d))
    covariances = np.array([common @ np.diag(rng.uniform(0.8, 1.25, d)) @ common.T for _ in range(K)])
    means = separation * rng.normal(size=(K, d))
    X = means[rng.integers(K, size=n)] + rng.normal(size=(n, d)) @ common.T
    X[3] = 1e17  # its squares overflow in float32
    X, weight = X.astype(real), rng.choice([0.0, 1.0, 2.0], n)

    def sums(of, weights):
        structure = FULL.type.from_covariances(covariances[of], np.zeros(d))
        return Mixture(np.array(weights), Gaussian(means[of], structure, np.zeros(d))).e_step(X, weight)

    plain, pruned = sums(np.arange(K), np.full(K, 1 / K)), sums(np.append(np.arange(K), 0), [*np.full(K, 1 / K), 0.0])
    for name in plain.names:
        found = getattr(pruned, name)
        assert np.array_equal(found[:K] if np.ndim(found) else found, getattr(plain, name)), name


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_rows_of_weight_zero_do_not_count(structure, real):
    mixture, X, weight = problem(structure, real, 300, 4, 3)
    kept = weight > 0
    expected = expected_sums(mixture, X[kept], weight[kept], structure)
    X[~kept] = X[~kept] * 50  # far away, where exp underflows
    assert_sums(mixture.e_step(X, weight), expected, TOLERANCE[real], structure)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_an_unreachably_far_row_of_weight_zero_does_not_count(structure, real):
    mixture, X, _ = problem(structure, real, 40, 2, 3)
    expected = expected_sums(mixture, np.delete(X, 5, axis=0), None, structure)
    X[5] = np.sqrt(np.finfo(real).max) * 100
    assert_sums(mixture.e_step(X, (np.arange(40) != 5).astype(float)), expected, TOLERANCE[real], structure)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_an_unreachably_far_row_has_a_log_density_near_or_at_minus_infinity(structure, real):
    mixture, X, _ = problem(structure, real, 40, 2, 3)
    X[5] = np.sqrt(np.finfo(real).max) * 100  # its squared distance overflows
    density = score(mixture, X)["log_density"]
    assert density[5] < np.finfo(real).min / 8
    assert np.isfinite(np.delete(density, 5)).all()


FORMULAS = {  # of the features of the exponential family
    IDENTITY: lambda x: x,
    LOGARITHM: np.log,
    INDICATOR: lambda x: x == 0.5,
    SQUARE: lambda x: x**2,
    RECIPROCAL: lambda x: 1 / x,
    LOG_COMPLEMENT: np.log1p,
}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("n, K", [(1, 1), (37, 3), (700, 6)])
def test_features_are_those_of_the_formulas(build, real, n, K):
    """Every kind of a column in (0, 1), and those that take any number of another; rows of padding change nothing."""
    rng = np.random.default_rng(n)
    x = np.where(rng.random(n) < 0.3, 0.5, rng.uniform(0.01, 0.99, n))
    X = np.stack([x, rng.normal(size=n)], axis=1).astype(real)
    kind = np.array([*FORMULAS, IDENTITY, SQUARE, RECIPROCAL])
    features = Features(kind, np.repeat([0, 1], [6, 3]), np.full(9, 0.5), np.zeros(2))
    inside = X[:, features.column].astype(float)
    t = np.stack([FORMULAS[k](-v if k == LOG_COMPLEMENT else v) for k, v in zip(kind, inside.T)], axis=1)
    np.testing.assert_allclose(features.of(X), t, rtol=1e-13)
    constant, eta = rng.normal(size=K), rng.normal(size=(K, 9))
    eta[0, 4] = 30.0  # times 1 / x at a padded 0 it must be a number
    eta = eta.astype(real).astype(float)
    log_joint = constant.astype(real) + t @ eta.T
    posterior = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    module = importlib.import_module(f"fastem.kernels._{build}_{real}")
    packed = dict(zip(("constant", "eta", *Features._fields), (constant, eta, *features)))
    part = module.Part("exponential_family", 2, K, {name: np.ravel(a).astype(real) for name, a in packed.items()})
    sums, log_likelihood, _ = module.expect((part,), X, None, np.zeros(2, real), K, 2)
    found = module.named_sums((part,), sums)[0]
    tolerance = 2e-13 if real == "float64" else 1e-3  # of responsibilities; 1 / x is up to 100 times eta
    np.testing.assert_allclose(found["counts"], posterior.sum(axis=0), rtol=tolerance, atol=n * tolerance)
    size = posterior.T @ np.abs(t) + n * np.abs(t).max(axis=0)
    assert np.all(np.abs(found["first"] - posterior.T @ t) <= tolerance * size)
    expected = np.log(np.exp(log_joint - log_joint.max(axis=1, keepdims=True)).sum(axis=1)) + log_joint.max(axis=1)
    assert abs(log_likelihood - expected.sum()) <= tolerance * np.abs(expected).sum()
    own = np.empty((n, K), real)
    module.score((part,), X, np.zeros(2, real), K, 2, joint=own)
    sizes = np.abs(constant) + np.abs(t) @ np.abs(eta.T)
    assert np.all(np.abs(own - log_joint) <= 32 * np.finfo(real).eps * sizes)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("n, K", [(1, 1), (37, 3), (4000, 6)])
def test_levels_that_are_looked_up_are_their_indicators(build, real, n, K):
    """The same log-densities to the last bit; also of values that are no level, which have none of the indicators. Sums
    are of other orders, but those of any number of threads."""
    rng = np.random.default_rng(n)
    X = np.stack([rng.normal(size=n), rng.integers(0, 41, n), rng.integers(0, 8, n)], axis=1).astype(real)
    for place, value in enumerate((41.0, 2.5, -1.0, np.inf, -np.inf, 1e30)):
        X[place::9, 1] = value
    constant, eta, weight = rng.normal(size=K), rng.normal(size=(K, 1 + 40 + 5)), rng.uniform(size=n)
    column, level = np.repeat([0, 1, 2], [1, 40, 5]), np.r_[0, 1:41, 1:6]
    indicators = Features(np.r_[IDENTITY, np.full(45, INDICATOR)], column, level, np.zeros(3))
    terms = Features(np.array([IDENTITY, LEVELS, LEVELS]), np.arange(3), np.array([0, 40, 5]), np.zeros(3))
    module, found = importlib.import_module(f"fastem.kernels._{build}_{real}"), []
    for features, n_threads in ((indicators, 1), (terms, 1), (terms, 2)):
        packed = dict(zip(("constant", "eta", *Features._fields), (constant, eta, *features)))
        part = module.Part("exponential_family", 3, K, {name: np.ravel(a).astype(real) for name, a in packed.items()})
        joint = np.empty((n, K), real)
        module.score((part,), X, np.zeros(3, real), K, n_threads, joint=joint)
        sums, *totals = module.expect((part,), X, weight, np.zeros(3, real), K, n_threads)
        found.append((joint, totals, sums, module.named_sums((part,), sums)[0]))
    (joint, totals, sums, named), one, two = found
    assert np.array_equal(joint, one[0]) and totals == one[1] == two[1] and np.array_equal(one[2], two[2])
    for name in ("first", "counts", "base"):
        assert named[name].shape == one[3][name].shape
    np.testing.assert_allclose(one[2], sums, rtol=1e-12 if real == "float64" else 1e-4, atol=1e-12 * n)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("n, d, K", [(1, 1, 1), (700, 5, 3), (333, 17, 9), (5000, 2, 4), (300, 5, 600)])
def test_every_build_agrees(structure, n, d, K):
    mixture, X, weight = problem(structure, "float64", n, d, K)
    call = mixture.kernel_call(X.dtype)
    expected, joint = expected_sums(mixture, X, weight, structure), joint_of(mixture, X)
    for name in BUILDS:
        module = importlib.import_module(f"fastem.kernels._{name}_float64")
        assert module.factor_block == kernels.FACTOR_BLOCK
        parts = tuple(module.Part(part.family, d, K, part.params) for part in call.parts)
        sums, log_likelihood, entropy = module.expect(parts, X, weight, call.centre, K, 2)
        found = call.unpack(*module.named_sums(parts, sums))
        found |= {"weight": weight.sum(), "log_likelihood": log_likelihood, "entropy": entropy}
        assert_sums(found, expected, 1e-12, structure)
        own = np.empty((n, K))
        module.score(parts, X, call.centre, K, 2, joint=own)
        assert np.all(abs(own - joint) <= 1e-12 * (1 + abs(joint)))


@pytest.mark.parametrize(
    "real, separation, family",
    [
        ("float64", 1e1, "gaussian_tied"),
        ("float64", 1e5, "gaussian_full"),
        ("float32", 1e1, "gaussian_tied"),
        ("float32", 1e3, "gaussian_full"),
    ],
)
def test_tied_components_far_apart_fall_back(real, separation, family):
    rng = np.random.default_rng(3)
    mixture = random_mixture(rng, 3, 4, TIED)
    far = separation * np.array([[0.0], [1.0], [-1.0]])
    mixture = Mixture(mixture.weights, replace(mixture.emission, means=mixture.emission.means + far))
    X = (mixture.emission.means[rng.integers(3, size=500)] + rng.normal(size=(500, 4))).astype(real)
    call = mixture.kernel_call(X.dtype)
    assert call.parts[0].family == family
    assert TiedKernel.serves(mixture.emission.covariance, mixture.emission.means - call.centre, real) == (
        family == "gaussian_tied"
    )
    rounding = np.finfo(real).eps * separation  # of a row about the common centre; a common scatter would square it
    assert_sums(mixture.e_step(X), expected_sums(mixture, X, None, TIED), TOLERANCE[real] + rounding, TIED)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_statistics_of_parts_add(structure):
    mixture, X, weight = problem(structure, "float64", 3000, 4, 3)
    whole = mixture.e_step(X, weight)
    parts = [mixture.e_step(X[a:b], weight[a:b]) for a, b in [(0, 1), (1, 700), (700, 1500), (1500, 3000)]]
    expected = expected_sums(mixture, X, weight, structure)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        total = parts[order[0]] + parts[order[1]] + (parts[order[2]] + parts[order[3]])
        assert_sums(total, expected, 1e-12, structure)
        for name, (_, size) in expected.items():
            assert np.all(abs(getattr(total, name) - getattr(whole, name)) <= 1e-12 * size), name


def test_statistics_of_different_models_do_not_add():
    with pytest.raises(ValueError, match="different models"):
        Statistics(weight=1.0, counts=[1.0, 2.0]) + Statistics(weight=1.0, counts=[1.0])


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="no compiled family 'cauchy'"):
        kernels.for_dtype("float64").Part("cauchy", 1, 1, {"x": np.ones(1)})


def test_sums_that_threads_add_up_have_the_same_bits():
    """So many that the lanes' sums are added by threads as well."""
    X, mixture = (
        np.random.default_rng(0).normal(size=(20_000, 40)),
        random_mixture(np.random.default_rng(1), 40, 40, STRUCTURES[0]),
    )
    one, *others = (mixture.e_step_of_block(X, None, n_threads, {}) for n_threads in (1, 2, 3))
    for other in others:
        assert np.array_equal(one.vector, other.vector)


@pytest.mark.parametrize("real", REALS)
def test_every_phase_of_a_pass_takes_time(real):
    X = np.random.default_rng(0).normal(size=(20_000, 6)).astype(real)
    call, module = (
        random_mixture(np.random.default_rng(1), 4, 6, STRUCTURES[0]).kernel_call(X.dtype),
        kernels.for_dtype(real),
    )
    seconds = module.phase_seconds(call.parts, X, call.centre, 4, call.order)
    assert list(seconds) == ["reading", "densities", "responsibilities", "sums"] and min(seconds.values()) > 0
    with pytest.raises(ValueError, match="a row of X has length 5"):
        module.phase_seconds(call.parts, X[:, :5], call.centre, 4, call.order)


D, K = 5, 3  # of the calls below; FACTOR_BLOCK divides neither
TRIANGLE = D * (D + 1) // 2
MOMENTS = {"second": (K, TRIANGLE), "first": (K, D), "counts": (K,)}
COLUMN_MOMENTS = {"first": (K, D), "second": (K, D), "counts": (K,)}
SUMS = {
    "gaussian_full": MOMENTS,
    "gaussian_diagonal": COLUMN_MOMENTS,
    "gaussian_tied": {"first": (K, D), "counts": (K,), "scatter": (TRIANGLE,), "total": (D,), "weight": ()},
    "gaussian_missing": MOMENTS,
    "gaussian_diagonal_missing": {"first": (K, D), "second": (K, D), "lost": (K, D), "counts": (K,)},
    "gaussian_noisy": {"counts": (K,), "first": (K, D), "second": (K, TRIANGLE)},
    "gaussian_noisy_full": {"counts": (K,), "first": (K, D), "second": (K, TRIANGLE)},
    "gaussian_noisy_diagonal": {"counts": (K,), "first": (K, D), "second": (K, D)},
    "gaussian_interval": {"counts": (K,), "first": (K, D), "second": (K, D)},
    "exponential_family": {"first": (K, 2 * D), "counts": (K,), "base": (K,)},
    "student_t": {"second": (K, TRIANGLE), "first": (K, D), "mass": (K,), "counts": (K,), "logs": (K,)},
    "gate": {"first": (K, D), "expected": (K, D), "mass": (K,), "log_norm": (), "pairs": (K * (TRIANGLE + D + 1),)},
    "regression": {"counts": (K,), "slope": (K, D), "squares": (K, 1), "gram": (K, TRIANGLE)},
    "moments": {"second": (TRIANGLE,), "first": (D,), "weight": ()},
    "column_moments": {"first": (D,), "second": (D,), "weight": ()},
}
FAMILIES = [(family, real) for family in SUMS for real in REALS]


def packed_part(family, real):
    """A part of a family as its Python side packs it."""
    dtype, log_weights = np.dtype(real), np.log(np.full(K, 1 / K))
    if family.endswith("moments"):
        return kernels.for_dtype(real).Part(family, D, 1, {"point": np.zeros(D, dtype)})
    if family == "gate":
        return GatePass(Gate(centre=np.zeros(D), scale=np.ones(D)), np.full(K, 1 / K)).part(dtype)
    if family == "regression":
        coefficients, ones = np.zeros((K, D, 1)), np.ones((K, 1))
        model = Regressions(np.full(K, 1 / K), coefficients, ones, "gaussian", np.zeros(1), np.ones(D))
        return model.part(dtype, factorials=False)
    if family == "exponential_family":
        emission = Gamma(np.full((K, D), 2.0), np.ones((K, D)), np.zeros(D), 1e6)
    else:
        structure = {"gaussian_tied": TIED} | {name: DIAGONAL for name in SUMS if name.startswith("gaussian_diagonal")}
        structure |= dict.fromkeys(["gaussian_noisy_diagonal", "gaussian_interval"], DIAGONAL)
        mixture = random_mixture(np.random.default_rng(0), K, D, structure.get(family, FULL))
        emission = mixture.emission
        if "noisy" in family:
            return NoisyRows(mixture).part(family.endswith("full"), False, dtype)
        if family == "gaussian_interval":
            return IntervalRows(mixture).part(dtype)[0]
        if family == "student_t":
            emission = StudentT.of_gaussian(emission, 5.0, True)
    missing = family.endswith("_missing")
    (part,) = (emission.incomplete_call if missing else emission.kernel_call)(log_weights, dtype).parts
    assert part.family == family
    return part


def passed(part, real, rows=70):
    """The sums of the compiled pass over some rows, and their names."""
    module = kernels.for_dtype(real)
    X = np.random.default_rng(1).gamma(2.0, size=(rows, part.n_columns)).astype(real)
    X[:, D:] = 0  # errors, of which not every triangle is a covariance; or bounds
    groups = grouped(X, module.group_rows) if part.grouped else None
    n_components = 1 if part.family.endswith("moments") else K
    sums, _, _ = module.expect((part,), X, None, np.zeros(part.n_columns, real), n_components, 1, None, groups)
    return sums, module.named_sums((part,), sums)[0]


def test_the_table_of_families_is_the_same_in_every_build_and_here():
    for build in BUILDS:
        for real in REALS:
            assert set(importlib.import_module(f"fastem.kernels._{build}_{real}").families) == SUMS.keys()


@pytest.mark.parametrize("family, real", FAMILIES)
def test_a_layout_says_what_python_packs_and_unpacks(family, real):
    part = packed_part(family, real)
    assert {name: len(array) for name, array in part.params.items()} == {
        name: int(np.prod(shape)) for name, shape in part.shapes.items()
    }
    sums, named = passed(part, real)
    assert {name: view.shape for name, view in named.items()} == SUMS[family]
    assert np.isfinite(sums).all()
    weight = named["weight"] if "weight" in named else named["mass" if family == "gate" else "counts"].sum()
    assert np.isclose(weight, 70, rtol=1e-5)  # that name stands where the kernel adds it
    numbers = np.arange(len(sums), dtype=float)
    (views,) = kernels.for_dtype(real).named_sums((part,), numbers)
    assert np.array_equal(np.sort(np.concatenate([np.ravel(v) for v in views.values()])), numbers)  # each once


@pytest.mark.parametrize("family, real", FAMILIES)
def test_a_part_refuses_arrays_that_are_not_of_its_layout(family, real):
    part = packed_part(family, real)
    Part = kernels.for_dtype(real).Part
    n_components = 1 if family.endswith("moments") else K
    for name, array in part.params.items():
        others = {other: a for other, a in part.params.items() if other != name}
        with pytest.raises(ValueError, match=f"{family} expects the arrays {', '.join(part.shapes)}, but got"):
            Part(family, part.n_columns, n_components, others)
        with pytest.raises(ValueError, match=f"{family} expects the arrays .*, but got .*foreign"):
            Part(family, part.n_columns, n_components, others | {"foreign": array})
        for wrong in (array[:-1], np.append(array, array[:1])):
            with pytest.raises(ValueError, match=f"{family} expects .* of shape .*, but it has length"):
                Part(family, part.n_columns, n_components, part.params | {name: wrong})
        with pytest.raises(ValueError, match="dtype"):
            Part(
                family,
                part.n_columns,
                n_components,
                part.params | {name: array.astype("f4" if real == "float64" else "f8")},
            )


def test_a_pass_refuses_parts_of_other_sizes():
    part, module = packed_part("gaussian_full", "float64"), kernels.for_dtype("float64")
    for width, n_components, message in [(D, K + 1, "3 components, not for 4"), (D + 1, K, "a row of X has length")]:
        with pytest.raises(ValueError, match=message):
            module.expect((part,), np.zeros((9, width)), None, np.zeros(width), n_components, 1)
    with pytest.raises(TypeError):
        kernels.for_dtype("float32").expect((part,), np.zeros((9, D), "f4"), None, np.zeros(D, "f4"), K, 1)


def ulps(found, x, function, real):
    """How far `found` lies from function(x), in units of its last place."""
    with mpmath.workprec(150):
        exact = function(mpmath.mpf(float(x)))
        return float(abs(mpmath.mpf(float(found)) - exact) / mpmath.mpf(float(np.spacing(abs(found)))))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("real, lowest, highest", [("float64", -745.13, 709.78), ("float32", -103.97, 88.72)])
def test_exp_and_log_against_mpmath(build, real, lowest, highest):
    rng = np.random.default_rng(1)
    exp_log = importlib.import_module(f"fastem.kernels._{build}_{real}").exp_log
    near = np.concatenate([rng.uniform(-1, 1, 300), 10.0 ** rng.uniform(-20, 0, 100), [0.0, lowest, highest]])
    x = np.concatenate([near, rng.uniform(lowest, highest, 600)]).astype(real)
    assert max(ulps(e, v, mpmath.exp, real) for v, e in zip(x, exp_log(x)[0])) < 1.5
    largest, tiny, around_1 = np.finfo(real).max, np.finfo(real).smallest_subnormal, 1 + rng.uniform(-0.5, 1, 300)
    denormal = tiny * np.array([1, 2, 3, 1000, 2**20 + 1], real)
    wide = np.exp(rng.uniform(np.log(float(tiny)) + 1, np.log(float(largest)), 600))
    x = np.concatenate([denormal, around_1, wide, [largest, np.finfo(real).tiny]]).astype(real)
    assert max(ulps(g, v, mpmath.log, real) for v, g in zip(x, exp_log(x)[1])) < 1.5


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("real", REALS)
def test_exp_and_log_at_the_ends(build, real):
    exp_log = importlib.import_module(f"fastem.kernels._{build}_{real}").exp_log
    inf, nan, largest = np.inf, np.nan, np.finfo(real).max
    x = np.array([-inf, -largest, -1e4, -0.0, 0.0, 1e4, largest, inf, nan], real)
    assert np.array_equal(exp_log(x)[0], np.array([0, 0, 0, 1, 1, inf, inf, inf, nan], real), equal_nan=True)
    x = np.array([-inf, -1.0, -np.finfo(real).tiny, -0.0, 0.0, 1.0, inf, nan], real)
    assert np.array_equal(exp_log(x)[1], np.array([nan, nan, nan, -inf, -inf, 0, inf, nan], real), equal_nan=True)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("real, largest", [("float64", 1e300), ("float32", 1e30)])
def test_log_factorial_against_mpmath(build, real, largest):
    log_factorial = importlib.import_module(f"fastem.kernels._{build}_{real}").log_factorial
    rng = np.random.default_rng(1)
    x = np.concatenate([np.arange(200), rng.uniform(0, 40, 200), np.exp(rng.uniform(0, np.log(largest), 300))]).astype(
        real
    )
    exact = np.array([float(mpmath.loggamma(mpmath.mpf(float(v)) + 1)) for v in x])
    assert (np.abs(log_factorial(x) - exact) / (1 + np.abs(exact))).max() < 32 * np.finfo(real).eps


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("real", REALS)
def test_log_factorial_does_not_depend_on_its_neighbours(build, real):
    """Small counts among their like are looked up, beside other numbers they are computed: to the same bits."""
    log_factorial = importlib.import_module(f"fastem.kernels._{build}_{real}").log_factorial
    counts = np.arange(1200, dtype=real)
    for neighbour in (0.5, 1e5):
        mixed = np.full(2 * len(counts), neighbour, real)
        mixed[::2] = counts
        assert np.array_equal(log_factorial(mixed)[::2], log_factorial(counts))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("size", [0.3, 4.0, 300.0])
@pytest.mark.parametrize("n, p, K", [(70, 2, 1), (700, 1, 2), (1300, 4, 4), (131, 6, 5), (37, 3, 9)])
def test_a_gates_sums_are_those_of_the_formula(build, real, size, n, p, K):
    """size: of the coefficients; 300: shares of a row are beyond what exp can hold."""
    module = importlib.import_module(f"fastem.kernels._{build}_{real}")
    rng = np.random.default_rng([n, p, K])
    C, x = (rng.integers(-8, 9, (n, columns)) / 8 for columns in (p, 1))  # exact in float32, as are the coefficients
    h = rng.integers(-16, 17, (K - 1, p + 1)) / 32 * size
    L = 2 * np.vstack([h[:, 1:] @ C.T + h[:, :1], np.zeros((1, n))]).T
    mean = np.arange(K, dtype=real) / K
    density = {"constant": np.zeros(K, real), "scale": np.ones(K, real), "offset": -mean, "mean": mean}
    params = {"constant": h[:, 0], "slope": h[:, 1:].ravel(), "curved": [1], "origin": np.zeros(p)}
    gate = {name: np.array(value, real) for name, value in params.items()}
    parts = (module.Part("gaussian_diagonal", 1, K, density), module.Part("gate", p, K, gate))
    rows, centre, design = np.column_stack([x, C]).astype(real), np.zeros(1 + p, real), np.column_stack([C, np.ones(n)])
    log_norm = logsumexp(L, axis=1)
    share = np.exp(L - log_norm[:, None])
    joint = L - log_norm[:, None] - (x - mean) ** 2
    log_density = logsumexp(joint, axis=1)
    posterior = np.exp(joint - log_density[:, None])
    k, j = np.tril_indices(K, -1)
    for weight in (None, rng.integers(0, 3, n) / 2):
        w = np.ones(n) if weight is None else weight
        sums, log_likelihood, entropy = module.expect(parts, rows, weight, centre, K, 1)
        named = module.named_sums(parts, sums)[1]
        of_pairs = np.einsum("n,np,na,nb->pab", w, share[:, k] * share[:, j], design, design)
        a, b = np.tril_indices(p + 1)
        close = {"rtol": 20 * TOLERANCE[real], "atol": 20 * TOLERANCE[real] * w.sum()}
        assert np.allclose(named["first"], (w[:, None] * posterior).T @ C, **close)
        assert np.allclose(named["expected"], (w[:, None] * share).T @ C, **close)
        assert np.allclose(named["mass"], w @ share, **close)
        assert np.allclose(named["pairs"], of_pairs[:, a, b].ravel(), **close)
        largest = 1 + abs(L).max()
        assert abs(named["log_norm"] - w @ log_norm) <= largest * close["atol"]
        assert abs(log_likelihood - w @ log_density) <= largest * close["atol"]
        expected_entropy = w @ entr(posterior).sum(axis=1)
        assert abs(entropy - expected_entropy) <= largest * close["atol"]
    found = np.empty(n)
    module.score(parts, rows, centre, K, 1, log_density=found)
    assert np.allclose(found, log_density, rtol=20 * TOLERANCE[real], atol=20 * TOLERANCE[real])
