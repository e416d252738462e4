"""What `verbose` prints."""

from __future__ import annotations

import time


class Progress:
    """A callback for em: a line every `interval` iterations."""

    def __init__(self, verbose, interval, restart):
        self.verbose, self.interval = verbose, interval
        self.started = time.perf_counter()
        if verbose:
            print(f"Initialization {restart}")

    def __call__(self, result):
        if self.verbose and result.n_iter % self.interval == 0:
            change = result.history[-1] - result.history[-2]
            detail = f"\t time lapse {time.perf_counter() - self.started:.5f}s\t ll change {change:.5f}"
            print(f"  Iteration {result.n_iter}{detail if self.verbose > 1 else ''}")

    def end(self, result):
        if self.verbose:
            outcome = "converged" if result.converged else "did not converge"
            print(f"Initialization {outcome}. Lower bound {result.history[-1]:.5f}")
