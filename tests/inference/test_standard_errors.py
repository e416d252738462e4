"""Standard errors in any unit of the columns."""

import numpy as np
import pytest

from fastem import GaussianMixture, standard_errors
from fastem.datasets import load_faithful

X = load_faithful().data


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", [1e-100, 1e100, np.array([1e-100, 1e60])])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "EEI", "spherical"])
def test_units_of_the_columns_do_not_matter(covariance_type, scale):
    if covariance_type == "spherical" and np.ndim(scale):
        return
    fit = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-10, "max_iter": 2000}
    ours, expected = (standard_errors(GaussianMixture(2, **fit).fit(rows), rows) for rows in (X * scale, X))
    assert np.allclose(ours.weights, expected.weights, rtol=1e-4)
    assert np.allclose(ours.means / scale, expected.means, rtol=1e-4)
    scales = np.broadcast_to(scale, 2)
    square = np.outer(scales, scales) if covariance_type in ("full", "tied") else scale**2
    assert np.allclose(ours.covariances / square, expected.covariances, rtol=1e-4)


def test_nothing_is_known_of_an_empty_component():
    model = GaussianMixture.from_parameters([1.0, 0.0], [[70.0, 3.0], [0.0, 0.0]], [np.eye(2)] * 2)
    with pytest.raises(ValueError, match="component 1 is empty"):
        standard_errors(model, load_faithful().data)
