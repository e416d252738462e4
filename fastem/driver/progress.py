"""Reports of a running fit: lines through :mod:`logging`, or a bar that estimates the end."""

from __future__ import annotations

import logging
import math
import sys
import time
from itertools import pairwise

from fastem.errors import shown

logger = logging.getLogger("fastem")


def require_callback(callback, of: str) -> None:
    """TypeError where a callback cannot be called; of: what it is called with."""
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of {of}, or None. Got {shown(callback)} instead.")


class Progress:
    """A callback for :func:`fastem.em`.

    Lines go to the logger ``fastem`` at level INFO; where that has no handler, `verbose` sends them to the standard
    output.

    Parameters
    ----------
    verbose : int or "bar"
        0: to the logger only; 1: a line every `interval` iterations; 2: with the change; "bar": a bar (tqdm).
    interval : int
    restart : int
        The number of this start.
    n_rows : int, optional
        For the rate of the bar.
    tol, max_iter : float, int
        Where the fit ends, for the estimate.
    """

    def __init__(self, verbose=0, interval=10, restart=0, n_rows=None, tol=0.0, max_iter=100):
        self.verbose, self.interval = verbose, interval
        self.n_rows, self.tol, self.max_iter = n_rows, tol, max_iter
        self.started = self.last = time.perf_counter()
        self.bar = open_bar(max_iter, f"start {restart}") if verbose == "bar" else None
        self.handler = None
        if verbose and self.bar is None and not (logger.hasHandlers() and logger.isEnabledFor(logging.INFO)):
            self.handler = logging.StreamHandler(sys.stdout)
            self.level, self.propagate = logger.level, logger.propagate
            logger.addHandler(self.handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        logger.info("Initialization %d", restart)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Also after an error or an interrupt."""
        if self.bar is not None:
            self.bar.close()
        if self.handler is not None:
            logger.removeHandler(self.handler)
            logger.setLevel(self.level)
            logger.propagate = self.propagate

    def __call__(self, result):
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        change = result.history[-1] - result.history[-2]
        if self.bar is not None:
            self.bar.total = min(self.max_iter, result.n_iter + remaining_iterations(result.history, self.tol))
            rate = {} if self.n_rows is None else {"rows/s": f"{self.n_rows / seconds:.3g}"}
            self.bar.set_postfix(
                {"log-likelihood": f"{result.history[-1]:.6g}", "change": f"{change:.2g}"} | rate, refresh=False
            )
            self.bar.update()
        elif result.n_iter % self.interval == 0 and logger.isEnabledFor(logging.INFO):
            detail = f"\t time lapse {now - self.started:.5f}s\t ll change {change:.5f}" if self.verbose != 1 else ""
            logger.info("  Iteration %d%s", result.n_iter, detail)

    def end(self, result):
        """The last line."""
        outcome = "converged" if result.converged else "did not converge"
        if self.bar is not None:
            self.bar.total = result.n_iter
            self.bar.set_description(outcome)
        logger.info("Initialization %s. Lower bound %.5f", outcome, result.history[-1])


def remaining_iterations(history, tol) -> int:
    """How many iterations are left, if each gains the same fraction of the gain before it.

    Examples
    --------
    >>> from fastem.driver.progress import remaining_iterations
    >>> remaining_iterations([0.0, 1.0, 1.5], tol=1 / 16)
    3
    """
    gains = [max(after - before, 0.0) for before, after in pairwise(history[-3:])]
    if gains[-1] <= tol:
        return 0
    if len(gains) < 2 or not 0 < gains[-1] < gains[0] or tol <= 0:
        return sys.maxsize
    return math.ceil(math.log(tol / gains[-1]) / math.log(gains[-1] / gains[0]))


def open_bar(total, description):
    """A bar of tqdm, which is an optional requirement."""
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(f"verbose='bar' needs tqdm ({error}): pip install 'fastem[progress]'") from error
    return tqdm(total=total, desc=description, unit="iteration")
