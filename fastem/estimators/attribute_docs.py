"""What the docstrings of mixtures say of the fitted attributes that all of them have, written once."""

from __future__ import annotations

from fastem.estimators.compatibility import may_have
from fastem.estimators.parameters import Parameter

ATTRIBUTES = """\
weights_ : (K,)
    Their sum is 1.
converged_ : bool
n_iter_ : int
lower_bound_ : float
    Mean log-likelihood at these parameters.
lower_bounds_ : list
    The same after each iteration.
log_likelihood_ : float
    Sum over all rows, each counted with its weight.
log_likelihood_error_ : float
    A bound on how far rounding has taken `log_likelihood_` from the exact value for these rows and parameters; inf
    where a covariance is so ill-conditioned that its factor has no digits. See :mod:`fastem.models.rounding`.
remaining_gain_ : float
    About how much `log_likelihood_` (with a prior, the log-posterior) can still rise towards the local maximum that EM
    climbs; infinite where that is not known yet, or by Newton's decrement the point is no maximum.
remaining_gain_method_ : str
    "newton": by Newton's decrement; "rate": from EM's last gains; "": not known, as after `partial_fit` and
    `adapt` and of given parameters. See :class:`fastem.EMResult`.
history_ : list
    Mean log-likelihood of the start and after each iteration.
steps_ : sequence of :class:`fastem.driver.history.Step`
    What the E-step and the M-step of each iteration gained. Not saved to files.
stop_reason_ : str
component_status_ : list of str
    "ok", or what is wrong with a component.
fit_report_ : :class:`fastem.starts.fit_report.FitReport`
    The result of each restart and of each component; print it. Not saved to files.
model_ : a model of :mod:`fastem.models`
    The fitted model itself, which :func:`fastem.em` and :mod:`fastem.theory` take.
n_parameters_ : int
n_samples_ : int
    Rows of the fit.
total_weight_ : float
    The sum of their weights; without weights their number.
side_columns_ : list of str
    Which of the side columns of :meth:`fit` they had, e.g. "labels".
n_features_in_ : int
feature_names_in_ : (d,), where X has names"""
GATE = """
gate_coefficients_ : (K, p + 1), after a fit with covariates
    Of log weight, the intercept first, in the units of the covariates; those of the last component are 0.
gate_in_units_ : (K + 2, p + 1), after a fit with covariates
    The gate as it was fitted: coefficients for covariates about a centre and in a unit, which are the last two rows.
    A saved model is read from these to the last bit. Not used where `gate_coefficients_` has been set.
covariate_names_ : (p,), after a fit with covariates that have names"""


def attributes_of(rows: dict[str, Parameter]) -> str:
    """Those of a mixture with these parameters: of covariates, where it may be fitted with some."""
    gate = GATE if may_have({name: row.default for name, row in rows.items()}, "covariates") else ""
    return ATTRIBUTES + gate
