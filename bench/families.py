"""An iteration of the families that are not Gaussian, beside that of a diagonal Gaussian mixture on the same rows."""

from __future__ import annotations

from statistics import median

import numpy as np

from bench.contest import FASTEM, Session
from bench.report import Section, table

SHAPES = [(200_000, 16, 8), (200_000, 16, 32), (1_000_000, 2, 8), (200_000, 39, 64)]  # rows, columns, components
FEWER_ROWS = 10
DTYPES = ("float64", "float32")
MOST = 2.0  # times the diagonal Gaussian's
LEGEND = """\
One E-step and one M-step from the parameters that drew the rows; the Gaussian mixture starts from the same components'
moments. ratio: median over the turns of that within a turn, where the two alternate in one process."""


def run(session: Session) -> Section:
    """Every shape in both real types; a process for each."""
    return compared(session, "Families", "families", SHAPES, "diagonal Gaussian", MOST, LEGEND)


def compared(session: Session, name: str, task: str, shapes, other: str, most: float, legend: str) -> Section:
    """Iterations of many mixtures, each beside another on the same rows; `most` times its time is too much."""
    columns = {
        "rows × columns, components": ("shape", "s"),
        "family": ("family", "s"),
        "ms/iteration": ("ms", ".2f"),
        f"{other} ms": ("other_ms", ".2f"),
        "ratio": ("ratio", ".2f"),
    }
    rows = []
    for n, d, K in shapes:
        for dtype in DTYPES:
            question = {"n": n // FEWER_ROWS if session.quick else n, "d": d, "K": K, "dtype": dtype}
            title = f"{question['n']} × {d}, {K}, {dtype}"
            question["n_threads"] = session.machine.n_threads
            turns = session.take_turns(
                title,
                session.present(FASTEM),
                lambda rival: rival.ask(task, **question),  # noqa: B023
                session.repeats,
            )
            answers = turns.get(FASTEM.name, [])
            for family in answers[0] if answers else ():
                found = {key: median(answer[family][key] for answer in answers) for key in ("ms", "other_ms", "ratio")}
                rows.append({"shape": title, "family": family} | found)
                if found["ratio"] > most and not session.quick:  # so little work is at the mercy of the scheduler
                    session.complaints.append(
                        f"{title}, {family}: {found['ratio']:.2f} times the time of {other}, aim {most:g}"
                    )
    return Section(name, f"{table(rows, columns)}\n\n{legend}", rows)


def emissions(d: int, K: int, rng: np.random.Generator) -> dict:
    """K overlapping components of each family."""
    from fastem.families.bernoulli import Bernoulli
    from fastem.families.categorical import Categorical
    from fastem.families.exponential import Exponential
    from fastem.families.gamma import Gamma
    from fastem.families.poisson import Poisson

    rates = rng.uniform(0.6, 1.6, (K, d))
    none = np.zeros(d)
    return {
        "Poisson, rates near 3": Poisson(3 * rates, none),
        "Poisson, rates near 50": Poisson(50 * rates, none),
        "Poisson, rates near 10 000": Poisson(1e4 * rates, none),
        "Bernoulli": Bernoulli(rng.uniform(0.2, 0.8, (K, d))),
        "categorical, 4 levels": Categorical(rng.dirichlet(np.full(4, 2.0), (K, d)) * 0.96 + 0.01, np.full(d, 4)),
        "exponential": Exponential(rates, np.full(d, np.inf)),
        "gamma": Gamma(1 + rates, rates, none, 1e4),
    }


def samples(n: int, d: int, K: int, dtype: str):
    """Of each family: its name, rows, the mixture that drew them, a diagonal Gaussian one of the same moments."""
    from fastem.models.gaussian.diagonal import Diagonal
    from fastem.models.gaussian.emission import Gaussian
    from fastem.models.mixture import Mixture

    rng, weights, floor = np.random.default_rng([n, d, K]), np.full(K, 1 / K), np.full(d, 1e-9)
    for family, emission in emissions(d, K, rng).items():
        mixture = Mixture(weights, emission)
        X, component = mixture.sample(n, rng)
        means, variances = ([f(X[component == k], axis=0) for k in range(K)] for f in (np.mean, np.var))
        covariances = Diagonal.from_covariances(np.array(variances), floor)
        rows = rng.permutation(X.astype(dtype))  # drawn, they are sorted by component
        yield family, rows, mixture, Mixture(weights, Gaussian(np.array(means), covariances, floor))
