"""Fits of many mixtures to one data set: from starts that all share, and from smaller fits of the same family.

For each number of components the trees of :mod:`fastem.starts.partitions`, merged clusters and random rows propose
partitions of some rows; the family's fit with fewer components proposes more, each with one component split in two. A
few iterations on these rows drop those of which less is expected, and the best go over all rows until the stopping rule
holds there. The first tree, which is mclust's, always is among them, so that no model is less likely for want of its
start.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from fastem.estimators.fitting import keep_fit
from fastem.estimators.parameters import SEARCH, tagged
from fastem.estimators.planning import plan_in_memory
from fastem.families.gaussian.covariance_mixture import CovarianceMixture
from fastem.families.gaussian.mixture import GaussianMixture
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.short_runs import MOST_ROWS
from fastem.models.gaussian.structures import check_dimension, of_dense
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.scale import standardised
from fastem.rows.sources.open_rows import open_to_fit
from fastem.starts import merged_clusters
from fastem.starts.clusters import row_partitions
from fastem.starts.diagnosis import best_first, diagnose, effective_rows, expected_merit, sound_merit
from fastem.starts.fit_report import report_of_one
from fastem.starts.from_memberships import component_moments, from_moments, runs_from_moments
from fastem.starts.gaussian_start import filled
from fastem.starts.merged_clusters import Unlike
from fastem.starts.partitions import splits, trees
from fastem.starts.regroup import split_merge_start
from fastem.starts.restarts import Restarts
from fastem.starts.tournament import FAILURES, race, tournament

ROWS = 2000  # on which starts are made and compared
ROUNDS = ((20, 5), (40, 3))  # iterations, and how many starts are left after them
SAME = 1e-5  # difference of mean log-likelihoods after the rounds, below which two runs climb to the same place
OF_COMPONENTS = ("weight_concentration_prior", "degrees_of_freedom")  # parameters that may have a value for each
DEFAULTS = {"tol": 1e-5, "max_iter": 1000}  # models are compared, so each must be near its optimum


class ModelSearch:
    """The rows, and what all fits to them share.

    Parameters
    ----------
    X, sample_weight
        As :meth:`fastem.GaussianMixture.fit` takes them.
    numbers : sequence of int
        Numbers of components.
    covariance_types : sequence of str
    parameters : dict
        Other parameters of GaussianMixture.
    seed : int
    n_threads : int
        Threads of one pass over the rows.
    kind : type
        Of the estimators.

    Raises
    ------
    ValueError
        No model at all can be fitted.
    """

    def __init__(
        self,
        X,
        sample_weight,
        numbers,
        covariance_types,
        parameters,
        seed,
        n_threads=1,
        kind: type[CovarianceMixture] = GaussianMixture,
    ):
        self.parameters, self.seed, self.n_threads, self.kind = parameters, seed, n_threads, kind
        least = self.estimator(1, covariance_types[0])
        self.blocks, self.unit = open_to_fit(X, sample_weight, type(least).__name__)
        if self.blocks.n_rows <= MOST_ROWS:
            self.blocks = kept(self.blocks)
        plan = plan_in_memory(least, self.blocks, self.unit)
        for name in covariance_types:
            check_dimension(name, self.blocks.n_features)
        self.examined = {}
        self.scales(plan)  # refuses rows that are not finite, before trees see them
        self.n_effective = effective_rows(self.blocks)
        n = self.blocks.n_counted
        ranks = np.arange(n)
        if n > ROWS:
            ranks = np.sort(np.random.default_rng(seed).choice(n, ROWS, replace=False))
        X, self.weight = self.blocks.take(ranks)
        order = np.lexsort([self.weight, *X.T[::-1]])  # the order of the rows does not matter
        self.X, self.weight = np.ascontiguousarray(X[order]), self.weight[order]
        complete = filled(self.X, self.weight)
        self.complete = complete.astype(np.float64)  # moments of float32 rows would lose digits
        self.Z = standardised(complete, self.weight).astype(np.float64)
        self.sample = ArrayBlocks(self.X, self.weight if self.blocks.weighted else None)
        self.partitions = trees(complete, self.weight, numbers)
        n_distinct = len(np.unique(self.X, axis=0))
        for K, labels in self.partitions.items():
            if K <= n_distinct:
                self.partitions[K] = self.with_drawn(labels, K)
        self.partitions[1] = [np.zeros(len(self.X), int)]
        self.shared_moments = {}

    def with_drawn(self, labels, K):
        """These labels, and partitions of merged clusters and of random rows."""
        rng = np.random.default_rng([self.seed, K])
        labels = labels + merged_clusters.partitions(self.complete, self.weight, K, rng, 1)
        unlike = Unlike(self.weight, K, labels)
        for one in row_partitions(self.complete, self.weight, K, rng, 1):
            unlike.add(one)
        return unlike.partitions

    def estimator(self, n_components, covariance_type):
        """The estimator of a model, not fitted."""
        return self.kind(n_components, covariance_type=covariance_type, **self.parameters)

    def chain(self, covariance_type, numbers):
        """For each number of components, ascending: it, the fitted estimator and its result, or None and the error."""
        for K, estimator, result in self.results(covariance_type, numbers):
            if estimator is not None:
                report = report_of_one(
                    result, "partitions that all families share", self.n_effective, self.unit, self.blocks
                )
                keep_fit(estimator, result, report, self.n_effective, self.unit, self.blocks)
            yield K, estimator, result

    def results(self, covariance_type, numbers):
        """The same with estimators that are not fitted."""
        smaller = None
        for K in numbers:
            try:
                estimator = self.estimator(K, covariance_type)
                plan = plan_in_memory(estimator, self.blocks, self.unit)
                structure = plan.family.structure
                result = self.best(plan, [*self.shared(K, structure), *self.grown(smaller, K, structure)])
            except FAILURES as error:
                yield K, None, error
                continue
            smaller = result.model
            yield K, estimator, result

    def from_narrower(self, covariance_type, mixture):
        """The fitted estimator of a family from a mixture of a narrower one, and its result."""
        estimator = self.estimator(mixture.n_components, covariance_type)
        plan = plan_in_memory(estimator, self.blocks, self.unit)
        scales = self.scales(plan)
        covariance = of_dense(mixture.emission.dense_covariances(), plan.family.structure, scales.floor)
        start = Mixture(mixture.weights, Gaussian(mixture.emission.means, covariance, scales.floor))
        result = self.climbed([lambda: start], plan, scales)
        report = report_of_one(result, "the fit of a narrower family", self.n_effective, self.unit, self.blocks)
        keep_fit(estimator, result, report, self.n_effective, self.unit, self.blocks)
        return estimator, result

    def alone(self, covariance_type, K):
        """The fitted estimator of a model from the starts of its own fit, which no other model shares; its result."""
        estimator = self.estimator(K, covariance_type)
        plan = replace(plan_in_memory(estimator, self.blocks, self.unit), random_state=self.seed)
        restarts = Restarts(plan, self.blocks, self.scales(plan), self.n_threads)
        restarts.run()
        result = restarts.best(self.n_effective)
        report = restarts.report(result, self.unit, self.blocks)
        keep_fit(estimator, result, report, self.n_effective, self.unit, self.blocks)
        return estimator, result

    def shared(self, K, structure):
        """The moments of the partitions that every family starts from: once for all structures of a kernel."""
        key = K, structure.kernel
        if key not in self.shared_moments:
            self.shared_moments[key] = [self.moments(labels, K, structure) for labels in self.partitions[K]]
        return self.shared_moments[key]

    def grown(self, smaller, K, structure):
        """Moments for K components from a fitted model of fewer: each of its components in turn is split."""
        if smaller is None:
            return []
        whole = smaller.posterior(self.X)
        candidates = splits(self.Z, self.weight, whole)
        while candidates and whole.shape[1] < K - 1:
            whole = candidates[0][1]
            candidates = splits(self.Z, self.weight, whole)
        if not candidates:
            return []
        of_whole = self.moments(whole, K - 1, structure)
        return [of_whole.split(k, self.moments(membership[:, [k, -1]], 2, structure)) for k, membership in candidates]

    def moments(self, membership, K, structure):
        """The moments of the sampled rows for labels (n,) or responsibilities (n, K)."""
        return component_moments(self.complete, self.weight, membership, K, structure)

    def best(self, plan, moments):
        """The result of the best sound run from some moments of components."""
        scales = self.scales(plan)
        structure = plan.family.structure
        first, *others = (partial(from_moments, given, structure, scales.floor) for given in moments)
        if len(others) > 1:
            runs = runs_from_moments(moments[1:], structure, scales.floor, self.sample) or [None] * len(others)
            others = [run or one for run, one in zip(runs, others)]
            settings = {"same": SAME, "by": expected_merit, "n_effective": effective_rows(self.sample)}
            runs = tournament(others, self.sample, ROUNDS, plan.stop.near, self.n_threads, **settings)
            others = [lambda run=run: run.model for run in runs]
        best = self.climbed([first, *others], plan, scales)
        rng = np.random.default_rng([self.seed, plan.n_components])
        for _ in range(plan.restarts.split_merge if best.model.emission.shape[0] > 1 else 0):
            try:
                start = split_merge_start(best.model, plan, self.blocks, scales, rng, self.n_threads)
                attempt = self.climbed([lambda start=start: start], plan, scales)
            except FAILURES:
                continue  # an attempt to improve failed: what was to be improved stays
            best = next(best_first([best, attempt], self.n_effective, sound_merit))
        return best

    def climbed(self, starts, plan, scales):
        """The result of the best sound run over all rows."""
        climbing = [lambda start=start: self.begun(plan, start(), scales) for start in starts]
        return race(climbing, self.blocks, plan.stop.near, self.n_threads, accelerate=plan.accelerate)

    def scales(self, plan):
        """What the plan's family takes from the columns: once for each family, unless a prior depends on K."""
        key = plan.family.covariance_type, plan.n_components if scales_depend_on_k(plan.family) else None
        if key not in self.examined:
            self.examined[key] = plan.family.examine(self.blocks, plan.n_components, self.n_threads)
        return self.examined[key]

    @staticmethod
    def begun(plan, model, scales):
        """The model as a start that keeps to the plan's constraints."""
        return plan.begun(plan.family.continued(model, scales), scales)

    def doubt(self, result) -> float:
        """Minus the sum of the logarithms of the rows' largest posterior probabilities."""

        def of_block(X, weight, start):
            doubt = result.model.doubt(X)
            return doubt.sum() if weight is None else weight @ doubt

        return float(np.sum(self.blocks.each(of_block)))

    def statuses(self, result):
        """What is wrong with a result's components, in one line ("" if nothing is), and whether it is sound."""
        diagnoses = diagnose(result, self.n_effective)
        wrong = [f"component {k}: {one.status}" for k, one in enumerate(diagnoses) if one.status != "ok"]
        return "; ".join(wrong), all(one.sound for one in diagnoses)


def scales_depend_on_k(family) -> bool:
    """Whether the family takes another prior for each number of components."""
    return getattr(family, "prior", None) is not None


def searched_parameters(estimator) -> dict:
    """The estimator's parameters that a search takes; `tol` and `max_iter` strict enough to compare models."""
    settings = {name: getattr(estimator, name) for name in tagged(estimator, SEARCH)}
    return settings | strict(settings)


def require_one_for_all(settings, asked) -> None:
    """ValueError at the first parameter {name: value} with a value for each component, of which numbers differ."""
    for name in OF_COMPONENTS:
        if np.ndim(value := settings.get(name)):
            raise ValueError(
                f"{asked}() takes one {name} for all components, whatever their number: pass a number. Got "
                f"{value!r} instead."
            )


def strict(settings) -> dict:
    """`tol` and `max_iter` of these settings, strict enough to compare models."""
    return {
        "tol": min(settings["tol"], DEFAULTS["tol"]),
        "max_iter": max(settings["max_iter"], DEFAULTS["max_iter"]),
    }


def kept(blocks) -> ArrayBlocks:
    """Few rows, wherever they are, as an array in memory: every model sees them many times."""
    if isinstance(blocks, ArrayBlocks):
        return blocks
    parts = blocks.each(lambda X, sample_weight, start: (np.array(X), sample_weight))
    weights = [sample_weight for _, sample_weight in parts if sample_weight is not None]
    return ArrayBlocks(np.vstack([X for X, _ in parts]), np.concatenate(weights) if weights else None, blocks.names)
