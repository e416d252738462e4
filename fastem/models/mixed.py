"""Densities over columns of different kinds, independent given the component."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from fastem.models.emission import ColumnParameters, Emission, KernelCall
from fastem.models.rounding import Rounding
from fastem.models.seen_values import first_of
from fastem.rows.statistics import Statistics


@dataclass(frozen=True)
class Mixed(Emission):
    """K densities, each a product of densities of other emissions over some of the columns each.

    Attributes
    ----------
    members : {kind: emission}
    columns : {kind: (m,) the columns of X that it describes}
    """

    members: dict
    columns: dict

    @property
    def discrete(self):
        """Whether all columns hold counts or codes."""
        return all(emission.discrete for emission in self.members.values())

    @property
    def takes_missing(self):
        """Whether rows may have missing values: in the columns of the members that take them."""
        return any(emission.takes_missing for emission in self.members.values())

    @property
    def shape(self):
        """(K, d)"""
        shapes = [emission.shape for emission in self.members.values()]
        return shapes[0][0], sum(d for _, d in shapes)

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        return sum(emission.n_parameters for emission in self.members.values())

    def with_members(self, make) -> Mixed:
        """The same kinds of columns with the emissions that make(kind, emission) gives."""
        return replace(self, members={kind: make(kind, emission) for kind, emission in self.members.items()})

    def kernel_call(self, log_weights, dtype) -> KernelCall:
        """The compiled pass: the parts of all members; the first carries the weights."""
        return self._call_of(lambda emission: emission.kernel_call, log_weights, dtype)

    def incomplete_call(self, log_weights, dtype) -> KernelCall:
        """The compiled pass over rows with missing values in the columns of members that take them."""
        return self._call_of(
            lambda emission: emission.incomplete_call if emission.takes_missing else emission.kernel_call,
            log_weights,
            dtype,
        )

    def _call_of(self, call_of, log_weights, dtype) -> KernelCall:
        K = self.shape[0]
        calls, log_prior = {}, log_weights
        for kind, emission in self.members.items():
            calls[kind] = call_of(emission)(log_prior, dtype)
            log_prior = np.zeros(K)
        parts = tuple(part for call in calls.values() for part in call.parts)

        def unpack(*sums):
            named, rest = {}, iter(sums)
            for kind, call in calls.items():
                of_kind = call.unpack(*islice(rest, len(call.parts)))
                named["counts"] = of_kind.pop("counts")
                named |= {f"{kind}_{name}": value for name, value in of_kind.items()}
            return named

        centre = np.concatenate([call.centre for call in calls.values()])
        return KernelCall(parts, centre, unpack, np.concatenate(list(self.columns.values())).astype(np.intp))

    @staticmethod
    def member_statistics(statistics, kind) -> Statistics:
        """The statistics of one member."""
        start = f"{kind}_"
        names = [name for name in statistics.names if name.startswith(start)]
        named = {name.removeprefix(start): getattr(statistics, name) for name in names}
        return Statistics(counts=statistics.counts, **named)

    def m_step(self, statistics) -> Mixed:
        """The M-step of each member."""
        return self.with_members(lambda kind, emission: emission.m_step(self.member_statistics(statistics, kind)))

    def rebase(self, statistics, given) -> dict:
        """Sums that were collected at another emission, converted to this one's."""
        moved = {}
        for kind, emission in self.members.items():
            rebased = emission.rebase(self.member_statistics(statistics, kind), given.members[kind])
            moved |= {f"{kind}_{name}": value for name, value in rebased.items()}
        return moved

    def expected_log_prob(self, statistics, at) -> float:
        """E[sum over rows of log p(x | z; at)] under the posterior of this emission's mixture, from its statistics."""
        return sum(
            emission.expected_log_prob(self.member_statistics(statistics, kind), at.members[kind])
            for kind, emission in self.members.items()
        )

    def diagnose(self, weights, counts, columns=None) -> list[tuple[str, bool]]:
        """The diagnoses of all members, for each component."""
        numbers = np.arange(self.shape[1]) if columns is None else np.asarray(columns)
        diagnoses = {
            kind: emission.diagnose(weights, counts, numbers[self.columns[kind]])
            for kind, emission in self.members.items()
        }
        conditions = []
        for k in range(len(counts)):
            wrong = [f"{kind}: {of_kind[k][0]}" for kind, of_kind in diagnoses.items() if of_kind[k][0] != "ok"]
            conditions.append(("; ".join(wrong) or "ok", all(of_kind[k][1] for of_kind in diagnoses.values())))
        return conditions

    def undetermined(self, seen, columns=None):
        """The sentences of the members that take missing values, which are independent."""
        numbers = np.arange(self.shape[1]) if columns is None else np.asarray(columns)
        sentences = [
            emission.undetermined(seen._replace(columns=seen.columns[:, places]), numbers[places])
            for emission, places in zip(self.members.values(), self.columns.values())
        ]
        return first_of(*sentences)

    def widened(self, weights, counts) -> Mixed | None:
        """Members of which all densities are sound stay; None where another member cannot be widened."""
        members = {
            kind: emission
            if all(sound for _, sound in emission.diagnose(weights, counts))
            else emission.widened(weights, counts)
            for kind, emission in self.members.items()
        }
        return None if None in members.values() else replace(self, members=members)

    def column_parameters(self):
        """The column parameters of all members; None where a member has none."""
        members = [emission.column_parameters() for emission in self.members.values()]
        if None in members:
            return None
        names, values, columns, codes = zip(*members)
        columns = np.concatenate([of_kind[column] for of_kind, column in zip(self.columns.values(), columns)])
        return ColumnParameters(", ".join(dict.fromkeys(names)), np.hstack(values), columns, list(chain(*codes)))

    def parameters(self) -> np.ndarray:
        """All parameters as one vector."""
        return np.concatenate([emission.parameters() for emission in self.members.values()])

    def to_vector(self) -> np.ndarray:
        """Unconstrained coordinates, member by member."""
        return np.concatenate([emission.to_vector() for emission in self.members.values()])

    def from_vector(self, vector) -> Mixed:
        """The emission of these coordinates."""
        sizes = [len(emission.to_vector()) for emission in self.members.values()]
        pieces = dict(zip(self.members, np.split(vector, np.cumsum(sizes)[:-1])))
        return self.with_members(lambda kind, emission: emission.from_vector(pieces[kind]))

    def log_density_error(self, statistics, passed) -> Rounding:
        """Of all members, and of adding one to the other."""
        total = Rounding(0.0, 0.0)
        for kind, of_member in self._passes(passed):
            found = self.members[kind].log_density_error(self.member_statistics(statistics, kind), of_member)
            total = total.plus(found)
        return total.plus(Rounding(0.0, len(self.members) * passed.unit * total.size))

    def _passes(self, passed):
        """(kind, its part of a pass) of all members."""
        start = 0
        for kind, emission in self.members.items():
            end = start + emission.shape[1]
            yield kind, passed._replace(centre=passed.centre[start:end])
            start = end

    def step_error(self, statistics, passed, unit) -> float:
        return sum(
            self.members[kind].step_error(self.member_statistics(statistics, kind), of_member, unit)
            for kind, of_member in self._passes(passed)
        )

    def nearest(self, X) -> np.ndarray:
        """The component of rows so far away that their log-density overflows, according to the first member."""
        kind = next(iter(self.members))
        return self.members[kind].nearest(X[:, self.columns[kind]])

    def marginal(self, columns) -> Mixed:
        """The densities of some of the columns: all of a member that does not take missing values."""
        members, places = {}, {}
        for kind, emission in self.members.items():
            mine = np.flatnonzero(np.isin(self.columns[kind], columns))
            if len(mine):
                members[kind] = emission.marginal(mine) if emission.takes_missing else emission
                places[kind] = np.searchsorted(columns, self.columns[kind][mine])
        return Mixed(members, places)

    def sample(self, component, n, rng) -> np.ndarray:
        """n rows of one component."""
        X = np.empty((n, self.shape[1]))
        for kind, emission in self.members.items():
            X[:, self.columns[kind]] = emission.sample(component, n, rng)
        return X
