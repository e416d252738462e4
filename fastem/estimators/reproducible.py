"""FASTEM_INSTRUCTION_SET=reproducible: the fits whose bits are the same on every machine; all others are refused.

What is covered calls nothing whose last bits hang on the CPU: see fastem/kernels/arithmetic.py. The promise holds for
one version of fastem, numpy and scipy.
"""

from __future__ import annotations

from fastem.kernels import arithmetic

STRUCTURES = ("full", "tied", "diag", "spherical")
MIXTURES = (
    "GaussianMixture",
    "PoissonMixture",
    "GeometricMixture",
    "BernoulliMixture",
    "CategoricalMixture",
    "ExponentialMixture",
)
ALLOWED = {
    "covariance_type": STRUCTURES,
    "accelerate": (None, "squarem"),
    "noise": (None,),
    "prior": (None,),
    "max_eigenvalue_ratio": (None,),
    "truncation": (None,),
    "weight_concentration_prior": (None,),
    "truncate": (None,),
    "split_merge": (0,),
    "on_collapse": ("floor", "raise"),
}


def require_reproducible(estimator, labels=False, partial=False, bounds=False) -> None:
    """Raise ValueError where the same bits are asked for, but not promised for such a fit."""
    if not arithmetic.FIXED_ORDER:
        return
    name = type(estimator).__name__
    mode = "FASTEM_INSTRUCTION_SET=reproducible promises the same bits"
    if name not in MIXTURES:
        raise ValueError(f"{mode} for {', '.join(MIXTURES)} only, not for {name}. Unset the variable to fit it.")
    if partial:
        raise ValueError(f"{mode} of fit only, not of partial_fit. Call fit, or unset the variable.")
    if labels:
        raise ValueError(f"{mode} without labels only. Fit without labels, or unset the variable.")
    if bounds:
        raise ValueError(f"{mode} without lower and upper only. Fit without them, or unset the variable.")
    for parameter, values in ALLOWED.items():
        value = getattr(estimator, parameter, values[0])
        if not any(value is one or (isinstance(value, (str, int)) and value == one) for one in values):
            allowed = " or ".join(repr(one) for one in values)
            raise ValueError(
                f"{mode} with {parameter}={allowed} only, because other values take functions of libraries "
                f"whose last bits differ between machines. Got {parameter}={value!r}: change it, or unset "
                "the variable."
            )
