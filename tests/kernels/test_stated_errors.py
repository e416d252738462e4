"""The errors that kernels/simd.h states of its functions, in every build and both types: none is larger, none is a mere
fear. fastem/models/rounding.py builds on them."""

import importlib

import mpmath
import numpy as np
import pytest

from fastem import kernels

BUILDS = [name for name in kernels.INSTRUCTION_SETS if kernels.built(name) and kernels.supported(name)]
REALS = ["float64", "float32"]
WORST = 0.25  # of the stated error, at least, is seen here


def ulps(found, x, function, real, least=0.0):
    """How far `found` lies from function(x), in units of the last place of that, or of `least` if it is more."""
    with mpmath.workprec(200):
        exact = function(mpmath.mpf(float(x)))
        place = max(float(np.spacing(np.abs(np.array(float(exact)).astype(real)))), least)
        return float(abs(mpmath.mpf(float(found)) - exact)) / place


def worst(found, x, function, real, **at_least):
    return max(ulps(f, v, function, real, **at_least) for f, v in zip(found, x, strict=True))


def around(points, real, steps=3):
    """Points and their next neighbours in a real type."""
    points = np.asarray(points, real)
    rows = [points]
    for towards in (-np.inf, np.inf):
        x = points
        for _ in range(steps):
            x = np.nextafter(x, real(towards))
            rows.append(x)
    return np.concatenate(rows)


def arguments_of_exp(rng, real, lowest):
    """Of (lowest, 0]: where the remainder changes sign or size, multiples of half of ln 2; near 0; anywhere."""
    multiples = -np.log(2) / 2 * np.arange(1, int(-2 * lowest / np.log(2)))
    near_0 = -(10.0 ** rng.uniform(np.log10(np.finfo(real).tiny), 0, 300))
    chosen = rng.choice(multiples, 60)
    x = np.concatenate([around(chosen, real), near_0.astype(real), rng.uniform(lowest, 0, 800).astype(real)])
    return x[(x > lowest) & (x <= 0)]


def arguments_of_log(rng, real):
    """Where exponents change: powers of 2, their multiples by sqrt(1/2); near 1; anywhere; denormal numbers."""
    limits = np.finfo(real)
    powers = 2.0 ** rng.integers(limits.minexp + 1, limits.maxexp - 1, 40)
    near_1 = 1 + rng.choice([-1, 1], 300) * 10.0 ** rng.uniform(np.log10(limits.eps), -0.6, 300)
    wide = np.exp(rng.uniform(np.log(float(limits.tiny)), np.log(float(limits.max)) - 1, 600))
    denormal = float(limits.smallest_subnormal) * rng.integers(1, 1 << 20, 50)
    edges = around(np.concatenate([powers, powers * np.sqrt(0.5), [1.0]]), real)
    return np.concatenate([edges, near_1.astype(real), wide.astype(real), denormal.astype(real)])


@pytest.fixture(params=[(build, real) for build in BUILDS for real in REALS], ids=lambda pair: "-".join(pair))
def compiled(request):
    build, real = request.param
    return importlib.import_module(f"fastem.kernels._{build}_{real}"), np.dtype(real).type


def test_exp(compiled):
    module, real = compiled
    x = arguments_of_exp(np.random.default_rng(0), real, -80.0 if real is np.float32 else -700.0)
    x = np.concatenate([x, -x])
    assert WORST * module.exp_ulps < worst(module.exp_log(x)[0], x, mpmath.exp, real) < module.exp_ulps


def test_exp_of_negative_numbers(compiled):
    """And exactly 0 where its square, a responsibility relative to the row's largest, is below 2^-60."""
    module, real = compiled
    flush = 30 * np.log(2)
    x = -arguments_of_exp(np.random.default_rng(1), real, -flush)
    found = module.exp_negative_log1p(x)[0]
    assert WORST * module.exp_ulps < worst(found, x, lambda v: mpmath.exp(-v), real) < module.exp_ulps
    beyond = np.array([flush * 1.0001, 10 * flush, np.finfo(real).max, np.inf], real)
    assert (module.exp_negative_log1p(beyond)[0] == 0).all()


def test_log(compiled):
    module, real = compiled
    x = arguments_of_log(np.random.default_rng(2), real)
    assert WORST * module.log_ulps < worst(module.exp_log(x)[1], x, mpmath.log, real) < module.log_ulps


def test_log1p(compiled):
    module, real = compiled
    rng, limits = np.random.default_rng(3), np.finfo(real)
    x = np.concatenate(
        [
            around(2.0 ** np.arange(np.log2(limits.eps) - 3, 20), real),
            10.0 ** rng.uniform(np.log10(limits.tiny) + 1, np.log10(limits.max) - 1, 800),
            10.0 ** rng.uniform(np.log10(limits.eps) - 1, 2, 800),
        ]
    ).astype(real)
    found = module.exp_negative_log1p(x)[1]
    assert WORST * module.log1p_ulps < worst(found, x, mpmath.log1p, real) < module.log1p_ulps


def test_log1p_with_its_reciprocal(compiled):
    module, real = compiled
    rng = np.random.default_rng(3)
    edges, near_0 = around([0.0, np.sqrt(2) - 1, 1.0], real), 10.0 ** rng.uniform(-30, 0, 300)
    x = np.concatenate([edges, near_0, rng.uniform(0, 1, 700)])
    x = x[(x >= 0) & (x <= 1)].astype(real)
    logs, reciprocals = module.log1p_reciprocal(x)
    assert WORST * module.log1p_ulps < worst(logs, x, mpmath.log1p, real) < module.log1p_ulps
    assert worst(reciprocals, x, lambda v: 1 / (1 + v), real) < 2.5


def test_log_factorial(compiled):
    """In units of the last place of the value, and of 1 where that is less."""
    module, real = compiled
    rng = np.random.default_rng(4)
    largest = 1e30 if real is np.float32 else 1e300
    x = np.concatenate([np.arange(1030), rng.uniform(0, 40, 300), np.exp(rng.uniform(0, np.log(largest), 400))])
    x = x.astype(real)
    found = module.log_factorial(x)
    off = worst(found, x, lambda v: mpmath.loggamma(v + 1), real, least=float(np.finfo(real).eps))
    assert 0.02 * module.log_factorial_ulps < off < module.log_factorial_ulps


def test_mills_ratio(compiled):
    """Of the normal distribution: as far out as 1 / x is a number."""
    module, real = compiled
    rng, largest = np.random.default_rng(5), 1e37 if real is np.float32 else 1e300
    x = np.concatenate(
        [
            around([4.5], real),
            [0.0],
            rng.uniform(0, 12, 600),
            10.0 ** rng.uniform(-20, 0, 100),
            np.exp(rng.uniform(2, np.log(largest), 300)),
        ]
    ).astype(real)

    def ratio(v):
        if v > 1e4:  # the asymptotic series
            return (1 - 1 / v**2 + 3 / v**4 - 15 / v**6) / v
        return mpmath.sqrt(mpmath.pi / 2) * mpmath.exp(v * v / 2) * mpmath.erfc(v / mpmath.sqrt(2))

    assert WORST * module.mills_ulps < worst(module.mills_ratio(x), x, ratio, real) < module.mills_ulps


def test_the_way_of_a_term_through_the_tree_of_sums(compiled):
    """The number of additions that a log-likelihood loses digits in: a row of 1 among rows of a tiny share of it."""
    module, real = compiled
    part = module.Part("moments", 1, 1, {"point": np.zeros(1, real)})
    one, many = module.additions((part,), 1, 1, 1), module.additions((part,), 1 << 20, 1, 1)
    assert 1 <= one[0] < many[0] <= 96 + 5 and one[1] <= many[1] <= (1 << 20) // (96 * 2)
    few_sums, many_sums = (
        module.additions((module.Part("moments", d, 1, {"point": np.zeros(d, real)}),), 1 << 14, d, 1)
        for d in (300, 3000)
    )
    assert few_sums[1] <= many_sums[1]  # with so many sums there are few lanes, each of more tiles
