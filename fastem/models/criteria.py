"""Information criteria: they weigh a log-likelihood against the number of parameters. Smaller is better."""

from __future__ import annotations

import math


def bic(log_likelihood, n_parameters, n) -> float:
    """Schwarz's Bayesian information criterion; n: the rows, or their total weight."""
    return float(n_parameters * math.log(n) - 2 * log_likelihood)


def aic(log_likelihood, n_parameters) -> float:
    """Akaike's information criterion."""
    return float(2 * n_parameters - 2 * log_likelihood)


def icl(bic, doubt) -> float:
    """Integrated completed likelihood from the BIC; doubt: minus the sum of the logarithms of the rows' largest
    posterior probabilities.

    C. Biernacki, G. Celeux, G. Govaert: Assessing a mixture model for clustering with the integrated completed
    likelihood. IEEE Trans. PAMI 22 (2000) 719-725.
    """
    return float(bic + 2 * doubt)
