"""Which means and covariances the values that rows hold do not determine.

A mean needs one value of its column, a variance two, a covariance two rows that hold both columns, one less where the
mean is given: those of the component itself, or of all components where these share what it belongs to. By the three
letters of the structure: the columns' variances are a component's own where its shape or its axes are, and one column
is enough for a volume of its own. Covariances are asked for where all is a component's own, or all but the volume is
shared: what else is shared may determine a covariance that no row shows.
"""

from __future__ import annotations

import numpy as np

from fastem.models.gaussian.structures import LETTERS
from fastem.models.seen_values import NEARLY, SeenValues, first_of

ALL = "the rows of all components"
SHARED = "EEE", "VEE"  # covariances of which pairs of columns are asked together
PAIRED = "VVV", *SHARED


def letters_of(emission):
    """The three letters of the covariances' structure."""
    return LETTERS.get(type(emission.covariance), "VVV")


def needs_pairs(emission):
    """Whether a covariance may hang on no more than the rows that hold both columns."""
    return emission.shape[1] > 1 and letters_of(emission) in PAIRED


def undetermined(emission, seen: SeenValues, numbers) -> list[str]:
    """See :meth:`fastem.models.emission.Emission.undetermined`."""
    values, free = seen.columns, emission.free_covariances[:, None]
    volume, form, orientation = letters = letters_of(emission)
    about_means = np.maximum(values - emission.free_means[:, None], 0)
    flat = about_means < 1 - NEARLY
    found = [seen.too_few((values < 1 - NEARLY) & emission.free_means[:, None], values, numbers)]
    if form == "V" or orientation == "V":
        found.append(seen.too_few(flat & free, values, numbers))
    else:
        of_all = (about_means.sum(axis=0) if form == "E" else about_means.sum()) < 1 - NEARLY
        of_own = (volume == "V") & flat.all(axis=1, keepdims=True)
        found.append(seen.too_few(of_own & free, values, numbers))
        found.append(seen.too_few((of_all & free) | np.zeros_like(flat), values + 0 * about_means, numbers, ALL))
    if seen.pairs is not None:
        shared = letters in SHARED
        pairs = np.broadcast_to(seen.pairs.sum(axis=0), seen.pairs.shape) if shared else seen.pairs
        few = (pairs - emission.free_means[:, None, None] < 1 - NEARLY) & free[:, :, None]
        found.append(seen.too_few(few, pairs, numbers, ALL if shared else "its rows"))
    return first_of(*found)
