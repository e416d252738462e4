"""What the three letters of a family say about variances along axes, whatever the axes are: volume and shape."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fastem.models.gaussian.covariance import floor_of_all
from fastem.models.gaussian.scatters import CHOSEN

TIGHT = 1e-13  # relative change at which an iterated estimate, or what it minimises, has converged
MOST_SWEEPS = 500
TINY = 1e-300
LEAST_FORM = 1e-100  # of a common shape, in multiples of the largest
SHAPELESS = 1e-3  # floors: what varies less along every axis may be rounding of the sums


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
        """See `scatters.most_likely`; the quadratic terms are about one a row and column."""
        logs = float(counts @ self.log_det_precision_root(len(counts), d))
        return CHOSEN * (float(counts.sum()) * d + abs(logs))

    @classmethod
    def has_own_volumes(cls):
        return cls.volume == "V"

    def directions_below(self, n_components, least):
        """Also those that a common volume hides; a covariance that all share hides none, and may be held by digits."""
        low = super().directions_below(n_components, least)
        return low if self.shared else np.maximum(low, self.at_floor)

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
    def lifting(cls, floor):
        """What scatters are measured and lifted by: the floor (d,) or (K, d). Where volumes are equal, the least one of
        all components: that which digits raise for a far one would widen the others with it."""
        return np.atleast_2d(floor).min(axis=0) if cls.volume == "E" else floor

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


def common_form(variances):
    """(d,) variances to a shape of size 1."""
    form = np.maximum(variances, LEAST_FORM * variances.max() or 1.0)
    return form / size(form)


def size(variances):
    """(…, 1) geometric means."""
    with np.errstate(divide="ignore"):
        return np.exp(np.log(variances).mean(axis=-1, keepdims=True))
