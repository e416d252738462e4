"""What fastem and scikit-learn have in common here: the interface of GaussianMixture."""

from __future__ import annotations

import warnings


def parameters_after(iterations, model, X):
    """Weights, means and covariances of a GaussianMixture after exactly so many iterations on X."""
    fit_exactly(iterations, model, X)
    return model.weights_, model.means_, model.covariances_


def fit_exactly(iterations, model, X, **beside):
    """Fit, in exactly so many iterations."""
    with warnings.catch_warnings():
        # tol=0 never converges: as asked. By message, since the class is a different one in each library.
        warnings.filterwarnings("ignore", message=".*converge.*")
        model.fit(X, **beside)
    if model.n_iter_ != iterations:
        reason = getattr(model, "stop_reason_", "no reason given")
        raise RuntimeError(f"{model.n_iter_} iterations where {iterations} were asked for ({reason})")
