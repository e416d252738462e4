"""The likelihood of each family as a formula in its coordinates: for balls and jets of `balls`, and for plain numbers.

A family says how a vector of coordinates becomes the parameters that a user sees (`parameters`), how parameters become
coordinates (`coordinates`, in plain numbers, for the start of Newton's method), and what the log-density of a row is.
All else is the same for all: the weights come first (the last one is what the others leave), rows that are equal are
counted, and the log-likelihood is the sum of log sum_k w_k f_k(x).

Coordinates are the parameters themselves wherever these are free: weights, means, entries of covariances, variances,
rates, probabilities, degrees of freedom. Elsewhere: a volume, ratios of the shape (their product is 1) and Cayley's
coordinates of the rotation for the structures by three letters; loadings with zeros above the diagonal.
"""

from collections import Counter
from itertools import accumulate

import numpy as np
from balls import cholesky, forward, product, solve, transposed
from flint import arb

LOG_TWO_PI = (2 * arb.pi()).log()


def log_likelihood(family, X, K):
    """A function of coordinates (jets): the jet of the total log-likelihood of rows (n, d), values and what goes beside
    them."""
    rows = Counter(tuple(row) for row in nan_as_none(X))

    def value(vector):
        parameters = family.parameters(vector, K)
        logs = [w.log() for w in parameters["weights"]] if K > 1 and "weights" in parameters else [arb(0)] * K
        log_density = family.log_densities(parameters)
        total = 0
        for row, count in rows.items():
            joint = [a + b for a, b in zip(log_density(row), logs)]
            total = total + (joint[0] if K == 1 else sum(a.exp() for a in joint).log()) * count
        return total

    return value


def objective(family, X, K):
    """What is maximised: the log-likelihood, and the logarithm of the prior of families that have one."""
    value = log_likelihood(family, X, K)
    if not hasattr(family, "log_prior"):
        return value
    return lambda vector: value(vector) + family.log_prior(family.parameters(vector, K))


def nan_as_none(X):
    return [[None if np.isnan(x) else float(x) for x in row] for row in X]


class Reader:
    """Takes numbers off a vector in turn."""

    def __init__(self, vector):
        self.rest = list(vector)

    def take(self, n):
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken

    def table(self, n, d):
        return [self.take(d) for _ in range(n)]

    def weights(self, K):
        first = self.take(K - 1)
        return [*first, 1 - sum(first)] if K > 1 else [arb(1)]

    def symmetric(self, d):
        lower = [self.take(i + 1) for i in range(d)]
        return [[lower[max(i, j)][min(i, j)] for j in range(d)] for i in range(d)]


def lower_entries(matrix):
    """Those on and below the diagonal, row by row; of a tall matrix, below the diagonal of its top."""
    return [x for i, row in enumerate(matrix) for x in row[: i + 1]]


def flat(array):
    return list(np.ravel(array))


# ---- Gaussians


def gaussian_distances(means, covariances):
    """A function of a row, None where a value is missing: of each component (squared distance, log-determinant, size).

    The size is the number of values that are there, and all is of these.
    """
    known = {}

    def factors(place):
        if place not in known:
            parts = [[[covariance[i][j] for j in place] for i in place] for covariance in covariances]
            roots = [cholesky(part) for part in parts]
            known[place] = roots, [2 * sum(root[i][i].log() for i in range(len(place))) for root in roots]
        return known[place]

    def distances(row):
        place = tuple(i for i, x in enumerate(row) if x is not None)
        for mean, root, log_det in zip(means, *factors(place)):
            yield sum(y**2 for y in forward(root, [row[i] - mean[i] for i in place])), log_det, len(place)

    return distances


def diagonal_distances(means, variances):
    """The same where columns are independent."""
    logs = [[v.log() for v in row] for row in variances]
    inverses = [[1 / v for v in row] for row in variances]

    def distances(row):
        place = [i for i, x in enumerate(row) if x is not None]
        for mean, inverse, log in zip(means, inverses, logs):
            squares = sum((row[i] - mean[i]) ** 2 * inverse[i] for i in place)
            yield squares, sum(log[i] for i in place), len(place)

    return distances


LETTERS = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}  # fastem has their arrays as of these


class Gaussian:
    """`structure`: full, tied, diag, spherical, or three letters of volume, shape (E or V) and orientation."""

    def __init__(self, d, structure="full"):
        self.d, self.structure = d, LETTERS.get(structure, structure)

    def parameters(self, vector, K):
        read, d = Reader(vector), self.d
        parameters = {"weights": read.weights(K), "means": read.table(K, d)}
        if self.structure == "full":
            covariances = [read.symmetric(d) for _ in range(K)]
        elif self.structure == "tied":
            covariances = read.symmetric(d)
        elif self.structure == "diag":
            covariances = read.table(K, d)
        elif self.structure == "spherical":
            covariances = read.take(K)
        else:
            covariances = self.by_letters(read, K)  # rows of variances where the orientation is I
        return parameters | {"covariances": covariances}

    def by_letters(self, read, K):
        """Volume · rotation · shape · rotation': equal (E), of each (V), or the identity (I)."""
        d, (volume, form, orientation) = self.d, self.structure

        def each(letter, size):
            return read.table({"I": 0, "E": 1, "V": K}[letter], size)

        volumes = [v for (v,) in each(volume, 1)]
        shapes = [[*ratios, 1 / list(accumulate(ratios, lambda a, b: a * b))[-1]] for ratios in each(form, d - 1)]
        turns = [rotation(t, d) for t in each(orientation, d * (d - 1) // 2)]
        covariances = []
        for k in range(K):
            shape = shapes[k % len(shapes)] if shapes else [arb(1)] * d
            variances = [a * volumes[k % len(volumes)] for a in shape]
            if turns:
                turn = turns[k % len(turns)]
                scaled = [[x * v for x, v in zip(row, variances)] for row in turn]
                variances = product(scaled, transposed(turn))
            covariances.append(variances)
        return covariances

    def coordinates(self, weights, means, covariances, **others):
        return [*weights[:-1], *flat(means), *self.of_covariances(np.asarray(covariances))]

    def of_covariances(self, covariances):
        if self.structure == "full":
            return [x for covariance in covariances for x in lower_entries(covariance)]
        if self.structure == "tied":
            return lower_entries(covariances)
        if self.structure in ("diag", "spherical"):
            return flat(covariances)
        volume, form, orientation = self.structure
        values, turns = covariances, []
        if orientation != "I":
            values, vectors = np.linalg.eigh(covariances)
            turns = [cayley(vector) for vector in vectors]
        volumes = np.exp(np.log(values).mean(axis=1))
        shapes = (values / volumes[:, None])[:, :-1]
        return [
            x
            for letter, each in ((volume, volumes), (form, shapes), (orientation, turns))
            for x in flat(each[: {"I": 0, "E": 1, "V": len(each)}[letter]])
        ]

    def distances(self, parameters):
        means, covariances = parameters["means"], parameters["covariances"]
        if self.structure == "diag" or self.structure.endswith("I"):
            return diagonal_distances(means, covariances)
        if self.structure == "spherical":
            return diagonal_distances(means, [[v] * self.d for v in covariances])
        if self.structure == "tied":
            covariances = [covariances] * len(means)
        return gaussian_distances(means, covariances)

    def log_densities(self, parameters):
        distances = self.distances(parameters)

        def log_density(row):
            return [(square + log_det + n * LOG_TWO_PI) * -0.5 for square, log_det, n in distances(row)]

        return log_density


class NoisyGaussian(Gaussian):
    """Full covariances; a row is values, then the standard deviations of their errors."""

    def distances(self, parameters):
        d, known = self.d, {}

        def distances(row):
            errors = row[d:]
            if errors not in known:
                covariances = [
                    [
                        [x + arb(errors[i]) ** 2 if i == j else x for j, x in enumerate(line)]
                        for i, line in enumerate(one)
                    ]
                    for one in parameters["covariances"]
                ]
                known[errors] = gaussian_distances(parameters["means"], covariances)
            return known[errors](row[:d])

        return distances


class BoundedGaussian(Gaussian):
    """Full covariance of one column; a row is a value that does not count, and its bounds. Equal ones: the value."""

    def log_densities(self, parameters):
        components = [(m, v.sqrt()) for (m,), ((v,),) in zip(parameters["means"], parameters["covariances"])]

        def half_erf(bound, mean, deviation):
            if np.isinf(bound):
                return arb(bound > 0) - arb(0.5)
            return ((bound - mean) / (deviation * arb(2).sqrt())).erf() * 0.5

        def log_density(row):
            _, low, high = row
            for mean, deviation in components:
                if low == high:
                    yield ((low - mean) / deviation) ** 2 * -0.5 - deviation.log() - LOG_TWO_PI * 0.5
                else:
                    yield (half_erf(high, mean, deviation) - half_erf(low, mean, deviation)).log()

        return log_density


class GatedGaussian(Gaussian):
    """Full covariances, weights by logits of covariates; a row is values, then covariates. The last logit is 0.

    The slopes of each covariate, about their mean over the components, have a normal prior of precision 1e-3 where
    its largest deviation is the unit.
    """

    def __init__(self, d, rows):
        super().__init__(d)
        self.covariates = [row[d:] for row in rows.tolist()]
        columns = [[arb(x) for x in column] for column in zip(*self.covariates)]
        means = [sum(column) / len(column) for column in columns]
        self.units = [max(float(abs(x - mean).mid()) for x in column) for column, mean in zip(columns, means)]

    def parameters(self, vector, K):
        p = 1 + len(self.covariates[0])
        read = Reader(vector)
        gate = [*read.table(K - 1, p), [arb(0)] * p]
        own = super().parameters([*[arb(0)] * (K - 1), *read.rest], K)
        del own["weights"]
        return own | {"gate_coefficients": gate}

    def coordinates(self, weights, gate_coefficients, **others):
        return [*flat(gate_coefficients[:-1]), *super().coordinates(weights=[], **others)]

    def log_shares(self, parameters, covariates):
        logits = [
            intercept + sum(a * x for a, x in zip(slopes, covariates))
            for intercept, *slopes in parameters["gate_coefficients"]
        ]
        log_sum = sum(logit.exp() for logit in logits).log()
        return [logit - log_sum for logit in logits]

    def log_prior(self, parameters):
        K, total = len(parameters["gate_coefficients"]), 0
        for unit, slopes in zip([None, *self.units], zip(*parameters["gate_coefficients"])):
            if unit is not None:
                mean = sum(slopes) / K
                total = total + sum(((slope - mean) * unit) ** 2 for slope in slopes) * (arb("1e-3") / -2)
        return total

    def mean_weights(self, parameters):
        shares = [[s.exp() for s in self.log_shares(parameters, row)] for row in self.covariates]
        return [sum(own) / len(shares) for own in zip(*shares)]

    def log_densities(self, parameters):
        of_values = super().log_densities(parameters)
        d = self.d
        return lambda row: [a + b for a, b in zip(of_values(row[:d]), self.log_shares(parameters, row[d:]))]


def rotation(skew, d):
    """(1 + S)^-1 (1 - S) of a skew-symmetric S: Cayley's coordinates, in lists of rows."""
    entries = iter(skew)
    S = [[arb(0)] * d for _ in range(d)]
    for i in range(d):
        for j in range(i):
            S[i][j] = next(entries)
            S[j][i] = -S[i][j]
    plus = [[S[i][j] + int(i == j) for j in range(d)] for i in range(d)]
    minus = [[-S[i][j] + int(i == j) for j in range(d)] for i in range(d)]
    return solve(plus, minus)


def cayley(vectors):
    """The coordinates of an orthogonal matrix, up to signs of its columns such that they are moderate."""
    d = len(vectors)
    signs = np.array(np.meshgrid(*[[1.0, -1.0]] * d)).reshape(d, -1).T
    turns = max((vectors * s for s in signs), key=lambda turn: np.linalg.det(turn + np.eye(d)))
    skew = np.linalg.solve(np.eye(d) + turns, np.eye(d) - turns)
    return [skew[i, j] for i in range(d) for j in range(i)]


class StudentT(Gaussian):
    """Scale matrices as covariances of Gaussians; degrees of freedom of each component."""

    def parameters(self, vector, K):
        return super().parameters(vector[:-K], K) | {"degrees_of_freedom": list(vector[-K:])}

    def coordinates(self, degrees_of_freedom, **others):
        return [*super().coordinates(**others), *degrees_of_freedom]

    def log_densities(self, parameters):
        distances, d = self.distances(parameters), self.d
        tails = []
        for nu in parameters["degrees_of_freedom"]:
            power = (nu + d) * 0.5
            log_gammas = power.lgamma() - (nu * 0.5).lgamma()
            tails.append((1 / nu, power, log_gammas - (nu.log() + arb.pi().log()) * 0.5 * d))

        def log_density(row):
            for (square, log_det, _), (one, power, constant) in zip(distances(row), tails):
                yield constant - log_det * 0.5 - power * (square * one + 1).log()

        return log_density


class FactorAnalyzers(Gaussian):
    """Covariance = components' components + noise; components (q, d) with zeros below their diagonal."""

    def __init__(self, d, q):
        super().__init__(d)
        self.q = q

    def parameters(self, vector, K):
        read, d, q = Reader(vector), self.d, self.q
        parameters = {"weights": read.weights(K), "means": read.table(K, d), "components": [], "covariances": []}
        for _ in range(K):
            loadings = [[*read.take(min(i + 1, q)), *[arb(0)] * (q - i - 1)] for i in range(d)]
            parameters["components"].append(transposed(loadings))
        parameters["noise_variances"] = read.table(K, d)
        for components, noise in zip(parameters["components"], parameters["noise_variances"]):
            common = product(transposed(components), components)
            parameters["covariances"].append(
                [[x + noise[i] if i == j else x for j, x in enumerate(row)] for i, row in enumerate(common)]
            )
        return parameters

    def coordinates(self, weights, means, components, noise_variances, **others):
        loadings = [x for each in components for x in lower_entries(lower_triangular(np.asarray(each).T))]
        return [*weights[:-1], *flat(means), *loadings, *flat(noise_variances)]


def lower_triangular(loadings):
    """Loadings (d, q), rotated so that there are zeros above the diagonal and positive numbers on it."""
    turn, upper = np.linalg.qr(loadings[: loadings.shape[1]].T)
    return loadings @ turn * np.sign(np.diag(upper))


# ---- columns that are independent within a component


class Independent:
    """Families of one positive number per column and component: `name` in the parameters."""

    def __init__(self, d, name):
        self.d, self.name = d, name

    def parameters(self, vector, K):
        read = Reader(vector)
        return {"weights": read.weights(K), self.name: read.table(K, self.d)}

    def coordinates(self, weights, **others):
        return [*weights[:-1], *flat(others[self.name])]

    def log_densities(self, parameters):
        prepared = [[self.prepared(p) for p in row] for row in parameters[self.name]]
        return lambda row: [sum(self.of_value(x, p) for x, p in zip(row, own)) for own in prepared]


class Poisson(Independent):
    def __init__(self, d):
        super().__init__(d, "rates")

    def prepared(self, rate):
        return rate, rate.log()

    def of_value(self, x, rate):
        return rate[1] * x - rate[0] - arb(x + 1).lgamma()


class Exponential(Poisson):
    def of_value(self, x, rate):
        return rate[1] - rate[0] * x


class BoundedExponential(Exponential):
    """Of one column; a row is a value that does not count, and its bounds. Equal ones: the value."""

    def log_densities(self, parameters):
        rates = [rate for (rate,) in parameters["rates"]]

        def log_density(row):
            _, low, high = row
            for rate in rates:
                if low == high:
                    yield rate.log() - rate * low
                elif np.isinf(high):
                    yield rate * -low
                else:
                    yield ((rate * -low).exp() - (rate * -high).exp()).log()

        return log_density


class Bernoulli(Independent):
    def __init__(self, d):
        super().__init__(d, "probabilities")

    def prepared(self, p):
        return (1 - p).log(), p.log()

    def of_value(self, x, logs):
        return logs[int(x)]


class Geometric(Bernoulli):
    """Failures before the first success."""

    def of_value(self, x, logs):
        return logs[1] + logs[0] * x


class Gamma(Independent):
    def __init__(self, d):
        super().__init__(d, "rates")

    def parameters(self, vector, K):
        split = len(vector) - K * self.d
        return super().parameters(vector[:split], K) | {"shapes": Reader(vector[split:]).table(K, self.d)}

    def coordinates(self, shapes, **others):
        return [*super().coordinates(**others), *flat(shapes)]

    def log_densities(self, parameters):
        pairs = [list(zip(*rows)) for rows in zip(parameters["shapes"], parameters["rates"])]
        constants = [[shape * rate.log() - shape.lgamma() for shape, rate in row] for row in pairs]

        def log_density(row):
            for own, constant in zip(pairs, constants):
                yield sum(c + (s - 1) * arb(x).log() - r * x for x, (s, r), c in zip(row, own, constant))

        return log_density


class Categorical:
    """`n_categories` of each column; the last one's probability is what the others leave. Absent ones: 0."""

    def __init__(self, n_categories):
        self.n_categories = n_categories

    def parameters(self, vector, K):
        read = Reader(vector)
        weights = read.weights(K)
        most = max(self.n_categories)
        probabilities = [[[*read.weights(n), *[arb(0)] * (most - n)] for n in self.n_categories] for _ in range(K)]
        return {"weights": weights, "probabilities": probabilities}

    def coordinates(self, weights, probabilities, **others):
        return [
            *weights[:-1],
            *(x for own in probabilities for p, n in zip(own, self.n_categories) for x in p[: n - 1]),
        ]

    def log_densities(self, parameters):
        logs = [
            [[p.log() for p in row[:n]] for row, n in zip(own, self.n_categories)]
            for own in parameters["probabilities"]
        ]
        return lambda row: [sum(column[int(x)] for x, column in zip(row, own)) for own in logs]
