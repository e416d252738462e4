"""What reads rows without side columns is refused after a fit to rows with these: the values alone decide nothing, nor,
of bounds, what stands in their place."""

import inspect

import numpy as np
import pytest

import fastem
from fastem.estimators.refused_sides import SIDES, takes
from fastem.estimators.sides_of_fit import READ_WITHOUT

pytestmark = pytest.mark.filterwarnings(
    "ignore::fastem.ConvergenceWarning", "ignore::fastem.DegenerateComponentWarning"
)
FAMILIES = [
    *(fastem.GaussianMixture, fastem.StudentTMixture, fastem.ExponentialMixture, fastem.GammaMixture),
    *(fastem.GeometricMixture, fastem.PoissonMixture),
]
X = 1.0 + np.random.default_rng(0).geometric(np.where(np.arange(60) % 2, 0.8, 0.1)[:, None], (60, 1))
BELOW = np.where(X < 3, 0.0, np.nan)
GIVEN = {
    "errors": {"errors": np.full(X.shape, 0.1)},
    "lower and upper": {"lower": BELOW, "upper": BELOW + 3},
    "labels": {"labels": np.where(np.arange(60) < 8, np.arange(60) % 2, -1)},
}
WHAT_FOLLOWS_FROM_VALUES = {"predict_columns", "logcdf", "denoise"}
FITS = {"fit", "fit_predict", "fit_transform"}
CALLS = {name: lambda model, name=name: getattr(model, name)(X) for name in READ_WITHOUT} | {
    "quantile(q, X)": lambda model: model.quantile(0.1, X),
    "cross_validated_score": lambda model: model.cross_validated_score(X, n_folds=2, n_iter=1),
    "standard_errors": lambda model: fastem.standard_errors(model, X),
}


def fitted(family, **sides):
    return family(2, random_state=0, max_iter=3, init_params="kmeans").fit(X, **sides)


def of_parameters(model):
    return type(model).from_parameters(model.weights_, *(getattr(model, name) for name in model._parameters_to_give()))


TAKEN = [(family, sides) for family in FAMILIES for sides in GIVEN if set(GIVEN[sides]) <= {"labels", *takes(family)}]


@pytest.mark.parametrize("family, sides", TAKEN, ids=lambda one: getattr(one, "__name__", one))
def test_what_would_leave_out_side_columns_of_the_fit_is_refused(family, sides, tmp_path):
    """Of the estimator and of its file; not of its parameters alone."""
    model = fitted(family, **GIVEN[sides])
    model.save(tmp_path / "model.npz")
    for asked, (left_out, _) in READ_WITHOUT.items():
        if not hasattr(model, asked) and asked in ("adapt", "impute"):
            continue
        call = CALLS[asked]
        if set(GIVEN[sides]) <= set(left_out):
            for same in (model, fastem.load(tmp_path / "model.npz")):
                with pytest.raises(ValueError) as refusal:
                    call(same)
                assert str(refusal.value).startswith(f"{asked} takes no {sides}, with which this mixture was fitted. ")
        if asked != "standard_errors":  # of a fit that is at a maximum
            call(of_parameters(model))


def test_labels_which_predictions_do_not_use_are_left_out():
    model = fitted(fastem.GaussianMixture, **GIVEN["labels"])
    for asked in ("transform", "merge_components", "is_outlier", "quantile(q, X)", "impute", "adapt", "partial_fit"):
        CALLS[asked](model)


@pytest.mark.parametrize("sides", ["errors", "lower and upper"])
def test_files_of_predictions_have_no_outliers_by_values_alone(sides, tmp_path):
    model = fitted(fastem.GaussianMixture, **GIVEN[sides])
    with pytest.raises(ValueError, match=f"^is_outlier takes no {sides}, with which this mixture was fitted"):
        fastem.write_predictions(model, X, tmp_path / "rows.csv", outliers=0.01)
    fastem.write_predictions(model, X, tmp_path / "rows.csv", **GIVEN[sides])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_each_method_that_reads_rows_takes_side_columns_or_says_without_which_it_does_not(family):
    """So that a new method cannot forget them."""
    known = {name.partition("(")[0] for name in READ_WITHOUT} | WHAT_FOLLOWS_FROM_VALUES | FITS
    for name, method in inspect.getmembers(family, inspect.isfunction):
        listed = inspect.signature(method).parameters
        if name.startswith("_") or "X" not in listed or SIDES in listed or name in known:
            continue
        assert takes(family).keys() <= listed.keys(), name
