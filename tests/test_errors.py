"""Errors and warnings are fastem's and, where scikit-learn is loaded, its own as well."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import sklearn.exceptions

import fastem
from fastem.errors import not_fitted

X = np.random.default_rng(0).normal(size=(60, 2))


@pytest.mark.parametrize("category", [fastem.ConvergenceWarning, sklearn.exceptions.ConvergenceWarning])
def test_filters_of_both_categories_work(category):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", category)
        fastem.GaussianMixture(3, random_state=0, max_iter=1, tol=0).fit(X)
    with pytest.warns(category, match="max_iter"):
        fastem.GaussianMixture(3, random_state=0, max_iter=1, tol=0).fit(X)


NOT_FITTED = (fastem.NotFittedError, sklearn.exceptions.NotFittedError, AttributeError, ValueError)


@pytest.mark.parametrize("error", NOT_FITTED)
def test_an_unfitted_estimator_raises_what_both_know(error):
    with pytest.raises(error, match="not fitted yet"):
        fastem.GaussianMixture(2).predict(X)


def test_an_error_of_both_kinds_comes_back_from_another_process():
    raised = not_fitted(fastem.GaussianMixture(2))
    again = pickle.loads(pickle.dumps(raised))
    assert type(again) is type(raised) and again.args == raised.args
    assert isinstance(again, fastem.NotFittedError) and isinstance(again, sklearn.exceptions.NotFittedError)
    code = "import pickle, sys; print(type(pickle.loads(sys.stdin.buffer.read())).__bases__, *sys.modules)"
    process = subprocess.run([sys.executable, "-P", "-c", code], input=pickle.dumps(raised), capture_output=True)
    assert process.stdout.startswith(b"(<class 'ValueError'>, <class 'AttributeError'>)")  # scikit-learn is not loaded
    assert b"sklearn" not in process.stdout
