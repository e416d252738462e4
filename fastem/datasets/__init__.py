"""Two small, well-known data sets, and mixtures whose maximum is proven."""

from fastem.datasets.certified import CertifiedProblem, load_certified
from fastem.datasets.shipped import SHIPPED, Dataset, load_faithful, load_iris

__all__ = ["SHIPPED", "CertifiedProblem", "Dataset", "load_certified", "load_faithful", "load_iris"]
