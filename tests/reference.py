"""The specification: EM for Gaussian mixtures in plain numpy, float64, one formula a line. Slow, square, obvious."""

import numpy as np
from scipy.special import betaln, digamma, gammaln, multigammaln


def dense_covariances(covariances, covariance_type, n_components, d):
    """(K, d, d) whatever the structure."""
    if covariance_type == "full":
        return np.array(covariances)
    if covariance_type == "tied":
        return np.repeat(np.asarray(covariances)[None], n_components, axis=0)
    if covariance_type == "diag":
        return np.array([np.diag(c) for c in covariances])
    return np.array([c * np.eye(d) for c in covariances])


def log_joint(X, weights, means, covariances):
    """(n, K) log pi_k + log N(x; mu_k, Sigma_k), covariances dense."""
    n, d = X.shape
    joint = np.empty((n, len(weights)))
    for k, (weight, mean, covariance) in enumerate(zip(weights, means, covariances)):
        z = np.linalg.solve(np.linalg.cholesky(covariance), (X - mean).T)
        log_det = np.linalg.slogdet(covariance)[1]
        with np.errstate(divide="ignore"):
            joint[:, k] = np.log(weight) - 0.5 * (d * np.log(2 * np.pi) + log_det + (z**2).sum(axis=0))
    return joint


def log_density(joint):
    """(n,) log sum_k exp(joint)."""
    top = joint.max(axis=1, keepdims=True)
    return (top + np.log(np.exp(joint - top).sum(axis=1, keepdims=True)))[:, 0]


def responsibilities(joint):
    """(n, K) p(z = k | x)."""
    return np.exp(joint - log_density(joint)[:, None])


def moments(X, resp, sample_weight, about):
    """counts (K,), first (K, d) and second (K, d, d) moments about the points `about` (K, d)."""
    r = resp * sample_weight[:, None]
    z = X[:, None, :] - about
    return r.sum(axis=0), np.einsum("nk,nkd->kd", r, z), np.einsum("nk,nkd,nke->kde", r, z, z)


def expected_sums(X, weights, means, covariances, sample_weight=None):
    """All sums of the E-step, covariances dense. {name: (value, the sum of its terms' absolute values)}:
    rounding is measured against the latter."""
    sample_weight = np.ones(len(X)) if sample_weight is None else sample_weight
    joint = log_joint(X, weights, means, covariances)
    density, resp = log_density(joint), responsibilities(joint)
    entropy = -(resp * np.log(np.where(resp > 0, resp, 1))).sum(axis=1)
    counts, first, second = moments(X, resp, sample_weight, means)
    r, z = resp * sample_weight[:, None], abs(X[:, None, :] - means)
    row_size = sample_weight @ (1 + abs(density))
    return {
        "weight": (sample_weight.sum(), sample_weight.sum()),
        "counts": (counts, sample_weight.sum()),
        "first": (first, np.einsum("nk,nkd->d", r, z).max()),
        "second": (second, np.einsum("nk,nkd,nke->de", r, z, z).max()),
        "log_likelihood": (sample_weight @ density, row_size),
        "entropy": (sample_weight @ entropy, row_size),
    }


def m_step(counts, first, second, about, covariance_type):
    """weights, means, covariances in the structure's shape; no floor."""
    shift = first / counts[:, None]
    scatter = second / counts[:, None, None] - shift[:, :, None] * shift[:, None, :]
    weights = counts / counts.sum()
    if covariance_type == "full":
        covariances = scatter
    elif covariance_type == "tied":
        covariances = np.einsum("k,kde->de", weights, scatter)
    elif covariance_type == "diag":
        covariances = np.diagonal(scatter, axis1=1, axis2=2).copy()
    else:
        covariances = np.trace(scatter, axis1=1, axis2=2) / scatter.shape[1]
    return weights, about + shift, covariances


def em_step(X, weights, means, covariances, covariance_type, sample_weight=None):
    """One E-step and one M-step; also the log-likelihood before them."""
    n, d = X.shape
    sample_weight = np.ones(n) if sample_weight is None else sample_weight
    joint = log_joint(X, weights, means, dense_covariances(covariances, covariance_type, len(weights), d))
    log_likelihood = sample_weight @ log_density(joint)
    sums = moments(X, responsibilities(joint), sample_weight, np.asarray(means))
    return (*m_step(*sums, np.asarray(means), covariance_type), log_likelihood)


def conditional_step(covariance, noise, n_factors, floor):
    """Loadings (d, q) and noise (d,) of one conditional maximisation of a factor model; every inverse afresh."""
    root = np.sqrt(noise)
    vectors, values, _ = np.linalg.svd(covariance / np.outer(root, root))
    loadings = root[:, None] * vectors[:, :n_factors] * np.sqrt(np.maximum(values[:n_factors] - 1, 0))
    loadings = loadings * np.sign(loadings[abs(loadings).argmax(axis=0), range(n_factors)])
    noise = noise.copy()
    for i in range(len(noise)):
        precision = np.linalg.inv(loadings @ loadings.T + np.diag(noise))
        own = precision[i, i]
        best = noise[i] + ((precision @ covariance @ precision)[i, i] - own) / own**2
        noise[i] = max(best, floor[i], noise[i] - (1 - 1e-3) / own)
    return loadings, noise


def decrement(X, weights, means, covariances):
    """Newton's decrement g' (-H)^-1 g / 2 of the log-likelihood, gradient and Hessian by central differences.

    Coordinates: log-ratios of the weights, means, lower triangles of the covariances' Cholesky factors.
    """
    K, d = means.shape
    lower, step = np.tril_indices(d), 1e-4
    factors = np.linalg.cholesky(covariances)
    x = np.concatenate([np.log(weights[:-1] / weights[-1]), means.ravel(), factors[:, lower[0], lower[1]].ravel()])
    directions = step * np.eye(len(x))

    def log_likelihood(x):
        ratios = np.exp(np.append(x[: K - 1], 0))
        L = np.zeros((K, d, d))
        L[:, lower[0], lower[1]] = x[K - 1 + K * d :].reshape(K, -1)
        joint = log_joint(X, ratios / ratios.sum(), x[K - 1 : K - 1 + K * d].reshape(K, d), L @ L.transpose(0, 2, 1))
        return log_density(joint).sum()

    def slope(x):
        return np.array([log_likelihood(x + v) - log_likelihood(x - v) for v in directions]) / (2 * step)

    gradient = slope(x)
    hessian = np.array([slope(x + v) - slope(x - v) for v in directions]) / (2 * step)
    return 0.5 * gradient @ np.linalg.solve(-(hessian + hessian.T) / 2, gradient)


def incomplete_row(x, mean, covariance):
    """Of one row with NaN under one Gaussian: log-density of what is there, E[x], Var[x] given that."""
    d = len(x)
    o, m = np.flatnonzero(~np.isnan(x)), np.flatnonzero(np.isnan(x))
    filled, variance = np.where(np.isnan(x), mean, x), np.zeros((d, d))
    z, observed = x[o] - mean[o], covariance[np.ix_(o, o)]
    gain = np.linalg.solve(observed, covariance[np.ix_(o, m)]).T if len(o) else np.zeros((len(m), 0))
    filled[m] += gain @ z
    variance[np.ix_(m, m)] = covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)]
    quadratic = z @ np.linalg.solve(observed, z) if len(o) else 0.0
    return -0.5 * (len(o) * np.log(2 * np.pi) + np.linalg.slogdet(observed)[1] + quadratic), filled, variance


def incomplete_joint(X, weights, means, covariances):
    """(n, K) log pi_k + log-density of what is there of each row."""
    with np.errstate(divide="ignore"):
        logs = np.log(weights)
    rows = X.astype(np.float64)
    return logs + [[incomplete_row(x, mean, c)[0] for mean, c in zip(means, covariances)] for x in rows]


def incomplete_sums(X, weights, means, covariances, sample_weight=None):
    """What `expected_sums` gives, of rows with NaN: row by row, component by component."""
    (n, d), K = X.shape, len(weights)
    sample_weight = np.ones(n) if sample_weight is None else sample_weight
    joint = incomplete_joint(X, weights, means, covariances)
    density, resp = log_density(joint), responsibilities(joint)
    first, second, size, size2 = np.zeros((K, d)), np.zeros((K, d, d)), np.zeros((K, d)), np.zeros((K, d, d))
    for x, w, r in zip(X.astype(np.float64), sample_weight, resp):
        for k in range(K):
            _, filled, variance = incomplete_row(x, means[k], covariances[k])
            z = filled - means[k]
            first[k] += w * r[k] * z
            second[k] += w * r[k] * (np.outer(z, z) + variance)
            size[k] += w * r[k] * abs(z)
            size2[k] += w * r[k] * (np.outer(abs(z), abs(z)) + abs(variance))
    entropy = -(resp * np.log(np.where(resp > 0, resp, 1))).sum(axis=1)
    row_size = sample_weight @ (1 + abs(density))
    return {
        "weight": (sample_weight.sum(), sample_weight.sum()),
        "counts": (sample_weight @ resp, sample_weight.sum()),
        "first": (first, size.max()),
        "second": (second, size2.max()),
        "log_likelihood": (sample_weight @ density, row_size),
        "entropy": (sample_weight @ entropy, row_size),
    }


def minus_log_likelihood(covariances, counts, scatter):
    _, log_det = np.linalg.slogdet(covariances)
    traces = np.trace(np.linalg.solve(covariances, scatter), axis1=1, axis2=2)
    return counts @ (log_det + traces)


def rotation(angles, d):
    """Skew-symmetric coordinates to a rotation, by Cayley's formula."""
    skew = np.zeros((d, d))
    skew[np.triu_indices(d, 1)] = angles
    skew -= skew.T
    return np.linalg.solve(np.eye(d) + skew, np.eye(d) - skew)


def covariances_of(name, vector, k, d, frames):
    """(k, d, d) covariances of a family from unconstrained coordinates: volumes, shapes, orientations."""
    volume, form, orientation = name
    sizes = {"E": 1, "V": k}
    parts = iter(
        np.split(
            vector,
            np.cumsum(
                [
                    sizes[volume],
                    {"I": 0, **sizes}[form] * (d - 1),
                    {"I": 0, **sizes}[orientation] * (d * (d - 1) // 2),
                ]
            )[:-1],
        )
    )
    volumes = np.broadcast_to(np.exp(next(parts)), k)
    ratios = next(parts).reshape(-1, d - 1)
    shapes = np.exp(np.column_stack([ratios, -ratios.sum(axis=1)])) if len(ratios) else np.ones((1, d))
    angles = next(parts).reshape(-1, d * (d - 1) // 2)
    turns = [frame @ rotation(a, d) for frame, a in zip(frames, angles)] if len(angles) else [np.eye(d)]
    turns = np.broadcast_to(np.array(turns), (k, d, d))
    return (turns * (volumes[:, None] * np.broadcast_to(shapes, (k, d)))[:, None, :]) @ np.swapaxes(turns, 1, 2)


def agglomerated(counts, means, scatter, n_clusters, criterion, proportions, prior):
    """(M,) the cluster of each of M leaves, after the cheapest merger of all pairs, one after the other."""
    d = means.shape[1]

    def cost(leaves):
        n = counts[leaves].sum()
        mean = counts[leaves] @ means[leaves] / n
        apart = means[leaves] - mean
        total = scatter[leaves].sum(axis=0) + (counts[leaves, None] * apart).T @ apart
        if criterion == "squares":
            return np.trace(total)
        if criterion == "diagonal":
            total = np.diag(np.diag(total))
        value = n * np.linalg.slogdet((total + prior * np.eye(d)) / (n + prior))[1]
        return value - 2 * n * np.log(n) if proportions else value

    clusters = [[leaf] for leaf in range(len(counts))]
    while len(clusters) > n_clusters:
        pairs = [(g, h) for g in range(len(clusters)) for h in range(g + 1, len(clusters))]
        losses = [cost(clusters[g] + clusters[h]) - cost(clusters[g]) - cost(clusters[h]) for g, h in pairs]
        g, h = pairs[int(np.argmin(losses))]
        clusters[g] = clusters[g] + clusters.pop(h)
    labels = np.empty(len(counts), int)
    for number, leaves in enumerate(sorted(clusters, key=min)):
        labels[leaves] = number
    return labels


def variational_m_step(X, r, prior, covariance_type, process):
    """The posterior from weighted responsibilities r (n, K): concentration, beta, m, nu and W^-1 (K, d, d).

    prior: a, beta0, m0 (d,), nu0, W0^-1 (d, d).
    """
    a, beta0, m0, nu0, scale = prior
    counts = r.sum(axis=0)
    after = np.array([counts[k + 1 :].sum() for k in range(len(counts))])
    concentration = np.array([1 + counts, a + after]) if process else a + counts
    beta = beta0 + counts
    m = (beta0 * m0 + r.T @ X) / beta[:, None]
    about = X[:, None, :] - m
    scatter = np.einsum("nk,nkd,nke->kde", r, about, about)
    inverse = scale + scatter + beta0 * (m - m0)[:, :, None] * (m - m0)[:, None, :]
    nu = nu0 + counts
    if covariance_type == "tied":
        inverse, nu = np.broadcast_to(inverse.mean(axis=0), inverse.shape), np.full(len(nu), nu.mean())
    elif covariance_type == "diag":
        inverse = inverse * np.eye(len(m0))
    elif covariance_type == "spherical":
        inverse = np.trace(inverse, axis1=1, axis2=2)[:, None, None] / len(m0) * np.eye(len(m0))
    return concentration, beta, m, nu, inverse


def expected_log_weights(concentration):
    """(K,) E[log pi]; of sticks (2, K), whose logarithms add up."""
    if concentration.ndim == 1:
        return digamma(concentration) - digamma(concentration.sum())
    own, after = digamma(concentration) - digamma(concentration.sum(axis=0))
    return np.array([own[k] + after[:k].sum() for k in range(len(own))])


def expected_log_det(nu, inverse):
    """E[log |Lambda|] of a Wishart distribution."""
    d = len(inverse)
    return sum(digamma((nu - i) / 2) for i in range(d)) + d * np.log(2) - np.linalg.slogdet(inverse)[1]


def variational_log_rho(X, concentration, beta, m, nu, inverse):
    """(n, K) E[log p(x, z = k)] under the posterior."""
    n, d = X.shape
    rho = np.empty((n, len(beta)))
    for k, log_weight in enumerate(expected_log_weights(concentration)):
        z = X - m[k]
        quadratic = d / beta[k] + nu[k] * np.einsum("nd,de,ne->n", z, np.linalg.inv(inverse[k]), z)
        rho[:, k] = log_weight + 0.5 * (expected_log_det(nu[k], inverse[k]) - d * np.log(2 * np.pi) - quadratic)
    return rho


def variational_divergence(prior, concentration, beta, m, nu, inverse):
    """KL of the posterior from the prior, of weights, means and precisions."""
    a, beta0, m0, nu0, scale = prior
    d = len(m0)
    if concentration.ndim == 1:
        alike = np.full_like(concentration, a)
        total = (concentration - alike) @ expected_log_weights(concentration)
        total += (
            gammaln(concentration.sum()) - gammaln(concentration).sum() - gammaln(alike.sum()) + gammaln(alike).sum()
        )
    else:
        logs = digamma(concentration) - digamma(concentration.sum(axis=0))
        total = ((concentration - np.array([[1.0], [a]])) * logs).sum()
        total += (betaln(1, a) - betaln(*concentration)).sum()

    def log_b(nu, inverse):
        return 0.5 * nu * (np.linalg.slogdet(inverse)[1] - d * np.log(2)) - multigammaln(0.5 * nu, d)

    for k in range(len(beta)):
        W, z = np.linalg.inv(inverse[k]), m[k] - m0
        total += 0.5 * (d * beta0 / beta[k] - d + d * np.log(beta[k] / beta0) + beta0 * nu[k] * z @ W @ z)
        total += log_b(nu[k], inverse[k]) - log_b(nu0, scale) - 0.5 * nu[k] * d + 0.5 * nu[k] * np.trace(scale @ W)
        total += 0.5 * (nu[k] - nu0) * expected_log_det(nu[k], inverse[k])
    return total


def variational_step(X, posterior, prior, covariance_type, process, sample_weight=None):
    """One E-step and one M-step; also the evidence lower bound before them."""
    sample_weight = np.ones(len(X)) if sample_weight is None else sample_weight
    rho = variational_log_rho(X, *posterior)
    bound = sample_weight @ log_density(rho) - variational_divergence(prior, *posterior)
    r = sample_weight[:, None] * responsibilities(rho)
    return variational_m_step(X, r, prior, covariance_type, process), bound


def normal_wishart_evidence(X, prior):
    """log p(X) of one component, in closed form."""
    _, beta0, _, nu0, scale = prior
    n, d = X.shape
    (beta,), _, (nu,), (inverse,) = variational_m_step(X, np.ones((n, 1)), prior, "full", False)[1:]

    def log_z(beta, nu, inverse):
        return multigammaln(0.5 * nu, d) - 0.5 * nu * np.linalg.slogdet(inverse)[1] - 0.5 * d * np.log(beta)

    return log_z(beta, nu, inverse) - log_z(beta0, nu0, scale) - 0.5 * n * d * np.log(np.pi)


def expected_log_joint(X, estimator, covariances):
    """(n, K) E[log p(x, k)] over the posterior of a BayesianGaussianMixture: Bishop (2006), 10.46, 10.64 to 10.66."""
    K, d, concentration = len(covariances), X.shape[1], estimator.weight_concentration_
    if estimator.weight_concentration_prior_type == "dirichlet_process":
        a, b = concentration
        left = digamma(b) - digamma(a + b)
        log_weights = digamma(a) - digamma(a + b) + np.append(0, np.cumsum(left)[:-1])
    else:
        log_weights = digamma(concentration) - digamma(concentration.sum())
    dof = np.broadcast_to(estimator.degrees_of_freedom_, K)
    log_det = digamma((dof[:, None] - np.arange(d)) / 2).sum(axis=1) - d * np.log(dof / 2)
    gaussians = log_joint(X, np.ones(K), estimator.means_, covariances)
    return log_weights + gaussians + (log_det - d / estimator.mean_precision_) / 2


def extended_log_likelihood(X, weights, means, covariances, noise, sample_weight):
    """Of a Gaussian mixture in np.longdouble, of rows with NaN for what was not seen.

    noise: (weight, log-density), or None.
    """
    X, means, covariances = (np.asarray(a, np.longdouble) for a in (X, means, covariances))
    joint = np.empty((len(X), len(weights)), np.longdouble)
    for pattern in np.unique(np.isnan(X), axis=0):
        there = np.flatnonzero(~pattern)
        rows = np.flatnonzero((np.isnan(X) == pattern).all(axis=1))
        for k, weight in enumerate(weights):
            z = X[np.ix_(rows, there)] - means[k, there]
            log_det, squares = extended_squares(covariances[k][np.ix_(there, there)], z)
            with np.errstate(divide="ignore"):
                joint[rows, k] = np.log(np.longdouble(weight)) - (len(there) * LOG_2PI + log_det + squares) / 2
    if noise is not None:
        with np.errstate(divide="ignore"):
            log_noise = np.log(np.longdouble(noise[0])) + noise[1]
        joint = np.column_stack([joint, np.full(len(X), log_noise)])
    return np.asarray(sample_weight, np.longdouble) @ log_density(joint)


LOG_2PI = np.log(8 * np.arctan(np.longdouble(1)))


def extended_squares(covariance, z):
    """Log-determinant, and squared Mahalanobis distances of the rows z. Its own factor: LAPACK has no longdouble."""
    lower, z = np.zeros_like(covariance), z.copy()
    for j in range(len(covariance)):
        lower[j:, j] = covariance[j:, j] - lower[j:, :j] @ lower[j, :j]
        lower[j:, j] /= np.sqrt(lower[j, j])
        z[:, j] = (z[:, j] - z[:, :j] @ lower[j, :j]) / lower[j, j]
    return 2 * np.log(np.diagonal(lower)).sum(), (z**2).sum(axis=1)


def noisy_row(w, mean, covariance, error):
    """log N(w; mean, covariance + error), and the mean and covariance of the noise-free row given w. NaN in w, or
    an infinite variance: not measured."""
    there = ~np.isnan(w) & np.isfinite(np.diagonal(error))
    if not there.any():
        return 0.0, mean.copy(), covariance.copy()
    total = covariance[np.ix_(there, there)] + error[np.ix_(there, there)]
    gain = covariance[:, there] @ np.linalg.inv(total)
    z = w[there] - mean[there]
    log_density = -0.5 * (there.sum() * np.log(2 * np.pi) + np.linalg.slogdet(total)[1] + z @ np.linalg.solve(total, z))
    return log_density, mean + gain @ z, covariance - gain @ covariance[there]


def noisy_sums(X, errors, weights, means, covariances, sample_weight=None):
    """Counts (K,), first (K, d) and second (K, d, d) expected moments of the noise-free rows about the means, and the
    log-likelihood of rows with covariances of errors (n, d, d)."""
    n, K, d = len(X), len(weights), X.shape[1]
    sample_weight = np.ones(n) if sample_weight is None else sample_weight
    joint, centres, spreads = np.empty((n, K)), np.empty((n, K, d)), np.empty((n, K, d, d))
    for i in range(n):
        for k in range(K):
            joint[i, k], centres[i, k], spreads[i, k] = noisy_row(X[i], means[k], covariances[k], errors[i])
    joint += np.log(weights)
    r = responsibilities(joint) * sample_weight[:, None]
    z = centres - means
    second = np.einsum("nk,nkde->kde", r, spreads + z[..., :, None] * z[..., None, :])
    return r.sum(axis=0), np.einsum("nk,nkd->kd", r, z), second, float(sample_weight @ log_density(joint))


def bovy_step(X, errors, weights, means, covariances):
    """Weights, means and covariances of one step of extreme deconvolution, as the paper writes it (equations 16, 17):
    b = m + V T^-1 (w - m), B = V - V T^-1 V, m' = mean of b, V' = mean of (m' - b)(m' - b)' + B. All measured."""
    n, K = len(X), len(weights)
    joint, b, B = np.empty((n, K)), np.empty((n, *np.shape(means))), np.empty((n, *np.shape(covariances)))
    for i in range(n):
        for k in range(K):
            T = np.linalg.inv(covariances[k] + errors[i])
            b[i, k] = means[k] + covariances[k] @ T @ (X[i] - means[k])
            B[i, k] = covariances[k] - covariances[k] @ T @ covariances[k]
            log_det = np.linalg.slogdet(2 * np.pi * (covariances[k] + errors[i]))[1]
            joint[i, k] = np.log(weights[k]) - 0.5 * (log_det + (X[i] - means[k]) @ T @ (X[i] - means[k]))
    q = responsibilities(joint)
    counts = q.sum(axis=0)
    new = np.einsum("nk,nkd->kd", q, b) / counts[:, None]
    apart = new - b
    spread = np.einsum("nk,nkde->kde", q, apart[..., :, None] * apart[..., None, :] + B)
    return counts / n, new, spread / counts[:, None, None]


def interval_row(lower, upper, mean, covariance):
    """log p, E[x - mean] (d,) and E[(x - mean)(x - mean)'] (d, d) of a Gaussian row between bounds, of which at most
    one column is an interval where columns depend on each other. Equal bounds: exact; both infinite: missing."""
    from scipy.stats import multivariate_normal, norm, truncnorm

    d, exact = len(mean), lower == upper
    known, hidden = np.flatnonzero(exact), np.flatnonzero(~exact)
    z, log_p = lower[known] - mean[known], 0.0
    if len(known):
        log_p = multivariate_normal.logpdf(z, np.zeros(len(known)), covariance[np.ix_(known, known)])
    gain = covariance[np.ix_(hidden, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    centre, C = gain @ z, covariance[np.ix_(hidden, hidden)] - gain @ covariance[np.ix_(known, hidden)]
    spread = C.copy()
    for i in np.flatnonzero(np.isfinite(lower[hidden]) | np.isfinite(upper[hidden])):
        at, deviation = mean[hidden[i]] + centre[i], np.sqrt(C[i, i])
        a, b = (lower[hidden[i]] - at) / deviation, (upper[hidden[i]] - at) / deviation
        log_p += np.log(norm.cdf(b) - norm.cdf(a)) if a + b < 0 else np.log(norm.sf(a) - norm.sf(b))
        slope = C[:, i] / C[i, i]
        centre = centre + slope * deviation * truncnorm.mean(a, b)
        spread = spread + np.outer(slope, slope) * C[i, i] * (truncnorm.var(a, b) - 1)
    first, second = np.zeros(d), np.zeros((d, d))
    first[known], first[hidden] = z, centre
    second[np.ix_(hidden, hidden)] = spread
    return log_p, first, second + np.outer(first, first)


def interval_sums(lower, upper, weights, means, covariances):
    """Counts (K,), first (K, d) and second (K, d, d) expected moments about the means, and the log-likelihood, of rows
    between bounds."""
    n, (K, d) = len(lower), np.shape(means)
    joint, first, second = np.empty((n, K)), np.empty((n, K, d)), np.empty((n, K, d, d))
    for i in range(n):
        for k in range(K):
            joint[i, k], first[i, k], second[i, k] = interval_row(lower[i], upper[i], means[k], covariances[k])
    joint += np.log(weights)
    r = responsibilities(joint)
    return (
        r.sum(axis=0),
        *(np.einsum("nk,nk...->k...", r, of_rows) for of_rows in (first, second)),
        float(log_density(joint).sum()),
    )


def gamma_sums(lower, upper, weights, shapes, rates):
    """Counts (K,), expected sums of x and log x (K, d) and the log-likelihood of rows between bounds, by adaptive
    quadrature over s = log x. Equal bounds: exact."""
    from math import exp, lgamma

    from scipy.integrate import quad

    n, (K, d) = len(lower), shapes.shape
    joint, values = np.tile(np.log(weights), (n, 1)), np.empty((2, n, K, d))
    for i, k, j in np.ndindex(n, K, d):
        a, rate = shapes[k, j], rates[k, j]
        constant = a * np.log(rate) - lgamma(a)
        if lower[i, j] == upper[i, j]:
            x = lower[i, j]
            joint[i, k] += constant + (a - 1) * np.log(x) - rate * x
            values[:, i, k, j] = x, np.log(x)
            continue
        low = np.log(lower[i, j]) if lower[i, j] > 0 else np.log(a / rate) - 40 / a - 5
        high = np.log(min(upper[i, j], max(lower[i, j], 0) + 3 * (a + 40) / rate))

        def integral(factor, a=a, rate=rate, constant=constant, ends=(low, high)):
            return quad(lambda s: exp(a * s - rate * exp(s) + constant) * factor(s), *ends, epsabs=0, limit=200)[0]

        P, *sums = (integral(factor) for factor in (lambda s: 1.0, exp, lambda s: s))
        joint[i, k] += np.log(P)
        values[:, i, k, j] = np.array(sums) / P
    r = responsibilities(joint)
    return r.sum(axis=0), *np.einsum("nk,ankd->akd", r, values), float(log_density(joint).sum())


def student_sums(lower, upper, weights, means, scales, degrees):
    """Counts (K,), sums of E[u] (K,), E[u (x - mean)] (K, d), E[u (x - mean)(x - mean)'] (K, d, d), E[log u] (K,), and
    the log-likelihood of rows between bounds as in :func:`interval_row`: by quadrature over u, given which they are
    Gaussian."""
    from scipy.stats import gamma

    at, by = np.polynomial.legendre.leggauss(100)
    log_u = 7 * at - 3
    n, (K, d) = len(lower), np.shape(means)
    joint, mass, logs = np.empty((3, n, K))
    first, second = np.empty((n, K, d)), np.empty((n, K, d, d))
    for i, k in np.ndindex(n, K):
        with np.errstate(divide="ignore"):  # of a large u the interval may have no probability
            given = [interval_row(lower[i], upper[i], means[k], scales[k] / u) for u in np.exp(log_u)]
        prior = gamma.logpdf(np.exp(log_u), degrees[k] / 2, scale=2 / degrees[k]) + log_u
        of_u = np.array([log_p for log_p, _, _ in given]) + prior
        share = 7 * by * np.exp(of_u)
        joint[i, k] = np.log(weights[k]) + np.log(share.sum())
        share /= share.sum()
        mass[i, k], logs[i, k] = share @ np.exp(log_u), share @ log_u
        first[i, k] = sum(s * u * moment for s, u, (_, moment, _) in zip(share, np.exp(log_u), given))
        second[i, k] = sum(s * u * moment for s, u, (_, _, moment) in zip(share, np.exp(log_u), given))
    r = responsibilities(joint)
    sums = (np.einsum("nk,nk...->k...", r, of_rows) for of_rows in (mass, first, second, logs))
    return r.sum(axis=0), *sums, float(log_density(joint).sum())


def log_gate(C, coefficients):
    """(n, K) log pi_k(c) = gamma_k . (1, c) - log sum_j exp(gamma_j . (1, c)); coefficients (K, p + 1)."""
    linear = coefficients[:, 0] + C @ coefficients[:, 1:].T
    top = linear.max(axis=1, keepdims=True)
    return linear - top - np.log(np.exp(linear - top).sum(axis=1, keepdims=True))


def integrals_of(flint, log_density, factors, near, low, high):
    """log of the integral of exp(log_density), and the means of `factors` under it, to 50 digits.

    Both are functions of a place, of the side of `near` that it is on, -1 or 1, and of whether they must be analytic
    there. log_density is concave and largest between low and high at `near`; an infinite end is where it has fallen by
    130.
    """
    acb, arb = flint.acb, flint.arb
    flint.ctx.dps = 60
    top = log_density(acb(near), 1, False)

    def end(given, side):
        step = arb(1)
        while abs(given) == np.inf and (top - log_density(acb(near + side * step), side, False)).real < 130:
            step *= 2
        return near + side * step if abs(given) == np.inf else given

    def integral(factor):
        total = acb(0)
        for side, given in ((-1, low), (1, high)):
            if given != near:
                share = acb.integral(
                    lambda y, analytic, side=side: (
                        (log_density(y, side, analytic) - top).exp() * factor(y, side, analytic)
                    ),
                    acb(near),
                    acb(end(given, side)),
                )
                total += side * share
        return total

    total = integral(lambda *_: 1)
    return [(top + total.log()).real, *((integral(factor) / total).real for factor in factors)]


def gamma_interval(flint, shape, low, high):
    """log P, E[x] and E[log x] of a gamma variable of rate 1 between bounds, as balls of some 50 digits, rounded."""
    flint.ctx.dps = 60
    arb = flint.arb
    a, low, high = arb(shape), arb(low), arb(high)
    mode = a if low < a < high else low if low >= a else high
    near = mode.log()
    found = integrals_of(
        flint,
        lambda s, *_: s * a - s.exp(),
        [lambda s, *_: (s - near).exp(), lambda s, *_: s - near],
        near,
        near if mode == low else low.log() if low > 0 else arb("-inf"),
        near if mode == high else high.log(),
    )
    return float(found[0] - a.lgamma()), float(found[1] * mode), float(found[2] + near)


def student_interval(flint, degrees, low, high):
    """log P, E[w], E[w t], E[w t^2] and E[log w] of a Student-t variable between bounds, normal with variance 1 / w."""
    flint.ctx.dps = 60
    arb = flint.arb
    nu, low, high = arb(degrees), arb(low), arb(high)
    root, half = nu.sqrt(), arb(1) / 2
    near = arb(0) if low < 0 < high else low if low >= 0 else high
    near, low, high = (end if abs(end) == np.inf else (end / root).asinh() for end in (near, low, high))

    def log_cosh(y, side, analytic):
        return side * y + (1 + (-2 * side * y).exp()).log(analytic=analytic) - arb(2).log()

    def weight(*place):
        return (nu + 1) / nu * (-2 * log_cosh(*place)).exp()

    log_p, *means = integrals_of(
        flint,
        lambda *place: -nu * log_cosh(*place),
        [weight, *(lambda *place, power=power: weight(*place) * (root * place[0].sinh()) ** power for power in (1, 2))]
        + [lambda *place: -2 * log_cosh(*place)],
        near,
        low,
        high,
    )
    log_p -= (nu / 2).lgamma() + half.lgamma() - (nu / 2 + half).lgamma()
    means[-1] += ((nu + 1) / nu).log() + ((nu + 1) / 2).digamma() - ((nu + 1) / 2).log()
    return float(log_p), *(float(mean) for mean in means)
