"""An estimator's parameters become the plan of a fit; features that cannot be combined are refused."""

from __future__ import annotations

from dataclasses import replace

from fastem.estimators.checks import require_names_of_last_fit
from fastem.estimators.compatibility import Request, require_compatible
from fastem.estimators.constraints import require_values_to_keep
from fastem.estimators.labels import labelled_sample
from fastem.estimators.reproducible import require_reproducible
from fastem.rows.side_columns import SideBlocks
from fastem.rows.validation import require_distinct_rows, require_rows
from fastem.starts.labels import LabelledStart, labelled
from fastem.starts.named import EMEM, MERGED
from fastem.starts.plan import Plan, RestartPolicy, Start, Stop


def plan_of(estimator) -> Plan:
    """The fit that a mixture's parameters ask for; ValueError where one of them is wrong."""
    require_reproducible(estimator)
    parameters = {name: getattr(estimator, name) for name in estimator._parameters}
    K = estimator.n_components
    given = {name: parameters[one] for name, one in estimator._starts_given.items() if parameters[one] is not None}
    return Plan(
        family=estimator._family(),
        n_components=K,
        weights=estimator._weight_rule(parameters),
        start=Start(estimator.init_params, given, coarse=bool(estimator.coarse)),
        stop=Stop(estimator.tol, estimator.max_iter, estimator.stop),
        accelerate=estimator.accelerate,
        restarts=RestartPolicy(estimator.n_init, estimator.split_merge, estimator.on_collapse),
        truncate=truncation(parameters.get("truncate"), K),
        random_state=estimator.random_state,
        n_threads=estimator.n_threads,
        verbose=estimator.verbose,
        verbose_interval=estimator.verbose_interval,
    )


def truncation(truncate, n_components) -> int | None:
    """How many components a row looks at; None where that is all."""
    return None if truncate is None or truncate >= n_components else truncate


def request_of(estimator, **asked) -> Request:
    """What a user asks of a fit, for the table of features that cannot be combined."""
    parameters = {name: getattr(estimator, name) for name in estimator._parameters}
    whole = len(estimator._starts_given) > 1 and all(
        parameters[parameter] is not None for parameter in estimator._starts_given.values()
    )
    return Request(parameters, estimator._structure(), starts=not (whole or is_warm(estimator)), **asked)


def is_warm(estimator) -> bool:
    """Whether a fit goes on from the last one."""
    return bool(estimator.warm_start) and estimator.__sklearn_is_fitted__()


def plan_for(plan, estimator, blocks, unit, labels, n_threads):
    """The plan of a fit to these rows, and the rows with their labels; ValueError where they cannot be combined.

    plan : that of the estimator's parameters
    """
    rows = blocks.holder if blocks.whole() is None else "in memory"
    sides = getattr(blocks, "roles", ())
    asked = {"labels": labels is not None, "rows": rows, "extreme_weights": unit != 1}
    asked |= {"errors": "errors" in sides, "intervals": "lower" in sides, "covariates": "covariates" in sides}
    require_compatible(request_of(estimator, **asked))
    plan = blocks.planned(plan) if isinstance(blocks, SideBlocks) else plan
    plan = replace(plan, family=plan.family.of_columns(blocks.names))
    values = {name: (parameter, getattr(estimator, parameter)) for name, parameter in estimator._fixable.items()}
    require_reproducible(estimator, labels=labels is not None, bounds="lower" in sides)
    require_values_to_keep(estimator.fixed, values, is_warm(estimator))
    if is_warm(estimator):
        require_same_columns(estimator, blocks.n_features, blocks.names)
        plan = replace(plan, start=replace(plan.start, last=estimator._mixture()))
    if labels is None:
        return plan, blocks
    K, n_densities = plan.n_components, plan.n_components + plan.family.has_noise
    if "labels" in sides:
        known = labelled_sample(blocks, K, n_densities)
    else:
        known = blocks = labelled(blocks, labels, K, n_densities)
    if isinstance(plan.start.init, str):
        name = MERGED if plan.start.init == EMEM and plan.start.given else plan.start.init
        plan = plan.from_start(LabelledStart(known, name, n_threads))
    return plan, blocks


def plan_in_memory(estimator, blocks, unit) -> Plan:
    """The plan of an estimator's parameters, checked, for rows without labels; ValueError where they are too few."""
    plan = estimator._checked_plan()
    if unit != 1:
        require_compatible(request_of(estimator, extreme_weights=True))
    require_enough_rows(blocks, estimator.n_components, type(estimator).__name__)
    return plan


def require_same_columns(estimator, n_features, names) -> None:
    """Raise ValueError where a warm start has not the components and columns of the last fit."""
    estimator._require_fitted()  # attributes may have been set by hand
    K = len(estimator.weights_)
    if estimator.n_components != K and not estimator._may_have(K):
        raise ValueError(
            "warm_start=True, but n_components has changed since the last fit. Set warm_start=False to start afresh."
        )
    if estimator.n_features_in_ != n_features:
        raise ValueError(
            f"X has {n_features} features, but with warm_start=True {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input, as in the last fit."
        )
    require_names_of_last_fit(estimator, names)


def require_enough_rows(blocks, n_components, owner) -> None:
    """Raise ValueError where there are fewer rows, or distinct rows, than components."""
    require_rows(blocks, 2, owner)
    if blocks.n_rows < n_components:
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {n_components}, n_samples = {blocks.n_rows}"
        )
    require_distinct_rows(blocks, n_components)
