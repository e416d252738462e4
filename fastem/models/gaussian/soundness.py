"""Which components of a mixture of Gaussians describe something.

A component that is not sound wins likelihood without describing anything, and without bound. It sits at the floor (with
many rows it is sound nevertheless, where the floor is as wide as clusters are); or on a single value of rounded data
(what is right to a resolution has a variance of resolution^2 / 12 at least); or its own rows do not determine how thin
it is. What a component shares with others (a shape, axes, a volume) is determined by the rows of all; so the rules ask
how thin it is beside the others, whatever the structure.

A component of a few rows far from all others describes these as outliers. It is not sound either, but its status says
what it is, and the rest of the mixture is right. Where all share one covariance, such a component is sound.
"""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic

NEAR_FLOOR = 1.5  # times the floor: a variance below it is held there
ROUNDED = 10.0  # times d eps of the columns' variances: what rounding leaves in a direction in which rows do not vary
FLAT = 2.0  # times the floor: the variance of all rows in a direction in which they do not vary
WIDE = 0.01  # of the data's variance: as wide as clusters are
MANY_ROWS = 2  # times what a covariance of its own takes: a component of so many is no outlier, whatever it shares
BULK = 0.9  # of the weight
SPIKE = 1e-4  # of the data's variance in a direction, where a component has few rows
THIN = 0.03  # of the other components' variance in a direction, relative to the mean of all directions; the same
MOSTLY = 0.5  # of a variance in a direction
FAR = 6.0  # standard deviations beyond where a component's rows lie
NARROW = "constant or duplicated columns, or a large reg_covar"  # why all rows are at the floor
OUTLIERS = "outliers: "  # how the status of a component of stray rows begins


def conditions(emission, weights, counts) -> list[tuple[str, bool]]:
    """The status of each component of a Gaussian emission, and whether it is sound; `counts` are effective rows.

    Directions in which the data as a whole do not vary (a constant or a duplicated column), or no more than a large
    `reg_covar` asks for, put every component at the floor: the status says so, but it is no collapse.
    """
    needed = emission.least_rows
    low, excess = below(emission, weights, NEAR_FLOOR * emission.floor, FLAT * emission.floor)
    many = of_many_rows(emission, counts)
    held_well = many & bool(excess.any() and is_wide(emission, weights, many))
    rounded = on_single_values(emission, weights)
    spikes = thin_by_chance(emission, weights, counts)
    found = [
        ("at the floor: its variance is held at reg_covar times the data's", bool(held_well[k]))
        if collapsed
        else (f"few rows: {rounded_down(count)} effective, its covariance needs {needed}", False)
        if count < needed
        else (f"on single values: its variance in {values} column(s) is less than rounding makes", False)
        if values
        else (f"spike: {spikes[k]}", False)
        if k in spikes
        else (f"at the floor in {hits} direction(s) in which the data do not vary much beyond it: {NARROW}", True)
        if hits
        else ("ok", True)
        for k, (count, hits, collapsed, values) in enumerate(zip(counts, low, excess, rounded))
    ]
    far = outlying(emission, counts, np.array([sound for _, sound in found]))
    return [
        (f"{OUTLIERS}{count:.2f} row(s) far from all others{', at the floor' * bool(collapsed)}", False)
        if k in far
        else condition
        for k, (count, collapsed, condition) in enumerate(zip(counts, excess, found))
    ]


def rounded_down(count) -> str:
    """A number of rows with two decimals, not of more rows than there are."""
    return f"{np.floor(100 * count) / 100:.2f}"


def below(emission, weights, least, flat):
    """(K,) in how many directions each component is below a least variance (d,), and how many of them are not among
    those in which the rows are below `flat` (d,). Tails and noise are no part of the covariances: with these, what the
    components of a mixture leave out may vary where they do not."""
    low = emission.covariance.directions_below(len(weights), least)
    if not low.any():
        return low, low
    of_rows = emission.rows_covariance
    if of_rows is None:
        of_rows = emission.total(weights)
    else:
        flat = flat + ROUNDED * len(flat) * np.finfo(np.float64).eps * of_columns(of_rows)
    everywhere = emission.covariance.directions_at_floor(of_rows, flat)
    return low, np.maximum(low - everywhere, 0)


def of_many_rows(emission, counts):
    """(K,) whether a component has many rows; `counts` are effective rows."""
    return counts >= max(emission.few_rows, MANY_ROWS * (emission.shape[1] + 1))


def is_wide(emission, weights, many) -> bool:
    """Whether the floor is as wide in all columns as clusters are, beside the components of many rows together."""
    if not arithmetic.matmul(weights, many) > 0:
        return False
    total = of_columns(emission.total(weights_of(weights, many)))
    if emission.rows_covariance is not None:  # beside a floor that holds all of them, it says nothing of the rows
        total = np.where(total < FLAT * emission.floor, of_columns(emission.rows_covariance), total)
    return bool((emission.floor >= WIDE * total).all())


def of_columns(covariance):
    """(d,) the variances of a covariance, a matrix or its diagonal."""
    return np.diagonal(covariance) if covariance.ndim == 2 else covariance


def weights_of(weights, some):
    """(K,) the weights of some components, which sum to 1; 0 of the others."""
    return weights * some / arithmetic.matmul(weights, some)


def on_single_values(emission, weights):
    """(K,) in how many columns a component is narrower than rounding makes it, where the whole mixture is not."""
    K, d = emission.shape
    least = emission.rounding_variance
    if least is None or not least.any():
        return np.zeros(K, int)
    narrow = emission.covariance.variances(K, d) < least
    if narrow.any():
        centred = emission.means - arithmetic.matmul(weights, emission.means)
        variances = emission.covariance.variances(K, d) + centred**2
        narrow &= arithmetic.matmul(weights, variances) >= least
    return narrow.sum(axis=1)


def thin_by_chance(emission, weights, counts) -> dict[int, str]:
    """The components that are thin in a direction and have too few rows to show that: {number: what they are}."""
    suspects = np.flatnonzero((counts < emission.few_rows) & (counts > 0))
    if not len(suspects):
        return {}
    found = {}
    for k, thin in zip(suspects, emission.covariance.relative_eigenvalues(suspects, emission.total(weights))):
        if thin.min(initial=np.inf) < SPIKE:
            found[int(k)] = f"{thin[0]:.1e} times the data's variance in one direction"
    suspects = suspects[~np.isin(suspects, list(found))]
    for k, beside in zip(suspects, beside_others(emission, weights, suspects)):
        if len(beside) and beside[0] < THIN * arithmetic.exp(arithmetic.log(beside).mean()):
            found[int(k)] = f"{beside[0]:.1e} times the other components' variance in one direction"
    return {k: f"{counts[k]:.2f} effective rows, of {what}" for k, what in found.items()}


def beside_others(emission, weights, components) -> list[np.ndarray]:
    """(r,) of each of some covariances, ascending eigenvalues in units of the other components' weighted mean.

    They follow from those in units of the mean P of all, which is made once: with P = w C + (1 - w) Q and the mean Q of
    the others, C v = x P v is C v = x (1 - w) / (1 - w x) Q v. Where the component itself is most of P in a direction,
    that would lose digits, and its others are added up.
    """
    weights = weights / (weights.sum() or 1)
    of_all = emission.covariance.relative_eigenvalues(components, emission.pooled(weights)) if len(components) else []
    found = []
    for k, values in zip(components, of_all):
        share = weights[k] * values
        if (share < MOSTLY).all():
            found.append(values * (1 - weights[k]) / (1 - share))
            continue
        others = np.where(np.arange(len(weights)) == k, 0, weights)
        rest = others.sum()
        found.append(
            emission.covariance.relative_eigenvalues([k], emission.pooled(others / rest))[0] if rest > 0 else values[:0]
        )
    return found


def outlying(emission, counts, sound) -> set[int]:
    """The components of few rows that are not sound and lie far from every sound one."""
    few = max(emission.few_rows, 2)
    suspects = np.flatnonzero(~sound & (counts < few) & (counts > 0))
    limit = np.sqrt(emission.shape[1]) + FAR
    near = np.full(len(suspects), np.inf)
    for j in np.flatnonzero(sound) if len(suspects) else ():
        whitened = emission.covariance.whiten(j, emission.means[suspects] - emission.means[j])
        near = np.minimum(near, np.sqrt(np.square(whitened).sum(axis=1)))
    return {int(k) for k, distance in zip(suspects, near) if limit < distance < np.inf}
