"""The families of Celeux and Govaert: covariances made of volume, shape and orientation, each equal or variable.

Sigma_k = D_k diag(a_k) D_k^T: the variances a_k along the axes D_k. A family is three letters, mclust's: its volume
|Sigma_k|^(1/d), its shape a_k / volume and its orientation D_k are E (equal), V (variable) or I (of the identity).
The estimate is made of the same three pieces, whatever the letters: see `pieces`. VVV and EEE are the structures of
`dense`, VVI and VII those of `diagonal`; the others are the classes at the end.

Columns in other units give covariances S Sigma_k S. These are of the same family where the axes are the columns and
shapes are free (EEI, VEI, EVI, VVI), or where what is equal is a determinant or a matrix up to its size (EEE, VEE, EVV,
VVV): these are estimated in standardised columns. The others (EII, VII, EVE, VVE, EEV, VEV) speak of angles and of
equal spreads in the units given; what they say changes with the units, but is found with all digits in any.

G. Celeux, G. Govaert: Gaussian parsimonious clustering models. Pattern Recognition 28 (1995) 781-793.
"""

from __future__ import annotations

from operator import itemgetter

import numpy as np

from fastem.kernels import lower_along_common_axes
from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.covariance import floor_of_all
from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.linear_algebra import eigh, eigvalsh, product
from fastem.models.gaussian.pieces import MOST_SWEEPS, TIGHT, TINY, Pieces, common_form
from fastem.models.gaussian.scatters import ROUNDING, most_likely, scatter_matrices, scatter_of_columns

NEAR = 1e-12  # TIGHT where starts are compared, and where the next M-step goes on from here
MANY_SWEEPS = 100  # of the best axes to start from
FEW_SWEEPS = 8  # of an M-step from the axes before: more cost what they gain, and the next M-step goes on from here


class AlongAxes(Pieces, Diagonal):
    """Families whose axes are the columns."""

    orientation = "I"
    unitless = True

    @classmethod
    @np.errstate(over="ignore")  # of variances near the end of the range of numbers, in units of the floor
    def estimate(cls, counts, shift, second, floor, given=None):
        scatter, least = scatter_of_columns(counts, shift, second), cls.lifting(floor)
        square = cls.units(scatter, counts, least) ** 2
        scatter_along, low = scatter / square, least / square
        variances = scatter_along / np.where(low > 0, low, 1) / np.maximum(counts, TINY)[:, None]
        lifts = cls.lifts(variances, least)
        scatter_along *= cls.shaped(variances, least)[:, None]
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
    @np.errstate(over="ignore")  # see AlongAxes
    def estimate(cls, counts, shift, second, floor, given=None):
        scatter, least = scatter_matrices(counts, shift, second), cls.lifting(floor)
        root = np.sqrt(np.where(least > 0, least, 1))
        in_floors = scatter / root[..., None, :] / root[..., None]
        variances = eigvalsh(in_floors) / np.maximum(counts, TINY)[:, None]
        lifts = cls.lifts(variances, least)
        unit = cls.units(np.diagonal(scatter, axis1=1, axis2=2), counts, least)
        square, lowest = unit[:, None] * unit, (least / unit**2)[..., None] * np.eye(len(unit))
        near = None if given is None else given.covariances / square
        shaped = scatter / square * cls.shaped(variances, least)[:, None, None]
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
        rows = start.T.copy()
        turned = np.ascontiguousarray(np.moveaxis(product(product(rows, scatter), start), 0, 2))
        lower_along_common_axes(turned, rows, counts, cls.volume == "E", enough, most)
        variances, value = cls.along(np.moveaxis(turned, 2, 0), counts)
        return value, np.ascontiguousarray(rows.T), variances

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
