"""The mixture: weights over an emission. Two methods make it a model for EM; the rest evaluates it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.kernels.threads import resolve
from fastem.models.emission import Emission
from fastem.models.log_joint import exp_relative, normalised
from fastem.models.rounding import UNIT, Pass, Rounding, additions, of_total
from fastem.models.weights import FREE, Shares
from fastem.rows.e_step import BlockModel
from fastem.rows.missing_patterns import ROWS, grouped, patterns
from fastem.rows.statistics import Statistics


@dataclass(frozen=True)
class Mixture(BlockModel):
    """p(x) = sum_k weights_k p_k(x).

    Attributes
    ----------
    weights : (K,)
    emission : the K densities, see :class:`fastem.models.emission.Emission`
    shares : what the M-step makes of the components' counts
    """

    weights: np.ndarray
    emission: Emission
    shares: Shares = FREE

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        return self.emission.n_parameters + self.shares.n_parameters(self.n_components)

    @cached_property
    def _calls(self):
        return {}

    def __reduce__(self):  # without the prepared calls
        return Mixture, (self.weights, self.emission, self.shares)

    @property
    def log_weights(self) -> np.ndarray:
        """(K,) by which the pass weighs the densities; -inf for a component without weight."""
        return self.shares.log_weights(self.weights)

    def kernel_call(self, dtype):
        """The parameters as the kernels take them, prepared once for each type of data."""
        if dtype not in self._calls:
            self._calls[dtype] = self.emission.kernel_call(self.log_weights, dtype)
        return self._calls[dtype]

    def incomplete_call(self, dtype):
        """The same for rows with missing values, of an emission that takes them."""
        if (dtype, "incomplete") not in self._calls:
            self._calls[dtype, "incomplete"] = self.emission.incomplete_call(self.log_weights, dtype)
        return self._calls[dtype, "incomplete"]

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        """Expected sufficient statistics of rows under the posterior of their component.

        Parameters
        ----------
        X : (n, d) float32 or float64, any strides
        sample_weight : (n,) float64 or None
        n_threads : int
        kept : dict
            Keeps how the rows are grouped where values are missing (NaN), and which lie together, for the next call
            with the same rows.

        Returns
        -------
        Statistics
            ``counts``, and the sums of the emission; ``weight`` (sum of sample weights), ``log_likelihood``, and
            ``entropy`` of the posterior, so that the bound is ``Q + entropy``. Where the emission takes missing values,
            ``unseen``, their entropy given the components, which is a part of the bound too.
        """
        self.shares.require_constant()
        X = self._checked(X)
        if sample_weight is not None:
            sample_weight = np.ascontiguousarray(sample_weight, dtype=np.float64)
        call, module = self.kernel_call(X.dtype), kernels.for_dtype(X.dtype)
        n_threads = resolve(n_threads)
        if not kept.get("incomplete"):
            nearby = self._nearby(X, n_threads, kept)
            sums, log_likelihood, entropy = module.expect(
                call.parts, X, sample_weight, call.centre, self.n_components, n_threads, call.order, None, nearby
            )
            if self.emission.takes_missing and np.isnan(sums).any():
                kept["incomplete"] = bool(np.isnan(X).any())
        if kept.get("incomplete"):
            call = self.incomplete_call(X.dtype)
            if call.grouped and "groups" not in kept:
                kept["groups"] = grouped(X, module.group_rows)
            groups = kept["groups"] if call.grouped else None
            sums, log_likelihood, entropy = module.expect(
                call.parts, X, sample_weight, call.centre, self.n_components, n_threads, call.order, groups
            )
        weight = len(X) if sample_weight is None else sample_weight.sum()
        totals = {"weight": weight, "log_likelihood": log_likelihood, "entropy": entropy}
        if self.emission.takes_missing:
            totals["unseen"] = 0.0
        statistics = Statistics(**call.unpack(*module.named_sums(call.parts, sums)), **totals)
        if not kept.get("incomplete"):
            return statistics
        return statistics.replaced(unseen=log_likelihood - entropy - self.expected_log_joint(statistics, self))

    def _nearby(self, X, n_threads, kept):
        """The rows in an order in which most of many components can be left out; None where that does not pay."""
        call, module = self.kernel_call(X.dtype), kernels.for_dtype(X.dtype)
        if not call.takes_nearby or not module.nearby_pays(call.parts, X, call.centre, self.n_components):
            return None
        if "nearby" not in kept:
            kept["nearby"] = module.nearby_rows(X, n_threads)
        return kept["nearby"]

    def m_step(self, statistics: Statistics) -> Mixture:
        """The parameters that maximise the expected complete log-likelihood, and the log-prior where there is one."""
        shares = self.shares.after(statistics)
        weights = shares.m_step(statistics.counts, self.weights)
        return replace(self, weights=weights, emission=self.emission.m_step(statistics), shares=shares)

    def leap(self, before) -> Mixture | None:
        """The mixture to try in place of this one, EM's image of `before`; see :class:`fastem.driver.model.Model`."""
        emission = self.emission.leap(before.emission)
        return None if emission is None else replace(self, emission=emission)

    def log_prior(self) -> float:
        """Of the parameters, up to a constant; 0 where they have no prior."""
        return self.emission.log_prior() + self.shares.log_prior(self.weights)

    @property
    def prior_counts_rows(self):
        return self.emission.log_prior() != 0 or (self.shares.counts_rows and self.shares.log_prior(self.weights) != 0)

    def log_prior_size(self) -> float:
        """The sum of the absolute values of its terms."""
        return self.emission.log_prior_size() + abs(self.shares.log_prior(self.weights))

    def score(self, X, n_threads=1, **outputs) -> None:
        """Fill the given output arrays: ``log_density`` (n,), ``responsibilities`` (n, K), ``joint`` log p(x, z)
        (n, K), both in the data's type, and ``labels`` (n,).

        A row whose squared distances overflow has log-density -inf and belongs to the nearest component; that of a
        Student-t mixture is a number all the same.
        """
        self.shares.require_constant()
        X = self._checked(X)
        call = self.kernel_call(X.dtype)
        module = kernels.for_dtype(X.dtype)
        n_threads = resolve(n_threads)
        if module.score(call.parts, X, call.centre, self.n_components, n_threads, call.order, **outputs):
            joint = np.empty((len(X), self.n_components), X.dtype)
            module.score(call.parts, X, call.centre, self.n_components, n_threads, call.order, joint=joint)
            far = np.flatnonzero(joint.max(axis=1) <= module.lowest)  # a row with NaN is
            if self.emission.takes_missing:
                incomplete = np.isnan(X[far]).any(axis=1)
                self._score_incomplete(X, far[incomplete], n_threads, outputs)
                far = far[~incomplete]
            self._score_far_rows(X, far, n_threads, outputs)

    def _score_incomplete(self, X, rows, n_threads, outputs):
        """The rows that have missing values."""
        call, module = self.incomplete_call(X.dtype), kernels.for_dtype(X.dtype)
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            chunk = X[some]
            groups = grouped(chunk, module.group_rows) if call.grouped else None
            order = groups[0] if groups else np.arange(len(some))
            scores = {name: np.empty((len(order), *a.shape[1:]), a.dtype) for name, a in outputs.items()}
            scores.setdefault("joint", np.empty((len(order), self.n_components), X.dtype))
            module.score(call.parts, chunk, call.centre, self.n_components, n_threads, call.order, groups, **scores)
            real = order >= 0  # the others fill up groups
            for name, array in outputs.items():
                array[some[order[real]]] = scores[name][real]
            far = real & (scores["joint"].max(axis=1) <= module.lowest)
            self._score_far_rows(X, some[order[far]], n_threads, outputs)

    def _nearest(self, X):
        """The nearest component (n,) of rows so far that squares overflow, by the values that are not missing."""
        if not np.isnan(X).any():
            return self.emission.nearest(X)
        missing, of_row = patterns(X)
        components = np.empty(len(X), np.intp)
        for i, pattern in enumerate(missing):
            there = np.flatnonzero(~pattern)
            components[of_row == i] = self.emission.marginal(there).nearest(X[of_row == i][:, there])
        return components

    def _score_far_rows(self, X, far, n_threads, outputs):
        """Score float32 rows again in float64; rows that overflow there too belong to the nearest component, unless
        their density has heavy tails."""
        if not len(far):
            return
        if X.dtype == np.float32:
            types = {
                name: np.float64 if name in ("responsibilities", "joint") else a.dtype for name, a in outputs.items()
            }
            scores = {name: np.empty((len(far), *a.shape[1:]), types[name]) for name, a in outputs.items()}
            self.score(X[far].astype(np.float64), n_threads, **scores)
        elif (far_log_prob := self.emission.far_log_prob(X[far])) is not None:
            joint = far_log_prob + self.log_weights[:, None]
            log_density, shares = normalised(joint)
            labels = joint.argmax(axis=0)
            scores = {"log_density": log_density, "responsibilities": shares.T, "joint": joint.T, "labels": labels}
        else:
            nearest = self._nearest(X[far])
            one_hot = np.eye(self.n_components)[nearest]
            scores = {
                "log_density": np.full(len(far), -np.inf),
                "responsibilities": one_hot,
                "joint": np.full(one_hot.shape, -np.inf),
                "labels": nearest,
            }
        with np.errstate(over="ignore"):  # a float32 joint is -inf where only float64 holds it
            for name, array in outputs.items():
                array[far] = scores[name]

    def _checked(self, X):
        """Floating point rows of the right width, which the kernels do not check."""
        X = np.asanyarray(X)
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float64)
        if not X.flags.aligned:
            X = X.copy()
        if X.ndim != 2 or X.shape[1] != self.emission.shape[1] or len(X) == 0:
            raise ValueError(f"X has shape {X.shape}; this mixture needs rows of {self.emission.shape[1]} columns.")
        return X

    def log_likelihood_error(self, statistics, n_rows=None, dtype=np.float64) -> float:
        """A bound on how far rounding has taken the log-likelihood in `statistics` from its exact value.

        Parameters
        ----------
        statistics : Statistics
            Of this mixture; the bound is of its ``log_likelihood``, of all rows, in the same units.
        n_rows : int, optional
            How many rows they are of. Default: not known.
        dtype : float32 or float64
            Of the rows.

        Returns
        -------
        float
            inf where a covariance is so ill-conditioned that its factor has no digits.

        See :mod:`fastem.models.rounding`.
        """
        incomplete = "unseen" in statistics and statistics.unseen != 0
        call = self.incomplete_call(dtype) if incomplete else self.kernel_call(dtype)
        passed = Pass(np.dtype(dtype), call.centre, incomplete)
        weights = self.shares.log_weights_size(statistics, self.weights)
        terms = self.emission.log_density_error(statistics, passed).plus(Rounding(weights, 3 * passed.unit * weights))
        return of_total(terms, call, statistics, self.n_components, n_rows, passed)

    def step_error(self, statistics, given, n_rows=None, dtype=np.float64) -> float:
        """How much log-likelihood the M-step that made this mixture of `statistics`, which were collected at `given`,
        may have lost by their rounding."""
        call = given.kernel_call(dtype)
        in_real, in_double = additions(call, self.n_components, n_rows, len(call.centre), kernels.for_dtype(dtype))
        passed = Pass(np.dtype(dtype), call.centre)
        unit = passed.unit * (in_real + 8) + UNIT * in_double
        # of both, for an M-step may choose between what it was given and what it made of these sums
        return max(emission.step_error(statistics, passed, unit) for emission in (given.emission, self.emission))

    def parameters(self) -> np.ndarray:
        """All parameters as one vector, for stopping rules that watch them."""
        return np.concatenate([self.shares.parameters(self.weights), self.emission.parameters()])

    def log_joint(self, X) -> np.ndarray:
        """(n, K) float64 log p(x, z = k)."""
        X = self._checked(X)
        joint = np.empty((len(X), self.n_components), X.dtype)
        self.score(X, joint=joint)
        joint = np.where(joint > kernels.for_dtype(X.dtype).lowest, joint, -np.inf).astype(np.float64)
        if X.dtype == np.float32:
            far = np.flatnonzero(np.isneginf(joint).all(axis=1))
            if len(far):
                joint[far] = self.log_joint(X[far].astype(np.float64))
        return joint

    def doubt(self, X) -> np.ndarray:
        """(n,) minus the logarithm of each row's largest posterior probability: 0 where its component is certain."""
        doubts = np.empty(len(X))
        for start in range(0, len(X), ROWS):
            joint = self.log_joint(X[start : start + ROWS])
            shares = exp_relative(joint, joint.max(axis=1)).sum(axis=1)
            doubts[start : start + ROWS] = arithmetic.log(
                np.where(shares > 0, shares, 1)
            )  # 0: so far that the nearest is sure
        return doubts

    def posterior(self, X) -> np.ndarray:
        """(n, K) float64 p(z = k | x)."""
        X = self._checked(X)
        responsibilities = np.empty((len(X), self.n_components), X.dtype)
        self.score(X, responsibilities=responsibilities)
        return responsibilities.astype(np.float64)

    def expected_log_joint(self, statistics, at) -> float:
        """Q(at | self), the expected complete log-likelihood of all rows, from this mixture's statistics alone."""
        prior = self.shares.expected_log_weights(statistics, at.weights, at.shares)
        return float(prior + self.emission.expected_log_prob(statistics, at.emission))

    def rebase(self, statistics, given) -> Statistics:
        """Statistics that were collected at another mixture as if they had been summed about this one's parameters.

        Sums of different iterations can be added only if they are about the same points; nothing else deals with that.
        """
        return statistics.replaced(**self.emission.rebase(statistics, given.emission))

    def to_vector(self) -> np.ndarray:
        """Unconstrained coordinates: those of the weights, then the emission's."""
        return np.concatenate([self.shares.to_vector(self.weights), self.emission.to_vector()])

    def from_vector(self, vector) -> Mixture:
        """The mixture of these coordinates, of this one's kind."""
        begin = self.shares.n_coordinates(self.n_components)
        of_weights, rest = vector[:begin], vector[begin:]
        shares, weights = self.shares.from_vector(of_weights, self.weights)
        return replace(self, weights=weights, emission=self.emission.from_vector(rest), shares=shares)

    def gradient(self, statistics) -> np.ndarray | None:
        """Of the log-likelihood in these coordinates, from this mixture's statistics (Fisher's identity); None where
        there is no formula."""
        of_emission = self.emission.gradient(statistics)
        if of_emission is None or type(self.shares) is not Shares or self.shares.constrains:
            return None
        return np.concatenate([self.shares.gradient(statistics, self.weights), of_emission])

    def sample(self, n, rng):
        """n rows, sorted by component, and their components."""
        self.shares.require_constant()
        counts = rng.multinomial(n, self.weights)
        X = np.vstack([self.emission.sample(k, int(m), rng) for k, m in enumerate(counts)])
        return X, np.repeat(np.arange(self.n_components), counts)
