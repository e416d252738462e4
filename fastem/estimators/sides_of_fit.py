"""Methods that cannot be had after a fit to rows with side columns, and why: whether these are passed to them or not.

`predict_columns`, `conditional` and `logcdf` are not among those after a fit with errors or bounds: the values that
they are given are exact, because the question is what follows from them. Predictions do not use labels.
"""

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

ERRORS, BOUNDS, LABELS = ("errors",), ("lower", "upper"), ("labels",)
EXACT = "For rows whose values are exact, use the mixture of its parameters alone: from_parameters(weights_, …)."
READ_WITHOUT = {  # what reads rows alone: the side columns of a fit that it would leave out, and what to do instead
    "transform": (ERRORS + BOUNDS, f"Use predict_proba(X, {{given}}). {EXACT}"),
    "merge_components": (ERRORS + BOUNDS, f"Merge columns of predict_proba(X, {{given}}). {EXACT}"),
    "is_outlier": (ERRORS + BOUNDS, f"Use score_samples(X, {{given}}). {EXACT}"),
    "quantile(q, X)": (ERRORS + BOUNDS, f"Use quantiles of score_samples(X, {{given}}). {EXACT}"),
    "impute": (ERRORS, f"Use denoise(X, {{given}}), which fills in what was not measured as well. {EXACT}"),
    **dict.fromkeys(("partial_fit", "adapt"), (ERRORS + BOUNDS, f"Fit to all rows with their {{sides}}. {EXACT}")),
    "cross_validated_score": (
        ERRORS + BOUNDS + LABELS,
        "Fit again to the rows of all folds but one, with their {sides}, and score the rows of that one.",
    ),
    "standard_errors": (
        ERRORS + BOUNDS + LABELS,
        "Fit again to rows drawn with replacement, together with their {sides}, some 200 times, and take the standard "
        "deviations over these fits.",
    ),
}


def require_ungated(estimator, method: str) -> None:
    """Raise ValueError where the method is one of those that the weights forbid, and the fit had covariates."""
    if method in UNGATED and getattr(estimator, "gate_coefficients_", None) is not None:
        raise ValueError(
            f"{type(estimator).__name__}.{method} cannot be had after a fit with covariates, {UNGATED[method]}"
        )


def require_read_whole(estimator, asked: str) -> None:
    """Raise ValueError where what is asked reads rows without some side columns, and the rows of the fit had these."""
    left_out, instead = READ_WITHOUT.get(asked, ((), ""))
    had = [role for role in getattr(estimator, "side_columns_", ()) if role in left_out]
    if had:
        sides, given = " and ".join(had), ", ".join(f"{role}=…" for role in had)
        raise ValueError(
            f"{asked} takes no {sides}, with which this mixture was fitted. {instead.format(sides=sides, given=given)}"
        )
