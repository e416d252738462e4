"""Mixtures whose maximum is proven: what the answers of any program can be checked against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastem.datasets.shipped import SHIPPED, read_text


@dataclass(frozen=True, eq=False)
class CertifiedProblem:
    """Rows, a mixture, and its maximum likelihood estimate with a proof.

    Attributes
    ----------
    name : str
    level : {"low", "average", "high"}
        Of difficulty: how slowly EM climbs, and how many digits the numbers lose to cancellation.
    family : str
        The class of fastem that fits it, e.g. "GaussianMixture".
    settings : dict
        Parameters of its constructor that say which mixture it is, e.g. ``{"covariance_type": "VEV"}``.
    n_components : int
    data : ndarray of shape (n_samples, n_features), float64
        Exactly these doubles are what is certified. NaN: missing at random.
    sides : dict of ndarray
        What rows carry beside their values, by the names that ``fit`` has: ``errors``, ``covariates``, ``lower`` and
        ``upper``.
    log_likelihood : float
        In total, at the estimate.
    parameters : dict of ndarray
        The estimate by the names of fastem's attributes without the underscore (``weights``, ``means``, …), components
        in ascending order of their first mean, rate or probability. A factor analysis has one component.
    digits : dict
        The same, and ``log_likelihood``, as (lists of) decimal strings of 22 significant digits.
    start : dict of ndarray
        A point near the estimate from which EM climbs to it.
    radius : float
        Of the box around the estimate that is proven to hold no other stationary point, in standard errors of each
        coordinate. Throughout the box the information is positive definite, so that the estimate is a strict local
        maximum. That no other maximum elsewhere is higher is not proven.
    condition : float
        Of the information there, scaled to a unit diagonal.
    em_iterations : int or None
        Steps of plain EM from the start to eight digits of every parameter; None: not known.
    """

    name: str
    level: str
    family: str
    settings: dict[str, Any]
    n_components: int
    data: np.ndarray
    sides: dict[str, np.ndarray]
    log_likelihood: float
    parameters: dict[str, np.ndarray]
    digits: dict[str, Any]
    start: dict[str, np.ndarray]
    radius: float
    condition: float
    em_iterations: int | None


def load_certified() -> list[CertifiedProblem]:
    """Problems with certified answers, as those of NIST are for regression: of mixtures, with proofs.

    Each answer is a stationary point that interval arithmetic (Krawczyk's operator, in balls of 96 digits) proves to be
    the only one in a box, with a positive definite information in all of it. That it is the global maximum is not
    proven. ``fastem check`` fits them all and prints how many digits agree; ``ci/certify`` made them.

    Returns
    -------
    list of CertifiedProblem
        In no particular order; fresh arrays at every call.

    References
    ----------
    Krawczyk, R. (1969). Newton-Algorithmen zur Bestimmung von Nullstellen mit Fehlerschranken. Computing 4, 187-201.
    NIST, Statistical Reference Datasets, https://www.itl.nist.gov/div898/strd/.

    Examples
    --------
    >>> from fastem.datasets import load_certified
    >>> problem = load_certified()[0]
    >>> problem.name, problem.data.shape, problem.digits["log_likelihood"]
    ('faithful, waiting', (272, 1), '-1034.001749831607959787')
    >>> problem.parameters["means"].ravel().round(3)
    array([54.615, 80.091])
    """
    import json

    document = json.loads(read_text("certified.json"))
    rows = {name: data["rows"] for name, data in document["data"].items()}
    return [problem_of(entry, rows) for entry in document["problems"]]


def problem_of(entry: dict[str, Any], rows: dict[str, list]) -> CertifiedProblem:
    """An entry of the file, with its rows or those of a shipped data set, as numbers."""
    entry = dict(entry)
    name, columns, sides = entry.pop("data"), entry.pop("columns", None), entry.pop("sides", {})
    data = np.array(rows[name], dtype=np.float64) if name in rows else SHIPPED[name]().data
    digits = {"log_likelihood": entry.pop("log_likelihood"), **entry.pop("parameters")}
    arrays = {name: np.array(value, dtype=np.float64) for name, value in digits.items()}
    return CertifiedProblem(
        data=data if columns is None else np.ascontiguousarray(data[:, columns]),
        sides={role: np.ascontiguousarray(data[:, places]) for role, places in sides.items()},
        log_likelihood=float(arrays.pop("log_likelihood")),
        parameters=arrays,
        digits=digits,
        start={name: np.array(value, dtype=np.float64) for name, value in entry.pop("start").items()},
        radius=float(entry.pop("radius")),
        **entry,
    )
