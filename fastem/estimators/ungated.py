"""Methods that cannot be had of a mixture whose weights depend on covariates, and why: whether covariates are passed to
them or not."""

from __future__ import annotations

MEAN_WEIGHTS = "For the mixture with their means as weights, use from_parameters(weights_, …)."
OF_ROWS = f"because it takes rows without covariates, on which the weights depend. {MEAN_WEIGHTS}"
OF_DRAWS = f"because its rows are drawn, and nothing draws their covariates. {MEAN_WEIGHTS}"
OF_STEPS = "because the step of the weights needs the covariates of all rows. Call fit with all rows."
UNGATED = {
    "transform": "because a step of a pipeline is given X alone. Use predict_proba(X, covariates=…).",
    "merge_components": "because it sums posteriors of rows without covariates. Use predict_proba(X, covariates=…).",
    "cross_validated_score": (
        "because it reads rows without covariates. Use scikit-learn's cross_val_score with metadata routing."
    ),
    "is_outlier": "because what is rare depends on the covariates of the row. Use score_samples(X, covariates=…).",
    "quantile": "because what is rare depends on the covariates of the row. Use score_samples(X, covariates=…).",
    **dict.fromkeys(("partial_fit", "adapt"), OF_STEPS),
    "sample": OF_DRAWS,
    **dict.fromkeys(("marginal", "conditional", "predict_columns", "logcdf", "impute", "denoise"), OF_ROWS),
    "to_sklearn": OF_ROWS,
}


def require_ungated(estimator, method: str) -> None:
    """Raise ValueError where the method is one of these, and the fit had covariates."""
    if getattr(estimator, "gate_coefficients_", None) is not None:
        raise ValueError(
            f"{type(estimator).__name__}.{method} cannot be had after a fit with covariates, {UNGATED[method]}"
        )
