"""The families of Celeux and Govaert: covariances made of volume, shape and orientation, each equal or variable.

Sigma_k = D_k diag(a_k) D_k^T: the variances a_k along the axes D_k. A family is three letters, mclust's: its volume
|Sigma_k|^(1/d), its shape a_k / volume and its orientation D_k are E (equal), V (variable) or I (of the identity).
The estimate is made of the same three pieces, whatever the letters. VVV and EEE are the structures of `dense`, VVI and
VII those of `diagonal`; the others are the classes at the end.

G. Celeux, G. Govaert: Gaussian parsimonious clustering models. Pattern Recognition 28 (1995) 781-793.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fastem.kernels import lower_along_common_axes
from fastem.kernels.packing import packed_lower, unpack_symmetric
from fastem.models.gaussian.covariance import outer
from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.linear_algebra import eigh, eigvalsh, product

TIGHT = 1e-13  # relative change of what an iterated estimate minimises, at which it has converged
MOST_SWEEPS = 500
NEAR = 1e-9  # the same, where starts are compared and where the next M-step goes on from here
FEW_SWEEPS = 30  # of such an M-step
TINY = 1e-300
ROUNDING = 1e-15  # of eigenvalues, in multiples of the largest


class Pieces:
    """What three letters say about the variances along axes. Scatters W_k are sums over rows, counts their weights."""

    volume: ClassVar[str]
    form: ClassVar[str]  # the shape; `shape` is that of the arrays
    orientation: ClassVar[str]

    @classmethod
    def n_parameters(cls, K, d):
        volume = {"E": 1, "V": K}[cls.volume]
        form = {"I": 0, "E": d - 1, "V": K * (d - 1)}[cls.form]
        orientation = {"I": 0, "E": 1, "V": K}[cls.orientation] * (d * (d - 1) // 2)
        return volume + form + orientation

    @classmethod
    def least_rows(cls, d):
        """Where one component's own rows must determine all variances along axes that are its own too."""
        if cls.volume == cls.form == "E" and cls.orientation != "V":
            return 0
        return d + 1 if cls.form == "V" and cls.orientation == "V" else 2

    @classmethod
    def few_rows(cls, d):
        """Where the axes are free, they can turn to where one component's rows happen to be thin: common ones as well,
        if the variances along them are not common."""
        turns = cls.orientation == "V" or (cls.orientation == "E" and cls.form == "V")
        return 2 * (d + 1) if turns else 2 * cls.least_rows(d)

    @classmethod
    def lifted(cls, least, counts, floor):
        """(K,) the components whose scatters are to be lifted by the floor, from their least variances in units of it.

        A volume is a product of variances, so that one of 0 would take the others with it.
        """
        flat = least < 1
        if not floor.any() or (cls.form == "E" and (cls.volume == "E" or not flat.all())):
            return np.zeros(len(counts), bool)
        return flat

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
            return scatter_along / np.maximum(sizes, TINY) * (sizes.sum() / counts.sum())
        if cls.volume == "E":
            return np.broadcast_to(scatter_along.sum(axis=0) / counts.sum(), scatter_along.shape)
        volumes, before = size(scatter_along / counts), np.inf
        for _ in range(MOST_SWEEPS):  # volumes and the common shape in turn
            form = (scatter_along / np.maximum(volumes, TINY)).sum(axis=0)
            form /= max(size(form), TINY)
            volumes, value = cls.volumes_of(form, scatter_along, counts[:, 0])
            if before - value <= TIGHT * (1 + abs(value)):
                break
            before = value
        return volumes * form

    @staticmethod
    def volumes_of(form, scatter_along, counts):
        """Volumes (K, 1) that suit a common shape (d,) of size 1, and what they minimise."""
        d = len(form)
        volumes = (scatter_along / np.maximum(form, TINY)).sum(axis=1, keepdims=True) / (d * counts[:, None])
        return volumes, d * counts @ np.log(np.maximum(volumes[:, 0], TINY))


class AlongAxes(Pieces, Diagonal):
    """Families whose axes are the columns."""

    orientation = "I"

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        scatter_along = np.maximum(second - counts[:, None] * shift**2, 0)
        least = (scatter_along / np.where(floor > 0, floor, 1)).min(axis=1) / counts
        lift = cls.lifted(least, counts, floor)
        variances = cls.variances_along(scatter_along + (counts * lift)[:, None] * floor, counts)
        return estimate_above_floor(cls, variances, floor, given, counts, scatter_along, lift)

    def from_vector(self, vector, floor):
        """The nearest member of the family to the diagonal covariances of these coordinates."""
        scatter_along = np.exp(2 * vector).reshape(self.covariances.shape)
        return self.estimate(np.ones(len(scatter_along)), np.zeros_like(scatter_along), scatter_along, floor)


class Oriented(Pieces, Full):
    """Families whose axes are not the columns."""

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        scatter = unpack_symmetric(second, shift.shape[1]) - counts[:, None, None] * outer(shift)
        root = np.sqrt(np.where(floor > 0, floor, 1))
        least = eigvalsh(scatter / root / root[:, None]).min(axis=1) / counts
        lift = cls.lifted(least, counts, floor)
        of_family = scatter + (counts * lift)[:, None, None] * np.diag(floor)
        axes, variances = (
            cls.own_axes(of_family, counts) if cls.orientation == "V" else cls.common_axes(of_family, counts, given)
        )
        covariances = product(axes * variances[:, None, :], np.swapaxes(axes, 1, 2))
        covariances = (covariances + np.swapaxes(covariances, 1, 2)) / 2
        return estimate_above_floor(cls, covariances, floor, given, counts, scatter, lift)

    @classmethod
    def own_axes(cls, scatter, counts):
        """Each component's axes (K, d, d), and the variances along them (K, d)."""
        scatter_along, axes = eigh(scatter)
        return axes, cls.variances_along(np.maximum(scatter_along, 0), counts)

    @classmethod
    def common_axes(cls, scatter, counts, given):
        """The same with axes that all share: nearer than the given ones, or the best of those that start at each
        scatter's own and at all together's."""
        if given is not None:
            start = shared_axes(given.covariances)
            _, axes, variances = cls.axes_from(start, scatter, counts, NEAR, FEW_SWEEPS)
        else:
            about = [*scatter / counts[:, None, None], scatter.sum(axis=0)]
            candidates = [cls.axes_from(eigh(matrix)[1], scatter, counts, NEAR) for matrix in about]
            best = min(candidates, key=lambda entry: entry[0])[1]
            _, axes, variances = cls.axes_from(best, scatter, counts, TIGHT)
        return np.broadcast_to(axes, scatter.shape), variances

    @classmethod
    def axes_from(cls, start, scatter, counts, enough, most=MOST_SWEEPS):
        """What is minimised, axes and variances; the axes are turned for as long as a sweep lowers it by enough."""
        unit = max(np.trace(scatter, axis1=1, axis2=2).max(), TINY)
        axes = np.ascontiguousarray(start)
        turned = np.ascontiguousarray(np.moveaxis(axes.T @ (scatter / unit) @ axes, 0, 2))
        lower_along_common_axes(turned, axes, counts, cls.volume == "E", enough, most)
        variances, value = cls.along(unit * np.moveaxis(turned, 2, 0), counts)
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
    return eigh(np.tensordot(shares, covariances, axes=1))[1]


def size(variances):
    """(…, 1) geometric means."""
    with np.errstate(divide="ignore"):
        return np.exp(np.log(variances).mean(axis=-1, keepdims=True))


def estimate_above_floor(family, covariances, floor, given, counts, scatter, lift):
    """The family's covariances at or above the floor.

    What is raised there is no longer of the family, and neither it nor what was lifted is the most likely one: where it
    is less likely than what was given, that stays (a generalised M-step).
    """
    raised = family.from_covariances(covariances, floor)
    if (
        given is None
        or not (raised.at_floor.any() or lift.any())
        or minus_twice(raised, counts, scatter) <= minus_twice(given, counts, scatter)
    ):
        return raised
    return given


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
        scatter_along = np.maximum(second - counts[:, None] * shift**2, 0)
        return cls.from_covariances(np.full(len(counts), scatter_along.sum() / (counts.sum() * shift.shape[1])), floor)

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
    volume, form, orientation = "V", "E", "E"

    @classmethod
    def common_axes(cls, scatter, counts, given):
        """From anywhere: what is minimised is convex along the geodesics of the common shape (all of |C| = 1)."""
        enough, before = TIGHT if given is None else NEAR, np.inf
        common = scatter.sum(axis=0) if given is None else given.covariances[0]
        for _ in range(MOST_SWEEPS):  # volumes and the common matrix in turn
            form, axes = eigh(common)
            form = np.maximum(form, ROUNDING * form[-1])
            form /= max(size(form), TINY)
            scatter_along = np.maximum((product(scatter, axes) * axes).sum(axis=1), 0)
            volumes, value = cls.volumes_of(form, scatter_along, counts)
            if before - value <= enough * (1 + abs(value)):
                break
            before = value
            common = (scatter / np.maximum(volumes, TINY)[:, :, None]).sum(axis=0)
        return np.broadcast_to(axes, scatter.shape), volumes * form


class EVE(Oriented):
    volume, form, orientation = "E", "V", "E"


class VVE(Oriented):
    volume, form, orientation = "V", "V", "E"


class EEV(Oriented):
    volume, form, orientation = "E", "E", "V"


class VEV(Oriented):
    volume, form, orientation = "V", "E", "V"


class EVV(Oriented):
    volume, form, orientation = "E", "V", "V"


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
