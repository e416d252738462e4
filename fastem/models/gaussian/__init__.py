"""What only Gaussian densities have: covariance structures, priors, noise, missing values, factors.

For authors of structures: what a structure owes to the M-step, and the densities over it. A new structure is its file
here and a row in `structures`.
"""

from fastem.models.gaussian.covariance import Covariance
from fastem.models.gaussian.emission import Gaussian

__all__ = ["Covariance", "Gaussian"]
