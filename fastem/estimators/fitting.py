"""From a plan to a fitted estimator: open the rows, run the restarts, keep the best, whatever ends them."""

from __future__ import annotations

from fastem.driver.checkpoint import INTERRUPTS, Checkpoint, require_asked
from fastem.errors import interruption, warn_of_rounding
from fastem.estimators.planning import plan_for, require_enough_rows
from fastem.kernels.threads import for_pass
from fastem.starts.diagnosis import effective_rows
from fastem.starts.restarts import Restarts


def keep_fit(estimator, result, report, n_effective, unit, blocks):
    """The estimator, fitted: its attributes are the result of EM on these rows."""
    estimator._keep(result, report, n_effective, unit, blocks)
    return estimator


def fit_to(estimator, opened, *, labels=None, callback=None, checkpoint=None, checkpoint_seconds=60.0, resume=False):
    """The estimator, fitted to the blocks that opened() gives with the unit of their weights; see its `fit`."""
    plan = estimator._checked_plan()
    require_asked(callback, checkpoint, checkpoint_seconds, resume)
    keeper = None
    if checkpoint is not None:
        if plan.truncate is not None:
            raise ValueError(
                f"truncate={plan.truncate} cannot be combined with checkpoint, which does not hold the components that "
                "each row looks at. Set truncate=None."
            )
        keeper = Checkpoint(checkpoint, estimator._asked(labels), checkpoint_seconds, resume)
    blocks, unit = opened()
    n_threads = for_pass(estimator.n_threads, blocks, estimator.n_components)
    plan, rows = plan_for(plan, estimator, blocks, unit, labels, n_threads)
    scales = plan.family.examine(blocks, plan.n_components, n_threads)
    require_enough_rows(blocks, plan.n_components, type(estimator).__name__)
    n_effective = effective_rows(blocks)
    restarts = Restarts(plan, rows, scales, n_threads, callback, keeper)
    try:
        restarts.run()
        best = restarts.best(n_effective)
        report = restarts.report(best, unit, rows)
    except BaseException as error:
        if restarts.results or restarts.running:
            best = restarts.best(n_effective)
            estimator._keep(best, restarts.report(best, unit), n_effective, unit, rows)
            estimator.converged_, estimator.stop_reason_ = False, interruption(error)
        if keeper is not None and isinstance(error, INTERRUPTS):
            keeper.write_last()
        raise
    estimator._keep(best, report, n_effective, unit, rows)
    if keeper is not None:
        keeper.remove()
    estimator._report()
    warn_of_rounding(estimator, blocks.dtype)
    return estimator
