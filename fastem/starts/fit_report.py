"""What the starts of a fit reached: a record per restart, and one per component of the result."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastem.driver.remaining_gain import SADDLE
from fastem.errors import DegenerateComponentWarning, SaddlePointWarning, warn
from fastem.starts.diagnosis import final_statuses, is_sound
from fastem.starts.text_table import html_of_text, text_table

MOST_LISTED = 30  # components, and restarts, of which the text shows all
FEWER = 10  # of more than that


@dataclass(frozen=True)
class Restart:
    """One start and what became of it.

    Attributes
    ----------
    start : str
        How it was made.
    n_iter : int
        Iterations, with those before a component was reseeded or dropped.
    log_likelihood : float
        Sum over all rows; NaN where the start failed.
    status : str
        Why it ended.
    sound : bool
        Whether every component describes something.
    chosen : bool
    events : tuple of str
        What `on_collapse` did.
    """

    start: str
    n_iter: int
    log_likelihood: float
    status: str
    sound: bool
    chosen: bool
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Component:
    """One component of the result.

    Attributes
    ----------
    weight : float
    effective_rows : float
        Rows that belong to it, each with its posterior probability.
    eigenvalues : (float, float) or None
        Least and largest of its covariance relative to that of the data (1: as wide as they are in that direction),
        where the family has covariances.
    floor_hits : int
        Directions in which its covariance is held at the floor.
    status : str
    """

    weight: float
    effective_rows: float
    eigenvalues: tuple[float, float] | None
    floor_hits: int
    status: str


@dataclass(frozen=True)
class FitReport:
    """What a fit reached; as text, two tables, which of many components show those that are not ok, or are the
    lightest.

    Attributes
    ----------
    restarts : list of Restart
    components : list of Component
    """

    restarts: list[Restart]
    components: list[Component]

    _repr_html_ = html_of_text

    def __str__(self):
        return "\n".join(line.rstrip() for line in [*self._restart_lines(), "", *self._component_lines()])

    def _restart_lines(self):
        """The chosen restart and the best of the others."""
        order = sorted(range(len(self.restarts)), key=lambda i: (not self.restarts[i].chosen, -self._value(i)))
        shown, rest = listed(order)
        rows = [
            (
                f"{'*' if one.chosen else ''}{number}",
                one.start,
                str(one.n_iter),
                "" if math.isnan(one.log_likelihood) else f"{one.log_likelihood:.4f}",
                "sound" if one.sound else "-" if math.isnan(one.log_likelihood) else "unsound",
                "; ".join([*one.events[:FEWER], *more_of(one.events, "event(s)"), one.status]),
            )
            for number, one in ((number, self.restarts[number]) for number in shown)
        ]
        head = ("restart", "start", "iterations", "log-likelihood", "", "status")
        return text_table([head, *rows], "><>><<") + ([f"and {rest} worse restart(s)"] if rest else [])

    def _value(self, number):
        value = self.restarts[number].log_likelihood
        return -math.inf if math.isnan(value) else value

    def _component_lines(self):
        """The components that are not ok, and the lightest."""
        order = sorted(
            range(len(self.components)), key=lambda k: (self.components[k].status == "ok", self.components[k].weight)
        )
        shown, rest = listed(order)
        rows = [
            (
                str(k),
                f"{one.weight:.4f}",
                f"{one.effective_rows:.2f}",
                "-" if one.eigenvalues is None else "{:.2e} to {:.2e}".format(*one.eigenvalues),
                str(one.floor_hits),
                one.status,
            )
            for k, one in ((k, self.components[k]) for k in shown)
        ]
        head = ("component", "weight", "effective rows", "eigenvalues", "floor hits", "status")
        lines = text_table([head, *rows], ">>>>><")
        if rest:
            wrong = sum(one.status != "ok" for one in self.components)
            lines.append(f"and {rest} more component(s); of all {len(self.components)}, {wrong} are not ok")
        return lines

    def warn_of_saddle(self, stop):
        """Warn where the chosen restart, which ended by the rule `stop`, is no maximum."""
        if any(one.chosen and SADDLE in one.status for one in self.restarts):
            rule = "" if stop == "certified" else ', or stop="certified",'
            warn(f"{SADDLE}. Other starts (random_state, n_init){rule} may lead on.", SaddlePointWarning)

    def warn_of_events(self):
        """Warn of what `on_collapse` did to the chosen restart."""
        for one in self.restarts:
            dropped = [event for event in one.events if event.startswith("dropped")]
            if one.chosen and dropped:
                listed_events = "; ".join([*dropped[:FEWER], *more_of(dropped, "event(s)")])
                warn(
                    f"{listed_events}: the mixture has {len(self.components)} component(s).",
                    DegenerateComponentWarning,
                )


def listed(order):
    """The numbers that a table shows, ascending, and how many it leaves out; `order`: the most telling first."""
    few = order if len(order) <= MOST_LISTED else order[:FEWER]
    return sorted(few), len(order) - len(few)


def more_of(items, what):
    """[the words for what is left out of a list]"""
    return [f"and {len(items) - FEWER} more {what}"] if len(items) > FEWER else []


@dataclass
class Outcome:
    """One start while the fit runs: how it was made, what on_collapse did, and its result or why it failed."""

    start: str
    collapse: object = None
    result: object = None
    failure: str = ""
    is_near: bool = False  # whether the start was near the end

    def restart(self, best, n_effective, unit) -> Restart:
        """The record of this start."""
        events = () if self.collapse is None else tuple(self.collapse.events)
        result = self.result
        if result is None:
            return Restart(self.start, 0, math.nan, self.failure, False, False, events)
        n_iter = result.n_iter + (0 if self.collapse is None else self.collapse.spent)
        status = result.stop_reason or "it was interrupted"
        if result.is_saddle and SADDLE not in status:
            status += f"; {SADDLE}"
        elif math.isfinite(result.remaining_gain):
            status += f"; about {result.remaining_gain * unit:.2g} is left to gain ({result.remaining_gain_method})"
        sound = is_sound(result, n_effective)
        return Restart(self.start, n_iter, result.log_likelihood * unit, status, sound, result is best, events)


def report_of_one(result, start, n_effective, unit, blocks=None) -> FitReport:
    """The report of a fit that has one start."""
    restart = Outcome(start, result=result).restart(result, n_effective, unit)
    return FitReport([restart], components_of(result, n_effective, blocks))


def components_of(result, n_effective, blocks=None, n_threads=1) -> list[Component]:
    """A record of each component of a result; blocks: of rows that are asked whether their values determine it."""
    emission, weights = result.model.emission, result.model.weights
    K = emission.shape[0]  # without the noise
    counts = result.statistics.counts * (n_effective / result.statistics.weight)
    eigenvalues, floor_hits = emission.relative_eigenvalues(weights), emission.floor_hits
    values = [None] * K if eigenvalues is None else eigenvalues
    return [
        Component(
            float(weights[k]),
            float(counts[k]),
            None if values[k] is None or not len(values[k]) else (float(values[k][0]), float(values[k][-1])),
            int(floor_hits[k]),
            status,
        )
        for k, status in enumerate(final_statuses(result, n_effective, blocks, n_threads))
    ]
