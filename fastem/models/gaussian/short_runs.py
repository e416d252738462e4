"""Steps of EM of many mixtures, of Gaussians or Student-t distributions, on few rows: all in the compiled module.

A step in Python takes ten times as long as its arithmetic where rows are few, and what the driver and a diagnosis ask
of a run as long again. Only ordinary steps are made here: a mixture whose M-step is not one (a component without rows,
or a covariance without digits; at the floor, estimates by iteration between which only their last digits decide) is
returned as it is before that step, and so is one of another kind. The driver goes on from there, so the steps' results
are the driver's; accelerated ones follow the same rules, in other coordinates. In the reproducible mode all steps are
the driver's, since the logarithms here are the C library's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fastem import kernels
from fastem.kernels.arithmetic import FIXED_ORDER
from fastem.kernels.threads import for_runs
from fastem.models.gaussian.dense import Tied
from fastem.models.gaussian.emission import Gaussian, floor_with_digits, middle
from fastem.models.gaussian.linear_algebra import FLAT, eigvalsh
from fastem.models.gaussian.soundness import NEAR_FLOOR, SPIKE, THIN
from fastem.models.gaussian.structures import LETTERS, of_dense
from fastem.models.gaussian.student_t import StudentT
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.missing_patterns import grouped

MOST_COLUMNS = 64  # beyond, the M-step's factors are faster by LAPACK
LEAST = 1e-100  # floor, and over 1 the most: products of two variances are numbers
MOST_ROWS = 25_000  # as a subsample has: beyond, a pass takes longer than what is saved


@dataclass
class ShortRun:
    """A run of some ordinary steps. Its model and statistics are made when they are asked for; steps that go on from it
    need neither.

    Attributes
    ----------
    begun : Mixture
        Where it began; or another mixture of the same structure, floor and shape, if it `has_moved`.
    blocks : ArrayBlocks
    history : list of float
        Mean log-likelihood of the start and after each step; empty where no pass was made here.
    row, centre : arrays
        The model at the end; see :func:`flat`.
    counts : (K,)
        The components' rows at the end.
    closeness : float
        To the floor: every variance at the end, in any direction, is at least the floor's over this.
    memory : array
        Of its last steps, where it is accelerated.
    has_jumped : bool
        Whether an extrapolated model has been kept.
    n_dropped : int
        How many were not.
    """

    begun: Mixture
    blocks: ArrayBlocks
    history: list[float] = field(default_factory=list)
    row: np.ndarray | None = None
    centre: np.ndarray | None = None
    counts: np.ndarray | None = None
    closeness: float = np.inf
    has_moved: bool = False
    memory: np.ndarray | None = None
    has_jumped: bool = False
    n_dropped: int = 0

    @property
    def n_iter(self) -> int:
        """Steps."""
        return max(len(self.history) - 1, 0)

    @cached_property
    def model(self) -> Mixture:
        """At the end."""
        return from_flat(self.row, self.begun, self.centre) if self.has_moved or self.n_iter else self.begun

    @property
    def variances(self):
        """(K, d) of the columns, at the end."""
        K, d = self.begun.emission.shape
        second = of_gaussians(self.row, self.begun)[K * (1 + d) :].reshape(K, -1)
        return second[:, :: d + 1] if second.shape[1] > d else second

    @cached_property
    def statistics(self):
        """Those of the model."""
        return self.blocks.reduce(self.model, 1)

    def is_plainly_sound(self, n_effective) -> bool:
        """Whether every component is far above the floor, and has many of the effective rows or is far from thin, so
        that none can be unsound; False: only a diagnosis tells."""
        emission = self.begun.emission
        rounding, counts = emission.rounding_variance, self.counts * (n_effective / self.counts.sum())
        few = counts < emission.few_rows
        return (
            self.closeness * NEAR_FLOOR < 1
            and counts.min() >= max(emission.least_rows, 1)
            and (rounding is None or bool((self.variances >= rounding).all()))
            and not (few.any() and (self.least_spreads[:, few] < [[SPIKE], [THIN]]).any())
        )

    @property
    def least_spreads(self):
        """(2, K) see the compiled function."""
        return kernels.for_dtype(np.float64).least_spreads(
            of_gaussians(self.row, self.begun), *self.begun.emission.shape
        )


def short_runs(begun, blocks, n_iter, n_threads, enough=-1.0, accelerated=False) -> list[ShortRun]:
    """The run of up to `n_iter` steps from each mixture, or the further steps of each run; until one changes the mean
    log-likelihood by no more than `enough`. accelerated: as Anderson's method in the driver; of Gaussians alone."""
    runs = [one if isinstance(one, ShortRun) else ShortRun(one, blocks) for one in begun]
    if FIXED_ORDER or not (runs and n_iter and are_few_rows(blocks)):
        return runs
    tails = tails_of(runs[0].begun)
    if tails is not None and accelerated:
        return runs
    begun, centre = [run.begun for run in runs], runs[0].centre
    if centre is None or any(run.centre is not centre for run in runs):
        begun = [run.model for run in runs]
        if not all(map(has_ordinary_steps, begun)):
            return runs
        emissions = [mixture.emission for mixture in begun]
        if len({(type(one.emission.covariance), one.emission.shape, tails_of(one)) for one in begun}) > 1:
            raise ValueError("mixtures of one structure and shape can be run side by side")
        centre = middle(np.vstack([one.means for one in emissions]), np.concatenate([m.weights for m in begun]))
        models = np.array([flat(mixture, centre) for mixture in begun])
    else:
        models = np.array([run.row for run in runs])
    emission = begun[0].emission
    module, letters = kernels.for_dtype(np.float64), LETTERS[type(emission.covariance)]
    rows, K = (blocks.X, blocks.sample_weight, centre), emission.shape[0]
    memories = None
    if accelerated:
        memories = np.zeros((len(runs), module.size_of_memory(letters, *emission.shape)))
        for memory, run in zip(memories, runs):
            memory[:] = 0 if run.memory is None else run.memory
    threads, gaps = for_runs(n_threads, len(runs) * n_iter, blocks, K), bool(np.isnan(blocks.X).any())
    if gaps and tails is not None:
        return runs
    groups = grouped(blocks.X, module.group_rows) if gaps and letters[2] != "I" else None
    done, histories, counts, closeness, has_jumped, n_dropped = module.short_runs(
        letters, K, *rows, models, emission.floor, n_iter, threads, enough, memories, tails, gaps, groups
    )
    return [
        ShortRun(
            mixture,
            blocks,
            history=run.history[:-1] + histories[i, : done[i] + 1].tolist(),
            row=models[i],
            centre=centre,
            counts=counts[i],
            closeness=float(closeness[i]),
            has_moved=run.has_moved,
            memory=memories[i] if accelerated else None,
            has_jumped=bool(has_jumped[i]),
            n_dropped=int(n_dropped[i]),
        )
        for i, (run, mixture) in enumerate(zip(runs, begun))
    ]


def runs_from(counts, means, covariances, structure, floor, blocks, begun) -> list[ShortRun | None] | None:
    """The runs that begin at the M-steps from the components' rows (R, K), means (R, K, d) and own covariances
    (R, K, size), whose size is d where a structure's axes are the columns, else d^2. None for those whose first M-step
    the compiled module does not make; and in place of all, where it makes none of such steps.

    begun : a function that gives a mixture the constraints of a fit
    """
    R, K, d = means.shape
    if not (is_ordinary_floor(floor) and are_few_rows(blocks)):
        return None
    above = of_dense(np.broadcast_to(4 * floor.max() * np.eye(d), (K, d, d)), structure, floor)
    pattern = begun(Mixture(counts[0] / counts[0].sum(), Gaussian(means[0], above, floor)))
    if not is_ordinary(pattern):
        return None
    if FIXED_ORDER:
        return [None] * R
    covariances = np.ascontiguousarray(covariances)
    found = kernels.for_dtype(np.float64).first_estimates(LETTERS[structure], counts, covariances, floor)
    shares = counts / counts.sum(axis=1, keepdims=True)
    centre = middle(np.vstack(means), shares.ravel())
    rows = np.concatenate([shares, (means - centre).reshape(R, -1), covariances.reshape(R, -1)], axis=1)
    ordinary = found & [floor_with_digits(*one, floor) is floor for one in zip(means, counts)]
    if LETTERS[structure] in ("EEV", "VEV"):  # the common shape is spread over axes that flat rows do not determine
        values = eigvalsh(covariances[ordinary].reshape(-1, d, d))  # of the others they may be no numbers
        ordinary[ordinary] = (values[:, 0] > FLAT * values[:, -1]).reshape(-1, K).all(axis=1)
    return [
        ShortRun(pattern, blocks, [], row, centre, has_moved=True) if ready else None
        for row, ready in zip(rows, ordinary)
    ]


def is_ordinary(mixture) -> bool:
    """Whether a mixture is one of Gaussians alone, whose M-step the compiled module has."""
    return type(mixture.emission) is Gaussian and has_ordinary_steps(mixture)


def has_ordinary_steps(mixture) -> bool:
    """Whether a mixture has an M-step in the compiled module."""
    emission = mixture.emission
    return (
        type(mixture) is Mixture
        and not mixture.shares.constrains
        and type(emission) in (Gaussian, StudentT)
        and type(emission.covariance) in LETTERS
        and emission.shape[1] <= MOST_COLUMNS
        and bool((mixture.weights > 0).all())
        and is_ordinary_floor(emission.floor)
    )


def tails_of(mixture) -> str | None:
    """What the compiled module does with degrees of freedom; None: there are none."""
    emission = mixture.emission
    return ("free" if emission.free else "fixed") if isinstance(emission, StudentT) else None


def is_ordinary_floor(floor) -> bool:
    """Whether there is one, and products of two variances above it are numbers."""
    return bool(LEAST < floor.min() <= floor.max() < 1 / LEAST)


def are_few_rows(blocks) -> bool:
    """Whether these are rows in memory that a pass takes as one block, and nothing but rows."""
    return (
        type(blocks) is ArrayBlocks
        and blocks.dtype == np.float64
        and blocks.n_rows <= min(MOST_ROWS, blocks.block_rows)
    )


def of_gaussians(row, mixture):
    """A vector as that of Gaussians, without degrees of freedom."""
    return row if tails_of(mixture) is None else row[: -mixture.emission.shape[0]]


def flat(mixture, centre):
    """Weights, means about the centre, covariances and, if there are any, degrees of freedom in one vector."""
    emission = mixture.emission
    K, d = emission.shape
    spread = emission.covariance
    full = LETTERS[type(spread)][2] != "I"
    second = np.broadcast_to(spread.covariances, (K, d, d)) if full else spread.variances(K, d)
    tails = [] if tails_of(mixture) is None else [emission.degrees_of_freedom]
    return np.concatenate([mixture.weights, (emission.means - centre).ravel(), second.ravel(), *tails])


def from_flat(row, mixture, centre) -> Mixture:
    """The mixture of such a vector, otherwise like another one."""
    emission = mixture.emission
    K, d = emission.shape
    weights, means, second = np.split(of_gaussians(row, mixture), [K, K + K * d])
    structure = type(emission.covariance)
    shape = structure.shape(K, d)
    second = second.reshape(K, -1)
    if len(shape) == 1:
        covariances = second[:, 0]
    else:
        covariances = (second[0] if structure is Tied else second).reshape(shape)
    covariance = structure.from_covariances(covariances.copy(), emission.floor)
    tails = {} if tails_of(mixture) is None else {"degrees_of_freedom": row[-K:].copy()}
    emission = replace(emission, means=means.reshape(K, d) + centre, covariance=covariance, **tails)
    return replace(mixture, weights=weights.copy(), emission=emission)
