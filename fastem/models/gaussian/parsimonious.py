"""The families of Celeux and Govaert: covariances made of volume, shape and orientation, each equal or variable.

Sigma_k = D_k diag(a_k) D_k^T: the variances a_k along the axes D_k. A family is three letters, mclust's: its volume
|Sigma_k|^(1/d), its shape a_k / volume and its orientation D_k are E (equal), V (variable) or I (of the identity).
The estimate is made of the same three pieces, whatever the letters. VVV and EEE are the structures of `dense`, VVI and
VII those of `diagonal`; the others are the classes at the end.

Columns in other units give covariances S Sigma_k S. These are of the same family where the axes are the columns and
shapes are free (EEI, VEI, EVI, VVI), or where what is equal is a determinant or a matrix up to its size (EEE, VEE, EVV,
VVV): these are estimated in standardised columns. The others (EII, VII, EVE, VVE, EEV, VEV) speak of angles and of
equal spreads in the units given; what they say changes with the units, but is found with all digits in any.

G. Celeux, G. Govaert: Gaussian parsimonious clustering models. Pattern Recognition 28 (1995) 781-793.
"""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter
from typing import ClassVar

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.kernels import lower_along_common_axes
from fastem.kernels.packing import packed_lower, unpack_symmetric
from fastem.models.gaussian.covariance import floor_of_all, outer
from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.linear_algebra import eigh, eigvalsh, product

TIGHT = 1e-13  # relative change at which an iterated estimate, or what it minimises, has converged
MOST_SWEEPS = 500
NEAR = 1e-12  # the same, where starts are compared and where the next M-step goes on from here
MANY_SWEEPS = 100  # of the best axes to start from
FEW_SWEEPS = 60  # of such an M-step
TINY = 1e-300
LEAST_FORM = 1e-100  # of a common shape, in multiples of the largest
SHAPELESS = 1e-3  # floors: what varies less along every axis may be rounding of the sums
ROUNDING = 1e-15  # of sums, in multiples of the terms
CHOSEN = 10 * ROUNDING  # of what an estimate minimises: it is taken where that is as much more


class Pieces:
    """What three letters say about the variances along axes. Scatters W_k are sums over rows, counts their weights."""

    volume: ClassVar[str]
    form: ClassVar[str]  # the shape; `shape` is that of the arrays
    orientation: ClassVar[str]
    unitless: ClassVar[bool] = False  # whether the family is the same in other units of the columns

    @classmethod
    def n_parameters(cls, K, d):
        volume = {"E": 1, "V": K}[cls.volume]
        form = {"I": 0, "E": d - 1, "V": K * (d - 1)}[cls.form]
        orientation = {"I": 0, "E": 1, "V": K}[cls.orientation] * (d * (d - 1) // 2)
        return volume + form + orientation

    def gradient(self, counts, first, second):
        return None

    def choice_error(self, counts, d):
        """See :func:`most_likely`; the quadratic terms are about one a row and column."""
        logs = float(counts @ self.log_det_precision_root(len(counts), d))
        return CHOSEN * (float(counts.sum()) * d + abs(logs))

    @classmethod
    def has_own_volumes(cls):
        return cls.volume == "V"

    def directions_below(self, n_components, least):
        return np.maximum(super().directions_below(n_components, least), self.at_floor)

    @classmethod
    def least_rows(cls, d):
        """d + 1 where one component's own rows must determine all variances along axes that are its own, or that turn
        to where its rows do not vary."""
        if cls.volume == cls.form == "E" and cls.orientation != "V":
            return 0
        alone = cls.form == "V" and (cls.orientation == "V" or cls.volume + cls.orientation == "VE")
        return d + 1 if alone else 2

    @classmethod
    def few_rows(cls, d):
        """Where the axes are free, they can turn to where one component's rows happen to be thin: common ones as well,
        if the variances along them are not common."""
        turns = cls.orientation == "V" or (cls.orientation == "E" and cls.form == "V")
        return 2 * (d + 1) if turns else 2 * cls.least_rows(d)

    @classmethod
    def units(cls, scatter_along, counts, floor):
        """(d,) units in which the estimate is made: of each column its own, or the same for all.

        A column without scatter is measured by its floor, which another unit would leave far from 1.
        """
        variances = scatter_along.sum(axis=0) / counts.sum()
        variances = np.where(variances > 0, variances, floor_of_all(floor))
        if not cls.unitless:
            variances = np.full_like(variances, variances.mean())
        return np.sqrt(np.where(variances > 0, variances, 1))

    @classmethod
    def lifts(cls, variances, floor):
        """By how many floors scatters are lifted: arrays (K,), to be tried until an estimate is above the floor.

        From variances (K, d) in units of the floor. A volume is a product of variances, so that one of 0 would take the
        others with it; a common shape is flat only where all are, or where volumes grow without bound in its place.
        """
        flat = (variances.min(axis=1) < 1).astype(float)
        if not floor.any() or cls.volume + cls.form == "EE" or not flat.any():
            return [np.zeros(len(flat))]
        if cls.form == "E" and not flat.all():
            return [np.zeros(len(flat)), flat]
        return [flat]

    @classmethod
    def lifted(cls, lift, variances):
        """(K,) in how many directions the floor gave a component its shape, and a common volume may hide that."""
        return (cls.volume == "E") * (lift > 0) * (variances < 1).sum(axis=1)

    @classmethod
    def shaped(cls, variances, floor):
        """(K,) 0 for components that say nothing of a common shape, else 1; variances (K, d) are in units of the floor.

        Where volumes are free, each counts the same for the shape, however little its rows vary.
        """
        if cls.volume + cls.form != "VE" or not floor.any():
            return np.ones(len(variances))
        return (variances.max(axis=1) >= SHAPELESS).astype(float)

    @classmethod
    def variances_along(cls, scatter_along, counts):
        """(K, d) the most likely variances for the scatter (K, d) of the rows along their axes."""
        counts, d = counts[:, None], scatter_along.shape[1]
        if cls.volume == "V" and cls.form == "V":
            return scatter_along / counts
        if cls.form == "I":
            mean = scatter_along.sum(axis=1, keepdims=True) / d
            return np.broadcast_to(
                mean.sum() / counts.sum() if cls.volume == "E" else mean / counts, scatter_along.shape
            )
        if cls.form == "V":
            sizes = size(scatter_along)
            return scatter_along / np.where(sizes > 0, sizes, 1) * (sizes.sum() / counts.sum())
        if cls.volume == "E":
            return np.broadcast_to(scatter_along.sum(axis=0) / counts.sum(), scatter_along.shape)
        volumes = np.maximum(scatter_along.mean(axis=1, keepdims=True) / counts, TINY)
        for _ in range(MOST_SWEEPS):  # volumes and the common shape in turn
            form = common_form((scatter_along / volumes).sum(axis=0))
            before, (volumes, _) = volumes, cls.volumes_of(form, scatter_along, counts[:, 0])
            # not what they minimise: it is flat there, and would hide half of the digits
            if (abs(volumes - before) <= TIGHT * before).all():
                break
        return cls.of_volumes(volumes, form)

    @staticmethod
    def of_volumes(volumes, form):
        """Variances (K, d); those of rows that do not vary are 0, and not the least number that a volume may be."""
        return np.where(volumes > TINY, volumes, 0) * form

    @staticmethod
    def volumes_of(form, scatter_along, counts):
        """Volumes (K, 1) that suit a common shape (d,) of size 1, and what they minimise."""
        d = len(form)
        volumes = np.maximum((scatter_along / form).sum(axis=1, keepdims=True) / (d * counts[:, None]), TINY)
        return volumes, d * counts @ np.log(volumes[:, 0])


class AlongAxes(Pieces, Diagonal):
    """Families whose axes are the columns."""

    orientation = "I"
    unitless = True

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        scatter = scatter_of_columns(counts, shift, second)
        square = cls.units(scatter, counts, floor) ** 2
        scatter_along, low = scatter / square, floor / square
        variances = scatter_along / np.where(low > 0, low, 1) / np.maximum(counts, TINY)[:, None]
        lifts = cls.lifts(variances, floor)
        scatter_along *= cls.shaped(variances, floor)[:, None]
        estimates = (
            (cls.variances_along(scatter_along + (counts * lift)[:, None] * low, counts), cls.lifted(lift, variances))
            for lift in lifts
        )
        return most_likely(cls, estimates, square, floor, given, counts, scatter)

    def from_vector(self, vector, floor):
        """The nearest member of the family to the diagonal covariances of these coordinates."""
        scatter_along = np.exp(2 * vector).reshape(self.covariances.shape)
        return self.estimate(np.ones(len(scatter_along)), np.zeros_like(scatter_along), scatter_along, floor)


class Oriented(Pieces, Full):
    """Families whose axes are not the columns."""

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        scatter = scatter_matrices(counts, shift, second)
        root = np.sqrt(np.where(floor > 0, floor, 1))
        in_floors = scatter / root[..., None, :] / root[..., None]
        variances = eigvalsh(in_floors) / np.maximum(counts, TINY)[:, None]
        lifts = cls.lifts(variances, floor)
        unit = cls.units(np.diagonal(scatter, axis1=1, axis2=2), counts, floor)
        square, lowest = unit[:, None] * unit, (floor / unit**2)[..., None] * np.eye(len(unit))
        near = None if given is None else given.covariances / square
        shaped = scatter / square * cls.shaped(variances, floor)[:, None, None]
        estimates = (
            (
                cls.of_scatter(shaped + (counts * lift)[:, None, None] * lowest, counts, near),
                cls.lifted(lift, variances),
            )
            for lift in lifts
        )
        return most_likely(cls, estimates, square, floor, given, counts, scatter)

    @classmethod
    def of_scatter(cls, scatter, counts, given):
        """The most likely covariances (K, d, d) of the family."""
        axes, variances = (cls.own_axes if cls.orientation == "V" else cls.common_axes)(scatter, counts, given)
        covariances = product(axes * variances[:, None, :], np.swapaxes(axes, 1, 2))
        return (covariances + np.swapaxes(covariances, 1, 2)) / 2

    @classmethod
    def own_axes(cls, scatter, counts, given):
        """Each component's axes (K, d, d), and the variances along them (K, d)."""
        scatter_along, axes = eigh(scatter)
        return axes, cls.variances_along(np.maximum(scatter_along, 0), counts)

    @classmethod
    def common_axes(cls, scatter, counts, given):
        """The same with axes that all share: nearer than those of the given covariances, or the best of those that
        start at each scatter's own and at all together's."""
        if given is not None:
            _, axes, variances = cls.axes_from(shared_axes(given), scatter, counts, NEAR, FEW_SWEEPS)
        else:
            starts = [eigh(matrix)[1] for matrix in (*scatter / counts[:, None, None], scatter.sum(axis=0))]
            for sweeps, kept in ((6, 3), (MANY_SWEEPS, 1)):
                ends = sorted(
                    (cls.axes_from(axes, scatter, counts, NEAR, sweeps) for axes in starts), key=itemgetter(0)
                )
                starts = [axes for _, axes, _ in ends[:kept]]
            _, axes, variances = ends[0]
        return np.broadcast_to(axes, scatter.shape), variances

    @classmethod
    def axes_from(cls, start, scatter, counts, enough, most=MOST_SWEEPS):
        """What is minimised, axes and variances; the axes are turned for as long as a sweep lowers it by enough."""
        axes = np.ascontiguousarray(start)
        turned = np.ascontiguousarray(np.moveaxis(product(product(axes.T, scatter), axes), 0, 2))
        lower_along_common_axes(turned, axes, counts, cls.volume == "E", enough, most)
        variances, value = cls.along(np.moveaxis(turned, 2, 0), counts)
        return value, axes, variances

    @classmethod
    def along(cls, turned, counts):
        """The variances along axes for scatters turned to these, and what is minimised: -2 times the log-density."""
        variances = cls.variances_along(np.maximum(np.diagonal(turned, axis1=1, axis2=2), 0), counts)
        return variances, (counts @ np.log(np.maximum(variances, TINY))).sum()

    def from_vector(self, vector, floor):
        """The nearest member of the family to the covariances of these coordinates."""
        d = self.covariances.shape[-1]
        near = super().from_vector(vector, np.zeros(d)).covariances
        i, j = packed_lower(d)
        return self.estimate(np.ones(len(near)), np.zeros((len(near), d)), near[:, i, j], floor)


def shared_axes(covariances):
    """(d, d) the axes that all covariances have; of an uneven sum of them, for one alone may have equal variances."""
    shares = np.sqrt(np.arange(1, len(covariances) + 1)) / np.trace(covariances, axis1=1, axis2=2)
    return eigh((shares[:, None, None] * covariances).sum(axis=0))[1]


def scatter_of_columns(counts, shift, second):
    """(K, d) scatter about the new means from second moments about the old ones; 0 where it is their rounding."""
    scatter = second - counts[:, None] * shift**2
    return np.where(scatter > ROUNDING * second, scatter, 0)


def scatter_matrices(counts, shift, second):
    """The same from packed second moments, (K, d, d)."""
    d = shift.shape[1]
    diagonal = np.arange(d)
    scatter = unpack_symmetric(second, d) - counts[:, None, None] * outer(shift)
    i, j = packed_lower(d)
    along = scatter_of_columns(counts, shift, second[:, i == j])
    scatter[:, diagonal, diagonal] = along
    return np.where((along > 0)[:, :, None] & (along > 0)[:, None, :], scatter, 0)


def common_form(variances):
    """(d,) variances to a shape of size 1."""
    form = np.maximum(variances, LEAST_FORM * variances.max() or 1.0)
    return form / size(form)


def size(variances):
    """(…, 1) geometric means."""
    with np.errstate(divide="ignore"):
        return np.exp(np.log(variances).mean(axis=-1, keepdims=True))


def most_likely(family, estimates, square, floor, given, counts, scatter):
    """The most likely of the given and of some covariances, these times `square` and raised to the floor, up to the
    first that it does not touch. Each comes with the directions that were :meth:`Pieces.lifted`: these count as held.

    What is raised there is no longer of the family, and what it keeps from being thinner is not the most likely one:
    where it is less likely than what was given, that stays (a generalised M-step). Less by more than rounding: near the
    maximum, where all are as likely, to keep the given one would be to stay there.
    """
    best, least = given, np.inf
    if given is not None:
        least = minus_twice(given, counts, scatter)
        least += CHOSEN * (counts.sum() * scatter.shape[1] + abs(least))
    for covariances, hits in estimates:
        failure = None
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # such are not finite, and not taken
                covariances = finite(covariances * square)
            raised = family.from_covariances(covariances, floor_of_all(floor) if family.shared else floor)
        except IllDefinedCovariance as error:  # a shape that is flat without bound: the next one is lifted
            failure = error
            continue
        value = minus_twice(raised, counts, scatter)
        if value <= least:
            best, least = replace(raised, at_floor=np.maximum(raised.at_floor, hits)), value
        if not raised.at_floor.any():
            break
    if failure is not None:
        raise failure
    if best is None:  # no covariance of these has a likelihood that is a number
        raise IllDefinedCovariance(list(range(len(counts))))
    return best


def finite(covariances):
    """The covariances; raises IllDefinedCovariance where one is not finite."""
    bad = ~np.isfinite(covariances).reshape(len(covariances), -1).all(axis=1)
    if bad.any():
        raise IllDefinedCovariance(np.flatnonzero(bad).tolist())
    return covariances


def minus_twice(structure, counts, scatter):
    """-2 times the expected log-density, up to a constant."""
    K, d = scatter.shape[:2]
    second = scatter if scatter.ndim == 2 else scatter[(slice(None), *packed_lower(d))]
    return structure.expected_quadratic(second) - 2 * counts @ structure.log_det_precision_root(K, d)


class EII(Spherical):
    """One variance for all. covariances, precisions_cholesky: (K,), equal."""

    shared = True

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        scatter_along = scatter_of_columns(counts, shift, second)
        variance = scatter_along.sum() / (counts.sum() * shift.shape[1])
        return cls.from_covariances(np.full(len(counts), variance), floor_of_all(floor))

    @staticmethod
    def of_logs(slopes):
        return np.full(len(slopes), slopes.sum() / len(slopes))  # of the coordinates' mean

    @staticmethod
    def n_parameters(n_components, d):
        return 1

    @staticmethod
    def least_rows(d):
        return 0

    def from_vector(self, vector, floor):
        return type(self).from_covariances(np.full(len(vector), np.exp(2 * vector.mean())), floor)


class EEI(AlongAxes):
    volume, form, shared = "E", "E", True


class VEI(AlongAxes):
    volume, form = "V", "E"


class EVI(AlongAxes):
    volume, form = "E", "V"


class VEE(Oriented):
    volume, form, orientation, unitless = "V", "E", "E", True

    @classmethod
    def common_axes(cls, scatter, counts, given):
        """From anywhere: what is minimised is convex along the geodesics of the common shape (all of |C| = 1)."""
        enough, before = TIGHT if given is None else NEAR, np.inf
        common = scatter.sum(axis=0) if given is None else given[0]
        for _ in range(MOST_SWEEPS):  # volumes and the common matrix in turn
            form, axes = eigh(common)
            form = common_form(np.maximum(form, ROUNDING * (axes**2 * np.diagonal(common)[:, None]).sum(axis=0)))
            scatter_along = np.maximum((product(scatter, axes) * axes).sum(axis=1), 0)
            volumes, value = cls.volumes_of(form, scatter_along, counts)
            if before - value <= enough * (1 + abs(value)):
                break
            before = value
            common = (scatter / volumes[:, :, None]).sum(axis=0)
        return np.broadcast_to(axes, scatter.shape), cls.of_volumes(volumes, form)


class EVE(Oriented):
    volume, form, orientation = "E", "V", "E"


class VVE(Oriented):
    volume, form, orientation = "V", "V", "E"


class EEV(Oriented):
    volume, form, orientation = "E", "E", "V"


class VEV(Oriented):
    volume, form, orientation = "V", "E", "V"


class EVV(Oriented):
    volume, form, orientation, unitless = "E", "V", "V", True


FAMILIES = {
    "EII": EII,
    "VII": Spherical,
    "EEI": EEI,
    "VEI": VEI,
    "EVI": EVI,
    "VVI": Diagonal,
    "EEE": Tied,
    "VEE": VEE,
    "EVE": EVE,
    "VVE": VVE,
    "EEV": EEV,
    "VEV": VEV,
    "EVV": EVV,
    "VVV": Full,
}
ONE_DIMENSION = {"E": EII, "V": Spherical}
