"""Frozen parameters with an `e_step` and an `m_step`.

For authors of families: what a density owes to a mixture, the mixture, and exponential families, which share a kernel.
Everything else in this room may change.
"""

from fastem.models.emission import Emission, KernelCall
from fastem.models.exponential_family import ExponentialFamily, Features
from fastem.models.mixture import Mixture

__all__ = ["Emission", "ExponentialFamily", "Features", "KernelCall", "Mixture"]
