"""The models under :class:`fastem.FactorAnalysis` and :class:`fastem.PPCA`, which :func:`fastem.em` takes."""

from fastem.models.gaussian.factor_models import ConditionalFactorModel, FactorModel, PPCAModel

__all__ = ["ConditionalFactorModel", "FactorModel", "PPCAModel"]
