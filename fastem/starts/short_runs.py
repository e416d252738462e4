"""Where EM begins is decided by short runs of EM: from several partitions of the rows, or from starts of several kinds.

Coarse to fine: with many rows a subsample is enough to find the start. The fit itself then uses all rows until the
stopping rule holds, so its result is a fixed point of the whole likelihood.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice, product

import numpy as np

from fastem.driver.em import em
from fastem.kernels.threads import for_pass
from fastem.models.gaussian.candidates import truncated
from fastem.models.gaussian.short_runs import ShortRun, is_ordinary
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks, Blocks
from fastem.rows.side_columns import SideBlocks
from fastem.starts.contenders import MOST, STEPS, STEPS_OVER_ALL, as_sound, narrowed, still_open, the_same
from fastem.starts.diagnosis import best_first, effective_rows, merit
from fastem.starts.gaussian_start import filled
from fastem.starts.incomplete import partitions_of_complete
from fastem.starts.merged_clusters import Unlike, alike
from fastem.starts.moves import posterior_of, split_merges
from fastem.starts.named import EMEM, MERGED, PARTITIONS
from fastem.starts.plan import Plan, Stop
from fastem.starts.ranked_moves import ranked_moves
from fastem.starts.subsample import all_rows, sample_of, subsample_rows
from fastem.starts.tournament import distinct, tournament

PAYS_FROM = 5  # times as many rows as the subsample has
RUNS = 6  # of one kind of start, on a subsample
CHEAP_ROUNDS = ((5, 6), (15, 3), (40, 1))  # of steps in the compiled module: iterations, and how many runs are left
SIDE_ROUNDS = ((3, 6), (10, 3), (20, 1))  # over rows with side columns
GATED_ROUNDS = ((5, 10), (15, 5), (40, 2), (60, 1))  # where these are covariates
SHORT_RUN = 5  # iterations after which the worse half of the runs is dropped, and then all but one
MOST_LONG_RUN = 300  # iterations of the winner on the subsample; with tol=0 the fit itself must begin
FEW_DIVISOR = 4  # the short runs see one in four rows of the subsample,
ROWS_PER_DIRECTION = 20  # or this many per component and row that its covariance needs,
FEW = 5000  # and so many where there are not more,
FEW_BESIDE = 2000  # or so many where they have side columns
DOUBT = 4  # times as many rows as elsewhere a component needs of a sample
SAME = 1e-4  # mean log-likelihood, within which runs are on their way to the same optimum
LEAST_TOL = 1e-6  # of such runs
SHARED = 0.02  # cosine of two components' responsibilities from which they are merged
FEW_COMPONENTS = 16  # up to which moves by shared rows are tried beside ranked ones
MOST_MOVES = 3  # times that two components are merged and another is split
MANY = 500  # components from which merged clusters alone are starts: k-means always tears or joins some of so many
ROUND_OF_CONSTRAINED = ((30, 1),)  # in which the best within constraints meets the best without them
DRAWS = 2  # times that the starts of a contest are made where a subsample makes them cheap


def pays(blocks, n_components) -> bool:
    """Whether there are so many rows that short runs on a subsample save time."""
    return blocks.n_rows >= PAYS_FROM * subsample_rows(n_components)


def coarse_start(start, blocks, plan: Plan, scales, rng, n_threads) -> Mixture:
    """The best of some short runs on a subsample, continued there until little is left to gain.

    start(init, rows) makes a mixture.
    """
    sample = sample_of(blocks, rng, plan.n_components)
    few, rows = spaced(sample, plan), truncated(sample, plan.truncate)
    n_effective = rows_that_judge(blocks, few, plan)
    if plan.start.init == EMEM:
        draws = max(DRAWS, plan.restarts.n_init)
        models = emem_start(start, few, plan, scales, rng, n_threads, n_effective, draws)
    else:
        n_runs = max(RUNS, plan.restarts.n_init)
        rounds = (SHORT_RUN, (n_runs + 1) // 2), (SHORT_RUN, 1)
        starts = [lambda: start(plan.start.init, few.whole())] * n_runs
        models = [contest(starts, few, rounds, plan, n_threads, n_effective)]
    threads, near = for_pass(n_threads, sample, plan.n_components), Stop(plan.stop.tol).near
    models = still_open(narrowed(models, few, rows, STEPS, near, threads, n_effective), sample, threads)
    limits = {"tol": plan.stop.tol, "max_iter": min(MOST_LONG_RUN, plan.stop.max_iter), "n_threads": threads}
    stop = Stop().near if is_ordinary(models[0]) else Stop()
    runs = [em(model, rows, stop=stop.rule, accelerate=plan.accelerate, **limits) for model in models]
    everything = truncated(blocks, plan.truncate)
    return narrowed(as_sound(runs, n_effective), sample, everything, STEPS_OVER_ALL, near, n_threads, n_effective)[0]


def chosen_start(start, blocks, plan: Plan, scales, rng, n_threads) -> Mixture:
    """The best of short runs on some of the rows; by all rows, where these leave it open."""
    few = spaced(sample_of(blocks, rng, plan.n_components), plan)
    n_effective = rows_that_judge(blocks, few, plan)
    models = emem_start(start, few, plan, scales, rng, n_threads, n_effective)
    if n_effective is None or pays(blocks, plan.n_components):
        return models[0]
    near, rows = Stop(plan.stop.tol).near, truncated(blocks, plan.truncate)
    return narrowed(models, few, rows, STEPS, near, n_threads, n_effective)[0]


def rows_that_judge(blocks, few, plan: Plan) -> float | None:
    """The effective rows that judge whether components of a start are sound; None: their own, which are all rows, and
    many for each component. One that has few rows of a sample wins the more likelihood there the fewer of all rows bear
    it out: it must have more of them than of all rows."""
    if few.n_rows < blocks.n_counted:
        return min(effective_rows(blocks), few.n_rows / DOUBT)
    are_many = few.n_rows >= ROWS_PER_DIRECTION * plan.least_rows(few.n_features)
    return None if are_many else effective_rows(few)


def judged_by(few, n_effective) -> float:
    """The effective rows that judge whether components are sound, as a number."""
    return effective_rows(few) if n_effective is None else n_effective


def emem_start(start, few, plan: Plan, scales, rng, n_threads, n_effective, n_draws=1) -> list[Mixture]:
    """The best of short runs from the kinds of starts that suit the family, because each kind fails on other data; the
    next best as well, where the rows have no side columns.

    Where a family has rounds for it, two components of the best may be merged and another split: clusters of uneven
    sizes are seldom found otherwise. Where rows have side columns, the best for the values alone and the same
    starts run again, with these.

    start(init, rows) makes a mixture from a kind, or from labels of the rows. Merged clusters give several partitions,
    each of which is a start; where all are alike, there is nothing to choose.
    """
    beside, few = few, few.whole()
    family, starts, found = plan.family, [], Unlike(few.sample_weight, plan.n_components)
    X, weight, K = filled(few.X, few.sample_weight), few.sample_weight, plan.n_components
    threads = for_pass(n_threads, few, K)
    for kind, n_runs in n_draws * list(family.start_kinds.items()):
        if kind not in family.start_partitions:
            starts += n_runs * [lambda kind=kind: start(kind, few)]
            continue
        if K >= MANY and kind != MERGED and found.partitions:
            continue
        for columns, n_clusters in product(family.views(X.shape[1]), family.start_sizes(K)):
            for labels in PARTITIONS[kind](X[:, columns], weight, n_clusters, rng, threads):
                found.add(labels)
            for labels in partitions_of_complete(PARTITIONS[kind], few.X[:, columns], weight, n_clusters, rng, threads):
                found.add(labels)
    partitions = [partial(start, labels, few) for labels in found.partitions]
    if len(starts) + len(partitions) == 1:
        return [[*partitions, *starts][0]()]
    runs = best_runs(found.partitions, starts, start, few, plan, scales, rng, n_threads, n_effective)
    if beside is few:
        return [runs[0].model] if n_effective is None else as_sound(runs, n_effective)
    best = runs[0].model
    rounds, n = SIDE_ROUNDS, len(found.partitions)
    if beside.roles == ("covariates",):  # which may tell clusters apart that the values do not
        rounds = GATED_ROUNDS
        for labels in PARTITIONS[MERGED](filled(beside.blocks.X, weight), weight, K, rng, threads):
            found.add(labels)
    starts = [lambda: best, *partitions, *starts, *(partial(start, labels, few) for labels in found.partitions[n:])]
    beside = spaced(beside, plan, FEW_BESIDE, beside.n_rows)
    return [contest(starts, beside, rounds, plan, n_threads, judged_by(few, n_effective))]


def best_runs(labels, starts, start, few, plan: Plan, scales, rng, n_threads, n_effective) -> list:
    """The best of short runs from some partitions (n,) and other starts, and of moves of the best. Constraints leave
    the steps to the driver, which can afford few: then the best run without these goes on within them as well."""
    family, K, rows = plan.family, plan.n_components, truncated(few, plan.truncate)
    compiled, rounds, of_moves = family.short_runs(plan, labels, rows, scales), CHEAP_ROUNDS, family.move_rounds
    if compiled is None:
        rounds, of_moves = family.start_rounds, family.driver_move_rounds
        if family.incomplete_rounds and np.isnan(few.X).any():
            rounds, of_moves = family.incomplete_rounds
    begun = [run or partial(start, one, few) for run, one in zip(compiled or len(labels) * [None], labels)] + starts
    runs = leaders(begun, few, rounds, plan, n_threads, n_effective)
    if of_moves and 1 < K < MANY:
        runs = moved(runs, of_moves, start, few, plan, scales, rng, n_threads, n_effective)
    free = plan.unconstrained
    if compiled is not None or free.family.short_runs(free, labels, rows, scales) is None:
        return runs

    def start_free(init, rows):
        one = free.from_start(init)
        return one.begun(one.mixture(rows, scales, rng, n_threads), scales)

    without = best_runs(labels, [], start_free, few, free, scales, rng, n_threads, n_effective)[0].model
    begun = [partial(the_same, runs[0].model), partial(plan.begun, without, scales)]
    return leaders(begun, few, ROUND_OF_CONSTRAINED, plan, n_threads, n_effective)


def moved(runs, rounds, start, few, plan: Plan, scales, rng, n_threads, n_effective) -> list:
    """The best of some runs and of those that merge two components of the best and split another; again where that has
    found other clusters."""
    K, weight, threads = plan.n_components, few.sample_weight, for_pass(n_threads, few, plan.n_components)
    rng = np.random.default_rng(rng.integers(2**63))  # later starts draw the same, however many moves there are
    near = replace(plan, stop=replace(plan.stop, tol=max(plan.stop.tol, LEAST_TOL)))
    clusters = posterior_of(runs[0].model, few.X, np.arange(K)).argmax(axis=1)
    is_complete = not np.isnan(few.X).any()
    for _ in range(MOST_MOVES):
        best = runs[0].model
        first = runs[0] if isinstance(runs[0], ShortRun) else partial(the_same, best)
        is_ranked = K > 2 and is_complete and is_ordinary(best)
        labels = ranked_moves(best, few, rng, threads, SHARED) if is_ranked else []
        if K <= FEW_COMPONENTS or not is_ranked:
            labels += [one.argmax(axis=1) for one in split_merges(best, few, rng, threads, SHARED)]
        labels = [one for one in labels if np.bincount(one, weight, minlength=K).all()]
        if not labels:  # no cluster is divided between components
            break
        others = plan.family.short_runs(near, labels, truncated(few, plan.truncate), scales)
        begun = [run or partial(start, one, few) for run, one in zip(others or len(labels) * [None], labels)]
        ended = leaders([first, *begun], few, rounds, near, n_threads, n_effective)
        ranked = best_first([*ended, *runs[1:]], judged_by(few, n_effective))
        runs = list(islice(distinct(ranked, SAME), MOST))
        before, clusters = clusters, posterior_of(runs[0].model, few.X, np.arange(K)).argmax(axis=1)
        if alike(before, clusters, weight, K):
            break
    return runs


def labelled_start(start, init, plan: Plan, rng, n_threads, n_effective) -> Mixture:
    """The best of short runs from kinds of starts that know of the labels, and from the start that does not, whose
    components are numbered as the labels say.

    start(init, rows) makes a mixture; init: the LabelledStart.
    """
    init = init.of_few(plan.n_components, rng)
    few, K = init.blocks, plan.n_components

    def without():
        X, weight = all_rows(few)
        rows = ArrayBlocks(filled(X, weight), weight)
        labels = np.empty(few.n_rows, np.intp)
        start(EMEM, rows).score(rows.X, n_threads, labels=labels)
        return start(init.kept(init.numbered(labels, K), K), few)

    starts = [lambda one=one: start(one, few) for one in init.candidates(K)]
    if not plan.family.has_noise:  # which is a component more
        starts.append(without)
    return contest(starts, few, plan.family.start_rounds, plan, n_threads, n_effective)


def contest(starts, few, rounds, plan: Plan, n_threads, n_effective=None, by=merit) -> Mixture:
    """The mixture that is best after some rounds on few rows.

    n_effective : float, optional
        Effective rows of which these are a sample: so many are to tell whether a component is sound.
    by : function
        What runs are compared by; see :mod:`fastem.starts.diagnosis`.
    """
    (best,) = leaders(starts, few, rounds, plan, n_threads, n_effective, by, 1)
    return best.model


def leaders(starts, few, rounds, plan: Plan, n_threads, n_effective=None, by=merit, most=MOST) -> list:
    """The runs that are best then, up to so many, the best first."""
    settings = {"n_effective": n_effective, "by": by, "same": SAME}
    rows, (*earlier, (n_iter, _)) = truncated(few, plan.truncate), rounds
    return tournament(starts, rows, (*earlier, (n_iter, most)), Stop(plan.stop.tol).near, n_threads, **settings)


def few_of(plan: Plan, blocks, rng) -> Blocks:
    """The rows on which starts are compared."""
    return spaced(sample_of(blocks, rng, plan.n_components), plan)


def spaced(sample: Blocks, plan: Plan, least=FEW, divisor=FEW_DIVISOR) -> Blocks:
    """Some of the rows of a subsample, evenly spaced, as float64: beside far rows, float32 holds too little of the
    others for starts to be told apart. At least so many, and one in `divisor`."""
    n = sample.n_rows
    size = min(n, max(least, n // divisor, ROWS_PER_DIRECTION * plan.least_rows(sample.n_features)))
    rows = slice(None) if n == size else np.arange(size) * n // size
    wide = sample.blocks if isinstance(sample, SideBlocks) else sample
    some = ArrayBlocks(wide.X[rows].astype(np.float64, copy=False), wide.sample_weight[rows])
    return sample.of(some) if isinstance(sample, SideBlocks) else some
