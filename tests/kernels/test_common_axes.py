"""Axes that all components share: never less likely than where they start, stationary, finite where data degenerate."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from fastem.kernels import _common_axes
from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.parsimonious import FAMILIES
from fastem.models.gaussian.pieces import TIGHT

SHARED = ["VEE", "EVE", "VVE"]
SEARCHED = ["EVE", "VVE"]


def scatters(seed, d, k):
    rng = np.random.default_rng(seed)
    counts = rng.uniform(20, 60, k)
    roots = rng.normal(size=(k, d, d)) * rng.uniform(0.3, 3, (k, 1, d))
    return counts, counts[:, None, None] * (roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(d)), rng


def value(name, axes, scatter, counts):
    return FAMILIES[name].along(axes.T @ scatter @ axes, counts)[1]


def lowered(name, axes, scatter, counts, enough=TIGHT, most=2000):
    """What the kernel makes of axes and scatters, and its number of sweeps."""
    rows = axes.T.copy()
    turned = np.ascontiguousarray(np.moveaxis(axes.T @ scatter @ axes, 0, 2))
    sweeps = _common_axes.lower(turned, rows, counts, name[0] == "E", enough, most)
    above = np.triu(np.moveaxis(turned, 2, 0))  # below the diagonal nothing is turned
    return rows.T, above + np.swapaxes(np.triu(above, 1), 1, 2), sweeps


@pytest.mark.parametrize("d, k", [(2, 3), (3, 1), (4, 9), (7, 4)])
@pytest.mark.parametrize("name", SEARCHED)
def test_sweeps_lower_to_a_stationary_point(name, d, k):
    counts, scatter, rng = scatters(d, d, k)
    axes = ortho_group.rvs(d, random_state=rng)
    before = value(name, axes, scatter, counts)
    for _ in range(3):
        axes, turned, _ = lowered(name, axes, scatter, counts, most=1)
        after = value(name, axes, scatter, counts)
        assert after <= before + 1e-12 * abs(before)
        before = after
    axes, turned, sweeps = lowered(name, axes, scatter, counts)
    assert sweeps < 2000
    assert np.allclose(axes.T @ axes, np.eye(d), atol=1e-12)
    assert np.allclose(turned, axes.T @ scatter @ axes, atol=1e-10 * scatter.max())
    variances, least = FAMILIES[name].along(turned, counts)
    slope = (turned / variances[:, None, :]).sum(axis=0)  # of what is minimised, by turns of pairs of axes
    assert np.abs(slope - slope.T).max() <= 1e-4 * counts.sum()
    for i in range(d):
        for j in range(i):
            for angle in (-1e-2, 1e-2):
                step = np.eye(d)
                step[[i, j], [i, j]], step[i, j], step[j, i] = np.cos(angle), np.sin(angle), -np.sin(angle)
                assert value(name, axes @ step, scatter, counts) >= least - 1e-9 * counts.sum()


@pytest.mark.parametrize("name", SEARCHED)
def test_axes_that_are_common_are_found(name):
    rng = np.random.default_rng(4)
    truth = ortho_group.rvs(6, random_state=rng)
    counts = rng.uniform(20, 60, 5)
    scatter = (truth * rng.uniform(0.1, 10, (5, 1, 6))) @ truth.T
    axes, _, sweeps = lowered(name, ortho_group.rvs(6, random_state=rng), scatter, counts)
    assert np.allclose(np.sort(np.abs(truth.T @ axes), axis=0)[-1], 1, atol=1e-8)
    assert sweeps <= 30


@pytest.mark.parametrize("name", SHARED)
def test_an_m_step_is_never_less_likely_than_what_was_given(name):
    counts, scatter, rng = scatters(6, 5, 4)
    i, j = packed_lower(5)
    shift, floor = np.zeros((4, 5)), np.zeros(5)
    given = FAMILIES[name].estimate(counts, shift, scatter[:, i, j], floor)
    for _ in range(5):
        turn = np.eye(5) + 0.003 * rng.normal(size=(4, 5, 5))
        scatter = turn @ scatter @ np.swapaxes(turn, 1, 2)
        found = FAMILIES[name].estimate(counts, shift, scatter[:, i, j], floor, given)
        before, after = (
            counts @ np.linalg.slogdet(one.covariances)[1]
            + np.trace(np.linalg.solve(one.covariances, scatter), axis1=1, axis2=2).sum()
            for one in (given, found)
        )
        assert after <= before + 1e-10 * abs(before)
        given = found


@pytest.mark.parametrize("unit", [1e-100, 1, 1e100])
@pytest.mark.parametrize("what", ["zero", "one zero", "one row", "tiny count", "spherical", "one component"])
@pytest.mark.parametrize("name", SHARED)
def test_degenerate_scatters_give_finite_covariances(name, what, unit):
    counts, scatter, rng = scatters(7, 3, 3)
    if what == "zero":
        scatter[:] = 0
    elif what == "one zero":
        scatter[1] = 0
    elif what == "one row":
        row = rng.normal(size=3)
        scatter[1] = np.outer(row, row)
    elif what == "tiny count":
        counts[1], scatter[1] = 1e-200, 1e-200 * scatter[1]
    elif what == "spherical":
        scatter[:] = np.eye(3)
    else:
        counts, scatter = counts[:1], scatter[:1]
    i, j = packed_lower(3)
    shift, floor = np.zeros((len(counts), 3)), np.full(3, 1e-6 * unit)
    given = None
    for _ in range(2):
        given = FAMILIES[name].estimate(counts, shift, unit * scatter[:, i, j], floor, given)
        assert np.isfinite(given.covariances).all()
        assert np.isfinite(given.precisions_cholesky).all()


@pytest.mark.parametrize("least", [0.0, 1e-310, 1e-160, 1e-20, 1e-3])
@pytest.mark.parametrize("equal_volumes", [False, True])
def test_a_saddle_is_left_however_little_leads_away_from_it(least, equal_volumes):
    """Where two spreads are equal, and all that is left of one component's axes is rounding of the other's."""
    scatter, axes = np.zeros((2, 2, 2)), np.eye(2)
    scatter[..., 0], scatter[..., 1] = [[1.5, least], [least, 1]], [[2, 1], [1, 2]]
    _common_axes.lower(scatter, axes, np.array([0.5, 5.0]), equal_volumes, 1e-12, 50)
    np.testing.assert_allclose(np.abs(axes), np.sqrt(0.5), rtol=0.3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-14)
