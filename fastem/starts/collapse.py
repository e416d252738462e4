"""What happens to a component that collapses during a run of EM.

A component counts as collapsed when :func:`fastem.starts.diagnosis.diagnose` finds it unsound after each of PATIENCE
iterations in a row, or where the run ends: a start may pass through such a state and leave it again. The run then ends,
and a new one begins from the repaired mixture, whose log-likelihood may be lower; within a run it never falls.
Components are dropped one at a time: often the next one is sound when EM has gone on without the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fastem.errors import CollapsedComponent
from fastem.starts.diagnosis import diagnose
from fastem.starts.plan import Plan
from fastem.starts.regroup import dropped, reseeded

PATIENCE = 10
RESEEDS = 3  # at most, in one start
POLICIES = ("floor", "reseed", "drop", "raise")


@dataclass
class Collapse:
    """The policy of one start, and what it has done so far.

    Attributes
    ----------
    since : {component: iteration from which it has been unsound}
    kept : set of int
        Components that are not sound and stay, because no other describes their rows.
    events : list of str
    spent : int
        Iterations of the runs before the present one.
    """

    policy: str
    n_effective: float
    since: dict = field(default_factory=dict)
    kept: set = field(default_factory=set)
    events: list = field(default_factory=list)
    spent: int = 0
    reseeds: int = 0

    def must_end(self, result) -> bool:
        """Whether the run must end because a component has collapsed."""
        if self.policy == "floor":
            return False
        unsound = [k for k, one in enumerate(diagnose(result, self.n_effective)) if not one.sound]
        self.since = {k: self.since.get(k, result.n_iter) for k in unsound if k not in self.kept}
        return bool(self.collapsed(result))

    def collapsed(self, result) -> list[int]:
        """The components that have been unsound for PATIENCE iterations."""
        return [k for k, since in self.since.items() if result.n_iter - since + 1 >= PATIENCE]

    def repaired(self, result, plan: Plan, blocks, scales, rng, n_threads):
        """A mixture from which EM continues after a run, or None where there is nothing to repair."""
        max_iter = plan.stop.max_iter
        ended = result.converged or self.spent + result.n_iter >= max_iter
        lost = list(self.since) if ended else self.collapsed(result)
        K = result.model.emission.shape[0]
        if not lost or (self.policy == "drop" and K == 1):
            return None
        diagnoses = diagnose(result, self.n_effective)
        first = min(self.since[k] for k in lost) + self.spent
        status = {k: f"component {k}: {diagnoses[k].status}" for k in lost}
        if self.policy == "raise":
            raise CollapsedComponent(lost[0], first, "; ".join(status.values()))
        left = self.spent + result.n_iter < max_iter
        if self.policy == "drop":
            smaller = dropped(result.model, lost, plan, blocks, scales, rng, n_threads)
            if smaller is None:
                self.events.append(f"kept, because no other describes its rows ({'; '.join(status.values())})")
                if ended:
                    return None
                self._begin_anew(result)
                self.kept |= set(lost)
                return result.model
            self._begin_anew(result)
            mixture, k = smaller
            self.kept = set()
            self.events.append(f"dropped in iteration {self.spent} ({status[k]})")
            return mixture
        if len(lost) == K:  # one must stay, so that there is a mixture to continue from
            lost.remove(int(result.model.weights[:K].argmax()))
        listed = "; ".join(status.values())
        if not left or self.reseeds == RESEEDS or not lost:
            self.events.append(f"left at the floor since iteration {first} ({listed})")
            return None
        self._begin_anew(result)
        self.reseeds += 1
        self.events.append(f"reseeded in iteration {self.spent} ({listed})")
        return reseeded(result.model, lost, plan, blocks, scales, rng, n_threads)

    def _begin_anew(self, result):
        """Note that the run of this result has ended and another one follows."""
        self.since = {}
        self.spent += result.n_iter
