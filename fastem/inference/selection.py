"""Choosing the model: many mixtures fitted to the same rows, in a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastem.driver.progress import require_callback
from fastem.errors import did_you_mean, warn
from fastem.estimators.checks import checked_numbers
from fastem.estimators.parameters import SEARCH, tagged
from fastem.families.bayesian import BayesianGaussianMixture
from fastem.families.gaussian.covariance_mixture import BASIC
from fastem.families.gaussian.mixture import GaussianMixture
from fastem.inference.fold_search import fold_searches, held_out_deviances
from fastem.inference.model_search import DEFAULTS, SAME, ModelSearch, require_one_for_all
from fastem.kernels.threads import for_jobs
from fastem.kernels.workers import parallel_map
from fastem.models import criteria
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.parsimonious import FAMILIES, ONE_DIMENSION
from fastem.models.gaussian.structures import STRUCTURES, is_narrower
from fastem.rows.sources.open_rows import open_rows
from fastem.rows.validation import generator
from fastem.starts.text_table import html_of_text, text_table
from fastem.starts.tournament import FAILURES

CRITERIA = ("bic", "aic", "icl", "cv", "elbo")
PARALLEL_FROM = 5000  # rows; with fewer, threads wait for each other in the interpreter most of the time
FEW = 10  # times fewer rows by weight than there are: then weights are probably relative, where they are counts
BEST = 3  # models at the head of the table
SLOWEST = ("VVE", "EVE", "VEE")  # begun first


@dataclass(frozen=True)
class Row:
    """A model in the table of a :class:`Selection`.

    Attributes
    ----------
    covariance_type : str
    n_components : int
    log_likelihood : float
        Natural logarithm, sum over all rows. NaN where there is no fit; so are the criteria.
    n_parameters : int
    bic, aic, icl, cv, elbo : float
        Smaller is better. `cv` and `elbo` are NaN unless they are the criterion.
    n_iter : int
        Iterations over all rows, of the run that is kept. Those on a sample, which chose its start, do not count.
    status : str
        "ok"; "not converged"; or what is wrong: with a component, or why there is no fit.
    sound : bool
        Whether the rows determine every component. The best model is a sound one, if there is any.
    estimator : GaussianMixture or None
        Fitted.
    """

    covariance_type: str
    n_components: int
    log_likelihood: float = math.nan
    n_parameters: int = 0
    bic: float = math.nan
    aic: float = math.nan
    icl: float = math.nan
    cv: float = math.nan
    elbo: float = math.nan
    n_iter: int = 0
    status: str = "ok"
    sound: bool = False
    estimator: GaussianMixture | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Selection:
    """The result of :func:`select`.

    Attributes
    ----------
    table : list of Row
        Ordered by family, then by number of components.
    criterion : str
    best : GaussianMixture
        The fitted model of ``best_row``.
    """

    table: list[Row]
    criterion: str

    @property
    def ranked(self) -> list[Row]:
        """The fitted rows, best first: sound ones before others, by the criterion; the fewer parameters the better."""
        fitted = [row for row in self.table if row.estimator is not None]
        return sorted(fitted, key=lambda row: (not row.sound, getattr(row, self.criterion), row.n_parameters))

    @property
    def best_row(self) -> Row:
        """The first of :attr:`ranked`."""
        return self.ranked[0]

    @property
    def best(self) -> GaussianMixture:
        """The fitted model of :attr:`best_row`."""
        return self.best_row.estimator

    def to_frame(self) -> Any:
        """The table as a pandas data frame."""
        import pandas as pd

        return pd.DataFrame([_record(row) for row in self.table])

    def plot(self, ax=None) -> Any:
        """The criterion against the number of components, a line per family; see :func:`fastem.plot.selection`."""
        from fastem.plot import selection

        return selection(self, ax=ax)

    _repr_html_ = html_of_text

    def __repr__(self):
        row = self.best_row
        value = getattr(row, self.criterion)
        return (
            f"<Selection of {len(self.table)} models: {row.covariance_type} with {row.n_components} "
            f"component{'s' * (row.n_components != 1)} has the least {self.criterion.upper()}, {value:.10g}>"
        )

    def __str__(self):
        """The three best models with their distance from the best, then the table, the best model marked."""
        return "\n".join([*self._best_lines(), "", *self._table_lines()])

    def _best_lines(self):
        best = [getattr(row, self.criterion) for row in self.ranked[:BEST]]
        lines = [["best", "family", "K", self.criterion.upper(), "difference", "status"]]
        for place, (row, value) in enumerate(zip(self.ranked, best), 1):
            cells = [str(place), row.covariance_type, str(row.n_components), f"{value:.4f}", f"{value - best[0]:.4f}"]
            lines.append([*cells, row.status])
        return [line.rstrip() for line in text_table(lines, "<<>>><")]

    def _table_lines(self):
        best = self.best_row
        head = ["", "family", "K", "log-likelihood", "parameters", "BIC", "AIC", "ICL", "iterations", "status"]
        shown = ["log_likelihood", "bic", "aic", "icl"]
        if self.criterion in ("cv", "elbo"):
            head.insert(head.index("iterations"), self.criterion.upper())
            shown.append(self.criterion)
        lines = [head]
        for row in self.table:
            values = [f"{getattr(row, name):.4f}" for name in shown]
            lines.append(
                ["*" if row is best else "", row.covariance_type, str(row.n_components), values[0]]
                + [str(row.n_parameters), *values[1:], str(row.n_iter), row.status]
            )
        return [line.rstrip() for line in text_table(lines, "<<" + ">" * (len(head) - 3) + "<")]


def select(
    X,
    n_components: Iterable[int] = range(1, 10),
    covariance_types: Sequence[str] | None = None,
    criterion: str = "bic",
    *,
    sample_weight=None,
    n_jobs: int | None = None,
    random_state=None,
    callback: Callable[[Row], None] | None = None,
    **parameters,
) -> Selection:
    """Fit Gaussian mixtures of several families and numbers of components, and choose the best.

    All families start from the same partitions of some rows (hierarchical clusterings), and from their own fit with
    fewer components, where one component is split in two; the best run is kept whose components are sound, or describe
    stray rows, if there is any. A family that ends below a narrower one (EEV below EEI) is fitted again, from that
    one's mixture. The leading models are fitted alone as well, from starts of their own, as :class:`GaussianMixture`
    is, and so are those that would lead if they gained twice as much by it. The table says why a model failed, and
    which models have a component that is not sound: these rank after all sound ones, because their likelihood has no
    maximum, only the floor under the covariances, and their criteria mean nothing. That holds for stray rows in a
    component of their own too: though the rest of that model may be right, how far its likelihood rises hangs on the
    floor. Leave such rows out, or describe them as noise (`noise` of :class:`GaussianMixture`).

    Parameters
    ----------
    X
        Rows, as :meth:`GaussianMixture.fit` takes them: an array, a data frame, files, ….
    n_components : iterable of int
    covariance_types : sequence of str, optional
        mclust's fourteen families by default (of one column: E and V); also "full" and the other names of
        GaussianMixture.
    criterion : {"bic", "aic", "icl", "cv", "elbo"}
        Smaller is better, as in scikit-learn and :meth:`GaussianMixture.bic`; mclust's BIC and ICL are the negatives.
        ICL is BIC less twice the sum of the logarithms of the rows' largest posterior probabilities: it counts clusters
        rather than components. "cv" is -2 times the sum over the rows of the log-density of each under the mixture of
        the other folds, of ten: it asks how well rows are predicted, needs no count of parameters, and charges a
        component what its rows do not determine. The search begins anew without each fold, so it takes ten times as
        long; only for rows in memory. "elbo" fits mixtures of :class:`BayesianGaussianMixture`, and is -2 times
        their bound of the log evidence; with "dirichlet_distribution" as `weight_concentration_prior_type` it charges
        a component without rows, while the Dirichlet process, the default, does not.
    sample_weight : (n,), optional
        A weight of 2 counts as two rows, in the criteria as well.
    n_jobs : int, optional
        Threads. Default: all that the process may use. With at least 5000 rows each thread fits another
        family. The result does not depend on it.
    random_state : int, Generator, RandomState or None
    callback : callable, optional
        Called with each :class:`~fastem.inference.selection.Row` when its model has ended, by several threads; and
        again with what takes its place where the model is fitted again.
    **parameters
        Of :class:`GaussianMixture`: `tol` (here 1e-5), `max_iter` (here 1000), `reg_covar`, `stop`, `accelerate`,
        `split_merge`, constraints.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError, TypeError
        Wrong input. A model that cannot be fitted raises nothing, unless all models fail.

    References
    ----------
    Fraley, Raftery: Model-based clustering, discriminant analysis, and density estimation. JASA 97 (2002) 611-631.
    Biernacki, Celeux, Govaert: Assessing a mixture model for clustering with the integrated completed likelihood.
    IEEE Transactions on Pattern Analysis and Machine Intelligence 22 (2000) 719-725.

    Examples
    --------
    >>> import fastem
    >>> from fastem.datasets import load_faithful
    >>> selection = fastem.select(load_faithful().data, range(1, 5), ["VII", "EEE", "VVV"], random_state=0)
    >>> selection.best.covariance_type, selection.best.n_components, round(selection.best_row.bic, 1)
    ('EEE', 3, 2314.3)
    """
    numbers_ = checked_numbers(n_components)
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}. Got {criterion!r} instead.")
    kind = BayesianGaussianMixture if criterion == "elbo" else GaussianMixture
    _check_parameters(parameters, kind)
    require_one_for_all(parameters, "select")
    require_callback(callback, "a row of the table")
    n_jobs = for_jobs(n_jobs)
    blocks = open_rows(X, sample_weight, owner="select")
    known, usual = STRUCTURES, ONE_DIMENSION if blocks.n_features == 1 else FAMILIES
    if criterion == "elbo":
        known = usual = BASIC
    families = _checked_families(covariance_types, known, usual)
    in_memory = hasattr(blocks, "X")  # a file is read by one chain at a time, which then has all threads
    n_chains = min(n_jobs, len(families)) if in_memory and blocks.n_rows >= PARALLEL_FROM else 1
    seed = int(generator(random_state).integers(2**63))
    asked = numbers_, families, DEFAULTS | parameters, seed, max(1, n_jobs // n_chains)
    search = ModelSearch(blocks, None, *asked, kind=kind)
    total, counted = search.blocks.total_weight * search.unit, search.n_effective
    if total < counted / FEW:
        warn(
            f"sample_weight sums to {total:.3g}, where some {counted:.0f} rows count: a weight of 2 is two equal rows, "
            f"so {criterion} judges these models by {total:.3g} rows. Weights that say only how rows compare should be "
            "divided by their mean.",
            UserWarning,
        )
    folds = fold_searches(blocks, *asked) if criterion == "cv" else []
    begun = sorted(families, key=lambda name: name not in SLOWEST)
    chains = dict(zip(begun, parallel_map(partial(_rows, search, folds, numbers_, callback), begun, n_chains)))
    table = [row for name in families for row in chains[name]]
    table = _not_below_narrower(search, table, callback)
    table = _leaders_alone(search, table, criterion, callback)
    table = _not_below_narrower(search, table, callback)
    if not any(row.estimator is not None for row in table):
        raise ValueError(f"none of the {len(table)} models can be fitted. The first failed: {table[0].status}")
    return Selection(table, criterion)


def _rows(search, folds, numbers_, callback, covariance_type) -> list[Row]:
    """The rows of a family."""
    rows, held_out = [], held_out_deviances(folds, covariance_type, numbers_)
    for K, estimator, result in search.chain(covariance_type, numbers_):
        if estimator is None:
            rows.append(Row(covariance_type, K, status=" ".join(str(result).split())))
            if callback is not None:
                callback(rows[-1])
            continue
        rows.append(_row(search, covariance_type, K, held_out[K], estimator, result))
        if callback is not None:
            callback(rows[-1])
    return rows


def _row(search, covariance_type, K, cv, estimator, result) -> Row:
    """That of a fit."""
    wrong, sound = search.statuses(result)
    p, total, n = estimator.n_parameters_, estimator.log_likelihood_, result.statistics.weight * search.unit
    bic = criteria.bic(total, p, n)
    return Row(
        covariance_type,
        K,
        log_likelihood=total,
        n_parameters=p,
        bic=bic,
        aic=criteria.aic(total, p),
        icl=criteria.icl(bic, search.doubt(result) * search.unit),
        cv=cv,
        elbo=-2 * estimator.lower_bound_ * n if isinstance(estimator, BayesianGaussianMixture) else math.nan,
        n_iter=result.n_iter,
        status=wrong or ("ok" if result.converged else "not converged"),
        sound=sound,
        estimator=estimator,
    )


def _not_below_narrower(search, table, callback) -> list[Row]:
    """The table, where no family ends below a narrower one with as many components, whose mixture is one of its own: it
    is fitted from there, if what comes of it is sound."""
    found = {(row.covariance_type, row.n_components): row for row in table}
    for name, K in sorted(found, key=lambda key: found[key].n_parameters):
        row = found[name, K]
        others = [
            other
            for (family, components), other in found.items()
            if components == K and other.sound and is_narrower(STRUCTURES[family], STRUCTURES[name])
            if type(other.estimator.model_.emission) is Gaussian
        ]
        best = max(others, key=lambda other: other.log_likelihood, default=row)
        if row.estimator is None or not best.log_likelihood > row.log_likelihood + _least_gain(search):
            continue
        try:
            fit = search.from_narrower(name, best.estimator.model_)
        except FAILURES:
            continue  # an attempt to improve failed: what was to be improved stays
        again = _row(search, name, K, row.cv, *fit)
        if again.sound and (not row.sound or again.log_likelihood > row.log_likelihood):
            found[name, K] = again
            if callback is not None:
                callback(again)
    return list(found.values())


def _leaders_alone(search, table, criterion, callback) -> list[Row]:
    """The table, where no leading model is less likely than the fit of it alone, whose starts are its own.

    Such fits are made of the models at the head, and of those further down that would come there if they gained twice
    as much as the one that has gained most.
    """
    found, tried, most = {(row.covariance_type, row.n_components): row for row in table}, set(), 0.0
    while True:
        ranked = Selection([*found.values()], criterion).ranked
        reach = getattr(ranked[0], criterion) + 2 * most if ranked else 0
        near = [row for row in ranked[BEST:] if row.sound and getattr(row, criterion) <= reach]
        leading = [*ranked[:BEST], *near]
        row = next((row for row in leading if (row.covariance_type, row.n_components) not in tried), None)
        if row is None:
            return list(found.values())
        model = row.covariance_type, row.n_components
        tried.add(model)
        try:
            again = _row(search, *model, row.cv, *search.alone(*model))
        except FAILURES:
            continue  # an attempt to improve failed: what was to be improved stays
        gain = (row.elbo - again.elbo) / 2 if criterion == "elbo" else again.log_likelihood - row.log_likelihood
        if (again.sound, gain) > (row.sound, _least_gain(search)):
            found[model] = again
            most = max(most, 2 * gain * row.sound)
            if callback is not None:
                callback(again)


def _least_gain(search) -> float:
    """The log-likelihood by which another optimum is higher."""
    return SAME * search.blocks.total_weight * search.unit


def _record(row):
    """Its columns in a table."""
    return {name: value for name, value in vars(row).items() if name != "estimator"}


def _checked_families(covariance_types, known, usual) -> list[str]:
    """Names of families, in the order of those that are known, each once; the usual ones where none are named."""
    if covariance_types is None:
        return list(usual)
    listed = [covariance_types] if isinstance(covariance_types, str) else list(covariance_types)
    for name in listed:
        if name not in known:
            raise ValueError(f"covariance_types contains {name!r}, which is none of {', '.join(known)}.")
    if not listed:
        raise ValueError("covariance_types is empty: name at least one covariance type.")
    return [name for name in known if name in listed]


def _check_parameters(parameters, kind):
    """TypeError for a parameter that the kind of mixture does not have, or that select does not take."""
    known, of_search = kind().get_params(), tagged(kind(), SEARCH)
    for name in parameters:
        if name in of_search:
            continue
        if name in known:
            raise TypeError(f"select() takes no {name}: leave it out.")
        listed = ", ".join(sorted(of_search))
        raise TypeError(
            f"select() got an unexpected parameter {name!r}.{did_you_mean(name, of_search)} It takes these of "
            f"{kind.__name__}: {listed}."
        )
