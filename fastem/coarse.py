"""Coarse to fine: several short EM runs on a subsample find the start of a fit to many rows.

Biernacki, Celeux, Govaert: Choosing starting values for the EM algorithm. Computational Statistics & Data Analysis 41
(2003) 561-575 (emEM). The fit itself then goes over all rows until the stopping rule holds there, so what is returned
is a fixed point of the whole likelihood; the subsample only decides where it begins.
"""

from __future__ import annotations

from fastem import initialise
from fastem.blocks import ArrayBlocks
from fastem.diagnosis import best_sound, effective_rows
from fastem.em import em
from fastem.gaussian_start import gaussian_start
from fastem.matrices import IllDefinedCovariance
from fastem.mixture import Mixture

PAYS_FROM = 5  # times the subsample's rows
RUNS = 4
SHORT_RUN = 10  # iterations after which the losers are dropped
LONG_RUN = 0.01  # of tol: iterations are cheap on the subsample, so the winner is taken further there
SEED_SHARE = 4  # the runs' own starts see one in four rows of the subsample


def applies(estimator, blocks) -> bool:
    """Whether the rows are many and the start is fastem's to choose."""
    given = (estimator.weights_init, estimator.means_init, estimator.precisions_init)
    return (
        estimator.coarse
        and isinstance(estimator.init_params, str)
        and all(part is None for part in given)
        and len(blocks.X) >= PAYS_FROM * initialise.subsample_rows(estimator.n_components)
    )


def coarse_start(estimator, blocks, floor, rng, n_threads) -> Mixture:
    """The best of some short runs on a subsample, run on there until it hardly moves."""
    X, weight = initialise.subsample(blocks.X, blocks.sample_weight, rng, estimator.n_components)
    sample, seeds = ArrayBlocks(X, weight), ArrayBlocks(X[::SEED_SHARE], weight[::SEED_SHARE])
    runs, failure = [], None
    for _ in range(max(RUNS, estimator.n_init)):
        try:
            start = gaussian_start(estimator, seeds, floor, rng, n_threads)
            runs.append(em(start, sample, tol=estimator.tol, max_iter=SHORT_RUN, n_threads=n_threads))
        except IllDefinedCovariance as error:
            failure = error
    if not runs:
        raise failure
    best = best_sound(runs, effective_rows(sample))
    tol = LONG_RUN * estimator.tol
    return em(best.model, sample, tol=tol, max_iter=estimator.max_iter, n_threads=n_threads).model
